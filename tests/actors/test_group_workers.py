"""What the judging step puts to a judge."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from actors.block_judging import in_turns
from actors.group_workers import Generate, Judging
from actors.tally import Piece
from factory.judging.recording import Recorder, RecordingJudge
from factory.judging.specification import DEFAULT, JudgeSpecification, ShownPrompt
from factory.ranking import Bracket, Duels, Noise, Pointwise, rankings
from schemas.arrow import groups_from_table, groups_to_table, with_judgements
from schemas.rows import Candidate, Drawn, Group, Prompt
from tests.stubs import Ref as StubRef
from tests.stubs import StubGenerator, StubJudge, Untallied

PROMPT = Prompt.of("a cup")


@dataclass(frozen=True)
class Ref:
    """Of a stub that notes the prompts that are put to it."""

    seen: list[str]
    shown: ShownPrompt
    name: str = "stubjudge"

    def load(self) -> StubJudge:
        return StubJudge()

    def recorded(self) -> tuple[RecordingJudge, Recorder]:
        task = replace(DEFAULT.task("image_generation"), prompt=self.shown)
        recorder = Recorder.of("w", "fp32", JudgeSpecification({"image_generation": task}))
        seen = self.seen

        class Noting(StubJudge):
            def sit(self, prompt: Prompt, candidates: Any) -> Any:
                seen.append(prompt.text)
                return super().sit(prompt, candidates)

        return RecordingJudge(Noting(), recorder), recorder


def group(*texts: str) -> Group:
    drawn = StubGenerator().generate(PROMPT, range(len(texts)))
    return Group(
        PROMPT,
        tuple(
            replace(one, drawn=Drawn(None, text, None, "stub", "fp32", "png"))
            for one, text in zip(drawn, texts, strict=True)
        ),
    )


@pytest.mark.parametrize(
    ("shown", "seen"), [("original", "a cup"), ("conditioning", "a cup, in oil")]
)
def test_a_judge_is_shown_the_prompt_that_its_specification_asks_for(
    shown: ShownPrompt, seen: str
) -> None:
    notes: list[str] = []
    stage = Judging([Ref(notes, shown)], Pointwise(), cast("Any", Untallied()), lambda table: table)
    judged = stage.judge(group("a cup, in oil", "a cup, in oil"), Piece("judge"))
    assert notes == [seen]
    assert not judged.is_invalid
    assert judged.prompt == PROMPT
    assert len(judged.replies) == 2


def test_candidates_of_different_prompts_are_no_group_for_such_a_judge() -> None:
    ref = Ref([], "conditioning")
    stage = Judging([ref], Pointwise(), cast("Any", Untallied()), lambda table: table)
    judged = stage.judge(group("a cup, in oil", "a cup, in ink"), Piece("judge"))
    assert judged.failed_stage == "judge"
    assert "were drawn from 2 different ones" in str(judged.error)


def test_a_judge_that_only_compares_is_asked_for_no_scores() -> None:
    stage = Judging([Ref([], "original")], Duels(), cast("Any", Untallied()), lambda table: table)
    judged = stage.judge(group("a cup", "a cup", "a cup"), Piece("judge"))
    assert not judged.is_invalid
    assert (judged.scores, len(judged.duels)) == ((), 6)
    assert [one.second_id is None for one in judged.replies] == [False] * 6


@dataclass(frozen=True)
class Raising:
    name: str

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        raise OSError("no weights")


def test_a_generator_that_fails_beside_another_is_counted_by_its_name() -> None:
    drawers = (StubRef(StubGenerator("sketch@0")), StubRef(cast("Any", Raising("ink@0"))))
    stage = Generate(drawers, 2, 0, cast("Any", Untallied()), lambda table: table)
    done = Piece("generate")
    drawn = stage.generate(Group(PROMPT, ()), done)
    assert drawn.error is None
    assert [one.error is None for one in drawn.candidates] == [True, True, False, False]
    assert done.numbers.lost == {"ink": (1, f"Row {PROMPT.prompt_id}: OSError: no weights")}
    assert done.numbers.num_failed == 0
    again = Piece("generate")
    assert stage.generate(drawn.without_attempts(), again).candidates[:2] == drawn.candidates[:2]


def test_a_block_is_judged_as_its_groups_would_be_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = ["a cup", "judge fails", "small judge", "a pot", "generator fails", "a jug"]
    groups = [
        Group(prompt := Prompt.of(text), tuple(StubGenerator().generate(prompt, range(6))))
        for text in texts
    ]
    groups[4] = replace(groups[4], error="no", failed_stage="generate")
    stage = Judging(
        [StubRef(StubJudge(), weights="w")], Bracket(2), cast("Any", Untallied()), lambda t: t
    )
    alone = [stage.judge(one, Piece("judge")) for one in groups]
    fits: list[int] = []

    def counted(said: Sequence[Any], noise: Noise) -> list[tuple[int, ...]]:
        fits.append(len(said))
        return rankings(said, noise)

    monkeypatch.setattr("factory.ranking.strategies.rankings", counted)
    done = Piece("judge")
    table = groups_to_table(groups)
    judged = stage.judge_all(groups_from_table(table), done)
    assert judged == alone
    assert [len(one.duels) for one in judged] == [6, 0, 6, 6, 0, 6]
    assert fits[:2] == [0, 3]  # none for the brackets, one for the finals of three
    assert [row for row, _ in done.numbers.examples] == [groups[1].prompt.prompt_id]
    assert done.numbers.num_made == sum(len(one.replies) for one in judged)
    assert with_judgements(table, judged).equals(groups_to_table(judged), check_metadata=True)
    monkeypatch.setattr("actors.block_judging.PIXELS_TOGETHER", 2 * 6 * 8 * 8)
    assert [len(some) for some in in_turns(groups)] == [2, 2, 2]
    assert stage.judge_all(groups, Piece("judge")) == alone
    # Whoever judges this again asks nothing.
    again = Piece("judge")
    known = [replace(one, replies=old.replies) for one, old in zip(groups, judged, strict=True)]
    assert stage.judge_all(known, again) == alone
    assert (again.numbers.num_made, again.numbers.num_taken) == (0, done.numbers.num_made)


def test_planning_is_no_time_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(said: Sequence[Any], noise: Noise) -> list[tuple[int, ...]]:
        time.sleep(0.2)
        return rankings(said, noise)

    monkeypatch.setattr("factory.ranking.strategies.rankings", slowly)
    stage = Judging(
        [StubRef(StubJudge(seconds=0.02))], Bracket(2), cast("Any", Untallied()), lambda t: t
    )
    done = Piece("judge")
    stage.judge(group(*"abcdef"), done)
    assert 0.02 <= done.numbers.model_s < 0.2


def test_what_failed_before_is_handed_on_as_it_is() -> None:
    failed = Group(PROMPT, (Candidate("c", "g@0", 1, error="no"),), (), (), "no", "generate")
    stage = Judging(
        [Ref([], "original")], Pointwise(), cast("Any", Untallied()), lambda table: table
    )
    assert stage.judge(failed, Piece("judge")) == failed
