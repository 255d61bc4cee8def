"""Asking a judge about labels: both orders, scores where wanted, and every fault marked."""

import math
from collections.abc import Sequence

import pytest

from actors.judge_workers import JudgeLabels, opinion_of
from factory.ranking.matchups import meeting
from schemas.arrow import labels_to_table, opinions_from_table
from schemas.rows import Candidate, Duel, Label, Media, Prompt, Score
from tests.stubs import Untallied

PROMPT = Prompt.of("a red circle", tags={"style": "plain"})
SMALL, LARGE = Media(b"1", 8, 8), Media(b"22", 8, 8)


class ByWidth:
    """A judge for whom more bytes are better; it cannot read empty media, and dislikes "boom"."""

    name = "width@1"

    def load(self) -> "ByWidth":
        return self

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "ByWidth":
        if prompt.text == "boom":
            raise ValueError("no such task")
        if prompt.text == "bug":
            raise KeyError("weights")
        self.sizes = [
            len(one.media.data) if one.media else len(one.answer or "") for one in candidates
        ]
        self.asked: list[tuple[int, int]] = []
        return self

    def scores(self) -> list[Score]:
        return [
            Score(str(at), self.name, float(size), 0.1)
            if size
            else Score(str(at), self.name, math.nan, math.nan, "empty")
            for at, size in enumerate(self.sizes)
        ]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        self.asked += matches
        p = [0.9 if self.sizes[a] > self.sizes[b] else 0.1 for a, b in matches]
        return [
            Duel(str(a), str(b), self.name, first, 1 - first, 0.0)
            for (a, b), first in zip(matches, p, strict=True)
        ]


def test_a_pair_is_shown_in_both_orders_and_scored_if_asked() -> None:
    judge = ByWidth()
    label = Label("l", PROMPT, "ann", LARGE, SMALL, "first")
    opinion = opinion_of(judge, label, with_scores=False)
    assert judge.asked == [(0, 1), (1, 0)]
    assert opinion.scores == ()
    met = meeting(opinion)
    assert met is not None
    assert (met.preference, met.is_flipped) == ("first", False)
    assert (opinion.tags, opinion.task, opinion.judge) == (
        {"style": "plain"},
        "image_generation",
        "width@1",
    )
    assert len(opinion_of(judge, label, with_scores=True).scores) == 2


def test_points_and_answers() -> None:
    point = opinion_of(ByWidth(), Label("p", PROMPT, "ann", LARGE, points=4), with_scores=False)
    assert (point.points, point.preference, point.duels) == (4, None, ())
    assert point.scores[0].value == 2.0
    question = Prompt.of("What?", "image_understanding", media=SMALL)
    said = Label("a", question, "ann", None, None, "second", None, "", "heldout", "A.", "A cat.")
    met = meeting(opinion_of(ByWidth(), said, with_scores=False))
    assert met is not None
    assert met.preference == "second"


def test_whatever_goes_wrong_is_written_into_the_row() -> None:
    broken = opinion_of(
        ByWidth(), Label("b", Prompt.of("boom"), "ann", SMALL, LARGE, "tie"), with_scores=True
    )
    assert broken.error == "width@1: ValueError: no such task"
    assert meeting(broken) is None
    bug = Label("k", Prompt.of("bug"), "ann", SMALL, LARGE, "tie")
    assert opinion_of(ByWidth(), bug, with_scores=True).error == "width@1: KeyError: 'weights'"
    empty = Label("e", PROMPT, "ann", Media(b"", 0, 0), points=1)
    assert opinion_of(ByWidth(), empty, with_scores=False).scores[0].error == "empty"


class Second(ByWidth):
    """A judge whose opinions are no one else's."""

    name = "second@1"


def test_the_stage_gives_a_row_for_each_label_and_judge() -> None:
    labels = [
        Label("l", PROMPT, "ann", LARGE, SMALL, "first"),
        Label("b", Prompt.of("boom"), "ann", SMALL, LARGE, "tie"),
    ]
    tally = Untallied()
    stage = JudgeLabels([ByWidth(), Second()], tally)  # type: ignore[list-item, arg-type]
    found = opinions_from_table(stage(labels_to_table(labels)))
    assert [(one.label_id, one.judge, one.error is None) for one in found] == [
        ("l", "width@1", True),
        ("l", "second@1", True),
        ("b", "width@1", False),
        ("b", "second@1", False),
    ]


@pytest.mark.parametrize("with_scores", [True, False])
def test_the_rows_survive_their_table(with_scores: bool) -> None:
    label = Label("l", PROMPT, "ann", LARGE, SMALL, "first")
    stage = JudgeLabels([ByWidth()], Untallied(), with_scores)  # type: ignore[arg-type]
    (found,) = opinions_from_table(stage(labels_to_table([label])))
    assert found == opinion_of(ByWidth(), label, with_scores=with_scores)
