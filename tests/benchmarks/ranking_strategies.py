"""What each ranking strategy's pair is worth, with the sandbox oracle as truth, and in simulation.

    python -m tests.benchmarks.ranking_strategies [--root runs/laptop] [key=value …]

The laptop recipe's judge (made first where it is missing) scores ten candidates of each prompt in
jobs/recipes/prompts/sweep.txt and plays all 90 duels, once; every strategy is then replayed from
those. The noise that strategies reckon with is fitted on a third of the prompts, and everything
else is reported on the others. The pair is the order's first and last, of any positive margin.

forwards: scores and duels that the judge actor would ask for. The judge always scores.
margin: oracle's points (1 to 5) of the chosen side minus those of the rejected one.
claimed: the same margin as the order states it.
precision: share of pairs whose chosen side the oracle prefers; its ties count against.
better: candidates that the oracle prefers to the chosen one.
yield: share of prompts with a pair; `kept` of those that the recipe's objections let pass.

Three tables: the judge's probabilities, as the factory reads them; the same statements as text
would give them (whole points and sure verdicts, as published scripts read them, here by rounding);
and a simulation, with the noise that chose the bracket and with the noise that the sandbox judge
turns out to have. Intervals are clustered by prompt; ratios are paired by prompt.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from factory.curation.curator import Curator
from factory.filters import Objection, objections_of
from factory.ranking import (
    Bracket,
    Noise,
    Pairwise,
    Paper,
    Pointwise,
    RandomPairs,
    Ring,
    RoundRobin,
    Strategy,
)
from factory.ranking.matchups import matchups
from factory.sandbox.oracle import ORACLE_TIE, measure_png
from factory.statistics.intervals import (
    Array,
    Interval,
    bootstrap_of_sums,
    clustered_bootstrap,
    ratio,
)
from jobs import cli
from jobs.datasets.reading import read_groups
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Candidate, Group
from tests.factory.simulated import SimulatedJudge, constants, play

PROMPTS = "jobs/recipes/prompts/sweep.txt"
NUM_CANDIDATES = 10
FIT_EVERY = 3  # every third prompt fits the noise
NUM_SIMULATED = 3000
#: The simulation that chose the bracket: errors in standard deviations of quality, logits for the
#: side shown first.
SIMULATED = {"score_sd": 0.8, "duel_sd": 0.5, "item_sd": 0.3, "position": 1.0}


@dataclass(frozen=True)
class Truth:
    """Points of each candidate; differences below `tie` are none."""

    points: npt.NDArray[np.float64]
    tie: float


@dataclass(frozen=True)
class Outcome:
    """One prompt under one strategy; NaN where there is no pair."""

    forwards: float
    margin: float = math.nan
    claimed: float = math.nan
    precision: float = math.nan
    better: float = math.nan
    has_pair: float = 0.0
    is_kept: float = 0.0
    kept_precision: float = math.nan


Results = Mapping[str, Sequence[Outcome]]


def strategies(noise: Noise) -> dict[str, Strategy]:
    """Every strategy, by its name in the tables."""
    return {
        "random": RandomPairs(),
        "pointwise": Pointwise(noise),
        "pairwise": Pairwise(noise),
        "paper": Paper(noise),
        "bracket": Bracket(2, noise),
        "bracket 3+3": Bracket(3, noise),
        "ring": Ring(2, noise),
        "round_robin": RoundRobin(noise),
    }


def replay(
    strategy: Strategy, group: Group, truth: Truth, objections: Sequence[Objection]
) -> Outcome:
    """One prompt: the strategy's duels are looked up among all that were played."""
    ids = [score.candidate_id for score in group.scores]
    told = {(duel.first_id, duel.second_id): duel for duel in group.duels}
    duels, _ = play(
        strategy, group.scores, lambda matches: [told[ids[i], ids[j]] for i, j in matches]
    )
    forwards = len(group.scores) + len(duels)
    (pair,) = Curator(strategy, tuple(objections))(replace(group, duels=tuple(duels)))
    if pair.verdict == "invalid" or pair.margin <= 0:
        return Outcome(forwards)
    chosen, rejected = (
        truth.points[ids.index(side.candidate_id)] for side in (pair.chosen, pair.rejected)
    )
    is_right = float(chosen - rejected >= max(truth.tie, 1e-9))
    is_kept = pair.verdict == "kept"
    return Outcome(
        forwards,
        float(chosen - rejected),
        pair.margin,
        is_right,
        float((truth.points - chosen >= max(truth.tie, 1e-9)).sum()),
        1.0,
        float(is_kept),
        is_right if is_kept else math.nan,
    )


