"""Losses: functions of tensors that know no model, no data set and no trainer.

Everything is computed in float32, whatever precision the model runs in. Log-probabilities and
errors of the reference carry no gradient: the caller computes them without one, and they are
detached here in any case.
"""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class PreferenceLoss(NamedTuple):
    """A preference loss and what to log beside it.

    loss: mean over the batch, a scalar with gradient.
    accuracy: share of pairs whose implicit reward prefers the chosen side, a draw counting half
        (policy and reference are equal before the first step); without gradient.
    margin: mean implicit reward of chosen minus rejected; without gradient.
    """

    loss: Tensor
    accuracy: Tensor
    margin: Tensor


def answer_cross_entropy(
    logits: Tensor, targets: Tensor, ignore_index: int = -100, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the answer's tokens; a scalar, zero where there are none.

    Args:
        logits: [..., V]; those at a position predict that position's target, so a caller with
            causal logits shifts them first.
        targets: [...] token ids, `ignore_index` outside of answers.
        ignore_index: marks the targets that are left out.
        label_smoothing: share of the target's probability that is spread over the vocabulary.
    """
    total = F.cross_entropy(
        logits.float().flatten(0, -2),
        targets.flatten(),
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction="sum",
    )
    return total / (targets != ignore_index).sum().clamp(min=1)


def answer_log_probability(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """Log-probability of each row's answer, summed over its tokens: [B].

    Args:
        logits: [B, T, V]; those at a position predict that position's target.
        targets: [B, T] token ids, `ignore_index` outside of answers.
        ignore_index: marks the positions that are left out.
    """
    asked = targets != ignore_index
    log_p = F.log_softmax(logits.float(), dim=-1)
    tokens = log_p.gather(-1, targets.where(asked, 0).unsqueeze(-1)).squeeze(-1)
    return (tokens * asked).sum(dim=-1)


def order_consistency(logp_shown: Tensor, logp_swapped: Tensor) -> Tensor:
    """How far a judge's verdicts depend on which side is shown first; a scalar, zero for none.

    The mean squared difference of the log-probabilities that the labelled answer has in either
    order, both [B]. The label is the same, so nothing else than the order can make them differ.
    """
    return (logp_shown - logp_swapped).pow(2).mean()


def squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of each row over *all* its dimensions: [B, ...] -> [B].

    For pictures [B, C, H, W] and clips [B, C, T, H, W] alike. A mean that leaves a dimension out
    would put the sigmoid of the preference loss around parts of a sample.
    """
    if prediction.shape != target.shape:
        raise ValueError(f"shapes differ: {tuple(prediction.shape)} and {tuple(target.shape)}")
    return (prediction.float() - target.float()).pow(2).flatten(1).mean(dim=1)


def diffusion_dpo(
    error_chosen: Tensor,
    error_rejected: Tensor,
    ref_error_chosen: Tensor,
    ref_error_rejected: Tensor,
    beta: float,
) -> PreferenceLoss:
    """Diffusion-DPO, Wallace et al. 2023 (arXiv 2311.12908), equation 14.

        loss = -log sigmoid(-beta [(e_w - e_w_ref) - (e_l - e_l_ref)])

    with e the squared error of the predicted noise (of the velocity, for flow matching), for the
    same noise and timestep on all four. `beta` stands for the equation's beta T omega(lambda), with
    omega constant. The authors' code halves it: their beta_dpo of 5000 is 2500 here.

    Args:
        error_chosen: of the policy on the chosen side, [B]; see `squared_error`.
        error_rejected: of the policy on the rejected side, [B].
        ref_error_chosen: of the reference, [B].
        ref_error_rejected: of the reference, [B].
        beta: strength of the pull to the reference.
    """
    gain_chosen = ref_error_chosen.detach() - error_chosen
    gain_rejected = ref_error_rejected.detach() - error_rejected
    return _preference_loss(beta * (gain_chosen - gain_rejected), label_smoothing=0.0)


def dpo(
    logp_chosen: Tensor,
    logp_rejected: Tensor,
    ref_logp_chosen: Tensor,
    ref_logp_rejected: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
) -> PreferenceLoss:
    """DPO, Rafailov et al. 2023 (arXiv 2305.18290), equation 7.

        loss = -log sigmoid(beta [(logp_w - logp_w_ref) - (logp_l - logp_l_ref)])

    Args:
        logp_chosen: log-probability of the chosen answer under the policy, summed over the
            answer's tokens, [B].
        logp_rejected: of the rejected answer, [B].
        ref_logp_chosen: under the reference, [B].
        ref_logp_rejected: under the reference, [B].
        beta: strength of the pull to the reference.
        label_smoothing: probability that a label is wrong (conservative DPO, Mitchell 2023).
    """
    gain_chosen = logp_chosen - ref_logp_chosen.detach()
    gain_rejected = logp_rejected - ref_logp_rejected.detach()
    return _preference_loss(beta * (gain_chosen - gain_rejected), label_smoothing)


def _preference_loss(margins: Tensor, label_smoothing: float) -> PreferenceLoss:
    """Negative log-likelihood of the preferences [B] under Bradley-Terry."""
    if margins.ndim != 1:
        raise ValueError(f"one number a pair is wanted, not the shape {tuple(margins.shape)}")
    margins = margins.float()
    losses = -(1 - label_smoothing) * F.logsigmoid(margins)
    if label_smoothing:
        losses = losses - label_smoothing * F.logsigmoid(-margins)
    seen = margins.detach()
    return PreferenceLoss(losses.mean(), ((seen.sign() + 1) / 2).mean(), seen.mean())
