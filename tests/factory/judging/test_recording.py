"""A recording judge asks what nobody has answered, and all that it says rests on its ledger."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from factory.judging.by_scores import JudgeByScores, RaoKupper
from factory.judging.calibrated import CalibratedJudge
from factory.judging.calibration import Calibration, Line, ScoreMap, TaskCalibration, Temperature
from factory.judging.criteria import CriteriaJudge
from factory.judging.reading import duel_of, read, score_of
from factory.judging.recording import Recorder, RecordingJudge, without_words
from factory.judging.specification import (
    JudgeSpecification,
    SpecificationError,
    TaskSpecification,
    find,
)
from factory.keys import Asking, reply_key
from factory.protocols import Judge
from factory.sandbox.oracle_judge import OracleJudge
from schemas.arrow import groups_from_table, groups_to_table
from schemas.recipe import Criteria, Criterion
from schemas.rows import Candidate, Duel, Group, Media, Part, Prompt, Reply, Score

PROMPT = Prompt.of("a mug")
TASK = PROMPT.task
CANDIDATES = tuple(Candidate(name, "g@0", 0, answer=name * 3) for name in "abcd")
EVERY = [(i, j) for i in range(4) for j in range(4) if i != j]
WORDS = find("", "unifiedreward-llava-onevision")
WORDS = JudgeSpecification(
    {name: replace(one, reading="text") for name, one in WORDS.tasks.items()}, True
)


class Speaking:
    """Answers in words that follow from what it is shown, and writes down what it is asked."""

    name = "speaking@1"

    def __init__(self, specification: JudgeSpecification = WORDS) -> None:
        self.task = specification.task(TASK)
        self.num_sittings = 0
        self.scored: list[str] = []
        self.duelled: list[tuple[str, str]] = []
        self.calls: list[int] = []

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "SpeakingSitting":
        self.num_sittings += 1
        return SpeakingSitting(self, prompt, candidates)


class SpeakingSitting:
    def __init__(self, judge: Speaking, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.judge, self.prompt, self.candidates = judge, prompt, candidates

    def about(self, prompt: Prompt) -> "SpeakingSitting":
        return SpeakingSitting(self.judge, prompt, self.candidates)

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.candidates)) if indices is None else indices
        shown = [self.candidates[index] for index in wanted]
        self.judge.scored += [one.candidate_id for one in shown]
        self.judge.calls.append(len(shown))
        return [score_of(self._read(self._points(one), one.candidate_id)) for one in shown]

    def _points(self, one: Candidate) -> str:
        points = 1 + (sum(map(ord, (one.answer or "") + self.prompt.text)) % 40) / 10
        return "I would rather not." if "mute" in (one.answer or "") else f"Final Score: {points}"

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        self.judge.calls.append(len(matches))
        return [self._duel(self.candidates[i], self.candidates[j]) for i, j in matches]

    def _duel(self, first: Candidate, second: Candidate) -> Duel:
        ids = (first.candidate_id, second.candidate_id)
        self.judge.duelled.append(ids)
        better = 1 + (str(second.answer) > str(first.answer))
        return duel_of(self._read(f"Image {better} is better than Image {3 - better}.", *ids))

    def _read(self, text: str, *ids: str) -> Reply:
        return read(Reply(None, self.judge.name, *ids, text=text), self.judge.task)


def recorded(judge: Judge, specification: JudgeSpecification = WORDS) -> RecordingJudge:
    return RecordingJudge(judge, Recorder.of("weights", "fp32", specification))


def judged(
    judge: RecordingJudge,
    at_hand: Sequence[Reply] = (),
    matches: Sequence[tuple[int, int]] = EVERY,
    candidates: Sequence[Candidate] = CANDIDATES,
) -> Group:
    """A group as a table gives it back."""
    with judge.recorder.open(at_hand) as ledger:
        sitting = judge.sit(PROMPT, candidates)
        scores, duels = tuple(sitting.scores()), tuple(sitting.duels(matches))
    group = Group(PROMPT, tuple(candidates), scores, duels, replies=ledger.replies)
    return groups_from_table(groups_to_table([group]))[0]


def test_a_second_run_asks_nothing_and_ends_with_the_same_rows() -> None:
    first, second = Speaking(), Speaking()
    fresh = judged(recorded(first))
    assert fresh.scores == tuple(first.sit(PROMPT, CANDIDATES).scores())
    assert fresh.duels == tuple(first.sit(PROMPT, CANDIDATES).duels(EVERY))
    assert len({one.key for one in fresh.replies}) == len(fresh.replies) == 16
    assert all(one.key is not None and one.text for one in fresh.replies)
    judge = recorded(second)
    assert judged(judge, fresh.replies[::-1]) == fresh
    assert second.num_sittings == 0


def test_only_what_is_missing_is_asked_in_one_call_each() -> None:
    early = judged(recorded(Speaking()), (), [(0, 1), (1, 0)], CANDIDATES[:2])
    assert len(early.replies) == 4
    judge, raw = recorded(speaking := Speaking()), Speaking()
    with judge.recorder.open(early.replies) as ledger:
        sitting = judge.sit(PROMPT, CANDIDATES)
        scores, duels = sitting.scores(), sitting.duels([(0, 1), (2, 0), (1, 0), (0, 3)])
    assert speaking.scored == ["c", "d"]
    assert speaking.duelled == [("c", "a"), ("a", "d")]
    assert (speaking.num_sittings, speaking.calls) == (1, [2, 2])
    assert (ledger.num_asked, ledger.num_taken) == (4, 4)
    assert scores == raw.sit(PROMPT, CANDIDATES).scores()
    assert duels == raw.sit(PROMPT, CANDIDATES).duels([(0, 1), (2, 0), (1, 0), (0, 3)])
    # All of today's requests in their order, and nothing else that lay there.
    assert [(one.first_id, one.second_id) for one in ledger.replies] == [
        *((name, None) for name in "abcd"),
        *(("a", "b"), ("c", "a"), ("b", "a"), ("a", "d")),
    ]


def test_what_is_taken_bears_the_names_of_today() -> None:
    fresh = judged(recorded(Speaking()), matches=[(0, 1)])
    today = [replace(one, candidate_id=f"new-{one.candidate_id}") for one in CANDIDATES]
    judge = recorded(speaking := Speaking())
    speaking.name = "speaking@2"
    taken = judged(judge, fresh.replies, [(0, 1)], today)
    assert {one.judge for one in (*taken.scores, *taken.duels, *taken.replies)} == {"speaking@2"}
    assert (taken.duels[0].first_id, taken.duels[0].second_id) == ("new-a", "new-b")
    assert [one.first_id for one in taken.replies] == ["new-a", "new-b", "new-c", "new-d", "new-a"]
    assert [one.key for one in taken.replies] == [one.key for one in fresh.replies]
    assert speaking.num_sittings == 0


def test_another_reading_costs_no_call_and_another_asking_does() -> None:
    fresh = judged(recorded(Speaking()))
    task = WORDS.task(TASK)
    answers = {**task.answers, "tie": "Image 2 is better than Image 1.", "second": "Never."}

    def other(**change: object) -> JudgeSpecification:
        changed: TaskSpecification = replace(task, **change)  # type: ignore[arg-type]
        return JudgeSpecification({TASK: changed}, True)

    reading = other(answers=answers, scale=(2, 3, 4, 5))
    again, raw = Speaking(reading), Speaking(reading)
    taken = judged(recorded(again, reading), fresh.replies)
    assert again.num_sittings == 0
    assert taken.scores == tuple(raw.sit(PROMPT, CANDIDATES).scores())
    assert taken.duels == tuple(raw.sit(PROMPT, CANDIDATES).duels(EVERY))
    assert {one.p_tie for one in taken.duels} == {0.0, 1.0}
    for asking in (other(max_tokens=9), other(pointwise=f"Look. {task.pointwise}")):
        asked = Speaking(asking)
        judged(recorded(asked, asking), fresh.replies)
        assert len(asked.scored) == 4
    judge = RecordingJudge(renewed := Speaking(), Recorder.of("other weights", "fp32", WORDS))
    judged(judge, fresh.replies)
    assert (len(renewed.scored), len(renewed.duelled)) == (4, 12)


def test_the_words_for_a_source_are_in_the_keys_of_edits_alone() -> None:
    parts = [Part("source", media=Media(b"grey", 8, 8)), Part("user", "make it darker")]
    task = WORDS.task(TASK)
    keys = {
        (prompt.text, source): reply_key(
            Recorder.of("w", "fp32", other).asking(prompt), "score", prompt, CANDIDATES[:1]
        )
        for prompt in (PROMPT, Prompt.of_parts(parts))
        for source in ("Before: {source}", "Original: {source}")
        for other in [JudgeSpecification({TASK: replace(task, source=source)}, True)]
    }
    assert len(keys) == 4
    assert len(set(keys.values())) == 3
    with pytest.raises(SpecificationError, match="source"):
        recorded(Speaking()).sit(Prompt.of_parts(parts), CANDIDATES)


def test_an_unreadable_answer_is_taken_and_an_attempt_is_not() -> None:
    candidates = (*CANDIDATES[:2], Candidate("m", "g@0", 0, answer="mute"))
    fresh = judged(recorded(Speaking()), (), [], candidates)
    unread = fresh.replies[2]
    assert (unread.text, str(unread.error)[:11]) == ("I would rather not.", "unreadable:")
    failed = replace(
        fresh.replies[0], numbers=(), text=None, error="endpoint: timed out", is_attempt=True
    )
    speaking = Speaking()
    taken = judged(recorded(speaking), (failed, *fresh.replies[1:]), [], candidates)
    assert speaking.scored == ["a"]
    assert str(taken) == str(fresh)  # NaN is not equal to itself


def test_what_was_not_drawn_is_not_asked_about() -> None:
    candidates = (CANDIDATES[0], Candidate("x", "g@0", 0, error="too dark"), CANDIDATES[1])
    fresh = judged(recorded(Speaking()), (), [(0, 1), (0, 2)], candidates)
    assert [one.error for one in fresh.scores] == [None, "not generated: too dark", None]
    assert [one.error for one in fresh.duels] == ["not generated: too dark", None]
    assert math.isnan(fresh.duels[0].p_tie)
    assert len(fresh.replies) == 3
    speaking = Speaking()
    taken = judged(recorded(speaking), fresh.replies, [(0, 1), (0, 2)], candidates)
    assert str(taken) == str(fresh)
    assert speaking.num_sittings == 0


def test_equal_outputs_are_asked_about_once() -> None:
    twins = (CANDIDATES[0], replace(CANDIDATES[0], candidate_id="z"))
    found = judged(recorded(speaking := Speaking()), (), [(0, 1), (1, 0)], twins)
    assert (speaking.scored, len(speaking.duelled), len(found.replies)) == (["a"], 1, 2)
    assert [one.candidate_id for one in found.scores] == ["a", "z"]
    assert [one.first_id for one in found.duels] == ["a", "z"]
    assert found.scores[0].value == found.scores[1].value


def test_whose_weights_are_not_known_is_kept_and_never_taken() -> None:
    for recorder in (Recorder.of(None, "fp32", WORDS), Recorder(lambda _: None, WORDS)):
        judge = RecordingJudge(speaking := Speaking(), recorder)
        fresh = judged(judge)
        assert [one.key for one in fresh.replies] == [None] * 16
        assert judged(judge, fresh.replies) == fresh
        assert len(speaking.scored) == 8


def test_criteria_are_asked_apart_and_named() -> None:
    criteria = Criteria(
        named=[Criterion(name="clear", text="Is it clear?"), Criterion(name="x", text="Is it x?")]
    )

    def run(at_hand: Sequence[Reply], named: Criteria) -> tuple[list[Score], Speaking, list[Reply]]:
        speaking = Speaking()
        recorder = Recorder.of("weights", "fp32", WORDS)
        judge = CriteriaJudge(RecordingJudge(speaking, recorder, named), named)
        with recorder.open(at_hand) as ledger:
            scores = judge.sit(PROMPT, CANDIDATES).scores()
        return scores, speaking, list(ledger.replies)

    scores, speaking, replies = run((), criteria)
    assert scores == CriteriaJudge(Speaking(), criteria).sit(PROMPT, CANDIDATES).scores()
    assert [one.criterion for one in replies] == [None] * 4 + ["clear"] * 4 + ["x"] * 4
    assert (speaking.num_sittings, len(speaking.scored)) == (1, 12)
    weighed = criteria.model_copy(
        update={"named": [one.model_copy(update={"weight": 3.0}) for one in criteria.named]}
    )
    again, silent, _ = run(replies, weighed)
    assert silent.num_sittings == 0  # weights are in no key
    assert [one.breakdown for one in again] == [one.breakdown for one in scores]
    assert [one.value for one in again] != [one.value for one in scores]
    reworded = Criteria(named=[criteria.named[0], Criterion(name="x", text="Is it y?")])
    _, asked, _ = run(replies, reworded)
    assert (asked.num_sittings, len(asked.scored)) == (1, 4)


def test_a_new_calibration_and_new_rules_cost_no_call() -> None:
    fresh = judged(recorded(Speaking()), matches=[])
    rules = {TASK: RaoKupper(1.0, 2.0)}
    fitted = Calibration({TASK: TaskCalibration(Temperature(4.0), ScoreMap(Line(0.5, 1.0), 3.0))})
    raw = recorded(speaking := Speaking())
    judge = CalibratedJudge(JudgeByScores(raw, rules), fitted)
    with raw.recorder.open(fresh.replies) as ledger:
        sitting = judge.sit(PROMPT, CANDIDATES)
        scores, duels = sitting.scores(), sitting.duels(EVERY)
    plain = CalibratedJudge(JudgeByScores(Speaking(), rules), fitted).sit(PROMPT, CANDIDATES)
    assert (scores, duels) == (plain.scores(), plain.duels(EVERY))
    assert speaking.num_sittings == 0
    # What is kept stays raw.
    assert [one.numbers[0] for one in ledger.replies] == [one.value for one in fresh.scores]
    assert scores[0].value == pytest.approx(0.5 * fresh.scores[0].value + 1)


class Aspects:
    """A judge of somebody's own: numbers alone, with parts, always about all."""

    name = "aspects@0"

    def __init__(self) -> None:
        self.num_scored = 0

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "Aspects":
        self.candidates = candidates
        return self

    def scores(self) -> list[Score]:
        self.num_scored += 1
        broken = Score("b", self.name, 0.0, 0.0, "too odd")
        whole = [Score("a", self.name, 3.0, 0.5, None, {"hue": 2.0, "line": 4.0}), broken]
        return whole[: len(self.candidates)]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [Duel("a", "b", self.name, 0.7, 0.2, 0.1) for _ in matches]


