"""Rows of a brought table as prompts and candidates: known by their bytes, and by nothing else."""

from typing import Any

import numpy as np
import pytest

from factory.brought.candidates import RowReader
from factory.brought.cells import RowFault
from factory.candidates import is_brought
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from schemas.rows import Group, Origin


def png(seed: int) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


FILES = {"a.png": png(1), "b.png": png(2), "c.mp4": encode_clip(np.zeros((2, 16, 16, 3), "u1"), 8)}


def read(name: str) -> bytes:
    if name not in FILES:
        raise OSError("no such file")
    return FILES[name]


def group(row: dict[Any, Any], task: Any = "image_generation", **columns: Any) -> Group:
    return RowReader(columns, task)(row, read)


def test_a_candidate_is_known_by_its_bytes_and_its_prompt_alone() -> None:
    named = group({"caption": "a cat", "file": "a.png"}, prompt="caption", media="file")
    held = group({"prompt": "a cat", "media": {"bytes": FILES["a.png"], "path": "x"}, "seed": "7"})
    other = group({"prompt": "a dog", "media": FILES["a.png"]})
    (one,), (two,), (three,) = named.candidates, held.candidates, other.candidates
    assert one.candidate_id == two.candidate_id != three.candidate_id
    keys = [each.drawn.key for each in (one, two, three) if each.drawn is not None]
    assert keys[0] == keys[1] != keys[2]
    assert (one.generator, one.seed, two.seed) == ("brought@0", 0, 7)
    assert is_brought(one)
    assert one.measures is not None
    assert one.measures.digest == two.measures.digest  # type: ignore[union-attr]
    assert one.error is None


def test_what_a_row_says_beside_travels_with_it() -> None:
    row = {
        "prompt": " a cat ",
        "media": "a.png",
        "meta": {"by": "sdxl", "style": "oil"},
        "year": 2024,
        "license": "CC0",
        "source": "ours",
    }
    found = group(row, generator="meta.by", tags=["meta.style", "year"])
    (one,) = found.candidates
    assert one.generator == "sdxl@0"
    assert found.prompt.text == "a cat"
    assert found.prompt.tags == {"meta.style": "oil", "year": "2024"}
    assert found.prompt.origin == Origin("ours", "CC0")
    assert one.media is not None
    assert one.media.origin == Origin("ours", "CC0")
    assert group({**row, "g": "flux@dev@3"}, generator="g").candidates[0].generator == "flux@dev@3"


def test_a_row_may_hold_several_candidates() -> None:
    columns: dict[str, Any] = {"media": ["one", "other"], "generator": ["g1", "g2"]}
    row = {"prompt": "p", "one": "a.png", "other": "b.png", "g1": "x", "g2": "y"}
    assert [one.generator for one in group(row, **columns).candidates] == ["x@0", "y@0"]
    listed = group({"prompt": "p", "media": ["a.png", "b.png"], "generator": "z"})
    assert [one.generator for one in listed.candidates] == ["z@0", "z@0"]
    items = [{"file": "a.png", "generator": "x"}, {"file": "b.png"}]
    within = group({"prompt": "p", "of": items}, candidates="of", media="file")
    assert [one.candidate_id for one in within.candidates] == [
        one.candidate_id for one in listed.candidates
    ]
    by_field = {"file": ["a.png", "b.png"], "generator": ["x", None]}
    again = group({"prompt": "p", "of": by_field}, candidates="of", media="file")
    assert again.candidates == within.candidates


def test_a_question_and_an_edit_have_a_medium_of_their_own() -> None:
    row = {"prompt": "what is it ?", "source_media": "a.png", "answer": " a mug "}
    asked = group(row, "image_understanding")
    assert asked.prompt.media is not None
    assert asked.candidates[0].answer == "a mug"
    assert asked.candidates[0].measures is not None
    edit = group({"prompt": "make it red", "source_media": "a.png", "media": "b.png"})
    assert [part.role for part in edit.prompt.parts] == ["source", "user"]
    clip = group({"prompt": "p", "media": "c.mp4"}, "video_generation")
    assert clip.candidates[0].error is None


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"media": None}, "'media' is missing"),
        ({"media": "none.png"}, "'media' names 'none.png': no such file"),
        ({"media": b"GIF89a"}, "'media' cannot read a picture from 6 bytes"),
        ({"media": "c.mp4"}, "'media' is a clip, and image_generation is about pictures"),
        ({"media": 3}, "'media' is neither: a medium is bytes, or the name of a file"),
    ],
)
def test_a_medium_that_cannot_be_used_fails_its_candidate_alone(
    row: dict[str, Any], fault: str
) -> None:
    found = group({"prompt": "p", **row})
    (one,) = found.candidates
    assert one.error is not None
    assert one.error.startswith(fault)
    assert (one.media, one.measures, one.is_attempt) == (None, None, False)
    assert one.drawn is not None
    assert one.drawn.key is None
    assert found == group({"prompt": "p", **row})  # the same id whenever it is tried


@pytest.mark.parametrize(
    ("row", "key", "fault"),
    [
        ({}, "prompt", "is missing or empty"),
        ({"prompt": "  "}, "prompt", "is missing or empty"),
        ({"prompt": 3}, "prompt", "is int, not text"),
        ({"prompt": "a\x00b"}, "prompt", "holds the control character"),
        ({"prompt": "p", "task": "editing"}, "task", "is 'editing', which is no task"),
        ({"prompt": "p", "task": "image_understanding"}, "source_media", "asks about its medium"),
        ({"prompt": "p", "source_media": "no.png"}, "source_media", "names 'no.png'"),
        ({"prompt": "p", "source_media": b"no"}, "source_media", "cannot read a picture"),
        ({"prompt": "p", "seed": -1}, "seed", "not a whole number"),
        ({"prompt": "p", "seed": 1.5}, "seed", "not a whole number"),
        ({"prompt": "p", "tags": b"x"}, "tags", "neither a text nor a mapping"),
        ({"prompt": "p", "media": ["a.png"], "seed": [1, 2]}, "media", "has 1 values, for 2"),
    ],
)
def test_a_row_of_which_no_group_can_be_made_names_the_column(
    row: dict[Any, Any], key: str, fault: str
) -> None:
    with pytest.raises(RowFault, match=fault) as caught:
        group({"media": "a.png", **row})
    assert caught.value.key == key


def test_faults_name_the_tables_own_columns() -> None:
    with pytest.raises(RowFault, match="'caption' is missing or empty"):
        group({"caption": ""}, prompt="caption")
    found = group(
        {"caption": "p", "jpg_0": "a.png", "jpg_1": "x"}, prompt="caption", media=["jpg_0", "jpg_1"]
    )
    assert found.candidates[0].error is None
    assert found.candidates[1].error == "'jpg_1' names 'x': no such file"
    with pytest.raises(RowFault, match="'of' is missing"):
        group({"prompt": "p"}, candidates="of")
    with pytest.raises(RowFault, match="'of' holds str, not objects"):
        group({"prompt": "p", "of": ["x"]}, candidates="of")
    with pytest.raises(RowFault, match="fields that are no lists of one length"):
        group({"prompt": "p", "of": {"a": [1], "b": [1, 2]}}, candidates="of")
