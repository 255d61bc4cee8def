"""A judge's scores and duels, held against stock forward passes of the same questions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from actors.judges import TransformersJudge
from factory.judging.specification import TaskSpecification
from factory.media.clips import encode_clip
from factory.media.pictures import decode, encode_png
from schemas.rows import Candidate, Media, Prompt
from tests.judges.stock import Content, Stock

#: How far a log-probability may be from that of a stock forward pass in float32.
CLOSE = 1e-5
#: Scores of three pictures of noise are at least so far apart in a model that looks at them.
SEEN = 1e-4
CAPTION = "a red circle"
ANSWERS = ("Image 1 is better", "Image 2 is better", "Both are equally good")
QUESTION = TaskSpecification(
    pointwise="Image 1: {media} caption: {prompt}. final score:",
    pairwise="Image 1: {media} Image 2: {media} caption: {prompt}. better:",
    scale=(1, 2, 3, 4, 5),
    answers=dict(zip(("first", "second", "tie"), ANSWERS, strict=True)),  # type: ignore[arg-type]
)
#: The same of answers to a question about a picture or a clip.
ASKED = "what colour"
SAID = ("a red circle", "large blue")
ANSWERED = TaskSpecification(
    pointwise="{media} question: {prompt} answer: {answer}. final score:",
    pairwise="{media} question: {prompt} Answer 1: {answer} Answer 2: {answer}. better:",
    scale=QUESTION.scale,
    answers={
        "first": "Answer 1 is better",
        "second": "Answer 2 is better",
        "tie": "Both answers are equally good",
    },
)


def picture(seed: int, height: int, width: int) -> Media:
    """Noise, so that nothing about it is even."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Media(encode_png(pixels), width, height)


def clip(seed: int) -> Media:
    """Nine frames at four a second."""
    shape = (9, 40, 40, 3)
    frames = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Media(encode_clip(frames, 4), 40, 40, 9, 4.0)


#: Of three shapes, so that they have different numbers of tiles or patches.
PICTURES = (picture(0, 40, 40), picture(1, 40, 60), picture(2, 24, 56))


class WrongError(AssertionError):
    """An answer that is not the stock one: neither right nor refused."""


class Holding:
    """Compares, and keeps the largest distance that was met."""

    def __init__(self) -> None:
        self.distance = 0.0

    def met(self, found: Sequence[float], expected: Sequence[float], what: str) -> None:
        """Compare numbers.

        Raises:
            WrongError: they are further apart than float32 explains.
        """
        distance = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        self.distance = max(self.distance, distance)
        if not distance <= CLOSE:  # NaN is not close either
            raise WrongError(f"{what} differ from the stock forward's by {distance:.2g}")

    def hold(
        self,
        judge: TransformersJudge,
        stock: Stock,
        prompt: Prompt,
        media: Sequence[Media],
        shown: Sequence[Content] = (),
    ) -> float:
        """Hold the scores of three candidates and duels between them against stock passes.

        Args:
            judge: asked by `QUESTION`.
            stock: the same checkpoint.
            prompt: of `CAPTION`.
            media: of the candidates.
            shown: what a user of stock code shows of each; the picture itself where empty.

        Returns:
            How far the stock scores of the candidates are apart: where that is nothing, nothing of
            what is shown was tested.

        Raises:
            WrongError: a number differs.
            ValueError: the judge gives none, and says why.
        """
        sides = shown or [[still(one)] for one in media]

        def asked(template: str, *at: int) -> list[Any]:
            return content(template, [sides[one] for one in at])

        means = self._hold(judge, stock, prompt, candidates(media), QUESTION, asked)
        return max(means) - min(means)

    def hold_answers(
        self, judge: TransformersJudge, stock: Stock, prompt: Prompt, shown: Content
    ) -> list[float]:
        """The same of the answers `SAID` to `ASKED`.

        Args:
            judge: asked by `ANSWERED`.
            stock: the same checkpoint.
            prompt: the question, with what it is about.
            shown: what a user of stock code shows of that.

        Returns:
            The stock scores of the answers.

        Raises:
            WrongError, ValueError: as `hold`.
        """

        def asked(template: str, *at: int) -> list[Any]:
            return content(template, [shown], [SAID[one] for one in at])

        return self._hold(judge, stock, prompt, answers(), ANSWERED, asked)

    def _hold(
        self,
        judge: TransformersJudge,
        stock: Stock,
        prompt: Prompt,
        sides: Sequence[Candidate],
        task: TaskSpecification,
        asked: Callable[..., list[Any]],
    ) -> list[float]:
        """The stock scores of all sides; `asked` is a user's turn of a template about some."""
        sitting = judge.sit(prompt, sides)
        means = []
        for at, score in enumerate(sitting.scores()):
            if score.error is not None:
                raise ValueError(score.error)
            log_p = stock.log_p(asked(task.pointwise, at), [*map(str, task.scale)])
            mean = sum(math.exp(one) * n for one, n in zip(log_p, task.scale, strict=True))
            self.met([score.value / mean], [1.0], "scores")
            means.append(mean)
        verdicts = [task.answers[one] for one in ("first", "second", "tie")]
        matches = [(0, 1), (1, 0), (2, 0)][: len(sides)]
        for match, duel in zip(matches, sitting.duels(matches), strict=True):
            if duel.error is not None:
                raise ValueError(duel.error)
            found = [math.log(p) for p in (duel.p_first, duel.p_second, duel.p_tie)]
            self.met(found, stock.log_p(asked(task.pairwise, *match), verdicts), "verdicts")
        return means


def content(template: str, sides: Sequence[Content], said: Sequence[str] = ()) -> list[Any]:
    """A user's turn: the words of a template about `CAPTION`, or where answers to it are judged
    about `ASKED`, and what is shown in each place of media.
    """
    for answer in said:
        template = template.replace("{answer}", answer, 1)
    words = template.replace("{prompt}", ASKED if said else CAPTION)
    first, *others = words.split("{media}")
    made: list[Any] = [first] if first else []
    for side, text in zip(sides, others, strict=True):
        made += [*side, text]
    return made


def candidates(media: Sequence[Media]) -> list[Candidate]:
    return [Candidate(str(at), "generator@0", 0, one) for at, one in enumerate(media)]


def answers() -> list[Candidate]:
    return [Candidate(str(at), "generator@0", 0, answer=one) for at, one in enumerate(SAID)]


def still(media: Media) -> Image.Image:
    return Image.fromarray(decode(media.data))
