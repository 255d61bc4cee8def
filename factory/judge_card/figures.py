"""From what a judge said to the figures of its card, each with its interval and what it rests on.

What accuses is tested, all of a judge's tests together (Benjamini & Yekutieli), against effects
that are too small to matter; what was not found is told with the smallest effect that would have
been. Points of different judges are made comparable by their scales: what matters is a share of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from factory.bias.edits import EDITS
from factory.bias.estimate import attribute_sds
from factory.bias.figure import Figure, Relevance
from factory.bias.observation import NAMES, Observation
from factory.bias.response import damage_figures, edit_figures
from factory.bias.substitution import unseen_figures
from factory.human_audit.estimate import wilson
from factory.judge_card.asking import EDITS_ASKED, Occasion, Said, medium_of
from factory.statistics.intervals import (
    Interval,
    clustered_bootstrap,
    jackknife_of_sums,
    mean_of_sums,
)
from factory.statistics.metrics import adjusted_p_values
from schemas.rows import Task

Part = Literal["reading", "looking", "order", "liking", "damage", "flips", "cost"]

FALSE_DISCOVERY_RATE = 0.05
#: With which probability a leaning of size `least` is found.
POWER = 0.8
#: Effects up to these are too small to matter: shares of the scale, log-odds, shares of verdicts.
SMALL_POINTS, SMALL_LOGITS, SMALL_SHARE = 0.0125, 0.1, 0.03
#: A leaning is told as "none shown" where one of these would have been found; else it is not known.
KNOWN_POINTS, KNOWN_LOGITS, KNOWN_SHARE = 0.0625, 0.5, 0.1
#: With fewer prompts nothing is told to be absent, whatever the interval says.
FEWEST_PROMPTS = 12
_RESAMPLES = 1000
_NORMAL = NormalDist()
_WON = {"first": 1.0, "second": 0.0, "tie": 0.5}


@dataclass(frozen=True)
class CardFigure:
    """One figure of a card.

    part: which question it answers.
    task: of which prompts.
    name: the edit, or what the figure is of.
    measure: what was measured, in words.
    unit: of value, low and high.
    value, low, high: with its 95 % interval; None where it cannot be told.
    num: probes that it rests on; num_prompts of how many prompts, num_invalid unreadable beside.
    neutral: the value of a judge without fault; None where there is none.
    is_tested: whether it can accuse.
    p_adjusted: that there is no fault that matters, adjusted for all tests of the judge.
    is_shown: whether the fault is shown.
    least: the smallest effect that would have been found with a probability of `POWER`.
    is_known: whether `least` is small enough to say that no leaning of size is there.
    """

    part: Part
    task: Task
    name: str
    measure: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    num: int
    num_prompts: int
    num_invalid: int = 0
    neutral: float | None = None
    is_tested: bool = False
    p_adjusted: float | None = None
    is_shown: bool = False
    least: float | None = None
    is_known: bool = False


@dataclass(frozen=True)
class _Tested:
    """A figure with its test, before all tests are taken together."""

    figure: CardFigure
    p_value: float
    margin: float
    known: float
    is_one_sided: bool


def figures_of(said: Sequence[Said], seed: int = 0) -> tuple[CardFigure, ...]:
    """All figures that need neither labels nor a second way of asking.

    Args:
        said: of each prompt, of one judge.
        seed: of the bootstrap.
    """
    told: list[CardFigure] = []
    tested: list[_Tested] = []
    for task in dict.fromkeys(one.task for one in said):
        mine = [one for one in said if one.task == task]
        told += _reading(mine)
        answered = [one for one in mine if one.error is None]
        if not answered:
            continue
        told += [*_right(answered, seed), *_turned(answered, seed), *_wins(answered, seed)]
        told += _costs(answered, seed)
        tested += [*_slot(answered, seed), *_edits(answered, seed), *_unseen(answered, seed)]
    return (*told, *_together(tested))


def points_of(said: Iterable[Said]) -> float:
    """The length of a judge's scale for one task: as it is said, or what it was seen to use."""
    every = list(said)
    scale = next((one.scale for one in every if one.scale is not None), None)
    if scale is not None:
        return scale[1] - scale[0]
    values = [value for one in every for _, value in one.scores if math.isfinite(value)]
    return (max(values) - min(values) if values else 0.0) or 1.0


