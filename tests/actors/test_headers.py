"""What is read of a checkpoint that is not loaded: small files, names and shapes of tensors."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from actors.headers import HeaderError, read_shapes, read_small, read_tensors
from actors.weights import WeightsError

COMMIT = "c" * 40
ONE, TWO = {"a.weight": np.zeros((2, 3))}, {"b.weight": np.zeros((4,))}


def write_shards(directory: Path) -> None:
    save_file(ONE, directory / "model-1.safetensors", {"format": "pt"})
    save_file(TWO, directory / "model-2.safetensors")
    names = {"a.weight": "model-1.safetensors", "b.weight": "model-2.safetensors"}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def test_tensors_are_those_of_all_files(tmp_path: Path) -> None:
    save_file(ONE | TWO, tmp_path / "model.safetensors")
    whole = read_shapes(str(tmp_path))
    assert whole == {"a.weight": (2, 3), "b.weight": (4,)}
    write_shards(tmp_path)
    (tmp_path / "model-2.safetensors").unlink()
    assert read_shapes(str(tmp_path)) == whole  # as transformers: one file comes before an index
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(HeaderError, match=r"names model-2\.safetensors, which is not there: 1 "):
        read_shapes(str(tmp_path))
    write_shards(tmp_path)
    assert read_shapes(str(tmp_path)) == whole
    assert read_tensors(str(tmp_path))["a.weight"].dtype == "F64"


_HEADER = (2).to_bytes(8, "little")


@pytest.mark.parametrize("data", [b"", b"\x05", b"\xff" * 64, _HEADER + b"[]", _HEADER + b"{"])
def test_what_is_no_safetensors_file_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(HeaderError, match=r"model\.safetensors: is no safetensors file"):
        read_shapes(str(tmp_path))


@pytest.mark.parametrize("index", ["{", "[]", '{"weight_map": []}'])
def test_an_index_that_cannot_be_read_is_named(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(HeaderError, match=r"index\.json: cannot be read"):
        read_shapes(str(tmp_path))


def test_of_the_hub_the_cache_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Hub:
        def open(self, name: str, mode: str) -> Any:
            asked.append(name)
            if name.endswith("away.json"):
                raise ConnectionError("no route")
            if not name.endswith("there.json"):
                raise FileNotFoundError(name)
            return io.BytesIO(b"told")

    monkeypatch.setattr("huggingface_hub.HfFileSystem", Hub)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--org--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_bytes(b"here")
    assert read_small("org/name", "config.json", COMMIT) == b"here"
    assert asked == []
    assert read_small("org/name", "there.json", COMMIT) == b"told"
    assert read_small("org/name", "judge.json", COMMIT) is None
    assert asked == [f"org/name@{COMMIT}/{file}" for file in ("there.json", "judge.json")]
    with pytest.raises(WeightsError, match=r"away\.json is not on this machine, and the"):
        read_small("org/name", "away.json", COMMIT)