def as_text(group: Group) -> Group:
    """The same statements as a reader of text gets them: whole points, verdicts without doubt."""
    scores = [replace(one, value=float(np.rint(one.value))) for one in group.scores]
    duels = [
        replace(
            one,
            p_first=float(one.preference == "first"),
            p_second=float(one.preference == "second"),
            p_tie=float(one.preference == "tie"),
        )
        for one in group.duels
    ]
    return replace(group, scores=tuple(scores), duels=tuple(duels))


def measure_noise(groups: Sequence[Group], truths: Sequence[Truth]) -> tuple[Noise, float]:
    """The judge's noise by a model of three measurements, and the error that a candidate's score
    and duels share, in points.

    Score differences and log-odds are two views of one judged quality, with independent noise. The
    truth, as an instrument, says what log-odds one point of score is worth; the covariance of the
    two views is then the variance of judged quality, and what either varies beyond is its noise.
    """
    score, logit, true = [], [], []
    for group, truth in zip(groups, truths, strict=True):
        row = {one.candidate_id: at for at, one in enumerate(group.scores)}
        for met in matchups(group.duels):
            i, j = row[met.first_id], row[met.second_id]
            score.append(group.scores[i].value - group.scores[j].value)
            logit.append(met.logit)
            true.append(truth.points[i] - truth.points[j])
    s, m, t = np.array(score), np.array(logit), np.array(true)
    logits_per_point = float((m @ t) / (s @ t))
    points = m / logits_per_point
    judged = float((s @ points) / len(s))  # variance of a difference of judged quality
    slope = (s @ t) / (t @ t)
    noise = Noise(
        score_sd=math.sqrt(max(float(s @ s) / len(s) - judged, 1e-4) / 2),
        duel_sd=math.sqrt(max(float(points @ points) / len(s) - judged, 1e-4)),
        logits_per_share=logits_per_point,  # a share is a point here, whatever the scale
        quality_sd=math.sqrt(judged / 2),
        item_sd=0.0,
    )
    shared = judged / 2 - float(slope**2 * (t @ t)) / len(t) / 2
    return noise, math.sqrt(max(shared, 0.0))


def simulate(judge: SimulatedJudge, quality_sd: float, noise: Noise, num: int) -> Results:
    """All strategies on simulated groups of known quality."""
    groups, truths = [], []
    for number in range(num):
        quality = quality_sd * judge.rng.standard_normal(NUM_CANDIDATES)
        groups.append(judge.judge(number, quality))
        truths.append(Truth(np.asarray(quality), 0.0))
    return run(strategies(noise), groups, truths, ())


def run(
    named: Mapping[str, Strategy],
    groups: Sequence[Group],
    truths: Sequence[Truth],
    objections: Sequence[Objection],
) -> Results:
    """Replay every strategy on every group."""
    return {
        name: [
            replay(strategy, group, truth, objections)
            for group, truth in zip(groups, truths, strict=True)
        ]
        for name, strategy in named.items()
    }


def column(outcomes: Sequence[Outcome], name: str) -> Interval:
    """The mean of one measurement with its interval: one outcome a prompt, so prompts are rows."""
    values = [getattr(one, name) for one in outcomes]
    return clustered_bootstrap(values, [str(number) for number in range(len(values))])


