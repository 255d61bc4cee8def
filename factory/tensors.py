"""A checkpoint's tensors against those of its model: what is missing would be filled at random,
what is too much would be dropped, and both would answer all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

#: Names that a message lists.
_FEW = 3


class Stored(NamedTuple):
    """One tensor as the header of a safetensors file tells it.

    dtype: as the format spells it: F32, BF16, F8_E4M3, I8, U8 …
    """

    dtype: str
    shape: tuple[int, ...]


#: Tensors of a checkpoint by name.
Tensors = Mapping[str, Stored]


class CheckpointError(ValueError):
    """Weights that are not those of the model that they say they are of, or cannot be loaded here;
    the message names the checkpoint, the tensors or the library, and what to do.
    """


def check_tensors(
    path: str,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[str],
    allow_missing: Sequence[str] = (),
) -> None:
    """Refuse a checkpoint that is not exactly the tensors of its model.

    Args:
        path: of the model, for messages.
        missing: tensors of the model that the checkpoint lacks.
        unexpected: tensors of the checkpoint that the model has no place for.
        mismatched: tensors of another shape than the model's.
        allow_missing: patterns of names that may be missing.

    Raises:
        CheckpointError: names some of each.
    """
    lacking = [name for name in missing if not is_allowed(name, allow_missing)]
    faults = [
        told(names, what)
        for names, what in (
            (sorted(lacking), "missing and would be filled at random"),
            (sorted(unexpected), "of no use to its model and would be dropped"),
            (sorted(mismatched), "of another shape than its model's"),
        )
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{path}: these weights are not those of the model that config.json describes: "
            f"{'; '.join(faults)}. Fetch or convert the checkpoint anew; a reward model with a "
            "head of its own is no generative model, and what may be missing is named by "
            "`allow_missing`"
        )


def is_allowed(name: str, allow_missing: Sequence[str]) -> bool:
    """Whether a tensor may be missing."""
    return any(fnmatchcase(name, pattern) for pattern in allow_missing)


def told(names: Sequence[str], what: str) -> str:
    """How many tensors are what, with the first of them."""
    few = ", ".join(names[:_FEW]) + (" …" if len(names) > _FEW else "")
    return f"{len(names)} tensor(s) are {what} ({few})"
