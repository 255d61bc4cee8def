"""Objection to a prompt that is, or overlaps with, one that models are measured on.

A model trained on such a pair is measured on what it has seen. Three ways to be one, the plainest
first: the same prompt; the same words, whatever the case and punctuation; and a large share of the
prompt's runs of words (n-grams) found among those of the evaluation prompts, as Brown et al. 2020
(appendix C) do with 13 words. Of what is said about a medium only the first counts: "what is this?"
is asked about many pictures, and "make it red" of many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from factory.filters.text import normalised, word_grams
from factory.prompt_parts import in_words
from schemas.rows import Pair, Prompt


@dataclass(frozen=True)
class Contaminated:
    """The pair's prompt overlaps with an evaluation set.

    exact: name of the set of each evaluation prompt, by its id.
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
        cls, sets: Mapping[str, Iterable[Prompt]], gram_size: int, max_overlap: float
    ) -> Contaminated:
        """From the evaluation prompts by the name of their set."""
        known = [(name, prompt) for name, prompts in sets.items() for prompt in prompts]
        captions = [(name, in_words(prompt)) for name, prompt in known if not _has_media(prompt)]
        exact = {prompt.prompt_id: name for name, prompt in known}
        normal = {normalised(text): name for name, text in captions}
        grams = frozenset(
            gram
            for _, text in (captions if max_overlap < 1 else ())
            for gram in word_grams(text, gram_size)
        )
        return cls(exact, normal, grams, gram_size, max_overlap)

    def __call__(self, pair: Pair) -> str | None:
        prompt = pair.prompt
        if prompt.prompt_id in self.exact:
            return f"contamination: the prompt is in {self.exact[prompt.prompt_id]}"
        if _has_media(prompt):
            return None
        text = in_words(prompt)
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


def _has_media(prompt: Prompt) -> bool:
    return prompt.task.endswith("_understanding") or bool(prompt.media_of("source"))
