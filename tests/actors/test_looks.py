"""What a judge is shown of candidates: each as it is meant to be seen, and none spoils others."""

import io

import numpy as np
import pytest
from PIL import Image

from actors.judges.looks import look_at
from factory.judging.specification import DEFAULT
from factory.media.clips import describe, encode_clip
from factory.media.pictures import encode_png
from schemas.rows import Candidate, Media, Part, Prompt

PICTURES, CLIPS = DEFAULT.task("image_generation"), DEFAULT.task("video_generation")
GREY = np.full((16, 32, 3), 90, np.uint8)


def candidate(name: str, data: bytes, width: int = 1, height: int = 1) -> Candidate:
    return Candidate(name, "sketch@0", 0, Media(data, width, height))


def lying() -> bytes:
    """A picture of 32 × 16 pixels, to be seen in 16 × 32."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def animated() -> bytes:
    frames = [Image.new("RGB", (8, 8), (40 * at, 0, 0)) for at in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def test_each_candidate_fails_alone() -> None:
    candidates = [
        candidate("plain", encode_png(GREY)),
        candidate("wide", encode_png(np.zeros((8, 2010, 3), np.uint8))),
        candidate("lying", lying()),
        candidate("tall", encode_png(np.zeros((5000, 1, 3), np.uint8))),
        candidate("animated", animated()),
        candidate("empty", b""),
        candidate("clip", encode_clip(np.stack([GREY] * 2), 2.0)),
        candidate("single", encode_clip(GREY[None], 2.0)),
    ]
    looks, sides = look_at(Prompt.of("grey"), candidates, PICTURES)
    assert [look.frames.shape for look in looks] == [(1, 16, 32, 3), (1, 32, 16, 3), (1, 16, 32, 3)]
    assert [side.looks for side in sides] == [(0,), (), (1,), (), (), (), (), (2,)]
    errors = [str(side.error) for side in sides if side.error]
    assert errors[0].startswith("not shown: 2010 × 8 pixels: the longer side is 251.2 times")
    assert errors[1].startswith("not shown: 1 × 5000 pixels")
    assert "an animated WEBP of 3 frames" in errors[2]
    assert errors[3] == "broken media: cannot read a picture from 0 bytes: the file is empty"
    assert "a clip of 2 frames" in errors[4]


def test_a_clip_of_one_frame_is_shown_as_a_clip_where_clips_are_judged() -> None:
    one = describe(encode_clip(GREY[None], 2.0))
    candidates = [Candidate("a", "sketch@0", 0, one), candidate("b", encode_png(GREY))]
    looks, sides = look_at(Prompt.of("grey", "video_generation"), candidates, CLIPS)
    assert [look.frames.shape for look in looks] == [(4, 16, 32, 3)]
    assert looks[0].seconds == pytest.approx(0.5 / 4)
    assert "it is a PNG picture" in str(sides[1].error)


def test_a_question_about_what_cannot_be_shown_has_no_answer_judged() -> None:
    long = Media(encode_png(np.zeros((8, 2010, 3), np.uint8)), 2010, 8)
    prompt = Prompt.of_parts(
        [Part("question", media=long), Part("user", "?")], "image_understanding"
    )
    answers = [Candidate(one, "user", 0, answer=one) for one in ("yes", "no")]
    looks, sides = look_at(prompt, answers, PICTURES)
    assert looks == []
    assert all(str(side.error).startswith("not shown: 2010 × 8") for side in sides)
