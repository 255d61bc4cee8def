"""Elements are cut out of text as it comes in, wherever the pieces break."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.labels.streams import BrokenRow, StreamError, objects, together

ROWS = st.lists(
    st.dictionaries(st.text(max_size=6), st.text(max_size=8) | st.integers()), max_size=6
)


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@given(ROWS, st.integers(1, 40), st.sampled_from([None, 2]))
def test_an_array_comes_out_as_it_went_in(rows, size, indent):
    assert list(objects(pieces(json.dumps(rows, indent=indent), size))) == rows


@given(ROWS, st.integers(1, 40))
def test_so_do_lines(rows, size):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert list(objects(pieces(text, size))) == rows


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"a": 1}, {"b": ', "row 2: not JSON"),
        ('[{"a": 1} {"b": 2}]', "row 2: not JSON: '{' where ',' is due"),
        ('[{"a": 1}', "row 2: not JSON: 'the end' where ',' is due"),
    ],
)
def test_a_broken_array_is_named_by_its_row(text, fault):
    with pytest.raises(StreamError, match=fault):
        list(objects(pieces(text, 3)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"a": 1}, 7, {"b": 2}]', "is int, not an object"),
        ('{"a": 1}\n{"b"}\n{"b": 2}', "is not JSON: Expecting ':'"),
        ('{"a": 1}\n{"b\n{"b": 2}\n', "is not JSON: "),
        ('{"a": 1}\n' + '{"b":' * 100_000 + '\n{"b": 2}\n', "is not JSON: it is nested too deeply"),
    ],
)
def test_a_row_that_cannot_be_read_stands_in_its_place(text, reason):
    first, broken, last = objects(pieces(text, 50_000))
    assert (first, last) == ({"a": 1}, {"b": 2})
    assert isinstance(broken, BrokenRow)
    assert broken.reason.startswith(reason)


def test_only_what_is_asked_for_is_read():
    def endless():
        yield "["
        while True:
            yield '{"a": 1}, '

    assert next(objects(endless())) == {"a": 1}


def test_rows_of_one_key_come_together():
    rows = list(enumerate([{"k": "x"}, {"k": "x"}, {"k": "y"}], start=1))
    assert [len(group) for group in together(rows, "k")] == [2, 1]
    assert [len(group) for group in together(rows, None)] == [1, 1, 1]
    *_, last = together([*rows, (4, {"k": "x"})], "k")
    reason = "'k' 'x' comes back after other rows; sort the file by k"
    assert last == [(4, BrokenRow(reason))]


def test_rows_without_the_key_and_those_that_cannot_be_read_stand_alone():
    rows = [{"k": [1]}, {"k": [1]}, {}, {}, BrokenRow("torn"), {"k": "y"}]
    assert [len(group) for group in together(enumerate(rows), "k")] == [2, 1, 1, 1, 1]
