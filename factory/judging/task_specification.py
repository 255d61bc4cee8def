"""How one task is put to a judge, how it answers, and on which scale: one part of a specification.

A checkpoint is asked what it was trained to be asked: a template that is empty is a kind of
question that it was not trained for, and nobody asks it. `factory.judging.specification` puts the
tasks together, and `factory.judging.specification_file` reads them from a file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from factory.prompt_parts import QUESTIONS, Need, PartsError, check_needs, needs_of
from schemas.rows import Preference, Prompt

#: What a judge can be asked: for points of one side, or which of two is better.
Kind = Literal["score", "duel"]

#: How a judge's answer is read: in one forward pass, or from text that it generates.
Reading = Literal["logits", "text"]

#: Which text a judge holds an output against.
ShownPrompt = Literal["original", "conditioning"]

#: How the frames of a clip are shown: as one clip, or each as a picture of its own.
FramesAs = Literal["video", "images"]

#: Where an answer in words has its verdict or its score: wherever the grammar finds it, or nowhere
#: but in answer tags, in a JSON object, or in the points for each dimension.
Format = Literal["any", "tags", "json", "dimensions"]

#: What the score is where a judge rates dimensions: a number of its own, or their weighted mean.
Overall = Literal["given", "mean"]

#: What several samples of a score come to.
Vote = Literal["mean", "median"]

_IN_BRACKETS = re.compile(r"\s*\([^()]*\)")
_SCORE = re.compile(r"\s+(?:score|rating)$")


class SpecificationError(ValueError):
    """A judge specification that is missing, unreadable, or cannot be asked of this model."""


@dataclass(frozen=True)
class Dimension:
    """One side of quality that an answer rates.

    label: that stands before its points, or heads what is said of it.
    low, high: bounds of its points.
    name: of it in breakdowns, criteria and labels; made of the label where empty: "alignment" of
        "Alignment Score (1-5)".
    weight: in the mean of the dimensions, where the score is that.
    is_optional: whether an answer may leave it out, as "N/A".
    """

    label: str
    low: float
    high: float
    name: str = ""
    weight: float = 1.0
    is_optional: bool = False

    @property
    def key(self) -> str:
        """Its name in breakdowns."""
        if self.name:
            return self.name
        plain = _IN_BRACKETS.sub("", self.label).strip(" :").lower()
        return _SCORE.sub("", plain) or plain


@dataclass(frozen=True)
class TaskSpecification:
    """One task's instruction, label format and scale.

    pointwise: prompt for one side. Read by logits, the next token begins a number of the scale,
        after `score` up to its slot. Empty where the checkpoint was not trained for it.
    pairwise: prompt for two sides, in the order shown; likewise.
    scale: the numbers that a score can be, rising. Read from text, any number from the first to
        the last, decimals too.
    answers: the sentence that stands for each verdict.
    reading: how the checkpoint is read.
    num_frames: frames of a clip that the judge is shown; 1 for pictures. Where `fps` is given, the
        fewest.
    prompt: which text fills `{prompt}`: the prompt's own, or the one that conditioned the generator
        where something rewrote it before (`schemas.rows.Drawn`).
    score: the label format of a score; `{score}` is the number.
    dimensions: that a pointwise answer rates, in the order in which it does.
    max_tokens: length limit of an answer that is read from text.
    reason: what is said after an answer to ask for its justification; none is asked for, and none
        learned, where it is empty.
    reason_confidence: a justification with a token less probable than this is not given. A judge
        that writes down what it is not sure of gives reasons that are not there.
    source: what is said before either prompt where a picture is edited, once for both sides; such
        prompts are refused where it is empty and no template has a `{source}`.
    system: of each kind of question the system's turn; none where it is not named.
    between: what stands between two pictures of one `{media}` or `{source}`.
    frames_as: how a clip's frames are shown.
    fps: frames a second of a clip, from `num_frames` to `max_frames`; 0: always `num_frames`.
    max_frames: most frames of a clip where `fps` is given.
    min_pixels, max_pixels: of each picture or frame, which is scaled to them, its shape kept; 0:
        the model's own limits. Its processor rounds what it gets to its own grid in any case.
    format: where an answer in words says what counts.
    overall: what the score is where there are dimensions.
    decimals: of a number that is read by logits: the numbers of the scale are then all those of so
        many decimals from its first to its last, and what follows them is not read.
    num_samples: answers that are drawn for each question; more than one for judges that reason.
    temperature: at which they are drawn; 0: the most probable token, always.
    top_p: share of the probability that is drawn from.
    vote: what several scores come to. Verdicts are shares of the votes, so that the most frequent
        one counts, and none where two share that place.
    """

    pointwise: str
    pairwise: str
    scale: tuple[float, ...]
    answers: Mapping[Preference, str]
    reading: Reading = "logits"
    num_frames: int = 1
    score: str = "{score}"
    dimensions: tuple[Dimension, ...] = ()
    max_tokens: int = 256
    reason: str = ""
    reason_confidence: float = 0.0
    prompt: ShownPrompt = "original"
    source: str = ""
    system: Mapping[Kind, str] = field(default_factory=dict)
    between: str = ""
    frames_as: FramesAs = "video"
    fps: float = 0.0
    max_frames: int = 0
    min_pixels: int = 0
    max_pixels: int = 0
    format: Format = "any"
    overall: Overall = "given"
    decimals: int = 0
    num_samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    vote: Vote = "mean"

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the checkpoint was trained to be asked."""
        found: dict[Kind, str] = {"score": self.pointwise, "duel": self.pairwise}
        return frozenset(kind for kind, template in found.items() if template)

    def template(self, kind: Kind) -> str:
        """The prompt for one kind of question."""
        return self.pointwise if kind == "score" else self.pairwise

    @property
    def is_about_edits(self) -> bool:
        """Whether its templates show what an edit starts from, so that nothing else can be asked
        about.
        """
        return any("{source}" in self.template(kind) for kind in self.kinds)

    @property
    def takes(self) -> frozenset[Need]:
        """What a prompt may ask for beside a text, and a medium before it."""
        shows_source = self.source or self.is_about_edits
        return QUESTIONS | {"source"} if shows_source else QUESTIONS

    @property
    def written(self) -> dict[float, str]:
        """Each number of the scale as it is read by logits."""
        if not self.decimals:
            return {float(number): f"{number:g}" for number in self.scale}
        step = 10**self.decimals
        first, last = round(self.scale[0] * step), round(self.scale[-1] * step)
        return {at / step: f"{at / step:.{self.decimals}f}" for at in range(first, last + 1)}

    @property
    def is_pictures(self) -> bool:
        """Whether a clip's frames are shown as pictures."""
        return self.frames_as == "images"

    def for_prompt(self, prompt: Prompt) -> TaskSpecification:
        """How this prompt is asked about: with the words for its source, where it has one.

        Raises:
            SpecificationError: it has parts for which there is no place, or lacks the picture that
                an edit starts from, where that is all that is asked about.
        """
        needs = needs_of(prompt)
        try:
            check_needs(needs, self.takes, "this judge")
        except PartsError as error:
            raise SpecificationError(
                f"{error}; its specification says in `source` of {prompt.task} how an edit is shown"
                if {"source", "sources"} & needs
                else str(error)
            ) from None
        if self.is_about_edits:
            if "source" not in needs:
                raise SpecificationError(
                    f"this judge of {prompt.task} is asked about edits alone, and the prompt has "
                    "no part of role 'source'"
                )
            return self
        if "source" not in needs:
            return self
        before = f"{self.source} "
        pointwise, pairwise = (one and before + one for one in (self.pointwise, self.pairwise))
        return replace(self, pointwise=pointwise, pairwise=pairwise)


