"""Weights of pairs against the normal distribution of the standard library."""

import math
from statistics import NormalDist

import pytest

from factory.alignment.weighting import Weighting


def test_confidence_is_twice_the_chance_of_being_right_less_one():
    for margin, sd in ((0.3, 1.0), (2.0, 0.5), (0.01, 0.4)):
        p = 1 - NormalDist(margin, sd).cdf(0.0)
        assert Weighting("confidence")(margin, sd) == pytest.approx(2 * p - 1)
    assert Weighting("confidence")(0.3, 0.0) == 1.0


def test_margin_grows_in_proportion_and_is_capped():
    weigh = Weighting("margin", full_margin=2.0)
    assert [weigh(margin, 9.0) for margin in (0.5, 1.0, 2.0, 5.0)] == [0.25, 0.5, 1.0, 1.0]


def test_a_pair_without_a_margin_counts_nothing_or_is_refused():
    for by in ("confidence", "margin"):
        assert Weighting(by)(0.0, 1.0) == Weighting(by)(-1.0, 1.0) == 0.0
        with pytest.raises(ValueError, match="cannot weigh"):
            Weighting(by)(math.nan, 1.0)
    assert Weighting()(math.nan, math.nan) == 1.0
