import math

import numpy as np
import pytest
from scipy import stats

from factory.statistics import intervals
from factory.statistics.intervals import (
    Interval,
    Jackknife,
    bootstrap_of_sums,
    clustered_bootstrap,
    jackknife_of_sums,
    mean_of_sums,
    ratio,
)


def clustered_data(rng, num_clusters, cluster_size=8, cluster_sd=1.0, row_sd=1.0):
    means = cluster_sd * rng.standard_normal(num_clusters)
    rows = means[:, None] + row_sd * rng.standard_normal((num_clusters, cluster_size))
    clusters = [f"p{index}" for index in range(num_clusters) for _ in range(cluster_size)]
    return rows.ravel(), clusters


def test_the_value_is_the_mean_of_the_rows():
    found = clustered_bootstrap([1.0, 2.0, 6.0], ["a", "a", "b"], seed=1)
    assert found.value == pytest.approx(3.0)
    # Resamples of two clusters have the mean of a, of b, or of all.
    assert (found.low, found.high) == (1.5, 6.0)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    is_covered, is_covered_by_rows = [], []
    for run in range(300):
        values, clusters = clustered_data(rng, num_clusters=40)
        found = clustered_bootstrap(values, clusters, num_resamples=300, seed=run)
        is_covered.append(found.low <= 0 <= found.high)
        if run % 5 == 0:
            rows = clustered_bootstrap(values, [str(i) for i in range(len(values))], 300, seed=run)
            is_covered_by_rows.append(rows.low <= 0 <= rows.high)
    assert 0.90 <= np.mean(is_covered) <= 0.98
    # What the clustering is for: rows alone would be far too sure.
    assert np.mean(is_covered_by_rows) < 0.75


def test_the_width_is_that_of_the_normal_theory():
    values, clusters = clustered_data(np.random.default_rng(1), num_clusters=400)
    found = clustered_bootstrap(values, clusters, num_resamples=2000)
    sd = np.std(np.asarray(values).reshape(400, -1).mean(axis=1)) / math.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sd, rel=0.08)


def test_unequal_clusters_are_weighted_by_their_rows():
    values, clusters = [1.0] * 9 + [0.0], ["a"] * 9 + ["b"]
    found = clustered_bootstrap(values, clusters)
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_interval_whatever_the_order_of_rows():
    values, clusters = clustered_data(np.random.default_rng(2), num_clusters=30)
    found = clustered_bootstrap(values, clusters, seed=5)
    shuffled = np.random.default_rng(3).permutation(len(values))
    again = clustered_bootstrap(values[shuffled], [clusters[i] for i in shuffled], seed=5)
    assert (again.low, again.high) == pytest.approx((found.low, found.high))
    assert clustered_bootstrap(values, clusters, seed=6) != found


def test_unknown_values_are_left_out():
    found = clustered_bootstrap([1.0, math.nan, 3.0, math.nan], ["a", "a", "b", "c"])
    assert found == clustered_bootstrap([1.0, 3.0], ["a", "b"])


@pytest.mark.parametrize(
    ("values", "clusters", "value"),
    [([], [], math.nan), ([math.nan], ["a"], math.nan), ([1.0, 2.0], ["a", "a"], 1.5)],
)
def test_without_two_clusters_there_is_no_interval(values, clusters, value):
    found = clustered_bootstrap(values, clusters)
    assert found.value == pytest.approx(value, nan_ok=True)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert not found.excludes(-9.0)


def test_rows_and_clusters_must_match():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        clustered_bootstrap([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="2 rows but 1 clusters"):
        bootstrap_of_sums(np.ones((2, 1)), ["a"], lambda sums: sums[:, 0])


def test_a_statistic_that_no_resample_has_leaves_its_value_alone():
    terms, clusters = np.eye(20), [str(at) for at in range(20)]

    def only_of_all(sums):
        return np.where((sums == 1).all(axis=1), 7.0, np.nan)

    found = bootstrap_of_sums(terms, clusters, only_of_all, num_resamples=50)
    assert found.value == 7.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_any_function_of_sums_agrees_with_a_loop():
    rng = np.random.default_rng(4)
    x = rng.standard_normal(120)
    y = 0.7 * x + rng.standard_normal(120)
    clusters = [f"p{i % 30}" for i in range(120)]
    terms = np.stack([x * y, x * x], axis=1)
    found = bootstrap_of_sums(terms, clusters, lambda s: ratio(s[:, 0], s[:, 1]), 3000)
    assert found.value == pytest.approx((x @ y) / (x @ x))
    rows = [np.flatnonzero(np.arange(120) % 30 == c) for c in range(30)]
    slopes = []
    for _ in range(3000):
        drawn = np.concatenate([rows[c] for c in rng.integers(0, 30, 30)])
        slopes.append((x[drawn] @ y[drawn]) / (x[drawn] @ x[drawn]))
    assert (found.low, found.high) == pytest.approx(np.percentile(slopes, [2.5, 97.5]), abs=0.03)


def test_many_prompts_are_drawn_in_several_chunks():
    values, clusters = clustered_data(np.random.default_rng(5), num_clusters=5000, cluster_size=2)
    found = clustered_bootstrap(values, clusters, num_resamples=1000)  # 5 million weights
    sd = np.std(values.reshape(5000, -1).mean(axis=1)) / math.sqrt(5000)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sd, rel=0.1)


