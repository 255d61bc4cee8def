"""The fits behind every order, against closed forms and independent ones."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize, minimize_scalar
from scipy.stats import norm

from factory.ranking import (
    Bracket,
    Paper,
    Pointwise,
    Scale,
    fuse,
    fuse_all,
    order_all,
    rankings,
)
from factory.ranking.matchups import matchups
from schemas.rows import Duel
from tests.factory.simulated import JUDGE, SimulatedJudge, constants, duel, score, unreadable

NOISE = constants(score_sd=0.5, duel_sd=0.4, logits_per_point=2.0)


def scored(*values):
    return [score(f"c{index}", value) for index, value in enumerate(values)]


def test_fusion_of_two_candidates_is_the_precision_weighted_mean():
    scores = scored(3.0, 2.0)
    order = fuse(scores, [duel("c0", "c1", 4.0), duel("c1", "c0", -4.0)], NOISE)
    by_scores, by_duel = 1 / (2 * 0.5**2), 1 / 0.4**2  # precisions of the difference
    assert order.margin(0, 1) == pytest.approx(
        (1.0 * by_scores + 2.0 * by_duel) / (by_scores + by_duel)
    )
    assert order.difference_sd(0, 1) == pytest.approx(1 / math.sqrt(by_scores + by_duel))
    # A duel says nothing about the level.
    assert sum(order.strengths) == pytest.approx(5.0)


def test_fusion_agrees_with_weighted_least_squares():
    rng = np.random.default_rng(0)
    values = rng.normal(size=6)
    matches = {(0, 1): 1.3, (1, 2): -0.4, (4, 5): 2.2, (0, 5): 3.0, (2, 4): 0.1}
    scores = scored(*values)
    duels = [
        one
        for (i, j), logit in matches.items()
        for one in (duel(f"c{i}", f"c{j}", logit), duel(f"c{j}", f"c{i}", -logit))
    ]
    design = np.vstack([np.eye(6), *[np.eye(6)[i] - np.eye(6)[j] for i, j in matches]])
    observed = np.concatenate([values, [logit / 2.0 for logit in matches.values()]])
    sds = np.array([0.5] * 6 + [0.4] * len(matches))
    wanted = np.linalg.lstsq(design / sds[:, None], observed / sds, rcond=None)[0]
    order = fuse(scores, duels, NOISE)
    assert order.strengths == pytest.approx(wanted)
    assert order.ranking == tuple(np.argsort(-wanted))


def test_the_standard_deviations_are_those_of_the_errors():
    rng = np.random.default_rng(1)
    judge = SimulatedJudge(rng, score_sd=0.5, duel_sd=0.4, logits_per_point=2.0)
    ids, standardised = [f"c{i}" for i in range(5)], []
    qualities = rng.normal(size=(1500, 5)) * 0.5
    matches = list(itertools.permutations(range(4), 2))
    said = [(judge.scores(ids, one), judge.duels(ids, one, matches)) for one in qualities]
    for quality, order in zip(qualities, fuse_all(said, NOISE), strict=True):
        for i, j in ((0, 1), (0, 4)):
            error = order.margin(i, j) - (quality[i] - quality[j])
            standardised.append(error / order.difference_sd(i, j))
    # 3000 standard normal numbers: the sd of their sd is 0.013
    assert np.std(standardised) == pytest.approx(1.0, abs=0.05)


def test_a_position_bias_does_not_reach_the_order():
    scores = scored(3.0, 2.9, 1.0)
    fair = [duel("c0", "c1", 0.5), duel("c1", "c0", -0.5)]
    biased = [duel("c0", "c1", 0.5 + 1.0), duel("c1", "c0", -0.5 + 1.0)]
    assert fuse(scores, biased, NOISE).strengths == pytest.approx(
        fuse(scores, fair, NOISE).strengths
    )
    one_order = fuse(scores, biased[:1], NOISE)
    assert one_order.strengths == fuse(scores, (), NOISE).strengths


def test_an_unreadable_duel_changes_nothing():
    scores = scored(3.0, 3.0)
    order = fuse(scores, [unreadable("c0", "c1"), unreadable("c1", "c0")], NOISE)
    assert order.margin(0, 1) == 0.0


@given(st.permutations(range(6)), st.sampled_from(["least_squares", "davidson"]))
def test_the_order_of_candidates_changes_nothing(permutation, fusion):
    values = [2.0, 3.5, 1.0, 4.0, 2.5, 3.0]
    duels = [duel("c1", "c3", 2.0), duel("c3", "c1", -2.0), duel("c0", "c2", 0.3)]
    noise = replace(NOISE, quality_sd=1.0, fusion=fusion)
    wanted = fuse(scored(*values), duels, noise)
    order = fuse([score(f"c{i}", values[i]) for i in permutation], duels, noise)
    assert [order.candidate_ids[i] for i in order.ranking] == [
        wanted.candidate_ids[i] for i in wanted.ranking
    ]
    shuffled = {order.candidate_ids[i]: order.strengths[i] for i in order.ranking}
    assert [shuffled[f"c{i}"] for i in range(6)] == pytest.approx(wanted.strengths)


def test_equal_strengths_go_by_id_and_not_by_place():
    assert fuse(scored(2.0, 2.0, 3.0, 2.0), [], NOISE).ranking == (2, 0, 1, 3)
    assert fuse(scored(2.0, 2.0, 3.0, 2.0)[::-1], [], NOISE).ranking == (1, 3, 2, 0)
    # Two times one candidate that beats three: equal only up to the last bits of the solver.
    duels = [
        one
        for best in (0, 4)
        for other in range(best + 1, best + 4)
        for one in (duel(f"c{best}", f"c{other}", 1.1), duel(f"c{other}", f"c{best}", -1.1))
    ]
    order = fuse(scored(*[2.1] * 8), duels, NOISE)
    assert len(set(order.strengths)) == 2
    assert order.ranking == (0, 4, 1, 2, 3, 5, 6, 7)


def test_log_odds_at_their_limit_are_a_bound_and_not_a_measurement():
    """Odds of 400 to 1 for a candidate that scores four points more are no reason to think that it
    is only three points better. By the same likelihood, written by its definition: the margin is
    the mode of a normal density times the probability that noisy log-odds are at least six."""
    won = [duel("c0", "c1", 12.0), duel("c1", "c0", -12.0)]

    def mode(by_scores):
        def loss(d):
            beyond = norm.logcdf((2.0 * d - 6.0) / (2.0 * 0.4))
            return (d - by_scores) ** 2 / (2 * 2 * 0.5**2) - beyond

        return minimize_scalar(loss, bounds=(-10, 10), method="bounded").x

    assert fuse(scored(5.0, 1.0), won, NOISE).margin(0, 1) == pytest.approx(mode(4.0), abs=1e-4)
    assert mode(4.0) > 4.0
    assert fuse(scored(1.0, 5.0), won, NOISE).margin(0, 1) == pytest.approx(mode(-4.0), abs=1e-4)
    order = fuse(scored(3.0, 3.0), won, NOISE)
    assert order.margin(0, 1) == pytest.approx(mode(0.0), abs=1e-4)
    # Beside a matchup that is a measurement.
    ordinary = [duel("c2", "c3", 1.0), duel("c3", "c2", -1.0)]
    beside = fuse(scored(3.0, 3.0, 3.0, 3.0), [*won, *ordinary], NOISE)
    assert beside.margin(0, 1) == pytest.approx(order.margin(0, 1))


def test_one_order_at_its_limit_leaves_the_other_and_two_against_each_other_say_nothing():
    """A position bias of two logits takes one order over the limit: their mean, 5, is too low, and
    the other order less the bias is right."""
    half = [duel("c0", "c1", 8.0), duel("c1", "c0", -4.0)]
    whole = [duel("c0", "c1", 5.9), duel("c1", "c0", -5.9)]
    known = replace(NOISE, position=2.0, position_sd=0.0)
    wanted = fuse(scored(5.0, 1.0), whole, NOISE).margin(0, 1)
    assert fuse(scored(5.0, 1.0), half, known).margin(0, 1) == pytest.approx(wanted, abs=0.05)
    order = fuse(scored(5.0, 1.0), half, replace(known, position_sd=3.0))
    assert order.difference_sd(0, 1) > fuse(scored(5.0, 1.0), half, known).difference_sd(0, 1)
    first = [duel("c0", "c1", 12.0), duel("c1", "c0", 12.0)]
    unmet = fuse(scored(5.0, 1.0), [], NOISE)
    assert fuse(scored(5.0, 1.0), first, NOISE).strengths == pytest.approx(unmet.strengths)


def test_a_score_at_the_end_of_its_scale_is_a_bound():
    """Two of the highest score: the one that wins the duel is better by more than a score can say,
    and neither is drawn down to the end of the scale."""
    noise = replace(constants(quality_sd=1.0), scale=Scale(4.0, 1.0, 5.0))
    noise = replace(noise, score_sd=0.1, duel_sd=0.1, quality_sd=0.25, logits_per_share=8.0)
    ended = fuse(scored(5.0, 4.0, 2.0), [], noise)
    free = fuse(scored(5.0, 4.0, 2.0), [], noise.on(Scale(4.0)))
    assert ended.strengths[0] > free.strengths[0]
    assert ended.difference_sd(0, 1) > free.difference_sd(0, 1)
    full = fuse(scored(5.0, 5.0, 5.0), [], noise)
    assert full.margin(0, 1) == pytest.approx(0.0, abs=1e-6)
    assert all(math.isfinite(one) for one in full.strengths)


def test_the_error_that_score_and_duels_share_is_in_every_claim():
    """A Gaussian among Gaussians: with no noise at all, quality is what is seen, drawn to the mean
    by quality_sd^2 / (quality_sd^2 + item_sd^2), and around it lies the rest."""
    noise = constants(score_sd=1e-6, quality_sd=1.0, item_sd=0.5)
    order = fuse(scored(4.0, 2.0), [], noise)
    kept = 1.0 / (1.0 + 0.25)
    assert order.margin(0, 1) == pytest.approx(kept * 2.0, rel=1e-4)
    assert order.difference_sd(0, 1) == pytest.approx(math.sqrt(2 * kept * 0.25), rel=1e-4)
    sure = norm.cdf(order.margin(0, 1) / order.difference_sd(0, 1))
    assert order.p_right(0, 1) == pytest.approx(sure)
    assert order.p_right(1, 0) == pytest.approx(1 - sure)


@pytest.mark.parametrize("fusion", ["least_squares", "davidson"])
@pytest.mark.parametrize("scale", [Scale(), Scale.of(-2, 2)])
def test_many_groups_at_once_are_each_as_alone_to_the_last_digit(scale, fusion):
    rng = np.random.default_rng(8)
    judge = SimulatedJudge(rng, score_sd=0.5, duel_sd=0.4, position=3.0)
    noise = replace(constants(quality_sd=1.0, item_sd=0.3), scale=scale, fusion=fusion)
    said = []
    for num in (1, 5, 3, 0, 4, 5, 5, 3):
        ids, quality = [f"c{i}" for i in range(num)], 2 * rng.standard_normal(num)
        duels = judge.duels(ids, quality, list(itertools.permutations(range(num), 2))[: 2 * num])
        said.append((judge.scores(ids, quality), duels))
    together = fuse_all(said, noise)
    for (scores, duels), order in zip(said, together, strict=True):
        alone = fuse(scores, duels, noise)
        assert repr(order) == repr(alone)  # which tells all digits, and that NaN is NaN
    assert rankings(said, noise) == [one.ranking for one in together]
    for strategy in (Bracket(1, noise), Paper(noise)):
        alone = [strategy.order(*one) for one in said]
        assert repr(order_all(strategy, said)) == repr(alone)


# --------------------------------------------------------------------------- the spread as prior


def test_the_spread_draws_scores_to_their_mean():
    """The posterior mean of a Gaussian among Gaussians, in closed form."""
    noise = constants(score_sd=0.8, quality_sd=1.0)
    order = fuse(scored(4.0, 3.0, 1.0), [], noise)
    kept = 1.0**2 / (1.0**2 + 0.8**2)
    mean = 8 / 3
    assert order.strengths == pytest.approx([mean + kept * (one - mean) for one in (4, 3, 1)])
    assert order.difference_sd(0, 2) == pytest.approx(math.sqrt(2 * kept) * 0.8)


def test_with_the_spread_the_margin_of_the_best_over_the_worst_is_honest():
    """Without it, whoever is first out of ten is there partly by luck, and its margin says more."""
    rng = np.random.default_rng(3)
    judge = SimulatedJudge(rng, score_sd=0.8)
    ids, excess = [f"c{i}" for i in range(10)], {1.0: [], math.inf: []}
    for _ in range(400):
        quality = rng.standard_normal(10)
        scores = judge.scores(ids, quality)
        for spread, found in excess.items():
            order = Pointwise(constants(score_sd=0.8, quality_sd=spread)).order(scores, [])
            best, worst = order.ranking[0], order.ranking[-1]
            found.append(order.margin(best, worst) - (quality[best] - quality[worst]))
    # The standard error of either mean is 0.04.
    assert np.mean(excess[1.0]) == pytest.approx(0.0, abs=0.15)
    assert np.mean(excess[math.inf]) == pytest.approx(1.56, abs=0.2)


# -------------------------------------------------------------------------------------- davidson


def votes(first, second, p_first, p_second, p_tie):
    """Both orders of a duel, in agreement."""
    told = Duel(first, second, JUDGE, p_first, p_second, p_tie)
    return [told, told.swap()]


@pytest.mark.parametrize(
    ("p_first", "p_second", "p_tie"), [(0.7, 0.3, 0.0), (0.5, 0.2, 0.3), (0.1, 0.3, 0.6)]
)
def test_davidson_of_two_without_a_prior_is_the_maximum_likelihood(p_first, p_second, p_tie):
    """At the maximum, expected wins minus losses are those seen. For one match and fixed nu,
    with x = exp(d / 2): (x - 1 / x) / (x + 1 / x + nu) = lead, which is quadratic in x."""
    noise = constants(1e4, 1e-6, 1.7, fusion="davidson", p_tie=0.25)
    order = fuse(scored(3.0, 3.0), votes("c0", "c1", p_first, p_second, p_tie), noise)
    lead, nu = p_first - p_second, 2 * 0.25 / 0.75
    x = (lead * nu + math.sqrt((lead * nu) ** 2 + 4 * (1 - lead**2))) / (2 * (1 - lead))
    assert order.margin(0, 1) == pytest.approx(2 * math.log(x) / 1.7, rel=1e-4)


def test_davidson_without_ties_is_bradley_terry():
    """Soft verdicts that come from strengths give those strengths back."""
    noise = constants(1e4, 1e-6, 2.0, fusion="davidson", p_tie=0.0)
    strengths = [1.2, 0.1, -0.6, 0.4]
    duels = [
        one
        for i, j in itertools.combinations(range(4), 2)
        for logit in [2.0 * (strengths[i] - strengths[j])]
        for one in (duel(f"c{i}", f"c{j}", logit), duel(f"c{j}", f"c{i}", -logit))
    ]
    order = fuse(scored(0, 0, 0, 0), duels, noise)
    assert [order.margin(0, i) for i in range(4)] == pytest.approx(
        [strengths[0] - one for one in strengths], rel=1e-4
    )


@given(st.integers(0, 2**32), st.sampled_from([math.inf, 0.7]), st.sampled_from([0.0, 0.3]))
@settings(max_examples=25)
def test_davidson_agrees_with_a_general_optimiser(seed, spread, p_tie):
    """The same posterior, written by its definition with pi = exp(strength), and maximised by
    scipy; the covariance against the Hessian by finite differences."""
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 1, 5)
    noise = constants(0.6, 1e-6, 1.5, spread, "davidson", p_tie)
    duels = []
    for i, j in itertools.combinations(range(5), 2):
        if rng.random() < 0.6:
            p = rng.dirichlet([1, 1, 0.5 if p_tie else 1e-9])
            duels += votes(f"c{i}", f"c{j}", *(p / p.sum()))
    order = fuse(scored(*values), duels, noise)
    nu = 2 * p_tie / (1 - p_tie)

    def loss(s):
        total = ((s - values) ** 2).sum() / 2 / 0.6**2
        if math.isfinite(spread):
            total += ((s - s.mean()) ** 2).sum() / 2 / spread**2
        for met in matchups(duels):
            one, two = (math.exp(1.5 * s[int(name[1])]) for name in (met.first_id, met.second_id))
            tie = nu * math.sqrt(one * two)
            total -= 2 * met.p_first * math.log(one / (one + two + tie))
            total -= 2 * met.p_second * math.log(two / (one + two + tie))
            if p_tie:
                total -= 2 * met.p_tie * math.log(tie / (one + two + tie))
        return total

    found = minimize(
        loss,
        values,
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 20_000, "maxfev": 20_000},
    )
    assert order.strengths == pytest.approx(found.x, abs=2e-3)
    assert loss(np.array(order.strengths)) <= found.fun + 1e-9
    hessian = approx_fprime(np.array(order.strengths), lambda s: approx_fprime(s, loss, 1e-6), 1e-4)
    assert np.linalg.inv(np.array(order.covariance)) == pytest.approx(hessian, abs=0.02)


def test_a_sure_win_says_who_is_better_and_not_by_how_much():
    """A verdict read from text has probability 1. As a measurement it outvotes two clear scores;
    as a vote it does not."""
    scores, won = scored(2.0, 3.5), votes("c0", "c1", 1.0, 0.0, 0.0)
    measured = fuse(scores, won, NOISE)
    voted = fuse(scores, won, replace(NOISE, fusion="davidson"))
    assert measured.ranking == (0, 1)
    assert voted.ranking == (1, 0)
    assert -1.5 < voted.margin(0, 1) < 0


def test_a_tie_draws_two_together_and_favours_neither():
    noise = replace(NOISE, fusion="davidson")
    tie = votes("c0", "c1", 0.0, 0.0, 1.0)
    order = fuse(scored(3.0, 2.0), tie, noise)
    assert 0 < order.margin(0, 1) < 1.0
    assert fuse(scored(2.0, 2.0), tie, noise).margin(0, 1) == 0.0
    # Two orders that contradict each other are half a win each.
    flipped = [duel("c0", "c1", 30.0), duel("c1", "c0", 30.0)]
    assert fuse(scored(2.0, 2.0), flipped, noise).margin(0, 1) == pytest.approx(0.0)


def test_the_standard_deviations_of_davidson_are_those_of_votes():
    rng = np.random.default_rng(4)
    noise = constants(0.5, 1e-6, 2.0, fusion="davidson", p_tie=0.2)
    nu, standardised, said = 2 * 0.2 / 0.8, [], []
    qualities = rng.normal(size=(600, 4)) * 0.5
    for quality in qualities:
        scores = scored(*(quality + 0.5 * rng.normal(size=4)))
        duels = []
        for i, j in itertools.combinations(range(4), 2):
            d = 2.0 * (quality[i] - quality[j])
            weights = np.array([math.exp(d / 2), math.exp(-d / 2), nu])
            p = weights / weights.sum()
            duels.append(Duel(f"c{i}", f"c{j}", JUDGE, *rng.multinomial(1, p)))
            duels.append(Duel(f"c{j}", f"c{i}", JUDGE, *rng.multinomial(1, p[[1, 0, 2]])))
        said.append((scores, duels))
    for quality, order in zip(qualities, fuse_all(said, noise), strict=True):
        for i, j in ((0, 1), (2, 3)):
            error = order.margin(i, j) - (quality[i] - quality[j])
            standardised.append(error / order.difference_sd(i, j))
    # 1200 nearly standard normal numbers: the sd of their sd is 0.02.
    assert np.std(standardised) == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("fusion", ["least_squares", "davidson"])
def test_nothing_to_fuse(fusion):
    noise = constants(quality_sd=1.0, fusion=fusion)
    assert fuse([], [], noise).ranking == ()
    order = fuse(scored(2.0), [], noise)
    assert (order.ranking, order.strengths) == ((0,), pytest.approx((2.0,)))
    assert fuse([score("c0", math.nan, "no")], [], noise).ranking == ()
