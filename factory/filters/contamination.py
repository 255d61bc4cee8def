"""Objection to a prompt that is, or overlaps with, one that models are measured on.

A model trained on such a pair is measured on what it has seen. Three ways to be one, the plainest
first: the same text; the same words, whatever the case and punctuation; and a large share of the
prompt's runs of words (n-grams) found among those of the evaluation prompts, as Brown et al. 2020
(appendix C) do with 13 words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from factory.filters.text import normalised, word_grams
from schemas.rows import Pair


@dataclass(frozen=True)
class Contaminated:
    """The pair's prompt overlaps with an evaluation set.

    exact: name of the set of each evaluation prompt.
    normal: the same by normal form.
    grams: hashes of the evaluation prompts' runs of `gram_size` words.
    gram_size: words in a run; shorter prompts are compared whole only.
    max_overlap: greatest share of the prompt's runs that may be among `grams`; 1 allows all.
    """

    exact: Mapping[str, str]
    normal: Mapping[str, str]
    grams: frozenset[int]
    gram_size: int
    max_overlap: float

    needs_media = False

    @classmethod
    def of(
        cls, sets: Mapping[str, Iterable[str]], gram_size: int, max_overlap: float
    ) -> Contaminated:
        """From the evaluation prompts by the name of their set."""
        exact = {text: name for name, texts in sets.items() for text in texts}
        normal = {normalised(text): name for text, name in exact.items()}
        grams = frozenset(
            gram
            for text in (exact if max_overlap < 1 else ())
            for gram in word_grams(text, gram_size)
        )
        return cls(exact, normal, grams, gram_size, max_overlap)

    def __call__(self, pair: Pair) -> str | None:
        text = pair.prompt.text
        if text in self.exact:
            return f"contamination: the prompt is in {self.exact[text]}"
        words = normalised(text)
        if words and words in self.normal:
            return f"contamination: the prompt has the same words as one in {self.normal[words]}"
        runs = word_grams(text, self.gram_size) if self.grams else []
        if not runs:
            return None
        share = sum(run in self.grams for run in runs) / len(runs)
        if not share > self.max_overlap:
            return None
        return (
            f"contamination: {share:.0%} of the prompt's runs of {self.gram_size} words are in "
            "evaluation prompts"
        )