def asking_of(task: TaskSpecification, is_chat: bool, kind: Kind, turn: str = "") -> dict[str, Any]:
    """The part of a specification that decides what a judge is sent, and what of its answer is
    kept: the asking part of a reply's key (`factory.keys`).

    Where the judge writes text, the answers' sentences, the label of the score, the scale and the
    dimensions only say how that text is read, and are not in it. Where logits are read, those are
    the tokens whose probabilities are taken, so answers, or label and scale, belong to the asking.
    Reasons are asked for apart. What came later is in it where it is not at its default, so that
    what was asked before has the key that it had.

    Args:
        task: how the task is put to the judge, of one prompt (`TaskSpecification.for_prompt`).
        is_chat: whether prompts are a user's turn of the model's chat template.
        kind: what is asked for.
        turn: how a user's turn is written, where it is not the model's own way.
    """
    asked: dict[str, Any] = {
        "template": task.template(kind),
        "is_chat": is_chat,
        "num_frames": task.num_frames,
        "reading": task.reading,
    }
    later: dict[str, Any] = {
        "turn": turn,
        "system": task.system.get(kind, ""),
        "between": task.between,
        "frames_as": task.frames_as if task.frames_as != "video" else "",
        "fps": task.fps,
        "max_frames": task.max_frames,
        "min_pixels": task.min_pixels,
        "max_pixels": task.max_pixels,
    }
    asked |= {name: value for name, value in later.items() if value}
    if task.reading == "text":
        asked["max_tokens"] = task.max_tokens
        if task.temperature:
            drawn = {"num": task.num_samples, "at": task.temperature, "top_p": task.top_p}
            asked["samples"] = drawn
        return asked
    if kind == "duel":
        return {**asked, "answers": dict(task.answers)}
    if task.decimals:
        asked["decimals"] = task.decimals
    return {**asked, "score": task.score, "scale": [float(number) for number in task.scale]}
