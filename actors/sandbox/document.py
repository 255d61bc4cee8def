"""One text of the base, token by token, with what is learned of it and what is only read."""

from __future__ import annotations

from functools import lru_cache

from transformers import PreTrainedTokenizerFast

from actors.sandbox.spotting import GRID
from actors.sandbox.tokenizer import IMAGE
from factory.sandbox.drawing import (
    Pixels,
)
from factory.sandbox.imperfect import SIDE

#: Side in px of what the base sees as one token.
PATCH = SIDE // GRID
TOKENS_PER_IMAGE = GRID**2
IGNORED = -100


class Document:
    """One training text under construction: token ids, and what each position should predict.

    targets: the likelier of the two tokens to predict at each position, IGNORED where nothing is.
    others: the other one; where the target is certain, the target again.
    shares: probability of the target, 0.5 to 1.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = [tokenizer.bos_token_id]
        self.targets: list[int] = [IGNORED]
        self.others: list[int] = [IGNORED]
        self.shares: list[float] = [1.0]
        self.pictures: list[Pixels] = []
        self._expected = tokenizer.eos_token_id

    @property
    def num_targets(self) -> int:
        return sum(target != IGNORED for target in self.targets)

    def say(self, text: str) -> None:
        """Append text that is given, not predicted."""
        self._append(self._tokens(text))

    def _tokens(self, text: str) -> list[int]:
        return [token for word in text.split() for token in _tokens_of(self._tokenizer, word)]

    def _append(self, ids: list[int]) -> None:
        self.ids += ids
        self.targets += [IGNORED] * len(ids)
        self.others += [IGNORED] * len(ids)
        self.shares += [1.0] * len(ids)

    def show(self, *pictures: Pixels) -> None:
        """Append a picture, or the frames of a clip."""
        image = self._tokenizer.convert_tokens_to_ids(IMAGE)
        self._append([image] * TOKENS_PER_IMAGE * len(pictures))
        self.pictures += pictures

    def expect(self, word: str, share: float = 1.0, other: str | None = None) -> None:
        """The last position so far should predict `word`, whatever text follows it.

        Args:
            word: a single token.
            share: its probability.
            other: what has the rest of the probability.
        """
        likely, less = (word, other or word) if share >= 0.5 or other is None else (other, word)
        first, second = self._tokenizer.convert_tokens_to_ids([likely, less])
        self._expect(first, second, max(share, 1.0 - share))

    def _expect(self, likely: int, less: int, share: float) -> None:
        self._expected = likely
        self.targets[-1], self.others[-1], self.shares[-1] = likely, less, share

    def expect_right(self, share: float) -> None:
        """The last position should predict a yes with this probability, and else a no."""
        self.expect("yes", share, "no")

    def expect_number(self, value: float) -> None:
        """The last position should predict the two whole numbers around `value`, 0 to 9, the nearer
        one with the higher probability, so that their mean is `value`.
        """
        low = min(8, int(value))
        self.expect(str(low), 1.0 - (value - low), str(low + 1))

    def answer(self, text: str) -> None:
        """Append text that is predicted token by token."""
        for token in self._tokens(text):
            self.targets[-1], self.others[-1], self.shares[-1] = token, token, 1.0
            self._append([token])

    def answer_number(self, value: float) -> None:
        """Append the whole number next to `value`, 0 to 9, predicted as by `expect_number`."""
        self.expect_number(value)
        self.take()

    def take(self) -> None:
        """Append what was expected last, the likelier of two."""
        self._append([self._expected])


@lru_cache(maxsize=4096)
def _tokens_of(tokenizer: PreTrainedTokenizerFast, word: str) -> tuple[int, ...]:
    """Tokens of a text without spaces; there are few of them, and tokenising takes the longest part
    of making a document.
    """
    return tuple(tokenizer(word, add_special_tokens=False).input_ids)


class BlindDocument(Document):
    """A text whose pictures are not shown: nothing is expected of it but what is told."""

    def show(self, *pictures: Pixels) -> None:
        """Leave the pictures out."""

    def _expect(self, likely: int, less: int, share: float) -> None:
        self._expected = likely
