"""Three rounds of the loop on the sandbox, with the oracle as truth: does each make it better?

    python -m tests.benchmarks.three_rounds [--root runs/three-rounds] [key=value …]

The laptop recipe made smaller, so that three rounds take about as long as two of it: the 360 sweep
prompts with 6 candidates, 80 steps for the judge and 150 for the generator (see OVERRIDES).
Finished stages are left alone. Held-out prompts are drawn from equal noise in every round, and the
oracle never changes, so its scores can be followed from round to round.

decisions: of each round.
oracle_scores: of the generator that the recipe starts from, and of the champion after each round.
score_gains, score_gains_low: challenger minus champion of each round, by the oracle, in points.
win_rates, win_rates_low: likewise, ties half.
judge_win_rates: the same by the judge that made the pairs.
is_met: whether in each round the oracle's gain is above zero with its whole interval, or the gate
    kept the champion and said why.
"""

from __future__ import annotations

import argparse
import json

from factory.sandbox.oracle_judge import NAME as ORACLE
from jobs import cli
from jobs.rounds.history import rounds_so_far
from jobs.rounds.workspace import Round
from jobs.stages.run import run_loop
from schemas import results
from schemas.recipe_file import load
from schemas.results import Estimate, Evaluation

OVERRIDES = (
    "num_rounds=3",
    "labels.num_candidates=3",
    "train_judge.num_steps=80",
    "produce.prompts=jobs/recipes/prompts/sweep.txt",
    "produce.num_candidates=6",
    "audit.num_groups=12",
    "align.num_steps=150",
)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/three-rounds")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    recipe = load(cli.LAPTOP, [*OVERRIDES, f"root={given.root}", *given.overrides])
    run_loop(recipe)
    figures: dict[str, list[object]] = {
        name: []
        for name in (
            "decisions",
            "oracle_scores",
            "score_gains",
            "score_gains_low",
            "win_rates",
            "win_rates_low",
            "judge_win_rates",
        )
    }
    is_met = True
    for one in rounds_so_far(recipe):
        at = Round(recipe, one.number)
        found = results.read(at.directory("evaluation") / results.EVALUATION, Evaluation)
        if found is None:
            is_met = False
            break
        gain, won = (_by_oracle(found, name) for name in ("score gain", "win rate"))
        assert one.won_by_own is not None
        assert one.score_before is not None
        assert one.score_after is not None
        if not figures["oracle_scores"]:
            figures["oracle_scores"].append(one.score_before.value)
        is_promoted = one.decision == "promote"
        figures["decisions"].append(one.decision)
        champion = one.score_after if is_promoted else one.score_before
        figures["oracle_scores"].append(champion.value)
        figures["score_gains"].append(gain.value)
        figures["score_gains_low"].append(gain.low)
        figures["win_rates"].append(won.value)
        figures["win_rates_low"].append(won.low)
        figures["judge_win_rates"].append(one.won_by_own.value)
        is_better = gain.low is not None and gain.low > 0
        is_met &= is_better if is_promoted else bool(one.reasons)
    rounded = {
        name: [round(one, 4) if isinstance(one, float) else one for one in values]
        for name, values in figures.items()
    }
    print(json.dumps({**rounded, "is_met": is_met}))


def _by_oracle(found: Evaluation, name: str) -> Estimate:
    return next(one for one in found.gains if one.name == name and one.by == ORACLE)


if __name__ == "__main__":
    main()
