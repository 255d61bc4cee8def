"""What the bias profile needs to know of a group or of a label: numbers without any media.

Pixels are measured here, one row at a time, so that the rows can be observed wherever they are and
only a few numbers of each have to be brought together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from factory.media.measures import attributes_of
from factory.media.pictures import ATTRIBUTES, MediaError
from factory.ranking import is_scored
from factory.ranking.matchups import Matchup, matchups
from schemas.rows import Candidate, Group, Label, Measures, Media, Preference

Attributes = Mapping[str, float]
#: All attributes that there are, of media and of answers.
NAMES = (*ATTRIBUTES, "motion", "length", "text")
#: What most pictures have none of: where nothing differs in it there is nothing to lean on, which
#: speaks against no judge, and one picture that has some would be an infinite shift.
RARE = "text"
#: The fields of `Measures` that `attributes_in` looks at.
MEASURED = (*ATTRIBUTES, "motion", "num_words", "text")
Measure = Callable[[Candidate], Attributes]


@dataclass(frozen=True)
class Observation:
    """One group.

    scores: readable points by candidate, of the judge at work.
    matchups: every two candidates that met in both orders.
    num_unreadable: meetings without a readable verdict in both orders.
    attributes: of each candidate that could be measured.
    tags: of the prompt.
    generators: who made each candidate, `name@version`.
    scores_by: readable points by candidate, for each judge of the group.
    """

    prompt_id: str
    scores: Mapping[str, float]
    matchups: tuple[Matchup, ...]
    num_unreadable: int
    attributes: Mapping[str, Attributes]
    tags: Mapping[str, str] = field(default_factory=dict)
    generators: Mapping[str, str] = field(default_factory=dict)
    scores_by: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelObservation:
    """One pairwise label.

    preference: what the annotator said, in the order of the label.
    matchup: what the judge makes of the same two sides, in the same order; None where it was not
        asked or could not tell.
    first, second: attributes of the sides; empty where they could not be measured.
    tags: of the prompt.
    """

    prompt_id: str
    preference: Preference
    matchup: Matchup | None
    first: Attributes
    second: Attributes
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PointObservation:
    """One pointwise label: what people gave and what the judge gives, in points of one scale."""

    prompt_id: str
    points: float
    score: float
    tags: Mapping[str, str] = field(default_factory=dict)


def measure_media(media: Media) -> Attributes:
    """Attributes of a picture or of a clip (`factory.media.measures.attributes_of`); none where it
    cannot be decoded.
    """
    try:
        return attributes_of(media)
    except MediaError:
        return {}


def attributes_in(measures: Measures) -> Attributes:
    """The attributes among what was measured of an output."""
    if measures.num_words is not None:
        return {"length": math.log1p(measures.num_words)}
    looks = {name: getattr(measures, name) for name in (*ATTRIBUTES, "motion", "text")}
    return {name: value for name, value in looks.items() if value is not None}


def measure_candidate(candidate: Candidate) -> Attributes:
    """Attributes of an output: the length of an answer, or what its picture or clip is like.

    What was measured of it when it was made is taken as it is.

    length: logarithm of one plus the number of words.
    """
    if candidate.measures is not None:
        return attributes_in(candidate.measures)
    if candidate.answer is not None:
        return {"length": math.log1p(len(candidate.answer.split()))}
    return measure_media(candidate.media) if candidate.media is not None else {}


def observe(group: Group, measure: Measure = measure_candidate) -> Observation:
    """Reduce a group to numbers. Several judges of a group are told apart in `scores_by` alone."""
    found = tuple(matchups(group.duels))
    num_met = len({frozenset((duel.first_id, duel.second_id)) for duel in group.duels})
    scores_by: dict[str, dict[str, float]] = {}
    for one in group.scores:
        if is_scored(one):
            scores_by.setdefault(one.judge, {})[one.candidate_id] = one.value
    return Observation(
        prompt_id=group.prompt.prompt_id,
        scores={one.candidate_id: one.value for one in group.scores if is_scored(one)},
        matchups=found,
        num_unreadable=num_met - len(found),
        attributes={
            one.candidate_id: measured
            for one in group.candidates
            if one.error is None and (measured := measure(one))
        },
        tags=group.prompt.tags,
        generators={one.candidate_id: one.generator for one in group.candidates},
        scores_by=scores_by,
    )


def observe_label(
    label: Label, matchup: Matchup | None = None, measure: Measure = measure_candidate
) -> LabelObservation | None:
    """Reduce a pairwise label to numbers; None for a pointwise one."""
    sides = label.sides()
    if label.preference is None or len(sides) < 2:
        return None
    first, second = (measure(one) for one in sides)
    return LabelObservation(
        label.prompt.prompt_id, label.preference, matchup, first, second, label.prompt.tags
    )
