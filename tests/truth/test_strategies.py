import numpy as np
import pytest

from tests.truth.strategies import OTHERS, figures, forwards, most_candidates, win


def test_forward_passes_are_equal_and_a_win_is_paired() -> None:
    assert [forwards(one, 8) for one in ("bracket", *OTHERS)] == [14, 8, 12, 24]
    assert [most_candidates(one, 24) for one in ("bracket", *OTHERS)] == [18, 24, 16, 8]
    margins = np.random.default_rng(0).normal(2.0, 1.0, 200)
    won = win(1.1 * margins, margins)  # a constant ratio, so that pairing leaves no doubt
    assert (won.value, won.low, won.high) == pytest.approx((0.1, 0.1, 0.1))


def test_duels_win_where_scores_alone_do_not_say_it() -> None:
    found = figures(replications=60, seed=1)
    assert found["bracket_over_pointwise_as_it_is"] > 0
    assert found["bracket_over_ring_candidates"] > 0
    assert found["bracket_over_paper_looks_low"] < found["bracket_over_paper_looks_high"]
