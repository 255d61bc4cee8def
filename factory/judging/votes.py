"""Several answers to one question: what they come to together, and how far they agree.

Verdicts become shares of the votes. The most frequent one then counts, two that share that place
are a tie, and the shares keep how many said otherwise; so does the spread of scores. An answer that
cannot be read has no vote: it is neither a tie nor a low score.

Self-consistency (Wang et al., arXiv 2203.11171) samples reasoning and takes the most frequent
answer; here what the others said is kept as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.judging.task_specification import Vote
from schemas.rows import seed_of


def verdicts_together(votes: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Shares of the votes for first, second and tie.

    Args:
        votes: of each answer the probabilities of first, second and tie.
    """
    first, second, tie = np.mean(np.asarray(votes, dtype=np.float64), axis=0).tolist()
    return first, second, tie


def scores_together(scores: Sequence[float], vote: Vote = "mean") -> tuple[float, float]:
    """What several scores come to, and their standard deviation; 0 of one alone."""
    values = np.asarray(scores, dtype=np.float64)
    middle = np.median(values) if vote == "median" else values.mean()
    return float(middle), float(values.std())


def seeds_of(request: str, num: int) -> list[int]:
    """The seeds of a request's answers: a function of what is asked, so that no answer depends on
    what else is asked with it.

    Args:
        request: digest of what is sent.
        num: of answers.
    """
    return [seed_of("sample", request, at) for at in range(num)]
