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
from factory.prompts import PromptsError, PromptsFile, read_prompts
from schemas.arrow import prompts_to_table


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
