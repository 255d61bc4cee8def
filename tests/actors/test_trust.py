"""Code that comes with a checkpoint is run where the recipe says so, and nowhere else."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.drawing import candidate_ids
from actors.generators import load_generator
from actors.judges import TransformersJudge
from actors.refs import GeneratorRef, JudgeRef
from actors.trainers.answers import AnswerDPO
from actors.trainers.diffusion import DiffusionDPO
from actors.trainers.judge import JudgeTask
from actors.trust import UntrustedCodeError
from factory.alignment.losses import Objective
from factory.judging.specification import DEFAULT
from schemas.identity import identity
from schemas.recipe import Answering, GeneratorSpec, JudgeSpec
from schemas.recipe_file import load
from schemas.rows import Prompt

RECIPE = load("jobs/recipes/laptop.yaml")
JUDGE, PIPELINE = RECIPE.judge.path, RECIPE.generator.path
CPU = torch.device("cpu")
ASKING = Answering(question="question : {prompt} answer :", answer_end=".")
#: What each loader loads: the policy and what goes with it.
LOADERS = {
    "pipeline": (PIPELINE, ["DiffusionPipeline"]),
    "answerer": (JUDGE, ["AutoProcessor", "AutoModelForImageTextToText"]),
    "judge": (JUDGE, ["AutoModelForImageTextToText", "AutoImageProcessor", "AutoTokenizer"]),
    "training of a pipeline": (PIPELINE, ["DiffusionPipeline"]),
    "training of an answerer": (JUDGE, ["AutoProcessor", "AutoModelForImageTextToText"]),
    "training of a judge": (
        JUDGE,
        ["AutoModelForImageTextToText", "AutoImageProcessor", "AutoTokenizer"],
    ),
}


def load_by(name: str, path: str, is_on: bool, out: Path) -> None:
    """Load what `path` holds as one of `LOADERS` does."""
    spec = GeneratorSpec(path=path, trust_remote_code=is_on)
    asked = GeneratorSpec(path=path, answering=ASKING, trust_remote_code=is_on)
    judge = JudgeSpec(path=path, trust_remote_code=is_on)
    if name == "pipeline":
        GeneratorRef(path, "g@0", spec).load()
    elif name == "answerer":
        GeneratorRef(path, "g@0", asked).load()
    elif name == "judge":
        JudgeRef.of(judge, path, "j@0").load()
    elif name == "training of a pipeline":
        task = DiffusionDPO(path, Objective(2000.0), trust_remote_code=is_on)
        task.build(CPU, torch.float32)
    elif name == "training of an answerer":
        AnswerDPO(path, Objective(0.1), ASKING, trust_remote_code=is_on).build(CPU, torch.float32)
    else:
        made = JudgeTask(path, DEFAULT, 0.5, trust_remote_code=is_on).build(CPU, torch.float32)
        made.save(out)


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What each loading class was told, in order, by everything that loads from here on."""
    import diffusers
    import transformers

    found: list[tuple[str, Any]] = []
    for module, name in (
        (diffusers, "DiffusionPipeline"),
        (transformers, "AutoModelForImageTextToText"),
        (transformers, "AutoProcessor"),
        (transformers, "AutoImageProcessor"),
        (transformers, "AutoTokenizer"),
    ):
        kind = getattr(module, name)
        real = kind.from_pretrained

        def record(path: str, *, _name: str = name, _real: Any = real, **given: Any) -> Any:
            found.append((_name, given.get("trust_remote_code", "not said")))
            return _real(path, **given)

        monkeypatch.setattr(kind, "from_pretrained", record)
    return found


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("is_on", [False, True], ids=["off", "on"])
def test_every_loader_is_told_and_says_so_where_it_is_on(
    name: str,
    is_on: bool,
    passed: list[tuple[str, Any]],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    path, classes = LOADERS[name]
    with caplog.at_level(logging.WARNING, "preference_factory"):
        load_by(name, path, is_on, tmp_path)
    # A processor loads its parts by classes of this list too, and tells them.
    assert {one for one, _ in passed} >= set(classes)
    assert {told for _, told in passed} == {is_on}
    said = [one.getMessage() for one in caplog.records if "trust_remote_code" in one.getMessage()]
    assert [path in one for one in said] == [True] * is_on


CODE = """
from pathlib import Path
from transformers import LlavaConfig, LlavaForConditionalGeneration

Path({marker!r}).write_text("the checkpoint's code was here")

class Config(LlavaConfig):
    pass

class Model(LlavaForConditionalGeneration):
    config_class = Config
"""


def test_a_checkpoints_own_code_runs_only_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.dynamic_module_utils as modules

    monkeypatch.setattr(modules, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    directory, marker = tmp_path / "judge", tmp_path / "marker"
    shutil.copytree(JUDGE, directory)
    (directory / "extra.py").write_text(CODE.format(marker=str(marker)))
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": "extra.Config",
        "AutoModelForImageTextToText": "extra.Model",
    }
    (directory / "config.json").write_text(json.dumps(config))

    off = TransformersJudge(str(directory), "j@0")
    assert type(off.model).__module__.startswith("transformers.models.")
    assert not marker.exists()
    on = JudgeRef.of(
        JudgeSpec(path=str(directory), trust_remote_code=True), str(directory), "j@0"
    ).load()
    assert marker.read_text() == "the checkpoint's code was here"
    assert isinstance(on, TransformersJudge)
    assert type(on.model).__name__ == "Model"


def test_a_checkpoint_that_needs_its_own_code_is_refused_by_the_name_of_the_knob(
    tmp_path: Path,
) -> None:
    config = {"model_type": "unheard_of", "auto_map": {"AutoConfig": "extra.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "extra.py").write_text("raise SystemExit")
    with pytest.raises(UntrustedCodeError, match="trust_remote_code: true beside this path"):
        load_generator(str(tmp_path), "g@0", GeneratorSpec(path=str(tmp_path), answering=ASKING))


def test_off_leaves_no_trace_in_ids_and_on_does() -> None:
    spec = RECIPE.generator
    assert "trust_remote_code" not in identity(spec)
    on = spec.model_copy(update={"trust_remote_code": True})
    assert identity(on)["trust_remote_code"] is True
    prompt = Prompt.of("a cup")
    assert candidate_ids("g@0", on, prompt, [1]) != candidate_ids("g@0", spec, prompt, [1])
    ref = JudgeRef.of(RECIPE.judge, JUDGE, "j@0")
    assert replace(ref, trust_remote_code=True) != ref
