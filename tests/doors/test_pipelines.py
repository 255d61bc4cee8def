"""Some tiny pipelines, one of each way to come out; `tests.doors.pipelines` prints them all."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.doors.pipelines import outcome
from tests.tiny.pipelines import PIPELINES, named, sd1_with_checker


@pytest.mark.parametrize(
    "name",
    [
        "FLUX.1 Kontext",
        "FLUX.2 klein",
        "Qwen-Image",
        "FLUX.1 Fill",
        "LTX-Video, image to video",
    ],
)
def test_it_is_drawn_or_refused_at_the_plan_and_fails_in_no_row(name: str, tmp_path: Path) -> None:
    tiny = named(name)
    found = outcome(tiny, tmp_path)
    assert (found.num_failed, found.error) == (0, None)
    assert (found.drawing == "drawn") == (tiny.refused is None)
    assert (tiny.refused or "drawn") in found.drawing
    assert (tiny.unaligned or "can be aligned") in found.alignment


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Qwen-Image-Edit", "its processor (Qwen2VLProcessor) cannot be loaded here: "),
        ("Wan 2.2, image to video", "cleans prompts by the package ftfy, which is not installed"),
    ],
)
def test_without_a_package_that_it_needs_it_is_refused_at_the_plan(
    name: str, said: str, tmp_path: Path
) -> None:
    tiny = named(name)
    if find_spec(str(tiny.needs)) is not None:
        pytest.skip(f"{tiny.needs} is installed")
    found = outcome(tiny, tmp_path)
    assert said in found.drawing
    assert str(tiny.needs) in found.drawing.lower()


def test_without_a_picture_in_any_prompt_a_pipeline_of_edits_is_refused(tmp_path: Path) -> None:
    tiny = named("LTX-Video, image to video")
    found = outcome(replace(tiny, has_source=False), tmp_path)
    assert "LTXImageToVideoPipeline starts from a picture, and no prompt of" in found.drawing


def test_what_a_stock_safety_checker_flags_is_an_error_of_its_candidate(tmp_path: Path) -> None:
    tiny = named("Stable Diffusion 1.5, with checker")
    found = outcome(replace(tiny, parts=lambda: sd1_with_checker(flags_all=True)), tmp_path)
    assert found.num_failed == 2
    assert str(found.error).startswith("nsfw_content_detected: ")


def test_more_than_twenty_classes_are_built() -> None:
    assert len({tiny.name for tiny in PIPELINES}) == len(PIPELINES)
    assert len({tiny.kind for tiny in PIPELINES}) > 20
