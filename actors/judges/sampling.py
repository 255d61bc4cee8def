"""Answers that are drawn, each by a seed of its own: what is drawn hangs on the question, the seed
and the weights, and on nothing that is asked beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from actors.answering import SeededSampling
from actors.judges.sitting import Response
from schemas.rows import Sample


class Written(Protocol):
    """What a model wrote after a prompt (`actors.judges.decoder`)."""

    @property
    def ids(self) -> list[int]: ...

    @property
    def is_cut(self) -> bool: ...


@dataclass(frozen=True)
class Chance:
    """How answers are drawn.

    seeds: of each row.
    temperature: by which logits are divided.
    top_p: share of the probability that is drawn from.
    """

    seeds: tuple[int, ...]
    temperature: float
    top_p: float = 1.0

    def of(self, rows: Sequence[int]) -> SeededSampling:
        """The streams of some rows, each from its beginning."""
        return SeededSampling([self.seeds[at] for at in rows], self.temperature, self.top_p)


def next_tokens(logits: Tensor, drawing: SeededSampling | None = None) -> tuple[Tensor, Tensor]:
    """The next token of each row, and the logarithm of its probability: both [B].

    Args:
        logits: [B, V].
        drawing: by which it is drawn; the most probable one where None.
    """
    scores = logits.float()
    log_p = scores.log_softmax(-1)
    left = scores if drawing is None else drawing(scores, scores)
    tokens = left.argmax(-1)
    return log_p.gather(-1, tokens[:, None])[:, 0], tokens


def response_of(answers: Sequence[Written], read: Callable[[Sequence[int]], str]) -> Response:
    """What was written to one question, once or several times.

    Args:
        answers: each as tokens.
        read: what tokens say.
    """
    samples = tuple(Sample(read(one.ids), one.is_cut) for one in answers)
    first, num = samples[0], sum(len(one.ids) for one in answers)
    several = samples if len(samples) > 1 else ()
    return Response(first.text, first.is_cut, several, num_written=num)
