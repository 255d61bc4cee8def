"""Recipes against signatures: classes with the arguments of diffusers' own, without any weights."""

# ruff: noqa: RUF013 -- signatures as diffusers writes them

import re
import sys
from typing import Any

import pytest

from actors.calling import (
    CallError,
    call_arguments,
    check_call,
    frames_argument,
    guidance_notes,
    needs_picture,
)
from schemas.recipe import GeneratorSpec

Picture = list | tuple


class Plain:
    def __call__(
        self,
        prompt: str | list[str] = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        negative_prompt: str | list[str] | None = None,
        guidance_rescale: float = 0.0,
        generator: Any = None,
        prompt_embeds: Any = None,
        output_type: str = "pil",
        clip_skip: int | None = None,
        use_binning: bool = True,
    ): ...


class Guided:
    """As Qwen-Image."""

    def __call__(
        self,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        true_cfg_scale: float = 4.0,
        width: int | None = None,
        num_inference_steps: int = 50,
        guidance_scale: float | None = None,
    ): ...


class Distilled:
    def __call__(self, prompt: str, width: int = 8, distilled_guidance_scale: float = 3.25): ...


class Clips:
    def __call__(self, prompt: str = None, frames: int = 81, width: int = 8): ...


class ImageToVideo:
    def __call__(self, image: Picture, prompt: str = None, num_frames: int = 81): ...


class Free:
    """As Flux.1 Kontext."""

    def __call__(self, image: Picture | None = None, prompt: str = None, width: int = 8): ...


class Img2Img:
    def __call__(self, prompt: str = None, image: Picture = None): ...


class ImageEdit:
    """Whatever its signature says, it cannot do without."""

    def __call__(self, image: Picture | None = None, prompt: str = None, width: int = 8): ...


class Inpaint:
    def __call__(
        self, prompt: str = None, image: Picture | None = None, mask_image: Picture | None = None
    ): ...


class VideoToVideo:
    def __call__(self, video: Picture = None, prompt: str = None, width: int = 8): ...


class MayHaveVideo:
    def __call__(self, prompt: str = None, video: Picture | None = None, num_frames: int = 8): ...


class Conditioned:
    """As LTX-Video from 0.9.5: any of the three will do, or none."""

    def __call__(
        self,
        conditions: Any = None,
        image: Picture = None,
        video: Picture = None,
        prompt: str = None,
        num_frames: int = 8,
    ): ...


class PicturesEdit:
    def __call__(self, images: Picture = None, prompt: str = None, width: int = 8): ...


class Absent:
    """As diffusers' classes of which a package is missing."""

    _backends = ("torch", "sentencepiece")

    def __init__(self, *args: Any, **kwargs: Any): ...

    def __call__(self, *args: Any, **kwargs: Any): ...


class Decoder:
    def __call__(self, image_embeddings: Any, prompt: str = None, width: int = 8): ...


class Sound:
    def __call__(self, prompt: str = None, audio_length_in_s: float = 5.0): ...


class OfPictures:
    def __call__(self, image: Picture, width: int = 8): ...


class SomePriorPipeline:
    def __call__(self, prompt: str, width: int = 8): ...


def spec(**given: Any) -> GeneratorSpec:
    return GeneratorSpec(path="x", **given)


def test_what_fits_passes() -> None:
    call = {"negative_prompt": "blurry", "guidance_rescale": 1, "clip_skip": None}
    check_call(Plain, spec(width=64, guidance_scale=3.0, call=call))
    check_call(Plain, spec(call={"negative_prompt": None, "use_binning": False}))
    check_call(Clips, spec(num_frames=5))
    for kind in (ImageToVideo, Free, Img2Img, MayHaveVideo, Distilled, ImageEdit, Conditioned):
        check_call(kind, spec())  # guidance and steps are those of nobody's choice


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (Inpaint, "needs `mask_image`"),
        (VideoToVideo, "needs `video`"),
        (Decoder, "needs `image_embeddings`"),
        (Sound, "draws no picture or clip"),
        (SomePriorPipeline, "draws no picture or clip"),
        (OfPictures, "takes no `prompt`"),
        (PicturesEdit, "starts from pictures that nothing here can give it"),
        (Absent, "needs packages that are not all installed here: torch, sentencepiece"),
    ],
)
def test_a_pipeline_that_cannot_draw_here_is_refused(kind: type, fault: str) -> None:
    with pytest.raises(CallError, match=f"^generator: {kind.__name__} {fault}"):
        check_call(kind, spec())


