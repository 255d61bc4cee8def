"""A judge specification in one model's terms: prompts as token ids, answers as branches.

What fills a slot is tokenised apart from the template, and tokens that only a template may use are
taken out of it, so no caption and no answer can forge a picture or the end of a turn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from factory.judging.specification import JudgeSpecification, SpecificationError, TaskSpecification
from factory.judging.verdicts import AnswerTree
from schemas.rows import Preference

_SLOT = re.compile(r"\{(media|prompt|answer|source)\}")
#: Stands for the user's turn while a chat template is rendered.
_TURN = "USER-TURN-HERE"


@dataclass(frozen=True)
class Medium:
    """A medium in a prompt: which one of the sitting, and the tokens that stand for it."""

    index: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Text:
    """A prompt as token ids.

    media: indices of the media shown, in the order of their placeholders.
    cuts: (tokens, media) before each place up to which other prompts may be alike; rising.
    """

    ids: tuple[int, ...]
    media: tuple[int, ...]
    cuts: tuple[tuple[int, int], ...] = ()


def _indices(source: Sequence[Medium], media: Sequence[Medium]) -> tuple[int, ...]:
    """Of all media shown: what an edit starts from is said first."""
    return tuple(one.index for one in (*source, *media))


class PromptFormat:
    """Prompts and answers of one specification for one tokenizer."""

    def __init__(self, specification: JudgeSpecification, processor: Any) -> None:
        self.specification = specification
        self.processor = processor
        self.tokenizer = processor.tokenizer
        # The parts of a template, and a prompt's text, are met again and again.
        self._ids = lru_cache(maxsize=1024)(self._tokenize)

    def point(
        self,
        task: TaskSpecification,
        prompt: str,
        media: Sequence[Medium],
        answers: Sequence[str] = (),
        source: Sequence[Medium] = (),
    ) -> Text:
        """The pointwise prompt. It is cut where an answer begins, and at its end.

        Args:
            task: how it is asked, of this prompt (`TaskSpecification.for_prompt`).
            prompt: in words.
            media: of the side, or all of the question.
            answers: the one that is judged, where the media are the question's.
            source: what an edit starts from.
        """
        ids, starts = self._fill(task.pointwise, prompt, media, answers, source)
        num = len(source) + len(media)
        shared = [(starts["answer"][0], num)] if answers else []
        return Text(tuple(ids), _indices(source, media), (*shared, (len(ids), num)))

    def pair(
        self,
        task: TaskSpecification,
        prompt: str,
        media: Sequence[Medium],
        answers: Sequence[str] = (),
        source: Sequence[Medium] = (),
    ) -> Text:
        """The pairwise prompt: two media, or all of the question's and two answers, in the order
        shown; else as `point`.

        It is cut where the first answer begins, and where it has no more in common with other
        duels of its first side: after that side's pointwise prompt where the layout begins with
        it, else before the second side.
        """
        ids, starts = self._fill(task.pairwise, prompt, media, answers, source)
        second = starts["answer" if answers else "media"][1]
        of_first = media if answers else media[:1]
        point = self.point(task, prompt, of_first, answers[:1], source)
        if tuple(ids[: len(point.ids)]) == point.ids:
            second = len(point.ids)
        before = len(source) + len(of_first)
        shared = [(starts["answer"][0], before)] if answers else []
        return Text(tuple(ids), _indices(source, media), (*shared, (second, before)))

    def answer_ids(self, answer: str) -> list[int]:
        return list(self._ids(answer))

    def verdict_tree(self, task: TaskSpecification) -> AnswerTree[Preference]:
        return AnswerTree.of({key: self._ids(text) for key, text in task.answers.items()})

    def score_tree(self, task: TaskSpecification) -> AnswerTree[float]:
        """Where the numbers of the scale branch, after the label that stands before them."""
        written = {value: task.score.replace("{score}", f"{value:g}") for value in task.scale}
        return AnswerTree.of(
            {value: self._ids(text) for value, text in written.items()}, may_begin_another=True
        )

    def read(self, ids: Sequence[int]) -> str:
        """What generated tokens say."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _fill(
        self,
        template: str,
        prompt: str,
        media: Sequence[Medium],
        answers: Sequence[str],
        source: Sequence[Medium],
    ) -> tuple[list[int], dict[str, list[int]]]:
        """Token ids, and where each slot's filling begins."""
        before, after = self._turn
        ids = list(before)
        starts: dict[str, list[int]] = {"media": [], "prompt": [], "answer": [], "source": []}
        shown, texts = iter(media), iter(answers)
        for index, part in enumerate(_SLOT.split(template)):
            if index % 2 == 0:
                ids += self._ids(part)
                continue
            starts[part].append(len(ids))
            if part == "source" or (part == "media" and answers):
                for one in source if part == "source" else media:
                    ids += one.ids
            elif part == "media":
                ids += next(shown).ids
            else:
                text = prompt if part == "prompt" else next(texts)
                ids += [one for one in self._ids(text) if one not in self._reserved]
        return [*ids, *after], starts

    @cached_property
    def _turn(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Token ids before and after the user's turn; plain text has a BOS at most."""
        if not self.specification.is_chat:
            bos = self.tokenizer.bos_token_id
            return (() if bos is None else (bos,)), ()
        turn = [{"role": "user", "content": [{"type": "text", "text": _TURN}]}]
        try:
            rendered = self.tokenizer.apply_chat_template(
                turn, tokenize=False, add_generation_prompt=True
            )
        except ValueError as error:
            raise SpecificationError(
                f"the specification asks by a chat template, and the model has none: {error}"
            ) from None
        before, found, after = str(rendered).partition(_TURN)
        if not found:
            raise SpecificationError("the model's chat template does not show the user's text")
        return self._ids(before), self._ids(after)

    @cached_property
    def _reserved(self) -> set[int]:
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.get_added_vocab().values()}
        return (special | {self.processor.image_token_id}) - {self.tokenizer.unk_token_id}

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)