def margin_ratio(one: Sequence[Outcome], other: Sequence[Outcome]) -> Interval:
    """Mean true margin of one strategy's pairs over that of another's, paired by prompt."""
    terms = np.array([[*_margin(a), *_margin(b)] for a, b in zip(one, other, strict=True)])

    def statistic(sums: Array) -> Array:
        return ratio(ratio(sums[:, 0], sums[:, 1]), ratio(sums[:, 2], sums[:, 3]))

    return bootstrap_of_sums(terms, [str(number) for number in range(len(terms))], statistic)


def _margin(outcome: Outcome) -> tuple[float, float]:
    return (outcome.margin, 1.0) if outcome.has_pair else (0.0, 0.0)


def show(title: str, results: Results, *, with_objections: bool) -> None:
    """Print one table."""
    columns = ["forwards", "margin", "claimed", "precision", "better", "has_pair"]
    columns += ["is_kept", "kept_precision"] if with_objections else []
    print(f"\n{title}")
    print(f"  {'':<12}" + "".join(f"{_TITLES.get(name, name):<24}" for name in columns))
    for name, outcomes in results.items():
        cells = [_cell(column(outcomes, one)) for one in columns]
        print(f"  {name:<12}" + "".join(f"{cell:<24}" for cell in cells))


_TITLES = {"has_pair": "yield", "is_kept": "kept", "kept_precision": "precision of kept"}


def _cell(found: Interval) -> str:
    if found.low == found.high or math.isnan(found.low):
        return f"{found.value:.4g}"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    groups, invalid_rate = _judged(given.root, given.overrides)
    truths = [
        Truth(
            np.array([_points(one, group.prompt.text) for one in group.candidates]),
            4 * ORACLE_TIE,
        )
        for group in groups
    ]
    is_fit = [number % FIT_EVERY == 0 for number in range(len(groups))]
    noise, shared_sd = measure_noise(
        list(itertools.compress(groups, is_fit)), list(itertools.compress(truths, is_fit))
    )
    is_shown = [not one for one in is_fit]
    groups = list(itertools.compress(groups, is_shown))
    truths = list(itertools.compress(truths, is_shown))
    true_sd = math.sqrt(np.mean([truth.points.var(ddof=1) for truth in truths]))
    print(
        f"\n{len(groups)} prompts of {NUM_CANDIDATES} candidates; noise fitted on {sum(is_fit)} "
        f"others: score {noise.score_sd:.2f}, duel {noise.duel_sd:.2f}, error that both share "
        f"{shared_sd:.2f} points; {noise.logits_per_share:.2f} logits a point; spread of judged "
        f"quality {noise.quality_sd:.2f}, of true quality {true_sd:.2f}"
    )
    objections = objections_of(load(cli.LAPTOP, given.overrides).curate.objections)
    soft = run(strategies(noise), groups, truths, objections)
    show("the judge's probabilities, oracle as truth", soft, with_objections=True)
    votes = replace(noise, fusion="davidson", p_tie=_tie_rate(groups))
    texts = [as_text(group) for group in groups]
    text = run(strategies(votes), texts, truths, objections)
    show("the same statements read as text, oracle as truth", text, with_objections=True)

    wide = SimulatedJudge(np.random.default_rng(0), **SIMULATED)
    wide_noise = constants(SIMULATED["score_sd"], SIMULATED["duel_sd"], 2.0, 1.0)
    wide_results = simulate(wide, 1.0, wide_noise, NUM_SIMULATED)
    show(
        f"simulation, {NUM_SIMULATED} prompts, noise of the bracket's choice ({SIMULATED})",
        wide_results,
        with_objections=False,
    )
    alike = SimulatedJudge(
        np.random.default_rng(1),
        score_sd=noise.score_sd,
        duel_sd=noise.duel_sd,
        item_sd=shared_sd,
        logits_per_point=noise.logits_per_share,
    )
    alike_results = simulate(alike, true_sd, noise, NUM_SIMULATED)
    show(
        f"simulation, {NUM_SIMULATED} prompts, noise of the sandbox judge",
        alike_results,
        with_objections=False,
    )
    ratios = {
        "bracket_over_paper": margin_ratio(soft["bracket"], soft["paper"]),
        "bracket_over_paper_as_text": margin_ratio(soft["bracket"], text["paper"]),
        "text_bracket_over_paper": margin_ratio(text["bracket"], text["paper"]),
        "bracket_of_round_robin": margin_ratio(soft["bracket"], soft["round_robin"]),
        "round_robin_over_paper": margin_ratio(soft["round_robin"], soft["paper"]),
        "simulated_bracket_over_paper": margin_ratio(
            wide_results["bracket"], wide_results["paper"]
        ),
        "simulated_bracket_of_round_robin": margin_ratio(
            wide_results["bracket"], wide_results["round_robin"]
        ),
        "sandbox_noise_bracket_over_paper": margin_ratio(
            alike_results["bracket"], alike_results["paper"]
        ),
    }
    print("\nratios of mean true margins, paired by prompt")
    for name, found in ratios.items():
        print(f"  {name:<34} {_cell(found)}")
    figures = _figures(ratios, soft, text, wide_results, noise, shared_sd)
    print(json.dumps({**figures, "invalid_rate": round(invalid_rate, 4)}))


