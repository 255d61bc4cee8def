"""Whether a model's weights can be loaded, told from the names of its files: safetensors, with the
variant that a recipe names, or without one.

Published repositories hold several forms of the same weights, or only one that is not the usual:
pickles (`.bin`), which are never loaded here, or a half-precision variant, which must be asked for.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

#: A file of weights as diffusers and transformers call them, with its variant before or after the
#: number of the shard.
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<before>[A-Za-z0-9_]+))?(?:-\d+-of-\d+)?(?:\.(?P<after>[A-Za-z0-9_]+))?"
    r"\.(?P<form>safetensors|bin)"
)
#: Beside the weights of one model.
_MODEL = "config.json"


def weights_fault(names: Iterable[str], variant: str | None = None) -> str | None:
    """Why the weights of a model, or of a pipeline's models, cannot be loaded as they lie there.

    Args:
        names: of all files, relative to the model's directory, with "/".
        variant: that is asked for.

    Returns:
        a sentence that says what is there and what to do; None where nothing is wrong, or where no
        file of weights is known by its name.
    """
    every = list(names)
    folders = {name.rpartition("/")[0] for name in every if name.rpartition("/")[2] == _MODEL}
    safe: dict[str, set[str | None]] = defaultdict(set)
    pickled: set[str] = set()
    for name in every:
        folder, _, file = name.rpartition("/")
        found = _WEIGHTS.fullmatch(file)
        if found is None or folder not in folders:
            continue
        if found["form"] == "bin":
            pickled.add(folder)
        else:
            safe[folder].add(found["before"] or found["after"])
    if variant is not None and not any(variant in of for of in safe.values()):
        known = sorted({one for of in safe.values() for one in of if one})
        there = f"there are {', '.join(known)}" if known else "there is no variant"
        return f"no weights of variant {variant!r}: {there}; change or leave out `variant`"
    for folder, variants in sorted(safe.items()):
        if not variants & {None, variant}:
            named = sorted(one for one in variants if one)
            return (
                f"the weights in {_told(folder)} are there as variant {' and '.join(named)} alone: "
                f"say `variant: {named[0]}`"
            )
    only_pickled = sorted(pickled - set(safe))
    if only_pickled:
        return (
            f"the weights in {', '.join(map(_told, only_pickled))} are there as .bin alone, which "
            "are pickles and are not loaded; write them as safetensors once, where you trust them"
        )
    return None


def _told(folder: str) -> str:
    return f"{folder}/" if folder else "the directory"


#: Writes a pipeline whose weights are pickles as safetensors; torch reads them as plain tensors.
CONVERT = (
    'python -c "from diffusers import DiffusionPipeline as P; '
    'P.from_pretrained({path!r}, use_safetensors=False).save_pretrained({target!r})"'
)
