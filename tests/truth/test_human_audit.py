"""The part `human_audit` of the truth benchmark, small."""

from tests.truth.human_audit import figures


def test_doubt_that_says_much_halves_the_interval_and_doubt_that_says_nothing_costs_nothing():
    found = figures(40, seed=1)
    for name, widest in {"low": 1.02, "moderate": 0.87, "high": 0.6}.items():
        assert found[f"coverage_{name}"] >= 0.85  # of 40
        assert found[f"width_ratio_{name}"] <= widest
