"""Pictures that exist become `candidates@N` and `groups@N`; see docs/journeys/own-candidates.md.

The shipped recipe runs on a few rows of its table, with rows and media that cannot be used among
them.
"""

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from factory.candidates import is_brought
from factory.media.measures import measure
from factory.prompts import read_prompts
from jobs import loop, produce
from jobs.datasets.files import num_rows, read_columns
from jobs.datasets.reading import read_groups, read_table
from jobs.pipelines.bringing import INVALID, bring, bringing
from jobs.rounds.workspace import Round
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.places import Place
from schemas.recipe import Candidates
from schemas.recipe_file import load
from schemas.rows import Group

SHIPPED = "jobs/recipes/own-candidates.yaml"
TABLES = Path("jobs/recipes/tables")
NUM_PROMPTS = 3
SMALL = [
    *("num_cpus=4", "audit.num_groups=2", "audit.num_resamples=50", "audit.edits=[brightness]"),
    "curate.objections.min_margin=0",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few prompts of the shipped table, in an order in which those of one do not stand together;
    one picture twice, one that is no picture, and a row without a caption.
    """
    folder = tmp_path_factory.mktemp("own") / "table"
    shutil.copytree(TABLES / "pictures", folder / "pictures")
    (folder / "pictures" / "broken.png").write_bytes(b"no picture")
    with (TABLES / "metadata.csv").open() as file:
        names, *rows = list(csv.reader(file))
    rows = rows[: 4 * NUM_PROMPTS]
    rows = [row for start in range(4) for row in rows[start::4]]
    text = rows[0][0]
    rows += [rows[0], [text, "pictures/broken.png", "other"], ["", "pictures/00-0.png", "other"]]
    with (folder / "metadata.csv").open("w") as file:
        csv.writer(file).writerows([names, *rows])
    return folder


@pytest.fixture(scope="module")
def words(folder: Path) -> list[str]:
    """Of the command line, but for the root."""
    return ["--recipe", SHIPPED, f"produce.candidates.path={folder}", *SMALL]


@pytest.fixture(scope="module")
def root(local_ray: None, words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the whole recipe made."""
    root = tmp_path_factory.mktemp("own") / "run"
    assert loop.main([*words, f"root={root}"]) == 0
    return root


def groups_in(root: Path, kind: str = "groups") -> list[Group]:
    found = read_groups(root / "data" / f"{kind}@1")
    return sorted(found, key=lambda one: one.prompt.prompt_id)


def test_rows_of_one_prompt_become_one_group_judged_by_a_judge_as_it_is(
    root: Path, folder: Path, words: list[str]
) -> None:
    at = Round(load(SHIPPED, [*words[2:], f"root={root}"]), 1)
    groups = groups_in(root)
    assert len(groups) == NUM_PROMPTS
    assert sorted(len(group.candidates) for group in groups) == [4, 4, 5]
    by_digest = {
        measures.digest: (one, measures)
        for path in (folder / "pictures").glob("*.png")
        if (one := path.read_bytes()) != b"no picture"
        and (measures := measure_bytes(one)) is not None
    }
    for one in (one for group in groups for one in group.candidates if one.error is None):
        assert one.media is not None
        assert one.measures is not None
        data, measures = by_digest[one.measures.digest]
        assert one.media.data == data  # as it came
        assert one.measures == measures
        assert is_brought(one)
        assert one.generator in ("sketcher@1", "sketcher@2")
    scores = [score for group in groups for score in group.scores]
    assert {score.judge for score in scores} == {"judge@0"}
    assert sum(score.error is None for score in scores) == 4 * NUM_PROMPTS

    made = at.need("groups")
    assert [one.role for one in made.parents] == ["candidates", "judge", "specification"]
    assert made.counts["set_aside"] == 1
    assert made.counts["invalid_candidates"] == 1
    assert made.settings["generator"] is None
    pairs = pairs_from_table(read_table(root / "data" / "pairs@1", PAIRS))
    assert {pair.judge for pair in pairs} == {"judge@0"}
    assert len(pairs) == NUM_PROMPTS


def measure_bytes(data: bytes):  # type: ignore[no-untyped-def]
    from factory.media.clips import describe

    return measure(describe(data))


def test_what_cannot_be_used_is_told_with_its_reason(root: Path, folder: Path) -> None:
    (line,) = (root / "data" / "groups@1" / INVALID).read_text().splitlines()
    assert json.loads(line) == {
        "file": f"{folder}/metadata.csv",
        "row": 15,
        "key": "caption",
        "reason": "'caption' is missing or empty",
    }
    (failed,) = (one for group in groups_in(root) for one in group.candidates if one.error)
    assert failed.error is not None
    assert failed.error.startswith("'file_name' cannot read a picture from 10 bytes")
    assert failed.generator == "other@0"
    assert not failed.is_attempt
    left = sorted(path.name for path in (root / "data" / "groups@1").glob("_*"))
    assert left == [INVALID]


def test_drawn_apart_they_are_judged_later_and_nothing_is_asked_twice(
    root: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = [*words, f"root={tmp_path}", f"produce.reuse=[{root}/data/groups@1]"]
    assert produce.main([*apart, "--only", "draw"]) == 0
    at = Round(load(SHIPPED, [*apart[2:]]), 1)
    made = at.need("candidates")
    assert made.counts == {
        "prompts": NUM_PROMPTS,
        "candidates": 4 * NUM_PROMPTS + 1,
        "invalid": 1,
        "invalid_candidates/other": 1,
        "set_aside": 1,
    }
    assert [one.candidates for one in groups_in(tmp_path, "candidates")] == [
        one.candidates for one in groups_in(root)
    ]
    assert produce.main([*apart, "--only", "judge"]) == 0
    first = Round(load(SHIPPED, [*words[2:], f"root={root}"]), 1).need("groups")
    second = at.need("groups")
    assert second.digest == first.digest
    assert second.figures["judge_made"] == 0
    assert first.figures["judge_made"] == second.figures["judge_taken"] > 0
    assert produce.main(apart) == 0
    assert "groups@1: complete already" in capsys.readouterr().out


def test_a_run_that_was_killed_goes_on_with_the_pieces_that_are_left(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.datasets.brought._ROWS_A_PIECE", 10)
    recipe = load(SHIPPED, [f"root={tmp_path}"])
    spec = recipe.produce.candidates
    assert spec is not None
    directory = tmp_path / "data" / "candidates@1"
    whole = bring(bringing(spec, "produce.candidates"), directory, recipe)
    assert whole.counts["rows"] == 48
    assert len(whole.prompts) == 12
    written = {path: path.stat().st_mtime_ns for path in directory.glob("_brought-*.parquet")}
    assert len(written) == 5
    lost = sorted(directory.glob("_brought-*.json"))[2]
    lost.unlink()
    again = bring(bringing(spec, "produce.candidates"), directory, recipe)
    assert again.counts == whole.counts
    assert list(again.prompts.ids()) == list(whole.prompts.ids())
    rewritten = [path.name for path, time in written.items() if path.stat().st_mtime_ns != time]
    assert [name.removesuffix("-0000.parquet") for name in rewritten] == [lost.stem]


def test_generators_draw_beside_them_where_prompts_are_given(
    local_ray: None, folder: Path, words: list[str], tmp_path: Path
) -> None:
    captions = [row["caption"] for row in csv.DictReader((folder / "metadata.csv").open())]
    (tmp_path / "prompts.txt").write_text(f"{captions[0]}\na prompt of which nothing exists\n")
    mixed = [
        *(*words, f"root={tmp_path / 'run'}", "produce.num_candidates=2"),
        f"produce.prompts={tmp_path / 'prompts.txt'}",
        "generator={path: 'tests.stubs:stub_generator', name: stub}",
    ]
    assert produce.main([*mixed, "--only", "draw"]) == 0
    drawn = {one.prompt_id for one in read_prompts(tmp_path / "prompts.txt")}
    found = {
        group.prompt.prompt_id: [is_brought(one) for one in group.candidates]
        for group in groups_in(tmp_path / "run", "candidates")
    }
    assert len(found) == NUM_PROMPTS + 1
    assert sorted(found[one] for one in drawn) == [[False, False], [True] * 5 + [False, False]]
    assert all(found[one] == [True] * 4 for one in found.keys() - drawn)
    made = Round(load(SHIPPED, mixed[2:]), 1).need("candidates")
    assert [one.role for one in made.parents] == ["prompts", "generator", "candidates"]


def test_the_plan_says_what_is_there_and_refuses_what_cannot_be(
    folder: Path, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = ["--dry-run", *words, f"root={tmp_path}"]
    assert produce.main(plan) == 0
    said = capsys.readouterr().out
    assert f"15 rows of {folder}/metadata.csv (caption, file_name, model; image_generation)" in said
    assert "1 of the first 15 cannot be used" in said
    assert "no generator, 1 judge(s)" in said
    assert produce.main([*plan, "produce.candidates.columns.prompt=text"]) == 2
    assert "has no column 'text'; there are: caption, file_name, model" in capsys.readouterr().err
    assert produce.main([*plan, "produce.candidates.columns.promt=text"]) == 2
    assert "produce.candidates.columns.promt" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_too_many_rows_that_cannot_be_used_end_the_run(local_ray: None, tmp_path: Path) -> None:
    from jobs.rounds.workspace import InputError

    rows = ["prompt,media", f"p,{Path('jobs/recipes/tables/pictures/00-0.png').absolute()}"]
    (tmp_path / "t.csv").write_text("\n".join([*rows, *([",x.png"] * 40)]))
    recipe = load(SHIPPED, [f"root={tmp_path / 'run'}"])
    what = bringing(Candidates(path=str(tmp_path / "t.csv")), "produce.candidates")
    with pytest.raises(InputError, match=r"40 of 41 rows of .*t\.csv cannot be used, more than"):
        bring(what, tmp_path / "run" / "data" / "groups@1", recipe)


def _rows(files: Sequence[Place]) -> list[dict[str, Any]]:
    return [row for path in files for row in read_columns(path).to_pylist()]


def test_large_media_leave_their_rows_as_they_are_brought(local_ray: None, tmp_path: Path) -> None:
    recipe = load(SHIPPED, [f"root={tmp_path}", "storage.max_inline_bytes=100"])
    spec = recipe.produce.candidates
    assert spec is not None
    directory = tmp_path / "data" / "candidates@1"
    found = bring(bringing(spec, "produce.candidates"), directory, recipe)
    assert num_rows(found.prompts.files) == 48
    held = [row["candidates"][0]["media"]["image"] for row in _rows(found.prompts.files)]
    assert all(one["bytes"] is None for one in held)
    assert all(one["path"].startswith("media/") for one in held)
    packs = [path.stat().st_size for path in (tmp_path / "media").rglob("*.tar")]
    assert sum(packs) > sum(path.stat().st_size for path in (TABLES / "pictures").glob("*.png"))
