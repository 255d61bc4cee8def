"""What a loop's rounds spend of its chance of a false promotion."""

import pytest

from factory.evaluation.spending import Spent, level_of, power, told


def levels(num, planned, is_returned=False, spent=()):
    spent = list(spent)
    for number in range(len(spent) + 1, num + 1):
        spent.append(Spent(level_of(number, planned, spent, 0.05), is_returned))
    return spent


def test_a_loop_of_one_round_is_tested_as_ever_and_a_longer_one_shares():
    assert level_of(1, 1, [], 0.05) == pytest.approx(0.025)
    assert [one.level for one in levels(10, 10)] == pytest.approx([0.05 / 11] * 10)


def test_a_loop_that_goes_on_longer_than_planned_spends_no_more():
    spent = levels(40, 50, spent=levels(20, 10))
    assert sum(one.level for one in spent) < 0.05
    assert spent[-1].level > 0
    assert level_of(3, 10, [Spent(0.05, False)], 0.05) == 0.0


def test_what_promoted_is_not_spent():
    assert levels(10, 10, is_returned=True)[-1].level == pytest.approx(0.025)


def test_the_plan_tells_power_and_what_it_would_take():
    assert power(240, 0.025) == pytest.approx(0.887, abs=0.01)
    assert power(240, 0.0) == 0.0
    assert "is promoted in 89% of such evaluations, and in 88% with 236" in told(
        240, 0.025, 1, 0.05
    )
    assert told(240, 0.0, 3, 0.05).startswith("nothing can be promoted")
