"""Quantised weights, told from a checkpoint's configuration and the headers of its files: in which
library's form they are, and which tensors the same checkpoint would have without it.

    X.qweight, X.qzeros, X.scales    ->    X.weight, of the shape that they stand for

So a quantised checkpoint is held against its model like any other, whether or not the library that
loads it is installed: a layer that lost its scales, a norm that is gone and a head too many are
seen. What the values are, only the library knows.

The forms are those that transformers 5.23 loads (`transformers/quantizers/quantizer_*.py`, the
`serialized_names` of each), as AutoAWQ, GPTQModel, bitsandbytes and compressed-tensors write them.
What bitsandbytes 0.50 writes passes and loads, and so does what compressed-tensors 0.20 reads; of
AWQ and GPTQ that was not tried.
Forms that are not listed are refused by name: nothing could be said of their tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from math import prod
from typing import Any

from factory.tensors import CheckpointError, Stored, Tensors, told

Shape = tuple[int, ...]
#: The parts of a quantised layer by their endings.
Parts = Mapping[str, Stored]

_FP8 = ("F8_E4M3", "F8_E5M2")


@dataclass(frozen=True)
class Form:
    """What one method stores of a linear layer.

    method: what people call it.
    libraries: names of the packages without which it is not loaded, as they are imported.
    weight: the ending of what holds the weight.
    dtypes: that it is then of; any where empty.
    beside: endings of what must lie beside it.
    also: endings of what may.
    shape: of the weight that they stand for, from the parts and the bits of one number.
    """

    method: str
    libraries: tuple[str, ...]
    weight: str
    dtypes: tuple[str, ...]
    beside: tuple[str, ...]
    also: tuple[str, ...]
    shape: Callable[[Parts, int], Shape]


def _as_stored(parts: Parts, bits: int) -> Shape:
    return parts["weight"].shape


def _nibbles(parts: Parts, bits: int) -> Shape:
    """[bytes, 1], two numbers each, whatever the type says that they are kept in; `stands_for`
    compares their count.
    """
    stored = parts["weight"]
    width = {"U8": 1, "F16": 2, "BF16": 2, "F32": 4}.get(stored.dtype, 1)
    return (prod(stored.shape) * width, 1)


def _awq(parts: Parts, bits: int) -> Shape:
    """[in, out bits / 32] of the form gemm, [out, in bits / 32] of gemv; scales [groups, out]."""
    packed, scales = parts["qweight"].shape, parts["scales"].shape
    wide = 32 // bits
    if packed[1] * wide == scales[-1]:
        return (scales[-1], packed[0])
    return (packed[0], packed[1] * wide)


def _gptq(parts: Parts, bits: int) -> Shape:
    """[in bits / 32, out]."""
    packed = parts["qweight"].shape
    return (packed[1], packed[0] * 32 // bits)


def _packed(parts: Parts, bits: int) -> Shape:
    """[out, in bits / width of the numbers that they are packed in]."""
    stored = parts["weight_packed"]
    width = 8 if stored.dtype == "U8" else 32
    return (*stored.shape[:-1], stored.shape[-1] * width // bits)


_COMPRESSED_ALSO = (
    "weight_shape",
    "weight_zero_point",
    "weight_g_idx",
    "weight_global_scale",
    "input_scale",
    "input_zero_point",
    "input_global_scale",
)
#: By transformers' names; a method may have two.
FORMS: dict[str, tuple[Form, ...]] = {
    "bitsandbytes_4bit": (
        Form(
            "bitsandbytes (4 bits)",
            ("bitsandbytes",),
            "weight",
            ("U8",),
            ("weight.absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__*"),
            ("weight.nested_absmax", "weight.nested_quant_map"),
            _nibbles,
        ),
    ),
    "bitsandbytes_8bit": (
        Form(
            "bitsandbytes (8 bits)",
            ("bitsandbytes",),
            "weight",
            ("I8",),
            ("SCB",),
            ("weight_format",),
            _as_stored,
        ),
    ),
    "awq": (Form("AWQ", ("gptqmodel",), "qweight", (), ("qzeros", "scales"), (), _awq),),
    "gptq": (
        Form(
            "GPTQ", ("optimum", "gptqmodel"), "qweight", (), ("qzeros", "scales"), ("g_idx",), _gptq
        ),
    ),
    "compressed-tensors": (
        Form(
            "compressed-tensors",
            ("compressed_tensors",),
            "weight_packed",
            (),
            ("weight_scale",),
            _COMPRESSED_ALSO,
            _packed,
        ),
        Form(
            "compressed-tensors",
            ("compressed_tensors",),
            "weight",
            ("I8", *_FP8),
            ("weight_scale",),
            _COMPRESSED_ALSO,
            _as_stored,
        ),
    ),
    # Loaded by transformers itself: see `actors.checkpoints`.
    "fp8": (Form("FP8", (), "weight", _FP8, (), (), _as_stored),),
}


def quantisation(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a `config.json` says of how its weights are quantised; None where they are not."""
    text = config.get("text_config")
    inner = text.get("quantization_config") if isinstance(text, Mapping) else None
    found = config.get("quantization_config") or inner
    return found if isinstance(found, Mapping) else None


