"""The rounds at a glance, from figures that are given."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs.rounds.history import (
    RoundSummary,
    _lines,
    as_text,
    kept_in_a_row,
    rounds_so_far,
    told,
    write_summary,
)
from jobs.rounds.workspace import Round
from schemas import manifest, results
from schemas.manifest import Manifest
from schemas.recipe_file import load
from schemas.results import Decision, Estimate, Evaluation, Finding, Rollback

WON = Estimate("win rate", 0.6, 0.55, 0.65, 0.5, "share", 80, 2, "oracle@0")
ROUND = RoundSummary(
    number=2,
    champion="generator@1",
    challenger="generator@2",
    decision="promote",
    won=WON,
    won_by_own=replace(WON, by="judge@2", value=0.7, num_invalid=0),
    score_before=Estimate("score", 3.0, by="oracle@0"),
    score_after=Estimate("score", 3.5, by="oracle@0"),
    reasons=(),
    num_labels=120,
    num_inbox=0,
    judge_accuracy=0.8,
    num_kept=60,
    hours=1.5,
    missing=(),
    back=(),
)
BACK = Rollback("generator@0", "generator@2", "people disagree", "2026-01-01T00:00:00Z")


def test_a_round_in_lines():
    assert _lines(ROUND) == [
        "round 2: promote generator@2 against generator@1; champion from here on: generator@2",
        "  120 new labels; judge accuracy 0.800; 60 pairs kept; 1.50 hours",
        "  win rate by oracle@0: 0.600 [0.550, 0.650], 2 invalid",
        "  win rate by judge@2: 0.700 [0.550, 0.650]",
        "  score by oracle@0: 3.000 -> 3.500",
    ]


def test_what_is_not_there_is_not_told():
    bare = replace(ROUND, won=None, won_by_own=None, score_before=None, judge_accuracy=None)
    assert _lines(bare)[1:] == ["  120 new labels; 60 pairs kept; 1.50 hours"]
    assert _lines(replace(bare, num_inbox=7))[1].startswith(
        "  120 new labels, 7 of them from the inbox; 60"
    )
    begun = replace(bare, decision=None, missing=("align", "evaluate"))
    assert _lines(begun) == ["round 2: not complete (align, evaluate)"]


def test_why_a_champion_stayed_and_who_went_back():
    kept = replace(ROUND, decision="keep", reasons=("min_win_rate: too low",), back=(BACK,))
    assert _lines(kept)[0].endswith("champion from here on: generator@0")
    assert _lines(kept)[-2:] == [
        "  kept because of min_win_rate: too low",
        "  went back to generator@0 from generator@2: people disagree",
    ]


@pytest.mark.parametrize(
    ("decision", "back", "champion"),
    [
        ("promote", (), "generator@2"),
        ("keep", (), "generator@1"),
        (None, (), "generator@1"),
        ("promote", (replace(BACK, champion="generator@1"), BACK), "generator@0"),
    ],
)
def test_who_is_champion_after_a_round(decision, back, champion):
    assert replace(ROUND, decision=decision, back=back).next_champion == champion


def test_a_round_is_read_from_what_it_made(tmp_path):
    recipe = load("jobs/recipes/laptop.yaml", [f"root={tmp_path}", "num_rounds=3"])
    at = Round(recipe, 1)
    assert rounds_so_far(recipe) == []
    for kind, counts, figures in (
        ("labels", {"labels": 40, "inbox": 3}, {"seconds": 1800.0}),
        ("judge", {}, {"accuracy_without_ties": 0.75}),
        ("pairs", {"kept": 9}, {"seconds": 1800.0}),
        ("evaluation", {}, {}),
    ):
        directory = Path(str(at.directory(kind)))
        directory.mkdir(parents=True)
        made = Manifest(at.address(kind), kind, "fp", "d", (), {}, counts, figures)
        (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    won = [replace(WON, by=by) for by in ("judge@1", "oracle@0")]
    scores = [Estimate(f"score of {side}", 1.0 + side) for side in range(4)]
    said = Evaluation("b@1", "a@0", tuple(won), scores=tuple(scores))
    gate = Finding("min_win_rate", "b@1", False, 0.5, 0.4, message="too low")
    decision = Decision("keep", "b@1", "a@0", (gate, replace(gate, is_passed=True)))
    directory = Path(str(at.directory("evaluation")))
    (directory / results.EVALUATION).write_bytes(results.to_bytes(said))
    (directory / results.FINDINGS).write_bytes(results.to_bytes(decision))
    (found,) = rounds_so_far(recipe)
    assert (found.champion, found.challenger, found.decision) == ("a@0", "b@1", "keep")
    assert (found.won.by, found.won_by_own.by) == ("oracle@0", "judge@1")
    assert (found.score_before.value, found.score_after.value) == (3.0, 4.0)
    assert (found.num_labels, found.num_inbox, found.num_kept) == (40, 3, 9)
    assert (found.judge_accuracy, found.hours) == (0.75, 1.0)
    assert found.missing == ("produce", "audit", "align")
    assert found.reasons == ("min_win_rate: too low",)
    assert kept_in_a_row(recipe, 2) == 1
    assert kept_in_a_row(recipe, 1) == 0
    assert as_text(recipe).splitlines()[-1] == "  spent: 1.00 hours"
    path = write_summary(recipe)
    assert path == Round(recipe, 1).root / "reports" / "summary.txt"
    assert path.read_text() == as_text(recipe) + "\n"


def test_an_estimate_without_a_value_or_an_interval():
    assert told(Estimate("win rate", None)) == "not measured"
    assert told(Estimate("win rate", 0.5)) == "0.500"
