"""Encodings: today's bytes by default, others by name, and none for what it does not fit."""

import numpy as np
import pytest
from pydantic import ValidationError

from factory.media.clips import decode_clip, encode_clip
from factory.media.encoding import EncodingError, check_encoding, encode, is_exact
from factory.media.pictures import MediaError, decode, encode_png
from schemas.identity import identity, spelled_out
from schemas.recipe import Encoding, GeneratorSpec
from schemas.rows import Media

RNG = np.random.default_rng(0)
FRAMES = np.repeat(np.repeat(RNG.integers(0, 256, (6, 4, 6, 3), np.uint8), 16, 1), 16, 2)
PICTURE = FRAMES[0]


def of(**knobs: object) -> Encoding:
    return Encoding.model_validate(knobs)


def test_by_default_bytes_and_identity_are_what_they_were() -> None:
    assert encode(PICTURE, 6.0, Encoding()) == Media(encode_png(PICTURE), 96, 64)
    assert encode(FRAMES, 6.0, Encoding()) == Media(encode_clip(FRAMES, 6.0), 96, 64, 6, 6.0)
    assert encode(FRAMES, 6.0, of(format="h264")) == encode(FRAMES, 6.0, Encoding())
    assert identity(GeneratorSpec(path="p")) == identity(GeneratorSpec(path="q", encoding=of()))
    assert "encoding" not in identity(GeneratorSpec(path="p"))
    assert spelled_out(GeneratorSpec(path="p"))["encoding"] == {
        "format": None,
        "quality": None,
        "crf": None,
    }
    asked = GeneratorSpec(path="p", encoding=of(format="webp", quality=80))
    assert identity(asked)["encoding"] == {"format": "webp", "quality": 80}


@pytest.mark.parametrize(
    ("knobs", "start", "most_off"),
    [
        ({"format": "png"}, b"\x89PNG", 0),
        ({"format": "webp-lossless"}, b"RIFF", 0),
        ({"format": "jpeg"}, b"\xff\xd8\xff", 4),
        ({"format": "webp"}, b"RIFF", 12),
    ],
)
def test_a_picture_comes_back_as_near_as_its_format_says(
    knobs: dict[str, object], start: bytes, most_off: float
) -> None:
    medium = encode(PICTURE, 6.0, of(**knobs))
    assert medium == encode(PICTURE, 6.0, of(**knobs))
    assert medium.data.startswith(start)
    off = np.abs(decode(medium.data).astype(int) - PICTURE).mean()
    assert off <= most_off
    assert bool(off == 0) is (most_off == 0) is is_exact(PICTURE, of(**knobs))


@pytest.mark.parametrize(("kind", "most_off"), [("h264", 4), ("av1", 14)])
def test_a_clip_is_smaller_by_a_larger_rate_factor(kind: str, most_off: float) -> None:
    assert not is_exact(FRAMES, of(format=kind))
    medium = encode(FRAMES, 6.0, of(format=kind))
    assert medium == encode(FRAMES, 6.0, of(format=kind))
    assert np.abs(decode_clip(medium.data, 6).astype(int) - FRAMES).mean() < most_off
    assert len(encode(FRAMES, 6.0, of(format=kind, crf=50)).data) < len(medium.data)


def test_less_quality_is_fewer_bytes() -> None:
    for kind in ("jpeg", "webp"):
        sizes = [
            len(encode(PICTURE, 1.0, of(format=kind, quality=one)).data) for one in (30, 60, 90)
        ]
        assert sizes == sorted(set(sizes))


def test_what_is_told_says_how_bytes_came_about() -> None:
    told = [of(), of(format="png"), of(format="jpeg"), of(format="webp", quality=75)]
    assert [one.told() for one in told] == [
        "png or h264 crf 12",
        "png",
        "jpeg quality 90",
        "webp quality 75",
    ]
    assert of(format="av1").told() == "av1 crf 20"
    assert of(format="h264", crf=0).told() == "h264 crf 0"


def test_a_format_for_something_else_is_refused_before_and_while_drawing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for encoding in (of(), of(format="jpeg")):
        check_encoding(encoding, {"image_generation"}, "generator.encoding")
    check_encoding(of(format="av1"), {"video_generation"}, "generator.encoding")
    with pytest.raises(EncodingError, match=r"generator\.encoding\.format: jpeg, but video_gen"):
        check_encoding(
            of(format="jpeg"), {"image_generation", "video_generation"}, "generator.encoding"
        )
    with pytest.raises(EncodingError, match="png, webp-lossless, jpeg, webp"):
        check_encoding(of(format="h264"), {"image_generation"}, "produce.also.0.encoding")
    with pytest.raises(EncodingError, match="stores no media"):
        check_encoding(of(format="png"), {"image_understanding"}, "generator.encoding")
    with pytest.raises(EncodingError, match="which is for clips"):
        encode(PICTURE, 6.0, of(format="av1"))
    with pytest.raises(EncodingError, match="which is for pictures"):
        encode(FRAMES, 6.0, of(format="webp"))
    monkeypatch.setattr("av.codecs_available", {"libx264"})
    with pytest.raises(EncodingError, match="PyAV has no libsvtav1"):
        check_encoding(of(format="av1"), {"video_generation"}, "generator.encoding")


def test_a_picture_too_large_for_its_format_says_so() -> None:
    with pytest.raises(MediaError, match="17000 × 1 pixels cannot be stored as WEBP"):
        encode(np.zeros((1, 17000, 3), np.uint8), 1.0, of(format="webp"))


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"quality": 80}, "quality is of format jpeg or webp, not png"),
        ({"format": "h264", "quality": 80}, "quality is of format jpeg or webp, not h264"),
        ({"format": "jpeg", "crf": 20}, "crf is of format h264 or av1, not jpeg"),
        ({"format": "h264", "crf": 60}, "crf: 60 is more than h264's 51"),
        ({"format": "gif"}, "Input should be 'png'"),
    ],
)
def test_knobs_that_do_not_fit_are_refused(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        of(**knobs)
