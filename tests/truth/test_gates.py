"""The parts about gates, small: each would fail by the former rules."""

from tests.truth import failures, rounds, slices


def test_a_challenger_that_fails_instead_of_erring_is_not_promoted():
    found = failures.figures(30, 1)
    assert found["failing_challenger_promoted"] <= 0.03
    assert found["failing_challenger_promoted_when_unseen"] > 0.7


def test_slices_that_differ_in_difficulty_alone_block_nothing():
    found = slices.figures(10, 1)
    assert found["blocked_without_difference"] == 0
    assert found["blocked_by_selection_ratio"] > 0.9


def test_ten_rounds_without_a_gain_promote_no_more_than_one_round_may():
    found = rounds.figures(60, 1)
    assert found["false_promotions_ten_null_rounds"] <= 0.1  # 6 of 60; 0.05 is meant
    assert found["false_promotions_ten_null_rounds_before"] > 0.12
    assert found["true_gain_promoted"] > 0.55
