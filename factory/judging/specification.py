"""Judge specifications: how a task is put to a judge, how it answers, and on which scale.

A label format belongs to a checkpoint, never to a constant, so the specification is saved beside
the weights (`judge.json`) and travels with them. One input form serves four tasks. A template has
these slots, each at most once a side, sides in the order shown:

- `{media}`: the model's placeholders of a picture, or of a clip's `num_frames` frames. In the two
  understanding tasks it stands for all media of the question, in their order.
- `{prompt}`: the caption, or the question. A dialogue is one text, each turn on a line after its
  speaker, as "user: …" (`factory.prompt_parts.in_words`).
- `{answer}`: the answer judged, in the two understanding tasks, whose medium belongs to the prompt.
- `{source}`: in `source` alone, the picture that an edit starts from.

The default layout puts a read-out ("final score :") after *each* side: the pairwise prompt passes
through the state from which the pointwise score is read before it asks for the verdict, which small
judges need in order to learn to compare.

`published` holds specifications of checkpoints that others trained. Their label formats are those
checkpoints'; the words of the instructions are ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from factory.prompt_parts import QUESTIONS, Need, PartsError, check_needs, needs_of
from schemas.rows import UNDERSTANDING, Candidate, Preference, Prompt, Task

FILE = "judge.json"
PUBLISHED = Path(__file__).with_name("published")

#: How a judge's answer is read: in one forward pass, or from text that it generates.
Reading = Literal["logits", "text"]

#: Which text a judge holds an output against.
ShownPrompt = Literal["original", "conditioning"]

_SLOT = re.compile(r"\{(\w*)\}")


class SpecificationError(ValueError):
    """A judge specification that is missing, unreadable, or cannot be asked of this model."""


@dataclass(frozen=True)
class Dimension:
    """One line of a pointwise answer that rates one side of quality: its label and bounds."""

    label: str
    low: float
    high: float


@dataclass(frozen=True)
class TaskSpecification:
    """One task's instruction, label format and scale.

    pointwise: prompt for one side. Read by logits, the next token begins a number of the scale,
        after `score` up to its slot.
    pairwise: prompt for two sides, in the order shown.
    scale: the numbers that a score can be, rising. Read from text, any number from the first to
        the last, decimals too.
    answers: the sentence that stands for each verdict.
    reading: how the checkpoint is read.
    num_frames: frames of a clip that the judge is shown; 1 for pictures.
    prompt: which text fills `{prompt}`: the prompt's own, or the one that conditioned the generator
        where something rewrote it before (`schemas.rows.Drawn`).
    score: the label format of a score; `{score}` is the number.
    dimensions: lines that come before the score where the checkpoint writes them.
    max_tokens: length limit of an answer that is read from text.
    reason: what is said after an answer to ask for its justification; none is asked for, and none
        learned, where it is empty.
    reason_confidence: a justification with a token less probable than this is not given. A judge
        that writes down what it is not sure of gives reasons that are not there.
    source: what is said before either prompt where a picture is edited, once for both sides; such
        prompts are refused where it is empty.
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

    @property
    def takes(self) -> frozenset[Need]:
        """What a prompt may ask for beside a text, and a medium before it."""
        return QUESTIONS | {"source"} if self.source else QUESTIONS

    def for_prompt(self, prompt: Prompt) -> TaskSpecification:
        """How this prompt is asked about: with the words for its source, where it has one.

        Raises:
            SpecificationError: it has parts for which there is no place.
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
        if "source" not in needs:
            return self
        before = f"{self.source} "
        return replace(self, pointwise=before + self.pointwise, pairwise=before + self.pairwise)


@dataclass(frozen=True)
class JudgeSpecification:
    """How each task is put to one judge.

    is_chat: prompts are a user's turn of the model's own chat template; else they are plain text.
    """

    tasks: Mapping[Task, TaskSpecification]
    is_chat: bool = False

    def __post_init__(self) -> None:
        for name, task in self.tasks.items():
            _check(name, task)

    def task(self, task: Task) -> TaskSpecification:
        """The specification of one task.

        Raises:
            SpecificationError: this judge was not made for the task.
        """
        if task not in self.tasks:
            known = ", ".join(self.tasks)
            raise SpecificationError(
                f"this judge has no specification for {task!r}; it has {known}"
            )
        return self.tasks[task]

    def in_text(self) -> JudgeSpecification:
        """The same with every answer read from text, for judges of which no logits are seen."""
        tasks = {name: replace(one, reading="text") for name, one in self.tasks.items()}
        return replace(self, tasks=tasks)

    def save(self, directory: Path) -> None:
        """Write `judge.json` beside the weights."""
        (directory / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> JudgeSpecification:
        """Read a specification: a JSON file, or the `judge.json` of a model directory.

        Raises:
            SpecificationError: missing or unreadable.
        """
        if path.suffix != ".json":
            path = path / FILE
        try:
            text = path.read_text()
        except FileNotFoundError:
            raise SpecificationError(
                f"{path}: missing; a judge is a model directory with a {FILE} in it, "
                f"or names its specification (shipped: {', '.join(published())})"
            ) from None
        except (OSError, ValueError) as error:
            raise SpecificationError(f"{path}: not a judge specification: {error}") from None
        return cls.read(text, str(path))

    @classmethod
    def read(cls, text: str, source: str) -> JudgeSpecification:
        """A specification from the text of its file; `source` names it in messages.

        Raises:
            SpecificationError: it is none.
        """
        try:
            raw = json.loads(text)
            tasks: dict[Task, TaskSpecification] = {
                task: _task(fields) for task, fields in raw["tasks"].items()
            }
            return cls(tasks, bool(raw.get("is_chat", False)))
        except SpecificationError as error:
            raise SpecificationError(f"{source}: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpecificationError(f"{source}: not a judge specification: {error}") from None


def asking_of(
    task: TaskSpecification, is_chat: bool, kind: Literal["score", "duel"]
) -> dict[str, Any]:
    """The part of a specification that decides what a judge is sent, and what of its answer is
    kept: the asking part of a reply's key (`factory.keys`).

    Where the judge writes text, the answers' sentences, the label of the score, the scale and the
    dimensions only say how that text is read, and are not in it. Where logits are read, those are
    the tokens whose probabilities are taken, so answers, or label and scale, belong to the asking.
    Reasons are asked for apart.

    Args:
        task: how the task is put to the judge, of one prompt (`TaskSpecification.for_prompt`).
        is_chat: whether prompts are a user's turn of the model's chat template.
        kind: what is asked for.
    """
    asked: dict[str, Any] = {
        "template": task.pointwise if kind == "score" else task.pairwise,
        "is_chat": is_chat,
        "num_frames": task.num_frames,
        "reading": task.reading,
    }
    if task.reading == "text":
        return {**asked, "max_tokens": task.max_tokens}
    if kind == "duel":
        return {**asked, "answers": dict(task.answers)}
    return {**asked, "score": task.score, "scale": [float(number) for number in task.scale]}


def conditioning(prompt: Prompt, candidates: Sequence[Candidate]) -> Prompt:
    """The prompt with the text that some candidates were drawn from. Its id stays: it is the same
    row.

    Raises:
        SpecificationError: they were drawn from different texts, so that no one of them is theirs.
    """
    texts = {one.drawn.prompt for one in candidates if one.drawn is not None}
    if len(texts) > 1:
        raise SpecificationError(
            f"the judge is shown the conditioning prompt, and these {len(candidates)} candidates "
            f"were drawn from {len(texts)} different ones"
        )
    return prompt.saying(texts.pop()) if texts else prompt


def published() -> list[str]:
    """Names of the specifications that are shipped."""
    return sorted(path.stem for path in PUBLISHED.glob("*.json"))


def find(model: str, specification: str | None = None) -> JudgeSpecification:
    """The specification of a judge.

    Args:
        model: the model's directory or hub name; its `judge.json` counts where nothing else is
            named.
        specification: name of a shipped one, or path of a JSON file.

    Raises:
        SpecificationError: missing or unreadable.
    """
    return JudgeSpecification.load(
        Path(model) / FILE if specification is None else file_of(specification)
    )


def file_of(specification: str) -> Path:
    """The file of a specification that is named as in `find`."""
    if specification in published():
        return PUBLISHED / f"{specification}.json"
    named = Path(specification)
    return named if named.suffix == ".json" else named / FILE


def _task(fields: dict[str, Any]) -> TaskSpecification:
    dimensions = tuple(Dimension(**one) for one in fields.get("dimensions", ()))
    return TaskSpecification(
        **{**fields, "scale": tuple(fields["scale"]), "dimensions": dimensions}
    )


def _check(name: str, task: TaskSpecification) -> None:
    """Refuse what could not be asked or read."""
    if name not in get_args(Task):
        raise SpecificationError(f"unknown task {name!r}; known: {', '.join(get_args(Task))}")
    is_answer = name in UNDERSTANDING
    for kind, num in (("pointwise", 1), ("pairwise", 2)):
        slots = _SLOT.findall(getattr(task, kind))
        unknown = set(slots) - {"media", "prompt", "answer"}
        if unknown:
            raise SpecificationError(f"{name}.{kind}: unknown slot {{{min(unknown)}}}")
        wanted = {"media": 1 if is_answer else num, "answer": num if is_answer else 0}
        for slot, count in wanted.items():
            if slots.count(slot) != count:
                raise SpecificationError(
                    f"{name}.{kind}: needs {{{slot}}} {count} time(s), has {slots.count(slot)}"
                )
        if "prompt" not in slots:
            raise SpecificationError(f"{name}.{kind}: has no {{prompt}}")
    if task.source and (name != "image_generation" or _SLOT.findall(task.source) != ["source"]):
        raise SpecificationError(
            f"{name}.source: is for image_generation alone, where a picture is edited, and needs "
            "{source} once and no other slot"
        )
    if len(task.scale) < 2 or list(task.scale) != sorted(set(task.scale)):
        raise SpecificationError(f"{name}.scale: needs two numbers or more, rising")
    if set(task.answers) != set(get_args(Preference)):
        raise SpecificationError(f"{name}.answers: needs {', '.join(get_args(Preference))}")
    if task.reading not in get_args(Reading):
        raise SpecificationError(f"{name}.reading: {task.reading!r} is neither logits nor text")
    if task.score.count("{score}") != 1:
        raise SpecificationError(f"{name}.score: needs {{score}} once")
    if task.num_frames < 1:
        raise SpecificationError(f"{name}.num_frames: {task.num_frames} is less than one")
    if task.prompt not in get_args(ShownPrompt):
        raise SpecificationError(
            f"{name}.prompt: {task.prompt!r} is neither original nor conditioning"
        )
    if not 0 <= task.reason_confidence < 1:
        raise SpecificationError(
            f"{name}.reason_confidence: {task.reason_confidence} is no probability below 1"
        )


def _generation(medium: str, num_frames: int) -> TaskSpecification:
    """The default for pictures or clips: caption and read-out after each."""
    one, two = (
        f"{medium} {number} : {{media}} caption : {{prompt}} . final score :" for number in (1, 2)
    )
    name = medium.capitalize()
    return TaskSpecification(
        pointwise=one,
        pairwise=f"{one} {two} overall judgment :",
        scale=(1, 2, 3, 4, 5),
        answers={
            "first": f"{name} 1 is better than {name} 2 .",
            "second": f"{name} 2 is better than {name} 1 .",
            "tie": f"Both {medium}s are equally good .",
        },
        num_frames=num_frames,
        source="source : {source} ." if medium == "image" else "",
    )


def _understanding(medium: str, num_frames: int) -> TaskSpecification:
    """The default for answers: the medium and the question once, a read-out after each answer."""
    asked = f"{medium} : {{media}} question : {{prompt}}"
    one, two = (f"answer {number} : {{answer}} . final score :" for number in (1, 2))
    return TaskSpecification(
        pointwise=f"{asked} {one}",
        pairwise=f"{asked} {one} {two} overall judgment :",
        scale=(1, 2, 3, 4, 5),
        answers={
            "first": "Answer 1 is better than Answer 2 .",
            "second": "Answer 2 is better than Answer 1 .",
            "tie": "Both answers are equally good .",
        },
        num_frames=num_frames,
    )


#: Frames of a clip that a judge is shown where its specification does not say otherwise.
NUM_FRAMES = 4

#: UnifiedReward's label formats on a scale of one token a number, a read-out after each side.
DEFAULT = JudgeSpecification(
    {
        "image_generation": _generation("image", 1),
        "video_generation": _generation("video", NUM_FRAMES),
        "image_understanding": _understanding("image", 1),
        "video_understanding": _understanding("video", NUM_FRAMES),
    }
)