def share_of(values: Sequence[float], prompts: Sequence[str], seed: int = 0) -> Interval:
    """A share with its interval, clustered by prompt. Where all prompts agree, or there are few, a
    bootstrap has no width: then Wilson's, with no more answers than prompts.
    """
    found = clustered_bootstrap(values, prompts, _RESAMPLES, seed)
    num = len({one for one, value in zip(prompts, values, strict=True) if math.isfinite(value)})
    if num and (not found.high > found.low or num < FEWEST_PROMPTS):
        return wilson(found.value, num)
    return found


def _reading(said: Sequence[Said]) -> list[CardFigure]:
    """What could not be read; a prompt of which nothing was said counts as one such request."""
    refused = [one for one in said if one.is_refused]
    if len(refused) == len(said):
        return []
    found = []
    for name, num_of, bad_of in (
        ("scores", "num_scores", "num_bad_scores"),
        ("comparisons", "num_duels", "num_bad_duels"),
    ):
        values: list[float] = []
        prompts: list[str] = []
        for one in said:
            num, bad = getattr(one, num_of), getattr(one, bad_of)
            if one.error is not None:
                num, bad = 1, 1
            values += [1.0] * bad + [0.0] * (num - bad)
            prompts += [one.prompt_id] * num
        found.append(
            _told("reading", said[0].task, name, f"{name} that cannot be read", "share",
                  share_of(values, prompts), len(values), prompts, neutral=0.0)
        )  # fmt: skip
    return found


def _right(said: Sequence[Said], seed: int) -> list[CardFigure]:
    """How often the prompt's own output wins over another prompt's."""
    values, prompts = _met(said, "another's")
    if not values and not any(one.num_unmet.get("another's") for one in said):
        return []
    shares = [_WON[one.preference] for one in values]
    unmet = sum(one.num_unmet.get("another's", 0) for one in said)
    return [
        _told("looking", said[0].task, "right one", "the prompt's own wins over another prompt's",
              "share", share_of(shares, prompts, seed), len(shares), prompts, unmet, 1.0)
    ]  # fmt: skip


def _turned(said: Sequence[Said], seed: int) -> list[CardFigure]:
    """How often the verdict changes with the order in which two are shown."""
    found = []
    occasions: tuple[tuple[Occasion, str], ...] = (
        ("another's", "own against another prompt's"),
        ("candidates", "two candidates of a prompt"),
        ("edited", "a copy against its original"),
    )
    for occasion, words in occasions:
        met, prompts = _met(said, occasion)
        if met:
            turned = [float(one.is_flipped) for one in met]
            unmet = sum(one.num_unmet.get(occasion, 0) for one in said)
            found.append(
                _told("order", said[0].task, f"turned: {occasion}",
                      f"verdicts that turn with the order: {words}", "share",
                      share_of(turned, prompts, seed), len(met), prompts, unmet, 0.0)
            )  # fmt: skip
    return found


def _slot(said: Sequence[Said], seed: int) -> list[_Tested]:
    """How much more often than every other time the side that is shown first wins."""
    met = [(one.prompt_id, each.found) for one in said for each in one.met]
    rows = [(prompt, each.first_slot_rate - 0.5) for prompt, each in met]
    if not rows:
        return []
    prompts = [prompt for prompt, _ in rows]
    values = [value for _, value in rows]
    terms = np.array([[value, 1.0] for value in values])
    test = jackknife_of_sums(terms, prompts, mean_of_sums)
    interval = clustered_bootstrap(values, prompts, _RESAMPLES, seed)
    num_unmet = sum(sum(one.num_unmet.values()) for one in said)
    measure = "wins of what is shown first, beyond one half"
    figure = _told("order", said[0].task, "first slot", measure, "share", interval, len(values),
                   prompts, num_unmet, 0.0)  # fmt: skip
    p_value = test.p_beyond(SMALL_SHARE)
    return [_Tested(figure, p_value, SMALL_SHARE, KNOWN_SHARE, is_one_sided=False)]