def form_of(path: str, told_by: Mapping[str, Any]) -> tuple[str, tuple[Form, ...]]:
    """A quantisation's name, as transformers calls it, and its forms.

    Args:
        path: of the model, for messages.
        told_by: what its configuration says.

    Raises:
        CheckpointError: one whose tensors cannot be held against a model here.
    """
    method = str(told_by.get("quant_method"))
    if told_by.get("load_in_4bit"):
        method = "bitsandbytes_4bit"
    elif told_by.get("load_in_8bit"):
        method = "bitsandbytes_8bit"
    if method not in FORMS:
        raise CheckpointError(
            f"{path}: its weights are quantised by {method!r}, whose tensors cannot be held "
            f"against a model here; known: {', '.join(FORMS)}. Name the checkpoint that it was "
            "made of"
        )
    return method, FORMS[method]


def unquantised(path: str, told_by: Mapping[str, Any], tensors: Tensors) -> dict[str, Shape]:
    """The tensors that the checkpoint would have without its quantisation. What belongs to no
    quantised layer is as it was.

    Args:
        path: of the model, for messages.
        told_by: what its configuration says of its quantisation.
        tensors: as they are stored.

    Raises:
        CheckpointError: a layer lacks what its weight cannot be read without.
    """
    method, forms = form_of(path, told_by)
    if told_by.get("bnb_4bit_use_double_quant"):  # scales of scales, for every layer
        forms = tuple(replace(one, beside=(*one.beside, *one.also)) for one in forms)
    if method == "fp8":
        return _without_fp8(path, tensors)
    plain: dict[str, Shape] = {}
    used: set[str] = set()
    lacking: list[str] = []
    beneath = defaultdict(list)  # each layer's tensors; `weight.absmax` is two levels beneath it
    for name in tensors:
        layer = name.rpartition(".")[0]
        for one in {layer, layer.removesuffix(".quant_state").removesuffix(".weight")}:
            beneath[one].append(name)
    for form in forms:
        for layer in _layers(form, tensors):
            parts = _parts(form, layer, tensors, beneath[layer])
            used |= {f"{layer}.{ending}" for ending in parts}
            gone = [one for one in form.beside if not any(fnmatchcase(at, one) for at in parts)]
            lacking += [f"{layer}.{ending}" for ending in gone]
            if not gone:
                plain[f"{layer}.weight"] = form.shape(parts, _bits(told_by))
    _refuse(path, forms[0].method, lacking)
    rest = {name: one.shape for name, one in tensors.items() if name not in used}
    if method == "compressed-tensors":
        rest = {name: one for name, one in rest.items() if not name.endswith(_OF_CACHES)}
    return rest | plain


#: Scales of a quantised cache of keys and values, which is no part of a model here.
_OF_CACHES = (".k_scale", ".v_scale", ".q_scale")


