"""What a distilled judge keeps of its teacher's accuracy, and how much faster it is.

    python -m tests.benchmarks.light_judge [--root runs/laptop] [key=value …]

Takes the judge and the groups of the laptop loop (made first where missing), distils the judge as
the recipe's `distil` says, and lets the teacher, the light judge's weights and its two ONNX files
compare fresh candidates of the base generator on held-out prompts, with the sandbox oracle as
truth.

accuracy: share of pairs that the oracle calls no tie on which a judge prefers the same side.
kept: the accuracy above chance as a share of the teacher's, with an interval clustered by prompt.
speed: judgements a second of one thread over the teacher's, a judgement being the scores of two
    candidates and their duel in both orders, media decoded; see `jobs.distil`.
mb: of the weights, or of the file.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.refs import JudgeRef, OnnxRef
from factory.evaluation.judge_change import share_kept
from factory.ranking.matchups import Matchup, matchups
from factory.sandbox.oracle_judge import NAME as ORACLE_NAME
from factory.statistics.intervals import bootstrap_of_sums
from jobs import cli
from jobs.pipelines.models import judge_ref
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from schemas import results
from schemas.recipe_file import load
from schemas.rows import Group
from tests.benchmarks.closed_loop import compared

_FILES = {"weights": "model.safetensors", "onnx": "judge.onnx", "int8": "judge.int8.onnx"}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/laptop")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    recipe = load(cli.LAPTOP, [f"root={given.root}", *given.overrides])
    run_stages(recipe, 1, ["label", "train_judge", "produce", "distil"])
    at = Round(recipe, 1)
    directory = Path(str(at.directory("light_judge")))
    light = JudgeRef(str(directory), "weights@1", recipe.judge.precision)
    forms: dict[str, Any] = {
        "teacher": replace(judge_ref(at), address="teacher@1"),
        "weights": light,
        "onnx": OnnxRef(str(directory), "onnx@1", _FILES["onnx"]),
        "int8": OnnxRef(str(directory), "int8@1", _FILES["int8"]),
    }
    groups = compared(at, "light", list(forms.values()))
    figures: dict[str, Any] = {"pairs": 0}
    right = {form: verdicts(groups, f"{form}@1") for form in forms}
    figures["pairs"] = len(right["teacher"])
    figures["teacher_accuracy"] = round(float(np.mean([hit for _, hit in right["teacher"]])), 4)
    measured = results.read(directory / results.DISTILLATION, results.Distillation)
    assert measured is not None
    speeds = {one.by: one.value for one in measured.estimates if one.name == "speed gained"}
    for form, file in _FILES.items():
        prompts = [prompt for prompt, _ in right[form]]
        terms = np.array(
            [
                (old - 0.5, new - 0.5)
                for (_, old), (_, new) in zip(right["teacher"], right[form], strict=True)
            ]
        )
        kept = bootstrap_of_sums(terms, prompts, share_kept)
        by = measured.judge if form == "weights" else f"{measured.judge}/{file}"
        figures |= {
            f"{form}_accuracy": round(float(np.mean([hit for _, hit in right[form]])), 4),
            f"{form}_kept": round(kept.value, 4),
            f"{form}_kept_low": round(kept.low, 4),
            f"{form}_speed": round(speeds[by] or math.nan, 2),
            f"{form}_mb": round((directory / file).stat().st_size / 1e6, 2),
        }
    print(json.dumps(figures))


def verdicts(groups: list[Group], judge: str) -> list[tuple[str, float]]:
    """Of each pair that the oracle calls no tie: its prompt, and whether the judge prefers the same
    side; an exact draw is half.
    """
    found = []
    for group in groups:
        said = {(one.first_id, one.second_id): one for one in met(group, judge)}
        for one in met(group, ORACLE_NAME):
            if one.preference != "tie":
                lead = np.sign(said[one.first_id, one.second_id].logit)
                truth = 1 if one.preference == "first" else -1
                found.append((group.prompt.prompt_id, float((1 + lead * truth) / 2)))
    return found


def met(group: Group, judge: str) -> list[Matchup]:
    """One judge's matchups, each with its sides in the order of their ids."""
    found = matchups([duel for duel in group.duels if duel.judge == judge])
    return [one if one.first_id < one.second_id else one.swap() for one in found]


if __name__ == "__main__":
    main()
