"""The rows that travel through the factory, as frozen dataclasses.

    prompts -> candidates -> scores and duels -> order -> pairs -> verdicts -> Parquet

A prompt and all its candidates stay in one `Group` until pairing, so nothing is shuffled and a
resumed run stays exact. Every id is a function of content: making a row again gives the same id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Task = Literal["image_generation", "video_generation", "image_understanding", "video_understanding"]
#: The tasks whose candidates are answers to a question about the prompt's own media.
UNDERSTANDING: tuple[Task, ...] = ("image_understanding", "video_understanding")
#: Which of two sides is preferred, in the order in which they were shown.
Preference = Literal["first", "second", "tie"]
#: What became of a pair: `invalid` means that it could not be judged, not that it is bad.
Verdict = Literal["kept", "rejected", "invalid"]
#: What a part of a prompt is to it: a turn of a dialogue, by who speaks; what a question is about;
#: what an edit starts from; what a medium is to look like, begin and end with; and sound.
Role = Literal[
    "user",
    "assistant",
    "question",
    "source",
    "reference",
    "first_frame",
    "last_frame",
    "clip",
    "sound",
]


class MediaAwayError(ValueError):
    """The bytes of a medium are asked for where only a reference to them was read."""


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
class Origin:
    """Where something comes from and what may be done with it, as its owner says: free text."""

    source: str | None = None
    license: str | None = None
    consent: str | None = None


@dataclass(frozen=True)
class Media:
    """An encoded picture (PNG, JPEG, WebP) or clip (MP4), never raw pixels.

    stored: the encoded bytes; None where only `path` was read, which says where they lie.
    """

    stored: bytes | None
    width: int
    height: int
    num_frames: int = 1
    fps: float = 0.0
    path: str | None = None
    origin: Origin | None = None

    @property
    def data(self) -> bytes:
        """The encoded bytes.

        Raises:
            MediaAwayError: only the reference was read.
        """
        if self.stored is None:
            where = "in its row, which was read without it"
            if self.path is not None:
                where = f"outside its row, at {self.path!r}"
            raise MediaAwayError(
                f"the medium lies {where}: read the rows with their media (jobs.datasets.reading)"
            )
        return self.stored


@dataclass(frozen=True)
class Part:
    """One part of a prompt: a `text`, or a medium."""

    role: Role
    text: str | None = None
    media: Media | None = None


@dataclass(frozen=True)
class Prompt:
    """What a generator is asked for: a caption, or a question about `media`.

    `tags` (region, style, subject …) travel along for slicing.

    parts: all that it consists of, in order, where it is more than a text and the one medium that
        the text is about. `text` is then what the last user turn says, and `media` is None.
    """

    prompt_id: str
    text: str
    task: Task = "image_generation"
    tags: dict[str, str] = field(default_factory=dict)
    media: Media | None = None  # what a question is about; None for a caption
    parts: tuple[Part, ...] = ()
    origin: Origin | None = None

    @classmethod
    def of(
        cls,
        text: str,
        task: Task = "image_generation",
        tags: dict[str, str] | None = None,
        media: Media | None = None,
        origin: Origin | None = None,
    ) -> Prompt:
        """A prompt with its id; tags and origin are not part of the id, so re-tagging keeps it."""
        about = () if media is None else (_digest(media),)
        prompt_id = content_id("prompt", task, text, *about)
        return cls(prompt_id, text, task, dict(tags or {}), media, origin=origin)

    @classmethod
    def of_parts(
        cls,
        parts: Sequence[Part],
        task: Task = "image_generation",
        tags: dict[str, str] | None = None,
        origin: Origin | None = None,
    ) -> Prompt:
        """A prompt of several parts with its id, which is of all of them in their order.

        Parts that amount to a text, or to a question after its one medium, give the prompt that
        `of` gives, with its id.

        Raises:
            ValueError: the user says nothing in it.
        """
        said = [part.text for part in parts if part.role == "user" and part.text]
        if not said:
            raise ValueError("the user says nothing in this prompt")
        roles = tuple(part.role for part in parts)
        if roles == ("user",):
            return cls.of(said[-1], task, tags, None, origin)
        if roles == ("question", "user") and task in UNDERSTANDING:
            return cls.of(said[-1], task, tags, parts[0].media, origin)
        shown = [(part.role, part.text, part.media and _digest(part.media)) for part in parts]
        prompt_id = content_id("prompt", task, shown)
        return cls(prompt_id, said[-1], task, dict(tags or {}), None, tuple(parts), origin)

    @property
    def in_full(self) -> tuple[Part, ...]:
        """All that it consists of, in order, whether or not it is of several parts."""
        if self.parts:
            return self.parts
        about = () if self.media is None else (Part("question", media=self.media),)
        return (*about, Part("user", self.text))

    def media_of(self, role: Role) -> tuple[Media, ...]:
        """Its media of one role, in order."""
        return tuple(
            part.media for part in self.in_full if part.role == role and part.media is not None
        )

    def saying(self, text: str) -> Prompt:
        """The same row with another text: where it has parts, as the last that the user says."""
        last = max((at for at, part in enumerate(self.parts) if part.role == "user"), default=-1)
        parts = tuple(
            replace(part, text=text) if at == last else part for at, part in enumerate(self.parts)
        )
        return replace(self, text=text, parts=parts)

    def showing(self, media: Sequence[Media]) -> Prompt:
        """The same row as a question about other media, one for each of its own."""
        if not self.parts:
            return replace(self, media=media[0])
        others = iter(media)
        parts = (
            replace(part, media=next(others)) if part.role == "question" else part
            for part in self.parts
        )
        return replace(self, parts=tuple(parts))


def _digest(media: Media) -> str:
    return hashlib.sha256(media.data).hexdigest()


@dataclass(frozen=True)
class Drawn:
    """What a candidate was drawn from, in full: with its seed, all that it takes to draw it again.

    key: known before it is drawn, whatever comes of it (`factory.keys`); None where what drew it
        cannot be told apart from another thing of its name, so that nobody may take it over.
    prompt: the text that conditioned the generator.
    rewritten_by: what made that text of the prompt's own; None where nothing did.
    arguments: of the generator's call, as JSON.
    width, height, num_frames: asked for; None where the model decides.
    weights: digest of weights and configuration, or a hub's name with its commit.
    engine: the class that drew, with the version of our own drawing.
    encoding: how what was drawn is stored.
    num_together: how many were computed in one batch with it, itself included. Sums round by that,
        and by nothing else in the batch; it is no part of the key. None before it is drawn.
    """

    key: str | None
    prompt: str
    weights: str | None
    engine: str
    precision: str
    encoding: str
    arguments: str = "{}"
    negative_prompt: str | None = None
    rewritten_by: str | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    adapters: tuple[str, ...] = ()
    num_together: int | None = None


@dataclass(frozen=True)
class Measures:
    """What can be measured of an output, measured where it is born from the bytes that are stored.

    digest: SHA-256 of the stored bytes, or of an answer's UTF-8.
    num_bytes: of the same.
    brightness, saturation, contrast, sharpness: as `factory.media.pictures.attributes`; of a clip
        the means over its frames.
    motion: mean absolute change of luma from frame to frame, 0 to 1; None for a picture.
    entropy: of the lightness, 0 to 6 bits.
    signature: a perceptual hash of 64 bits: outputs that look alike differ in few.
    is_blank: whether it is of one colour.
    num_words: of an answer.
    fault: why the bytes cannot be read; all that hangs on pixels is then None.
    is_unsafe: what a safety checker says; None where none was asked.
    text: how much of it is written upon (`factory.media.lettering`), 0 to 1; None in rows from
        before that was measured.
    """

    digest: str
    num_bytes: int
    brightness: float | None = None
    saturation: float | None = None
    contrast: float | None = None
    sharpness: float | None = None
    motion: float | None = None
    entropy: float | None = None
    signature: int | None = None
    is_blank: bool | None = None
    num_words: int | None = None
    fault: str | None = None
    is_unsafe: bool | None = None
    text: float | None = None


@dataclass(frozen=True)
class Candidate:
    """One output of a generator: `media`, or an `answer` to a question about the prompt's media.

    `error` says why there is none.

    drawn, measures: how it came about and what can be measured of it; None in rows from before
        that was kept, and of what nobody drew here.
    is_attempt: its `error` says nothing of the candidate: time-outs, crashes, lost connections.
    """

    candidate_id: str
    generator: str  # name@version
    seed: int
    media: Media | None = None
    answer: str | None = None
    error: str | None = None
    drawn: Drawn | None = None
    measures: Measures | None = None
    is_attempt: bool = False


#: A preference told from the other side.
SWAPPED: dict[Preference, Preference] = {"first": "second", "second": "first", "tie": "tie"}


@dataclass(frozen=True)
class Dimension:
    """What a label or a judge says of one aspect, such as alignment or motion, beside what it says
    in all.

    name: in the source's word, lower-case.
    preference: of two sides.
    first, second: points of each side on its scale; `first` alone where there is one side.
    """

    name: str
    preference: Preference | None = None
    first: float | None = None
    second: float | None = None

    def swap(self) -> Dimension:
        """The same of the sides in the other order."""
        preference = None if self.preference is None else SWAPPED[self.preference]
        return Dimension(self.name, preference, self.second, self.first)


@dataclass(frozen=True)
class Sample:
    """One of several answers that a judge wrote to one request.

    is_cut: whether the limit of length ended it.
    """

    text: str
    is_cut: bool = False


@dataclass(frozen=True)
class Reply:
    """What a judge said to one request, before anything was made of it.

    Scores and duels are read from replies, mapped by a calibration and combined over criteria; a
    changed reading of the same replies costs no call.

    key: of who was asked what (`factory.keys`); None where nobody may take it.
    first_id, second_id: the candidates in the order shown; one alone for a score.
    criterion: that the request was about; None for the whole.
    numbers: value and spread, or the probabilities of first, second and tie, as the judge's
        specification read them; none where they could not be read.
    error: why there are no numbers.
    is_attempt: the error says nothing of the judge: time-outs, crashes, lost connections.
    text: the judge's own words, where it wrote any.
    is_cut: whether the limit of length ended them.
    logprobs: the log-probability of each answer that the judge could give, where they were read.
    breakdown: points for parts, of a judge that gives some by itself.
    dimensions: what it says of parts of two sides; likewise.
    samples: all that it wrote, where several answers were drawn; `text` is then the first of them.
    request: digest of what was sent.
    num_read, num_written: tokens of the request and of the answer.
    seconds: of the model, by equal shares of what was asked together.
    """

    key: str | None
    judge: str  # name@version
    first_id: str
    second_id: str | None = None
    criterion: str | None = None
    numbers: tuple[float, ...] = ()
    error: str | None = None
    is_attempt: bool = False
    text: str | None = None
    is_cut: bool = False
    logprobs: dict[str, float] = field(default_factory=dict)
    request: str | None = None
    num_read: int | None = None
    num_written: int | None = None
    seconds: float | None = None
    breakdown: dict[str, float] = field(default_factory=dict)
    dimensions: tuple[Dimension, ...] = ()
    samples: tuple[Sample, ...] = ()


#: In the breakdown of a score, what the judge says of the whole.
OVERALL = "overall"


@dataclass(frozen=True)
class Score:
    """A pointwise judgement: the expected value over the scale's tokens, and its spread.

    An `error` means that the candidate could not be scored; `value` is then NaN and must not be
    read as a low score. Where a recipe names criteria, or the judge rates dimensions by itself,
    `breakdown` holds the points by criterion or dimension and `OVERALL`; with criteria, `value` is
    their weighted mean.

    reply: what it was read from, where the judge is one that says so. It is no part of the score
        and of no row: the replies of a group have a column of their own.
    members: of a panel, what each judge said of which this was made; in a row they stand apart
        (`Group.member_scores`).
    """

    candidate_id: str
    judge: str  # name@version
    value: float
    spread: float
    error: str | None = None
    breakdown: dict[str, float] = field(default_factory=dict)
    reply: Reply | None = field(default=None, compare=False, repr=False)
    members: tuple[Score, ...] = field(default=(), compare=False, repr=False)


def preferred(p_first: float, p_second: float, p_tie: float) -> Preference:
    """The most probable outcome; an exact draw of first and second is a tie."""
    if p_tie >= max(p_first, p_second) or p_first == p_second:
        return "tie"
    return "first" if p_first > p_second else "second"


_OTHER: dict[str, Literal["first", "second"]] = {"first": "second", "second": "first"}


@dataclass(frozen=True)
class Duel:
    """A pairwise judgement of two candidates *in the order shown*.

    reply, members: as of a `Score`.
    dimensions: what the judge says of single aspects, where it does.
    bound: the side that is ahead by at least as much as the probabilities say, where something was
        done (a temperature, a correction) to log-odds that had been clipped; None where they are
        as they were judged.
    """

    first_id: str
    second_id: str
    judge: str
    p_first: float
    p_second: float
    p_tie: float
    error: str | None = None
    reply: Reply | None = field(default=None, compare=False, repr=False)
    dimensions: tuple[Dimension, ...] = ()
    members: tuple[Duel, ...] = field(default=(), compare=False, repr=False)
    bound: Literal["first", "second"] | None = None

    def swap(self) -> Duel:
        """The same judgement told from the other side.

        It is what an unbiased judge says when it is shown the two in the other order. Nobody said
        so, hence it has no reply.
        """
        return Duel(
            self.second_id,
            self.first_id,
            self.judge,
            self.p_second,
            self.p_first,
            self.p_tie,
            self.error,
            dimensions=tuple(one.swap() for one in self.dimensions),
            bound=_OTHER[self.bound] if self.bound else None,
        )

    @property
    def preference(self) -> Preference:
        """The most probable outcome; an exact draw of first and second is a tie."""
        return preferred(self.p_first, self.p_second, self.p_tie)


@dataclass(frozen=True)
class Group:
    """A prompt with its candidates and every judgement of them: the canonical N-way row.

    error: why it could not be judged, where it could not; `failed_stage` says in which stage.
    attempts: how often it was made; more than once where invalid rows were tried again.
    replies: what judges said, before anything was made of it.
    member_scores, member_duels: where a panel judged, what each of its judges said, by its name.
    """

    prompt: Prompt
    candidates: tuple[Candidate, ...]
    scores: tuple[Score, ...] = ()
    duels: tuple[Duel, ...] = ()
    error: str | None = None
    failed_stage: str | None = None  # generate, judge
    attempts: int = 1
    replies: tuple[Reply, ...] = ()
    member_scores: tuple[Score, ...] = ()
    member_duels: tuple[Duel, ...] = ()

    @property
    def is_invalid(self) -> bool:
        """Whether fewer than two candidates could be judged, or the group failed as a whole. Where
        there are no scores, one readable duel judges two.
        """
        if self.error is not None:
            return True
        if self.scores or not self.duels:
            return sum(one.error is None for one in self.scores) < 2
        return all(one.error is not None for one in self.duels)

    @property
    def has_failures(self) -> bool:
        """Whether anything in it failed, if only one candidate of many."""
        errors = [one.error for one in self.candidates]
        errors += [one.error for one in self.scores] + [one.error for one in self.duels]
        return self.error is not None or any(one is not None for one in errors)

    @property
    def has_attempts(self) -> bool:
        """Whether anything in it failed by a time-out, a crash or a lost connection, which says
        nothing of the row. In rows that do not tell those apart, whether anything failed at all.
        """
        is_told = bool(self.replies) or any(one.drawn is not None for one in self.candidates)
        if not is_told:
            return self.has_failures
        return (
            self.failed_stage == "judge"
            or any(one.is_attempt for one in self.candidates)
            or any(one.is_attempt for one in self.replies)
        )

    def without_attempts(self) -> Group:
        """What need not be made again of it: candidates, and replies about them."""
        is_told = any(one.drawn is not None for one in self.candidates)
        return replace(
            self,
            candidates=tuple(
                one
                for one in self.candidates
                if not one.is_attempt and (is_told or one.error is None)
            ),
            replies=tuple(one for one in self.replies if not one.is_attempt),
            scores=(),
            duels=(),
            member_scores=(),
            member_duels=(),
            error=None,
            failed_stage=None,
        )


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
    dissent: share of a panel's members who prefer the rejected side; None where no panel judged.
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
    dissent: float | None = None


#: How the name of an annotator begins that is not a person.
SIMULATED = "simulated:"


@dataclass(frozen=True)
class Label:
    """What a person, or a simulated annotator, said: a preference, or points for one side.

    A side is a medium, or an answer where the prompt is a question about its own media. `weight`
    is the confidence that the source gives it, from above 0 to 1; None where it gives none, which
    counts as 1.
    """

    label_id: str
    prompt: Prompt
    annotator: str  # "simulated:NAME" where it is not a person
    first: Media | None
    second: Media | None = None
    preference: Preference | None = None
    points: float | None = None
    justification: str = ""
    split: Literal["train", "heldout"] = "train"
    first_answer: str | None = None
    second_answer: str | None = None
    origin: Origin | None = None
    dimensions: tuple[Dimension, ...] = ()
    weight: float | None = None

    def swap(self) -> Label:
        """A pairwise label told in the other order; a pointwise label is returned as it is."""
        if self.preference is None:
            return self
        return replace(
            self,
            first=self.second,
            second=self.first,
            preference=SWAPPED[self.preference],
            first_answer=self.second_answer,
            second_answer=self.first_answer,
            dimensions=tuple(dimension.swap() for dimension in self.dimensions),
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
    points: float | None  # or of one
    scores: tuple[Score, ...] = ()
    duels: tuple[Duel, ...] = ()
    error: str | None = None
    weight: float | None = None  # of the label
    dimensions: tuple[Dimension, ...] = ()  # of the label; the judge's are in scores and duels
