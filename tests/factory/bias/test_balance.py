import itertools

import numpy as np
import pytest

from factory.bias.balance import to_reject


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
