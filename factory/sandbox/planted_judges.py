"""Judges with one planted fault each, to hold a judge card against; names say what is planted.

    python -m jobs.judge_card --judge factory.sandbox.planted_judges:bright

They are simulated and must never label data. Beneath each is the oracle with noise, which measures
what a picture shows and knows what is true of a question; unlike the oracle, these look at the
medium of a question before they say anything about an answer to it.

    honest        nothing is planted
    bright        likes bright pictures and clips
    left_loving   likes what it is shown first, of whatever kind
    blind         never looks: every picture of a caption is worth the same to it
    verbose       likes long answers
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from factory.media.clips import is_clip, read_clip
from factory.media.measures import attributes_of
from factory.media.pictures import MediaError, decode
from factory.ranking import is_scored
from factory.sandbox.four_tasks import SCENE
from factory.sandbox.oracle import compare
from factory.sandbox.oracle_judge import OracleJudge
from factory.sandbox.planted_judge import PlantedJudge
from factory.sandbox.sight import look
from factory.sandbox.world import CaptionError, parse
from schemas.rows import UNDERSTANDING, Candidate, Duel, Media, Prompt, Score

#: Points of its scale from 1 to 5 for the whole way from black to white.
_BRIGHT = 5.0
#: Points for whatever is shown first.
_FIRST = 0.5
#: Points for one unit of the logarithm of the number of words.
_LONG = 0.6
#: Share of a question's scene that its medium must show before an answer is believed.
_SHOWN = 0.4


def honest() -> PlantedJudge:
    """The oracle with noise."""
    return _planted("honest")


def bright() -> PlantedJudge:
    """Likes bright pictures and clips."""
    return replace(_planted("bright"), likings={"brightness": _BRIGHT})


def left_loving() -> PlantedJudge:
    """Likes what it is shown first."""
    return replace(_planted("left_loving"), position=_FIRST)


def verbose() -> PlantedJudge:
    """Likes long answers."""
    return replace(_planted("verbose"), likings={"length": _LONG})


def blind() -> BlindJudge:
    """Never looks."""
    return BlindJudge()


def _planted(name: str) -> PlantedJudge:
    return PlantedJudge(
        _LookingOracle(), measure=_looks, origin=_origin, name=f"planted-{name}@0", seed=1
    )


def _origin(candidate: Candidate) -> str:
    """The candidate that this one is an edit of: edits follow its id after a space."""
    return candidate.candidate_id.partition(" ")[0]


def _looks(media: Media) -> Mapping[str, float]:
    return attributes_of(media)


class _LookingOracle:
    """The oracle, which looks first whether a question is shown the medium that it is about."""

    name = OracleJudge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> _LookingSitting:
        return _LookingSitting(prompt, candidates)


class _LookingSitting:
    def __init__(self, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.beneath = OracleJudge().sit(prompt, candidates)
        self.is_shown = prompt.task not in UNDERSTANDING or _shows(
            prompt.media_of("question")[0], prompt.tags[SCENE]
        )

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        found = self.beneath.scores(indices)
        if self.is_shown:
            return found
        return [replace(one, value=1.0) if is_scored(one) else one for one in found]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return self.beneath.duels(matches)

    def about(self, prompt: Prompt) -> _LookingSitting:
        raise NotImplementedError("the oracle knows no criteria")


def _shows(media: Media, scene: str) -> bool:
    return _share_shown(media.data, scene) >= _SHOWN


@lru_cache(maxsize=512)
def _share_shown(data: bytes, scene: str) -> float:
    stated = replace(parse(scene), motion=None)
    try:
        pixels = read_clip(Media(data, 1, 1), 3)[0] if is_clip(data) else decode(data)
        return compare(stated, look(pixels)).alignment
    except (MediaError, CaptionError):
        return 0.0


@dataclass(frozen=True)
class BlindJudge:
    """Says the same of every picture or clip of a caption. Answers it reads, and believes those
    that are right for whatever it would have seen.
    """

    name: str = "planted-blind@0"

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> BlindSitting:
        return BlindSitting(self.name, prompt, candidates)


class BlindSitting:
    """One prompt's candidates before a `BlindJudge`."""

    def __init__(self, name: str, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        self.name, self.candidates = name, candidates
        if prompt.task in UNDERSTANDING:
            found = OracleJudge().sit(prompt, candidates).scores()
            self.values = [one.value for one in found]
        else:
            self.values = [3.0 + len(prompt.text) % 7 / 7] * len(candidates)

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.candidates)) if indices is None else indices
        return [
            Score(self.candidates[at].candidate_id, self.name, self.values[at], 0.0)
            for at in wanted
        ]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        found = []
        for first, second in matches:
            p = 1 / (1 + math.exp(self.values[second] - self.values[first]))
            ids = self.candidates[first].candidate_id, self.candidates[second].candidate_id
            found.append(Duel(*ids, self.name, 0.9 * p, 0.9 * (1 - p), 0.1))
        return found

    def about(self, prompt: Prompt) -> BlindSitting:
        return BlindSitting(self.name, prompt, self.candidates)