def _figures(
    ratios: Mapping[str, Interval],
    soft: Results,
    text: Results,
    simulated: Results,
    noise: Noise,
    shared_sd: float,
) -> dict[str, float]:
    figures: dict[str, float] = {"num_prompts": len(soft["paper"])}
    for name, found in ratios.items():
        figures |= {name: found.value, f"{name}_low": found.low}
    for prefix, results in (("", soft), ("text_", text), ("simulated_", simulated)):
        for name, outcomes in results.items():
            key = f"{prefix}{name.replace(' ', '_').replace('+', '_')}"
            for measured in ("forwards", "margin", "precision", "better", "has_pair"):
                title = _TITLES.get(measured, measured)
                figures[f"{key}_{title}"] = column(outcomes, measured).value
    figures |= {
        "score_sd": noise.score_sd,
        "duel_sd": noise.duel_sd,
        "logits_per_point": noise.logits_per_share,
        "quality_sd": noise.quality_sd,
    }
    return {name: round(value, 4) for name, value in figures.items()} | {
        "shared_error_sd": round(shared_sd, 4)
    }


def _judged(root: str, overrides: Sequence[str]) -> tuple[list[Group], float]:
    """Groups with all duels, by the laptop recipe's judge; and the share that is left out, since
    some statement in them could not be read.
    """
    common = load(cli.LAPTOP, [f"root={root}", *overrides])
    run_stages(common, 1, ["label", "train_judge"])
    recipe = load(
        cli.LAPTOP,
        [
            f"root={Path(root) / 'ranking'}",
            *overrides,
            f"produce.prompts={PROMPTS}",
            f"produce.num_candidates={NUM_CANDIDATES}",
            "curate.rank.strategy=round_robin",
        ],
    )
    _share(common, recipe)
    run_stages(recipe, 1, ["produce"])
    groups = read_groups(Round(recipe, 1).directory("groups"))
    usable = [group for group in groups if group.error is None and not _num_errors(group)]
    num_left_out = len(groups) - len(usable)
    print(f"{len(groups)} groups, {num_left_out} left out for an error in them")
    return usable, num_left_out / len(groups)


def _num_errors(group: Group) -> int:
    return sum(one.error is not None for one in (*group.scores, *group.duels))


def _share(source: Recipe, target: Recipe) -> None:
    for kind in ("labels", "judge"):
        directory = Round(target, 1).directory(kind)
        if not directory.exists():
            shutil.copytree(Round(source, 1).directory(kind), directory)


def _points(candidate: Candidate, caption: str) -> float:
    assert candidate.media is not None  # it has been judged
    return 1 + 4 * measure_png(candidate.media.data, caption).quality


def _tie_rate(groups: Sequence[Group]) -> float:
    """Share of the verdicts that are ties, as a stand-in for that between equals."""
    verdicts = [duel.preference for group in groups for duel in group.duels]
    return sum(one == "tie" for one in verdicts) / len(verdicts)


if __name__ == "__main__":
    main()
