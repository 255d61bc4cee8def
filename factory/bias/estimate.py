"""From observations of groups and labels, and from probes, to the bias profile of a judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from factory.bias.association import (
    MIN_DIFFERING,
    Comparisons,
    Source,
    associate,
    too_few,
)
from factory.bias.calibration import ALL, temperatures
from factory.bias.figure import Figure, Relevance, flag
from factory.bias.observation import (
    RARE,
    Attributes,
    LabelObservation,
    Observation,
    PointObservation,
)
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.bias.response import SIDES, edit_figures
from factory.bias.seen import Block, PromptSums, Seen, as_seen
from factory.bias.slices import (
    calibration_figures,
    self_preference_figures,
    slice_figures,
    slices_of_seen,
)
from factory.bias.substitution import twin_figures, unseen_figures
from factory.media.pictures import ATTRIBUTES
from factory.statistics.intervals import (
    Array,
    bootstrap_of_clusters,
    jackknife_of_clusters,
    mean_of_sums,
)
from schemas.rows import Preference

LEAD: Mapping[Preference, float] = {"first": 1.0, "second": -1.0, "tie": 0.0}
#: How much of a verdict (first, second, tie) is for the side that is told first.
SHARE = np.array([1.0, 0.0, 0.5])
#: What is done to a judge's statements before they are looked at.
Correct = Callable[[Block], Block]
#: What edits that go one way alone cannot say.
_ONE_WAY = {
    "length": "whether the judge prefers short answers: it was shown longer ones that say no more, "
    "and may take points off for empty words with good reason; only people's labels can tell",
    "motion": "whether the judge prefers fast clips: it was shown slower ones, and may take points "
    "off for lost motion with good reason; only people's labels can tell",
}
_Row = tuple[str, float, Attributes, Attributes]  # prompt, lead, first side, second side


def bias_profile(
    observations: Seen | Iterable[Observation],
    labels: Iterable[LabelObservation] = (),
    points: Iterable[PointObservation] = (),
    probes: Iterable[Probe] = (),
    names: Sequence[str] = ATTRIBUTES,
    relevance: Relevance = Relevance(),  # noqa: B008 - frozen
    false_discovery_rate: float = 0.05,
    num_resamples: int = 1000,
    seed: int = 0,
    *,
    is_order_told: bool = True,
) -> BiasProfile:
    """Measure a judge on the groups that it judged, beside people, and by its answers to probes.

    Args:
        observations: of the groups.
        labels: of held-out pairwise labels; with the judge's matchup on the same sides they also
            give the `excess` of the judge over people.
        points: of held-out pointwise labels.
        probes: what the judge said of edited, blank and swapped media and of twin prompts.
        names: of the attributes.
        relevance: effects that are too small to matter.
        false_discovery_rate: share of false alarms among the flagged figures.
        num_resamples: of the bootstrap, clustered by prompt.
        seed: of the bootstrap.
        is_order_told: whether duels say which side was shown first. Where groups came with their
            judgements they do not, and nothing is said of the position.
    """
    seen, labelled, asked = as_seen(observations), list(labels), list(probes)
    scored = list(points)
    often = (num_resamples, seed)
    sds = attribute_sds(seen, labelled, names)
    heat = temperatures(labelled)
    figures = [
        *(position_figures(seen, relevance, *often) if is_order_told else ()),
        *edit_figures(asked, sds, relevance, *often),
        *unseen_figures(asked, relevance, *often),
        *twin_figures(asked, relevance, *often),
        *association_figures(seen, labelled, sds, heat.get(ALL, 1.0), relevance, *often),
        *slice_figures(seen, scored, relevance, *often),
        *self_preference_figures(seen, *often),
        *calibration_figures(labelled, *often),
    ]
    return BiasProfile(
        flag(figures, false_discovery_rate),
        sds,
        heat,
        len(seen),
        len(labelled),
        len(asked),
        (*_unknown(seen, labelled, scored, asked, is_order_told), *_unheld(labelled, sds)),
        score_sd(seen),
    )


def _unknown(
    seen: Seen,
    labelled: Sequence[LabelObservation],
    scored: Sequence[PointObservation],
    asked: Sequence[Probe],
    is_order_told: bool,
) -> tuple[str, ...]:
    """What no figure can say of this judge, and what comes of it."""
    unknown = []
    if not is_order_told:
        unknown.append(
            "whether the judge leans to the side that it is shown first, or changes its mind with "
            "the order: its preferences came without the order in which sides were shown"
        )
    if not labelled:
        unknown += [
            "whether people lean as the judge does: without people's comparisons there is no slope "
            "of theirs and no excess over it, so what goes along with preferences accuses nobody",
            "whether the judge is as sure as it should be: without people's comparisons there is "
            "no calibration error, and no slice's confidence is corrected",
        ]
    if not scored and slices_of_seen(seen):
        unknown.append(
            "whether a slice deserves what it gets: without people's points a gap between slices "
            "may be the slice's own"
        )
    if asked:
        mended = [name for name in SIDES if any(name in one.changes for one in asked)]
        unknown += [_ONE_WAY[name] for name in mended if name in _ONE_WAY]
    if not asked:
        unknown.append(
            "what the judge gives for edits, for damage, for media that are not there and for twin "
            "words: it was not probed, and no attribute is corrected"
        )
    return tuple(unknown)


def _unheld(labelled: Sequence[LabelObservation], sds: Mapping[str, float]) -> list[str]:
    """Of an attribute that most media have none of, and few labels differ in: that no excess along
    it was measured. Of others a figure says so.
    """
    told = [one for one in labelled if one.matchup is not None and one.first and one.second]
    if RARE not in sds or not told:
        return []
    differ = {one.prompt_id for one in told if one.first.get(RARE, 0) != one.second.get(RARE, 0)}
    return [] if len(differ) >= MIN_DIFFERING else [too_few(RARE, len(differ))]


def position_figures(
    seen: Seen, relevance: Relevance, num_resamples: int, seed: int
) -> list[Figure]:
    """What changes with the order in which two candidates are shown.

    Every matchup is seen in both orders, so the share of verdicts for the side shown first is one
    half for an unbiased judge. The log-odds are a little too small where duels are so one-sided
    that they are clipped.
    """
    met = PromptSums(seen, 4)
    for block in seen.blocks():
        columns = (block.slot_rates - 0.5, block.is_flipped, block.positions)
        met.add(block.prompts[block.met], *columns, np.ones(len(block.met)))
    sums, num, num_invalid = met.all(), met.num, seen.num_unreadable
    first, flips, shift = (
        bootstrap_of_clusters(sums[:, [at, 3]], mean_of_sums, num_resamples, seed)
        for at in range(3)
    )
    p_value = jackknife_of_clusters(sums[:, [0, 3]], mean_of_sums).p_beyond(relevance.share)
    return [
        Figure(
            "position", "order shown", "flip rate", "share of matchups", flips, num, num_invalid,
            neutral=None,
        ),
        Figure(
            "position", "first slot", "share above one half", "share of verdicts", first, num,
            num_invalid, p_value=p_value, note="both orders are averaged in every pair",
        ),
        Figure("position", "first slot", "log-odds", "log-odds", shift, num, num_invalid),
    ]  # fmt: skip


def association_figures(
    seen: Seen,
    labelled: Sequence[LabelObservation],
    sds: Mapping[str, float],
    factor: float,
    relevance: Relevance,
    num_resamples: int,
    seed: int,
    correct: Correct = lambda block: block,
) -> list[Figure]:
    """The lean of each source of preferences, and the judge's excess over people.

    Args:
        seen: groups.
        labelled: pairwise labels.
        sds: of the attributes.
        factor: temperature that makes the judge's log-odds right on the labels.
        relevance: an excess up to its share is too small to matter.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        correct: what is done to the judge's statements of `seen` first.
    """
    people: Iterable[_Row] = (
        (one.prompt_id, LEAD[one.preference], one.first, one.second) for one in labelled
    )
    excess: Iterable[_Row] = (
        (
            one.prompt_id,
            math.tanh(factor * one.matchup.logit / 2) - LEAD[one.preference],
            one.first,
            one.second,
        )
        for one in labelled
        if one.matchup is not None
    )
    compared = [
        *_of_groups(seen, sds, correct),
        _of_labels("people", people, sds),
        _of_labels("excess", excess, sds),
    ]
    found = []
    for comparisons in compared:
        if comparisons.num:
            found += associate(comparisons, list(sds), relevance.share, num_resamples, seed)
    return found + longer_wins(seen, num_resamples, seed, correct)


def longer_wins(
    seen: Seen, num_resamples: int, seed: int, correct: Correct = lambda block: block
) -> list[Figure]:
    """How often the longer of two answers wins, a tie counting half; none without answers."""
    wins = PromptSums(seen, 2)
    for block in map(correct, seen.blocks()):
        first, second = block.looks[:, seen.names.index("length")][block.sides].T
        differs = ~(np.isnan(first) | np.isnan(second)) & (first != second)
        shares = SHARE[block.verdicts]
        longer = np.where(first > second, shares, 1 - shares)[differs]
        wins.add(block.prompts[block.met[differs]], longer, np.ones(len(longer)))
    if not wins.num:
        return []
    won = bootstrap_of_clusters(wins.all(), mean_of_sums, num_resamples, seed)
    return [
        Figure(
            "association", "length", "longer answer wins", "share of duels", won, wins.num,
            neutral=0.5,
        )
    ]  # fmt: skip


def attribute_sds(
    observations: Seen | Iterable[Observation],
    labelled: Sequence[LabelObservation],
    names: Sequence[str],
) -> dict[str, float]:
    """One standard deviation of each attribute over the candidates of one prompt.

    Pairs are made within a prompt, so what differs from prompt to prompt (the background that it
    asks for) must not set the unit. Without groups, the two sides of each label take their place.
    Attributes that nothing shows, such as the length of a picture, are left out.
    """
    seen = as_seen(observations)
    if not any(block.is_seen.any() for block in seen.blocks()):
        sides = ({"0": one.first, "1": one.second} for one in labelled)
        seen = as_seen(Observation(str(at), {}, (), 0, looks) for at, looks in enumerate(sides))
    squares, freedom = np.zeros(len(seen.names)), np.zeros(len(seen.names))
    for block in seen.blocks():
        for at, column in enumerate(block.looks.T):
            more = _within(block, column)
            squares[at] += more[0]
            freedom[at] += more[1]
    places = {name: seen.names.index(name) for name in names}
    return {
        name: math.sqrt(squares[at] / freedom[at]) for name, at in places.items() if freedom[at]
    }


def score_sd(seen: Seen) -> float:
    """One standard deviation of the judge's scores over the candidates of one prompt, in points."""
    parts = [_within(block, block.scores) for block in seen.blocks()]
    squares, freedom = (sum(part[at] for part in parts) for at in range(2))
    return math.sqrt(squares / freedom) if freedom else math.nan


