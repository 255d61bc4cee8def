"""Judge specifications: how each task is put to a judge, and where that is written.

A label format belongs to a checkpoint, never to a constant, so the specification is saved beside
the weights (`judge.json`) and travels with them. One input form serves four tasks. A template has
these slots, each at most once a side, sides in the order shown:

- `{media}`: the model's placeholders of a picture, or of a clip's frames. In the two understanding
  tasks it stands for all media of the question, in their order.
- `{prompt}`: the caption, or the question. A dialogue is one text, each turn on a line after its
  speaker, as "user: …" (`factory.prompt_parts.in_words`).
- `{answer}`: the answer judged, in the two understanding tasks, whose medium belongs to the prompt.
- `{source}`: the picture that an edit starts from, in `source`, or in the templates of a judge that
  is asked about edits alone.

The default layout puts a read-out ("final score :") after *each* side: the pairwise prompt passes
through the state from which the pointwise score is read before it asks for the verdict, which small
judges need in order to learn to compare.

`published` holds specifications of checkpoints that others trained. Those that name a `source` ask
in its words, to the letter, and say which commit they were read at; the two that name none have the
checkpoints' label formats and instructions of our own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from factory.judging.specification_file import check, later_keys, task_of
from factory.judging.task_specification import (
    Dimension,
    Kind,
    Reading,
    ShownPrompt,
    SpecificationError,
    TaskSpecification,
    asking_of,
)
from schemas.rows import Candidate, Prompt, Task

__all__ = [
    "DEFAULT",
    "FILE",
    "NUM_FRAMES",
    "PUBLISHED",
    "USER",
    "Dimension",
    "JudgeSpecification",
    "Kind",
    "Reading",
    "ShownPrompt",
    "Source",
    "SpecificationError",
    "TaskSpecification",
    "asking_of",
    "conditioning",
    "file_of",
    "find",
    "not_trained",
    "published",
]

FILE = "judge.json"
PUBLISHED = Path(__file__).with_name("published")

#: Stands for what the user says in `JudgeSpecification.turn`.
USER = "{user}"


@dataclass(frozen=True)
class Source:
    """Where a specification's words come from, and whose they are.

    repository, commit, files: in which they stand, as they were read.
    license: under which they are published.
    checkpoints: that were trained on them, as their authors call them.
    notes: what a reader has to know beside: what the checkpoints were not trained for, and where
        what is asked here differs from what was published, with the reason.
    """

    repository: str
    commit: str
    files: tuple[str, ...]
    license: str
    checkpoints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgeSpecification:
    """How each task is put to one judge.

    is_chat: prompts are a user's turn of the model's own chat template; else they are plain text.
    turn: how a user's turn is written, with `{user}` for what is said, where a checkpoint was
        trained in other words than its chat template's; from the beginning of the text to where the
        answer begins. Special tokens count as such in it.
    source: whose words they are; None for the user's own.
    """

    tasks: Mapping[Task, TaskSpecification]
    is_chat: bool = False
    turn: str = ""
    source: Source | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise SpecificationError("tasks: has none")
        if self.turn and (self.turn.count(USER) != 1 or not self.is_chat):
            raise SpecificationError(f"turn: needs {USER} once, and is_chat")
        for name, task in self.tasks.items():
            check(name, task, is_chat=self.is_chat)
            if self.turn and task.system:
                raise SpecificationError(
                    f"{name}.system: `turn` is the whole text around what the user says: write the "
                    "system's turn into it"
                )

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

    def check_kinds(self, task: Task, kinds: Sequence[Kind], asker: str) -> None:
        """Refuse questions that the checkpoint was not trained for.

        Args:
            task: that is judged.
            kinds: that are asked.
            asker: who asks, for the message.

        Raises:
            SpecificationError: names the kind and what to do.
        """
        told = self.task(task)
        for kind in kinds:
            if kind not in told.kinds:
                raise SpecificationError(f"{not_trained(task, kind)}, which {asker} asks")

    def in_text(self) -> JudgeSpecification:
        """The same with every answer read from text, for judges of which no logits are seen."""
        tasks = {name: replace(one, reading="text", decimals=0) for name, one in self.tasks.items()}
        return replace(self, tasks=tasks)

    def save(self, directory: Path) -> None:
        """Write `judge.json` beside the weights."""
        (directory / FILE).write_text(json.dumps(self.to_json(), indent=2) + "\n")

    def to_json(self) -> dict[str, Any]:
        """As it is written: keys that came later only where they say something."""
        whole: dict[str, Any] = {
            "tasks": {name: _written(task) for name, task in self.tasks.items()},
            "is_chat": self.is_chat,
        }
        if self.turn:
            whole["turn"] = self.turn
        if self.source is not None:
            whole["source"] = asdict(self.source)
        return whole

    @classmethod
    def load(cls, path: Path) -> JudgeSpecification:
        """Read a specification: a JSON file, or the `judge.json` of a model directory.

        Raises:
            SpecificationError: missing or unreadable.
        """
        if path.suffix != ".json":
            path = path / FILE
        try:
            text = path.read_text(encoding="utf-8")
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
            return _read(json.loads(text))
        except SpecificationError as error:
            raise SpecificationError(f"{source}: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpecificationError(f"{source}: not a judge specification: {error}") from None


def not_trained(task: Task, kind: Kind) -> str:
    """Why a question is not asked."""
    name = "pointwise" if kind == "score" else "pairwise"
    return f"this checkpoint was not trained for {name} questions of {task}"


def _read(raw: Any) -> JudgeSpecification:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("tasks"), Mapping):
        raise SpecificationError("not a judge specification: it has no object `tasks`")
    for key in raw:
        if key not in ("tasks", "is_chat", "turn", "source"):
            raise SpecificationError(f"{key}: no such key; it has tasks, is_chat, turn, source")
    tasks: dict[Task, TaskSpecification] = {
        name: task_of(name, given) for name, given in raw["tasks"].items()
    }
    turn, source = raw.get("turn", ""), raw.get("source")
    if not isinstance(turn, str):
        raise SpecificationError(f"turn: {turn!r} is no text")
    told = None
    if source is not None:
        try:
            told = Source(**{key: _tuples(value) for key, value in source.items()})
        except (TypeError, AttributeError) as error:
            raise SpecificationError(f"source: {error}") from None
    return JudgeSpecification(tasks, bool(raw.get("is_chat", False)), turn, told)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


#: The keys of a task and of a dimension in the files that were written first.
_FIRST = (
    *("pointwise", "pairwise", "scale", "answers", "reading", "num_frames", "score", "dimensions"),
    *("max_tokens", "reason", "reason_confidence", "prompt", "source"),
)


def _written(task: TaskSpecification) -> dict[str, Any]:
    first = {key: getattr(task, key) for key in _FIRST}
    first["answers"] = dict(task.answers)
    first["dimensions"] = [_dimension(one) for one in task.dimensions]
    return first | later_keys(task)


def _dimension(one: Dimension) -> dict[str, Any]:
    plain = Dimension(one.label, one.low, one.high)
    return {
        key: value
        for key, value in asdict(one).items()
        if key in ("label", "low", "high") or value != getattr(plain, key)
    }


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
