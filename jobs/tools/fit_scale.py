"""Scores of labelled pairs by one scalar judge, and the rule that is fitted to them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from actors.judges.scalar import ScalarJudge
from factory.judging import by_scores
from factory.judging.scale_fit import FittedScale, fit_scale
from factory.protocols import Judge
from jobs.datasets.labels import Split, label_batches, label_files
from jobs.rounds.workspace import InputError
from schemas.arrow import labels_from_table
from schemas.rows import Label, Preference, Task


@dataclass
class Pairs:
    """Scored pairs of one task.

    num_unreadable: pairs of which a side has no score.
    """

    differences: list[float] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    num_unreadable: int = 0

    def add(self, judge: Judge, label: Label) -> None:
        """Score the two sides of a pairwise label."""
        if label.preference is None:
            return
        first, second = judge.sit(label.prompt, label.sides()).scores()
        difference = first.value - second.value
        if first.error or second.error or not math.isfinite(difference):
            self.num_unreadable += 1
            return
        self.differences.append(difference)
        self.preferences.append(label.preference)
        self.prompts.append(label.prompt.prompt_id)


def fit(
    directory: Path,
    labels: str,
    split: Split,
    precision: str = "fp32",
    specification: str | None = None,
) -> dict[Task, FittedScale]:
    """Fit the scale of the judge in a directory, write it beside the weights, and tell it.

    Raises:
        InputError: no directory, or no pair that the judge can judge.
        RulesError: too few pairs, or scores that say nothing of the labels.
    """
    if not directory.is_dir():
        raise InputError(f"--judge: {directory}: no directory; the scale is written into it")
    files = label_files(labels)
    judge = ScalarJudge(str(directory), f"{directory.name}@0", precision, 64, specification)
    pairs: dict[Task, Pairs] = defaultdict(Pairs)
    for batch in label_batches(files, split):
        for label in labels_from_table(pa.Table.from_batches([batch])):
            if label.prompt.task in judge.specification.tasks:
                pairs[label.prompt.task].add(judge, label)
    found = {
        task: fit_scale(one.differences, one.preferences, one.prompts)
        for task, one in pairs.items()
        if one.differences or one.num_unreadable
    }
    if not found:
        raise InputError(
            f"--labels: {labels}: no pair of split {split!r} for "
            f"{', '.join(judge.specification.tasks)}"
        )
    rules = {task: one.rule for task, one in found.items()}
    by_scores.save({**(by_scores.load(directory) or {}), **rules}, directory)
    for task, one in found.items():
        _tell(task, one, pairs[task].num_unreadable)
    return found


def _tell(task: Task, one: FittedScale, num_unreadable: int) -> None:
    slope, accuracy = one.slope, one.accuracy
    print(
        f"{task}: {slope.value:.4g} logits a point ({slope.low:.4g} to {slope.high:.4g}), tie odds "
        f"{one.rule.tie_odds:.3g}, of {one.num_pairs} pairs ({one.num_ties} ties, "
        f"{num_unreadable} unreadable); the higher score is preferred in {accuracy.value:.1%} "
        f"({accuracy.low:.1%} to {accuracy.high:.1%}) of those that are no tie",
        flush=True,
    )
