"""Losses against closed forms in numpy float64, and the direction of their gradients."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from factory.alignment.losses import (
    Objective,
    answer_cross_entropy,
    answer_dpo,
    answer_log_probability,
    answer_token_log_probabilities,
    bradley_terry_with_ties,
    diffusion_dpo,
    kl_of_answers,
    order_consistency,
    score_regression,
    soft_bradley_terry_with_ties,
    squared_error,
    weighted_answer_cross_entropy,
)


def softplus(x):
    return np.logaddexp(0.0, x)


def columns(num, seed, scale=1.0):
    return np.random.default_rng(seed).normal(size=(4, num)) * scale


def dpo(*rows, beta=0.1, weights=None, lengths=None, **knobs):
    """`answer_dpo` of answers of one token each, or of `lengths`."""
    one = torch.ones_like(rows[0]).detach()
    return answer_dpo(*rows, Objective(beta, **knobs), *(lengths or (one, one)), weights)


def tensors(rows, dtype=torch.float32):
    return [torch.tensor(row, dtype=dtype, requires_grad=True) for row in rows]


# --------------------------------------------------------------------------------- cross-entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_mean_over_answer_tokens(smoothing):
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(3, 5, 7)), rng.integers(0, 7, (3, 5))
    is_answer = rng.random((3, 5)) < 0.4
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    wanted = -((1 - smoothing) * picked + smoothing * log_p.mean(axis=-1))[is_answer].mean()
    found = answer_cross_entropy(
        torch.tensor(logits),
        torch.tensor(np.where(is_answer, targets, -100)),
        label_smoothing=smoothing,
    )
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_a_row_counts_by_its_weight_and_an_answer_between_two_as_both():
    rng = np.random.default_rng(3)
    logits = torch.tensor(rng.normal(size=(3, 4, 6)), requires_grad=True)
    targets = torch.tensor([[-100, 2, -100, -100], [-100, 1, 3, -100], [-100, 4, -100, -100]])
    other = torch.full_like(targets, -100)
    other[2, 1] = 5
    share = torch.tensor([0.0, 0.0, 0.33])
    ones = torch.ones(3)
    plain = answer_cross_entropy(logits, targets)
    assert weighted_answer_cross_entropy(logits, targets, ones).item() == pytest.approx(
        plain.item()
    )
    log_p = logits.detach().log_softmax(-1)
    rows = [-log_p[0, 1, 2], -log_p[1, 1, 1] - log_p[1, 2, 3]]
    rows.append(-0.67 * log_p[2, 1, 4] - 0.33 * log_p[2, 1, 5])
    weights = torch.tensor([1.0, 0.5, 0.1])
    wanted = sum(w * row for w, row in zip(weights, rows, strict=True)) / 4
    found = weighted_answer_cross_entropy(logits, targets, weights, other, share)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    found.backward()
    assert logits.grad[0, 0].abs().sum() == 0
    nothing = torch.full_like(targets, -100)
    assert weighted_answer_cross_entropy(logits, nothing, ones).item() == 0


def test_an_answers_log_probability_is_the_sum_over_its_tokens():
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(size=(3, 5, 7)), rng.integers(0, 7, (3, 5))
    is_answer = rng.random((3, 5)) < 0.5
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    found = answer_log_probability(
        torch.tensor(logits), torch.tensor(np.where(is_answer, targets, -100))
    )
    assert found.numpy() == pytest.approx((picked * is_answer).sum(axis=1), rel=1e-5)


def test_order_consistency_is_zero_for_a_judge_without_a_position_bias_and_pulls_both_ways():
    shown, swapped = tensors([[-0.1, -2.0], [-0.1, -1.0]])
    gap = order_consistency(shown, swapped)
    assert gap.item() == pytest.approx(0.5)
    gap.backward()
    assert shown.grad.tolist() == pytest.approx([0.0, -1.0])
    assert swapped.grad.tolist() == pytest.approx([0.0, 1.0])
    assert order_consistency(shown, shown).item() == 0.0


@pytest.mark.parametrize("tie_odds", [1.5, 5.0])
def test_ties_are_as_probable_as_rao_and_kupper_say(tie_odds):
    """By the odds of the strengths, not by the logarithms of the implementation."""
    margins = np.random.default_rng(0).normal(size=9) * 2
    first = np.exp(margins) / (np.exp(margins) + tie_odds)
    second = np.exp(-margins) / (np.exp(-margins) + tie_odds)
    p = np.stack([first, second, 1 - first - second], axis=-1)
    for outcome in range(3):
        found = bradley_terry_with_ties(torch.tensor(margins), torch.full((9,), outcome), tie_odds)
        assert found.item() == pytest.approx(-np.log(p[:, outcome]).mean(), rel=1e-5)
    with pytest.raises(ValueError, match="above 1"):
        bradley_terry_with_ties(torch.zeros(1), torch.zeros(1, dtype=torch.long), 1.0)


def test_a_tie_pulls_the_margin_to_zero_and_a_win_away_from_it():
    for margin, outcome, sign in ((2.0, 2, 1), (-2.0, 2, -1), (0.0, 0, -1), (0.0, 1, 1)):
        value = torch.tensor([margin], requires_grad=True)
        bradley_terry_with_ties(value, torch.tensor([outcome]), 5.0).backward()
        assert np.sign(value.grad.item()) == sign


def test_score_regression_is_the_squared_error_of_the_mean_on_each_rows_own_scale():
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    scale = np.array([[1.0, 2.0, 3.0], [0.0, 100.0, np.nan]])
    log_p = torch.tensor(np.log(np.where(p > 0, p, 1.0))).masked_fill(
        torch.tensor(p == 0), float("-inf")
    )
    log_p.requires_grad_(True)
    found = score_regression(log_p, torch.tensor(scale), torch.tensor([1.0, 80.0]))
    wanted = (((2.6 - 1) / 2) ** 2 + ((50 - 80) / 100) ** 2) / 2
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    found.backward()
    assert torch.isfinite(log_p.grad).all()
    weights = torch.tensor([0.5, 1.0])
    found = score_regression(log_p, torch.tensor(scale), torch.tensor([1.25, 80.0]), weights)
    wanted = (0.5 * ((2.6 - 1.25) / 2) ** 2 + ((50 - 80) / 100) ** 2) / 2
    assert found.item() == pytest.approx(wanted, rel=1e-5)


def test_a_doubtful_preference_pulls_less():
    margin, first = torch.zeros(2, requires_grad=True), torch.zeros(2, dtype=torch.long)
    bradley_terry_with_ties(margin, first, 5.0, torch.tensor([1.0, 0.25])).backward()
    assert margin.grad[1].item() == pytest.approx(margin.grad[0].item() / 4)


def test_cross_entropy_teaches_answer_tokens_alone():
    logits = torch.zeros(1, 3, 4, requires_grad=True)
    answer_cross_entropy(logits, torch.tensor([[-100, 2, -100]])).backward()
    assert logits.grad[0, 0].abs().sum() == logits.grad[0, 2].abs().sum() == 0
    assert logits.grad[0, 1].argmin() == 2  # descent raises the answer's logit


def test_cross_entropy_of_no_answer_is_zero_and_harmless():
    logits = torch.randn(2, 3, 4, requires_grad=True)
    loss = answer_cross_entropy(logits, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_cross_entropy_computes_in_float32():
    logits = torch.randn(2, 9, 50).bfloat16()
    targets = torch.randint(0, 50, (2, 9))
    found = answer_cross_entropy(logits, targets)
    assert found.dtype == torch.float32
    assert found.item() == answer_cross_entropy(logits.float(), targets).item()


# --------------------------------------------------------------------------------- squared error


@pytest.mark.parametrize("shape", [(3, 4, 8, 6), (3, 4, 5, 8, 6), (3, 7)])
def test_squared_error_is_over_all_dimensions_but_the_batch(shape):
    """A published script leaves the last dimension of a clip's five, one sigmoid per column."""
    rng = np.random.default_rng(1)
    prediction, target = rng.normal(size=shape), rng.normal(size=shape)
    found = squared_error(torch.tensor(prediction), torch.tensor(target))
    assert found.shape == (3,)
    wanted = ((prediction - target) ** 2).reshape(3, -1).mean(axis=1)
    assert found.numpy() == pytest.approx(wanted, rel=1e-5)


