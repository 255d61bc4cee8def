"""Reading a reply: the same numbers now and from an old table, others by another reading."""

import math
from dataclasses import replace

import numpy as np
import pytest

from factory.judging.reading import UNREADABLE, duel_of, lacks_words, read, reply_of, score_of
from factory.judging.specification import DEFAULT, asking_of, find
from factory.judging.verdicts import AnswerTree, expected_score
from schemas.arrow import groups_from_table, groups_to_table
from schemas.rows import Candidate, Duel, Group, Prompt, Reply, Score

LOGITS = DEFAULT.task("image_generation")
WORDS = find("", "unifiedreward-llava-onevision").task("image_generation")
WORDS = replace(WORDS, reading="text")
SCORE = Reply("k", "j@0", "a")
DUEL = Reply("k", "j@0", "a", "b")


def from_table(reply: Reply) -> Reply:
    group = Group(Prompt.of("a cup"), (Candidate("a", "g@0", 0),), replies=(reply,))
    ((kept,),) = (one.replies for one in groups_from_table(groups_to_table([group])))
    return kept


def some_logprobs(seed: int, names: list[str]) -> dict[str, float]:
    """As a judge's logits give them."""
    logits = np.random.default_rng(seed).normal(0, 3, (1, 1, len(names))).astype(np.float32)
    tree = AnswerTree.of({name: [at] for at, name in enumerate(names)})
    return dict(zip(names, tree.log_probabilities([logits])[0].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(20))
def test_numbers_of_logprobs_are_the_same_to_the_last_bit_after_a_table(seed: int) -> None:
    score = read(replace(SCORE, logprobs=some_logprobs(seed, list("12345"))), LOGITS)
    duel = read(replace(DUEL, logprobs=some_logprobs(seed, ["first", "second", "tie"])), LOGITS)
    for fresh in (score, duel):
        taken = replace(from_table(fresh), numbers=(), error="forgotten")
        assert read(taken, LOGITS) == fresh
    p = np.exp(list(score.logprobs.values()))
    mean, spread = expected_score(p[None], LOGITS.scale)
    assert score.numbers == pytest.approx((mean[0], spread[0]))
    assert sum(duel.numbers) == pytest.approx(1)
    assert duel.numbers == pytest.approx(tuple(np.exp(list(duel.logprobs.values()))))


@pytest.mark.parametrize(
    ("said", "text", "numbers", "error"),
    [
        (SCORE, "Final Score: 3.5", (3.5, 0.0), None),
        (SCORE, "I am sorry.", (), "unreadable: no number"),
        (DUEL, "Image 2 is better than Image 1.", (0.0, 1.0, 0.0), None),
        (DUEL, "Both.", (), "unreadable: no verdict"),
    ],
)
def test_words_are_parsed_again(said: Reply, text: str, numbers: tuple, error: str | None) -> None:
    fresh = read(replace(said, text=text), WORDS)
    assert fresh.numbers == numbers
    assert (fresh.error is None) if error is None else fresh.error.startswith(error)
    assert read(replace(from_table(fresh), numbers=(9.0, 9.0), error=None), WORDS) == fresh


def test_another_reading_of_the_same_words_or_logits_gives_other_numbers() -> None:
    reply = replace(SCORE, text="Final Score: 3\nOverall: 4")
    assert read(reply, WORDS).numbers == (3.0, 0.0)
    assert read(reply, replace(WORDS, score="Overall: {score}")).numbers == (4.0, 0.0)
    cut = read(replace(SCORE, text="Final Score: 3", is_cut=True), WORDS)
    assert (cut.numbers, str(cut.error)[:20]) == ((), "unreadable: cut shor")
    logprobs = {"1": math.log(0.25), "2": math.log(0.75)}
    two = replace(LOGITS, scale=(1, 2))
    assert read(replace(SCORE, logprobs=logprobs), two).numbers[0] == pytest.approx(1.75)
    lacking = read(replace(SCORE, logprobs=logprobs), LOGITS)
    assert (lacking.numbers, lacking.error) == ((), "unreadable: no probability of '3'")
    odd = read(replace(SCORE, logprobs=dict.fromkeys("12345", math.nan)), LOGITS)
    assert (odd.numbers, odd.error) == ((), "the judge's answer is not a finite number")


def test_what_nobody_answered_stays_as_it_is() -> None:
    for reply in (
        replace(SCORE, error="broken media: no picture"),
        replace(SCORE, error="endpoint: timed out", is_attempt=True),
        replace(SCORE, numbers=(3.0, 0.1)),
    ):
        assert read(reply, WORDS) == read(reply, LOGITS) == reply


def test_dropped_words_are_missed_where_words_are_read() -> None:
    spoken = replace(SCORE, text="Final Score: 3")
    assert not lacks_words(read(spoken, WORDS), WORDS)
    assert lacks_words(replace(SCORE, numbers=(3.0, 0.0)), WORDS)
    assert lacks_words(replace(SCORE, error=f"{UNREADABLE}no number"), WORDS)
    assert not lacks_words(replace(SCORE, error="endpoint: HTTP 400"), WORDS)
    assert not lacks_words(replace(SCORE, numbers=(3.0, 0.0)), LOGITS)


def test_scores_and_duels_are_what_their_replies_say_and_rows_leave_those_out() -> None:
    score = score_of(replace(SCORE, numbers=(3.0, 0.5)))
    duel = duel_of(replace(DUEL, numbers=(0.7, 0.2, 0.1)))
    assert score == Score("a", "j@0", 3.0, 0.5)
    assert duel == Duel("a", "b", "j@0", 0.7, 0.2, 0.1)
    assert (reply_of(score), reply_of(duel)) == (score.reply, duel.reply)
    assert duel.swap().reply is None
    broken = duel_of(replace(DUEL, error="broken media"))
    assert (math.isnan(broken.p_first), broken.error) == (True, "broken media")
    group = Group(Prompt.of("a cup"), (Candidate("a", "g@0", 0),), (score,), (duel, broken))
    (kept,) = groups_from_table(groups_to_table([group]))
    assert kept.scores == (score,)
    assert [one.reply for one in (*kept.scores, *kept.duels)] == [None] * 3


def test_who_does_not_say_what_it_read_gives_its_numbers() -> None:
    assert reply_of(Score("a", "j@0", 3.0, 0.5)) == Reply(None, "j@0", "a", numbers=(3.0, 0.5))
    unread = Duel("a", "b", "j@0", math.nan, math.nan, math.nan, "no verdict")
    assert reply_of(unread) == Reply(None, "j@0", "a", "b", error="no verdict")


@pytest.mark.parametrize("kind", ["score", "duel"])
def test_the_asking_of_words_holds_nothing_of_their_reading(kind) -> None:
    asked = asking_of(WORDS, True, kind)
    for change in (
        {"scale": (1, 100)},
        {"score": "Points: {score}"},
        {"dimensions": ()},
        {"answers": {"first": "A", "second": "B", "tie": "C"}},
        {"reason": "because"},
        {"reason_confidence": 0.5},
    ):
        assert asking_of(replace(WORDS, **change), True, kind) == asked
    for change in ({"max_tokens": 7}, {"num_frames": 3}, {"reading": "logits"}):
        assert asking_of(replace(WORDS, **change), True, kind) != asked
    assert asking_of(WORDS, False, kind) != asked


def test_the_asking_of_logits_holds_the_answers_that_are_read_of_its_kind() -> None:
    score, duel = (asking_of(LOGITS, False, kind) for kind in ("score", "duel"))
    for change in ({"scale": (1, 2, 3)}, {"score": "{score} points"}, {"pointwise": "x"}):
        assert asking_of(replace(LOGITS, **change), False, "score") != score
        assert asking_of(replace(LOGITS, **change), False, "duel") == duel
    answers = {"first": "A", "second": "B", "tie": "C"}
    for change in ({"answers": answers}, {"pairwise": "x"}):
        assert asking_of(replace(LOGITS, **change), False, "duel") != duel
        assert asking_of(replace(LOGITS, **change), False, "score") == score
    assert asking_of(replace(LOGITS, max_tokens=7), False, "score") == score
    as_whole = replace(LOGITS, scale=(1.0, 2.0, 3.0, 4.0, 5.0))
    assert str(asking_of(as_whole, False, "score")) == str(score)  # 1 and 1.0 are one number
