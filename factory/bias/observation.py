"""What the bias profile needs to know of a group or of a label: numbers without any media.

Pixels are measured here, one row at a time, so that the rows can be observed wherever they are and
only a few numbers of each have to be brought together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from factory.matchups import Matchup, matchups
from factory.media import MediaError, attributes, decode
from factory.ranking import is_scored
from schemas.rows import Group, Label, Media, Preference

Attributes = Mapping[str, float]
Measure = Callable[[Media], Attributes]


@dataclass(frozen=True)
class Observation:
    """One group.

    scores: readable points by candidate.
    matchups: every two candidates that met in both orders.
    num_unreadable: meetings without a readable verdict in both orders.
    attributes: of each candidate whose media could be measured.
    """

    prompt_id: str
    scores: Mapping[str, float]
    matchups: tuple[Matchup, ...]
    num_unreadable: int
    attributes: Mapping[str, Attributes]


@dataclass(frozen=True)
class LabelObservation:
    """One pairwise label.

    preference: what the annotator said, in the order of the label.
    matchup: what the judge makes of the same two sides, in the same order; None where it was not
        asked or could not tell.
    first, second: attributes of the sides; empty where they could not be measured.
    """

    prompt_id: str
    preference: Preference
    matchup: Matchup | None
    first: Attributes
    second: Attributes


def measure_media(media: Media) -> Attributes:
    """Attributes of a picture; none where it cannot be decoded."""
    try:
        return attributes(decode(media.data))
    except MediaError:
        return {}


def observe(group: Group, measure: Measure = measure_media) -> Observation:
    """Reduce a group to numbers."""
    found = tuple(matchups(group.duels))
    num_met = len({frozenset((duel.first_id, duel.second_id)) for duel in group.duels})
    return Observation(
        prompt_id=group.prompt.prompt_id,
        scores={one.candidate_id: one.value for one in group.scores if is_scored(one)},
        matchups=found,
        num_unreadable=num_met - len(found),
        attributes={
            one.candidate_id: measured
            for one in group.candidates
            if one.media is not None and (measured := measure(one.media))
        },
    )


def observe_label(
    label: Label, matchup: Matchup | None = None, measure: Measure = measure_media
) -> LabelObservation | None:
    """Reduce a pairwise label to numbers; None for a pointwise one, and for answers."""
    if label.preference is None or label.first is None or label.second is None:
        return None
    return LabelObservation(
        label.prompt.prompt_id,
        label.preference,
        matchup,
        measure(label.first),
        measure(label.second),
    )
