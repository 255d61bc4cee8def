"""Judge specifications: how a task is put to a judge, how it answers, and on which scale.

A label format belongs to a checkpoint, never to a constant, so the specification is saved beside
the weights (`judge.json`) and travels with them. `{media}` stands for the model's own image
placeholder, `{prompt}` for the caption. The layout puts a read-out ("final score :") after *each*
medium: the pairwise prompt passes through the state from which the pointwise score is read before
it asks for the verdict, which small judges need in order to learn to compare.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from schemas.rows import Preference, Task

FILE = "judge.json"


class SpecificationError(ValueError):
    """A judge specification that is missing, unreadable, or cannot be asked of this model."""


@dataclass(frozen=True)
class TaskSpecification:
    """One task's instruction, label format and scale.

    pointwise: prompt for one medium; the next token is a number of the scale.
    pairwise: prompt for two media, with two `{media}` in the order shown.
    scale: the numbers that a score can be, each a single token.
    answers: the sentence that stands for each verdict.
    """

    pointwise: str
    pairwise: str
    scale: tuple[int, ...]
    answers: Mapping[Preference, str]


@dataclass(frozen=True)
class JudgeSpecification:
    """How each task is put to one judge."""

    tasks: Mapping[Task, TaskSpecification]

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

    def save(self, directory: Path) -> None:
        """Write `judge.json` beside the weights."""
        (directory / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> JudgeSpecification:
        """Read `judge.json`.

        Raises:
            SpecificationError: missing or unreadable.
        """
        path = directory / FILE
        try:
            raw = json.loads(path.read_text())
            tasks: dict[Task, TaskSpecification] = {
                task: TaskSpecification(**{**fields, "scale": tuple(fields["scale"])})
                for task, fields in raw["tasks"].items()
            }
        except FileNotFoundError:
            raise SpecificationError(
                f"{path}: missing; a judge is a model directory with a {FILE} in it"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise SpecificationError(f"{path}: not a judge specification: {error}") from None
        return cls(tasks)


_ONE = "image {number} : {{media}} caption : {{prompt}} . final score :"

#: The label format of UnifiedReward for image generation, with a read-out after each picture.
DEFAULT = JudgeSpecification(
    {
        "image_generation": TaskSpecification(
            pointwise=_ONE.format(number=1),
            pairwise=f"{_ONE.format(number=1)} {_ONE.format(number=2)} overall judgment :",
            scale=(1, 2, 3, 4, 5),
            answers={
                "first": "Image 1 is better than Image 2 .",
                "second": "Image 2 is better than Image 1 .",
                "tie": "Both images are equally good .",
            },
        )
    }
)
