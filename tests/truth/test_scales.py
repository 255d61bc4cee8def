from tests.truth.scales import figures


def test_a_judge_picks_the_same_best_on_every_scale() -> None:
    found = figures(replications=80, seed=3)
    scales = [found[f"best_right_{name}"] for name in ("1_5", "1_10", "0_100")]
    assert max(scales) - min(scales) <= 0.02  # 0.08 with one set of numbers for every scale
    assert min(scales) > found["best_right_known_noise"] - 0.07  # of 80: two sds of a difference
