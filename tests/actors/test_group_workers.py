"""What the judging step puts to a judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from actors.group_workers import Generate, Judging
from actors.tally import Piece
from factory.judging.recording import Recorder, RecordingJudge
from factory.judging.specification import DEFAULT, JudgeSpecification, ShownPrompt
from factory.ranking import Duels, Pointwise
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


def test_what_failed_before_is_handed_on_as_it_is() -> None:
    failed = Group(PROMPT, (Candidate("c", "g@0", 1, error="no"),), (), (), "no", "generate")
    stage = Judging(
        [Ref([], "original")], Pointwise(), cast("Any", Untallied()), lambda table: table
    )
    assert stage.judge(failed, Piece("judge")) == failed
