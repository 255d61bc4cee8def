"""Prompts files: three formats read alike, and every bad row is named."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from factory.prompt_rows import PromptsError
from factory.prompts import PromptsFile, read_prompts
from schemas.arrow import prompts_to_table
from schemas.rows import Origin, Prompt


def test_three_formats_read_alike(tmp_path: Path) -> None:
    texts = ["a red circle", "ein blaues Quadrat ü"]
    (tmp_path / "p.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": one}) + "\n" for one in texts))
    pq.write_table(pa.table({"prompt": texts}), tmp_path / "p.parquet")
    read = [read_prompts(tmp_path / name) for name in ("p.txt", "p.jsonl", "p.parquet")]
    assert [prompt.text for prompt in read[0]] == texts
    assert read[0] == read[1] == read[2]


def test_tags_come_from_a_mapping_from_columns_and_from_our_own_tables(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    row = {"prompt": "x", "region": "north", "tags": {"style": "plain"}, "task": "video_generation"}
    path.write_text(json.dumps(row))
    (prompt,) = read_prompts(path)
    assert prompt.tags == {"region": "north", "style": "plain"}
    assert prompt.task == "video_generation"
    pq.write_table(prompts_to_table([prompt]), tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet") == [prompt]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "a"}, {"prompt": "  "}], "row 2: 'prompt' is empty"),
        ([{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}], "row 3: duplicate of row 1"),
        ([{"prompt": "a"}, {"prompt": " a "}], "row 2: duplicate of row 1"),
        ([{"prompt": 5}], "row 1: 'prompt' is int, not text"),
        ([{"text": "a"}], "row 1: 'prompt' is missing"),
        ([{"prompt": "a", "task": "sculpture"}], "row 1: unknown task 'sculpture'"),
        ([{"prompt": "a", "tags": ["x"]}], "row 1: 'tags' is list, not a mapping"),
        ([{"prompt": "a", "tags": "x"}], "row 1: 'tags' is str, not a mapping"),
        ([{"prompt": "a", "year": 1990}], "row 1: tag 'year' is int, not text"),
        ([["a"]], "row 1: is list, not an object"),
        ([], "holds no prompts"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, rows: list[Any], message: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(PromptsError, match=message):
        read_prompts(path)


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptsError, match=r"absent\.txt: no such prompts file"):
        read_prompts(tmp_path / "absent.txt")
    for name, data, message in (
        ("p.csv", b"a", "not '.csv'"),
        ("p.txt", b"\xff\xfe\x00", "cannot be read as UTF-8"),
        ("p.parquet", b"no", "cannot be read as Parquet"),
        ("p.jsonl", b"{", "row 1: not JSON"),
        ("q.txt", b"a\n\nb\n", "row 2: 'prompt' is empty"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PromptsError, match=message):
            read_prompts(tmp_path / name)


def test_a_question_names_its_picture_or_clip(tmp_path: Path) -> None:
    picture = np.full((8, 6, 3), 200, np.uint8)
    (tmp_path / "p.png").write_bytes(encode_png(picture))
    (tmp_path / "c.mp4").write_bytes(encode_clip(np.stack([picture] * 3), 3))
    path = tmp_path / "questions.jsonl"
    rows = [
        {"prompt": "what ?", "task": "image_understanding", "media": "p.png"},
        {"prompt": "what ?", "task": "video_understanding", "media": "c.mp4"},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_prompts(path)
    assert first.media is not None
    assert second.media is not None
    assert (first.media.width, first.media.height, first.media.num_frames) == (6, 8, 1)
    assert second.media.num_frames == 3
    ours = tmp_path / "ours.parquet"
    pq.write_table(prompts_to_table([first, second]), ours)
    assert read_prompts(ours) == [first, second]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"task": "image_understanding"}, "'media' is missing"),
        ({"task": "image_understanding", "media": "absent.png"}, "cannot be read"),
        ({"task": "image_understanding", "media": 7}, "not a path"),
        ({"task": "video_understanding", "media": "broken.mp4"}, "cannot read"),
        ({"media": "broken.mp4"}, "has no 'media'"),
    ],
)
def test_a_question_without_readable_media_is_refused(
    tmp_path: Path, row: dict[str, object], message: str
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x20ftypisom broken")
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps({"prompt": "what ?", **row}))
    with pytest.raises(PromptsError, match=message) as caught:
        read_prompts(path)
    assert "questions.jsonl: row 1" in str(caught.value)


def test_a_file_is_gone_through_again_and_again_and_knows_its_ids(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_text("".join(f"prompt {n}\n" for n in range(700)))
    prompts = PromptsFile(path)
    first = [one.prompt_id for one in prompts]
    assert len(prompts) == len(first) == 700
    assert list(prompts.ids()) == first == [one.prompt_id for one in prompts]
    assert all(one in prompts for one in first[::50])
    assert "0" * 16 not in prompts
    assert "f" * 16 not in prompts


def test_prompts_do_not_have_to_fit_in_memory(tmp_path: Path) -> None:
    """What is kept of a prompt is 8 bytes and its place in the order; not its text."""
    path = tmp_path / "p.txt"
    path.write_text("".join(f"{n} {'word ' * 200}\n" for n in range(4000)))  # 4 MB
    tracemalloc.start()
    try:
        prompts = PromptsFile(path)
        assert sum(1 for _ in prompts) == 4000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1024**2


def write_parts(folder: Path, *rows: dict[str, Any]) -> Path:
    for name, grey in (("a.png", 200), ("b.png", 90)):
        (folder / name).write_bytes(encode_png(np.full((8, 6, 3), grey, np.uint8)))
    (folder / "c.mp4").write_bytes(encode_clip(np.zeros((3, 8, 8, 3), np.uint8), 3))
    path = folder / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def part(role: str, text: str | None = None, media: str | None = None) -> dict[str, Any]:
    return {"role": role, "text": text, "media": media}


DIALOGUE = [
    part("question", media="a.png"),
    part("user", "what is it ?"),
    part("assistant", "a cube"),
    part("question", media="b.png"),
    part("user", "and this ?"),
]


def test_a_dialogue_about_two_pictures_lists_its_parts_in_order(tmp_path: Path) -> None:
    swapped = [DIALOGUE[3], *DIALOGUE[1:3], DIALOGUE[0], DIALOGUE[4]]
    task = "image_understanding"
    path = write_parts(
        tmp_path, {"task": task, "parts": DIALOGUE, "style": "x"}, {"task": task, "parts": swapped}
    )
    prompts = PromptsFile(path)
    first, second = prompts
    assert (first.text, first.media, first.tags) == ("and this ?", None, {"style": "x"})
    assert [one.role for one in first.parts] == [one["role"] for one in DIALOGUE]
    assert first.prompt_id != second.prompt_id  # the order of the pictures is in the id
    assert prompts.needs == {"turns": 1, "order": 1, "media": 1}
    ours = tmp_path / "ours.parquet"
    pq.write_table(prompts_to_table([first, second]), ours)
    assert read_prompts(ours) == [first, second]


def test_parts_that_amount_to_a_plain_prompt_are_that_prompt(tmp_path: Path) -> None:
    task = "image_understanding"
    path = write_parts(
        tmp_path, {"parts": [part("user", "a red circle")]}, {"task": task, "parts": DIALOGUE[:2]}
    )
    (tmp_path / "plain.jsonl").write_text(
        json.dumps({"prompt": "a red circle"})
        + "\n"
        + json.dumps({"prompt": "what is it ?", "task": task, "media": "a.png"})
    )
    prompts = PromptsFile(path)
    assert list(prompts) == read_prompts(tmp_path / "plain.jsonl")
    assert prompts.needs == {}


def test_a_source_picture_is_a_part_and_where_it_comes_from_is_kept(tmp_path: Path) -> None:
    source = {**part("source", media="a.png"), "license": "CC0-1.0"}
    path = write_parts(
        tmp_path, {"parts": [source, part("user", "make it red")], "source": "shop", "style": "x"}
    )
    prompts = PromptsFile(path)
    (prompt,) = prompts
    assert prompts.needs == {"source": 1}
    assert prompt.origin == Origin("shop")
    assert prompt.tags == {"style": "x"}
    assert [one.origin for one in prompt.media_of("source")] == [Origin(license="CC0-1.0")]
    ours = tmp_path / "ours.parquet"
    pq.write_table(prompts_to_table([prompt]), ours)
    assert read_prompts(ours) == [prompt]


def test_where_a_prompt_comes_from_is_no_tag_and_not_in_its_id(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"prompt": "x", "source": "shop", "consent": "yes"}))
    (prompt,) = read_prompts(path)
    assert prompt == Prompt.of("x", origin=Origin("shop", consent="yes"))
    assert prompt.prompt_id == Prompt.of("x").prompt_id
    path.write_text(json.dumps({"prompt": "x", "source": 7}))
    with pytest.raises(PromptsError, match="row 1: 'source' is int, not text"):
        read_prompts(path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"parts": "x"}, "row 1: 'parts' is str, not a list"),
        ({"parts": []}, "the last to speak is to be the user"),
        ({"parts": ["x"]}, "part 1: is str, not a mapping"),
        ({"parts": [part("narrator", "x")]}, "part 1: unknown role 'narrator'"),
        ({"parts": [part("user", " ")]}, "part 1: 'text' is empty"),
        ({"parts": [part("user")]}, "part 1: a turn of role 'user' is empty"),
        ({"parts": [part("user", "x", "a.png")]}, "part 1: a turn of role 'user' is a text"),
        ({"parts": [{"role": "user", "words": "x"}]}, "part 1: unknown key 'words'"),
        ({"parts": [part("source", "x", "a.png")]}, "part 1: a part of role 'source' is a medium"),
        ({"parts": [part("source")]}, "part 1: a part of role 'source' has no medium"),
        ({"parts": [part("source", media="no.png")]}, "part 1: 'media' cannot be read"),
        ({"parts": [part("source", media="c.mp4"), part("user", "x")]}, "part 1: is a clip"),
        ({"parts": [part("user", "x"), part("assistant", "y")]}, "the last to speak"),
        ({"parts": [part("assistant", "y"), part("user", "x")]}, "before any turn of the user"),
        ({"parts": DIALOGUE}, "part 1: role 'question' has no place in image_generation"),
        ({"parts": [part("user", "x")], "task": "image_understanding"}, "no part is of role"),
        ({"parts": [part("user", "x")], "prompt": "y"}, "has 'parts' and a 'prompt' or 'media'"),
        *(
            (
                {"parts": [part(role, media="sound.wav"), part("user", "x")]},
                f"part 1: role '{role}'",
            )
            for role in ("reference", "first_frame", "last_frame", "clip", "sound")
        ),
    ],
)
def test_parts_that_make_no_prompt_are_refused_by_name(
    tmp_path: Path, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(PromptsError, match=message) as caught:
        read_prompts(write_parts(tmp_path, row))
    assert "p.jsonl: row 1" in str(caught.value)