@pytest.mark.parametrize("chunk", [1, 100, 1000])
def test_an_interval_is_the_same_in_any_number_of_chunks(monkeypatch, chunk):
    values, clusters = clustered_data(np.random.default_rng(8), num_clusters=30)
    whole = clustered_bootstrap(values, clusters, num_resamples=70)
    monkeypatch.setattr(intervals, "_CHUNK", chunk)
    assert clustered_bootstrap(values, clusters, num_resamples=70) == whole


def test_excludes():
    assert Interval(0.6, 0.55, 0.65).excludes(0.5)
    assert Interval(0.4, 0.35, 0.45).excludes(0.5)
    assert not Interval(0.6, 0.45, 0.75).excludes(0.5)
    assert not Interval(0.6, 0.5, 0.75).excludes(0.5)  # its bounds are in it
    assert not Interval(0.4, 0.25, 0.5).excludes(0.5)


# ------------------------------------------------------------------------------------- jackknife


def means_of(values, clusters):
    terms = np.stack([np.asarray(values, dtype=float), np.ones(len(values))], axis=1)
    return jackknife_of_sums(terms, clusters, mean_of_sums)


def test_the_jackknife_of_a_mean_is_students_test():
    values = np.random.default_rng(6).normal(0.3, 1.0, 12)
    found = means_of(values, [f"p{at}" for at in range(12)])
    assert found.value == pytest.approx(values.mean())
    assert found.se == pytest.approx(values.std(ddof=1) / math.sqrt(12))
    for limit in (-0.2, 0.0, 0.4):
        above = stats.ttest_1samp(values, limit, alternative="greater").pvalue
        assert found.p_above(limit) == pytest.approx(above)
        assert found.p_below(limit) == pytest.approx(1 - above)
    assert found.p_beyond() == pytest.approx(stats.ttest_1samp(values, 0.0).pvalue)


def test_rows_of_one_prompt_are_left_out_together():
    values = np.random.default_rng(7).normal(0.0, 1.0, 10)
    clusters = [f"p{at}" for at in range(10)]
    once = means_of(values, clusters)
    thrice = means_of(np.repeat(values, 3), np.repeat(clusters, 3))
    assert thrice.num_clusters == once.num_clusters == 10
    assert (thrice.value, thrice.se) == pytest.approx((once.value, once.se))


def test_within_a_margin_of_zero_nothing_is_shown():
    for value in (0.3, -0.3):
        found = Jackknife(value, 0.1, 11)
        tails = stats.t.sf([(0.3 - 0.2) / 0.1, (0.3 + 0.2) / 0.1], 10).sum()
        assert found.p_beyond(0.2) == pytest.approx(tails)
        assert found.p_beyond(0.2) > found.p_beyond(0.0)
    assert Jackknife(0.0, 0.1, 11).p_beyond(0.2) == 1.0


def test_an_estimate_without_any_error_is_certain():
    found = Jackknife(0.3, 0.0, 5)
    assert (found.p_above(0.2), found.p_above(0.3), found.p_above(0.4)) == (0.0, 0.5, 1.0)
    assert (found.p_below(0.2), found.p_below(0.3), found.p_below(0.4)) == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(
    ("values", "clusters", "value", "num_clusters"),
    [([], [], math.nan, 0), ([1.0, 3.0], ["a", "a"], 2.0, 1)],
)
def test_fewer_than_two_prompts_have_no_error_and_no_test(values, clusters, value, num_clusters):
    found = means_of(values, clusters)
    assert found.value == pytest.approx(value, nan_ok=True)
    assert found.num_clusters == num_clusters
    assert all(map(math.isnan, (found.se, found.p_above(0.0), found.p_below(0.0))))


def test_two_prompts_have_an_error():
    found = means_of([1.0, 3.0], ["a", "b"])
    assert (found.value, found.se, found.num_clusters) == (2.0, pytest.approx(1.0), 2)


def test_an_estimate_that_hangs_on_one_prompt_has_no_error():
    terms = np.array([[2.0, 1.0], [0.0, 0.0]])  # without the first, nothing is left
    found = jackknife_of_sums(terms, ["a", "b"], mean_of_sums)
    assert (found.value, found.num_clusters) == (2.0, 2)
    assert math.isnan(found.se)
