"""Checkpoints that are not what they say, and quantised ones that are: what the plan says of each.

    a tiny checkpoint of a real family -> one kind of damage -> the four doors through which weights
    come in (a judge, the base of one that is trained, a policy, and one that is trained)

Each must be refused there with the names of what is wrong, before a row, a GPU or a byte of the
weights is used: of the files of weights only the headers are read, and transformers opens none of
them, which is counted; without a model there is nothing that a row could be used for. Quantised
checkpoints are written in the forms of the libraries from zeros (FP8 from the weights themselves):
their headers are what is looked at.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import modeling_utils

from actors import headers
from jobs.pipelines.judge_backends import check_checkpoint
from jobs.rounds.checks import check_generator
from jobs.rounds.workspace import InputError
from schemas.recipe import Answering, GeneratorSpec, JudgeSpec, Recipe
from tests.tiny.spelt import save_llava_onevision

Tensors = dict[str, torch.Tensor]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
#: Linear layers of the language model, which quantisation changes.
_LINEAR = re.compile(r".*language_model\..*layers\.\d+\..*_proj\.weight")
_WORDS = "{media}{prompt} answer:"


@dataclass(frozen=True)
class Damage:
    """A kind of damage.

    does: it to a directory with an intact checkpoint; `beside` is a folder for what else it needs.
    says: a pattern that the plan's message must match.
    """

    does: Callable[[Path, Path], None]
    says: str


# -------------------------------------------------------------------------------- kinds of damage


def _changed(change: Callable[[Tensors], Tensors]) -> Callable[[Path, Path], None]:
    def apply(directory: Path, beside: Path) -> None:
        tensors = change(load_file(directory / WEIGHTS))
        save_file(tensors, directory / WEIGHTS, {"format": "pt"})

    return apply


def _thirteen_gone(tensors: Tensors) -> Tensors:
    gone = sorted(name for name in tensors if "language_model" in name)[:13]
    return {name: one for name, one in tensors.items() if name not in gone}


def _with_a_head(tensors: Tensors) -> Tensors:
    return tensors | {"rm_head.weight": torch.zeros(1, 64), "rm_head.bias": torch.zeros(1)}


def _of_another_shape(tensors: Tensors) -> Tensors:
    name = next(name for name in tensors if name.endswith("q_proj.weight"))
    return tensors | {name: torch.zeros(8, *tensors[name].shape[1:])}


def _config(**changed: Any) -> Callable[[Path, Path], None]:
    def apply(directory: Path, beside: Path) -> None:
        path = directory / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))

    return apply


def _sharded(directory: Path) -> dict[str, str]:
    """The weights in two files and an index; returns which tensor is in which."""
    tensors = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    half = len(tensors) // 2
    where: dict[str, str] = {}
    for number, names in enumerate((list(tensors)[:half], list(tensors)[half:]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, directory / file, {"format": "pt"})
        where |= dict.fromkeys(names, file)
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where


def _without_a_shard(directory: Path, beside: Path) -> None:
    _sharded(directory)
    (directory / "model-00002-of-00002.safetensors").unlink()


def _index_of_more(directory: Path, beside: Path) -> None:
    where = _sharded(directory)
    first = where[next(iter(where))]
    more = {**where, "model.language_model.layers.2.mlp.up_proj.weight": first}
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": more}))


def _one_tensor_twice(directory: Path, beside: Path) -> None:
    where = _sharded(directory)
    name, file = next(iter(where.items()))
    other = next(one for one in where.values() if one != file)
    tensors = load_file(directory / other) | {name: load_file(directory / file)[name]}
    save_file(tensors, directory / other, {"format": "pt"})


def _truncated(directory: Path, beside: Path) -> None:
    data = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes(data[: len(data) - 4096])


def _pickles(name: str) -> Callable[[Path, Path], None]:
    def apply(directory: Path, beside: Path) -> None:
        torch.save(load_file(directory / WEIGHTS), directory / name)
        (directory / WEIGHTS).unlink()

    return apply


def _adapter(base: Callable[[Path, Path], str | None]) -> Callable[[Path, Path], None]:
    """An adapter of two layers in the directory's place, of the base that is named."""

    def apply(directory: Path, beside: Path) -> None:
        named = base(directory, beside)
        whole = load_file(directory / WEIGHTS)
        adapters: Tensors = {}
        for name in sorted(one for one in whole if one.endswith("q_proj.weight"))[-2:]:
            out, into = whole[name].shape
            layer = f"base_model.model.{name.removesuffix('.weight')}"
            adapters[f"{layer}.lora_A.weight"] = torch.zeros(4, into)
            adapters[f"{layer}.lora_B.weight"] = torch.zeros(out, 4)
        shutil.rmtree(directory)
        directory.mkdir()
        told = {"peft_type": "LORA", "r": 4, "base_model_name_or_path": named}
        (directory / "adapter_config.json").write_text(json.dumps(told))
        save_file(adapters, directory / "adapter_model.safetensors", {"format": "pt"})

    return apply


