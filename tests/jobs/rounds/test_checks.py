"""What a recipe trusts, and which revision it means, is said in plans and manifests, and holds for
one checkpoint alone.
"""

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from jobs.pipelines.judge_training import judge_task
from jobs.pipelines.models import (
    ENDPOINT,
    asked_as,
    generator_ref,
    given,
    judge_ref,
    named_judge,
)
from jobs.rounds.checks import check_model, prompts_file, trusted_checkpoints
from jobs.rounds.tracking import flatten, public_settings
from jobs.rounds.workspace import InputError, Round
from jobs.stages.align import STAGE as ALIGN
from jobs.stages.align import trainer
from jobs.stages.base import print_plan
from jobs.stages.evaluate import STAGE as EVALUATE
from jobs.stages.label import STAGE as LABEL
from jobs.stages.localise import STAGE as LOCALISE
from jobs.stages.produce import STAGE as PRODUCE
from jobs.stages.run import STAGES
from jobs.stages.train_judge import STAGE as TRAIN_JUDGE
from schemas.identity import identity
from schemas.recipe import Recipe
from schemas.recipe_file import load

BASE = "factory/sandbox/weights/base"
OTHER = "factory/sandbox/weights/base4"
HELDOUT = f"evaluate.heldout_judge={{path: {OTHER}, trust_remote_code: true}}"


def recipe(root: Path, *more: str) -> Recipe:
    return load("jobs/recipes/laptop.yaml", [f"root={root}", *more])


def test_off_changes_no_settings_and_on_is_in_those_of_each_stage_that_loads(
    tmp_path: Path,
) -> None:
    off = Round(recipe(tmp_path), 1)
    generator = Round(recipe(tmp_path, "generator.trust_remote_code=true"), 1)
    judge = Round(recipe(tmp_path, "judge.trust_remote_code=true"), 1)
    heldout = Round(recipe(tmp_path, HELDOUT), 1)
    for stage, wanted in (
        (LABEL, {"generator.trust_remote_code": generator}),
        (TRAIN_JUDGE, {"trust_remote_code": judge}),
        (
            PRODUCE,
            {"generator.trust_remote_code": generator, "judge_trust_remote_code": judge},
        ),
        (ALIGN, {"trust_remote_code": generator}),
        (
            EVALUATE,
            {
                "generator.trust_remote_code": generator,
                "evaluate.heldout_judge.trust_remote_code": heldout,
            },
        ),
    ):
        assert "trust_remote_code" not in str(identity(stage.settings(off)))
        for key, at in wanted.items():
            assert flatten(identity(stage.settings(at)))[key] == "true"
    assert flatten(public_settings(off.recipe))["judge.trust_remote_code"] == "false"
    assert flatten(public_settings(judge.recipe))["judge.trust_remote_code"] == "true"


def test_trust_reaches_the_loaders_of_the_section_that_has_it(tmp_path: Path) -> None:
    for key in ("generator", "judge"):
        made = recipe(tmp_path, f"{key}.trust_remote_code=true")
        assert judge_task(made).trust_remote_code == (key == "judge")
        assert judge_ref(Round(made, 1)).trust_remote_code == (key == "judge")
        aligned = trainer(made.generator.path, made, 4.0)
        assert aligned.trust_remote_code == (key == "generator")


def test_trust_in_one_checkpoint_is_none_in_another(tmp_path: Path) -> None:
    at = Round(recipe(tmp_path, "judge.trust_remote_code=true"), 1)
    assert named_judge(BASE, at)[0].trust_remote_code
    assert not named_judge(OTHER, at)[0].trust_remote_code
    line = "localise={name: judge-north, labels: l, num_steps: 1, batch_size: 1, learning_rate: 1}"
    on = "judge.trust_remote_code=true"
    local = Round(recipe(tmp_path, line, on), 1)
    assert LOCALISE.settings(local).trust_remote_code
    for said in (False, True):
        more = [f"localise.parent={OTHER}", f"localise.trust_remote_code={str(said).lower()}"]
        settings = LOCALISE.settings(Round(recipe(tmp_path, line, on, *more), 1))
        assert settings.trust_remote_code is said


def test_a_plan_names_what_is_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(recipe(tmp_path), STAGES)
    assert "warning" not in capsys.readouterr().out
    trusting = recipe(tmp_path, "generator.trust_remote_code=true", HELDOUT)
    print_plan(trusting, STAGES)
    said = capsys.readouterr().out
    for key, path in (
        ("generator", trusting.generator.path),
        ("evaluate.heldout_judge", OTHER),
    ):
        line = f"warning: {key}.trust_remote_code is on: code that comes with {path} is run"
        assert line in said
    assert len(trusted_checkpoints(trusting)) == 2


COMMIT = "c" * 40
HUB = f"judge={{path: org/judge, revision: {COMMIT}}}"


def test_a_revision_of_a_directory_is_refused_by_name(tmp_path: Path) -> None:
    for key in ("generator", "judge", "evaluate.heldout_judge"):
        heldout = f"evaluate.heldout_judge={{path: {OTHER}}}"
        with pytest.raises(InputError, match=rf"^{key}\.revision: factory/sandbox/.*leave it out"):
            print_plan(recipe(tmp_path, heldout, f"{key}.revision=main"), STAGES)


