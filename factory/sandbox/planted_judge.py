"""A simulated judge with planted biases: another judge's scores, with noise and with likings added.

It stands where a trained judge would, so that audits and corrections can be checked against biases
of known kind and size. Its name says that it is simulated, and it must never label data. What it
says depends on the judge beneath, the pictures, the caption and its seed alone, so asking twice
gives the same answer.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist

from factory.media.pictures import attributes, decode
from factory.prompt_parts import in_words
from factory.protocols import Judge, Sitting
from schemas.rows import Candidate, Duel, Media, Prompt, Score

NAME = "simulated:planted@0"
_NORMAL = NormalDist()


def _attributes(media: Media) -> dict[str, float]:
    return {name: float(value) for name, value in attributes(decode(media.data)).items()}


@dataclass(frozen=True)
class PlantedJudge:
    """Another judge's opinion with noise, and with biases in points of its scale.

    judge: whose scores are taken for the truth.
    likings: attribute -> points for one unit of it; of answers "length", the logarithm of one plus
        the number of words.
    words: word -> points for any picture whose caption has it.
    position: points that the side shown first gains in a duel.
    item_sd: error about a candidate that all edits of it share, in points.
    score_sd: noise of a score that belongs to one picture alone, in points.
    duel_sd: noise of a duel that both orders share, in points.
    logits_per_point: log-odds of a duel for one point.
    p_tie: share of ties in any duel.
    seed: two judges of the same seed make the same mistakes.
    measure: how media is looked at for the biases.
    origin: which candidate a candidate is an edit of; itself where it is none.
    """

    judge: Judge
    likings: Mapping[str, float] = field(default_factory=dict, hash=False)
    words: Mapping[str, float] = field(default_factory=dict, hash=False)
    position: float = 0.0
    item_sd: float = 0.15
    score_sd: float = 0.05
    duel_sd: float = 0.1
    logits_per_point: float = 2.0
    p_tie: float = 0.1
    seed: int = 0
    measure: Callable[[Media], Mapping[str, float]] = _attributes
    origin: Callable[[Candidate], str] = lambda candidate: candidate.candidate_id
    name: str = NAME

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> PlantedSitting:
        return PlantedSitting(self, prompt, candidates, self.judge.sit(prompt, candidates))


class PlantedSitting:
    """One prompt's candidates before a `PlantedJudge`."""

    def __init__(
        self,
        judge: PlantedJudge,
        prompt: Prompt,
        candidates: Sequence[Candidate],
        beneath: Sitting,
    ) -> None:
        self.judge = judge
        self.candidates = candidates
        self.digests = [
            hashlib.sha256(one.media.data).hexdigest()
            if one.media is not None
            else one.answer or ""
            for one in candidates
        ]
        self.text = in_words(prompt)
        self.found = [
            self._judged(score, candidate, digest)
            for score, candidate, digest in zip(
                beneath.scores(), candidates, self.digests, strict=True
            )
        ]

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        return self.found[:] if indices is None else [self.found[index] for index in indices]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return [self._duel(first, second) for first, second in matches]

    def _judged(self, score: Score, candidate: Candidate, digest: str) -> Score:
        # What it says is its own: the reply of the judge beneath is not what it was read from.
        told = replace(score, judge=self.judge.name, reply=None)
        if score.error is not None or (candidate.media is None and candidate.answer is None):
            return told
        value = score.value + self.judge.score_sd * self._dice("score", digest)
        value += self.judge.item_sd * self._dice("item", self.judge.origin(candidate))
        if self.judge.likings:
            look = self._look(candidate)
            value += sum(
                points * look.get(name, 0.0) for name, points in self.judge.likings.items()
            )
        value += sum(
            points for word, points in self.judge.words.items() if word in self.text.split()
        )
        return replace(told, value=value)

    def _look(self, candidate: Candidate) -> Mapping[str, float]:
        if candidate.media is not None:
            return self.judge.measure(candidate.media)
        return {"length": math.log1p(len((candidate.answer or "").split()))}

    def _duel(self, first: int, second: int) -> Duel:
        ids = self.candidates[first].candidate_id, self.candidates[second].candidate_id
        one, other = self.found[first], self.found[second]
        error = one.error or other.error
        if error is not None:
            return Duel(*ids, self.judge.name, math.nan, math.nan, math.nan, error)
        low, high = sorted((self.digests[first], self.digests[second]))
        noise = self.judge.duel_sd * self._dice("duel", low, high)
        sign = 1 if low == self.digests[first] else -1
        lead = one.value - other.value + sign * noise + self.judge.position
        p = 1 / (1 + math.exp(-self.judge.logits_per_point * lead))
        rest = 1 - self.judge.p_tie
        return Duel(*ids, self.judge.name, rest * p, rest * (1 - p), self.judge.p_tie)

    def _dice(self, *occasion: str) -> float:
        """A standard normal number that depends on the occasion alone."""
        text = "\n".join((self.judge.name, str(self.judge.seed), self.text, *occasion))
        digest = hashlib.blake2b(text.encode(), digest_size=6).digest()
        return _NORMAL.inv_cdf((int.from_bytes(digest, "big") + 0.5) / 2**48)
