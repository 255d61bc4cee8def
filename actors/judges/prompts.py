"""A judge specification in one model's terms: prompts as token ids, answers as branches.

`Answers` is what every model needs: how answers branch, and the parts of a prompt in their order.
`PromptFormat` writes prompts for the fast path: the text as the model's own template has it
(`turns`), cut at the marks of media, in whose place the tokens of each medium stand. What fills a
slot has no token that only a template may use (`actors.harmless`), so no caption and no answer can
forge a picture or the end of a turn.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar

from actors.harmless import Harmless
from actors.judges.turns import Kind as MediumKind
from actors.judges.turns import Place, Turns, merged
from factory.judging.specification import (
    JudgeSpecification,
    Kind,
    SpecificationError,
    TaskSpecification,
)
from factory.judging.verdicts import AnswerTree
from schemas.rows import Preference

_SLOT = re.compile(r"\{(media|prompt|answer|source)\}")
#: A medium as a format takes it.
M = TypeVar("M")


@dataclass(frozen=True)
class Medium:
    """A medium in a prompt.

    index: which one of the sitting it is.
    ids: the tokens that stand for it.
    kind, num: what the chat template is told of it: what it is, and of how many pictures of as many
        tokens each.
    """

    index: int
    ids: tuple[int, ...]
    kind: MediumKind = "image"
    num: int = 1


@dataclass(frozen=True)
class Text:
    """A prompt as token ids.

    media: indices of the media shown, in the order of their placeholders.
    cuts: (tokens, media) before each place up to which other prompts may be alike; rising.
    """

    ids: tuple[int, ...]
    media: tuple[int, ...]
    cuts: tuple[tuple[int, int], ...] = ()

    def followed_by(self, ids: Sequence[int]) -> Text:
        """The prompt with the beginning of an answer behind it."""
        return replace(self, ids=(*self.ids, *ids))


class Answers:
    """What a specification says to one tokenizer: the parts of prompts, and how answers branch."""

    def __init__(self, specification: JudgeSpecification, processor: Any) -> None:
        """Args:
        specification: how each task is put.
        processor: with its `tokenizer`, which has the chat template where there is one.

        Raises:
            SpecificationError: it asks by a chat template, and the model has none.
        """
        self.specification = specification
        self.processor = processor
        self.tokenizer = processor.tokenizer
        is_templated = specification.is_chat and not specification.turn
        template = self._template() if is_templated else None
        self.harmless = Harmless(processor, template)
        self.turns = Turns(
            self.tokenizer,
            template,
            media_first=not self._has_template,
            turn=specification.turn,
        )
        # The parts of a template, and a prompt's text, are met again and again.
        self._ids = lru_cache(maxsize=1024)(self._tokenize)

    @property
    def _has_template(self) -> bool:
        return True

    def _template(self) -> str | None:
        template = chat_template(self.processor)
        if template is None and self._has_template:
            raise SpecificationError(
                "the specification asks by a chat template, and the model has none: add the "
                "chat_template.jinja that it was trained with, or ask in plain text "
                '("is_chat": false)'
            )
        return template

    def answer_ids(self, answer: str) -> list[int]:
        return list(self._ids(answer))

    def verdict_tree(self, task: TaskSpecification) -> AnswerTree[Preference]:
        return AnswerTree.of({key: self._ids(text) for key, text in task.answers.items()})

    def score_tree(self, task: TaskSpecification) -> AnswerTree[float]:
        """Where the numbers of the scale branch, after the label that stands before them."""
        written = {
            value: task.score.replace("{score}", text) for value, text in task.written.items()
        }
        return AnswerTree.of(
            {value: self._ids(text) for value, text in written.items()}, may_begin_another=True
        )

    def read(self, ids: Sequence[int]) -> str:
        """What generated tokens say."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def parts(
        self,
        task: TaskSpecification,
        kind: Kind,
        prompt: str,
        media: Sequence[M | list[M]],
        answers: Sequence[str],
        source: Sequence[M],
    ) -> list[str | M]:
        """A template with its slots filled: texts and media in the order in which they are said. Of
        a list of media each stands at the same place, as the frames of a clip do.
        """
        if not task.template(kind):
            raise SpecificationError(
                f"this judge has no words for questions of {'points' if kind == 'score' else 'two'}"
            )
        made: list[str | M] = []
        shown, texts = iter(media), iter(answers)
        for index, part in enumerate(_SLOT.split(task.template(kind))):
            if index % 2 == 0:
                made.append(part)
            elif part == "source":
                made += _spaced(source, task.between)
            elif part == "media":
                places: Sequence[M | list[M]] = media if answers else [next(shown)]
                here: list[M] = flat(places)
                made += _spaced(here, task.between)
            else:
                made.append(self.harmless(prompt if part == "prompt" else next(texts)))
        return merged(made)

    @cached_property
    def begins(self) -> tuple[int, ...]:
        """What the tokenizer puts before each text, as a BOS."""
        alone = list(self._ids("a"))
        whole = list(self.tokenizer("a").input_ids)
        starts = [at for at in range(len(whole)) if whole[at : at + len(alone)] == alone]
        return tuple(whole[: starts[0]]) if starts else ()

    def is_begun(self, text: str) -> bool:
        """Whether a text has a BOS already, as some templates write it."""
        bos = self.tokenizer.bos_token
        return bool(bos) and text.startswith(bos)

    def _tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)


