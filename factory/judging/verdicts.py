"""Reading verdicts and scores from logits, in one forward pass.

The three answers are sentences that branch from one another ("Image 1 …", "Image 2 …", "Both …").
What decides is only the tokens at the branches, and three answers have two branches, one below the
other on one chain of tokens. The chain is fed after the prompt, and the probability of each answer
is the product of its tokens' probabilities at the branches that it passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from factory.judging.specification import SpecificationError
from schemas.rows import Preference

PREFERENCES: tuple[Preference, ...] = ("first", "second", "tie")
Logits = npt.NDArray[np.floating]


@dataclass(frozen=True)
class VerdictTree:
    """Where three tokenised answers branch.

    chain: tokens to feed after the prompt; logits are wanted at its `len(chain) + 1` positions,
        the first of which is the prompt's last token.
    tokens: for each preference the token that it takes at each position, as far as it goes.
    """

    chain: tuple[int, ...]
    tokens: Mapping[Preference, tuple[int, ...]]

    @classmethod
    def of(cls, answers: Mapping[Preference, Sequence[int]]) -> VerdictTree:
        """Find the branches of three tokenised answers.

        Raises:
            SpecificationError: two answers are alike, or one begins another.
        """
        tokens: dict[Preference, tuple[int, ...]] = {}
        for preference in PREFERENCES:
            ids = tuple(answers[preference])
            others = [tuple(answers[other]) for other in PREFERENCES if other != preference]
            for size in range(1, len(ids) + 1):
                if all(other[:size] != ids[:size] for other in others):
                    tokens[preference] = ids[:size]
                    break
            else:
                raise SpecificationError(f"the answer for {preference!r} begins another answer")
        # Three leaves have two branching points, one below the other: a single chain holds both.
        chain = max((ids[:-1] for ids in tokens.values()), key=len)
        return cls(chain, tokens)

    def probabilities(self, logits: Logits) -> npt.NDArray[np.float64]:
        """Probabilities of first, second and tie, renormalised over the three: [B, 3].

        Args:
            logits: [B, len(chain) + 1, V], those that predict the token after each position.
        """
        log_p = log_softmax(logits)
        answers = np.stack(
            [
                sum(log_p[:, position, token] for position, token in enumerate(self.tokens[one]))
                for one in PREFERENCES
            ],
            axis=-1,
        )
        return np.exp(log_softmax(answers))


def expected_score(
    logits: Logits, scale_tokens: Sequence[int], scale: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation [B] of the score over the scale's tokens, from logits [B, V]."""
    p = np.exp(log_softmax(logits[:, list(scale_tokens)]))
    values = np.asarray(scale, dtype=np.float64)
    mean = p @ values
    variance = p @ values**2 - mean**2
    return mean, np.sqrt(np.maximum(variance, 0.0))


def log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    """Over the last axis, in float64 whatever the model computed in."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
