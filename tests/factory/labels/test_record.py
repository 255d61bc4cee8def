"""What a label's row may hold of media and of text, key by key."""

import numpy as np
import pytest

from factory.labels.record import LabelError, Record
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png

GREY = np.full((16, 32, 3), 90, np.uint8)


def record(value: object) -> Record:
    return Record({"it": value}, "labels.jsonl: row 3", lambda path: b"")


def test_a_clip_of_one_frame_is_a_clip_and_a_picture() -> None:
    data = encode_clip(GREY[None], 4.0)
    for is_video in (False, True):
        found = record(data).medium("it", is_video=is_video)
        assert (found.width, found.height, found.num_frames) == (32, 16, 1)
    with pytest.raises(LabelError, match="row 3: 'it' is a clip, and this task is about a picture"):
        record(encode_clip(np.stack([GREY] * 2), 4.0)).medium("it")
    with pytest.raises(LabelError, match="row 3: 'it' is a picture, and this task is about a clip"):
        record(encode_png(GREY)).medium("it", is_video=True)


def test_what_no_judge_is_shown_is_a_fault_of_its_row() -> None:
    narrow = encode_png(np.zeros((5000, 1, 3), np.uint8))
    with pytest.raises(LabelError, match=r"row 3: 'it' is 1 × 5000 pixels: .* at most 200 times"):
        record(narrow).medium("it")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\u200b\ufeff", "holds nothing to be seen"),
        ("  ", "is empty"),
        ("a \ud800 kite", "holds half of a surrogate pair"),
    ],
)
def test_a_text_that_is_none_is_a_fault_of_its_row(text: str, fault: str) -> None:
    with pytest.raises(LabelError, match=f"labels.jsonl: row 3: 'it' {fault}"):
        record(text).text("it")
    assert record(" a kite\u200d ").text("it") == "a kite\u200d"
