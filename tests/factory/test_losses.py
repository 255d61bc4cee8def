"""Losses against closed forms in numpy float64, and the direction of their gradients."""

import numpy as np
import pytest
import torch

from factory.losses import (
    answer_cross_entropy,
    answer_log_probability,
    diffusion_dpo,
    dpo,
    order_consistency,
    squared_error,
)


def softplus(x):
    return np.logaddexp(0.0, x)


def columns(num, seed, scale=1.0):
    return np.random.default_rng(seed).normal(size=(4, num)) * scale


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
        diffusion_dpo(columns_left, columns_left, columns_left, columns_left, 1.0)


# ------------------------------------------------------------------------------------ preference


@pytest.mark.parametrize("beta", [0.5, 2000.0])
def test_diffusion_dpo_is_equation_14(beta):
    chosen, rejected, ref_chosen, ref_rejected = np.abs(columns(16, 2, 1 / beta))
    inside = -beta * ((chosen - ref_chosen) - (rejected - ref_rejected))
    found = diffusion_dpo(*tensors((chosen, rejected, ref_chosen, ref_rejected)), beta)
    assert found.loss.item() == pytest.approx(softplus(-inside).mean(), rel=1e-5)
    assert found.accuracy.item() == pytest.approx((inside > 0).mean())
    assert found.margin.item() == pytest.approx(inside.mean(), rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_dpo_is_equation_7(smoothing):
    chosen, rejected, ref_chosen, ref_rejected = columns(16, 3, 20.0)
    inside = 0.1 * ((chosen - ref_chosen) - (rejected - ref_rejected))
    found = dpo(*tensors((chosen, rejected, ref_chosen, ref_rejected)), 0.1, smoothing)
    wanted = (1 - smoothing) * softplus(-inside) + smoothing * softplus(inside)
    assert found.loss.item() == pytest.approx(wanted.mean(), rel=1e-5)
    assert found.accuracy.item() == pytest.approx((inside > 0).mean())
    assert found.margin.item() == pytest.approx(inside.mean(), rel=1e-4)


def test_diffusion_dpo_lowers_the_chosen_error_and_raises_the_rejected_one():
    rows = tensors(np.abs(columns(4, 4)))
    diffusion_dpo(*rows, beta=1.5).loss.backward()
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
        diffusion_dpo(same, same * 2, same, same * 2, beta=5000.0),
        dpo(same, same * 2, same, same * 2, beta=0.1),
    ):
        assert found.loss.item() == pytest.approx(np.log(2))
        assert (found.accuracy.item(), found.margin.item()) == (0.5, 0.0)


def test_extreme_margins_stay_finite():
    huge = torch.tensor([1e4], requires_grad=True)
    zero = torch.zeros(1)
    found = diffusion_dpo(huge, zero, zero, zero, beta=5000.0)
    found.loss.backward()
    assert found.loss.item() == pytest.approx(5e7)
    assert torch.isfinite(huge.grad).all()
