"""What a card says of known judges: one likes brightness, one the first place, one is blind.

The judges are stubs that look at nothing but what is planted; the pictures are the sandbox's.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from factory.bias.edits import EDITS, edit_candidate
from factory.judge_card.asking import Said, ask, num_requests
from factory.judge_card.figures import figures_of, share_of
from factory.judge_card.markdown import as_markdown
from factory.judge_card.verdict import JudgeCard, card_of, whom_to_trust
from factory.judge_card.watch import WatchedJudge
from factory.judging.recording import Recorder, RecordingJudge
from factory.judging.specification import SpecificationError
from factory.keys import Asking
from factory.media.measures import attributes_of
from factory.sandbox import card_set
from schemas.results import Stability, Variant
from schemas.rows import Candidate, Duel, Group, Media, Prompt, Score

PICTURES = card_set.of_task("image_generation", 14)


@dataclass(frozen=True)
class Stub:
    """Scores what is not grey by `value`, and duels by scores; `first` is added to the first."""

    value: Callable[[Prompt, Candidate], float]
    first: float = 0.0
    name: str = "stub@0"

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "Sitting":
        return Sitting(self, prompt, candidates)


class Sitting:
    def __init__(self, judge: Stub, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.judge, self.candidates = judge, candidates
        self.values = [judge.value(prompt, one) for one in candidates]

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.values)) if indices is None else indices
        return [self._score(at) for at in wanted]

    def _score(self, at: int) -> Score:
        value = self.values[at]
        error = None if math.isfinite(value) else "unreadable: no number"
        return Score(self.candidates[at].candidate_id, self.judge.name, value, 0.0, error)

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        found = []
        for one, other in matches:
            lead = self.values[one] - self.values[other] + self.judge.first
            p = 1 / (1 + math.exp(-2 * lead)) if math.isfinite(lead) else math.nan
            ids = self.candidates[one].candidate_id, self.candidates[other].candidate_id
            error = None if math.isfinite(lead) else "unreadable: no verdict"
            found.append(Duel(*ids, self.judge.name, p, 1 - p, 0.0, error))
        return found

    def about(self, prompt: Prompt) -> "Sitting":
        raise NotImplementedError


#: Which pictures are whose, before and after an edit: edits follow the id after a space.
OWNERS = {each.candidate_id: one.prompt.text for one in PICTURES for each in one.candidates}


def fits(prompt: Prompt, one: Candidate) -> float:
    """4 points for a picture of the prompt, however it is edited; 2 for another's, 1 for none."""
    if one.candidate_id.endswith(" blank"):
        return 1.0
    return 4.0 if OWNERS[one.candidate_id.partition(" ")[0]] == prompt.text else 2.0


def look(media: Media | None, name: str) -> float:
    assert media is not None
    return attributes_of(media)[name]


HONEST = Stub(fits)
BRIGHT = Stub(lambda prompt, one: fits(prompt, one) + 4 * look(one.media, "brightness"))
LEFT = Stub(fits, first=0.5)
BLIND = Stub(lambda prompt, one: 3.0)
SILENT = Stub(lambda prompt, one: math.nan)


def said_by(judge: Stub, groups: Sequence[Group] = PICTURES) -> list[Said]:
    recorder = Recorder(lambda _: Asking(None, "stub"))
    watched = WatchedJudge(RecordingJudge(judge, recorder))
    return [ask(watched, recorder, one, groups[at - 1])[0] for at, one in enumerate(groups)]


@pytest.fixture(scope="module")
def cards() -> dict[str, JudgeCard]:
    judges = {"honest": HONEST, "bright": BRIGHT, "left": LEFT, "blind": BLIND, "silent": SILENT}
    return {name: card_of(name, name, said_by(judge)) for name, judge in judges.items()}


def state(card: JudgeCard, start: str) -> str:
    return next(line.state for line in card.lines if line.question.startswith(start))


def test_what_is_planted_is_named_and_nothing_else(cards: dict[str, JudgeCard]) -> None:
    assert cards["honest"].names == ()
    assert cards["bright"].names == ("likes brighter pictures",)
    assert cards["left"].names == ("leans to what is shown first",)
    assert cards["blind"].names == ("does not look at pictures",)


def test_an_honest_judge_is_shown_to_look_and_to_have_no_liking(
    cards: dict[str, JudgeCard],
) -> None:
    card = cards["honest"]
    assert state(card, "Does it look") == "good"
    assert state(card, "Does the order") == "good"
    assert state(card, "Does it like") == "good"
    # 14 prompts of which all are right leave it open whether four of five would be.
    assert state(card, "Does it tell") == "open"
    assert not card.bad


def test_a_blind_judge_has_no_merit_of_being_moved_by_nothing(cards: dict[str, JudgeCard]) -> None:
    line = next(one for one in cards["blind"].lines if one.question.startswith("Does it like"))
    assert line.state == "open"
    assert "no merit" in line.text


def test_what_cannot_be_read_is_no_score(cards: dict[str, JudgeCard]) -> None:
    card = cards["silent"]
    assert state(card, "Can its answers") == "bad"
    assert {one.value for one in card.figures if one.part == "reading"} == {1.0}
    assert state(card, "Does it look") == "open"
    assert "unreadable: no number" in card.faults
    assert set(card.right.values()) == {0.0}  # it is not better for what it does not answer