def _edits(said: Sequence[Said], seed: int) -> list[_Tested]:
    """What the judge gives for an attribute, and for a damage."""
    probes = [probe for one in said for probe in one.probes]
    sds = attribute_sds(
        [Observation(one.prompt_id, {}, (), 0, one.looks) for one in said], (), NAMES
    )
    # What a damage moves has no slope here: the damage's own cost is told.
    sds = {name: sd for name, sd in sds.items() if name in EDITS}
    points = points_of(said)
    relevance = Relevance(SMALL_POINTS * points, SMALL_LOGITS, SMALL_SHARE)
    often = (relevance, _RESAMPLES, seed)
    slopes = [one for one in edit_figures(probes, sds, *often) if one.measure.startswith("slope")]
    found = []
    for one in (*slopes, *damage_figures(probes, sds, *often)):
        is_damage = EDITS[one.name].is_damage
        is_scores = one.measure.endswith("scores")
        prompts = [
            probe.prompt_id for probe in probes if probe.kind == "edit" and probe.name == one.name
        ]
        found.append(
            _Tested(
                _of_bias(one, "damage" if is_damage else "liking", said[0].task, prompts),
                one.p_value,
                relevance.points if is_scores else SMALL_LOGITS,
                KNOWN_POINTS * points if is_scores else KNOWN_LOGITS,
                is_one_sided=is_damage,
            )
        )
    return found


def _unseen(said: Sequence[Said], seed: int) -> list[_Tested]:
    """How far the score drops where there is nothing to see, or another prompt's medium."""
    probes = [probe for one in said for probe in one.probes]
    points = points_of(said)
    relevance = Relevance(SMALL_POINTS * points, SMALL_LOGITS, SMALL_SHARE)
    return [
        _Tested(
            _of_bias(one, "looking", said[0].task, [probe.prompt_id for probe in probes]),
            one.p_value,
            relevance.points,
            math.nan,  # whether it looks is told by the interval itself
            is_one_sided=True,
        )
        for one in unseen_figures(probes, relevance, _RESAMPLES, seed)
    ]


def _wins(said: Sequence[Said], seed: int) -> list[CardFigure]:
    """How often an edited copy wins over its original, and changes the verdict against a rival."""
    task = said[0].task
    met: dict[tuple[str, float], list[tuple[str, float]]] = {}
    for one in said:
        for each in one.met:
            if each.occasion == "edited":
                edit = each.found.second_id.removeprefix(f"{each.found.first_id} ")
                name, _, dose = edit.rpartition(" ")
                won = 1.0 - _WON[each.found.preference]
                met.setdefault((name, float(dose)), []).append((one.prompt_id, won))
    found = []
    for name in EDITS_ASKED[medium_of(task)]:
        for (edited, at), rows in sorted(met.items()):
            if edited == name:
                prompts = [prompt for prompt, _ in rows]
                shares = share_of([won for _, won in rows], prompts, seed)
                part: Part = "damage" if EDITS[name].is_damage else "liking"
                found.append(
                    _told(part, task, name, f"copy at dose {at:+g} wins over its original",
                          "share", shares, len(rows), prompts, 0, 0.5)
                )  # fmt: skip
        flips = [
            (one.prompt_id, float(probe.is_flipped))
            for one in said
            for probe in one.probes
            if probe.kind == "edit" and probe.name == name and probe.is_flipped is not None
        ]
        if flips:
            prompts = [prompt for prompt, _ in flips]
            found.append(
                _told("flips", task, name, "verdict against a rival changes with the edit", "share",
                      share_of([value for _, value in flips], prompts, seed), len(flips), prompts,
                      0, 0.0)
            )  # fmt: skip
    return found


def _costs(said: Sequence[Said], seed: int) -> list[CardFigure]:
    """Seconds and tokens of a verdict; the first prompt pays for what is loaded late."""
    task = said[0].task
    found = []
    timed = [one for one in said if one.num_timed][1:]
    if timed:
        found.append(
            _ratio("seconds a verdict", "seconds", task, seed,
                   [(one.prompt_id, one.seconds, one.num_timed) for one in timed])
        )  # fmt: skip
    for name, key in (("tokens read", "num_read"), ("tokens written", "num_written")):
        rows = [
            (one.prompt_id, float(getattr(one, key)), one.num_counted)
            for one in said
            if one.num_counted and getattr(one, key) is not None
        ]
        if rows:
            found.append(_ratio(f"{name} a verdict", "tokens", task, seed, rows))
    return found


