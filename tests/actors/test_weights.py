"""What tells one model from another: its files wherever they lie, a hub's commit, a revision."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from actors import weights
from actors.drawing import candidate_ids
from actors.refs import GeneratorRef, JudgeRef
from actors.weights import WeightsError, commit_of, model_weights, onnx_weights
from schemas.recipe import GeneratorSpec, JudgeSpec
from schemas.rows import Prompt

JUDGE = "factory/sandbox/weights/base"
GENERATOR = "factory/sandbox/weights/generator"
NAME, MAIN, OLD = "org/model", "a" * 40, "b" * 40


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A pipeline that is a judge too, in some thousand bytes."""
    made = tmp_path / "there" / "model@1"
    (made / "scheduler").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json", "merges.txt", "chat_template.jinja"):
        (made / name).write_bytes(name.encode() * 200)
    for name in ("config.json", "generation_config.json", "scheduler/scheduler_config.json"):
        (made / name).write_text(json.dumps({"size": 2, "_name_or_path": "runs/one/model@0"}))
    return made


def test_a_model_is_the_same_wherever_it_lies(model: Path, tmp_path: Path) -> None:
    before = model_weights(str(model))
    assert before is not None
    assert len(before) == 32
    copied = shutil.copytree(model, tmp_path / "elsewhere")
    config = copied / "config.json"
    config.write_text(config.read_text().replace("runs/one", "s3://bucket"))
    assert model_weights(str(copied)) == before


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "calibration.json",
        "judge.json",
        "verdict_rules.json",
        "scalar.json",
        "conversion.json",
        "opinions.parquet",
        "curves.json",
        "findings.json",
        "README.md",
        ".started.json",
        ".cache/huggingface/download.json",
        "judge.onnx",
    ],
)
def test_what_is_only_said_of_a_model_does_not_count(model: Path, name: str) -> None:
    before = model_weights(str(model))
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_text("something")
    assert model_weights(str(model)) == before


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "tokenizer.json",
        "merges.txt",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "scheduler/scheduler_config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "adapter_config.json",
    ],
)
def test_whatever_is_loaded_counts(model: Path, name: str) -> None:
    before = model_weights(str(model))
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_text('{"size": 3}')
    assert model_weights(str(model)) != before


def test_the_last_byte_of_a_large_file_counts_and_no_file_is_read_twice(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_PIECE", 100)
    read: list[int] = []
    hash_piece = weights._hash_piece
    monkeypatch.setattr(
        weights, "_hash_piece", lambda path, at: read.append(at) or hash_piece(path, at)
    )
    before = model_weights(str(model))
    num = len(read)
    assert num > 30
    assert model_weights(str(model)) == before
    assert len(read) == num
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    assert model_weights(str(model)) != before


def test_each_form_of_a_light_judge_is_another_model(model: Path) -> None:
    for name in ("judge.onnx", "judge-int8.onnx"):
        (model / name).write_text(name)
    first, second = (onnx_weights(str(model), one) for one in ("judge.onnx", "judge-int8.onnx"))
    assert first != second
    assert first == onnx_weights(str(model), "judge.onnx")
    (model / "tokenizer.json").write_text("another")
    assert first != onnx_weights(str(model), "judge.onnx")


def test_nothing_is_known_of_what_is_not_there() -> None:
    assert model_weights("runs/none/models/judge@1") is None
    assert onnx_weights("runs/none", "judge.onnx") is None


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What was fetched of a hub's repository: its main branch, and an older commit."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit_of.cache_clear()
    repository = tmp_path / "models--org--model"
    for commit in (MAIN, OLD):
        (repository / "snapshots" / commit).mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(MAIN)
    return tmp_path


def test_a_hub_name_is_known_by_its_commit(hub_cache: Path) -> None:
    assert model_weights(NAME) == f"hub:{NAME}@{MAIN}"
    assert model_weights(NAME, OLD) == f"hub:{NAME}@{OLD}"
    elsewhere = "c" * 40  # a whole commit needs nobody who knows it
    assert model_weights(NAME, elsewhere) == f"hub:{NAME}@{elsewhere}"
    for name, revision in ((NAME, "v2"), ("org/other", None)):
        with pytest.raises(WeightsError, match="give the full commit as `revision`"):
            model_weights(name, revision)


def test_the_hub_is_asked_first_and_the_cache_where_it_is_out_of_reach(
    hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Info:
        sha = "d" * 40

    asked = []
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(
        huggingface_hub, "model_info", lambda name, **more: asked.append(more) or Info()
    )
    assert commit_of(NAME, "v2") == commit_of(NAME, "v2") == Info.sha
    assert [one["revision"] for one in asked] == ["v2"]

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub, "model_info", fail)
    assert commit_of(NAME) == MAIN
    with pytest.raises(WeightsError, match="no route"):
        commit_of("org/other")


def test_a_hubs_model_is_loaded_at_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import DiffusionPipeline

    fetched = []
    load = DiffusionPipeline.from_pretrained

    def load_here(path: str, *, revision: str, **more: object) -> object:
        fetched.append((path, revision))
        return load(GENERATOR, **more)

    def fetch(path: str, *, revision: str, **_: object) -> str:
        fetched.append((path, revision))
        return JUDGE

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", load_here)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    pinned = f"hub:{NAME}@{OLD}"
    GeneratorRef(NAME, "generator@0", GeneratorSpec(path=NAME), pinned).load()
    JudgeRef.of(JudgeSpec(path=NAME), NAME, "judge@0", pinned).load()
    assert fetched == [(NAME, OLD)] * 2


def test_a_revision_is_in_ids_and_its_absence_is_not() -> None:
    prompt, given = Prompt.of("a red circle"), {"path": NAME}
    plain, none, other = (
        candidate_ids("g@0", GeneratorSpec(**one), prompt, [1])
        for one in (given, {**given, "revision": None}, {**given, "revision": "v2"})
    )
    assert plain == none != other
