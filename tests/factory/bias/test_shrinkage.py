"""Slopes are drawn to zero by as much as their errors say, and no further."""

import math

import numpy as np
import pytest

from factory.bias.shrinkage import shrunk


def test_the_expectation_is_that_of_the_prior_that_made_the_slopes():
    """Of slopes drawn with tau 0.3 and errors 0.2, 0.09 / (0.09 + 0.04) of each is left."""
    rng = np.random.default_rng(0)
    slopes = rng.normal(0, math.hypot(0.3, 0.2), 4000)
    found = shrunk(slopes.tolist(), [0.2] * 4000)
    assert found[0].value / slopes[0] == pytest.approx(0.09 / 0.13, abs=0.02)
    sd = (found[0].high - found[0].low) / 2 / 1.96
    assert sd == pytest.approx(0.3 * 0.2 / math.sqrt(0.13), rel=0.02)


def test_what_was_picked_for_its_size_no_longer_exaggerates():
    rng = np.random.default_rng(1)
    left, told = [], []
    for _ in range(400):
        truth = rng.normal(0, 0.2, 6)
        seen = truth + rng.normal(0, 0.15, 6)
        at = int(np.argmax(seen))
        told.append(seen[at] - truth[at])
        left.append(shrunk(seen.tolist(), [0.15] * 6)[at].value - truth[at])
    assert np.mean(told) > 0.08
    assert abs(np.mean(left)) < 0.03


def test_many_zeros_are_no_reason_to_doubt_one_slope():
    found = shrunk([0.5, 0.05, -0.08, 0.1, -0.02], [0.1] * 5)
    assert found[0].value > 0.45
    assert all(abs(one.value) < 0.05 for one in found[1:])


def test_a_slope_that_is_known_well_stays_as_it_is():
    (alone,) = shrunk([0.5], [0.02])
    assert alone.value == pytest.approx(0.5, rel=0.01)
    assert [abs(one.value) < 0.01 for one in shrunk([0.01, -0.02], [0.2, 0.2])] == [True, True]
    assert shrunk([0.5, math.nan, 0.5], [math.nan, 0.1, 0.1])[:2] == [None, None]
    assert shrunk([0.0], [0.0])[0].value == 0.0
    assert shrunk([0.3], [0.0])[0].value == pytest.approx(0.3)
    assert shrunk([], []) == []
