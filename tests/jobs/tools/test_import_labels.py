"""Importing: streamed, idempotent, split by prompt, and bad rows stop it or are marked."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from factory.prompt_parts import in_words
from jobs import import_labels
from jobs.datasets.labels import label_batches, label_files
from jobs.datasets.reading import data_files
from jobs.rounds import lifecycle
from jobs.rounds.workspace import InputError, Round
from jobs.stages.label import STAGE
from jobs.tools import import_labels as importing
from schemas import manifest
from schemas.arrow import labels_from_table
from schemas.recipe_file import load
from schemas.rows import Label, Origin


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
        with pytest.raises(KeyboardInterrupt):
            run("pick-a-pic", source, out=out)
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
        with pytest.raises(KeyboardInterrupt):
            run("pick-a-pic", pick_a_pic(tmp_path / "many.parquet", 10), out=out)
    assert len(list(out.glob("*.parquet"))) == 5
    assert run("pick-a-pic", pick_a_pic(tmp_path / "few.parquet", 4), out=out) == 0
    assert len(read(out)) == 4
    assert len(list(out.glob("*.parquet"))) == 2


def test_a_failed_import_leaves_no_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_PART_ROWS", 1)
    (tmp_path / "one.png").write_bytes(png(1))
    good = {"prompt": "p", "image_path": ["one.png", "one.png"], "human_preference": [1, 0]}
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
    for name in ("one.png", "two.png"):
        (tmp_path / "pictures" / name).write_bytes(png(len(name)))
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
        ("x.txt", "", "x.txt: is not one of .parquet, .json, .jsonl, .csv"),
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