def test_few_prompts_tell_nothing_for_a_judge() -> None:
    card = card_of("few", "few", said_by(HONEST, PICTURES[:3]))
    assert {line.state for line in card.lines} == {"open"}
    assert "too little for it" in whom_to_trust([card])[0]


def test_a_judge_that_refuses_a_task_is_not_asked_about_it() -> None:
    def refuse(_: Prompt) -> Asking:
        raise SpecificationError("no words for pictures")

    recorder = Recorder(refuse)
    watched = WatchedJudge(RecordingJudge(HONEST, recorder))
    said, replies = ask(watched, recorder, PICTURES[0], PICTURES[1])
    assert said.is_refused
    assert replies == []
    card = card_of("refuses", "refuses", [said])
    assert card.refused == {"image_generation": "no words for pictures"}
    assert card.figures == ()


def test_a_judge_that_breaks_is_counted_as_unreadable() -> None:
    def breaks(prompt: Prompt, one: Candidate) -> float:
        raise RuntimeError("out of order")

    said = said_by(Stub(breaks), PICTURES[:4])
    assert {one.error for one in said} == {"RuntimeError: out of order"}
    unread = [one for one in figures_of(said) if one.part == "reading"]
    assert [one.value for one in unread] == [1.0, 1.0]


def test_what_was_said_survives_a_file() -> None:
    for said in (said_by(HONEST, PICTURES[:2])[0], said_by(SILENT, PICTURES[:2])[0]):
        text = json.dumps(said.to_dict())
        assert json.dumps(Said.from_dict(json.loads(text)).to_dict()) == text
        assert figures_of([said]) == figures_of([Said.from_dict(json.loads(text))])


def test_as_many_are_asked_as_the_plan_says() -> None:
    said = said_by(HONEST, PICTURES[:2])[0]
    assert num_requests(PICTURES[0]) == said.num_scores + said.num_duels


def test_a_liking_of_brightness_is_no_liking_of_what_brightens(
    cards: dict[str, JudgeCard],
) -> None:
    """By mean shifts text across dark pictures would be rewarded, since it brightens them."""
    rewards = [one for one in cards["bright"].figures if one.part == "damage" and one.is_tested]
    assert {one.name for one in rewards} >= {"overlay text", "compression", "resolution"}
    assert not any(one.is_shown for one in rewards)
    assert all(one.value is not None and abs(one.value) < 0.05 for one in rewards)


def test_the_smallest_effect_found_shrinks_with_the_set() -> None:
    noisy = Stub(lambda prompt, one: fits(prompt, one) + (hash_of(one.candidate_id) - 0.5))
    few, many = (figures_of(said_by(noisy, PICTURES[:num])) for num in (5, 14))
    least = [
        next(one.least for one in some if one.name == "saturation" and one.is_tested)
        for some in (few, many)
    ]
    assert least[0] is not None
    assert least[1] is not None
    assert least[0] > least[1] > 0.05


def hash_of(text: str) -> float:
    return hashlib.sha256(text.encode()).digest()[0] / 255


def test_padding_takes_nothing_away() -> None:
    answer = Candidate("a", "g@0", 0, answer="It is red. It is round.")
    assert all(dose > 0 for dose in EDITS["padding"].doses)
    for dose in EDITS["padding"].doses:
        edited = edit_candidate(answer, EDITS["padding"], dose)
        assert edited is not None
        assert edited.answer is not None
        assert edited.answer.startswith("It is red. It is round.")
        assert len(edited.answer) > len("It is red. It is round.")


def test_shares_on_which_all_agree_have_wilsons_interval() -> None:
    found = share_of([1.0] * 40, [str(at % 20) for at in range(40)])
    assert found.value == 1.0
    # Wilson 1927 with 20 answers, not 40: 20 / (20 + 1.96²).
    assert found.low == pytest.approx(20 / (20 + 1.959964**2), abs=1e-4)


def test_the_paired_difference_names_the_better_of_two_sound_judges(
    cards: dict[str, JudgeCard],
) -> None:
    lines = tuple(replace(line, state="good") for line in cards["honest"].lines)
    sound = replace(cards["honest"], name="right", lines=lines)
    worse = replace(sound, name="worse", right=dict.fromkeys(sound.right, 0.0))
    told = whom_to_trust([worse, sound, cards["bright"]])
    assert told[0].startswith("Trust worse and right first")
    better = "right finds the right side more often than worse: of 100 % [100 %, 100 %]"
    assert told[1] == f"{better} more of the prompts."
    assert told[2] == "bright: likes brighter pictures."


def test_stability_and_names_reach_the_markdown(cards: dict[str, JudgeCard]) -> None:
    way = Variant("in bf16", num_duels=100, num_scores=100, num_flips=7, largest_p=0.2)
    stable = Stability("x", "alone", 50, 0, (way,))
    card = card_of("a|b<c", "a|b<c", said_by(HONEST, PICTURES[:2]), None, stable)
    assert state(card, "Does it say the same") == "bad"
    text = as_markdown([card, cards["bright"]], whom_to_trust([card]), "sandbox", ())
    assert "| | a\\|b&lt;c | bright |" in text
    assert "7 of 100 verdicts flip" in text
    assert "**shown**" in text