def _within(block: Block, column: Array) -> tuple[float, int]:
    """Squares around the mean of each prompt's candidates, and their degrees of freedom; NaN is
    what is not known of a candidate.
    """
    is_known = ~np.isnan(column)
    group, values = block.group[is_known], column[is_known]
    nums = np.bincount(group, minlength=len(block.prompts))
    means = np.bincount(group, values, len(nums)) / np.maximum(nums, 1)
    return float(((values - means[group]) ** 2).sum()), int(np.maximum(nums - 1, 0).sum())


def _of_groups(
    seen: Seen, sds: Mapping[str, float], correct: Correct
) -> tuple[Comparisons, Comparisons]:
    """Duels and scores of all groups, of sides that could both be measured."""
    names = [seen.names.index(name) for name in sds]
    units = np.array([sd if sd > 0 else math.inf for sd in sds.values()])
    duels, scores = (PromptSums(seen, 3 * len(sds)) for _ in range(2))
    for block in map(correct, seen.blocks()):
        # An attribute that one side alone has counts as zero on the other.
        looks, is_seen = np.nan_to_num(block.looks[:, names]), block.is_seen
        first, second = block.scored_pairs()
        for sums, one, other, leads in (
            (duels, *block.sides.T, block.logits),
            (scores, first, second, block.scores[first] - block.scores[second]),
        ):
            both = is_seen[one] & is_seen[other]
            rows, y = one[both], leads[both]
            x = (looks[rows] - looks[other[both]]) / units
            terms = [part for column in x.T for part in (column * y, column * column, y * y)]
            sums.add(block.prompts[block.group[rows]], *terms)
    return _of_sums("duels", duels), _of_sums("scores", scores)


def _of_sums(source: Source, sums: PromptSums) -> Comparisons:
    """The sums [P, 3 K] of K attributes."""
    of_prompts = sums.all()
    num, width = of_prompts.shape
    return Comparisons(source, sums.num, of_prompts.reshape(num, width // 3, 3))


def _of_labels(source: Source, rows: Iterable[_Row], sds: Mapping[str, float]) -> Comparisons:
    """Rows whose sides could both be measured, in standard deviations.

    An attribute that does not vary, or is unknown, differs by zero everywhere: its slope is NaN.
    """
    prompts, leads, differences = [], [], []
    for prompt_id, lead, first, second in rows:
        if not first or not second:
            continue
        prompts.append(prompt_id)
        leads.append(lead)
        differences.append(
            [
                (first.get(name, 0.0) - second.get(name, 0.0)) / sd if sd > 0 else 0.0
                for name, sd in sds.items()
            ]
        )
    columns = np.array(differences).reshape(len(leads), len(sds))
    return Comparisons.of(source, prompts, np.array(leads), columns)
