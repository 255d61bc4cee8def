"""Importing: streamed, idempotent, split by prompt, and bad rows stop it or are marked."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from factory.labels.repeats import Repeats
from factory.prompt_parts import in_words
from jobs import import_labels
from jobs.datasets import foreign
from jobs.datasets.files import file_batches
from jobs.datasets.labels import label_batches, label_files, labels_seen
from jobs.datasets.reading import data_files
from jobs.rounds import lifecycle
from jobs.rounds.workspace import InputError, Round
from jobs.stages.label import STAGE
from jobs.tools import import_labels as importing
from schemas import manifest
from schemas.arrow import labels_from_table
from schemas.recipe_file import load
from schemas.rows import Dimension, Label, Media, Origin, Prompt
from tests.factory.labels.media import mp4


def png(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (level % 256, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def pick_a_pic(path: Path, num: int = 40) -> Path:
    rows = [
        {"caption": f"caption {n // 2}", "jpg_0": png(n), "jpg_1": png(n + 1), "label_0": n % 2}
        for n in range(num)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def run(name: str, *files: Path, out: Path, **options: str) -> int:
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return import_labels.main([name, *map(str, files), f"--out={out}", *flags])


def read(directory: Path) -> list[Label]:
    return [
        label
        for batch in label_batches(data_files(directory))
        for label in labels_from_table(batch)
    ]


def test_rows_come_out_split_by_prompt_with_a_manifest(tmp_path: Path) -> None:
    source = pick_a_pic(tmp_path / "train.parquet")
    out = tmp_path / "pick@1"
    assert run("pick-a-pic", source, out=out, heldout_share="0.4") == 0
    labels = read(out)
    made = manifest.read(out)
    assert made is not None
    assert made.address == "pick@1"
    assert made.parents[0].digest == manifest.digest_file(source)
    assert made.counts["labels"] == made.counts["pairs"] == len(labels) == 40
    assert made.counts["heldout"] == sum(label.split == "heldout" for label in labels)
    splits = {(label.prompt.prompt_id, label.split) for label in labels}
    assert len(splits) == 20  # both rows of a caption are in one split
    assert len({label.label_id for label in labels}) == 40


def test_a_finished_import_is_left_alone_and_a_killed_one_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pick_a_pic(tmp_path / "train.parquet")
    out, other = tmp_path / "pick@1", tmp_path / "pick@2"
    monkeypatch.setattr(importing, "_PART_ROWS", 16)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "complete", killed)
        assert run("pick-a-pic", source, out=out) == 130
    assert "start the same command again" in capsys.readouterr().err
    assert manifest.read(out) is None
    for directory in (out, other):
        assert run("pick-a-pic", source, out=directory) == 0
    first, second = manifest.read(out), manifest.read(other)
    assert first is not None
    assert second is not None
    assert first.digest == second.digest
    assert len(data_files(out)) == 3
    before = [path.stat().st_mtime_ns for path in data_files(out)]
    capsys.readouterr()
    assert run("pick-a-pic", source, out=out) == 0
    assert "complete already" in capsys.readouterr().out
    assert [path.stat().st_mtime_ns for path in data_files(out)] == before
    assert run("pick-a-pic", source, out=out, heldout_share="0.5") == 2
    message = capsys.readouterr().err
    assert f"{out}: pick@1 was made with another command line" in message
    assert "heldout_share: 0.2 -> 0.5" in message
    assert "Use another --out, or remove what lies there" in message
    pick_a_pic(source, 6)
    assert run("pick-a-pic", source, out=out) == 2
    assert "its inputs have changed" in capsys.readouterr().err


def test_what_a_killed_import_of_more_rows_left_is_not_part_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_PART_ROWS", 2)
    out = tmp_path / "pick@1"

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lifecycle, "complete", killed)
        assert run("pick-a-pic", pick_a_pic(tmp_path / "many.parquet", 10), out=out) == 130
    assert len(list(out.glob("*.parquet"))) == 5
    assert run("pick-a-pic", pick_a_pic(tmp_path / "few.parquet", 4), out=out) == 0
    assert len(read(out)) == 4
    assert len(list(out.glob("*.parquet"))) == 2


def test_a_failed_import_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_PART_ROWS", 1)
    for name, level in (("one.png", 1), ("three.png", 3)):
        (tmp_path / name).write_bytes(png(level))
    good = {"prompt": "p", "image_path": ["one.png", "three.png"], "human_preference": [1, 0]}
    source, out = tmp_path / "train.json", tmp_path / "hpd@1"
    source.write_text(json.dumps([good, good, {**good, "image_path": ["one.png", "two.png"]}]))
    assert run("hpd", source, out=out) == 2
    assert "row 3: 'image_path' names 'two.png'" in capsys.readouterr().err
    assert not out.exists()
    (tmp_path / "two.png").write_bytes(png(2))
    assert run("hpd", source, out=out) == 0
    assert len(read(out)) == 3


def test_json_names_media_below_a_directory_and_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    for name, level in (("one.png", 1), ("two.png", 2)):
        (tmp_path / "pictures" / name).write_bytes(png(level))
    (tmp_path / "secret.png").write_bytes(png(0))
    source = tmp_path / "train.json"
    good = {"prompt": "p", "image_path": ["one.png", "two.png"], "human_preference": [1, 0]}
    source.write_text(json.dumps([good, {**good, "image_path": ["one.png", "../secret.png"]}]))
    out = tmp_path / "hpd@1"
    media = str(tmp_path / "pictures")
    assert run("hpd", source, out=out, media=media) == 2
    message = capsys.readouterr().err
    assert f"{source}: row 2: 'image_path' names '../secret.png': lies outside" in message
    assert "--keep-going" in message
    assert (
        import_labels.main(["hpd", str(source), f"--out={out}", f"--media={media}", "--keep-going"])
        == 0
    )
    made = manifest.read(out)
    assert made is not None
    assert (made.counts["rows"], made.counts["labels"], made.counts["invalid"]) == (2, 1, 1)
    marked = json.loads((out / importing.INVALID).read_text())
    assert (marked["row"], marked["file"]) == (2, str(source))
    assert "lies outside" in marked["reason"]


def test_a_table_of_comma_separated_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "bench.csv"
    with source.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["prompt", "path_A", "path_B", "Overall"])
        table.writerow(["a, dog", "a.mp4", "b.mp4", "A"])
    assert run("videogen-rewardbench", source, out=tmp_path / "bench@1") == 2
    assert f"{source}: row 1: 'path_A' names 'a.mp4': no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("absent.json", None, "absent.json: no such file"),
        ("x.txt", "", "x.txt: is not one of .parquet, .tar, .arrow, .jsonl, .csv, .json"),
        ("x.json", "[{", "x.json: row 1: not JSON"),
        ("x.json", "[]", "no row gives a label"),
        ("x.parquet", "PAR1", "x.parquet: cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, fault: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert run("hpd", tmp_path / name, out=tmp_path / "x@1") == 2
    assert fault in capsys.readouterr().err


def test_somebody_elses_directory_is_not_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = pick_a_pic(tmp_path / "train.parquet", 2)
    (tmp_path / "mine@1").mkdir()
    (tmp_path / "mine@1" / "notes.txt").write_text("keep me")
    assert run("pick-a-pic", source, out=tmp_path / "mine@1") == 2
    assert "holds files that are no import" in capsys.readouterr().err
    assert (tmp_path / "mine@1" / "notes.txt").read_text() == "keep me"
    assert run("pick-a-pic", source, out=tmp_path / "mine") == 2
    assert "is a directory named NAME@VERSION" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = pick_a_pic(tmp_path / "train.parquet", 4)
    out = tmp_path / "pick@1"
    assert import_labels.main(["pick-a-pic", str(source), f"--out={out}", "--dry-run"]) == 0
    assert "4 label(s) of the first rows" in capsys.readouterr().out
    assert not out.exists()


def test_the_label_stage_takes_an_import(tmp_path: Path) -> None:
    out = tmp_path / "pick@1"
    assert run("pick-a-pic", pick_a_pic(tmp_path / "train.parquet"), out=out) == 0
    recipe = load("jobs/recipes/laptop.yaml", [f"root={tmp_path / 'run'}", f"labels.path={out}"])
    at = Round(recipe, 1)
    assert STAGE.plan(at).rows == f"40 labels of {out}"
    made = manifest.read(out)
    assert made is not None
    assert STAGE.parents(at)[0].digest == made.digest
    directory = at.directory("labels")
    directory.mkdir(parents=True)
    outcome = STAGE.make(at, directory, None)  # type: ignore[arg-type]
    assert outcome.counts == {"labels": 40, "pairs": 40, "points": 0}
    assert outcome.digest == made.digest
    heldout = [batch.num_rows for batch in label_batches(data_files(directory), "heldout")]
    assert sum(heldout) == made.counts["heldout"]


def test_an_unfinished_import_is_no_label_data(tmp_path: Path) -> None:
    (tmp_path / "pick@1").mkdir()
    with pytest.raises(InputError, match="is no complete data set: it has no manifest"):
        label_files(str(tmp_path / "pick@1"))


def test_a_dialogue_about_two_pictures_is_imported_and_read_back(tmp_path: Path) -> None:
    """With where it comes from: what the row says, and what the command line says of the rest."""
    turns = ["<image> what ?", "a cube", "<image> and this ?"]
    row = {
        "prompt": [
            {"role": role, "content": text}
            for role, text in zip(("user", "assistant", "user"), turns, strict=True)
        ],
        "chosen": "a ball",
        "rejected": "a cat",
        "images": ["a.png", "b.png"],
        "license": "CC0-1.0",
    }
    for name, level in (("a.png", 1), ("b.png", 2)):
        (tmp_path / name).write_bytes(png(level))
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps(row))
    out = tmp_path / "talk@1"
    assert run("trl", source, out=out, source="a shop", license="all rights reserved") == 0
    (label,) = read(out)
    assert in_words(label.prompt) == (
        "user: [image 1] what ?\nassistant: a cube\nuser: [image 2] and this ?"
    )
    assert [one.data for one in label.prompt.media_of("question")] == [png(1), png(2)]
    assert label.origin == label.prompt.origin == Origin("a shop", "CC0-1.0")
    made = manifest.read(out)
    assert made is not None
    assert made.settings["source"] == "a shop"


def hpd_rows(*names: str) -> list[dict[str, object]]:
    return [
        {"prompt": "p", "image_path": [name, "b.png"], "human_preference": [1, 0]} for name in names
    ]


def test_a_fault_is_a_fault_of_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether its line is no JSON, its bytes are no text, or its format has not thought of it."""
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "b.png").write_bytes(png(2))
    good, absent, odd = hpd_rows("a.png", "absent.png", "a\0.png")
    lines = [json.dumps(one).encode() for one in (good, absent, odd)]
    lines[1:1] = [b"{torn", b"[1]", lines[0].replace(b'"p"', b'"p\xff"'), lines[0]]
    source, out = tmp_path / "train.jsonl", tmp_path / "hpd@1"
    source.write_bytes(b"\n".join(lines))
    assert run("hpd", source, out=out) == 2
    assert f"error: {source}: row 2: is not JSON: Expecting property" in capsys.readouterr().err
    assert not out.exists()
    assert import_labels.main(["hpd", str(source), f"--out={out}", "--keep-going"]) == 0
    told = capsys.readouterr().out
    assert "hpd@1: 5 row(s) that could not be used, or not in full: see _invalid.jsonl" in told
    assert "hpd@1: 1 label(s) that say again what their annotator has said" in told
    marked = [json.loads(line) for line in (out / importing.INVALID).read_text().splitlines()]
    assert [one["row"] for one in marked] == [2, 3, 4, 6, 7]
    reasons = [one["reason"].removeprefix(f"{source}: row {one['row']}: ") for one in marked]
    assert reasons[0].startswith("is not JSON")
    assert reasons[1] == "is list, not an object"
    assert reasons[2].endswith("or bytes that are no UTF-8: 'p\\udcff'")
    assert reasons[3].startswith("'image_path' names 'absent.png': no such file below")
    assert reasons[4] == "'image_path' names 'a\\x00.png': embedded null byte"
    made = manifest.read(out)
    assert made is not None
    assert {key: made.counts[key] for key in ("rows", "labels", "invalid", "duplicate")} == {
        "rows": 7,
        "labels": 2,
        "invalid": 5,
        "duplicate": 1,
    }


