"""The rows that travel through the factory, as frozen dataclasses.

    prompts -> candidates -> scores and duels -> order -> pairs -> verdicts -> Parquet

A prompt and all its candidates stay in one `Group` until pairing, so nothing is shuffled and a
resumed run stays exact. Every id is a function of content: making a row again gives the same id.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Literal

Task = Literal["image_generation", "video_generation", "image_understanding", "video_understanding"]
#: The tasks whose candidates are answers to a question about the prompt's own media.
UNDERSTANDING: tuple[Task, ...] = ("image_understanding", "video_understanding")
#: Which of two sides is preferred, in the order in which they were shown.
Preference = Literal["first", "second", "tie"]
#: What became of a pair: `invalid` means that it could not be judged, not that it is bad.
Verdict = Literal["kept", "rejected", "invalid"]


def content_id(*parts: object) -> str:
    """A 16-hex-digit id that depends on the given JSON-serialisable parts alone."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def seed_of(*parts: object) -> int:
    """A 63-bit seed that depends on the given parts alone, for generators of random numbers."""
    return int(content_id("seed", *parts), 16) >> 1


def draw_of(*parts: object) -> float:
    """A number in [0, 1) that depends on the given parts alone, to split rows by."""
    return seed_of(*parts) / 2**63


@dataclass(frozen=True)
class Media:
    """An encoded picture (PNG, JPEG, WebP) or clip (MP4), never raw pixels."""

    data: bytes
    width: int
    height: int
    num_frames: int = 1
    fps: float = 0.0


@dataclass(frozen=True)
class Prompt:
    """What a generator is asked for: a caption, or a question about `media`.

    `tags` (region, style, subject …) travel along for slicing.
    """

    prompt_id: str
    text: str
    task: Task = "image_generation"
    tags: dict[str, str] = field(default_factory=dict)
    media: Media | None = None  # what a question is about; None for a caption

    @classmethod
    def of(
        cls,
        text: str,
        task: Task = "image_generation",
        tags: dict[str, str] | None = None,
        media: Media | None = None,
    ) -> Prompt:
        """A prompt with its id; tags are not part of the id, so re-tagging keeps it."""
        about = () if media is None else (hashlib.sha256(media.data).hexdigest(),)
        return cls(content_id("prompt", task, text, *about), text, task, dict(tags or {}), media)


@dataclass(frozen=True)
class Candidate:
    """One output of a generator: `media`, or an `answer` to a question about the prompt's media.

    `error` says why there is none.
    """

    candidate_id: str
    generator: str  # name@version
    seed: int
    media: Media | None = None
    answer: str | None = None
    error: str | None = None


#: In the breakdown of a score, what the judge says of the whole.
OVERALL = "overall"


@dataclass(frozen=True)
class Score:
    """A pointwise judgement: the expected value over the scale's tokens, and its spread.

    An `error` means that the candidate could not be scored; `value` is then NaN and must not be
    read as a low score. Where a recipe names criteria, `breakdown` holds the points by criterion
    and `OVERALL`, and `value` is their weighted mean.
    """

    candidate_id: str
    judge: str  # name@version
    value: float
    spread: float
    error: str | None = None
    breakdown: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Duel:
    """A pairwise judgement of two candidates *in the order shown*."""

    first_id: str
    second_id: str
    judge: str
    p_first: float
    p_second: float
    p_tie: float
    error: str | None = None

    def swap(self) -> Duel:
        """The same judgement told from the other side.

        It is what an unbiased judge says when it is shown the two in the other order.
        """
        return Duel(
            self.second_id,
            self.first_id,
            self.judge,
            self.p_second,
            self.p_first,
            self.p_tie,
            self.error,
        )

    @property
    def preference(self) -> Preference:
        """The most probable outcome; an exact draw of first and second is a tie."""
        if self.p_tie >= max(self.p_first, self.p_second) or self.p_first == self.p_second:
            return "tie"
        return "first" if self.p_first > self.p_second else "second"