def test_squared_error_refuses_to_broadcast():
    with pytest.raises(ValueError, match="shapes differ"):
        squared_error(torch.zeros(2, 4, 8, 8), torch.zeros(2, 1, 8, 8))


def test_preference_losses_refuse_errors_that_were_not_reduced():
    columns_left = torch.zeros(2, 8)
    with pytest.raises(ValueError, match="one number a pair"):
        diffusion_dpo(columns_left, columns_left, columns_left, columns_left, Objective(1.0))


# ------------------------------------------------------------------------------------ preference


@pytest.mark.parametrize("beta", [0.5, 2000.0])
def test_diffusion_dpo_is_equation_14(beta):
    chosen, rejected, ref_chosen, ref_rejected = np.abs(columns(16, 2, 1 / beta))
    inside = -beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    found = diffusion_dpo(*tensors((chosen, rejected, ref_chosen, ref_rejected)), Objective(beta))
    assert found.loss.item() == pytest.approx(softplus(-inside).mean(), rel=1e-5)
    assert found.accuracy.item() == pytest.approx((inside > 0).mean())
    assert found.margin.item() == pytest.approx(inside.mean(), rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_dpo_is_equation_7(smoothing):
    chosen, rejected, ref_chosen, ref_rejected = columns(16, 3, 20.0)
    inside = 0.1 * ((chosen - ref_chosen) - (rejected - ref_rejected))
    found = dpo(
        *tensors((chosen, rejected, ref_chosen, ref_rejected)), beta=0.1, label_smoothing=smoothing
    )
    wanted = (1 - smoothing) * softplus(-inside) + smoothing * softplus(inside)
    assert found.loss.item() == pytest.approx(wanted.mean(), rel=1e-5)
    assert found.accuracy.item() == pytest.approx((inside > 0).mean())
    assert found.margin.item() == pytest.approx(inside.mean(), rel=1e-4)


def test_diffusion_dpo_lowers_the_chosen_error_and_raises_the_rejected_one():
    rows = tensors(np.abs(columns(4, 4)))
    diffusion_dpo(*rows, Objective(1.5)).loss.backward()
    assert (rows[0].grad > 0).all()
    assert (rows[1].grad < 0).all()
    assert rows[2].grad is None
    assert rows[3].grad is None


def test_dpo_raises_the_chosen_log_probability_and_lowers_the_rejected_one():
    rows = tensors(columns(4, 5))
    dpo(*rows, beta=0.5).loss.backward()
    assert (rows[0].grad < 0).all()
    assert (rows[1].grad > 0).all()
    assert rows[2].grad is None
    assert rows[3].grad is None


def test_the_gradient_fades_where_the_pair_is_learnt():
    zero = torch.zeros(2)
    learnt = torch.tensor([0.0, 5.0], requires_grad=True)
    dpo(learnt, zero, zero, zero, beta=1.0).loss.backward()
    assert learnt.grad[0].item() == pytest.approx(-0.5 / 2)
    assert abs(learnt.grad[1]) < 0.02 * abs(learnt.grad[0])


def test_policy_and_reference_alike_start_at_log_2_and_half():
    same = torch.rand(8)
    for found in (
        diffusion_dpo(same, same * 2, same, same * 2, Objective(5000.0)),
        dpo(same, same * 2, same, same * 2, beta=0.1),
    ):
        assert found.loss.item() == pytest.approx(np.log(2))
        assert (found.accuracy.item(), found.margin.item()) == (0.5, 0.0)


def test_extreme_margins_stay_finite():
    huge = torch.tensor([1e4], requires_grad=True)
    zero = torch.zeros(1)
    found = diffusion_dpo(huge, zero, zero, zero, Objective(5000.0))
    found.loss.backward()
    assert found.loss.item() == pytest.approx(5e7)
    assert torch.isfinite(huge.grad).all()


# ------------------------------------------------------------------------- the rest of the family


def preference_loss_as_published(pi_w, pi_l, ref_w, ref_l, beta, variant, smoothing):
    """The loss of each pair as the papers print it, in numpy float64."""
    h = (pi_w - pi_l) - (ref_w - ref_l)
    if variant == "ipo":
        loss, flipped = (h - 1 / (2 * beta)) ** 2, (-h - 1 / (2 * beta)) ** 2
    else:
        loss, flipped = -np.log(1 / (1 + np.exp(-beta * h))), -np.log(1 / (1 + np.exp(beta * h)))
    return (1 - smoothing) * loss + smoothing * flipped


@pytest.mark.parametrize("variant", ["sigmoid", "ipo"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_every_variant_is_as_published_and_the_same_for_answers_and_errors(variant, smoothing):
    pi_w, pi_l, ref_w, ref_l = columns(16, 6, 3.0)
    wanted = preference_loss_as_published(pi_w, pi_l, ref_w, ref_l, 0.1, variant, smoothing).mean()
    if variant == "ipo":
        wanted *= 0.1**2  # ours is in units of the reward
    objective = Objective(0.1, variant, label_smoothing=smoothing)
    one = torch.ones(16)
    answers = answer_dpo(*tensors((pi_w, pi_l, ref_w, ref_l)), objective, one, one)
    errors = diffusion_dpo(*tensors((-pi_w, -pi_l, -ref_w, -ref_l)), objective)
    for found in (answers, errors):
        assert found.loss.item() == pytest.approx(wanted, abs=1e-6)


def test_ipo_is_content_at_half_a_unit_of_reward_and_pulls_back_beyond_it():
    zero = torch.zeros(3)
    gain = torch.tensor([0.0, 5.0, 9.0], requires_grad=True)  # beta 0.1: content at 5
    dpo(gain, zero, zero, zero, beta=0.1, variant="ipo").loss.backward()
    assert gain.grad[0] < 0
    assert gain.grad[1].item() == pytest.approx(0.0, abs=1e-7)
    assert gain.grad[2] > 0


def test_smoothed_labels_are_content_where_the_odds_are_those_of_the_label():
    """Minimum of -(1-e) log s(m) - e log s(-m): s(m) = 1 - e."""
    zero = torch.zeros(1)
    at_odds = torch.tensor([np.log(0.9 / 0.1)], requires_grad=True)
    dpo(at_odds, zero, zero, zero, beta=1.0, label_smoothing=0.1).loss.backward()
    assert at_odds.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_a_weight_scales_its_pair_alone():
    rows = columns(4, 7)
    weights = torch.tensor([1.0, 0.0, 0.5, 0.25])
    each = [dpo(*(torch.tensor([row[i]]) for row in rows)).loss.item() for i in range(4)]
    found = dpo(*(torch.tensor(row) for row in rows), weights=weights)
    assert found.loss.item() == pytest.approx(np.dot(weights.numpy(), each) / 4, rel=1e-6)
    whole = dpo(*(torch.tensor(row) for row in rows))
    assert (found.accuracy, found.margin) == (whole.accuracy, whole.margin)


def test_the_chosen_sides_own_error_is_added_outside_of_beta_and_by_the_pairs_weight():
    chosen, rejected, ref_chosen, ref_rejected = np.abs(columns(8, 8))
    rows = tensors((chosen, rejected, ref_chosen, ref_rejected))
    weights = torch.rand(8)
    plain = diffusion_dpo(*rows, Objective(3.0), weights).loss.item()
    found = diffusion_dpo(*rows, Objective(3.0, sft_weight=0.7), weights).loss.item()
    own = weights.numpy() * chosen
    assert found - plain == pytest.approx(0.7 * own.mean(), rel=1e-5)
    lengths = (torch.full((8,), 4.0), torch.full((8,), 2.0))
    plain = dpo(*rows, lengths=lengths).loss.item()
    found = dpo(*rows, lengths=lengths, sft_weight=0.7).loss.item()
    assert found - plain == pytest.approx(-0.7 * chosen.mean() / 4, rel=1e-5)


def test_length_normalised_answers_gain_the_same_a_token():
    zero = torch.zeros(1)
    gain = torch.tensor([-1.0])
    lengths = (torch.tensor([5.0]), torch.tensor([2.0]))
    found = dpo(5 * gain, 2 * gain, zero, zero, lengths=lengths, is_length_normalised=True)
    assert found.margin.item() == 0.0
    found = dpo(5 * gain, 4 * gain, zero, zero, lengths=lengths, is_length_normalised=True, beta=2)
    assert found.margin.item() == pytest.approx(2 * (-1 + 2))


def test_token_log_probabilities_are_exact_in_half_precision_logits_too():
    logits = torch.randn(2, 5, 300).bfloat16()
    targets = torch.randint(0, 300, (2, 5))
    targets[0, :2] = -100
    found = answer_token_log_probabilities(logits, targets)
    wanted = logits.double().log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    wanted[targets == -100] = 0.0
    assert found.dtype == torch.float32
    assert found.numpy() == pytest.approx(wanted.numpy(), abs=1e-5)


def test_the_kl_estimate_averages_to_the_kl():
    """Expectation over the reference's tokens, summed exactly: one token, then two alike."""
    rng = np.random.default_rng(9)
    ref, policy = (np.log(p / p.sum()) for p in rng.random((2, 6)))
    kl = float((np.exp(ref) * (ref - policy)).sum())
    terms = [
        kl_of_answers(torch.tensor([p]), torch.tensor([r]), 1).item()
        for p, r in zip(policy, ref, strict=True)
    ]
    assert np.dot(np.exp(ref), terms) == pytest.approx(kl, rel=1e-5)
    assert min(terms) >= 0
    assert kl_of_answers(torch.tensor(ref), torch.tensor(ref), 1).item() == 0.0


@pytest.mark.parametrize("shape", [(3, 4, 2, 8, 6), (3, 4, 8, 6)])
def test_a_clip_has_one_preference_and_not_one_a_column(shape):
    """A published script's mean leaves the width: its sigmoid is taken column by column."""
    rng = np.random.default_rng(10)
    chosen, rejected, ref_chosen, ref_rejected = rng.normal(size=(4, *shape))
    target = np.zeros(shape)
    errors = [
        squared_error(torch.tensor(one), torch.tensor(target))
        for one in (chosen, rejected, ref_chosen, ref_rejected)
    ]
    found = diffusion_dpo(*errors, Objective(5.0)).loss.item()
    axes = tuple(range(1, len(shape)))
    gap = [(one**2).mean(axis=axes) for one in (chosen, rejected, ref_chosen, ref_rejected)]
    inside = -5.0 * ((gap[0] - gap[2]) - (gap[1] - gap[3]))
    assert found == pytest.approx(softplus(-inside).mean(), rel=1e-5)
    by_column = [
        (one**2).mean(axis=axes[:-1]) for one in (chosen, rejected, ref_chosen, ref_rejected)
    ]
    defect = softplus(5.0 * ((by_column[0] - by_column[2]) - (by_column[1] - by_column[3]))).mean()
    assert abs(defect - found) > 1e-3


def test_a_soft_verdict_is_the_hard_one_where_the_teacher_is_sure() -> None:
    margin = torch.tensor([0.3, -1.0, 0.2])
    sure = F.one_hot(torch.tensor([0, 1, 2]), 3).float()
    soft = soft_bradley_terry_with_ties(margin, sure, 5.0)
    assert soft.item() == pytest.approx(
        bradley_terry_with_ties(margin, torch.tensor([0, 1, 2]), 5.0).item()
    )


def test_a_soft_verdict_costs_nothing_where_student_and_teacher_agree() -> None:
    margin, k = torch.tensor([0.7], requires_grad=True), 2.0
    first = torch.sigmoid(margin - math.log(k))
    second = torch.sigmoid(-margin - math.log(k))
    p = torch.stack([first, second, 1 - first - second], dim=-1).detach()
    loss = soft_bradley_terry_with_ties(margin, p, k)
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert margin.grad is not None
    assert margin.grad.item() == pytest.approx(0.0, abs=1e-6)
    away = soft_bradley_terry_with_ties(torch.tensor([2.0]), p, k)
    assert away.item() > 0.1
    with pytest.raises(ValueError, match="above 1"):
        soft_bradley_terry_with_ties(margin, p, 1.0)
