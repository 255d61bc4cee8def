"""Pairs and groups leave by the command line, and what comes out says the same as what went in."""

import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from factory.brought.verdicts import JudgedRowReader, together
from factory.exports import hugging_face
from factory.exports.registry import EXPORTERS, Exporter, Table
from jobs import export as command
from jobs import import_labels
from jobs.datasets.reading import read_table
from schemas import manifest
from schemas.arrow import groups_from_table, labels_from_table
from schemas.columns import GROUPS, LABELS
from schemas.rows import UNDERSTANDING, Pair
from tests.factory.exports.rows import pair_of
from tests.journeys.a_root import TASKS, pairs, write_root


@cache
def kept() -> list[Pair]:
    return [pair for pair in pairs() if pair.verdict == "kept"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_root(tmp_path_factory.mktemp("exports") / "run")


def run(root: Path, *arguments: object) -> int:
    return command.main([*map(str, arguments), f"root={root}"])


def rows_of(out: Path, split: str = "train") -> list[dict]:
    rows = []
    for path in sorted((out / split).iterdir()):
        if path.suffix == ".json":
            rows += json.loads(path.read_text())
        else:
            rows += pq.read_table(path).to_pylist()
    return rows


def files_of(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and not path.name.startswith(".") and path.name != manifest.FILE
    }


def test_each_format_tells_what_it_holds_and_what_it_leaves_out(root, tmp_path, capsys):
    for name, exporter in EXPORTERS.items():
        if "pairs" not in exporter.reads:
            continue
        out = tmp_path / name
        assert run(root, name, "--out", out) == 0
        made = manifest.read(out)
        left_out = made.counts["left_out"]
        assert made.counts["rows"] == len(kept()) == made.counts["records"] + left_out
        assert len(rows_of(out)) == made.counts["records"]
        assert made.parents[0].address == "pairs@1"
        told = capsys.readouterr().out
        assert ("left out: task" in told) == ("left_out_task" in made.counts)
        card = (out / "README.md").read_text()
        assert f"| split train | {made.counts['records']} |" in card
        assert "| objection: like another | 1 |" in card
        assert "place: first place" in card
        assert "| precision | 0.9 (0.8 to 0.95) |" in card
        assert "- groups: groups@1" in card
        assert "Judged by `judge@1`." in card
        assert "CC0-1.0, our prompts" in card


def test_a_table_that_shows_pictures_has_their_very_bytes(root, tmp_path):
    assert run(root, "datasets", "--out", tmp_path / "d") == 0
    rows = {row["pair_id"]: row for row in rows_of(tmp_path / "d")}
    assert set(rows) == {pair.pair_id for pair in kept()}
    for pair in kept():
        row = rows[pair.pair_id]
        assert row["prompt_id"] == pair.prompt.prompt_id
        assert row["weight"] == 0.5
        if pair.prompt.task == "image_generation":
            assert row["chosen_image"]["bytes"] == pair.chosen.media.data
            assert Image.open(io.BytesIO(row["rejected_image"]["bytes"])).size == (16, 16)
        elif pair.prompt.task == "video_generation":
            assert row["chosen_video"]["bytes"] == pair.chosen.media.data
        else:
            assert (row["chosen"], row["rejected"]) == (pair.chosen.answer, pair.rejected.answer)


def imported(out: Path, name: str, files: list[Path], tmp_path: Path) -> list:
    labels = tmp_path / f"{name}@1"
    given = [name, *map(str, files), "--out", str(labels), "--media", str(out)]
    # A dialogue about two pictures is no single question, and the importer sets it aside.
    assert import_labels.main([*given, "--keep-going"]) == 0
    return labels_from_table(read_table(labels, LABELS))


@pytest.mark.parametrize("name", ["trl", "pick-a-pic", "unified-reward"])
def test_what_is_exported_and_imported_again_is_the_same(root, tmp_path, name):
    out = tmp_path / "out"
    assert run(root, name, "--out", out) == 0
    labels = imported(out, name, sorted((out / "train").iterdir()), tmp_path)
    wanted = {pair.prompt.prompt_id: pair for pair in kept()}
    # A pair of clips is shown by frames, which are other media than the clips.
    labels = [one for one in labels if one.prompt.task != "video_generation"]
    num = {"trl": 4, "pick-a-pic": 2, "unified-reward": 8}[name]
    assert len({one.prompt.prompt_id for one in labels}) == len(labels) == num
    for label in labels:
        pair = wanted[label.prompt.prompt_id]
        sides = [pair.chosen, pair.rejected]
        if label.preference == "second":
            sides.reverse()
        if pair.prompt.task in UNDERSTANDING:
            assert [label.first_answer, label.second_answer] == [side.answer for side in sides]
        else:
            assert [label.first.data, label.second.data] == [side.media.data for side in sides]


@pytest.mark.parametrize("name", ["ms-swift", "llama-factory", "unified-reward", "verl-omni"])
def test_media_lie_where_their_paths_say(root, tmp_path, name):
    out = tmp_path / "out"
    assert run(root, name, "--out", out) == 0
    media = {}
    for row in rows_of(out):
        named = [row.get(key) for key in ("img_win", "img_lose", "video")]
        for key in ("images", "rejected_images", "videos"):
            named += row.get(key) or ()
        base = out / "train" if name == "verl-omni" else out
        media |= {path: (base / path).read_bytes() for path in named if path is not None}
    known = {
        part.media.data
        for pair in kept()
        for part in (*pair.prompt.in_full, pair.chosen, pair.rejected)
        if part.media is not None
    }
    of_frames = [data for data in media.values() if data not in known]
    assert len(media) > len(of_frames)
    assert len(of_frames) == (2 * 8 * 3 if name == "unified-reward" else 0)  # 3 pairs of clips
    if name == "verl-omni":  # its loader takes paths as relative to the one file that it is given
        assert len(list((out / "train").iterdir())) == 1


def test_groups_and_candidates_go_by_n_way_and_datasets(root, tmp_path):
    for number, (name, source) in enumerate(
        [("n-way", "groups@1"), ("n-way", "candidates@1"), ("datasets", "groups@1")]
    ):
        out = tmp_path / str(number)
        assert run(root, name, "--groups", source, "--out", out) == 0
        rows = rows_of(out)
        assert {row["task"] for row in rows} == set(TASKS)
        assert all(len(row["completions"]) == 3 and len(row["duels"]) == 2 for row in rows)
    assert run(root, "unified-reward", "--groups", "groups@1", "--out", tmp_path / "u") == 2
    given = ("unified-reward", "--groups", "groups@1", "--out", tmp_path / "u")
    assert run(root, *given, "--scale", "1:5") == 0
    assert len(rows_of(tmp_path / "u")) == 2 * len(TASKS)


#: As docs/journeys/judged-groups.md says it of our own export.
OURS = {
    "prompt": "instruction",
    "candidates": "completions",
    "id": "completion_id",
    "score": "overall_score",
    "breakdown": "annotations",
    "generator": "model",
}
OF_TASK = {
    "image_generation": {"media": "image"},
    "video_generation": {"media": "video"},
    "image_understanding": {"answer": "response", "source_media": "images"},
    "video_understanding": {"answer": "response", "source_media": "video"},
}


def test_groups_that_left_by_n_way_come_in_again_the_same(root, tmp_path):
    assert run(root, "n-way", "--groups", "groups@1", "--out", tmp_path / "out") == 0
    given = {
        group.prompt.prompt_id: group
        for group in groups_from_table(read_table(root / "data" / "groups@1", GROUPS))
    }
    for row in rows_of(tmp_path / "out"):
        columns = OURS | OF_TASK[row["task"]]
        read = JudgedRowReader(columns, judge="judge@1", scale=(1.0, 5.0))
        group, before = together([read(row, Path.read_bytes)]), given.pop(row["prompt_id"])
        assert group.prompt == before.prompt
        assert [content(one) for one in group.candidates] == [
            content(one) for one in before.candidates
        ]
        assert group.candidates[2].error
        numbers = {
            new.candidate_id: old.candidate_id
            for new, old in zip(group.candidates, before.candidates, strict=True)
        }
        said = [(numbers[one.candidate_id], one.value) for one in group.scores]
        assert said[:2] == [(one.candidate_id, one.value) for one in before.scores[:2]]
        assert group.scores[2].error
        assert [
            (numbers[one.first_id], numbers[one.second_id], one.p_first, one.p_second, one.p_tie)
            for one in group.duels
        ] == [
            (one.first_id, one.second_id, one.p_first, one.p_second, one.p_tie)
            for one in before.duels
        ]
    assert not given


def content(candidate):
    """What was drawn, by whom, and by which chance."""
    media = None if candidate.media is None else candidate.media.data
    return candidate.generator, candidate.seed, candidate.answer, media


class KilledError(Exception):
    pass


def dies_after(num: int):
    """The projection of `datasets` that dies once."""
    left = [num]

    def project(pair, options):
        left[0] -= 1
        if left[0] == 0:
            raise KilledError
        return hugging_face.project(pair, options)

    return project


@pytest.mark.parametrize("num", [1, 7, 16])
def test_a_killed_export_goes_on_and_writes_the_very_files(tmp_path, num, capsys, monkeypatch):
    root = write_root(tmp_path / "run", [pair_of(number) for number in range(16)])
    given = ("datasets", "--split", "train=0.7,test=0.3", "--shard-rows", "4")
    assert run(root, *given, "--out", tmp_path / "whole") == 0
    dying = replace(EXPORTERS["datasets"], reads={"pairs": dies_after(num)})
    monkeypatch.setitem(EXPORTERS, "datasets", dying)
    with pytest.raises(KilledError):
        run(root, *given, "--out", tmp_path / "killed")
    assert manifest.read(tmp_path / "killed") is None
    capsys.readouterr()
    assert run(root, *given, "--out", tmp_path / "killed") == 0
    assert ("going on after" in capsys.readouterr().out) == (num > 4)
    whole, killed = files_of(tmp_path / "whole"), files_of(tmp_path / "killed")
    for files in (whole, killed):
        files.pop("README.md")  # which says the folder's name
    assert killed == whole
    assert len(whole) >= 4 + 1  # slices of four rows, and of both splits
    shown = [rows_of(tmp_path / "killed", split) for split in ("train", "test")]
    ids = [{row["prompt_id"] for row in rows} for rows in shown]
    assert not ids[0] & ids[1]
    assert len(ids[0]) + len(ids[1]) == 16
    assert len(ids[0]) > len(ids[1]) > 0
    assert run(root, *given, "--out", tmp_path / "killed") == 0
    assert "complete already" in capsys.readouterr().out


def test_a_dry_run_counts_and_writes_nothing(root, tmp_path, capsys):
    assert run(root, "trl", "--out", tmp_path / "out", "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"trl of {len(kept())} pairs" in told
    assert "train: 4 record(s), media inline" in told
    assert "left out: task: 9 (such as " in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("tlr",), "'tlr' is no exporter; known: trl"),
        (("trl", "--media", "files"), "trl is loaded with its media inline"),
        (("trl", "--groups", "groups@1"), "is made of pairs: give --pairs"),
        (("n-way", "--pairs", "pairs@1"), "--groups"),
        (("trl", "--pairs", "pairs@7"), "no such data set"),
        (("trl", "--pairs", "pairs@1", "--pairs", "{root}/data/pairs@1"), "twice"),
        (("n-way", "--groups", "groups@1", "--verdict", "kept"), "groups have none"),
        (("trl", "--push-to-hub", "us/pairs"), "HF_TOKEN is not in the environment"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_made(
    root, tmp_path, capsys, monkeypatch, given, told
):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    given = [one.format(root=root) for one in given]
    assert run(root, *given, "--out", tmp_path / "out") == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_place_with_something_else_in_it_is_left_alone(root, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("…")
    assert run(root, "trl", "--out", tmp_path / "mine") == 2
    assert "holds files that are no export" in capsys.readouterr().err
    assert run(root, "trl", "--out", tmp_path / "out") == 0
    assert run(root, "datasets", "--out", tmp_path / "out") == 2
    assert "format: 'trl' -> 'datasets'" in capsys.readouterr().err


def test_a_form_that_holds_nothing_of_the_rows_leaves_nothing_behind(tmp_path, capsys):
    root = write_root(tmp_path / "run", [pair_of(number) for number in range(4)])
    assert run(root, "trl", "--out", tmp_path / "out") == 2
    assert "no row fits this form (task 4)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_pair_is_read_by_its_verdict(root, tmp_path):
    assert run(root, "datasets", "--verdict", "all", "--out", tmp_path / "all") == 0
    assert len(rows_of(tmp_path / "all")) == len(pairs())
    assert run(root, "datasets", "--verdict", "rejected", "--out", tmp_path / "no") == 0
    (row,) = rows_of(tmp_path / "no")
    assert row["objections"] == ["like another: 0.9"]


def project_own(pair: Pair, options) -> list[dict]:
    return [{"said": pair.prompt.text, "better": pair.chosen.media}]


OWN = Exporter(
    "own",
    "What our trainer reads.",
    {"pairs": project_own},
    ("files", "inline"),
    {"pairs": Table(pa.schema([("said", pa.string()), ("better", pa.string())]))},
)


def test_an_exporter_of_ones_own_needs_no_change_to_the_package(tmp_path, capsys):
    root = write_root(tmp_path / "run", [pair_of(number) for number in range(4)])
    out = tmp_path / "out"
    assert run(root, f"{__name__}:OWN", "--out", out) == 0
    assert [row["said"] for row in rows_of(out)] == [f"a cross, {number}" for number in range(4)]
    assert all((out / row["better"]).is_file() for row in rows_of(out))
    assert run(root, f"{__name__}:OWN", "--media", "inline", "--out", tmp_path / "no") == 2
    assert "own: a record does not fit the columns" in capsys.readouterr().err


class HubStub:
    """Stands in for `huggingface_hub.HfApi`: notes what it is asked for, and has no network."""

    def __init__(self):
        self.calls = []

    def __call__(self, token):
        self.token = token
        return self

    def create_repo(self, repository, **how):
        self.calls.append((self.token, repository, how["private"]))

    def upload_folder(self, **what):
        self.calls.append(what)


def test_a_finished_export_is_pushed_by_the_token_of_the_environment(root, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub = HubStub()
    monkeypatch.setattr("huggingface_hub.HfApi", hub)
    given = ("trl", "--out", tmp_path / "out", "--push-to-hub", "us/pairs")
    assert run(root, *given) == 0
    made, sent = hub.calls
    assert made == ("hf_secret", "us/pairs", True)
    assert sent["folder_path"] == str(tmp_path / "out")
    assert "manifest.json" in sent["ignore_patterns"]
    assert all(b"hf_secret" not in data for data in files_of(tmp_path / "out").values())
