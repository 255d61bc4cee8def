"""Scalar specifications, the knobs in their unit, and scales fitted to labels."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from factory.judging.by_scores import RaoKupper, RulesError, UncertainBradleyTerry
from factory.judging.scalar import knob_faults, knobs, named, read, shipped
from factory.judging.scale_fit import fit_scale
from factory.judging.specification import SpecificationError
from schemas.recipe import Criteria, Criterion


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_specification_says_where_it_was_read(name: str) -> None:
    one = named(name)
    assert len(one.commit) == 40
    assert one.source.startswith("github.com/")
    assert one.license
    assert one.duels
    assert read(json.dumps(one.__dict__), "here") == one


def test_a_specification_that_cannot_be_asked_is_refused() -> None:
    good = named("hpsv3")
    for changes, words in (
        ({"tasks": ("image_understanding",)}, "needs one of image_generation, video_generation"),
        ({"tasks": ()}, "needs one of"),
        ({"dimensions": ("a", "a")}, "each once"),
        ({"dimensions": ("A",)}, "lower-case"),
        ({"stds": (1.0,)}, "one for each dimension"),
        ({"means": (0.0,), "stds": (0.0,)}, "stds above 0"),
        ({"slope": -1.0}, "no positive number"),
        ({"tie_odds": 0.5}, "less than 1"),
        ({"template": "no slot"}, "needs {prompt} once"),
        ({"tokens": ("<other>",)}, "stands once in the template"),
        ({"head": ""}, "neither linear nor ranknet"),
        ({"head_outputs": 3}, "3 output"),
        ({"min_pixels": 0}, "min_pixels"),
        ({"kind": "vit"}, "unknown kind"),
        ({"fit": "stretch"}, "none of"),
    ):
        with pytest.raises(SpecificationError, match=words):
            replace(good, **changes)
    with pytest.raises(SpecificationError, match="unknown key 'scale'"):
        read('{"scale": 1}', "here")
    with pytest.raises(SpecificationError, match="here: no scalar specification"):
        read("[]", "here")
    with pytest.raises(SpecificationError, match="fps"):
        replace(named("videoalign"), fps=0.0)


def test_numbers_are_read_with_their_normalisation_and_spread() -> None:
    assert named("hpsv3").read([8.5, math.log(2.0)]) == ((8.5, pytest.approx(2.0)), {})
    assert named("hpsv3").read([8.5, 1e4])[0][1] == math.inf
    (value, spread), parts = named("imagereward").read([1.2005131249])
    assert (value, spread, parts) == (pytest.approx(1.0), 0.0, {})
    video = replace(named("videoalign"), means=(1.0, 0.0, -1.0), stds=(2.0, 1.0, 0.5))
    assert video.read([3.0, 0.5, 0.0]) == (
        (3.5, 0.0),
        {"vq": 1.0, "mq": 0.5, "ta": 2.0, "overall": 3.5},
    )


def test_criteria_are_dimensions_and_no_sentences() -> None:
    of = {"weight": 2.0}
    named("videoalign").check_criteria(Criteria(named=[Criterion(name="vq", **of)]))
    with pytest.raises(SpecificationError, match="criterion hands: VideoReward has vq, mq, ta"):
        named("videoalign").check_criteria(Criteria(named=[Criterion(name="hands", **of)]))
    with pytest.raises(SpecificationError, match=r"criterion vq: .* no place for a sentence"):
        named("videoalign").check_criteria(Criteria(named=[Criterion(name="vq", text="sharp ?")]))
    with pytest.raises(SpecificationError, match="PickScore has no dimensions"):
        named("pickscore").check_criteria(Criteria(named=[Criterion(name="pickscore")]))


def test_limits_of_pixels_and_frames_are_the_published_ones() -> None:
    one, video = named("hpsv3"), named("videoalign")
    assert (one.min_pixels, one.max_pixels) == (256 * 28 * 28, 256 * 28 * 28)
    assert (video.min_pixels, video.max_pixels, video.fps) == (128 * 28 * 28, 448 * 448, 2.0)


def test_what_only_tells_of_a_model_is_no_part_of_the_asking() -> None:
    one = named("pickscore")
    assert replace(one, source="elsewhere", slope=2.0).asking() == one.asking()
    assert replace(one, max_tokens=60).asking() != one.asking()


def test_verdicts_of_uncertain_scores_are_expected_over_what_is_uncertain() -> None:
    rule = UncertainBradleyTerry(1.0)
    sure = rule.probabilities(np.array([0.7]), np.array([0.0]))
    assert sure[0] == pytest.approx([1 / (1 + math.exp(-0.7)), 1 / (1 + math.exp(0.7)), 0])
    rng = np.random.default_rng(0)
    drawn = 0.7 + 1.5 * rng.standard_normal(400_000)
    (p,) = rule.probabilities(np.array([0.7]), np.array([1.5]))
    assert p[0] == pytest.approx((1 / (1 + np.exp(-drawn))).mean(), abs=2e-3)
    assert p[0] + p[1] == pytest.approx(1)
    with pytest.raises(RulesError, match="standard deviations"):
        rule.probabilities(np.array([0.7]))


def test_knobs_that_cannot_be_meant_for_the_unit_are_named() -> None:
    cosine = RaoKupper(100.0, 1.0)
    defaults = {
        "rank.score_sd": 0.5,
        "rank.duel_sd": 0.5,
        "rank.logits_per_point": 2.0,
        "curate.objections.min_margin": 0.3,
    }
    found = knob_faults(cosine, defaults)
    assert [one.partition(":")[0] for one in found] == [
        "rank.logits_per_point",
        "rank.score_sd",
        "rank.duel_sd",
        "curate.objections.min_margin",
    ]
    assert "0.005 would fit" in found[-1]
    assert not knob_faults(cosine, knobs(cosine))
    assert not knob_faults(RaoKupper(1.0, 1.0), defaults)
    assert not knob_faults(cosine, {"curate.objections.min_margin": 0.0})


def test_a_scale_of_any_unit_is_found_again() -> None:
    rng = np.random.default_rng(1)
    truth = RaoKupper(180.0, 1.6)  # of scores that differ by hundredths
    differences = 0.01 * rng.standard_normal(3000)
    p = truth.probabilities(differences)
    preferences = [["first", "second", "tie"][rng.choice(3, p=one)] for one in p]
    prompts = [str(at // 3) for at in range(3000)]
    found = fit_scale(differences, preferences, prompts, num_resamples=20)
    assert found.slope.low < 180 < found.slope.high
    assert found.rule.slope == found.slope.value == pytest.approx(180, rel=0.1)
    assert found.rule.tie_odds == pytest.approx(1.6, rel=0.1)
    assert (found.num_pairs, found.num_ties) == (3000, preferences.count("tie"))
    assert 0.6 < found.accuracy.low < found.accuracy.high < 0.95


def test_scores_that_say_nothing_of_the_labels_have_no_scale() -> None:
    differences = list(np.random.default_rng(2).standard_normal(60))
    wrong = ["second" if one > 0 else "first" for one in differences]
    prompts = [str(at) for at in range(60)]
    with pytest.raises(RulesError, match="do not go together"):
        fit_scale(differences, wrong, prompts, num_resamples=2)
    with pytest.raises(RulesError, match="fitted to 20 or more"):
        fit_scale(differences[:19], wrong[:19], prompts[:19])
    with pytest.raises(RulesError, match="equal scores"):
        fit_scale([0.0] * 60, wrong, prompts)