def test_what_a_format_raises_is_a_fault_of_its_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(records: object) -> list[object]:
        raise KeyError("what nobody thought of")

    monkeypatch.setitem(importing.FORMATS, "hpd", replace(importing.FORMATS["hpd"], parse=parse))
    source = tmp_path / "train.jsonl"
    source.write_text("{}\n{}\n")
    out = tmp_path / "hpd@1"
    assert import_labels.main(["hpd", str(source), f"--out={out}", "--keep-going"]) == 2
    told = capsys.readouterr().err
    assert (
        f"error: {source}: no row gives a label; the first of their faults: {source}: row" in told
    )
    assert "cannot be read: KeyError: 'what nobody thought of'" in told
    assert not out.exists()


def test_equal_sides_and_labels_that_contradict_each_other_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same, other = png(1), png(2)
    row = {"caption": "c", "jpg_0": same, "jpg_1": other, "label_0": 1.0, "user_id": 1}
    rows = [
        row,
        {**row, "jpg_0": other, "jpg_1": same, "label_0": 0.0},  # again, told the other way round
        {**row, "label_0": 0.0},  # otherwise
        {**row, "label_0": 0.0, "user_id": 7},  # somebody else's
        {**row, "jpg_1": same, "label_0": 0.5},
        {**row, "jpg_1": same},
    ]
    source, out = tmp_path / "train.parquet", tmp_path / "pick@1"
    pq.write_table(pa.Table.from_pylist(rows), source)
    assert run("pick-a-pic", source, out=out) == 2
    fault = "row 6: prefers the first of two sides that are the same; --keep-going"
    assert fault in capsys.readouterr().err
    assert import_labels.main(["pick-a-pic", str(source), f"--out={out}", "--keep-going"]) == 0
    made = manifest.read(out)
    assert made is not None
    told = {name: made.counts[name] for name in ("identical", "duplicate", "contradictory")}
    assert told == {"identical": 1, "duplicate": 1, "contradictory": 1}
    assert "pick@1: 1 label(s) that contradict their annotator's own" in capsys.readouterr().out


