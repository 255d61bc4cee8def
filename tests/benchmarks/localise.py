"""What a judge gains on one region by going on from its parent with that region's labels.

    python -m tests.benchmarks.localise [--root runs/localise] [--prompts 160] [--taste 0.2]
        [--steps 60] [key=value …]

Runs `label` and `train_judge` of the laptop recipe, made smaller (see OVERRIDES), for the parent.
Simulated annotators of a region "north" then label other prompts' pictures. They are no less exact
than the parent's, but they like bright pictures: one standard deviation of brightness is worth
`--taste` of the quality that the oracle measures, from 0 to 1. `jobs.localise` makes the child of
the labels of three quarters of these prompts. Finished stages are left alone.

Parent and child are measured on the same held-out labels: the region's, and the parent's own, which
have no such taste ("overall"). Accuracy is the share of pairs without ties on which a judge prefers
what the annotator prefers; with annotators' mistakes, 1 is out of reach. Intervals are clustered by
prompt.

slice_parent, slice_child, slice_gain: accuracies on the region's labels, and their difference.
overall_parent, overall_child, overall_gain: the same on the parent's labels.
*_low, *_high: 95 % intervals.
slice_pairs, overall_pairs, slice_invalid, overall_invalid: labels that count, and those that either
    judge could not read.
decision: of the gates: the child stands in for its parent on the slice, or the parent is kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from actors.generators import DiffusersGenerator
from factory.candidates import candidate_seeds
from factory.prompts import read_prompts
from factory.sandbox.annotators import Annotator
from factory.sandbox.four_tasks import Side, simulated_labels
from jobs import cli
from jobs.datasets.files import write_table
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from schemas import results
from schemas.arrow import labels_to_table
from schemas.recipe import GeneratorSpec
from schemas.recipe_file import load
from schemas.rows import Label, Prompt

OVERRIDES = ("labels.num_candidates=3", "train_judge.num_steps=80")
_PROMPTS = "jobs/recipes/prompts/sweep.txt"
_NUM_CANDIDATES, _NUM_PAIRS = 3, 3


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/localise")
    parser.add_argument("--prompts", type=int, default=160, help="label prompts of the region")
    parser.add_argument("--taste", type=float, default=0.2, help="quality for one sd of brightness")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    labels = Path(given.root) / f"north-{given.prompts}-{given.taste:g}.parquet"
    section = {
        "name": "judge-north",
        "labels": str(labels),
        "num_steps": given.steps,
        "batch_size": 16,
        "learning_rate": 2e-4,
        "warmup_steps": 5,
    }
    recipe = load(
        cli.LAPTOP,
        [*OVERRIDES, f"root={given.root}", f"localise={json.dumps(section)}", *given.overrides],
    )
    if not labels.is_file():
        labels.parent.mkdir(parents=True, exist_ok=True)
        made = regional_labels(recipe.generator, given.prompts, given.taste)
        write_table(labels, labels_to_table(made))
        print(f"{labels}: {len(made)} labels, all simulated", flush=True)
    run_stages(recipe, 1, ["label", "train_judge", "localise"])

    directory = Round(recipe, 1).directory("local_judge")
    found = results.read(directory / results.LOCALISATION, results.Localisation)
    decision = results.read(directory / results.FINDINGS, results.Decision)
    assert found is not None
    assert decision is not None
    print(json.dumps({**figures_of(found), "decision": decision.decision}))


def figures_of(found: results.Localisation) -> dict[str, float | None]:
    """The accuracies of parent and child and their difference, with intervals."""
    told = {(one.name, one.by): one for one in found.estimates}
    figures: dict[str, float | None] = {}
    for key, where in (("slice", "on the slice"), ("overall", "elsewhere")):
        of = f"accuracy {where}"
        for name, one in (
            (f"{key}_parent", told[of, found.parent]),
            (f"{key}_child", told[of, found.judge]),
            (f"{key}_gain", told[f"change of {of}", found.judge]),
        ):
            figures[name] = _rounded(one.value)
            figures |= {f"{name}_low": _rounded(one.low), f"{name}_high": _rounded(one.high)}
            figures |= {f"{key}_pairs": one.num, f"{key}_invalid": one.num_invalid}
    return figures


def regional_labels(spec: GeneratorSpec, num_prompts: int, taste: float) -> list[Label]:
    """Simulated labels of pictures of the recipe's generator; every fourth prompt is held out."""
    generator = DiffusersGenerator(spec.path, f"{spec.name}@0", spec)
    annotators = [
        Annotator(f"north-{at}", 0.03, 0.02, biases={"brightness": taste}, seed=11 + at)
        for at in range(2)
    ]
    made: list[Label] = []
    for number, one in enumerate(read_prompts(_PROMPTS)[:num_prompts]):
        prompt = Prompt.of(one.text, one.task, {**one.tags, "region": "north"})
        drawn = generator.generate(
            prompt, candidate_seeds(prompt, generator.name, 0, _NUM_CANDIDATES)
        )
        sides = [Side(candidate.media) for candidate in drawn]
        split = "heldout" if number % 4 == 3 else "train"
        made += simulated_labels(prompt, sides, annotators, _NUM_PAIRS, split, seed=0)
    return made


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


if __name__ == "__main__":
    main()