def _ratio(
    name: str, unit: str, task: Task, seed: int, rows: Sequence[tuple[str, float, int]]
) -> CardFigure:
    """A sum by another sum, over prompts."""
    from factory.statistics.intervals import bootstrap_of_sums

    terms = np.array([[total, num] for _, total, num in rows], dtype=np.float64)
    prompts = [prompt for prompt, _, _ in rows]
    interval = bootstrap_of_sums(terms, prompts, mean_of_sums, _RESAMPLES, seed)
    num = sum(num for _, _, num in rows)
    return _told("cost", task, name, name, unit, interval, num, prompts)


def _together(tested: Sequence[_Tested]) -> list[CardFigure]:
    """The tested figures with what all tests together make of them."""
    adjusted = adjusted_p_values([one.p_value for one in tested])
    num = sum(math.isfinite(one.p_value) for one in tested)
    # The threshold of Benjamini & Yekutieli for the only fault among so many tests.
    alone = FALSE_DISCOVERY_RATE / (num * sum(1 / at for at in range(1, num + 1))) if num else 1.0
    found = []
    for one, p_value in zip(tested, adjusted, strict=True):
        figure = one.figure
        least = _least(one, alone)
        found.append(
            replace(
                figure,
                is_tested=True,
                p_adjusted=_finite(p_value),
                is_shown=p_value <= FALSE_DISCOVERY_RATE,
                least=_finite(least),
                is_known=figure.num_prompts >= FEWEST_PROMPTS
                and (least <= one.known or _is_below(figure, one)),
            )
        )
    return found


def _least(one: _Tested, alone: float) -> float:
    """The smallest effect that is found with `POWER`, were it the judge's only one."""
    low, high = one.figure.low, one.figure.high
    if low is None or high is None:
        return math.nan
    se = (high - low) / (2 * _NORMAL.inv_cdf(0.975))
    tail = alone if one.is_one_sided else alone / 2
    return one.margin + se * (_NORMAL.inv_cdf(1 - tail) + _NORMAL.inv_cdf(POWER))


def _is_below(figure: CardFigure, one: _Tested) -> bool:
    """Whether a damage is shown not to be rewarded: it is punished, or moves nothing."""
    return one.is_one_sided and figure.high is not None and figure.high <= one.margin


def _of_bias(one: Figure, part: Part, task: Task, prompts: Sequence[str]) -> CardFigure:
    neutral = None if part == "looking" else 0.0
    return _told(part, task, one.name, one.measure, one.unit, one.estimate, one.num, prompts,
                 one.num_invalid, neutral)  # fmt: skip


def _told(
    part: Part,
    task: Task,
    name: str,
    measure: str,
    unit: str,
    interval: Interval,
    num: int,
    prompts: Sequence[str],
    num_invalid: int = 0,
    neutral: float | None = None,
) -> CardFigure:
    value, low, high = (_finite(one) for one in (interval.value, interval.low, interval.high))
    return CardFigure(part, task, name, measure, unit, value, low, high, num, len(set(prompts)),
                      num_invalid, neutral)  # fmt: skip


def _met(said: Sequence[Said], occasion: Occasion) -> tuple[list[Any], list[str]]:
    rows = [
        (one.prompt_id, each.found) for one in said for each in one.met if each.occasion == occasion
    ]
    return [found for _, found in rows], [prompt for prompt, _ in rows]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def paired_right(one: Mapping[str, float], other: Mapping[str, float], seed: int = 0) -> Interval:
    """How much more often one judge finds the right output than another, over the prompts that both
    were asked about.
    """
    prompts = sorted(one.keys() & other.keys())
    differences = [one[prompt] - other[prompt] for prompt in prompts]
    return clustered_bootstrap(differences, prompts, _RESAMPLES, seed)


def right_by_prompt(said: Iterable[Said]) -> dict[str, float]:
    """1 for each prompt whose own output wins over another's, one half for a tie; 0 for one that
    could not be read: a judge is not better for what it does not answer.
    """
    found: dict[str, float] = {}
    for one in said:
        if one.is_refused:
            continue
        won = [_WON[each.found.preference] for each in one.met if each.occasion == "another's"]
        if won:
            found[one.prompt_id] = won[0]
        elif one.error is not None or one.num_unmet.get("another's"):
            found[one.prompt_id] = 0.0
    return found