def _its_base(directory: Path, beside: Path) -> str:
    return str(shutil.copytree(directory, beside / "base"))


def _another_base(directory: Path, beside: Path) -> str:
    base = Path(_its_base(directory, beside))
    tensors = load_file(base / WEIGHTS)
    smaller = {
        name: one[: len(one) // 2].clone() if name.endswith("q_proj.weight") else one
        for name, one in tensors.items()
    }
    save_file(smaller, base / WEIGHTS, {"format": "pt"})
    return str(base)


DAMAGES: dict[str, Damage] = {
    "13 tensors missing": Damage(
        _changed(_thirteen_gone), r"13 tensor\(s\) are missing and would be filled at random \(\S+,"
    ),
    "a regression head that the class lacks": Damage(
        _changed(_with_a_head), r"2 tensor\(s\) are of no use .* \(rm_head\.bias, rm_head\.weight\)"
    ),
    "a tensor of another shape": Damage(
        _changed(_of_another_shape), r"1 tensor\(s\) are of another shape .*q_proj\.weight \[8, "
    ),
    "an adapter that names no base": Damage(
        _adapter(lambda *_: None), r"an adapter without its base"
    ),
    "an adapter whose base is not there": Damage(
        _adapter(lambda _, beside: str(beside / "nowhere")), r"an adapter of \S+nowhere, which is"
    ),
    "an adapter on another base": Damage(
        _adapter(_another_base),
        r"not the one that it was made of: \d tensors fit none \(base",
    ),
    "an adapter with its base": Damage(_adapter(_its_base), r"is there and fits.*merge_and_unload"),
    "`llava` of LLaVA's own code": Damage(
        _config(model_type="llava", architectures=["LlavaLlamaForCausalLM"]),
        r"weights are of LlavaLlamaForCausalLM, and a \w+ of model type|of LlavaLlamaForCausalLM",
    ),
    "llava_qwen": Damage(
        _config(model_type="llava_qwen", architectures=["LlavaQwenForCausalLM"]), r"llava_qwen"
    ),
    "a shard that is not there": Damage(
        _without_a_shard, r"names model-00002-of-00002\.safetensors, which is not there"
    ),
    "an index of tensors that no file holds": Damage(
        _index_of_more, r"names what no file holds: 1 tensor\(s\) are missing \(\S+layers\.2"
    ),
    "a tensor in two files": Damage(_one_tensor_twice, r"1 tensor\(s\) are in model-00002"),
    "a truncated file": Damage(_truncated, r"bytes long and its header says \d+: \d+ tensor\(s\)"),
    "pickles alone (.bin)": Damage(
        _pickles("pytorch_model.bin"),
        r"pytorch_model\.bin: pickles|as \.bin alone, which are",
    ),
    "pickles alone (.pt)": Damage(_pickles("judge.pt"), r"judge\.pt: pickles"),
}

# ------------------------------------------------------------------------------------ quantised


def quantise(directory: Path, form: str) -> None:
    """Turn a checkpoint's linear layers into the form of a library; its numbers are kept by FP8
    alone.

    Args:
        directory: of the checkpoint.
        form: one of `QUANTISED`.
    """
    tensors = load_file(directory / WEIGHTS)
    for name in [one for one in tensors if _LINEAR.fullmatch(one)]:
        layer = name.removesuffix(".weight")
        parts = _FORMS[form](tensors.pop(name))
        tensors |= {f"{layer}.{ending}": one for ending, one in parts.items()}
    save_file(tensors, directory / WEIGHTS, {"format": "pt"})
    _config(quantization_config=QUANTISED[form])(directory, directory)


def _bits4(weight: torch.Tensor) -> Tensors:
    num = weight.numel()
    return {
        "weight": torch.zeros((num + 1) // 2, 1, dtype=torch.uint8),
        "weight.absmax": torch.zeros(num // 64, dtype=torch.uint8),
        "weight.quant_map": torch.zeros(16),
        "weight.nested_absmax": torch.zeros(1),
        "weight.nested_quant_map": torch.zeros(256),
        "weight.quant_state.bitsandbytes__nf4": torch.zeros(90, dtype=torch.uint8),
    }


def _bits8(weight: torch.Tensor) -> Tensors:
    return {
        "weight": torch.zeros(weight.shape, dtype=torch.int8),
        "SCB": torch.zeros(len(weight)),
        "weight_format": torch.zeros((), dtype=torch.uint8),
    }


def _awq(weight: torch.Tensor) -> Tensors:
    out, into = weight.shape
    return {
        "qweight": torch.zeros(into, out // 8, dtype=torch.int32),
        "qzeros": torch.zeros(into // 32, out // 8, dtype=torch.int32),
        "scales": torch.zeros(into // 32, out, dtype=torch.float16),
    }


def _gptq(weight: torch.Tensor) -> Tensors:
    out, into = weight.shape
    return {
        "qweight": torch.zeros(into // 8, out, dtype=torch.int32),
        "qzeros": torch.zeros(into // 32, out // 8, dtype=torch.int32),
        "scales": torch.zeros(into // 32, out, dtype=torch.float16),
        "g_idx": torch.zeros(into, dtype=torch.int32),
        "bias": torch.zeros(out, dtype=torch.float16),  # also where the model has none
    }


def _fp8(weight: torch.Tensor) -> Tensors:
    """In blocks of 16 x 16, the largest number of each at FP8's largest, 448."""
    out, into = weight.shape
    blocks = weight.reshape(out // 16, 16, into // 16, 16)
    scales = blocks.abs().amax(dim=(1, 3)) / 448
    scaled = blocks / scales[:, None, :, None]
    return {
        "weight": scaled.reshape(out, into).to(torch.float8_e4m3fn),
        "weight_scale_inv": scales,
    }


def _packed(weight: torch.Tensor) -> Tensors:
    out, into = weight.shape
    return {
        "weight_packed": torch.zeros(out, into // 8, dtype=torch.int32),
        "weight_scale": torch.zeros(out, into // 32, dtype=torch.bfloat16),
        "weight_shape": torch.zeros(2, dtype=torch.int64),
    }


def _floats(weight: torch.Tensor) -> Tensors:
    return {
        "weight": torch.zeros(weight.shape, dtype=torch.float8_e4m3fn),
        "weight_scale": torch.zeros(len(weight), 1, dtype=torch.bfloat16),
    }


_FORMS: dict[str, Callable[[torch.Tensor], Tensors]] = {
    "bitsandbytes, 4 bits": _bits4,
    "bitsandbytes, 8 bits": _bits8,
    "AWQ": _awq,
    "GPTQ": _gptq,
    "FP8": _fp8,
    "compressed-tensors, packed": _packed,
    "compressed-tensors, FP8": _floats,
}


def _compressed(form: str, **weights: Any) -> dict[str, Any]:
    return {
        "quant_method": "compressed-tensors",
        "format": form,
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": {"symmetric": True, **weights}}
        },
        "ignore": ["lm_head", "re:.*vision_tower.*", "re:.*multi_modal_projector.*"],
    }


#: `quantization_config` of each form.
QUANTISED: dict[str, dict[str, Any]] = {
    "bitsandbytes, 4 bits": {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "load_in_8bit": False,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    },
    "bitsandbytes, 8 bits": {
        "quant_method": "bitsandbytes",
        "load_in_4bit": False,
        "load_in_8bit": True,
    },
    "AWQ": {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm"},
    "GPTQ": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False},
    "FP8": {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [16, 16],
        "modules_to_not_convert": ["vision_tower", "multi_modal_projector", "lm_head"],
    },
    "compressed-tensors, packed": _compressed(
        "pack-quantized", num_bits=4, type="int", strategy="group", group_size=32
    ),
    "compressed-tensors, FP8": _compressed(
        "float-quantized", num_bits=8, type="float", strategy="channel"
    ),
}

# ---------------------------------------------------------------------------------------- doors


def _recipe(path: str) -> Recipe:
    spec = {"path": path, "answering": {"question": _WORDS}}
    return Recipe.model_validate({"name": "damaged", "root": "nowhere", "generator": spec})


def _policy(path: str, *, is_trained: bool) -> None:
    spec = GeneratorSpec(path=path, answering=Answering(question=_WORDS))
    check_generator(spec, _recipe(path), is_trained=is_trained)


#: What the plans of stages call before anything else of a model that they are to load.
DOORS: dict[str, Callable[[str], None]] = {
    "judge": lambda path: check_checkpoint(JudgeSpec(path=path)),
    "judge that is trained": lambda path: check_checkpoint(JudgeSpec(path=path), is_trained=True),
    "policy": lambda path: _policy(path, is_trained=False),
    "policy that is trained": lambda path: _policy(path, is_trained=True),
}


@contextmanager
def counted() -> Iterator[dict[str, int]]:
    """Within, the bytes that are read of safetensors files: of headers, and of weights; and how
    many of these files transformers opens to load them.
    """
    read = {"headers": 0, "weights": 0, "loaded": 0}
    opened, loading = headers._open, modeling_utils.safe_open

    def watched(path: str, file: str, commit: str | None) -> Any:
        found = opened(path, file, commit)
        if found is None or not file.endswith(".safetensors"):
            return found
        plain, ends = found.read, [8]

        def reading(size: int = -1) -> bytes:
            begin = found.tell()
            data = plain(size)
            if begin == 0:
                ends[0] = 8 + int.from_bytes(data[:8], "little")
            within = max(0, min(begin + len(data), ends[0]) - begin)
            read["headers"] += within
            read["weights"] += len(data) - within
            return bytes(data)

        return _Watched(found, reading)

    def load(*given: Any, **named: Any) -> Any:
        read["loaded"] += 1
        return loading(*given, **named)

    headers._open = watched
    modeling_utils.safe_open = load
    try:
        yield read
    finally:
        headers._open = opened
        modeling_utils.safe_open = loading


class _Watched:
    """A file whose `read` is another."""

    def __init__(self, file: Any, read: Callable[[int], bytes]) -> None:
        self._file, self.read = file, read

    def __enter__(self) -> _Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def refusal(door: str, path: Path) -> str | None:
    """What a door says of a checkpoint; None where it lets it in."""
    try:
        DOORS[door](str(path))
    except InputError as error:
        return str(error)
    return None


def figures(save: Callable[[Path], None] = save_llava_onevision) -> dict[str, object]:
    """Every kind of damage and of quantisation before every door.

    Args:
        save: writes an intact checkpoint to a directory.
    """
    damages: dict[str, object] = {}
    quantised: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder, counted() as read:
        intact = Path(folder) / "intact"
        save(intact)
        lets_in = {door: refusal(door, intact) for door in DOORS}
        for kind, damage in DAMAGES.items():
            directory, beside = _copy(intact, folder)
            damage.does(directory, beside)
            said = {door: refusal(door, directory) for door in DOORS}
            damages[kind] = {
                "refused": sum(
                    one is not None and re.search(damage.says, one) is not None
                    for one in said.values()
                ),
                "of": len(said),
                "message": str(said["judge"]).replace(folder, "…"),
            }
        for form in QUANTISED:
            directory, _ = _copy(intact, folder)
            quantise(directory, form)
            told = {door: refusal(door, directory) for door in ("judge", "policy that is trained")}
            quantised[form] = {
                name: None if one is None else one.replace(folder, "…")
                for name, one in told.items()
            }
    return {
        "intact": lets_in,
        "damages": damages,
        "quantised": quantised,
        "bytes read of headers": read["headers"],
        "bytes read of weights": read["weights"],
        "files of weights loaded": read["loaded"],
    }


def _copy(intact: Path, folder: str) -> tuple[Path, Path]:
    beside = Path(tempfile.mkdtemp(dir=folder))
    return shutil.copytree(intact, beside / "model"), beside
