"""Losses: functions of tensors that know no model, no data set and no trainer.

Everything is computed in float32, whatever precision the model runs in. Log-probabilities and
errors of the reference carry no gradient: the caller computes them without one, and they are
detached here in any case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
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


@dataclass(frozen=True)
class Objective:
    """One member of the DPO family, the same for pictures, clips and answers.

    With `gain` by how much the policy is better than the reference on one side (in log-probability,
    or by a smaller error), the implicit reward is beta gain, and m the chosen side's less the
    rejected one's. The loss of a pair is

        weight [(1 - label_smoothing) f(m) + label_smoothing f(-m) + sft_weight error]

    beta: strength of the pull to the reference.
    variant: "sigmoid", f(m) = -log sigmoid(m): Rafailov et al. 2023 (arXiv 2305.18290), equation 7.
        "ipo", f(m) = (m - 1/2)^2: Azar et al. 2023 (arXiv 2310.12036), equation 17, times beta^2.
        The minimum is the same; without the factor the gradient shrinks as beta grows, and with the
        betas of thousands that diffusion needs it would be lost in Adam's epsilon.
    label_smoothing: probability that a label is wrong (conservative DPO, Mitchell 2023).
    sft_weight: weight of the chosen side's own error, which keeps its likelihood from falling
        together with the rejected one's (RPO, Pang et al. 2024, arXiv 2404.19733). In units of the
        loss: beta has no part in it. A pair that counts less is also imitated less.
    is_length_normalised: gains of answers are means over their tokens, not sums, so that a long
        answer gains no more than a short one (LN-DPO; Meng et al. 2024, arXiv 2405.14734).
    """

    beta: float
    variant: Literal["sigmoid", "ipo"] = "sigmoid"
    label_smoothing: float = 0.0
    sft_weight: float = 0.0
    is_length_normalised: bool = False

    def __call__(
        self,
        gain_chosen: Tensor,
        gain_rejected: Tensor,
        error_chosen: Tensor,
        weights: Tensor | None = None,
    ) -> PreferenceLoss:
        """The loss of a batch.

        Args:
            gain_chosen: [B], with gradient.
            gain_rejected: [B], with gradient.
            error_chosen: of the policy on the chosen side, [B].
            weights: of the pairs, [B]; all one where not given. The mean is over pairs, not over
                weights: what a pair counts for does not depend on which others share its batch.

        Raises:
            ValueError: more or less than one number a pair.
        """
        margins = self.beta * (gain_chosen - gain_rejected).float()
        for one in (margins, error_chosen, *([] if weights is None else [weights])):
            if one.ndim != 1 or one.shape != margins.shape:
                raise ValueError(f"one number a pair is wanted, not the shape {tuple(one.shape)}")
        losses = self._of_margin(margins)
        if self.label_smoothing:
            losses = losses.lerp(self._of_margin(-margins), self.label_smoothing)
        if self.sft_weight:
            losses = losses + self.sft_weight * error_chosen.float()
        if weights is not None:
            losses = losses * weights.float()
        loss = losses.mean()
        seen = margins.detach()
        return PreferenceLoss(loss, ((seen.sign() + 1) / 2).mean(), seen.mean())

    def _of_margin(self, margins: Tensor) -> Tensor:
        """The f of the class's docstring."""
        if self.variant == "ipo":
            return (margins - 0.5).pow(2)
        return -F.logsigmoid(margins)


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


