"""Groups that exist with their judgements become `groups@N` and pairs; no model is loaded.

See docs/journeys/judged-groups.md.
"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import loop, produce
from jobs.datasets.reading import read_groups, read_table
from jobs.rounds.workspace import Round
from schemas import results
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.recipe_file import load
from schemas.rows import Pair

SHIPPED = "jobs/recipes/judged-groups.yaml"
TABLES = Path("jobs/recipes/tables")
PREFERRED = (
    "produce.judged={path: jobs/recipes/tables/preferred.jsonl, judge: simulated-oracle@1, "
    "columns: {prompt: caption, media: [left, right], preference: better}, "
    "values: {left: first, right: second, both: tie}}"
)


def pairs_in(root: Path) -> list[Pair]:
    return pairs_from_table(read_table(root / "data" / "pairs@1", PAIRS))


def test_scores_alone_make_pairs(
    local_ray: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--recipe", SHIPPED, f"root={tmp_path}", "audit.num_resamples=50"]
    assert loop.main(words) == 0
    said = capsys.readouterr().out
    at = Round(load(SHIPPED, words[2:]), 1)
    groups = read_groups(tmp_path / "data" / "groups@1")
    assert len(groups) == 12
    given = {
        row["instruction"]: [one["overall_score"] for one in row["completions"]]
        for row in map(json.loads, (TABLES / "scored.jsonl").read_text().splitlines())
    }
    for group in groups:
        assert [one.value for one in group.scores] == given[group.prompt.text]
        assert {one.judge for one in group.scores} == {"simulated-oracle@1"}
        assert group.scores[0].breakdown.keys() == {"overall", "fit", "cleanliness"}
        assert not group.duels
        assert not group.is_invalid
        assert all(one.measures is not None for one in group.candidates)
    assert at.need("groups").counts["invalid"] == 0
    assert [one.role for one in at.need("groups").parents] == ["judged"]

    pairs = pairs_in(tmp_path)
    kept = [pair for pair in pairs if pair.verdict == "kept"]
    assert len(pairs) == 12
    assert len(kept) >= 6
    assert all(pair.score_margin >= 0.5 for pair in kept)
    assert {pair.judge for pair in pairs} == {"simulated-oracle@1"}

    profile = results.read(tmp_path / "data" / "profile@1" / results.PROFILE, results.Profile)
    assert profile is not None
    assert profile.judge == "simulated-oracle@1"
    assert any("leans to the side that it is shown first" in one for one in profile.unknown)
    assert any("it was not probed" in one for one in profile.unknown)
    assert not [one for one in profile.estimates if one.kind == "position"]
    assert "simulated-oracle@1: not known: whether the judge leans to the side" in said
    page = Path(str(at.report())).read_text()
    assert "Not known of this judge" in page
    assert "Not complete" not in page
    assert loop.main(words) == 0
    assert "pairs@1: complete already" in capsys.readouterr().out


@pytest.mark.parametrize("fusion", ["least_squares", "davidson"])
def test_preferences_alone_make_pairs(local_ray: None, tmp_path: Path, fusion: str) -> None:
    words = ["--recipe", SHIPPED, f"root={tmp_path}", "audit.num_resamples=50", PREFERRED]
    assert loop.main([*words, f"curate.rank.fusion={fusion}"]) == 0
    groups = read_groups(tmp_path / "data" / "groups@1")
    assert len(groups) == 12
    for group in groups:
        assert len(group.candidates) == 4
        assert not group.scores
        assert len(group.duels) == 6  # three comparisons, in both orders
        assert not group.is_invalid
    pairs = pairs_in(tmp_path)
    assert len(pairs) == 12
    assert [pair for pair in pairs if pair.verdict == "kept"]
    won = {
        (row["caption"], row[row["better"]])
        for row in map(json.loads, (TABLES / "preferred.jsonl").read_text().splitlines())
        if row["better"] != "both"
    }
    names = {path.read_bytes(): f"pictures/{path.name}" for path in TABLES.rglob("*.png")}
    for pair in pairs:
        assert pair.chosen.media is not None
        if pair.verdict == "kept":  # who is chosen has won at least once
            assert (pair.prompt.text, names[pair.chosen.media.data]) in won


def test_pick_a_pic_as_groups(local_ray: None, tmp_path: Path) -> None:
    """Rows are comparisons; a picture that comes in several of one caption is one candidate."""
    pictures = [(TABLES / "pictures" / f"0{at}-0.png").read_bytes() for at in range(3)]
    shares = [(0, 1, 1.0, 0.0), (1, 2, 0.5, 0.5), (0, 2, 1.0, 0.0), (0, 1, 0.0, 1.0)]
    rows = pa.table(
        {
            "caption": ["a cat", "a cat", "a cat", "a dog"],
            "jpg_0": [pictures[one[0]] for one in shares],
            "jpg_1": [pictures[one[1]] for one in shares],
            "label_0": [one[2] for one in shares],
            "label_1": [one[3] for one in shares],
            "model_0": ["sdxl"] * 4,
            "model_1": ["sd-2"] * 4,
            "num_example_per_prompt": [1, 1, 1, 3],
        }
    )
    pq.write_table(rows, tmp_path / "train-00000.parquet")
    judged = (
        f"produce.judged={{path: {tmp_path / 'train-00000.parquet'}, judge: people, columns: "
        "{prompt: caption, media: [jpg_0, jpg_1], preference: [label_0, label_1], "
        "generator: [model_0, model_1]}}"
    )
    words = ["--recipe", SHIPPED, f"root={tmp_path / 'run'}", "audit.num_resamples=50", judged]
    assert loop.main([*words, "curate.pairs_per_prompt=null", "curate.max_uses=null"]) == 0
    cat, dog = sorted(
        read_groups(tmp_path / "run" / "data" / "groups@1"), key=lambda one: one.prompt.text
    )
    assert (len(cat.candidates), len(cat.duels)) == (3, 6)
    assert (len(dog.candidates), len(dog.duels)) == (2, 2)
    assert {one.judge for one in cat.duels} == {"people@0"}
    kept = [pair for pair in pairs_in(tmp_path / "run") if pair.verdict == "kept"]
    chosen = sorted(
        (pair.prompt.text, pair.chosen.media.data) for pair in kept if pair.chosen.media
    )
    assert chosen == [("a cat", pictures[0]), ("a cat", pictures[0]), ("a dog", pictures[1])]


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("produce.judged.scale=null", "'overall_score' holds scores, and nothing says on which"),
        ("produce.judged.columns.score=points", "nor have the items of 'completions' such a field"),
        ("curate.rank.strategy=paper", "orders by duels that it plans itself"),
        ("produce.candidates={path: x}", "its groups are judged already"),
        ("produce.judged.scale=[5, 1]", "is not [LOW, HIGH] with LOW below HIGH"),
    ],
)
def test_the_plan_refuses_what_cannot_be(
    word: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert produce.main(["--dry-run", "--recipe", SHIPPED, f"root={tmp_path}", word]) == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_strategies_that_need_scores_are_refused_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--dry-run", "--recipe", SHIPPED, f"root={tmp_path}", PREFERRED]
    assert produce.main([*words, "curate.rank.strategy=pointwise"]) == 2
    assert "pointwise orders by scores, and the first rows of" in capsys.readouterr().err
    assert produce.main([*words, "curate.rank.strategy=ring"]) == 0
    assert "judged by simulated-oracle@1 (preferences)" in capsys.readouterr().out


@pytest.mark.parametrize("only", ["draw", "judge"])
def test_there_is_nothing_to_do_apart(
    only: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert produce.main(["--recipe", SHIPPED, f"root={tmp_path}", "--only", only]) == 2
    assert "leave --only out" in capsys.readouterr().err
