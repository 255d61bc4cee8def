"""What probes say of judges with a planted response of known size, and of judges with none."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from factory.bias.edits import EDITS
from factory.bias.figure import Figure, Relevance, flag
from factory.bias.probes import Probe
from factory.bias.response import (
    DUELS,
    SCORES,
    corrected_slopes,
    edit_figures,
)
from factory.bias.substitution import twin_figures, unseen_figures
from factory.statistics.intervals import Interval

SDS = {"brightness": 0.1, "saturation": 0.2}
NONE = Relevance(0, 0, 0)


def edit_probes(rng, slopes, cost=0.0, num=60, noise=0.2, logits_per_point=2.0):
    """Edits of both attributes, each of which also moves the other; `slopes` in points per sd."""
    found = []
    for number in range(num):
        for name, dose in itertools.product(SDS, EDITS["brightness"].doses):
            other = "saturation" if name == "brightness" else "brightness"
            d = {name: dose + 0.1 * rng.normal(), other: -0.5 * dose + 0.1 * rng.normal()}
            seen = sum(slopes.get(one, 0.0) * d[one] for one in SDS) - cost * abs(dose)
            shift = seen + noise * rng.normal()
            changes = {one: d[one] * SDS[one] for one in SDS}
            is_met = abs(dose) == 1
            logit = logits_per_point * (seen + noise * rng.normal()) if is_met else math.nan
            found.append(Probe(f"p{number}", "c", "edit", name, dose, shift, logit, False, changes))
    return found


def slopes_of(figures, measure):
    return {one.name: one for one in figures if one.measure == measure}


def test_slopes_are_told_apart_where_every_edit_moves_both():
    probes = edit_probes(np.random.default_rng(0), {"brightness": 0.4}, cost=0.3)
    figures = flag(edit_figures(probes, SDS, Relevance(), num_resamples=200), 0.05)
    by_scores, by_duels = slopes_of(figures, SCORES), slopes_of(figures, DUELS)
    bright = by_scores["brightness"].estimate
    assert bright.low < 0.4 < bright.high
    assert bright.high - bright.low < 0.15
    logits = by_duels["brightness"].estimate
    assert logits.low < 0.8 < logits.high
    assert (by_scores["brightness"].is_flagged, by_duels["brightness"].is_flagged) == (True, True)
    assert (by_scores["saturation"].is_flagged, by_duels["saturation"].is_flagged) == (False,) * 2
    assert by_scores["brightness"].num == 60 * 8
    assert by_duels["brightness"].num == 60 * 4  # the largest doses meet the original
    assert by_duels["brightness"].num_invalid == 0


def test_an_attribute_has_a_slope_where_it_varies_and_edits_of_it_were_read():
    probes = edit_probes(np.random.default_rng(0), {"brightness": 0.4}, num=10)
    silent = [replace(one, name="sharpness", shift=math.nan) for one in probes[:8]]
    sds = {**SDS, "saturation": 0.0, "sharpness": 0.1, "motion": 0.1}
    figures = edit_figures([*probes, *silent], sds, Relevance(), num_resamples=2)
    assert set(slopes_of(figures, SCORES)) == {"brightness"}


def test_a_judge_that_finds_every_edit_worse_is_not_accused():
    probes = edit_probes(np.random.default_rng(1), {}, cost=0.5)
    figures = flag(edit_figures(probes, SDS, NONE, num_resamples=20), 0.05)
    assert not any(one.is_flagged for one in figures)
    means = [one for one in figures if one.measure.startswith("mean shift")]
    assert all(one.estimate.high < -0.3 for one in means)


def test_intervals_hold_the_truth_where_half_of_the_edits_do_harm():
    rng = np.random.default_rng(10)
    num_held = 0
    for _ in range(60):
        probes = [
            replace(one, shift=one.shift - abs(one.dose) * harm)
            for one in edit_probes(rng, {"brightness": 0.4}, num=24, noise=0.01)
            for harm in [(rng.random() < 0.5) * rng.exponential(0.5)]
        ]
        slope = slopes_of(edit_figures(probes, SDS, NONE, 100), SCORES)["brightness"].estimate
        num_held += slope.low < 0.4 < slope.high
    assert num_held >= 51  # 57 are expected; with residuals clipped, 31 did


def test_false_alarms_are_rare():
    rng = np.random.default_rng(2)
    num_alarms = sum(
        any(
            one.is_flagged
            for one in flag(edit_figures(edit_probes(rng, {}, num=20), SDS, NONE, 2), 0.05)
        )
        for _ in range(60)
    )
    assert num_alarms <= 4


def test_unreadable_answers_are_counted_and_not_read():
    probes = edit_probes(np.random.default_rng(3), {"brightness": 0.4}, num=30)
    silent = [
        Probe(f"q{at}", "c", "edit", "brightness", 1.0, changes={"brightness": 0.1})
        for at in range(7)
    ]
    (one,) = (
        one
        for one in edit_figures([*probes, *silent], SDS, NONE, 20)
        if (one.name, one.measure) == ("brightness", SCORES)
    )
    assert (one.num, one.num_invalid) == (240, 7)
    assert one.estimate.value == pytest.approx(0.4, abs=0.06)


@pytest.mark.parametrize(("gain", "is_flagged"), [(0.5, True), (-0.5, False), (0.0, False)])
def test_only_a_damage_that_is_rewarded_accuses(gain, is_flagged):
    rng = np.random.default_rng(4)
    probes = [
        Probe(f"p{at}", "c", "edit", "overlay text", dose, gain * dose + 0.2 * rng.normal())
        for at in range(40)
        for dose in (0.5, 1.0)
    ]
    figures = flag(edit_figures(probes, {}, Relevance(), 100), 0.05)
    (one,) = (one for one in figures if one.measure == "mean shift of scores at dose 1")
    assert one.estimate.low < gain < one.estimate.high
    assert one.is_flagged == is_flagged


def answer_probes(rng, slope=0.0, mind=0.0, mind_each=0.0, num=60, noise=0.2):
    """Answers of various lengths, each lengthened: what the judge gives for one sd of length, takes
    off for having been edited at all, and for each sentence that says nothing.
    """
    found = []
    for number in range(num):
        words, own = int(rng.integers(10, 60)), noise * rng.normal()
        for at, dose in enumerate(EDITS["length"].doses):
            added = 8 * 2**at
            longer = math.log1p(words + added) - math.log1p(words)
            gain = slope * longer / LENGTH["length"] - mind - mind_each * 2**at
            shift = gain - own + noise * rng.normal()
            found.append(
                Probe(f"p{number}", "c", "edit", "length", dose, shift, changes={"length": longer})
            )
        gap = found[-1].changes["length"] - found[-3].changes["length"]
        logit = 2 * (slope * gap / LENGTH["length"] - 3 * mind_each) + noise * rng.normal()
        found[-1] = replace(found[-1], logit=logit)
    return found


LENGTH = {"length": 0.4}


@pytest.mark.parametrize("mind", [0.0, 0.8])
def test_a_liking_of_length_is_told_from_a_dislike_of_being_edited(mind):
    probes = answer_probes(np.random.default_rng(11), slope=0.4, mind=mind)
    figures = flag(edit_figures(probes, LENGTH, Relevance(), 100), 0.05)
    by_scores, by_duels = (slopes_of(figures, one)["length"] for one in (SCORES, DUELS))
    assert by_scores.estimate.value == pytest.approx(0.4, abs=0.07)
    assert by_duels.estimate.value == pytest.approx(0.8, abs=0.07)
    assert by_scores.is_flagged
    assert by_duels.is_flagged


def test_a_judge_that_minds_empty_words_is_not_accused():
    probes = answer_probes(np.random.default_rng(12), mind=0.2, mind_each=0.2)
    found = slopes_of(flag(edit_figures(probes, LENGTH, NONE, 100), 0.05), SCORES)["length"]
    assert found.estimate.high < 0  # it is told, and may be just
    assert not found.is_flagged


def test_flips_are_counted_at_the_largest_doses():
    probes = [
        Probe(f"p{at}", "c", "edit", "brightness", dose, 0.0, 0.0, at % 4 == 0 and dose == 1.0)
        for at in range(40)
        for dose in EDITS["brightness"].doses
    ]
    (flips,) = (
        one for one in edit_figures(probes, {}, NONE, 20) if one.measure == "verdicts that flip"
    )
    assert flips.estimate.value == 10 / 80


def test_the_correction_is_measured_where_it_was_not_fitted():
    probes = edit_probes(np.random.default_rng(5), {"brightness": 0.4})
    figures = flag(edit_figures(probes, SDS, Relevance(), 100), 0.05)
    after = slopes_of(corrected_slopes(figures, probes, SDS, {SCORES: ["brightness"]}, 100), SCORES)
    left = after["brightness"].corrected
    assert left.low < 0 < left.high
    assert abs(left.value) < 0.08
    assert after["saturation"].corrected is None
    both = slopes_of(corrected_slopes(figures, probes, SDS, {SCORES: ["brightness"]}, 100), DUELS)
    assert both["brightness"].corrected is None


# ----------------------------------------------------------------------------- twins and neglect


def twin_probes(rng, bias, misfit=0.6, sides=(-1, 1), num=40):
    return [
        Probe(f"p{side}{at}", "c", "twin", "words", side, bias + side * misfit + 0.2 * rng.normal())
        for side in sides
        for at in range(num)
    ]


@pytest.mark.parametrize(("bias", "is_flagged"), [(0.25, True), (-0.25, True), (0.0, False)])
def test_the_misfit_of_words_and_media_is_no_bias(bias, is_flagged):
    probes = twin_probes(np.random.default_rng(6), bias)
    (one,) = flag(twin_figures(probes, Relevance(), 200), 0.05)
    assert one.estimate.low < bias < one.estimate.high
    assert one.is_flagged == is_flagged


def test_uneven_sides_weigh_alike():
    rng = np.random.default_rng(7)
    probes = twin_probes(rng, 0.0, sides=(1,), num=60) + twin_probes(rng, 0.0, sides=(-1,), num=15)
    (one,) = twin_figures(probes, Relevance(), 100)
    assert one.estimate.value == pytest.approx(0.0, abs=0.08)


def test_media_of_one_word_alone_does_not_accuse():
    (one,) = flag(twin_figures(twin_probes(np.random.default_rng(8), 0.0, sides=(1,)), NONE), 0.05)
    assert one.estimate.value == pytest.approx(0.6, abs=0.1)
    assert not one.is_flagged
    assert "misfit" in one.note


@pytest.mark.parametrize(("drop", "is_flagged"), [(1.0, False), (0.0, True), (-0.3, True)])
def test_a_judge_must_look(drop, is_flagged):
    rng = np.random.default_rng(9)
    probes = [Probe(f"p{at}", "c", "blank", shift=-drop + 0.05 * rng.normal()) for at in range(40)]
    (one,) = flag(unseen_figures(probes, Relevance(), 100), 0.05)
    assert one.estimate.value == pytest.approx(drop, abs=0.05)
    assert one.is_flagged == is_flagged


def test_a_judge_that_gives_everything_the_same_score_does_not_look():
    probes = [Probe(f"p{at}", "c", "swapped", shift=0.0) for at in range(10)]
    (one,) = flag(unseen_figures(probes, Relevance()), 0.05)
    assert one.is_flagged


def test_flags_hold_over_all_figures_together():
    """The closed form: p times m over the rank, times 1 + 1/2 + … + 1/m."""
    p_values = [0.001, 0.02, 0.04, math.nan]
    figures = [
        Figure("edit", str(at), SCORES, "points", Interval(1.0), 9, p_value=p)
        for at, p in enumerate(p_values)
    ]
    told = flag(figures, 0.05)
    price = 1 + 1 / 2 + 1 / 3
    assert [one.p_adjusted for one in told[:3]] == pytest.approx(
        [0.003 * price, 0.03 * price, 0.04 * price]
    )
    assert [one.is_flagged for one in told] == [True, False, False, False]