def test_a_judge_of_ones_own_is_kept_by_its_numbers() -> None:
    recorder = Recorder(lambda _: Asking("mine@3", "its own"))
    judge = RecordingJudge(raw := Aspects(), recorder)
    with recorder.open() as ledger:
        fresh = judge.sit(PROMPT, CANDIDATES[:2]).scores([0])
        fresh += judge.sit(PROMPT, CANDIDATES[:2]).scores([1])
    assert fresh[0] == Score("a", "aspects@0", 3.0, 0.5, None, {"hue": 2.0, "line": 4.0})
    assert (fresh[1].error, math.isnan(fresh[1].value)) == ("too odd", True)
    kept = Group(PROMPT, CANDIDATES[:2], replies=ledger.replies)
    (kept,) = groups_from_table(groups_to_table([kept]))
    with recorder.open(kept.replies):
        taken = judge.sit(PROMPT, CANDIDATES[:2]).scores()
    assert raw.num_scored == 2
    assert str(taken) == str(fresh)


def test_words_can_be_dropped_and_are_then_asked_for_again() -> None:
    candidates = (*CANDIDATES[:2], Candidate("m", "g@0", 0, answer="mute"))
    fresh = judged(recorded(Speaking()), (), [(0, 1)], candidates)
    bare = without_words(fresh)
    assert [one.text for one in bare.replies] == [None] * 4
    assert "rather not" in str(fresh)
    assert "rather not" not in str(bare)
    assert str((bare.scores, bare.duels)) == str((fresh.scores, fresh.duels))
    assert bare.scores[2].error == "unreadable: no number after 'Final Score:'"
    assert [one.numbers for one in bare.replies] == [one.numbers for one in fresh.replies]
    speaking = Speaking()
    assert str(judged(recorded(speaking), bare.replies, [(0, 1)], candidates)) == str(fresh)
    assert (len(speaking.scored), len(speaking.duelled)) == (3, 1)