@pytest.mark.parametrize(
    ("kind", "given", "fault"),
    [
        (Plain, {"call": {"guidance_rescal": 1.0}}, r"`guidance_rescal` \(it has guidance_rescale"),
        (Plain, {"call": {"true_cfg": 1.0}}, "no argument `true_cfg`: change also.0.call.true_cfg"),
        (Plain, {"call": {"width": 64}}, "`width` by also.0.width: leave also.0.call.width out"),
        (Plain, {"call": {"prompt": "x"}}, "`prompt` by the prompts file"),
        (Plain, {"call": {"image": "x"}}, "`image` by a part of role `source`"),
        (Plain, {"call": {"num_images_per_prompt": 2}}, "by produce.num_candidates"),
        (Plain, {"call": {"output_type": "pil"}}, "`output_type` by the factory"),
        (Plain, {"call": {"prompt_embeds": [1.0]}}, "tensors or functions as `prompt_embeds`"),
        (
            Plain,
            {"call": {"guidance_rescale": "much"}},
            "takes float as `guidance_rescale`",
        ),
        (
            Plain,
            {"call": {"guidance_rescale": True}},
            "takes float as `guidance_rescale`",
        ),
        (Plain, {"call": {"negative_prompt": ["a"]}}, "one text for all candidates as `negative_"),
        (Plain, {"call": {"use_binning": 1}}, "takes bool as `use_binning`, not 1"),
        (Plain, {"call": {"clip_skip": 1.5}}, r"takes int \| None as `clip_skip`, not 1.5"),
        (Plain, {"num_frames": 8}, "takes no num_frames: leave also.0.num_frames out"),
        (Img2Img, {"width": 64}, "takes no width: leave also.0.width out"),
        (
            Distilled,
            {"guidance_scale": 3.0},
            r"takes no guidance_scale \(it has distilled_guidance_scale\): leave",
        ),
    ],
)
def test_a_call_that_a_pipeline_does_not_take_is_refused(
    kind: type, given: dict[str, Any], fault: str
) -> None:
    with pytest.raises(CallError, match=fault):
        check_call(kind, spec(**given), "also.0")


def test_a_pipeline_whose_module_calls_what_it_could_not_import_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def basic_clean(text: str) -> str:
        return ftfy.fix_text(text)  # type: ignore[name-defined]  # noqa: F821

    module = sys.modules[__name__]
    monkeypatch.setattr(module, "basic_clean", basic_clean, raising=False)
    with pytest.raises(CallError, match="Plain cleans prompts by the package ftfy, which is not"):
        check_call(Plain, spec())
    monkeypatch.setattr(module, "ftfy", object(), raising=False)
    check_call(Plain, spec())


def test_signatures_say_what_a_pipeline_starts_from_and_makes() -> None:
    kinds = (Plain, ImageToVideo, Free, Img2Img, ImageEdit, Conditioned)
    starting = [kind for kind in kinds if needs_picture(kind)]
    assert starting == [ImageToVideo, Img2Img, ImageEdit]
    lengths = [frames_argument(kind) for kind in (Plain, Clips, ImageToVideo)]
    assert lengths == [None, "frames", "num_frames"]


def test_each_candidate_of_a_batch_has_its_texts() -> None:
    call = {"negative_prompt": "blurry", "prompt_2": "a cup", "sigmas": [1.0], "mode": "x"}
    assert call_arguments(call, 2) == {
        "negative_prompt": ["blurry"] * 2,
        "prompt_2": ["a cup"] * 2,
        "sigmas": [1.0],
        "mode": "x",
    }


@pytest.mark.parametrize(
    ("kind", "call", "is_distilled", "note"),
    [
        (Plain, {}, None, None),
        (Guided, {}, True, None),  # its model is told of the guidance
        (Guided, {"negative_prompt": " "}, False, None),  # 4 without being asked for
        (Guided, {"true_cfg_scale": 4, "negative_prompt": " "}, False, None),
        (Guided, {}, False, "guidance_scale: does nothing in Guided, whose model is not told"),
        (Guided, {"true_cfg_scale": 4}, False, "guidance_scale: does nothing"),
        (Guided, {"true_cfg_scale": 4}, True, "does nothing in Guided without a negative_prompt"),
        (
            Guided,
            {"true_cfg_scale": 1, "negative_prompt": " "},
            True,
            "negative_prompt: does nothing in Guided with true_cfg_scale 1",
        ),
        (Distilled, {}, None, r"takes none, and is called without \(it has distilled_guidance"),
    ],
)
def test_guidance_that_does_nothing_is_told(
    kind: type, call: dict[str, Any], is_distilled: bool | None, note: str | None
) -> None:
    notes = guidance_notes(kind, spec(call=call), is_distilled, "generator")
    assert len(notes) == (note is not None)
    if note is not None:
        assert re.search(note, notes[0])