def weighted_answer_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    other: Tensor | None = None,
    share: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> Tensor:
    """`answer_cross_entropy` of rows that count more or less, and of answers between two; a scalar.

    A row's loss is multiplied by its weight and divided by nothing for it, so that a row counts the
    same whatever it shares a batch with. An answer between two, as 4.33 is between 4 and 5, is the
    mixture of both whose mean it is: its cross-entropy is the mean of theirs.

    Args:
        logits: [B, T, V].
        targets: [B, T] token ids, `ignore_index` outside of answers.
        weights: [B].
        other: the same as `targets`, of the other answer; None where no row has one.
        share: of the other answer, 0 to 1, [B].
        ignore_index: marks the targets that are left out.
        label_smoothing: as there.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    count = logits.new_zeros((), dtype=torch.float32)
    parts = [(targets, torch.ones_like(weights) if share is None else 1 - share)]
    if other is not None and share is not None:
        parts.append((other, share))
    for wanted, part in parts:
        asked = (wanted != ignore_index) & (part > 0)[:, None]
        losses = F.cross_entropy(
            logits[asked].float(), wanted[asked], reduction="none", label_smoothing=label_smoothing
        )
        total = total + (losses * (weights * part)[:, None].expand(asked.shape)[asked]).sum()
        count = count + part[:, None].expand(asked.shape)[asked].sum()
    return total / count.clamp(min=1)


def answer_token_log_probabilities(
    logits: Tensor, targets: Tensor, ignore_index: int = -100, temperature: float = 1.0
) -> Tensor:
    """Log-probability of each token of the answers, zero outside of them: [B, T].

    Args:
        logits: [B, T, V]; those at a position predict that position's target.
        targets: [B, T] token ids, `ignore_index` outside of answers.
        ignore_index: marks the positions that are left out.
        temperature: by which the logits are divided.
    """
    asked = targets != ignore_index
    # Row by row in float32: a copy of all logits in float32 would be the largest tensor of a step.
    rows = []
    for row, wanted in zip(logits, targets.where(asked, 0), strict=True):
        picked = row.gather(-1, wanted.unsqueeze(-1)).squeeze(-1).float()
        if temperature == 1:
            rows.append(picked - row.float().logsumexp(dim=-1))
        else:
            rows.append(picked / temperature - (row.float() / temperature).logsumexp(dim=-1))
    return torch.stack(rows) * asked


def answer_log_probability(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """Log-probability of each row's answer, summed over its tokens: [B].

    See `answer_token_log_probabilities`.
    """
    return answer_token_log_probabilities(logits, targets, ignore_index).sum(dim=-1)


def order_consistency(logp_shown: Tensor, logp_swapped: Tensor) -> Tensor:
    """How far a judge's verdicts depend on which side is shown first; a scalar, zero for none.

    The mean squared difference of the log-probabilities that the labelled answer has in either
    order, both [B]. The label is the same, so nothing else than the order can make them differ.
    """
    return (logp_shown - logp_swapped).pow(2).mean()


def bradley_terry_with_ties(
    margin: Tensor, outcomes: Tensor, tie_odds: float, weights: Tensor | None = None
) -> Tensor:
    """Mean negative log-likelihood of preferences under Rao & Kupper 1967, equation 2.1; a scalar.

    With m the margin and k >= 1 the tie parameter

        P(first) = e^m / (e^m + k),  P(second) = e^-m / (e^-m + k),  P(tie) = the rest

    so that at m = 0 a tie has the probability (k - 1) / (k + 1). k = 1 is Bradley-Terry, under
    which a tie is impossible; VideoReward (arXiv 2501.13918) uses 5.

    Args:
        margin: log-odds of first over second, [B].
        outcomes: 0 where first is preferred, 1 second, 2 for a tie, [B].
        tie_odds: k, above 1.
        weights: by which the rows' losses are multiplied, [B]; 1 where None.
    """
    if not tie_odds > 1:
        raise ValueError(f"the tie parameter is above 1, not {tie_odds}")
    losses = -_rao_kupper(margin, tie_odds).gather(-1, outcomes[:, None]).squeeze(-1)
    return losses.mean() if weights is None else (losses * weights).mean()


def soft_bradley_terry_with_ties(margin: Tensor, p: Tensor, tie_odds: float) -> Tensor:
    """Mean Kullback-Leibler divergence of Rao & Kupper's probabilities from given ones, in nats; a
    scalar, zero where they are equal.

    For a student that is to say what a teacher says (Hinton et al. 2015, arXiv 1503.02531): the
    gradient is that of the cross-entropy with soft targets.

    Args:
        margin: log-odds of first over second, [B].
        p: the teacher's probabilities of first, second and tie, [B, 3].
        tie_odds: k, above 1; see `bradley_terry_with_ties`.
    """
    if not tie_odds > 1:
        raise ValueError(f"the tie parameter is above 1, not {tie_odds}")
    p = p.float()
    return (torch.xlogy(p, p) - p * _rao_kupper(margin, tie_odds)).sum(dim=-1).mean()


def _rao_kupper(margin: Tensor, tie_odds: float) -> Tensor:
    """Log-probabilities of first, second and tie: [B, 3]."""
    margin = margin.float()
    log_k = math.log(tie_odds)
    first, second = F.logsigmoid(margin - log_k), F.logsigmoid(-margin - log_k)
    tie = math.log(tie_odds**2 - 1) + first + second
    return torch.stack([first, second, tie], dim=-1)


def score_regression(
    log_p: Tensor, scale: Tensor, points: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean squared error of the expected score, as a share of the scale's length; a scalar.

    Args:
        log_p: log-probabilities of the scale's numbers, [B, S]; -inf where a row has fewer.
        scale: the numbers, [B, S]; NaN there.
        points: what people gave, fractions too, [B].
        weights: by which the rows' errors are multiplied, [B]; 1 where None.
    """
    known = ~scale.isnan()
    expected = expected_points(log_p, scale)
    highest = scale.float().masked_fill(~known, -math.inf).amax(dim=-1)
    lowest = scale.float().masked_fill(~known, math.inf).amin(dim=-1)
    errors = ((expected - points.float()) / (highest - lowest)).pow(2)
    return errors.mean() if weights is None else (errors * weights).mean()


