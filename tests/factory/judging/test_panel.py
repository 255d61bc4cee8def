"""A panel's weights against closed forms, its verdicts against hand counts, and its refusals."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from factory.judging.panel import (
    MIN_PAIRS,
    Asked,
    PanelError,
    PanelWeights,
    Scale,
    TaskWeights,
    dissent,
    fit,
    fit_task,
    fused_duel,
    fused_score,
    shrunk,
)
from factory.ranking.matchups import log_odds, matchup
from schemas.rows import Duel, Group, Opinion, Prompt, Score


def simulated(
    strength: Sequence[float], sd: Sequence[float], correlation: float, num: int, seed: int = 0
) -> Asked:
    """Members that see y = ±1 with so much strength, through errors of one correlation."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], num)
    r = np.full((len(sd), len(sd)), correlation) + (1 - correlation) * np.eye(len(sd))
    errors = rng.multivariate_normal(np.zeros(len(sd)), r * np.outer(sd, sd), num)
    x = y[:, None] * np.asarray(strength) + errors
    return Asked(x, y, tuple(map(str, range(num))))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_the_weights_are_the_closed_form_of_the_best_sum(correlation: float) -> None:
    a, sd = np.array([1.0, 0.7, 1.2]), np.array([1.0, 1.0, 2.0])
    found = fit_task(simulated(a, sd, correlation, 40_000))
    assert found is not None
    r = np.full((3, 3), correlation) + (1 - correlation) * np.eye(3)
    wanted = np.linalg.solve(r * np.outer(sd, sd), a)
    # The weights are of standardised log-odds: told in the members' own units they are the form's.
    own = np.array(found.weights) / np.array(found.deviation)
    assert own / own.sum() == pytest.approx(wanted / wanted.sum(), abs=0.02)
    off = np.array(found.correlation)[~np.eye(3, dtype=bool)]
    assert off == pytest.approx(correlation, abs=0.03)
    assert found.num_pairs == 40_000


def test_the_sum_is_told_as_honest_log_odds() -> None:
    # Equal Gaussians around ±1 with sd s: the log-odds of the sign are 2x / s².
    asked = simulated([1.0, 1.0], [1.5, 1.5], 0.0, 40_000)
    found = fit_task(asked)
    assert found is not None
    wanted = 2 * asked.margins.sum(axis=1) / 1.5**2
    assert found.margins(asked.margins) == pytest.approx(wanted, rel=0.05, abs=0.1)


def test_who_would_count_against_what_it_says_is_left_out() -> None:
    found = fit_task(simulated([1.0, 0.2], [1.0, 1.0], 0.9, 5_000))
    assert found is not None
    assert found.weights == (1.0, 0.0)
    chance = fit_task(simulated([0.0, -1.0], [1.0, 1.0], 0.0, 5_000, seed=3))
    assert chance is None or chance.weights[1] == 0.0


def test_few_labels_shrink_correlations_and_very_few_weigh_all_alike() -> None:
    errors = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.1], [0.1, 1]], 30)
    plain = np.corrcoef(errors.T)[0, 1]
    (_, off), _ = shrunk(errors) / np.outer(*[np.sqrt(np.diag(shrunk(errors)))] * 2)
    assert abs(off) < abs(plain)
    many = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], 50_000)
    covariance = shrunk(many)
    assert covariance[0, 1] == pytest.approx(0.5, abs=0.02)
    assert fit_task(simulated([1.0, 1.0], [1.0, 1.0], 0.0, MIN_PAIRS - 1)) is None
    weights = PanelWeights(("a", "b"))
    assert weights.task("image_generation") == TaskWeights.alike(2)


def duel(judge: str, p_first: float, p_second: float, order: str = "xy") -> Duel:
    return Duel(order[0], order[1], judge, p_first, p_second, 1 - p_first - p_second)


def test_members_that_count_alike_have_their_log_odds_averaged() -> None:
    members = [duel("a@0", 0.7, 0.2), duel("b@0", 0.3, 0.5)]
    found = fused_duel(members, "panel@0", TaskWeights.alike(2))
    assert log_odds(found) == pytest.approx(np.mean([log_odds(one) for one in members]))
    assert found.p_tie == pytest.approx(0.15)
    assert found.p_first + found.p_second + found.p_tie == pytest.approx(1.0)
    assert (found.judge, found.error) == ("panel@0", None)
    swapped = fused_duel([one.swap() for one in members], "panel@0", TaskWeights.alike(2))
    assert log_odds(swapped) == pytest.approx(-log_odds(found))


def test_a_liking_for_the_first_place_cancels_over_both_orders() -> None:
    weights = TaskWeights((0.7, 0.3), (1.5, 2.0), 1.2)
    orders = [
        fused_duel([duel("a@0", 0.8, 0.2), duel("b@0", 0.6, 0.4)], "panel@0", weights),
        fused_duel([duel("a@0", 0.8, 0.2, "yx"), duel("b@0", 0.6, 0.4, "yx")], "panel@0", weights),
    ]
    met = matchup(orders, "x", "y")
    assert met is not None
    assert met.logit == pytest.approx(0.0)


def test_sure_verdicts_of_all_members_stay_within_what_can_be_told() -> None:
    sure = [Duel("x", "y", name, 1.0, 0.0, 0.0) for name in ("a@0", "b@0")]
    weights = TaskWeights((0.5, 0.5), (0.1, 0.1), 50.0)
    found = fused_duel(sure, "panel@0", weights)
    assert 0 <= found.p_second < found.p_first <= 1
    ties = [Duel("x", "y", name, 0.0, 0.0, 1.0) for name in ("a@0", "b@0")]
    assert fused_duel(ties, "panel@0", weights).preference == "tie"