def test_only_the_columns_that_are_needed_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among those of Pick-a-Pic are times finer than Python's, and whatever a copy has added."""
    source = pick_a_pic(tmp_path / "train.parquet", 2)
    table = pq.read_table(source)
    times = pa.array([1, 1_700_000_000_000_000_001], pa.timestamp("ns"))
    for name, column in (("created_at", times), ("latents", pa.array([b"x" * 999] * 2))):
        table = table.append_column(name, column)
    pq.write_table(table.drop_columns("label_0"), source)
    read: list[str] = []

    def watched(*given: object) -> Iterator[pa.RecordBatch]:
        for batch in file_batches(*given):
            read.extend(batch.schema.names)
            yield batch

    monkeypatch.setattr(foreign, "file_batches", watched)
    assert run("pick-a-pic", source, out=tmp_path / "pick@1") == 2
    # The message names the columns of the file all the same.
    assert (
        "'label_0' is missing; the row has: caption, created_at, jpg_0" in capsys.readouterr().err
    )
    assert sorted(read) == ["caption", "jpg_0", "jpg_1"]


def test_a_table_is_read_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_bytes(
        Path("tests/fixtures/cases/importers/one-frame.mp4").read_bytes()
    )
    (tmp_path / "b.mp4").write_bytes(mp4())
    source = tmp_path / "train.csv"
    long = "a boat " * 30_000
    source.write_text(f'prompt,path_A,path_B,VQ\n"{long}",a.mp4,b.mp4,A\na boat,a.mp4,b.mp4\n')
    command = ["videogen-rewardbench", str(source), "--keep-going"]
    assert import_labels.main([*command, f"--out={tmp_path / 'bench@1'}"]) == 0
    (label,) = read(tmp_path / "bench@1")
    assert (label.prompt.text, label.dimensions) == (long.strip(), (Dimension("vq", "first"),))
    source.write_text('prompt,path_A,path_B,VQ\na boat,"a.mp4,b.mp4,A\na boat,a.mp4,b.mp4,A\n')
    assert import_labels.main([*command, f"--out={tmp_path / 'bench@2'}"]) == 2
    assert "a quote that is opened after line 1 is never closed" in capsys.readouterr().err
    assert not (tmp_path / "bench@2").exists()
    source.write_bytes("prompt,path_A,path_B,VQ\nein Böot,a.mp4,b.mp4,A\n".encode("utf-16"))
    assert import_labels.main([*command, f"--out={tmp_path / 'bench@2'}"]) == 0
    assert read(tmp_path / "bench@2")[0].prompt.text == "ein Böot"
    source.write_bytes("prompt,path_A\n".encode("utf-16")[:-1])
    assert import_labels.main([*command, f"--out={tmp_path / 'bench@3'}"]) == 2
    assert "train.csv: cannot be read: 'utf-16" in capsys.readouterr().err