def expected_points(log_p: Tensor, scale: Tensor) -> Tensor:
    """The expected score [B], from log-probabilities of the scale's numbers as in
    `score_regression`.
    """
    return (log_p.float().exp() * scale.float().nan_to_num()).sum(dim=-1)


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
    objective: Objective,
    weights: Tensor | None = None,
) -> PreferenceLoss:
    """Diffusion-DPO, Wallace et al. 2023 (arXiv 2311.12908), equation 14, and its variants.

        loss = -log sigmoid(-beta [(e_w - e_w_ref) - (e_l - e_l_ref)])

    with e the squared error of the predicted noise (of the velocity, for flow matching), for the
    same noise and timestep on all four. `beta` stands for the equation's beta T omega(lambda), with
    omega constant. The authors' code halves it: their beta_dpo of 5000 is 2500 here.

    Args:
        error_chosen: of the policy on the chosen side, [B]; see `squared_error`.
        error_rejected: of the policy on the rejected side, [B].
        ref_error_chosen: of the reference, [B].
        ref_error_rejected: of the reference, [B].
        objective: the member of the family.
        weights: of the pairs, [B].
    """
    gain_chosen = ref_error_chosen.detach() - error_chosen
    gain_rejected = ref_error_rejected.detach() - error_rejected
    return objective(gain_chosen, gain_rejected, error_chosen, weights)


def answer_dpo(
    logp_chosen: Tensor,
    logp_rejected: Tensor,
    ref_logp_chosen: Tensor,
    ref_logp_rejected: Tensor,
    objective: Objective,
    num_tokens_chosen: Tensor,
    num_tokens_rejected: Tensor,
    weights: Tensor | None = None,
) -> PreferenceLoss:
    """DPO of answers, Rafailov et al. 2023 (arXiv 2305.18290), equation 7, and its variants.

        loss = -log sigmoid(beta [(logp_w - logp_w_ref) - (logp_l - logp_l_ref)])

    The error that `sft_weight` weighs is the chosen answer's cross-entropy, in nats a token.

    Args:
        logp_chosen: log-probability of the chosen answer under the policy, summed over the
            answer's tokens, [B].
        logp_rejected: of the rejected answer, [B].
        ref_logp_chosen: under the reference, [B].
        ref_logp_rejected: under the reference, [B].
        objective: the member of the family.
        num_tokens_chosen: of each chosen answer, [B].
        num_tokens_rejected: of each rejected answer, [B].
        weights: of the pairs, [B].
    """
    gain_chosen = logp_chosen - ref_logp_chosen.detach()
    gain_rejected = logp_rejected - ref_logp_rejected.detach()
    if objective.is_length_normalised:
        gain_chosen = gain_chosen / num_tokens_chosen
        gain_rejected = gain_rejected / num_tokens_rejected
    return objective(gain_chosen, gain_rejected, -logp_chosen / num_tokens_chosen, weights)


def kl_of_answers(logp: Tensor, ref_logp: Tensor, num_answers: int) -> Tensor:
    """An estimate of KL(reference || policy) in nats an answer, from answers that the reference
    sampled; a scalar, without gradient, never negative.

    The mean over answers of the sum over tokens of exp(g) - 1 - g, g = logp - ref_logp: unbiased
    where the answers are samples of the reference, and of low variance near it (Schulman 2020,
    "Approximating KL divergence", k3). So both are taken at the temperature of the samples, and it
    is the divergence of the two at that temperature. What was left out where only the likeliest
    tokens were sampled from (`top_p`) is no part of it. The two sides of a pair were picked from
    such samples by a judge, so it is a curve to watch and no measurement.

    Args:
        logp: of each token under the policy, zero outside of answers, any shape.
        ref_logp: of the same tokens under the reference.
        num_answers: answers in the batch.
    """
    gain = (logp - ref_logp).detach().float()
    return (gain.expm1() - gain).sum() / num_answers
