"""Reading verdicts and scores from logits, in one forward pass.

Answers are sentences or numbers that branch from one another ("Image 1 …", "Image 2 …", "Both …";
"1", "10"). What decides is only the tokens at the branches. The way to the branches is fed after
the prompt, and the probability of each answer is the product of its tokens' probabilities at the
branches that it passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from factory.judging.specification import SpecificationError
from schemas.rows import Preference

PREFERENCES: tuple[Preference, ...] = ("first", "second", "tie")
Logits = npt.NDArray[np.floating]
Key = TypeVar("Key")


@dataclass(frozen=True)
class AnswerTree(Generic[Key]):
    """Where tokenised answers branch.

    chains: tokens to feed after the prompt; of each, logits are wanted at its `len(chain) + 1`
        positions, the first of which is the prompt's last token. Three answers need one chain, the
        numbers 0 to 100 spelt in digits nine.
    tokens: for each answer the tokens that tell it from the others.
    ends: for an answer that begins others, the tokens with which they go on. Whatever else comes
        next ends it.
    """

    chains: tuple[tuple[int, ...], ...]
    tokens: Mapping[Key, tuple[int, ...]]
    ends: Mapping[Key, tuple[int, ...]]

    @classmethod
    def of(
        cls, answers: Mapping[Key, Sequence[int]], *, may_begin_another: bool = False
    ) -> AnswerTree[Key]:
        """Find the branches of tokenised answers.

        Args:
            answers: token ids of each.
            may_begin_another: whether one may begin another, as "1" begins "10".

        Raises:
            SpecificationError: two answers are alike, or one begins another and may not.
        """
        tokens: dict[Key, tuple[int, ...]] = {}
        ends: dict[Key, tuple[int, ...]] = {}
        for key, ids in answers.items():
            others = [tuple(other) for name, other in answers.items() if name != key]
            whole = tuple(ids)
            sizes = range(1, len(whole) + 1)
            apart = (size for size in sizes if all(one[:size] != whole[:size] for one in others))
            tokens[key] = whole[: next(apart, len(whole))]
            longer = {one[len(whole)] for one in others if one[: len(whole)] == whole != one}
            if not whole or whole in others or (longer and not may_begin_another):
                raise SpecificationError(f"the answer for {key!r} begins another answer")
            if longer:
                ends[key] = tuple(sorted(longer))
        nodes = {ids[:-1] for ids in tokens.values()} | {tokens[key] for key in ends}
        deepest: list[tuple[int, ...]] = []
        for node in sorted(nodes, key=lambda one: (-len(one), one)):
            if all(chain[: len(node)] != node for chain in deepest):
                deepest.append(node)
        return cls(tuple(sorted(deepest)), tokens, ends)

    @property
    def chain(self) -> tuple[int, ...]:
        """The only chain, as three answers have it."""
        (chain,) = self.chains
        return chain

    def probabilities(self, logits: Sequence[Logits]) -> npt.NDArray[np.float64]:
        """Of each answer, renormalised over all of them: as `log_probabilities`."""
        return np.exp(self.log_probabilities(logits))

    def log_probabilities(self, logits: Sequence[Logits]) -> npt.NDArray[np.float64]:
        """Log of each answer's probability among all of them: [B, number of answers].

        Args:
            logits: for each chain [B, len(chain) + 1, V], those that predict the token after each
                position.
        """
        log_p = [log_softmax(one) for one in logits]
        columns = []
        for key, ids in self.tokens.items():
            column = np.zeros(len(log_p[0]))
            for position, token in enumerate(ids):
                column = column + log_p[self._chain_with(ids[:position])][:, position, token]
            if key in self.ends:
                after = log_p[self._chain_with(ids)][:, len(ids)]
                goes_on = np.exp(after[:, list(self.ends[key])]).sum(axis=-1)
                column = column + np.log(np.maximum(1.0 - goes_on, 1e-300))
            columns.append(column)
        return log_softmax(np.stack(columns, axis=-1))

    def _chain_with(self, node: tuple[int, ...]) -> int:
        return next(index for index, chain in enumerate(self.chains) if chain[: len(node)] == node)


def expected_score(
    p: npt.NDArray[np.float64], scale: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation [B] of the score, from probabilities of the scale's numbers."""
    values = np.asarray(scale, dtype=np.float64)
    mean = p @ values
    variance = p @ values**2 - mean**2
    return mean, np.sqrt(np.maximum(variance, 0.0))


def log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """Over the last axis, in float64 whatever the model computed in."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