def test_what_repeats_is_told_by_sides_and_annotator() -> None:
    def said(*pairs: tuple[str, float | str]) -> dict[str, int]:
        seen = Repeats()
        for annotator, what in pairs:
            points = what if isinstance(what, float) else None
            preference = None if points is not None else what
            seen.add(
                Label(
                    *("x", Prompt.of("p"), annotator, Media(b"a", 1, 1)),
                    second=None if points is not None else Media(b"b", 1, 1),
                    preference=preference,  # type: ignore[arg-type]
                    points=points,
                )
            )
        return seen.counts()

    assert said() == {"duplicate": 0, "contradictory": 0}
    assert said(("ann", 4.0), ("ben", 2.0)) == {"duplicate": 0, "contradictory": 0}
    assert said(("ann", 4.0), ("ann", 2.5)) == {"duplicate": 0, "contradictory": 1}
    assert said(*[("ann", "first")] * 3, ("ann", "tie")) == {"duplicate": 2, "contradictory": 1}


def test_a_table_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its map is part of what an import is made with; what it cannot mean is said at once."""
    for name, level in (("a.png", 1), ("b.png", 2)):
        (tmp_path / name).write_bytes(png(level))
    source, out = tmp_path / "votes.csv", tmp_path / "votes@1"
    source.write_text("prompt,image_a,image_b,winner,stars\np,a.png,b.png,right,4.25\n")
    columns = "first=image_a,second=image_b,preference=winner"
    command = ["table", str(source), f"--out={out}"]
    whole = [*command, "--map", columns, "--values", "left=first,right=second,both=tie"]
    assert import_labels.main(whole) == 0
    (label,) = read(out)
    assert (label.preference, label.annotator) == ("second", "table")
    assert import_labels.main(whole) == 0
    assert "complete already" in capsys.readouterr().out
    assert import_labels.main([*whole, "--map", "weight=stars"]) == 2
    assert "map.weight: None -> 'stars'" in capsys.readouterr().err
    points = ["table", str(source), f"--out={tmp_path / 'stars@1'}", "--map"]
    points += ["first=image_a,points=stars", "--scale=0:100"]
    for given, fault in (
        ([*command, "--map", "first=image_c"], "--map: first=image_c: .* has no such column; it "),
        (["hpd", *command[1:], "--map", columns], "are for the format `table`, not hpd"),
        (points, "--scale: say by --points on which scale the table's points lie"),
    ):
        assert import_labels.main(given) == 2
        assert re.search(fault, capsys.readouterr().err)
    assert import_labels.main([*points, "--points=0:5"]) == 0
    (rated,) = read(tmp_path / "stars@1")
    assert (rated.points, rated.preference) == (85.0, None)


# ---------------------------------------------------------------------------- what labels are


def by_id(directory: Path) -> dict[str, Label]:
    return {label.label_id: label for label in read(directory)}


def test_a_label_is_known_by_what_it_says_and_not_by_its_file_and_row(tmp_path: Path) -> None:
    table = pq.read_table(pick_a_pic(tmp_path / "once.parquet", 12))
    table = pa.concat_tables([table, table.slice(3, 1), table.slice(3, 1)])  # three equal rows
    order = [7, 0, 13, 3, 11, 1, 9, 12, 2, 10, 4, 8, 5, 6]
    for name, rows in {
        "once": table,
        "shuffled": table.take(order),
        "left": table.take(order[:5]),
        "right": table.take(order[5:]),
    }.items():
        pq.write_table(rows, tmp_path / f"{name}.parquet")
    told = {"once": ["once"], "shuffled": ["shuffled"], "cut": ["right", "left"]}
    for name, files in told.items():
        paths = [tmp_path / f"{file}.parquet" for file in files]
        assert run("pick-a-pic", *paths, out=tmp_path / f"{name}@1") == 0
    labels = by_id(tmp_path / "once@1")
    assert len(labels) == 14
    assert by_id(tmp_path / "shuffled@1") == labels
    assert by_id(tmp_path / "cut@1") == labels
    made = [manifest.read(tmp_path / f"{name}@1") for name in ("once", "shuffled", "cut")]
    assert len({one.digest for one in made if one is not None}) == 1
    assert made[0] is not None
    assert made[0].settings["ids"] == "content"
    assert made[0].counts["duplicate"] == 2


def test_whatever_differs_in_a_row_makes_it_another_label(tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(png(9))
    (tmp_path / "blue.png").write_bytes(png(99))
    row = {"prompt": "p", "first": "red.png", "second": "blue.png", "preference": "first"}
    others = [
        row,
        {**row, "preference": "second"},
        {**row, "annotator": "ann"},
        {**row, "first": "blue.png", "second": "red.png", "preference": "second"},
        {**row, "license": "CC0"},
    ]
    (tmp_path / "votes.jsonl").write_text("\n".join(map(json.dumps, others)))
    assert run("table", tmp_path / "votes.jsonl", out=tmp_path / "votes@1") == 0
    first = by_id(tmp_path / "votes@1")
    assert len(first) == 5
    # What is said of the whole file from outside is no part of a label's name.
    assert run("table", tmp_path / "votes.jsonl", out=tmp_path / "votes@2", source="us") == 0
    assert by_id(tmp_path / "votes@2").keys() == first.keys()


def test_a_set_that_was_imported_before_keeps_its_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = pick_a_pic(tmp_path / "train.parquet", 4), tmp_path / "pick@1"
    assert run("pick-a-pic", source, out=out) == 0
    made = manifest.read(out)
    assert made is not None
    settings = {key: value for key, value in made.settings.items() if key != "ids"}
    old = replace(
        made,
        settings=settings,  # as a factory noted them that knew labels by file and row
        fingerprint=manifest.fingerprint("labels", settings, made.parents),
    )
    (out / manifest.FILE).write_bytes(manifest.to_bytes(old))
    before = by_id(out)
    capsys.readouterr()
    assert run("pick-a-pic", source, out=out) == 0
    assert "complete already" in capsys.readouterr().out
    assert by_id(out) == before
    assert manifest.read(out) == old


def test_what_labels_say_has_a_digest_of_its_own(tmp_path: Path) -> None:
    source = pick_a_pic(tmp_path / "rows.parquet", 6)
    pq.write_table(pq.read_table(source).take([5, 3, 1, 0, 2, 4]), tmp_path / "shuffled.parquet")
    pq.write_table(pq.read_table(source).slice(0, 5), tmp_path / "fewer.parquet")
    seen = {}
    for name in ("rows", "shuffled", "fewer"):
        out = tmp_path / f"{name}@1"
        path = tmp_path / f"{name}.parquet"
        assert run("pick-a-pic", path, out=out, heldout_share="1") == 0
        seen[name] = labels_seen(label_files(str(out)), "heldout")
    assert seen["rows"] == seen["shuffled"]
    assert (seen["rows"].num, seen["rows"].duplicate, seen["fewer"].num) == (6, 0, 5)
    assert seen["rows"].digest != seen["fewer"].digest
