"""Published checkpoints in other forms (pickles, another library's names, adapters on a base) into
safetensors that judges load. Judges load nothing else; these are the only readers of the rest.

    kind -> what is to be made of which tensor -> held against source and model -> written

Each kind is a function of a source and a base, which reads names and shapes and no values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from actors.converters.blip import imagereward
from actors.converters.clip import hpsv2, pickscore
from actors.converters.conversion import Conversion, check, write
from actors.converters.llava_qwen import llava_qwen
from actors.converters.qwen import hpsv3, videoalign
from actors.converters.tensors import ConversionError, digest
from factory.judging.scalar import named

__all__ = ["FILE", "KINDS", "ConversionError", "Kind", "convert"]


@dataclass(frozen=True)
class Kind:
    """One published layout.

    plan: what is made of a source and a base.
    base: what it is that the base has to be.
    """

    plan: Callable[[Path, Path], Conversion]
    base: str


KINDS: Mapping[str, Kind] = {
    "hpsv2": Kind(hpsv2, named("hpsv2").base),
    "hpsv3": Kind(hpsv3, named("hpsv3").base),
    "imagereward": Kind(imagereward, named("imagereward").base),
    "llava_qwen": Kind(llava_qwen, ""),
    "pickscore": Kind(pickscore, named("pickscore").base),
    "videoalign": Kind(videoalign, named("videoalign").base),
}


#: Says beside the weights what they were made of; nothing is loaded by it.
FILE = "conversion.json"


def convert(kind: str, source: Path, base: Path, directory: Path) -> Conversion:
    """Convert a checkpoint into an empty directory.

    Args:
        kind: of `KINDS`.
        source: a file or a directory, as the kind says.
        base: a directory; see the kind.
        directory: that is written to.

    Raises:
        ConversionError: no checkpoint of this kind; nothing was written then.
    """
    conversion = KINDS[kind].plan(source, base)
    check(conversion, _target(source, conversion))
    write(conversion, directory)
    told = {
        "kind": kind,
        "source": str(source),
        "commit": _commit(source),
        "sha256": digest(source),
        "base": str(base),
        "base_commit": _commit(base),
        "dropped": dict(conversion.dropped),
    }
    (directory / FILE).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return conversion


def _target(source: Path, conversion: Conversion) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the tensors of the model that is to load the result."""
    if conversion.specification is not None:
        from actors.judges.scalar.loading import shapes_of

        return shapes_of(str(source), dict(conversion.config), conversion.specification)
    import torch
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration

    with torch.device("meta"):
        config = LlavaOnevisionConfig.from_dict(dict(conversion.config))
        model = LlavaOnevisionForConditionalGeneration(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    return shapes


def _commit(path: Path) -> str | None:
    """The commit of a hub's repository that a path of its cache is of."""
    parts = path.resolve().parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else None
