"""The audit sample: exact probabilities, the same sample whatever the order, an honest estimate."""

import math

import numpy as np
import pytest

from factory.human_audit import sampling
from factory.human_audit.estimate import weighted_share, wilson
from factory.human_audit.sampling import doubts, draw, inclusion

RNG = np.random.default_rng(0)
NUM = 500
IDS = RNG.integers(0, 2**64, NUM, dtype=np.uint64)
SLICES = RNG.choice([0, 0, 0, 0, 1, 2], NUM)
DOUBT = RNG.uniform(0, 0.5, NUM)


def test_doubt_is_that_of_the_least_sure_statement():
    nan = math.nan
    found = doubts(
        np.array([1.0, 1.0, 1.0, nan, nan, 1.0, 1.0]),  # margin
        np.array([1.0, 1.0, 1.0, nan, nan, 1.0, 1.0]),  # margin_sd
        np.array([nan, 0.7, 0.9, 0.9, nan, 0.9, 0.9]),  # p_chosen
        np.array([1.0, 1.0, 1.0, nan, nan, -0.1, 1.0]),  # score_margin
        np.array([False, False, False, False, False, False, True]),  # is_flipped
    )
    assert found == pytest.approx([0.1587, 0.3, 0.1587, 0.1, 0.5, 0.5, 0.5], abs=1e-4)


def test_what_a_correction_turned_is_in_doubt():
    one, nan = np.ones(3), np.full(3, math.nan)
    found = doubts(one, one / 2, nan, one, np.zeros(3, bool), np.array([-0.4, 0.4, math.nan]))
    assert found == pytest.approx([0.5, 0.0228, 0.0228], abs=1e-4)


@pytest.mark.parametrize("size", [1, 60, 300, 499])
def test_probabilities_sum_to_the_size_and_have_a_floor(size):
    p = inclusion(DOUBT, SLICES, size, even_share=0.4)
    assert p.sum() == pytest.approx(size)
    assert (p > 0).all()
    assert (p <= 1).all()
    for code in range(3):
        mine = code == SLICES
        # Within a slice nobody is below the even share of an even draw.
        assert p[mine].min() >= 0.4 * p[mine].sum() / mine.sum() - 1e-9
        if size == 60:
            doubtful, sure = DOUBT[mine] > 0.4, DOUBT[mine] < 0.1
            assert p[mine][doubtful].mean() > p[mine][sure].mean()


def test_a_slice_gets_its_part_by_the_square_root_of_its_size():
    p = inclusion(DOUBT, SLICES, 60, even_share=0.5)
    numbers = np.bincount(SLICES)
    parts = np.array([p[code == SLICES].sum() for code in range(3)])
    assert parts == pytest.approx(60 * np.sqrt(numbers) / np.sqrt(numbers).sum())


@pytest.mark.parametrize("even_share", [0.25, 1.0])
def test_within_a_slice_the_draw_follows_the_spread_of_a_doubtful_answer(even_share):
    doubt = np.array([0.5, 0.2, 0.2, 0.1])
    spread = np.array([0.5, 0.4, 0.4, 0.3])  # sqrt(doubt * (1 - doubt))
    p = inclusion(doubt, np.zeros(4, dtype=np.int64), 2, even_share)
    assert p == pytest.approx(2 * (even_share / 4 + (1 - even_share) * spread / spread.sum()))


def test_a_slice_without_any_doubt_is_drawn_evenly():
    p = inclusion(np.zeros(4), np.array([0, 0, 0, 1]), 2, even_share=0.5)
    parts = 2 * np.sqrt([3, 1]) / np.sqrt([3, 1]).sum()
    assert p == pytest.approx([parts[0] / 3] * 3 + [parts[1]])


def test_a_sample_as_large_as_the_set_is_the_set():
    p = inclusion(DOUBT, SLICES, NUM, even_share=0.5)
    assert (p == 1).all()
    assert draw(IDS, SLICES, p, seed=3).tolist() == list(range(NUM))
    assert draw(IDS[:0], SLICES[:0], p[:0], seed=3).tolist() == []
    for share in (0.0, -0.1, 1.01):
        with pytest.raises(ValueError, match="even_share"):
            inclusion(DOUBT, SLICES, 10, even_share=share)


def test_pairs_that_are_drawn_for_certain_leave_the_rest_to_the_others():
    doubt = np.full(100, 1e-9)
    doubt[:3] = 0.5
    p = inclusion(doubt, np.zeros(100, dtype=np.int64), 50, even_share=0.1)
    assert (p[:3] == 1).all()
    assert p.sum() == pytest.approx(50)


def test_the_order_of_the_rows_changes_nothing():
    p = inclusion(DOUBT, SLICES, 60, even_share=0.5)
    drawn = set(IDS[draw(IDS, SLICES, p, seed=1)])
    order = RNG.permutation(NUM)
    shuffled = IDS[order]
    p_shuffled = inclusion(DOUBT[order], SLICES[order], 60, even_share=0.5)
    assert set(shuffled[draw(shuffled, SLICES[order], p_shuffled, seed=1)]) == drawn
    assert set(IDS[draw(IDS, SLICES, p, seed=2)]) != drawn