class PromptFormat(Answers):
    """Prompts as token ids, of models whose media are encoded apart (`eyes`)."""

    def point(
        self,
        task: TaskSpecification,
        prompt: str,
        media: Sequence[Medium | list[Medium]],
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
        text = self._text(task, "score", prompt, media, answers, source)
        shared = []
        if answers:
            unanswered = self._text(task, "score", prompt, media, [""], source)
            shared = [(_alike(text.ids, unanswered.ids), len(text.media))]
        return replace(text, cuts=(*shared, (len(text.ids), len(text.media))))

    def pair(
        self,
        task: TaskSpecification,
        prompt: str,
        media: Sequence[Medium | list[Medium]],
        answers: Sequence[str] = (),
        source: Sequence[Medium] = (),
    ) -> Text:
        """The pairwise prompt: two media, or all of the question's and two answers, in the order
        shown; else as `point`.

        It is cut where the first answer begins, and where it has no more in common with other
        duels of its first side: after that side's pointwise prompt where the layout begins with
        it, else before the second side.
        """
        text = self._text(task, "duel", prompt, media, answers, source)
        of_first = media if answers else media[:1]
        before = len(source) + len(flat(of_first))
        point = None
        if task.pointwise:
            point = self._text(task, "score", prompt, of_first, answers[:1], source)
        if point is not None and text.ids[: len(point.ids)] == point.ids:
            second = len(point.ids)
        elif answers:
            other = self._text(task, "duel", prompt, media, [answers[0], ""], source)
            second = _alike(text.ids, other.ids)
        else:
            second = text.cuts[before][0]
        shared = []
        if answers:
            other = self._text(task, "duel", prompt, media, ["", answers[1]], source)
            shared = [(_alike(text.ids, other.ids), before)]
        return replace(text, cuts=(*shared, (second, before)))

    def _text(
        self,
        task: TaskSpecification,
        kind: Kind,
        prompt: str,
        media: Sequence[Medium | list[Medium]],
        answers: Sequence[str],
        source: Sequence[Medium],
    ) -> Text:
        """The prompt; it is cut where each medium begins.

        Raises:
            SpecificationError: the model's template writes media otherwise than it is told to.
        """
        parts = self.parts(task, kind, prompt, media, answers, source)
        shown = [one for one in parts if isinstance(one, Medium)]
        written = self.turns.write(
            [
                place
                for one in parts
                for place in (
                    [one]
                    if isinstance(one, str)
                    else [Place(one.kind, self._spelt(_mark(one)))] * one.num
                )
            ],
            task.system.get(kind, ""),
        )
        tokens = self._ids(written)
        ids = [] if self.is_begun(written) else list(self.begins)
        cuts: list[tuple[int, int]] = []
        done = 0
        for number, medium in enumerate(shown):
            mark, each = _mark(medium), len(medium.ids) // medium.num
            for at in range(medium.num):
                start = _found(tokens, mark, done)
                ids += tokens[done:start]
                if at == 0:
                    cuts.append((len(ids), number))
                ids += medium.ids[at * each : (at + 1) * each]
                done = start + len(mark)
        ids += tokens[done:]
        if any(token in tokens[done:] for one in shown for token in _mark(one)):
            raise SpecificationError(
                f"the model's chat template shows more than the {len(shown)} media of a prompt"
            )
        return Text(tuple(ids), tuple(one.index for one in shown), tuple(cuts))

    def _spelt(self, mark: Sequence[int]) -> str:
        return "".join(map(str, self.tokenizer.convert_ids_to_tokens(list(mark))))


def flat(media: Sequence[M | list[M]]) -> list[M]:
    """All media of some places, in their order."""
    return [one for place in media for one in (place if isinstance(place, list) else [place])]


def _spaced(media: Sequence[M], between: str) -> list[str | M]:
    """Media with a text between every two."""
    made: list[str | M] = []
    for one in media:
        made += [between, one] if made and between else [one]
    return made


def _mark(medium: Medium) -> tuple[int, ...]:
    """How a medium is written before it is seen: its tokens, each once."""
    return tuple(one for one, _ in itertools.groupby(medium.ids))


def _found(tokens: Sequence[int], mark: Sequence[int], start: int) -> int:
    """Where a medium's mark is next."""
    for at in range(start, len(tokens) - len(mark) + 1):
        if tuple(tokens[at : at + len(mark)]) == mark:
            return at
    raise SpecificationError("the model's chat template does not show all media of a prompt")


def chat_template(processor: Any) -> str | None:
    """The chat template of a processor, or of its tokenizer; of several the one that is named
    `default`.
    """
    for owner in (processor, processor.tokenizer):
        template = getattr(owner, "chat_template", None)
        if isinstance(template, dict):
            template = template.get("default")
        if template:
            return str(template)
    return None


def _alike(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two prompts have in common from their beginning."""
    pairs = zip(first, second, strict=False)
    return next(
        (at for at, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second))
    )
