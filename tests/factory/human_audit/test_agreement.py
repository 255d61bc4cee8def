"""Kappa and alpha against cases worked by hand."""

import itertools
import math

import numpy as np
import pytest

from factory.human_audit.agreement import cohens_kappa, krippendorffs_alpha

F, S, T = "first", "second", "tie"


def told(counts):
    """Two raters' answers from a table of counts by (one, other)."""
    one = [left for (left, _), num in counts.items() for _ in range(num)]
    other = [right for (_, right), num in counts.items() for _ in range(num)]
    return one, other, [str(index) for index in range(len(one))]


def test_cohens_kappa_by_hand():
    # 20 + 15 agree of 50: observed 0.7. One says first 25, the other 30: expected
    # (25 * 30 + 25 * 20) / 2500 = 0.5. So (0.7 - 0.5) / 0.5 = 0.4.
    found = cohens_kappa(*told({(F, F): 20, (F, S): 5, (S, F): 10, (S, S): 15}))
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.4 < found.high


def test_cohens_kappa_with_ties_by_hand():
    # Observed 6 of 10. Margins one: 5, 3, 2; other: 4, 4, 2: expected (20 + 12 + 4) / 100 = 0.36.
    counts = {(F, F): 3, (F, S): 2, (S, S): 2, (S, T): 1, (T, T): 1, (T, F): 1}
    assert cohens_kappa(*told(counts)).value == pytest.approx((0.6 - 0.36) / 0.64)


def test_kappa_of_weighted_answers_is_that_of_what_they_stand_for():
    counts = {(F, F): 20, (F, S): 5, (S, F): 10, (S, S): 15}
    one, other, clusters = told(dict.fromkeys(counts, 1))
    weighted = cohens_kappa(one, other, clusters, weights=list(counts.values()))
    assert weighted.value == pytest.approx(0.4)


def test_kappa_of_perfect_agreement_chance_and_none():
    assert cohens_kappa(*told({(F, F): 5, (S, S): 5})).value == 1.0
    assert cohens_kappa(*told({(F, F): 4, (F, S): 4, (S, F): 4, (S, S): 4})).value == 0.0
    assert cohens_kappa(*told({(F, S): 5, (S, F): 5})).value == -1.0
    assert math.isnan(cohens_kappa(*told({(F, F): 5})).value)
    assert math.isnan(cohens_kappa([], [], []).value)


def plain_alpha(units):
    """The definition: disagreement of pairs within units over that of pairs from anywhere."""
    units = [unit for unit in units if len(unit) > 1]
    within = sum(
        sum(left != right for left, right in itertools.permutations(unit, 2)) / (len(unit) - 1)
        for unit in units
    )
    pooled = [answer for unit in units for answer in unit]
    num = len(pooled)
    anywhere = sum(left != right for left, right in itertools.permutations(pooled, 2))
    return 1 - (within / num) / (anywhere / (num * (num - 1)))


def test_krippendorffs_alpha_by_hand():
    # Two raters, ten units, as in Krippendorff 2011 (binary data): o_01 = 4 of 20 values, with
    # 14 zeros and 6 ones: 1 - 19 * 4 / (14 * 6) = 0.095.
    one = [0, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    other = [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]
    units = [((F, S)[left], (F, S)[right]) for left, right in zip(one, other, strict=True)]
    found = krippendorffs_alpha(units, [str(index) for index in range(10)])
    assert found.value == pytest.approx(1 - 19 * 4 / (14 * 6))
    assert found.value == pytest.approx(0.095, abs=5e-4)


@pytest.mark.parametrize("seed", range(4))
def test_alpha_with_missing_answers_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    units = [rng.choice([F, F, S, T], rng.integers(0, 5)).tolist() for _ in range(40)]
    found = krippendorffs_alpha(units, [str(index // 2) for index in range(40)])
    assert found.value == pytest.approx(plain_alpha(units))
    assert found.low <= found.value <= found.high


def test_alpha_needs_two_answers_about_a_pair():
    assert math.isnan(krippendorffs_alpha([[F], [S], []], ["a", "b", "c"]).value)
    assert krippendorffs_alpha([[F, F], [S, S, S]], ["a", "b"]).value == 1.0


def test_alpha_of_weighted_pairs_is_that_of_what_they_stand_for():
    units = [[F, F], [F, S], [S, S], [T, S, S]]
    times = [50, 10, 30, 20]
    clusters = [str(index) for index in range(4)]
    weighted = krippendorffs_alpha(units, clusters, weights=times)
    repeated = [unit for unit, num in zip(units, times, strict=True) for _ in range(num)]
    # The whole set's alpha, but for n - 1 in place of n, which is that of the nine answers given.
    whole = plain_alpha(repeated)
    num = sum(len(unit) for unit in repeated)
    assert 1 - weighted.value == pytest.approx((1 - whole) * num / (num - 1) * 8 / 9)
    assert krippendorffs_alpha(units, clusters).value == pytest.approx(plain_alpha(units))
