"""What a panel is worth by held-out labels: each member, how they err together, and the whole.

The whole is measured on prompts that its weights were not fitted on (five parts, each judged by the
weights of the others), and against the member that is best on the same labels, whose luck of being
the best counts against the panel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from factory.judging.panel import Asked, PanelWeights, TaskWeights, asked_of, fit_task
from factory.ranking.matchups import matchups, slices
from factory.statistics.intervals import Array, Interval, clustered_bootstrap
from schemas.results import Estimate
from schemas.rows import Duel, Opinion, Task, seed_of

_FOLDS = 5


@dataclass(frozen=True)
class Worth:
    """Figures of one task; accuracies are over pairs of which people prefer a side.

    members: accuracy of each.
    panel: accuracy of the whole, on prompts that its weights were not fitted on.
    gained: that of the whole less that of the best member, paired.
    num: labelled pairs without ties; `num_unread` more could not be read by some member.
    """

    members: tuple[Interval, ...]
    panel: Interval
    gained: Interval
    num: int
    num_unread: int


def worth(asked: Asked, num_resamples: int = 1000, seed: int = 0) -> Worth:
    """The figures of one task."""
    is_told = asked.said != 0
    x, y = asked.margins[is_told], asked.said[is_told]
    prompts = [one for one, told in zip(asked.prompts, is_told, strict=True) if told]
    right = ((x * y[:, None]) > 0).astype(np.float64)
    whole = (_cross_fitted(x, y, prompts) * y > 0).astype(np.float64)
    best = int(right.mean(axis=0).argmax()) if len(y) else 0

    def estimate(values: Array) -> Interval:
        return clustered_bootstrap(values, prompts, num_resamples, seed)

    return Worth(
        tuple(estimate(right[:, index]) for index in range(x.shape[1])),
        estimate(whole),
        estimate(whole - right[:, best]),
        len(y),
        asked.num_unread,
    )


def _cross_fitted(x: Array, y: Array, prompts: Sequence[str]) -> Array:
    """The panel's log-odds of each label, by weights that saw no label of its prompt, [N]."""
    fold = np.array([seed_of("panel fold", one) % _FOLDS for one in prompts], dtype=np.int64)
    margins = np.zeros(len(y))
    for number in range(_FOLDS):
        is_out = fold == number
        rest = tuple(one for one, out in zip(prompts, is_out, strict=True) if not out)
        weights = fit_task(Asked(x[~is_out], y[~is_out], rest)) or TaskWeights.alike(x.shape[1])
        margins[is_out] = weights.margins(x[is_out])
    return margins


def as_text(
    weights: PanelWeights,
    members: Mapping[str, Sequence[Opinion]],
    num_resamples: int = 1000,
    seed: int = 0,
) -> str:
    """For people: a block for each task."""
    by_task = [slices(opinions) for opinions in members.values()]
    blocks = []
    for task in sorted({task for one in by_task for task in one}):
        asked = asked_of([one.get(task, []) for one in by_task])
        blocks.append(_block(task, weights, worth(asked, num_resamples, seed)))  # type: ignore[arg-type]
    return "\n".join(blocks)


def _block(task: Task, weights: PanelWeights, found: Worth) -> str:
    told = weights.task(task)
    lines = [f"{task}: {found.num} labelled pairs without ties, {found.num_unread} unreadable"]
    for index, name in enumerate(weights.members):
        lines.append(
            f"  {name}: right in {_shown(found.members[index])}, weight {told.shares[index]:.2f}"
        )
    if not told.num_pairs:
        lines.append("  the members count alike: too few labels, or none is better than chance")
    for first, row in enumerate(told.correlation):
        for second in range(first + 1, len(row)):
            names = f"{weights.members[first]} and {weights.members[second]}"
            lines.append(
                f"  errors of {names}, hard pairs included, are correlated {row[second]:+.2f}"
            )
    lines.append(f"  together: right in {_shown(found.panel)}, on prompts that weighed nobody")
    lines.append(f"  beyond the best of them: {_shown(found.gained, '+')}")
    return "\n".join(lines)


def _shown(found: Interval, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def disagreements(
    said: Iterable[tuple[str, Sequence[Duel]]], num_resamples: int = 1000, seed: int = 0
) -> tuple[Estimate, ...]:
    """How often the members of a panel prefer different sides of the same two candidates, for every
    two of them. A tie of one beside a preference of the other is half of a difference.

    Args:
        said: the id of each prompt, and its members' duels.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the same.
    """
    found: dict[tuple[str, str], tuple[list[float], list[str]]] = {}
    for prompt_id, duels in said:
        leads: dict[str, dict[tuple[str, str], float]] = {}
        for judge in dict.fromkeys(one.judge for one in duels):
            own = matchups([one for one in duels if one.judge == judge])
            leads[judge] = {(one.first_id, one.second_id): np.sign(one.logit) for one in own}
        for pair in combinations(leads, 2):
            first, second = (leads[judge] for judge in pair)
            values, prompts = found.setdefault(pair, ([], []))
            both = first.keys() & second.keys()
            values += [abs(first[sides] - second[sides]) / 2 for sides in sorted(both)]
            prompts += [prompt_id] * len(both)
    return tuple(
        Estimate.of(
            f"panel: {first} and {second} prefer different sides",
            clustered_bootstrap(values, prompts, num_resamples, seed),
            None,
            "share",
            len(values),
            note="of the duels of both orders",
        )
        for (first, second), (values, prompts) in found.items()
    )
