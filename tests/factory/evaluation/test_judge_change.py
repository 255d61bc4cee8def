import math
from dataclasses import replace

import numpy as np
import pytest

from factory.evaluation.gates import decide, light_judge_gate, local_judge_gates
from factory.evaluation.judge_change import Change, accuracy_change, accuracy_kept, error_change
from factory.statistics.intervals import Interval
from schemas.recipe import Distil, Localise
from schemas.rows import Duel, Opinion, Score

LIMITS = Localise(
    name="judge-north",
    labels="north.parquet",
    num_steps=1,
    batch_size=1,
    learning_rate=1e-4,
    max_overall_loss=0.05,
)


def opinions(judge, p_right, num=200, seed=0, shared=None):
    """Pairs on which a simulated judge is right with a probability, and points that it misses by
    one over that probability.
    """
    rng = np.random.default_rng(seed)
    found = []
    for at in range(num):
        is_right = rng.random() < p_right
        said = "first" if at % 2 else "second"
        p = 0.8 if is_right == (said == "first") else 0.2
        duels = (Duel("0", "1", judge, p, 1 - p, 0.0), Duel("1", "0", judge, 1 - p, p, 0.0))
        common = (f"p{at // 2}", "image_generation", {}, judge)
        found.append(Opinion(f"l{at}", *common, said, None, (), duels))  # type: ignore[arg-type]
        score = Score("0", judge, 3 + 1 / p_right, 0.1)
        found.append(Opinion(f"s{at}", *common, None, 3, (score,)))  # type: ignore[arg-type]
    return found


def test_a_judge_that_learned_is_better_by_what_it_learned():
    parent, child = opinions("judge@1", 0.6), opinions("north@1", 0.9, seed=1)
    found = accuracy_change(parent, child)
    share = [
        np.mean([one.duels[0].preference == one.preference for one in side if one.preference])
        for side in (parent, child)
    ]
    assert (found.parent.value, found.child.value) == pytest.approx(tuple(share))
    assert found.difference.value == pytest.approx(share[1] - share[0])
    assert found.difference.low > 0.15
    assert (found.num, found.num_invalid) == (200, 0)
    error = error_change(parent, child)
    assert error.difference.value == pytest.approx(1 / 0.9 - 1 / 0.6)


def test_the_same_judge_has_not_changed_at_all():
    parent = opinions("judge@1", 0.7)
    found = accuracy_change(parent, parent)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_labels_that_either_cannot_read_are_left_out_and_counted():
    parent, child = opinions("judge@1", 0.7), opinions("north@1", 0.7)
    child[0] = replace(child[0], duels=())
    parent[2] = replace(parent[2], duels=())
    parent[4] = replace(parent[4], preference="tie")
    child[4] = replace(child[4], preference="tie")
    found = accuracy_change(parent, child)
    assert (found.num, found.num_invalid) == (197, 2)


def test_an_exact_draw_is_half_right():
    parent = opinions("judge@1", 1.0, num=4)
    even = (Duel("0", "1", "even@1", 0.4, 0.4, 0.2), Duel("1", "0", "even@1", 0.4, 0.4, 0.2))
    child = [replace(one, duels=even) if one.preference else one for one in parent]
    found = accuracy_change(parent, child)
    assert (found.parent.value, found.child.value, found.difference.value) == (1.0, 0.5, -0.5)


def test_other_labels_are_refused():
    with pytest.raises(ValueError, match="not asked about the same labels"):
        accuracy_change(opinions("a@1", 0.7), opinions("b@1", 0.7)[1:])


def change(value, low, high):
    none = Interval(math.nan)
    return Change(none, none, Interval(value, low, high), 100, 0)


@pytest.mark.parametrize(
    ("on_slice", "elsewhere", "decision"),
    [
        ((0.1, 0.02, 0.18), (-0.01, -0.03, 0.01), "promote"),
        ((0.1, -0.01, 0.2), (0.0, -0.01, 0.01), "keep"),  # no gain shown
        ((0.1, 0.02, 0.18), (-0.04, -0.08, 0.0), "keep"),  # may have lost more than the limit
        ((0.1, 0.02, 0.18), (math.nan, math.nan, math.nan), "keep"),
        ((math.nan, math.nan, math.nan), (0.0, 0.0, 0.0), "keep"),
    ],
)
def test_the_parent_is_kept_unless_the_child_gains_here_and_loses_little_elsewhere(
    on_slice, elsewhere, decision
):
    assert decide(local_judge_gates(change(*on_slice), change(*elsewhere), LIMITS)) == decision


def test_on_the_threshold_a_gain_is_not_shown_and_a_loss_is_allowed():
    gates = local_judge_gates(change(0.1, 0.0, 0.2), change(-0.01, -0.05, 0.0), LIMITS)
    assert [one.is_passed for one in gates] == [False, True]
    gates = local_judge_gates(change(0.1, 0.001, 0.2), change(-0.01, -0.051, 0.0), LIMITS)
    assert [one.is_passed for one in gates] == [True, False]


def test_a_light_judge_is_judged_by_the_estimate():
    limits = Distil.model_construct(min_accuracy_kept=0.9)
    for value, passed in ((0.9, True), (0.899, False), (math.nan, False)):
        assert light_judge_gate(Interval(value, 0.1, 1.2), limits).is_passed is passed
    told = light_judge_gate(Interval(0.8, 0.7, 0.95), limits)
    assert told.message == "accuracy kept: 0.80 is below 0.90"
    assert light_judge_gate(Interval(math.nan), limits).message == (
        "accuracy kept could not be measured"
    )


def test_the_reason_says_by_how_much():
    gain, loss = local_judge_gates(change(0.1, -0.01, 0.2), change(-0.04, -0.08, 0.01), LIMITS)
    assert gain.message == "gain on the slice: lower bound -0.01 is below 0.00"
    assert loss.message == "loss elsewhere: upper bound 0.08 is above 0.05"
    assert (loss.value, loss.low, loss.high) == (0.04, -0.01, 0.08)
    _, unknown = local_judge_gates(change(0.1, 0.05, 0.2), change(*[math.nan] * 3), LIMITS)
    assert unknown.message == "loss elsewhere could not be measured"


def test_what_a_light_judge_keeps_is_its_accuracy_above_chance():
    teacher, light = opinions("judge@1", 0.9), opinions("light@1", 0.8, seed=1)
    found, kept = accuracy_change(teacher, light), accuracy_kept(teacher, light)
    wanted = (found.child.value - 0.5) / (found.parent.value - 0.5)
    assert kept.value == pytest.approx(wanted)
    assert kept.low < wanted < kept.high
    assert accuracy_kept(teacher, teacher).value == 1


def test_nothing_is_kept_of_a_teacher_that_knows_nothing():
    teacher = opinions("judge@1", 0.0001)
    assert math.isnan(accuracy_kept(teacher, teacher).value)
