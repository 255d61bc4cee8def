"""What pipelines are called with: a text, and the picture that an edit starts from."""

from pathlib import Path

import numpy as np
import pytest

from actors.generators import DiffusersGenerator
from actors.pipeline_files import pipeline_class, pipeline_files
from factory.media.clips import describe
from factory.media.pictures import decode, encode_png
from schemas.recipe import GeneratorSpec
from schemas.rows import Part, Prompt


def edit(grey: int) -> Prompt:
    source = describe(encode_png(np.full((32, 32, 3), grey, np.uint8)))
    return Prompt.of_parts([Part("source", media=source), Part("user", "a red circle")])


@pytest.fixture(scope="module")
def editing(sandbox_pipeline: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's parts, untrained, in a pipeline that starts from a picture."""
    from diffusers import StableDiffusionImg2ImgPipeline

    directory = tmp_path_factory.mktemp("pipeline") / "edit"
    StableDiffusionImg2ImgPipeline.from_pretrained(sandbox_pipeline).save_pretrained(directory)
    return directory


def test_an_edit_starts_from_its_source(editing: Path) -> None:
    found = pipeline_class(pipeline_files(str(editing)))
    assert found is not None
    assert found.__name__ == "StableDiffusionImg2ImgPipeline"
    generator = DiffusersGenerator(str(editing), "g@0", GeneratorSpec(path="x", guidance_scale=1.0))
    dark, bright = (generator.generate(edit(grey), [1, 2]) for grey in (0, 255))
    assert [one.error for one in (*dark, *bright)] == [None] * 4
    ids = {one.candidate_id for one in (*dark, *bright)}
    assert len(ids) == 4
    pixels = [decode(one.media.data) for one in (*dark, *bright) if one.media is not None]
    assert not np.array_equal(pixels[0], pixels[1])  # each by its own seed
    assert not np.array_equal(pixels[0], pixels[2])  # and from its own source


def test_a_pipeline_of_texts_refuses_what_it_would_leave_out(sandbox_pipeline: str) -> None:
    generator = DiffusersGenerator(sandbox_pipeline, "g@0", GeneratorSpec(path="x"))
    (failed,) = generator.generate(edit(0), [1])
    assert failed.error is not None
    assert "StableDiffusionPipeline does not take a source picture" in failed.error
