"""Ids as numbers, and numbers in a scratch file: nothing is lost on the way."""

import numpy as np
import pyarrow as pa
import pytest

from factory.ids import numbers_of, positions, to_numbers, to_text
from factory.scratch import Scratch
from schemas.rows import content_id

IDS = [content_id("id", number) for number in range(100)] + ["0" * 16, "f" * 16]


def test_an_id_is_its_number():
    numbers = to_numbers(pa.chunked_array([IDS[:3], IDS[3:]]))
    assert [to_text(one) for one in numbers] == IDS
    assert numbers.tolist() == numbers_of(iter(IDS)).tolist() == [int(one, 16) for one in IDS]
    assert to_numbers(pa.chunked_array([], pa.string())).tolist() == []


@pytest.mark.parametrize("wrong", ["A" * 16, "a" * 15, "a" * 15 + " ", "a" * 17, "", None])
def test_what_is_no_id_is_refused_and_never_shortened(wrong):
    with pytest.raises(ValueError, match="is no id"):
        to_numbers(pa.array(["a" * 16, wrong], pa.string()))


def test_places_in_an_ascending_array():
    ordered = np.array([3, 5, 2**63], dtype=np.uint64)
    asked = np.array([5, 4, 2**64 - 1, 3, 2**63, 0], dtype=np.uint64)
    assert positions(asked, ordered).tolist() == [1, -1, -1, 0, 2, -1]
    assert positions(asked, ordered[:0]).tolist() == [-1] * 6
    assert positions(asked[:0], ordered).tolist() == []


def test_scratch_gives_back_what_was_put_in():
    scratch = Scratch(np.int32)
    assert scratch.array().tolist() == []
    for portion in ([1, 2], [], [3]):
        scratch.add(np.array(portion))
    assert scratch.array().tolist() == [1, 2, 3]
    scratch.add(np.arange(10)[::-2])  # also after a look, and from an array with gaps
    assert scratch.array().tolist() == [1, 2, 3, 9, 7, 5, 3, 1]
    assert len(scratch) == 8
    assert scratch.array().dtype == np.int32
