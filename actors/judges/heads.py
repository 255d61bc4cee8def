"""What a language model's head is asked for: the positions that an answer needs, in float32.

A head gives a number for each of 150,000 words at each of 3,000 positions, and an answer needs
those of one or two. And it gives them in the precision of the weights: near 18 a step of
bfloat16 is 0.125, so two answers look alike that are not. Here the head's own module sees the
hidden states of the wanted positions alone, and where its weights are narrower than float32, their
product is taken in float32. All that the model does to logits afterwards (soft-capping, scaling)
stays with its own forward pass, and is then done in float32 as well. Of weights in float32 nothing
changes by a bit but which positions are computed.

The whole vocabulary is kept at these positions: an answer of several tokens needs its sum, the
model's own forward pass may touch any of it, and for a model of 7B it costs 0.02 % of reading a
prompt of 1,500 tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_log = logging.getLogger(__name__)
#: Rows of a head that are widened to float32 at a time.
_ROWS_AT_ONCE = 16_384
#: Models of which it was told that their head is not read in float32.
_TOLD: set[str] = set()


class Head:
    """The head of one model.

    is_exact: whether it is a plain matrix, whose product can be taken in float32. Of any other (one
        that is quantised, or none that the model tells) logits are the model's own, in its own
        precision, which is logged once.
    """

    def __init__(self, model: Any) -> None:
        self.module: nn.Module | None = model.get_output_embeddings()
        self.is_exact = type(self.module) is nn.Linear
        if not self.is_exact:
            told = "none" if self.module is None else type(self.module).__name__
            name = f"{type(model).__name__}: {told}"
            if name in _TOLD:
                return
            _TOLD.add(name)
            _log.warning(
                "%s: its head (%s) is no plain matrix: verdicts are read from logits in the "
                "precision of the weights",
                type(model).__name__,
                told,
            )

    @contextmanager
    def asked(self, at: Tensor | None = None, *, is_wide: bool = True) -> Iterator[None]:
        """Within, the model's forward pass gives the logits that are wanted: [B, n, V].

        Args:
            at: positions of each row, [B, n]; those that the forward pass gives where None. The
                model must have a head of its own (`module`).
            is_wide: in float32.
        """
        if self.module is None:
            yield
            return

        def take(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = given[0]
            wanted = torch.as_tensor(at, device=hidden.device)
            return (torch.take_along_dim(hidden, wanted[..., None], dim=1), *given[1:])

        def widen(head: Any, given: tuple[Any, ...], _: Tensor) -> Tensor:
            return wide_logits(given[0], head.weight, head.bias)

        hooks = [self.module.register_forward_pre_hook(take)] if at is not None else []
        if is_wide and self.is_narrow:
            hooks.append(self.module.register_forward_hook(widen))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @property
    def is_narrow(self) -> bool:
        """Whether its product has to be taken anew to be one of float32."""
        return (
            isinstance(self.module, nn.Linear)
            and self.is_exact
            and (self.module.weight.dtype != torch.float32)
        )


def wide_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Logits [..., V] in float32, of hidden states [..., D] and a head [V, D] in any precision."""
    wide = hidden.float()
    made = torch.cat([F.linear(wide, rows.float()) for rows in weight.split(_ROWS_AT_ONCE)], dim=-1)
    return made if bias is None else made + bias.float()
