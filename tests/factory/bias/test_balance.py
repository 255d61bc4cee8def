import itertools

import numpy as np
import pytest
from scipy.optimize import minimize

from factory.bias.balance import to_reject, to_weigh


def fewest(column, limit):
    """By trying every subset, the fewest pairs to reject."""
    for num in range(len(column) + 1):
        for gone in itertools.combinations(range(len(column)), num):
            kept = np.delete(column, gone)
            if not len(kept) or abs(kept.mean()) <= limit + 1e-12:
                return num
    raise AssertionError


@pytest.mark.parametrize("seed", range(12))
def test_one_attribute_costs_the_fewest_pairs(seed):
    rng = np.random.default_rng(seed)
    column = rng.normal(0.4 * (-1) ** seed, 0.5, 11)
    gone = to_reject(column[:, None], 0.2)
    assert gone.sum() == fewest(column, 0.2)
    assert abs(column[~gone].mean()) <= 0.2


def test_every_attribute_ends_within_the_limit():
    rng = np.random.default_rng(0)
    leads = rng.normal([0.5, -0.3, 0.0], 1.0, (500, 3))
    gone = to_reject(leads, 0.1)
    assert np.abs(leads[~gone].mean(axis=0)).max() <= 0.1
    assert gone.mean() < 0.4


def test_a_balanced_set_loses_nothing():
    leads = np.array([[1.0], [-1.0], [np.nan]])
    assert not to_reject(leads, 0.0).any()
    assert not to_reject(np.zeros((0, 2)), 0.1).any()
    assert not to_reject(np.zeros((3, 0)), 0.1).any()


def weighted_means(leads, weights):
    return weights @ leads / weights.sum()


@pytest.mark.parametrize("seed", range(4))
def test_the_weights_are_the_nearest_to_one(seed):
    rng = np.random.default_rng(seed)
    leads = rng.normal([0.6, -0.2], 1.0, (25, 2))
    weights = to_weigh(leads, 0.1)
    assert ((weights >= 0) & (weights <= 1)).all()
    assert np.abs(weighted_means(leads, weights)).max() <= 0.1 + 1e-6
    # The same problem as a general solver finds it.
    limits = [
        {"type": "ineq", "fun": lambda w, k=k, s=s: 0.1 * w.sum() - s * (w @ leads[:, k])}
        for k in (0, 1)
        for s in (1, -1)
    ]
    other = minimize(
        lambda w: ((1 - w) ** 2).sum(), np.full(25, 0.5), bounds=[(0, 1)] * 25, constraints=limits
    )
    assert weights == pytest.approx(other.x, abs=1e-3)


def test_weighing_keeps_more_than_rejecting():
    rng = np.random.default_rng(0)
    leads = rng.normal([0.5, -0.3, 0.0], 1.0, (20_000, 3))
    weights = to_weigh(leads, 0.1)
    assert np.abs(weighted_means(leads, weights)).max() <= 0.1 + 1e-6
    effective = weights.sum() ** 2 / (weights**2).sum()
    assert effective > 1.05 * (~to_reject(leads, 0.1)).sum()


def test_a_balanced_set_keeps_its_weights():
    leads = np.array([[1.0], [-1.0], [np.nan]])
    assert to_weigh(leads, 0.0).tolist() == [1, 1, 1]
    assert to_weigh(np.zeros((3, 0)), 0.1).tolist() == [1, 1, 1]
    assert len(to_weigh(np.zeros((0, 2)), 0.1)) == 0
    assert to_weigh(np.ones((4, 1)), 0.1) == pytest.approx(np.zeros(4), abs=1e-6)
