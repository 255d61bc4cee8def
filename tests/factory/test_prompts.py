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
        ("p.txt", b"\xff\x00", "cannot be read as UTF-8"),
        ("u.txt", b"\xff\xfe\x00", "cannot be read as UTF-16"),
        ("p.parquet", b"no", "cannot be read as Parquet"),
        ("p.jsonl", b"{", "row 1: not JSON"),
        ("q.txt", b"a\n\nb\n", "row 2: 'prompt' is empty"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PromptsError, match=message):
            read_prompts(tmp_path / name)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_row_that_is_no_utf_8_is_named_wherever_it_is(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(mark + b"".join(b"kite %d\n" % one for one in range(5000)) + b"a caf\xe9\n")
    with pytest.raises(PromptsError, match=r"row 5001: cannot .* position 5: .*; save it as UTF-8"):
        read_prompts(path)


def test_storage_that_fails_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.txt").write_text("a kite\n")

    def fails(*_: object, **__: object) -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr(Path, "open", fails)
    with pytest.raises(PromptsError, match=r"p\.txt: cannot be read .*: the disk is away$"):
        read_prompts(tmp_path / "p.txt")


# --------------------------------------------------------------------- text as it comes in files

MARKED = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
_MARK = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}


@pytest.mark.parametrize("encoding", MARKED)
@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_a_mark_at_the_head_is_no_part_of_the_first_prompt(
    tmp_path: Path, encoding: str, kind: str
) -> None:
    texts = ["a red kite", "ein blaues Boot, größer"]
    lines = [json.dumps({"prompt": one}, ensure_ascii=False) for one in texts]
    body = "\r\n".join(lines if kind == "jsonl" else [f"{one}  " for one in texts]) + "\r\n"
    path = tmp_path / f"p.{kind}"
    path.write_bytes(_MARK.get(encoding, b"") + body.encode(encoding))
    assert read_prompts(path) == [Prompt.of(one) for one in texts]


def test_files_that_were_put_together_have_marks_within(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes("a red kite\n".encode("utf-8-sig") + "a small boat\n".encode("utf-8-sig"))
    assert read_prompts(path) == [Prompt.of("a red kite"), Prompt.of("a small boat")]


def test_the_prompts_of_a_marked_file_that_had_other_ids() -> None:
    path = Path(__file__).parents[1] / "fixtures" / "cases" / "bom.txt"
    found = [one.prompt_id for one in read_prompts(path)]
    assert found == [Prompt.of(one).prompt_id for one in ("a red kite", "a small boat")]


def test_a_mark_in_the_name_of_a_first_column_is_no_part_of_it(tmp_path: Path) -> None:
    pq.write_table(pa.table({"\ufeffprompt": ["a red kite"]}), tmp_path / "p.parquet")
    assert read_prompts(tmp_path / "p.parquet") == [Prompt.of("a red kite")]


def write(folder: Path, kind: str, texts: list[str]) -> Path:
    path = folder / f"p.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"prompt": texts}), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"prompt": one}) + "\n" for one in texts))
    else:
        path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\u200b\u200d", r"nothing that can be seen: only characters such as U\+200B"),
        (" \u00a0\ufe0f ", r"such as U\+FE0F"),
        ("\u3164", r"such as U\+3164"),
        ("\U000e0041", r"such as U\+E0041"),
        ("a\x00b", r"the control character U\+0000 at 1"),
        ("a\x1b[0m", r"the control character U\+001B at 1"),
        ("a\x85b", r"the control character U\+0085"),
        (" ", "is empty"),
    ],
)
def test_what_says_nothing_is_refused_with_its_row(
    tmp_path: Path, kind: str, text: str, message: str
) -> None:
    with pytest.raises(PromptsError, match=rf"p\.{kind}: row 2: 'prompt'.*{message}"):
        read_prompts(write(tmp_path, kind, ["a red kite", text]))


@pytest.mark.parametrize(
    "row",
    [
        r'{"prompt": "a \ud800 kite"}',
        r'{"prompt": "x", "style": "\udfff"}',
        r'{"parts": [{"role": "user", "text": "\ud800"}]}',
    ],
)
def test_half_of_a_surrogate_pair_is_no_text(tmp_path: Path, row: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(row)
    with pytest.raises(PromptsError, match=r"row 1: .*half of a surrogate pair, U\+D[8F]"):
        read_prompts(path)


@pytest.mark.parametrize("kind", ["txt", "jsonl", "parquet"])
def test_rows_that_look_the_same_stay_what_they_are_and_are_told(tmp_path: Path, kind: str) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    texts = [
        decomposed,
        "a kite",
        composed,
        "a\u200b kite",
        "a boat",
        "a \ufeffkite",
        "flag \u200d",
    ]
    prompts = PromptsFile(write(tmp_path, kind, texts))
    assert [one.prompt_id for one in prompts] == [Prompt.of(one).prompt_id for one in texts]
    assert prompts.alike == [(1, 3), (2, 4), (4, 6)]
    alone = PromptsFile(write(tmp_path, kind, [decomposed, "a kite\u200d"]))
    assert alone.alike == []


def test_a_persian_joiner_and_an_emoji_sequence_are_kept(tmp_path: Path) -> None:
    texts = ["\u0645\u06cc\u200c\u0631\u0648\u0645", "\U0001f469\u200d\U0001f680 at work"]
    assert [one.text for one in read_prompts(write(tmp_path, "txt", texts))] == texts


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
