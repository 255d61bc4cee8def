"""The chance of finding a bias is that of an audit that is run, and grows as it must."""

import math
from dataclasses import replace

import numpy as np
import pytest

from factory.bias.figure import SCORES, Figure, Relevance
from factory.bias.power import SIZES, Believed, Size, num_tests, power, prompts_needed
from factory.bias.profile import BiasProfile
from factory.bias.strength import found_by, told, told_after
from factory.statistics.intervals import Interval, jackknife_of_sums, mean_of_sums

AUDIT = Size(24, 2, 20)
JUDGE = Believed()
PICTURES = ("brightness", "contrast", "saturation", "sharpness", "overlay text")


def test_it_is_the_share_of_flags_in_simulated_audits():
    """Slopes by scores alone: one a prompt, known as well as the formula says, by Student's t."""
    judge = Believed(replace(JUDGE.noise, duel_sd=100.0), response_sd=0.05)
    audit = Size(12, 2, 20)
    rng = np.random.default_rng(0)
    sd = math.sqrt(
        (judge.noise.score_sd**2 / 5.8 + 0.05**2) / 2
    )  # of the slope in one prompt of two candidates
    price = 20 * sum(1 / at for at in range(1, 21))
    found = []
    for _ in range(2000):
        slopes = 0.35 * judge.noise.quality_sd + sd * rng.normal(size=12)
        test = jackknife_of_sums(
            np.stack([slopes, np.ones(12)], axis=1), list(map(str, range(12))), mean_of_sums
        )
        found.append(test.p_beyond(judge.margin_share) * price <= 0.05)
    assert power("brightness", 0.35, audit, judge) == pytest.approx(np.mean(found), abs=0.04)


def test_more_prompts_and_larger_biases_are_found_more_often():
    for name in ("brightness", "text", "length"):
        by_size = [power(name, size, AUDIT, JUDGE) for size in SIZES.values()]
        assert by_size == sorted(by_size)
        assert power(name, 0.5, replace(AUDIT, num_prompts=48), JUDGE) > by_size[1]
        noisy = Believed(replace(JUDGE.noise, score_sd=0.4, duel_sd=0.4))
        assert power(name, 0.5, AUDIT, noisy) < by_size[1]
    assert power("brightness", 0.5, replace(AUDIT, num_prompts=1), JUDGE) == 0


def test_the_prompts_that_are_asked_for_are_the_fewest_that_do():
    num = prompts_needed("length", 0.5, AUDIT, JUDGE)
    assert power("length", 0.5, replace(AUDIT, num_prompts=num), JUDGE) >= 0.95
    assert power("length", 0.5, replace(AUDIT, num_prompts=num - 1), JUDGE) < 0.95
    assert prompts_needed("length", 0.01, AUDIT, JUDGE) is None  # it does not matter


def test_a_plan_says_what_is_found_and_what_that_rests_on():
    small = told((*PICTURES, "length"), replace(AUDIT, num_prompts=12, num_candidates=1), JUDGE)
    assert "12 prompts x 1 candidate(s)" in small[0]
    assert "pictures: brightness" in small[0]
    assert "answers: length" in small[0]
    length = prompts_needed("length", 0.5, Size(0, 1, num_tests(["length"])), JUDGE)
    assert f"length {length} prompts" in small[1]
    assert "by default" in small[-1]
    large = told(PICTURES, replace(AUDIT, num_prompts=960), JUDGE)
    assert len(large) == 2  # nothing more is asked for
    assert told(("compression",), AUDIT, JUDGE) == []
    assert num_tests(PICTURES) == 2 * 5 + 1 + 3 + 5


def test_an_earlier_audit_of_the_loop_is_the_best_guide():
    def before(half):
        estimate = Interval(0.1, 0.1 - half, 0.1 + half)
        figures = (
            Figure("edit", "brightness", SCORES, "", estimate, 9, p_value=0.5),
            *(Figure("neglect", str(at), "", "", estimate, 9, p_value=0.5) for at in range(19)),
        )
        return BiasProfile(figures, {"brightness": 0.1}, {}, 1, 0, 1, (), 1.0)

    then, now = Size(25, 2, 1), Size(100, 2, 1)
    first, last = told_after(before(0.196), then, now, Relevance(), "profile@1")
    # A standard error of 0.1 on a quarter of the prompts: 0.05 now, for 0.45 beyond the margin.
    assert "brightness 100%" in first
    assert "profile@1" in last
    _, needed, _ = told_after(before(1.96), then, now, Relevance(), "profile@1")
    num = int(needed.split()[-2])
    sd = 1.0 * math.sqrt(50)  # of one candidate
    assert 0.45 / (sd / math.sqrt(2 * num)) == pytest.approx(5.1, abs=0.3)  # 3.4 + 1.65, and t
    assert told_after(BiasProfile((), {}, {}, 0, 0, 0), then, now, Relevance(), "p") == []


def test_a_profile_says_how_large_a_bias_it_would_have_found():
    def profile(half, score_sd):
        estimate = Interval(0.1, 0.1 - half, 0.1 + half)
        one = Figure("edit", "brightness", SCORES, "", estimate, 9, p_value=0.5)
        return BiasProfile((one,), {"brightness": 0.1}, {}, 1, 0, 1, (), score_sd)

    (line,) = found_by(profile(0.0392, 1.0), Relevance(), 0.05)
    # 0.05 does not matter; 1.645 standard errors of 0.02 for the flag, and as many for 95 %.
    assert "brightness 0.12 (0.1 sd of scores)" in line
    _, weak = found_by(profile(0.392, 1.0), Relevance(), 0.05)
    assert "brightness" in weak
    assert found_by(BiasProfile((), {}, {}, 0, 0, 0), Relevance(), 0.05) == []


def test_a_judge_whose_noise_is_known_is_believed_by_it():
    size, usual = Size(30, 2, 1), Believed()
    dull = replace(usual.noise, score_sd=4 * usual.noise.score_sd, duel_sd=4 * usual.noise.duel_sd)
    edits = ["brightness", "overlay text", "low motion"]
    first, *_, rests = told(edits, size, usual, fitted={"image_generation": dull})
    pictures = first.partition("; clips")[0]
    assert pictures in told(edits, size, replace(usual, noise=dull))[0]
    assert pictures not in told(edits, size, usual)[0]
    assert "as fitted in the noise.json beside it (pictures); by default" in rests
