"""What a model directory's small files tell."""

import json
from pathlib import Path

import pytest

from factory.generator_kinds import check_alignable, generator_kind
from schemas.recipe import Align, Answering, GeneratorSpec

ALIGN = {"num_steps": 1, "batch_size": 1, "learning_rate": 1e-5}


def spec(path: Path, **changes: object) -> GeneratorSpec:
    return GeneratorSpec.model_validate({"path": str(path), **changes})


def check(path: Path, generator: dict | None = None, **align: object) -> None:
    check_alignable(
        str(path), spec(path, **(generator or {})), Align.model_validate({**ALIGN, **align})
    )


def pipeline(directory: Path, **parts: list) -> Path:
    named = "WanPipeline" if "transformer" in parts else "StableDiffusionPipeline"
    index = {"_class_name": named, **parts}
    (directory / "model_index.json").write_text(json.dumps(index))
    return directory


def test_a_directory_says_what_it_is_and_a_hub_name_is_what_the_recipe_says(tmp_path):
    drawing, answering, empty = (tmp_path / name for name in "abc")
    for directory in (drawing, answering, empty):
        directory.mkdir()
    pipeline(drawing)
    (answering / "config.json").write_text("{}")
    assert generator_kind(str(drawing), spec(drawing)) == "pipeline"
    assert generator_kind(str(answering), spec(answering)) == "answering"
    assert generator_kind("some/model", spec(Path("some/model"))) == "pipeline"
    asked = spec(Path("some/model"), answering={})
    assert generator_kind("some/model", asked) == "answering"
    with pytest.raises(ValueError, match=r"generator\.answering is for models that answer"):
        generator_kind(str(drawing), spec(drawing, answering={}))
    with pytest.raises(ValueError, match="no model: it has no model_index"):
        generator_kind(str(empty), spec(empty))


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, None),
        ({"transformer": ["diffusers", "WanTransformer3DModel"]}, None),
        (
            {
                "transformer": ["diffusers", "WanTransformer3DModel"],
                "transformer_2": [None, None],
            },
            None,
        ),
        (
            {
                "transformer": ["diffusers", "WanTransformer3DModel"],
                "transformer_2": ["diffusers", "WanTransformer3DModel"],
            },
            "two transformers",
        ),
        ({"transformer": ["diffusers", "Odd"]}, r"\(transformer: Odd\) cannot be aligned"),
        ({}, r"\(no model\) cannot be aligned"),
    ],
)
def test_a_pipeline_that_no_trainer_takes_is_refused(tmp_path, parts, fault):
    directory = pipeline(tmp_path, **parts)
    if fault is None:
        check(directory)
    else:
        with pytest.raises(ValueError, match=fault):
            check(directory)


def test_small_files_say_what_training_would_do_wrong(tmp_path):
    unet = ["diffusers", "UNet2DConditionModel"]
    parts = {"vae": ["diffusers", "AutoencoderKL"], "scheduler": ["diffusers", "DDIMScheduler"]}
    directory = pipeline(tmp_path, unet=unet, **parts)
    check(directory)
    for name, config, fault in (
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "predicts 'sample'"),
        ("vae/config.json", {"shift_factor": 0.1}, "has shift_factor, which StableDiffusion"),
    ):
        file = directory / name
        file.parent.mkdir()
        file.write_text(json.dumps(config))
        with pytest.raises(ValueError, match=f"^{directory}: .*{fault}"):
            check(directory)
        file.write_text("{}")
    with pytest.raises(ValueError, match=r"generator\.call: prompt_2: "):
        check(directory, {"call": {"prompt_2": "a cup"}})


def test_knobs_of_the_other_kind_are_refused(tmp_path):
    drawing, answering = tmp_path / "a", tmp_path / "b"
    drawing.mkdir()
    answering.mkdir()
    pipeline(drawing, unet=["diffusers", "UNet2DConditionModel"])
    (answering / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"align\.is_length_normalised is for answers"):
        check(drawing, is_length_normalised=True)
    with pytest.raises(ValueError, match=r"align\.timesteps is for diffusion"):
        check(answering, timesteps="sampler")
    with pytest.raises(ValueError, match=r"no chat template: say in generator\.answering"):
        check(answering)
    check(answering, {"answering": Answering(question="{media} {prompt}").model_dump()})
    (answering / "chat_template.jinja").write_text("")
    check(answering)