def test_one_member_that_cannot_be_read_makes_the_verdict_an_error_with_its_name() -> None:
    bad = Duel("x", "y", "b@0", math.nan, math.nan, math.nan, "unreadable: 'neither'")
    found = fused_duel([duel("a@0", 0.7, 0.2), bad], "panel@0", TaskWeights.alike(2))
    assert found.error == "b@0: unreadable: 'neither'"
    assert math.isnan(found.p_first)
    scores = [Score("x", "a@0", 3.0, 0.1), Score("x", "b@0", math.nan, math.nan, "no number")]
    made = fused_score(scores, "panel@0", TaskWeights.alike(2), [Scale(1, 5)] * 2, Scale(1, 5))
    assert made.error == "b@0: no number"
    assert math.isnan(made.value)


def test_scores_of_different_scales_are_shares_of_them() -> None:
    scores = [Score("x", "a@0", 4.0, 0.2, None, {"overall": 4.0, "sharp": 2.0})]
    scores += [Score("x", "b@0", 50.0, 10.0, None, {"overall": 50.0, "sharp": 100.0})]
    scales = [Scale(1, 5), Scale(0, 100)]
    found = fused_score(scores, "panel@0", TaskWeights.alike(2), scales, Scale(1, 5))
    assert found.value == pytest.approx(1 + 4 * (0.75 + 0.5) / 2)
    assert found.spread == pytest.approx(4 * (0.05 + 0.1) / 2)
    assert found.breakdown == pytest.approx({"overall": found.value, "sharp": 1 + 4 * 1.25 / 2})


def test_a_member_without_a_scale_is_standardised_where_labels_tell_its_numbers() -> None:
    scales = [Scale(0, 10), Scale()]
    fitted = TaskWeights((0.5, 0.5), (1.0, 1.0), 1.0, (6.0, -3.0), (2.0, 0.5), 100)
    scores = [Score("x", "a@0", 8.0, 0.0), Score("x", "b@0", -2.5, 0.5)]
    found = fused_score(scores, "panel@0", fitted, scales, scales[0])
    assert found.value == pytest.approx(8.0)  # either is one deviation above its mean
    assert found.spread == pytest.approx(1.0)  # half of what 0.5 of the second's points are
    with pytest.raises(PanelError, match=r"member 2 scores on no scale.*jobs\.panel"):
        fused_score(scores, "panel@0", TaskWeights.alike(2), scales, scales[0])


def opinion(label: int, judge: str, p_first: float, said: str) -> Opinion:
    sides = (("0", "1", p_first), ("1", "0", 1 - p_first))
    duels = tuple(Duel(one, other, judge, p, 1 - p, 0.0) for one, other, p in sides)
    scores = (Score("0", judge, 5 * p_first, 0.0), Score("1", judge, 5 - 5 * p_first, 0.0))
    prompt = f"prompt {label // 2}"
    return Opinion(*(str(label), prompt, "image_generation", {}, judge, said, None, scores, duels))


def test_weights_are_fitted_to_opinions_and_kept_in_a_file(tmp_path) -> None:
    rng = np.random.default_rng(0)
    said = rng.choice(["first", "second"], 400)
    members = {}
    for name, noise in (("sharp", 0.5), ("dull", 2.0)):
        logits = np.where(said == "first", 1.0, -1.0) + noise * rng.standard_normal(400)
        p = 1 / (1 + np.exp(-logits))
        members[name] = [opinion(at, f"{name}@0", float(p[at]), said[at]) for at in range(400)]
    weights = fit(members)
    told = weights.task("image_generation")
    assert told.num_pairs == 400
    assert told.shares[0] > 0.6
    assert told.centre == pytest.approx((2.5, 2.5))
    assert weights.task("video_generation") == TaskWeights.alike(2)
    path = tmp_path / "panel.json"
    path.write_text(weights.to_json())
    assert PanelWeights.load(path, ("sharp", "dull")) == weights
    with pytest.raises(PanelError, match="weighs sharp, dull, and the members of this panel are"):
        PanelWeights.load(path, ("dull", "sharp"))
    for text in ("[]", "{}", weights.to_json().replace("weights", "w", 1), "no json"):
        with pytest.raises(PanelError, match="no weights of a panel"):
            PanelWeights.read(text, "panel.json", ("sharp", "dull"))
    with pytest.raises(PanelError, match="two members or more"):
        fit({"sharp": members["sharp"]})


def test_dissent_is_by_duels_and_else_by_scores() -> None:
    prompt = Prompt.of("x")
    both = (duel("a@0", 0.9, 0.1), duel("a@0", 0.1, 0.9, "yx"))
    against = (duel("b@0", 0.2, 0.8), duel("b@0", 0.8, 0.2, "yx"))
    scores = tuple(
        Score(one, judge, value, 0.0)
        for judge in ("a@0", "b@0")
        for one, value in (("x", 3.0), ("y", 2.0))
    )
    group = Group(prompt, (), member_scores=scores, member_duels=(*both, *against))
    assert dissent(group, "x", "y") == 0.5
    unmet = Group(prompt, (), member_scores=scores)
    assert dissent(unmet, "x", "y") == 0.0
    assert dissent(unmet, "y", "x") == 1.0
    assert dissent(Group(prompt, ()), "x", "y") is None
    assert dissent(unmet, "x", "z") is None
