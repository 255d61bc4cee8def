"""Where brought tables lie: each layout gives the same rows; what cannot be is refused by name."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.media.pictures import encode_png
from jobs.datasets.brought import find_table
from jobs.pipelines.bringing import Bringing, bringing, look
from jobs.rounds.workspace import InputError
from schemas.recipe import Candidates, Judged
from schemas.rows import Group


def png(seed: int) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8))


PICTURES = [png(at) for at in range(5)]
CAPTIONS = [f"caption {at // 2}" for at in range(5)]
COLUMNS: dict[Any, Any] = {"prompt": "caption", "media": "image"}


def table() -> pa.Table:
    images = [{"bytes": one, "path": None} for one in PICTURES]
    return pa.table({"caption": CAPTIONS, "image": images, "unused": [b"x" * 99] * 5})


def named(folder: Path) -> list[dict[str, str]]:
    """The rows as a text table has them: by the names of files."""
    (folder / "img").mkdir(parents=True)
    for at, data in enumerate(PICTURES):
        (folder / "img" / f"{at}.png").write_bytes(data)
    return [{"caption": text, "image": f"img/{at}.png"} for at, text in enumerate(CAPTIONS)]


def as_csv(folder: Path) -> None:
    lines = ["caption,image", *(",".join(row.values()) for row in named(folder))]
    (folder / "metadata.csv").write_text("\ufeff" + "\n".join(lines))


def as_lines(folder: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in named(folder))
    (folder / "rows.jsonl").write_text(text)


def as_array(folder: Path) -> None:
    (folder / "rows.json").write_text(json.dumps(named(folder), indent=1))


def as_parquet(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    for at in range(2):  # two shards, of several row groups
        part = table().slice(at * 3, 3)
        pq.write_table(part, folder / "data" / f"train-0000{at}-of-00002.parquet", row_group_size=2)
    (folder / "README.md").write_text("---\n---\n")


def as_saved(folder: Path) -> None:
    """As `datasets.DatasetDict.save_to_disk` lays it out."""
    split = folder / "train"
    split.mkdir(parents=True)
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (split / "dataset_info.json").write_text("{}")
    files = []
    for at in range(2):
        files.append({"filename": f"data-0000{at}-of-00002.arrow"})
        part = table().slice(at * 3, 3)
        sink = pa.OSFile(str(split / files[-1]["filename"]), "wb")
        with sink, pa.ipc.new_stream(sink, part.schema) as stream:
            stream.write_table(part)
    (split / "cache-1.arrow").write_bytes(b"no rows of it")
    (split / "state.json").write_text(json.dumps({"_data_files": files}))


def as_tars(folder: Path) -> None:
    folder.mkdir()
    for shard in range(2):
        with tarfile.open(folder / f"shard-{shard:06d}.tar", "w") as tar:
            for at in range(shard * 3, min(5, shard * 3 + 3)):
                words = json.dumps({"caption": CAPTIONS[at]}).encode()
                for ending, data in (("png", PICTURES[at]), ("json", words)):
                    member = tarfile.TarInfo(f"some/{at:04d}.{ending}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "csv": as_csv,
    "lines": as_lines,
    "array": as_array,
    "parquet": as_parquet,
    "saved": as_saved,
}


def all_groups(what: Bringing) -> list[Group]:
    """All rows of a table, as its workers would read them."""
    found = []
    for piece in what.table.pieces(what.columns):
        for _, _, row in what.table.rows(piece, what.columns):
            assert isinstance(row, dict)
            read = what.table.folder.medium
            found.append(
                what.reader(row, lambda name, file=piece.file, read=read: read(file, name))
            )
    return found


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> list[Group]:
    folder = tmp_path_factory.mktemp("brought") / "csv"
    as_csv(folder)
    return all_groups(bringing(Candidates(path=str(folder), columns=COLUMNS), "produce.candidates"))


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_gives_the_same_candidates(
    layout: str, wanted: list[Group], tmp_path: Path
) -> None:
    LAYOUTS[layout](tmp_path / "set")
    what = bringing(Candidates(path=str(tmp_path / "set"), columns=COLUMNS), "produce.candidates")
    assert all_groups(what) == wanted
    assert [group.prompt.text for group in wanted] == CAPTIONS
    assert all(one.error is None for group in wanted for one in group.candidates)
    seen = look(what)
    assert {"caption", "image"} <= {*seen.columns}
    assert seen.num_rows in (5, None)
    names = [piece.name for piece in what.table.pieces(what.columns)]
    assert names == sorted({*names})


def test_a_table_is_known_by_its_bytes(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "other", "changed"):
        as_csv(tmp_path / name)
        spec = Candidates(path=str(tmp_path / name), columns=COLUMNS)
        if name == "changed":
            path = tmp_path / name / "metadata.csv"
            path.write_text(path.read_text().replace("caption 0", "caption 9"))
        digests.append(bringing(spec, "produce.candidates").parent().digest)
    assert digests[0] == digests[1] != digests[2]


def test_tars_name_their_media_by_themselves(wanted: list[Group], tmp_path: Path) -> None:
    as_tars(tmp_path / "set")
    spec = Candidates(path=str(tmp_path / "set"), columns={"prompt": "json.caption"})
    assert all_groups(bringing(spec, "produce.candidates")) == wanted


def test_a_hub_name_is_read_at_its_commit(
    wanted: list[Group], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "c" * 40
    cached = tmp_path / "hub" / "datasets--org--pictures"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    as_csv(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    what = bringing(Candidates(path="org/pictures", columns=COLUMNS), "produce.candidates")
    assert what.parent().digest == commit[:16]
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download",
        lambda name, file, *, repo_type, revision: str(cached / "snapshots" / revision / file),
    )
    assert all_groups(what) == wanted
    assert "org/pictures@cccccccccccc/metadata.csv" in str(look(what))
    with pytest.raises(
        InputError, match=r"candidates\.path: org/none is no local file .* no commit"
    ):
        bringing(Candidates(path="org/none"), "produce.candidates")
    with pytest.raises(OSError, match="is no file of org/pictures"):
        what.table.folder.medium("metadata.csv", "../../refs/main")


def test_a_parquet_file_is_read_by_the_columns_that_are_needed(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    what = bringing(Candidates(path=str(tmp_path / "set"), columns=COLUMNS), "produce.candidates")
    (piece, *_) = what.table.pieces(what.columns)
    for _, _, row in what.table.rows(piece, what.columns):
        assert isinstance(row, dict)
        assert {*row} == {"caption", "image"}


def refused(fault: str, path: Path | str, **more: Any) -> None:
    with pytest.raises(InputError, match=fault):
        look(bringing(Candidates(path=str(path), **{"columns": COLUMNS, **more}), "KEY"))


def test_what_is_no_table_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.png").write_bytes(PICTURES[0])
    refused(r"KEY\.path: .*absent: there is no such file or folder", tmp_path / "absent")
    refused(r"KEY\.path: .*a\.png: is none of \.parquet", tmp_path / "empty" / "a.png")
    refused(r"KEY\.path: .*empty: holds no table", tmp_path / "empty")
    as_csv(tmp_path / "csv")
    refused(r"KEY\.media: .*none: no such folder", tmp_path / "csv", media=str(tmp_path / "none"))
    refused(r"KEY\.revision: is of a hub's name", tmp_path / "csv", revision="main")
    (tmp_path / "csv" / "metadata.csv").write_text("caption,image\n")
    refused(r"metadata\.csv: holds no rows", tmp_path / "csv")
    (tmp_path / "csv" / "metadata.csv").write_bytes(b"caption,image\n\xff,x\n")
    refused(r"row 1: .* the byte 0xFF, which is no UTF-8", tmp_path / "csv")
    as_lines(tmp_path / "two")
    (tmp_path / "two" / "more.jsonl").write_text("{}")
    refused(r"two holds several tables: more\.jsonl, rows\.jsonl; name one", tmp_path / "two")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    refused(r"torn\.parquet: cannot be read", tmp_path / "torn.parquet")
    (tmp_path / "torn.tar").write_bytes(b"no tar at all" * 99)
    refused(r"torn\.tar: cannot be read", tmp_path / "torn.tar")


def test_of_several_splits_one_is_to_be_named(tmp_path: Path) -> None:
    as_parquet(tmp_path / "set")
    pq.write_table(table(), tmp_path / "set" / "data" / "test-00000-of-00001.parquet")
    refused(r"KEY\.split: .* holds train and test: say which, as train", tmp_path / "set")
    refused(r"KEY\.split: no file of .* is of 'dev'", tmp_path / "set", split="dev")
    spec = Candidates(path=str(tmp_path / "set"), columns=COLUMNS, split="test")
    assert find_table(spec, "KEY").files == ("data/test-00000-of-00001.parquet",)


def test_a_missing_column_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    as_csv(tmp_path / "set")
    there = r"there are: caption, image$"
    refused(
        rf"KEY\.columns\.prompt: .*metadata\.csv has no column 'text'; {there}",
        tmp_path / "set",
        columns={"prompt": "text", "media": "image"},
    )
    refused(rf"has no column 'prompt': say which holds it.*{there}", tmp_path / "set", columns={})
    refused(
        rf"has no column 'media' or 'answer': say which.*{there}",
        tmp_path / "set",
        columns={"prompt": "caption"},
    )
    refused(
        rf"KEY\.columns\.generator: .* has no column 'model'; {there}",
        tmp_path / "set",
        columns={**COLUMNS, "generator": "model"},
    )


def test_first_rows_that_cannot_be_used_are_told_and_refused_where_none_can(tmp_path: Path) -> None:
    as_csv(tmp_path / "set")
    path = tmp_path / "set" / "metadata.csv"
    path.write_text(path.read_text() + "\n,img/1.png\ncaption 2,../outside.png\n")
    seen = look(bringing(Candidates(path=str(path), columns=COLUMNS), "KEY"))
    assert "1 of the first 7 cannot be used: " in str(seen)
    assert "metadata.csv: row 6: 'caption' is missing or empty" in str(seen)
    assert "1 candidates of the first rows cannot be read" in str(seen)
    path.write_text("caption,image\na,no.png\nb,/etc/hostname\n")
    refused(r"no candidate of the first 2 rows can be used: 'image' names 'no\.png'", path)
    path.write_text("caption,image\na,https://example.org/a.png\n")
    refused(r"'image' names 'https.*is a URL, and nothing is fetched: download it below", path)
    refused(
        r"none of the first 1 rows .* 'source_media' is missing: image_understanding asks",
        path,
        task="image_understanding",
    )
    path.write_text("caption,image\na red, round kite,0.png\na blue, long boat,1.png\n")
    refused(r"none of the first 2 rows can be used: .*: row 1: 'row' has more values than", path)


def test_a_field_that_the_items_lack_is_named(tmp_path: Path) -> None:
    items = [{"response": "x", "points": 3}, {"response": "y", "points": 4}]
    (tmp_path / "q.png").write_bytes(PICTURES[0])
    row = {"instruction": "what ?", "image": "q.png", "completions": items}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n{broken\n")
    columns: dict[Any, Any] = {
        "prompt": "instruction",
        "source_media": "image",
        "candidates": "completions",
        "answer": "response",
        "score": "points",
    }
    spec = Judged(
        path=str(tmp_path / "rows.jsonl"),
        task="image_understanding",
        judge="gpt",
        scale=(1, 5),
        columns=columns,
    )
    seen = look(bringing(spec, "KEY"))
    assert (seen.has_scores, seen.has_duels) == (True, False)
    assert "row 2: 'row' is not JSON" in seen.faults[0]
    wrong = spec.model_copy(update={"columns": {**columns, "score": "overall"}})
    with pytest.raises(InputError, match=r"'overall', nor have the items of 'completions' such a"):
        look(bringing(wrong, "KEY"))
    unscaled = spec.model_copy(update={"scale": None})
    with pytest.raises(InputError, match=r"row 1: 'points' holds scores, and nothing says on whic"):
        look(bringing(unscaled, "KEY"))
