"""How a judge agrees with people on single dimensions: alignment, motion, style …

A label tells dimensions beside what it says in all. A judge tells them in the breakdown of its
scores, and one that compares by dimensions in its duels. Where both name the same one, the side
with more points, or that the duel prefers, is held against the side that people prefer there, and
points against points. Names are compared without regard to case, `_` and `-`; no other word is
taken for the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from factory.evaluation.agreement import measure
from factory.ranking.matchups import score_of
from factory.statistics.intervals import Interval, clustered_bootstrap
from factory.statistics.ties import TieAccuracy
from schemas.rows import OVERALL, Dimension, Opinion, Preference, Score


@dataclass(frozen=True)
class DimensionAgreement:
    """One dimension.

    verdicts: of the side that duels prefer, over labels that prefer one, each order a half; a tie
        that is said counts half of its order. NaN where no duel tells it.
    accuracy: of the side with more points, over the same; a draw counts half.
    ties: with ties by the threshold that serves best, over differences of points.
    correlation: Spearman's, of points and people's points; NaN without labels of points.
    num_pairs, num_points: labels of either kind that tell this dimension.
    num_verdicts: of the pairs that prefer a side, those that both orders tell; `num_no_verdict` of
        them are told by one or none.
    num_decided: of the pairs, those that prefer a side and whose two sides have their points.
    num_read, num_read_points: of either, those whose points could be read.
    """

    verdicts: Interval
    accuracy: Interval
    ties: TieAccuracy
    correlation: Interval
    num_pairs: int
    num_verdicts: int
    num_no_verdict: int
    num_decided: int
    num_read: int
    num_points: int
    num_read_points: int


def by_dimension(
    opinions: Sequence[Opinion], num_resamples: int = 1000, seed: int = 0
) -> tuple[dict[str, DimensionAgreement], tuple[str, ...]]:
    """Agreement on each dimension that labels and judge share, and the dimensions of labels that
    the judge does not score.
    """
    told = {_plain(one.name): one.name for opinion in opinions for one in opinion.dimensions}
    scored = {name for opinion in opinions for name in _told(opinion)}
    found = {
        name: _agreement(opinions, key, num_resamples, seed)
        for key, name in sorted(told.items())
        if key in scored
    }
    return found, tuple(name for key, name in sorted(told.items()) if key not in scored)


def _agreement(
    opinions: Sequence[Opinion], key: str, num_resamples: int, seed: int
) -> DimensionAgreement:
    """The figures of opinions that say of one dimension what they else say of the whole."""
    about = [
        _about(opinion, one)
        for opinion in opinions
        for one in opinion.dimensions
        if _plain(one.name) == key
    ]
    found = measure(about, None, num_resamples, seed)
    decided = [
        (opinion, said)
        for opinion in opinions
        for one in opinion.dimensions
        if _plain(one.name) == key and (said := _preference(one)) in ("first", "second")
        if opinion.preference is not None
    ]
    hits = [_right_in_both_orders(opinion, key, said) for opinion, said in decided]
    prompts = [opinion.prompt_id for opinion, _ in decided]
    num_verdicts = sum(math.isfinite(hit) for hit in hits)
    return DimensionAgreement(
        verdicts=clustered_bootstrap(hits, prompts, num_resamples, seed),
        num_verdicts=num_verdicts,
        num_no_verdict=len(hits) - num_verdicts,
        accuracy=found.score_accuracy,
        ties=found.score_ties,
        correlation=found.correlation,
        num_pairs=sum(one.preference is not None for one in about),
        num_decided=found.num_score_decided,
        num_read=found.score_ties.num_labels,
        num_points=found.num_points,
        num_read_points=found.num_points - found.num_invalid_points,
    )


def _told(opinion: Opinion) -> set[str]:
    """The dimensions of which a judge says something."""
    scored = {name for score in opinion.scores for name in score.breakdown if name != OVERALL}
    compared = {one.name for duel in opinion.duels for one in duel.dimensions}
    return {_plain(name) for name in (*scored, *compared)}


def _right_in_both_orders(opinion: Opinion, key: str, said: Preference) -> float:
    """The share of the two orders in which the duel prefers the side that people do, a tie counting
    half; NaN where either order does not tell.
    """
    shares = []
    for first, second in (("0", "1"), ("1", "0")):
        told = _verdict(opinion, key, first, second)
        if told is None:
            return math.nan
        shares.append(0.5 if told == "tie" else float(told == said))
    return sum(shares) / 2


def _verdict(opinion: Opinion, key: str, first: str, second: str) -> Preference | None:
    """What the duel of one order says of a dimension, told of the sides as the label has them."""
    for duel in opinion.duels:
        if (duel.first_id, duel.second_id) == (first, second) and duel.error is None:
            for one in duel.dimensions:
                if _plain(one.name) == key:
                    return _preference(one if first == "0" else one.swap())
    return None


def _about(opinion: Opinion, dimension: Dimension) -> Opinion:
    """The opinion with the dimension in the place of the whole."""
    is_pair = opinion.preference is not None
    scores = [score_of(opinion, side) for side in ((0, 1) if is_pair else (0,))]
    return Opinion(
        *(opinion.label_id, opinion.prompt_id, opinion.task, opinion.tags, opinion.judge),
        preference=_preference(dimension) if is_pair else None,
        points=None if is_pair else dimension.first,
        scores=tuple(_of_dimension(one, dimension.name) for one in scores if one is not None),
    )


def _preference(dimension: Dimension) -> Preference | None:
    """What is said of the dimension, or follows from the points of the two sides."""
    first, second = dimension.first, dimension.second
    if dimension.preference is not None or first is None or second is None:
        return dimension.preference
    return "tie" if first == second else "first" if first > second else "second"


def _of_dimension(score: Score, name: str) -> Score:
    points = {_plain(key): value for key, value in score.breakdown.items()}
    value = points.get(_plain(name), math.nan)
    return Score(score.candidate_id, score.judge, value, 0.0)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
