"""Our losses of answers beside those of TRL's `DPOTrainer`, on the same log-probabilities.

    python -m tests.benchmarks.dpo_against_trl [--num 64]

TRL comes with the tests (`.[test]`); without it the figure is null. Its trainer's own
loss function is called, with a model that answers with made-up log-probabilities. Compared are DPO,
its length-normalised form (`sigmoid_norm`), and IPO, which TRL normalises by length; ours is beta^2
times it. TRL has no loss of labels smoothed as conservative DPO does it.

figure: the largest absolute difference of losses and of their gradients.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from factory.alignment.losses import Objective, answer_dpo

_LENGTH = 12  # tokens, of question and answer
_BETA = 0.1


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=64, help="pairs")
    num = parser.parse_args().num
    try:
        from trl import DPOTrainer
    except ImportError as error:
        print(f"not compared: {error}; pip install '.[test]'")
        print(json.dumps({"figure": None}))
        return
    torch.manual_seed(0)
    lengths = torch.randint(1, _LENGTH, (2 * num,))
    mask = (torch.arange(_LENGTH + 1) > _LENGTH - lengths[:, None]).long()  # [2B, T], answers last
    logp = -torch.rand(2 * num, _LENGTH) * 4 * mask[:, 1:]
    ref_logp = -torch.rand(2 * num, _LENGTH) * 4 * mask[:, 1:]
    cases = {
        "sigmoid": Objective(_BETA),
        "sigmoid_norm": Objective(_BETA, is_length_normalised=True),
        "ipo": Objective(_BETA, "ipo", is_length_normalised=True),
    }
    worst = 0.0
    for name, objective in cases.items():
        scale = _BETA**2 if name == "ipo" else 1.0
        theirs = _gradient(
            lambda one, name=name: _theirs(DPOTrainer, name, one, ref_logp, mask), logp
        )
        ours = _gradient(lambda one, how=objective: _ours(how, one, ref_logp, lengths), logp)
        apart = max(
            float((mine - scale * other).abs().max())
            for mine, other in zip(ours, theirs, strict=True)
        )
        print(f"{name:13s} loss {float(ours[0]):.6f}, differs by at most {apart:.1e}")
        worst = max(worst, apart)
    print(json.dumps({"figure": worst, "pairs": num}))


def _gradient(loss_of: Any, logp: Tensor) -> tuple[Tensor, Tensor]:
    """A loss and its gradient by the log-probabilities."""
    leaf = logp.clone().requires_grad_(True)
    loss = loss_of(leaf)
    loss.backward()
    return loss.detach(), leaf.grad


def _ours(objective: Objective, logp: Tensor, ref_logp: Tensor, lengths: Tensor) -> Tensor:
    sums = [half.sum(dim=1) for one in (logp, ref_logp) for half in one.chunk(2)]
    return answer_dpo(*sums, objective, *lengths.chunk(2)).loss


def _theirs(trainer: Any, name: str, logp: Tensor, ref_logp: Tensor, mask: Tensor) -> Tensor:
    """TRL's own function, on a trainer that has just what it reads."""
    ref_chosen, ref_rejected = ref_logp.sum(dim=1).chunk(2)
    outputs = SimpleNamespace(
        log_probs=logp,
        entropy=torch.zeros_like(logp),
        mean_logits=torch.zeros_like(logp),
        is_top1=torch.zeros_like(logp, dtype=torch.bool),
    )
    stub = SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=SimpleNamespace(
            device=logp.device, gather=lambda one: one, gather_for_metrics=lambda one: one
        ),
        aux_loss_enabled=False,
        ld_alpha=None,
        precompute_ref_logps=True,
        f_divergence_type="reverse_kl",
        loss_types=[name],
        loss_weights=[1.0],
        beta=_BETA,
        use_weighting=False,
        _total_train_tokens=0,
        _tp_size=1,
        _metrics=defaultdict(lambda: defaultdict(list)),
    )
    inputs = {
        "input_ids": torch.zeros_like(mask),
        "attention_mask": torch.ones_like(mask),
        "completion_mask": mask,
        "ref_chosen_logps": ref_chosen,
        "ref_rejected_logps": ref_rejected,
    }
    loss: Tensor = trainer._compute_loss(stub, lambda **_: outputs, inputs, False)
    return loss


if __name__ == "__main__":
    main()