def test_each_pair_is_drawn_as_often_as_it_is_said():
    p = inclusion(DOUBT, SLICES, 60, even_share=0.5)
    num_draws = 4000
    counts = np.zeros(NUM)
    for seed in range(num_draws):
        drawn = draw(IDS, SLICES, p, seed)
        assert len(drawn) == 60
        counts[drawn] += 1
    off = (counts / num_draws - p) / np.sqrt(p * (1 - p) / num_draws)
    assert np.abs(off).max() < 4.5  # of 500 standard normal deviations
    assert (off**2).mean() == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("size", [40, 400])
def test_portions_change_nothing(monkeypatch, size):
    """Against the draw in one go, as Madow wrote it."""
    p = inclusion(DOUBT, SLICES, size, even_share=0.5)
    for seed in range(20):
        order = np.lexsort((sampling._mixed(IDS, seed), SLICES))
        start = np.random.default_rng(seed).random()
        steps = np.floor(np.round(np.cumsum(p[order]), 9) + start)
        wanted = np.sort(order[np.diff(steps, prepend=0.0) > 0])
        for portion in (1000, 100, 7, 1):
            monkeypatch.setattr(sampling, "_PORTION", portion)
            monkeypatch.setattr(sampling, "_AT_ONCE", 64)
            assert draw(IDS, SLICES, p, seed).tolist() == wanted.tolist()


# ----------------------------------------------------------------------------------- estimates


def test_wilson_in_closed_form():
    found = wilson(0.5, 100)
    # Wilson 1927: (p + z2/2n ± z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n)
    assert (found.low, found.high) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    assert wilson(1.0, 50).high == 1.0
    assert wilson(1.0, 50).low == pytest.approx(50 / (50 + 1.959964**2))


def test_equal_probabilities_give_the_textbook_interval():
    hits = np.array([1.0] * 80 + [0.0] * 20)
    found = weighted_share(hits, np.full(100, 0.1))
    # The variance of a simple random sample with the finite population's correction.
    variance = 0.8 * 0.2 / 99 * 0.9
    wanted = wilson(0.8, 0.8 * 0.2 / variance)
    assert (found.value, found.low, found.high) == pytest.approx(
        (0.8, wanted.low, wanted.high), abs=1e-9
    )


@pytest.mark.parametrize("hit", [0.0, 1.0])
def test_answers_that_all_agree_leave_an_interval(hit):
    """Its width is that of as many answers as the spread of the weights leaves (Kish 1965)."""
    p = np.array([0.1] * 30 + [0.5] * 10 + [1.0] * 10)
    found = weighted_share(np.full(50, hit), p)
    num = (30 * 10 + 10 * 2 + 10) ** 2 / (30 * 0.9 * 10**2 + 10 * 0.5 * 2**2)
    wanted = wilson(hit, num)
    assert (found.value, found.low, found.high) == pytest.approx((hit, wanted.low, wanted.high))


def test_one_answer_of_many_has_no_interval_but_two_have_one():
    assert math.isnan(weighted_share(np.array([1.0]), np.array([0.1])).high)
    assert weighted_share(np.array([1.0, 1.0]), np.array([0.1, 0.1])).low > 0.0


def test_weights_undo_the_draw():
    # Ten wrong pairs drawn for certain, and one in ten of a hundred right ones.
    found = weighted_share(np.array([0.0] * 10 + [1.0] * 10), np.array([1.0] * 10 + [0.1] * 10))
    assert found.value == pytest.approx(100 / 110)


def test_what_was_not_answered_is_left_out_and_never_wrong():
    hits, p = np.array([1.0, math.nan, 0.0, 1.0]), np.array([0.5, 0.5, 0.5, 0.5])
    assert weighted_share(hits, p) == weighted_share(hits[[0, 2, 3]], p[:3])
    assert math.isnan(weighted_share(np.array([math.nan]), np.array([0.5])).value)
    assert math.isnan(weighted_share(np.array([1.0]), np.array([0.5])).low)
    with pytest.raises(ValueError, match="not above 0"):
        weighted_share(np.array([1.0, 1.0]), np.array([0.5, 0.0]))


def test_everything_looked_at_is_known():
    found = weighted_share(np.array([1.0, 0.0]), np.array([1.0, 1.0]))
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("precision", [0.7, 0.95])
def test_intervals_cover_a_known_precision(precision):
    """A simulated set in which doubt means something: doubtful pairs are wrong more often."""
    rng = np.random.default_rng(7)
    num = 20_000
    ids = rng.integers(0, 2**64, num, dtype=np.uint64)
    slices = rng.choice([0] * 8 + [1, 2], num)
    doubt = rng.uniform(0.0, 1.0 - precision, num) * 2
    truth = (rng.random(num) > doubt).astype(float)
    p = inclusion(np.clip(doubt, 0, 0.5), slices, 300, even_share=0.5)
    covered = []
    for seed in range(300):
        drawn = draw(ids, slices, p, seed)
        found = weighted_share(truth[drawn], p[drawn])
        covered.append(found.low <= truth.mean() <= found.high)
    assert 0.91 <= np.mean(covered) <= 0.99


def test_the_random_order_is_that_of_splitmix64():
    """The first numbers of the published generator that starts at 0."""
    gamma = 0x9E3779B97F4A7C15
    states = np.array([gamma, 2 * gamma % 2**64, 3 * gamma % 2**64], np.uint64)
    first = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert sampling._mixed(states, 0).tolist() == first
    assert sampling._mixed(states ^ np.uint64(7), 7).tolist() == first
