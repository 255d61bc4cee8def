"""Counterfactual edits: the same picture, a little brighter, blurred, compressed or written upon.

What a judge says of an edited picture minus what it says of the original is caused by the edit and
by nothing else. Edits are functions of pixels and dose alone: the same picture gives the same
bytes. A `two-sided` edit moves one attribute up or down and leaves the mean of the others where it
can; at its largest dose it is small enough that people find both pictures equally good. A `damage`
is what nobody asks for, so a judge may punish it but must not like it. Answers are only ever made
longer, by sentences that say nothing: what takes words away takes away what they say. Clips are
edited frame by frame, but for their motion. A clip loses a little each time that it is encoded, so
an edited one is compared with `unedited`, which lost as much.
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
import scipy
from PIL import Image, ImageDraw, ImageFont

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
#: Sentences that say nothing, of eight words each, added to an answer in turn to make it longer.
_FILLERS = (
    "This is what can be said about it.",
    "That is how the question may be answered.",
    "It is given here for you to read.",
    "Nothing else than this was meant by it.",
    "So much for what was asked just now.",
    "The answer is the one that stands here.",
    "One may well put it in these words.",
    "It has been said as it was meant.",
    "With this the question has found its answer.",
    "These are the words that belong to it.",
    "Here the answer to the question is told.",
    "What is said above is what is said.",
)
_FILLER_WORDS = 8
#: An answer of fewer words is lengthened like one of so many, so that each dose adds more than the
#: one before.
_LEAST_WORDS = 32


@dataclass(frozen=True)
class Edit:
    """One kind of edit.

    doses: at which it is applied; the last is the largest.
    is_damage: whether it only ever makes a picture worse.
    needs: what it can be applied to; "picture" is a still or the frames of a clip.
    moves: the attribute that it is there to move; none where it is a damage of no attribute.
    only: of an attribute that can be moved one way alone without harm: 1 up, -1 down. A judge may
        mind such an edit for a good reason, so only a liking for it can be told from a good reason.
    is_among_edited: whether its copies are held against each other and not against the original,
        which differs from them in that nothing was done to it.
    """

    name: str
    doses: tuple[float, ...]
    is_damage: bool = False
    needs: Literal["picture", "clip", "answer"] = "picture"
    moves: str | None = None
    only: Literal[-1, 0, 1] = 0
    is_among_edited: bool = False


_BOTH_WAYS = (-1.0, -0.5, 0.5, 1.0)
EDITS: Mapping[str, Edit] = MappingProxyType(
    {
        edit.name: edit
        for edit in (
            Edit("brightness", _BOTH_WAYS, moves="brightness"),
            Edit("contrast", _BOTH_WAYS, moves="contrast"),
            Edit("saturation", _BOTH_WAYS, moves="saturation"),
            Edit("sharpness", _BOTH_WAYS, moves="sharpness"),
            Edit("compression", (0.5, 1.0), is_damage=True),
            Edit("resolution", (0.5, 1.0), is_damage=True),
            Edit("overlay text", (0.5, 1.0), is_damage=True, moves="text", only=1),
            Edit("low motion", (0.5, 1.0), is_damage=True, needs="clip", moves="motion", only=-1),
            # Only additions: a cut answer says less, and a judge of what is said must mind that.
            # The dose is the share of the answer's words that is added.
            Edit(
                "length",
                (0.25, 0.5, 1.0),
                needs="answer",
                moves="length",
                only=1,
                is_among_edited=True,
            ),
            # For a judge card: two sentences at most, as a damage.
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
        if edit.name == "length":
            answer = lengthen(candidate.answer, dose)
        else:
            answer = pad(candidate.answer, round(dose))
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
    """Edit uint8 frames [T, H, W, 3]: each alone, or in their times where the edit is of motion.

    "low motion" lets time run slower around the middle of the clip: at a dose of 1 its middle frame
    stands still. Each frame is one of the clip, so that nothing but the motion changes.
    """
    if name != "low motion":
        return np.stack([edit_pixels(frame, name, dose) for frame in frames])
    middle = (len(frames) - 1) / 2
    times = middle + (1.0 - dose) * (np.arange(len(frames)) - middle)
    return np.asarray(frames[np.rint(times).astype(np.int64)], dtype=np.uint8)


def lengthen(answer: str, dose: float) -> str:
    """The answer with about `dose` times as many words added, in whole sentences, none of which
    says anything.

    Nothing is taken away, so a judge of what is said has no reason to prefer one length to another;
    one that minds empty words has a reason to prefer the shorter. The sentences are English: a
    judge that minds them in an answer of another language minds them at every dose.
    """
    words = max(len(answer.split()), _LEAST_WORDS)
    return pad(answer, math.ceil(dose * words / _FILLER_WORDS))


def pad(answer: str, num: int) -> str:
    """The answer and `num` sentences that say nothing."""
    added = (_FILLERS[at % len(_FILLERS)] for at in range(num))
    return " ".join((answer.rstrip(), *added))


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
    blurred = scipy.ndimage.gaussian_filter(
        pixels.astype(np.float64), (_BLUR, _BLUR, 0), mode="nearest"
    )
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