def _without_fp8(path: str, tensors: Tensors) -> dict[str, Shape]:
    """A weight [out, in] or [experts, out, in] in FP8 beside its scales, one a block. Without them
    transformers would read it as it is stored, wrong by orders of magnitude.
    """
    lacking: list[str] = []
    torn: list[str] = []
    used: set[str] = set()
    for name, one in tensors.items():
        if one.dtype not in _FP8:
            continue
        layer, _, ending = name.rpartition(".")
        names = [f"{name}_scale_inv"]
        if ending == "weight":  # so DeepSeek-V4 and Mistral Large 4 call theirs
            names += [f"{layer}.scale", f"{layer}.qscale_weight"]
        scales = next((known for known in names if known in tensors), None)
        if scales is None:
            lacking.append(names[0])
            continue
        used |= {scales, f"{name}_activation_scale", f"{layer}.activation_scale"}
        grid = tensors[scales].shape[-2:]
        if len(grid) == 2 and any(
            side % blocks for side, blocks in zip(one.shape[-2:], grid, strict=True)
        ):
            torn.append(f"{name} {list(one.shape)} in blocks of {list(grid)}")
    _refuse(path, FORMS["fp8"][0].method, lacking)
    if torn:
        raise CheckpointError(f"{path}: {told(torn, 'of a size that their scales do not divide')}")
    return {name: one.shape for name, one in tensors.items() if name not in used}


def may_be_too_much(method: str, name: str, wanted: Collection[str]) -> bool:
    """Whether a tensor that the model has no place for belongs to an intact checkpoint all the
    same. The writers of GPTQ give every layer a bias, of zeros where the model has none; loaders
    leave it out.

    Args:
        method: as `form_of`.
        name: of the tensor.
        wanted: names of the model's tensors.
    """
    return method == "gptq" and name.endswith(".bias") and f"{name[:-4]}weight" in wanted


def stands_for(method: str, stored: Shape, wanted: Shape) -> bool:
    """Whether a tensor of another shape than its model's holds it packed: bitsandbytes keeps two
    numbers of 4 bits in a byte and all in one row, and packed integers may end in filling.
    """
    if method == "bitsandbytes_4bit":
        return len(stored) == 2 and stored[1] == 1 and 2 * stored[0] - prod(wanted) in (0, 1)
    if method in ("compressed-tensors", "gptq"):
        return stored[:-1] == wanted[:-1] and 0 <= stored[-1] - wanted[-1] < 32
    return False


def _layers(form: Form, tensors: Tensors) -> list[str]:
    """The layers whose weight is quantised: by its name, by its type, or by what lies beside it."""
    ending = f".{form.weight}"
    has_own_name = form.weight != "weight"
    return [
        name.removesuffix(ending)
        for name, one in tensors.items()
        if name.endswith(ending)
        and (has_own_name or one.dtype in form.dtypes or f"{name}.absmax" in tensors)
    ]


def _parts(form: Form, layer: str, tensors: Tensors, names: Sequence[str]) -> dict[str, Stored]:
    """What of a layer is of its quantised weight, by endings.

    Args:
        form: of the quantisation.
        layer: its name.
        tensors: of the checkpoint.
        names: of those that begin with the layer's name.
    """
    wanted = (form.weight, *form.beside, *form.also)
    endings = [name.removeprefix(f"{layer}.") for name in names]
    return {
        ending: tensors[f"{layer}.{ending}"]
        for ending in endings
        if any(fnmatchcase(ending, pattern) for pattern in wanted)
    }


def _bits(told_by: Mapping[str, Any]) -> int:
    """Of one packed number; 4 where the configuration does not say."""
    groups = told_by.get("config_groups") or {}
    every = [told_by, *[(one or {}).get("weights") or {} for one in groups.values()]]
    known = [one[key] for one in every for key in ("bits", "w_bit", "num_bits") if one.get(key)]
    return int(known[0]) if known else 4


def _refuse(path: str, method: str, lacking: Sequence[str]) -> None:
    if lacking:
        what = "missing, without which a weight in this form cannot be read"
        raise CheckpointError(
            f"{path}: its weights are quantised by {method}, and of these "
            f"{told(sorted(lacking), what)}. Fetch the checkpoint anew"
        )