def test_a_revision_is_in_settings_and_reaches_what_loads_and_no_other_checkpoint(
    tmp_path: Path,
) -> None:
    drawing = f"generator={{path: org/draws, revision: {COMMIT}}}"
    at, off = Round(recipe(tmp_path, HUB, drawing), 1), Round(recipe(tmp_path), 1)
    for stage in (TRAIN_JUDGE, ALIGN, PRODUCE, LABEL, EVALUATE):
        assert "revision" not in str(identity(stage.settings(off)))
    for stage, key in (
        (TRAIN_JUDGE, "revision"),
        (ALIGN, "revision"),
        (PRODUCE, "generator.revision"),
        (LABEL, "generator.revision"),
        (EVALUATE, "generator.revision"),
    ):
        assert flatten(identity(stage.settings(at)))[key] == COMMIT
    assert judge_task(at.recipe).revision == COMMIT
    assert trainer("org/draws", at.recipe, 4.0).revision == COMMIT
    assert trainer("factory/sandbox/weights/generator", at.recipe, 4.0).revision is None
    assert generator_ref(given(at.recipe.generator), at).weights == f"hub:org/draws@{COMMIT}"
    assert asked_as("org/judge", at.recipe).revision == COMMIT
    assert asked_as("org/other", at.recipe).revision is None


def test_who_is_known_by_name_alone_needs_a_revision(tmp_path: Path) -> None:
    def weights(*more: str) -> list[str | None]:
        asked = "specification: unifiedreward-qwen2.5-vl"
        endpoint = f"evaluate.endpoint={{url: http://h/v1, model: big, {asked}}}"
        made = recipe(tmp_path, endpoint, "generator={path: 'tests.stubs:StubGenerator'}", *more)
        at = Round(made, 1)
        return [
            named_judge(ENDPOINT, at)[0].weights,
            generator_ref(given(made.generator), at).weights,
        ]

    assert weights() == [None, None]
    assert weights("evaluate.endpoint.revision=2026-05", "generator.revision=v3") == [
        "endpoint:big@2026-05",
        "code:tests.stubs:StubGenerator@v3",
    ]


def test_a_hubs_name_is_resolved_by_the_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--org--fetched"
    for name in (f"snapshots/{COMMIT}", "refs"):
        (repository / name).mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    check_model("org/fetched", "config.json", "judge.path")
    with pytest.raises(InputError, match=r"^judge\.path: org/fetched .* no commit of v9 "):
        check_model("org/fetched", "config.json", "judge.path", "v9")


def test_prompts_that_look_the_same_are_told_and_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p.txt"
    path.write_text("a caf\u00e9\na boat\na cafe\u0301\n", encoding="utf-8")
    assert len(prompts_file(str(path), "produce.prompts", recipe(tmp_path))) == 3
    assert f"produce.prompts: {path}: 1 row(s) look the same" in caplog.text
    assert "as rows 1 and 3 do" in caplog.text


def small_files(directory: Path, name: str, **files: object) -> Path:
    """Of a pipeline of this class, without weights."""
    for file, content in {"model_index": {"_class_name": name}, **files}.items():
        path = directory / f"{file}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    return directory


def test_a_plan_holds_the_call_against_the_pipelines_signature(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"transformer/config": {"guidance_embeds": False}}
    path = small_files(tmp_path / "qwen", "QwenImagePipeline", **told)
    at = f"generator.path={path}"
    print_plan(recipe(tmp_path, at), ["draw"])
    note = "note: generator.guidance_scale: does nothing in QwenImagePipeline"
    assert note in capsys.readouterr().out
    print_plan(recipe(tmp_path, at, "generator.call={negative_prompt: ' '}"), ["draw"])
    assert "note" not in capsys.readouterr().out
    for call, fault in (
        ("{true_cfg: 4}", r"no argument `true_cfg` \(it has true_cfg_scale\)"),
        ("{width: 64}", r"`width` by generator\.width: leave generator\.call\.width out"),
        ("{true_cfg_scale: high}", "takes float as `true_cfg_scale`"),
    ):
        with pytest.raises(InputError, match=rf"^generator: QwenImagePipeline .*{fault}"):
            print_plan(recipe(tmp_path, at, f"generator.call={call}"), ["draw"])
    also = f"produce.also=[{{path: {path}, name: qwen, call: {{true_cfg: 4}}}}]"
    with pytest.raises(InputError, match=r"^produce\.also\.0: QwenImagePipeline has no argument"):
        print_plan(recipe(tmp_path, also), ["draw"])


def test_a_plan_says_what_to_do_about_weights_of_another_form(tmp_path: Path) -> None:
    path = small_files(tmp_path / "sd", "StableDiffusionPipeline", **{"unet/config": {}})
    at = f"generator.path={path}"
    weights = path / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    weights.touch()
    with pytest.raises(InputError, match="variant fp16 alone: say `variant: fp16`"):
        print_plan(recipe(tmp_path, at), ["draw"])
    print_plan(recipe(tmp_path, at, "generator.variant=fp16"), ["draw"])
    weights.rename(path / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(
        InputError, match=r"as \.bin alone.*use_safetensors=False\)\.save_pretrained"
    ):
        print_plan(recipe(tmp_path, at), ["draw"])


def test_a_plan_refuses_to_align_what_it_would_train_wrongly(tmp_path: Path) -> None:
    parts = {"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", _UNET]}
    files = {"model_index": parts, "vae/config": {"shift_factor": 0.1}}
    parts["vae"] = ["diffusers", "AutoencoderKL"]
    path = small_files(tmp_path / "xl", "", **files)
    with pytest.raises(InputError, match="has shift_factor, which StableDiffusionXLPipeline does"):
        print_plan(recipe(tmp_path, f"generator.path={path}"), ["align"])


_UNET = "UNet2DConditionModel"