def test_nothing_is_said_while_nobody_keeps_it() -> None:
    sitting = recorded(Speaking()).sit(PROMPT, CANDIDATES)
    with pytest.raises(RuntimeError, match="ledger was closed"):
        sitting.scores()


def test_the_replies_of_two_rows_are_not_mixed() -> None:
    judge = recorded(Speaking())
    with judge.recorder.open() as ledger:
        judge.sit(PROMPT, CANDIDATES).scores([0])
        with pytest.raises(RuntimeError, match="another's ledger"), judge.recorder.open():
            pass
        judge.sit(PROMPT, CANDIDATES).scores([1])
    assert len(ledger.replies) == 2
    with judge.recorder.open() as ledger:
        pass
    assert ledger.replies == ()


def test_what_was_said_before_a_fault_is_kept() -> None:
    class Failing(Speaking):
        def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> SpeakingSitting:
            sitting = super().sit(prompt, candidates)
            sitting.duels = lambda _: 1 / 0  # type: ignore[assignment]
            return sitting

    judge = recorded(Failing())
    with judge.recorder.open() as ledger:
        sitting = judge.sit(PROMPT, CANDIDATES)
        sitting.scores()
        with pytest.raises(ZeroDivisionError):
            sitting.duels(EVERY)
    assert len(ledger.replies) == 4


def test_the_reference_is_recorded_as_any_judge() -> None:
    prompt = Prompt.of("a large red cross in the center on a white background")
    empty = [Candidate("a", "g@0", 0), Candidate("b", "g@0", 0)]
    recorder = Recorder(lambda _: Asking(None, ""))
    with recorder.open() as ledger:
        sitting = RecordingJudge(OracleJudge(), recorder).sit(prompt, empty)
        errors = [one.error for one in (*sitting.scores(), *sitting.duels([(0, 1)]))]
    assert errors == ["no media"] * 3
    assert [one.error for one in ledger.replies] == errors