@dataclass(frozen=True)
class Group:
    """A prompt with its candidates and every judgement of them: the canonical N-way row.

    error: why it could not be judged, where it could not; `failed_stage` says in which stage.
    attempts: how often it was made; more than once where invalid rows were tried again.
    """

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    scores: tuple[Score, ...] = ()
    duels: tuple[Duel, ...] = ()
    error: str | None = None
    failed_stage: str | None = None  # generate, judge
    attempts: int = 1

    @property
    def is_invalid(self) -> bool:
        """Whether fewer than two candidates could be scored, or the group failed as a whole."""
        return self.error is not None or sum(one.error is None for one in self.scores) < 2

    @property
    def has_failures(self) -> bool:
        """Whether anything in it failed, if only one candidate of many."""
        errors = [one.error for one in self.candidates]
        errors += [one.error for one in self.scores] + [one.error for one in self.duels]
        return self.error is not None or any(one is not None for one in errors)


@dataclass(frozen=True)
class Pair:
    """A chosen and a rejected candidate of one prompt, with all that an auditor asks for.

    margin: strength of chosen minus rejected, in points of the judge's scale.
    margin_sd: its standard deviation.
    score_margin: the same difference by the pointwise scores alone (NaN where unscored).
    p_chosen: probability that the chosen side wins the duel of the two, both orders averaged and
        a tie counting half (NaN where the two never met).
    is_flipped: whether the two orders of their duel disagree about the winner.
    objections: why the pair is not kept, as "reason: detail"; empty for a kept one.
    margin_before: the margin before the judge's biases were taken out; None where none were.
    weight: how much it counts in training for the balance of the whole set, 0 to 1.
    """

    pair_id: str
    prompt: Prompt
    chosen: Candidate
    rejected: Candidate
    judge: str
    margin: float
    margin_sd: float
    score_margin: float
    p_chosen: float
    is_flipped: bool
    verdict: Verdict
    objections: tuple[str, ...] = ()
    margin_before: float | None = None
    weight: float = 1.0


#: How the name of an annotator begins that is not a person.
SIMULATED = "simulated:"


@dataclass(frozen=True)
class Label:
    """What a person, or a simulated annotator, said: a preference, or points for one side.

    A side is a medium, or an answer where the prompt is a question about its own media.
    """

    label_id: str
    prompt: Prompt
    annotator: str  # "simulated:NAME" where it is not a person
    first: Media | None
    second: Media | None = None
    preference: Preference | None = None
    points: int | None = None
    justification: str = ""
    split: Literal["train", "heldout"] = "train"
    first_answer: str | None = None
    second_answer: str | None = None

    def swap(self) -> Label:
        """A pairwise label told in the other order; a pointwise label is returned as it is."""
        if self.preference is None:
            return self
        swapped: dict[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}
        return replace(
            self,
            first=self.second,
            second=self.first,
            preference=swapped[self.preference],
            first_answer=self.second_answer,
            second_answer=self.first_answer,
        )

    def sides(self) -> tuple[Candidate, ...]:
        """What is compared, as candidates "0" and "1" for a judge; one for a pointwise label."""
        sides = [Candidate("0", "label", 0, self.first, self.first_answer)]
        if self.second is not None or self.second_answer is not None:
            sides.append(Candidate("1", "label", 0, self.second, self.second_answer))
        return tuple(sides)


@dataclass(frozen=True)
class Opinion:
    """What a judge makes of one label: numbers alone, from which any figure can be measured again.

    The sides are candidates "0" and "1", as in `Label.sides`. An `error` means that the judge could
    not take the label in at all; a side that it could not read is an error of its scores and duels.
    """

    label_id: str
    prompt_id: str
    task: Task
    tags: dict[str, str]
    judge: str
    preference: Preference | None  # what the label says of two sides
    points: int | None  # or of one
    scores: tuple[Score, ...] = ()
    duels: tuple[Duel, ...] = ()
    error: str | None = None
