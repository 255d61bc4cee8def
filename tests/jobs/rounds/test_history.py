"""The rounds at a glance, from figures that are given."""

from dataclasses import replace

import pytest

from jobs.rounds.history import RoundSummary, _lines, told
from schemas.results import Estimate, Rollback

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


def test_an_estimate_without_a_value_or_an_interval():
    assert told(Estimate("win rate", None)) == "not measured"
    assert told(Estimate("win rate", 0.5)) == "0.500"
