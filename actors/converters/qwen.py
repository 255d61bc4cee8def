"""HPSv3 and VideoAlign: Qwen2-VL with a head for numbers, whole or as adapters on a base.

Names are those of the publishers' class (MizzenAI/HPSv3 at d232ff86, KwaiVGI/VideoAlign at
219ab9db) under any of the library's layouts: the language model was once `model` and is now
`model.language_model`. Adapters (LoRA, arXiv 2106.09685) are merged: W + scale · B A, with scale
alpha / r, or alpha / √r where the checkpoint says so. A merged matrix is stored in float32: rounded
to bf16, most of what an adapter changes would be lost.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from actors.converters.conversion import Conversion, Made, as_it_is, beside, read_json
from actors.converters.tensors import ConversionError, Files, Held, Tensors, open_tensors
from factory.judging.scalar import ScalarSpecification, named

_PEFT = "base_model.model."
#: Of an adapter: the matrix that it changes, and which of its two factors this is.
_FACTOR = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_KEPT = ".modules_to_save.default."
_HEADLESS = "no number passes through the head for words"
_SUPERSEDED = "what was trained stands in its place"
_CONFIG = "model_config.json"
_ADAPTER, _BESIDE_ADAPTER = "adapter_model.safetensors", "non_lora_state_dict.pth"


@dataclass(frozen=True)
class _Both:
    """Tensors of a base, and those of a checkpoint that stand in their place or beside them."""

    first: Tensors
    second: Tensors

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {**self.first.shapes, **self.second.shapes}

    def get(self, name: str) -> Tensor:
        return self._of(name).get(name)

    def width(self, name: str) -> int:
        return self._of(name).width(name)

    def _of(self, name: str) -> Tensors:
        return self.second if name in self.second.shapes else self.first


def hpsv3(source: Path, base: Path) -> Conversion:
    """HPSv3.

    Args:
        source: `HPSv3.safetensors`, or the `.pth` that its training wrote.
        base: directory of Qwen2-VL-7B-Instruct: configuration, tokenizer and image processor.

    Raises:
        ConversionError: no such checkpoint.
    """
    return _converted(open_tensors(source), base, named("hpsv3"), scale=None)


def videoalign(source: Path, base: Path) -> Conversion:
    """VideoReward, VideoAlign's reward model.

    Args:
        source: the published directory: `model_config.json`, and `checkpoint-*` with a `model.pth`,
            or with adapters (`adapter_model.safetensors`, `non_lora_state_dict.pth`).
        base: directory of Qwen2-VL-2B-Instruct: configuration, tokenizer and image processor, and
            where the checkpoint is adapters its weights.

    Raises:
        ConversionError: no such checkpoint, or one that was trained to be asked otherwise.
    """
    told = read_json(source / _CONFIG)
    specification = _as_trained(source, told, named("videoalign"))
    steps = sorted(source.glob("checkpoint-*"), key=lambda one: int(one.name.rpartition("-")[2]))
    if not steps:
        raise ConversionError(f"{source}: has no checkpoint-* in it")
    lora = told.get("peft_lora_config") or {}
    scale = None
    if lora.get("lora_enable"):
        rank, alpha = lora["lora_r"], lora["lora_alpha"]
        scale = alpha / (math.sqrt(rank) if lora.get("use_rslora") else rank)
    held = _of_step(steps[-1], base)
    return _converted(held, base, specification, scale)


def _of_step(step: Path, base: Path) -> Tensors:
    whole = step / "model.pth"
    if whole.is_file():
        return open_tensors(whole)
    if not (step / _ADAPTER).is_file():
        raise ConversionError(f"{step}: has neither model.pth nor {_ADAPTER}")
    if not list(base.glob("*.safetensors")):
        raise ConversionError(f"{step}: is adapters, and {base} has no weights to add them to")
    first = Held({_renamed(name): one for name, one in _all(open_tensors(base)).items()})
    trained = _all(open_tensors(step / _BESIDE_ADAPTER)) | _all(Files([step / _ADAPTER]))
    return _Both(first, Held({_renamed(name): one for name, one in trained.items()}))


def _all(held: Tensors) -> dict[str, Tensor]:
    return {name: held.get(name) for name in held.shapes}


def _as_trained(
    source: Path, told: Mapping[str, Any], specification: ScalarSpecification
) -> ScalarSpecification:
    """The specification with what the checkpoint's own configuration says.

    Raises:
        ConversionError: it was trained to be asked in another way than the published one.
    """
    data, model = told.get("data_config") or {}, told.get("model_config") or {}
    wanted: dict[str, Any] = {
        "eval_dim": [name.upper() for name in specification.dimensions],
        "prompt_template_type": "detailed_special",
        "sample_type": "uniform",
        "num_frames": None,
    }
    asked = {key: (value, data.get(key)) for key, value in wanted.items()}
    asked["use_special_tokens"] = (True, model.get("use_special_tokens"))
    for key, (value, given) in asked.items():
        if given != value:
            raise ConversionError(
                f"{source / _CONFIG}: {key} is {given!r}, and the published model has {value!r}: "
                "it is asked in another way, for which there is no specification here"
            )
    norms = told.get("inference_config") or {}
    try:
        names = [name.upper() for name in specification.dimensions]
        means = tuple(float(norms[f"{name}_mean"]) for name in names)
        stds = tuple(float(norms[f"{name}_std"]) for name in names)
    except KeyError as error:
        raise ConversionError(
            f"{source / _CONFIG}: inference_config lacks {error}: what the published scores are "
            "normalised by is not known"
        ) from None
    return replace(
        specification,
        means=means,
        stds=stds,
        fps=float(data["fps"]),
        max_pixels=int(data["max_frame_pixels"]),
        head_outputs=int(model["output_dim"]),
    )


def _converted(
    held: Tensors, base: Path, specification: ScalarSpecification, scale: float | None
) -> Conversion:
    factors: dict[str, dict[str, str]] = {}
    plain: dict[str, str] = {}  # target -> source
    dropped: dict[str, str] = {}
    for name in held.shapes:
        target = _renamed(name)
        if found := _FACTOR.fullmatch(target):
            factors.setdefault(f"{found[1]}.weight", {})[found[2]] = name
        elif target.startswith("lm_head."):
            dropped[name] = _HEADLESS
        elif ".original_module." in target:
            dropped[name] = _SUPERSEDED
        else:
            plain[target.replace(_KEPT, ".").replace(".base_layer.", ".")] = name
    if factors and scale is None:
        raise ConversionError("the checkpoint holds adapters, and nothing says how they are scaled")
    made = {target: as_it_is(held, name) for target, name in plain.items()}
    for target, pair in factors.items():
        if target not in plain or set(pair) != {"A", "B"}:
            raise ConversionError(f"{target}: an adapter without its matrix, or half an adapter")
        names = (plain[target], pair["A"], pair["B"])
        made[target] = Made(held.shapes[names[0]], names, _merged(held, names, scale or 1.0), 4)
    told: tuple[str, ...] = ()
    if factors:
        told = (f"{len(factors)} matrices have their adapters merged, and are in float32",)
    embedding = "model.language_model.embed_tokens.weight"
    if embedding not in made:
        raise ConversionError(f"this is no Qwen2-VL checkpoint: it lacks {embedding}")
    words = made[embedding].shape[0]
    return Conversion(
        held.shapes,
        made,
        dropped,
        _config(base, words),
        specification,
        copied=beside(base),
        finish=lambda directory: _add_tokens(base, directory, specification, words),
        told=told,
    )


def _merged(held: Tensors, names: tuple[str, str, str], scale: float) -> Any:
    def make() -> Tensor:
        matrix, first, second = (held.get(name).float() for name in names)
        return matrix + scale * (second @ first)

    return make


def _renamed(name: str) -> str:
    """The name of a tensor in today's layout."""
    name = name.removeprefix("module.").removeprefix(_PEFT)
    if name.startswith("visual."):
        return f"model.{name}"
    rest = name.removeprefix("model.")
    if rest == name or rest.startswith(("visual.", "language_model.")):
        return name
    return f"model.language_model.{rest}"


def _config(base: Path, words: int) -> dict[str, Any]:
    """The base's configuration with as many words as the checkpoint has."""
    from transformers import Qwen2VLConfig

    told = read_json(base / "config.json")
    if told.get("model_type") != "qwen2_vl":
        raise ConversionError(
            f"{base}: is of model type {told.get('model_type')!r}, and the base is to be Qwen2-VL"
        )
    config = Qwen2VLConfig.from_dict(told)
    config.text_config.vocab_size = words
    # Not a class of transformers: nobody shall take it for a model that answers in words.
    return {**config.to_dict(), "architectures": ["RegressionModel"]}


def _add_tokens(
    base: Path, directory: Path, specification: ScalarSpecification, words: int
) -> None:
    """Write the base's tokenizer with the tokens at which numbers are read, as the publishers add
    them: after all others, in order.

    Raises:
        ConversionError: the checkpoint has not one embedding for each of them.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    tokenizer.add_tokens(list(specification.tokens), special_tokens=True)
    if len(tokenizer) != words:
        raise ConversionError(
            f"the checkpoint has {words} words, and {base} with {len(specification.tokens)} more "
            f"has {len(tokenizer)}: it was trained on another base"
        )
    tokenizer.save_pretrained(directory)
