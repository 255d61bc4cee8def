"""Objection to two answers that say the same thing."""

from __future__ import annotations

from dataclasses import dataclass

from factory.filters.text import similarity
from schemas.rows import Pair


@dataclass(frozen=True)
class SimilarAnswers:
    """The two answers are nearly the same text, so the pair teaches noise.

    max_similarity: greatest Jaccard similarity of their runs of three characters. Near 1, since
        one word may be all that makes an answer wrong.
    """

    max_similarity: float

    needs_media = False

    def __call__(self, pair: Pair) -> str | None:
        if pair.chosen.answer is None or pair.rejected.answer is None:
            return None
        if pair.chosen.answer == pair.rejected.answer:
            return "near-duplicate: both answers are the same"
        found = similarity(pair.chosen.answer, pair.rejected.answer)
        if not found > self.max_similarity:
            return None
        return f"near-duplicate: similarity {found:.3g}, at most {self.max_similarity:g} wanted"
