"""Measuring a judge: on held-out labels, and by probes whose answers should not differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from actors.stages import JudgeRef, one_thread_per_worker
from factory.bias.probes import Probe, Prober, Sample
from factory.matchups import Matchup, matchup
from schemas.rows import Group, Label, Preference


@dataclass(frozen=True)
class Opinion:
    """The judge's view of one pairwise label, in the order of the label."""

    prompt_id: str
    label: Preference
    matchup: Matchup | None  # None where either side could not be judged


@dataclass(frozen=True)
class Opinions:
    """The judge's view of all held-out labels. `points` are (given by people, judge's score)."""

    pairs: tuple[Opinion, ...]
    points: tuple[tuple[str, float, float], ...]  # prompt_id, label, score


def judge_labels(ref: JudgeRef, labels: Sequence[Label]) -> Opinions:
    """Let a judge duel the sides of every pairwise label in both orders, and score the others."""
    one_thread_per_worker()
    judge = ref.load()
    pairs, points = [], []
    for label in labels:
        sitting = judge.sit(label.prompt, label.sides())
        if label.preference is not None:
            met = matchup(sitting.duels([(0, 1), (1, 0)]), "0", "1")
            pairs.append(Opinion(label.prompt.prompt_id, label.preference, met))
        elif label.points is not None:
            score = sitting.scores()[0]
            value = score.value if score.error is None else math.nan
            points.append((label.prompt.prompt_id, float(label.points), value))
    return Opinions(tuple(pairs), tuple(points))


def probe_groups(
    ref: JudgeRef, groups: Sequence[tuple[Group, Group | None]], sample: Sample, prober: Prober
) -> list[Probe]:
    """Put a sample's probes to a judge; each group comes with another to borrow media from."""
    one_thread_per_worker()
    judge = ref.load()
    found: list[Probe] = []
    for group, other in groups:
        if group.prompt.prompt_id in sample.media:
            found += prober.media(judge, group, other)
        if group.prompt.prompt_id in sample.words:
            found += prober.words(judge, group)
    return found
