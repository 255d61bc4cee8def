"""Counterfactual edits: the same picture, a little brighter, blurred, compressed or written upon.

What a judge says of an edited picture minus what it says of the original is caused by the edit and
by nothing else. Edits are functions of pixels and dose alone: the same picture gives the same
bytes. A `two-sided` edit moves one attribute up or down and leaves the mean of the others where it
can; at its largest dose it is small enough that people find both pictures equally good. A `damage`
is what nobody asks for, so a judge may punish it but must not like it. Answers are edited in their
length. Clips are edited frame by frame, but for their motion. A clip loses a little each time that
it is encoded, so an edited one is compared with `unedited`, which lost as much.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from factory.media.clips import Frames, is_clip, read_clip, write_clip
from factory.media.pictures import Pixels, decode, encode_png, luma
from schemas.rows import Candidate, Media

#: Frames of a clip that are edited, evenly over its time: a judge is shown fewer.
MAX_FRAMES = 16
#: What an edit at dose 1 does.
BRIGHTER = 30.0  # levels of 255, added to each channel
CONTRAST = 0.35  # logarithm of the factor by which lightness departs from its mean
SATURATION = 0.5  # logarithm of the factor by which colours depart from grey
SHARPER = 0.8  # share of the difference from the blurred picture that is added
_BLUR = 1.0  # px
_QUALITY = (60, 15)  # of JPEG at doses 0 and 1
_SMALLER = 2.0  # factor by which the sides shrink before they are enlarged again
_TEXT = "SALE 50% OFF"
_TEXT_WIDTH = 0.8  # share of the picture's width
#: A sentence that says nothing, added to an answer to make it longer.
_FILLER = " This is what can be said about it."


@dataclass(frozen=True)
class Edit:
    """One kind of edit.

    doses: at which it is applied; the last is the largest.
    is_damage: whether it only ever makes a picture worse.
    needs: what it can be applied to; "picture" is a still or the frames of a clip.
    """

    name: str
    doses: tuple[float, ...]
    is_damage: bool = False
    needs: Literal["picture", "clip", "answer"] = "picture"


_BOTH_WAYS = (-1.0, -0.5, 0.5, 1.0)
EDITS: Mapping[str, Edit] = MappingProxyType(
    {
        edit.name: edit
        for edit in (
            Edit("brightness", _BOTH_WAYS),
            Edit("contrast", _BOTH_WAYS),
            Edit("saturation", _BOTH_WAYS),
            Edit("sharpness", _BOTH_WAYS),
            Edit("compression", (0.5, 1.0), is_damage=True),
            Edit("resolution", (0.5, 1.0), is_damage=True),
            Edit("overlay text", (0.5, 1.0), is_damage=True),
            Edit("low motion", (0.5, 1.0), is_damage=True, needs="clip"),
            Edit("length", (-1.0, 1.0, 2.0), needs="answer"),
            # Only additions: a cut answer says less, and a judge of what is said must mind that.
            Edit("padding", (1.0, 2.0), is_damage=True, needs="answer"),
        )
    }
)


def edit_candidate(candidate: Candidate, edit: Edit, dose: float) -> Candidate | None:
    """The candidate with its media or its answer edited; None where the edit does not apply.

    An understanding task's media belongs to the question, so only its answer is edited.

    Raises:
        MediaError: the media cannot be decoded.
    """
    name = f"{candidate.candidate_id} {edit.name} {dose:+g}"
    if candidate.error is not None:
        return None
    if candidate.answer is not None:
        if edit.needs != "answer":
            return None
        answer = edit_answer(candidate.answer, dose)
        return replace(candidate, candidate_id=name, answer=answer, measures=None)
    media = candidate.media
    if media is None or edit.needs == "answer":
        return None
    if edit.needs == "clip" and media.num_frames == 1:
        return None
    if is_clip(media.data):
        frames = edit_frames(read_clip(media, MAX_FRAMES), edit.name, dose)
        clip = write_clip(frames, media)
        return replace(candidate, candidate_id=name, media=clip, measures=None)
    pixels = edit_pixels(decode(media.data), edit.name, dose)
    height, width, _ = pixels.shape
    picture = Media(encode_png(pixels), width, height)
    return replace(candidate, candidate_id=name, media=picture, measures=None)


def unedited(candidate: Candidate) -> Candidate:
    """What an edited candidate is to be compared with: the same candidate, a clip encoded again.

    Raises:
        MediaError: the clip cannot be decoded.
    """
    media = candidate.media
    if candidate.error is not None or candidate.answer is not None or media is None:
        return candidate
    if not is_clip(media.data):
        return candidate
    clip = write_clip(read_clip(media, MAX_FRAMES), media)
    return replace(candidate, media=clip, measures=None)


def edit_pixels(pixels: Pixels, name: str, dose: float) -> Pixels:
    """Edit uint8 pixels [H, W, 3].

    Raises:
        KeyError: no edit of a still has this name.
    """
    return _PIXELS[name](pixels, dose)


def edit_frames(frames: Frames, name: str, dose: float) -> Frames:
    """Edit uint8 frames [T, H, W, 3]: each alone, or all together where the edit is of motion.

    "low motion" draws every frame towards the mean of all: at a dose of 1 nothing moves.
    """
    if name != "low motion":
        return np.stack([edit_pixels(frame, name, dose) for frame in frames])
    still = frames.mean(axis=0, keepdims=True)
    return _levels(frames + dose * (still - frames))


def edit_answer(answer: str, dose: float) -> str:
    """A longer answer that says no more, or one without its last sentence (dose below zero).

    An answer of a single sentence loses its second half instead.
    """
    if dose >= 0:
        return answer.rstrip() + _FILLER * round(dose)
    sentences = answer.rstrip().rstrip(".").split(". ")
    if len(sentences) > 1:
        return ". ".join(sentences[:-1]) + "."
    words = answer.split()
    return " ".join(words[: max(1, len(words) // 2)])


def blank(media: Media) -> Media:
    """A picture or a clip of one grey, of the same size.

    The probe of a judge that does not look: whatever it says of this, it did not see.
    """
    grey = np.full((media.height, media.width, 3), 128, dtype=np.uint8)
    if media.num_frames > 1 or media.fps > 0:
        return write_clip(np.stack([grey] * min(media.num_frames, MAX_FRAMES)), media)
    return Media(encode_png(grey), media.width, media.height)


# --- edits of pixels -----------------------------------------------------------------------------


def _brightness(pixels: Pixels, dose: float) -> Pixels:
    return _levels(pixels + BRIGHTER * dose)


def _contrast(pixels: Pixels, dose: float) -> Pixels:
    light = 255.0 * luma(pixels)
    shift = (math.exp(CONTRAST * dose) - 1.0) * (light - light.mean())
    return _levels(pixels + shift[..., None])


def _saturation(pixels: Pixels, dose: float) -> Pixels:
    grey = 255.0 * luma(pixels)[..., None]
    return _levels(grey + math.exp(SATURATION * dose) * (pixels - grey))


def _sharpness(pixels: Pixels, dose: float) -> Pixels:
    blurred = ndimage.gaussian_filter(pixels.astype(np.float64), (_BLUR, _BLUR, 0), mode="nearest")
    return _levels(pixels + SHARPER * dose * (pixels - blurred))


def _compression(pixels: Pixels, dose: float) -> Pixels:
    best, worst = _QUALITY
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=round(best + (worst - best) * dose))
    return decode(buffer.getvalue())


def _resolution(pixels: Pixels, dose: float) -> Pixels:
    height, width, _ = pixels.shape
    factor = 1.0 + (_SMALLER - 1.0) * dose
    small = Image.fromarray(pixels).resize(
        (max(1, round(width / factor)), max(1, round(height / factor))), Image.Resampling.BOX
    )
    return np.asarray(small.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)


def _overlay_text(pixels: Pixels, dose: float) -> Pixels:
    """Words across the lower edge, white on a dark band; the dose is their opacity."""
    height, width, _ = pixels.shape
    font = ImageFont.load_default_imagefont()  # a bitmap, the same on every machine
    left, top, right, bottom = (round(edge) for edge in font.getbbox(_TEXT))
    line = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(line).text((-left, -top), _TEXT, fill=255, font=font)
    wide = max(1, round(_TEXT_WIDTH * width))
    tall = max(2, min(height, round(wide * line.height / line.width)))
    words = np.asarray(line.resize((wide, tall), Image.Resampling.BOX), dtype=np.float64)
    x, y = (width - wide) // 2, height - tall
    edited = pixels.astype(np.float64)
    band = edited[y : y + tall, x : x + wide]
    edited[y : y + tall, x : x + wide] += dose * (words[..., None] - band)
    return _levels(edited)


def _levels(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


_PIXELS: Mapping[str, Callable[[Pixels, float], Pixels]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "sharpness": _sharpness,
    "compression": _compression,
    "resolution": _resolution,
    "overlay text": _overlay_text,
}
