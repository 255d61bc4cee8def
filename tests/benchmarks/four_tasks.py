"""One judge for four tasks, fine-tuned from the shipped base and measured by the oracle.

    python -m tests.benchmarks.four_tasks [--root runs/four-tasks] [--prompts 640] [--heldout 240]
        [key=value …]

Simulated annotators label pictures of the shipped generator, drawn clips, and answers to questions
about drawn pictures and clips; `jobs.train_judge` with the recipe `four_tasks.yaml` makes the judge
of them (finished stages are left alone); then it judges prompts that neither it nor its base has
seen. Truth is the oracle's measurement without noise. For each task, with 95 % intervals clustered
by prompt and the rate of invalid judgements:

accuracy: of the pairs that the oracle calls no tie, those in which the judge (both orders together)
    prefers the same side.
flip: pairs whose verdict (tie is one) changes with the order shown.
ece: expected calibration error of the probability that the first side is better, a tie counting
    half, after a temperature fitted on the other half of the prompts.
spearman: of the expected score with the oracle's quality.
claims: factual claims in the judge's justifications that the oracle finds true; the judge gives a
    justification only where it is as sure of it as its specification wants, and `reasons_given` is
    the share of those asked for.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from factory.judging.specification import DEFAULT
from factory.prompts import read_prompts
from factory.ranking.matchups import Matchup, matchup
from factory.sandbox.annotators import Annotator
from factory.sandbox.four_tasks import Side, drawn_cases, see, simulated_labels
from factory.sandbox.reasons import check_claims
from factory.statistics.intervals import Interval, clustered_bootstrap
from factory.statistics.metrics import expected_calibration_error
from jobs.datasets.files import write_table
from jobs.rounds.workspace import Round
from jobs.stages.run import run_stages
from schemas.arrow import labels_to_table
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Candidate, Label, Preference, Prompt, Task
from tests.rank_correlation import spearman

RECIPE = "jobs/recipes/four_tasks.yaml"
TASKS: tuple[Task, ...] = tuple(DEFAULT.tasks)
TARGETS = {
    "image_generation": 0.88,
    "video_generation": 0.85,
    "image_understanding": 0.85,
    "video_understanding": 0.80,
}
_NUM_SIDES = 4
#: Qualities that differ by less are a tie to the oracle, in all four tasks.
_TIE = 0.04
#: Seeds of drawn cases; the base was pretrained on other ones.
_TRAIN, _HELDOUT = 1001, 2002
_ANNOTATORS = (Annotator("ann", 0.03, 0.02, seed=1), Annotator("ben", 0.05, 0.04, seed=2))

Case = tuple[Prompt, list[Side]]


@dataclass(frozen=True)
class Judged:
    """A pair of a held-out prompt: what the oracle and the judge make of it."""

    prompt_id: str
    truth: Preference
    met: Matchup | None  # None where the judge could not say


@dataclass(frozen=True)
class Scored:
    """A candidate of a held-out prompt."""

    prompt_id: str
    quality: float
    score: float


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", default="runs/four-tasks")
    parser.add_argument("--prompts", type=int, default=640, help="label prompts of each task")
    parser.add_argument("--heldout", type=int, default=240, help="held-out prompts of each task")
    parser.add_argument("overrides", nargs="*")
    given = parser.parse_args()
    root = Path(given.root)
    labels = make_labels(root / "labels.parquet", given.prompts)
    overrides = [f"root={root}", f"labels.path={labels}", *given.overrides]
    recipe = load(RECIPE, overrides)
    directory = train(recipe)
    figures: dict[str, float] = {"megabytes": _megabytes(directory)}
    for task in TASKS:
        figures |= measure(directory, task, heldout_cases(task, given.heldout))
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


def train(recipe: Recipe) -> Path:
    """Train the judge by its stage; the directory of the judge."""
    run_stages(recipe, 1, ["label", "train_judge"])
    return Path(Round(recipe, 1).directory("judge"))


# --- labels --------------------------------------------------------------------------------------


def make_labels(path: Path, num_prompts: int, tasks: Sequence[Task] = TASKS) -> Path:
    """Simulated labels of these tasks as a Parquet file; one that is there is left alone."""
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    made: list[Label] = []
    for task in tasks:
        for number, (prompt, sides) in enumerate(train_cases(task, num_prompts)):
            split = "heldout" if number % 8 == 7 else "train"
            made += simulated_labels(prompt, sides, _ANNOTATORS, 5, split, seed=0)
        print(f"{task}: {len(made)} labels so far, all simulated", flush=True)
    write_table(path, labels_to_table(made))
    return path


def train_cases(task: Task, num: int) -> Iterator[Case]:
    if task == "image_generation":
        return _generated(["label", "produce"], num)
    return drawn_cases(task, num, _NUM_SIDES, _TRAIN)


def heldout_cases(task: Task, num: int) -> Iterator[Case]:
    if task == "image_generation":
        return _generated(["heldout"], num)
    return drawn_cases(task, num, _NUM_SIDES, _HELDOUT)


def _generated(names: Sequence[str], num: int) -> Iterator[Case]:
    """Pictures of the shipped generator, as the laptop recipe draws them, of the first prompts of
    these files.
    """
    from actors.generators import DiffusersGenerator
    from factory.candidates import candidate_seeds

    spec = load(RECIPE).generator
    generator = DiffusersGenerator(spec.path, "generator@0", spec)
    prompts = [one for name in names for one in read_prompts(f"jobs/recipes/prompts/{name}.txt")]
    if num > len(prompts):
        raise ValueError(f"there are {len(prompts)} prompts of pictures, not {num}")
    for prompt in prompts[:num]:
        seeds = candidate_seeds(prompt, generator.name, 0, _NUM_SIDES)
        yield prompt, [Side(one.media) for one in generator.generate(prompt, seeds)]


# --- measuring -----------------------------------------------------------------------------------


def measure(directory: Path, task: Task, cases: Iterator[Case]) -> dict[str, float]:
    """Figures of one task; prints each with its interval."""
    from actors.judges import TransformersJudge

    judge = TransformersJudge(str(directory), "judge@1")
    pairs: list[Judged] = []
    points: list[Scored] = []
    claims: list[tuple[str, bool]] = []
    reasons: list[str] = []
    for prompt, sides in cases:
        some, found, sitting = judge_pairs(judge, prompt, sides)
        pairs += some
        for seen, score in zip(found, sitting.scores(), strict=True):
            value = score.value if score.error is None else math.nan
            points.append(Scored(prompt.prompt_id, seen.quality, value))
        # One justification of a pair and one of a score, of the first candidates.
        met = some[0].met if some else None
        if met is not None:
            reasons.append(sitting.justify_duel((0, 1), met.preference))
            claims += _checked(prompt, reasons[-1], found[:2])
        if math.isfinite(points[-len(sides)].score):
            reasons.append(sitting.justify_score(0, points[-len(sides)].score))
            claims += _checked(prompt, reasons[-1], found[:1])
    given = sum(map(bool, reasons)) / len(reasons)
    return {**_figures(task, pairs, points, claims, given), f"{task}.reasons_given": given}


def _checked(prompt: Prompt, reason: str, seen: Sequence[Any]) -> list[tuple[str, bool]]:
    """Whether each claim is true, by prompt; none where no reason is given."""
    return [(prompt.prompt_id, one) for one in check_claims(reason, seen)] if reason else []


def judge_pairs(judge: Any, prompt: Prompt, sides: Sequence[Side]) -> tuple[list[Judged], Any, Any]:
    """All pairs of a prompt's candidates, what the oracle sees of each, and the judge's sitting."""
    found = [see(prompt, side) for side in sides]
    candidates = [
        Candidate(str(at), "case", 0, side.media, side.answer) for at, side in enumerate(sides)
    ]
    sitting = judge.sit(prompt, candidates)
    matches = list(itertools.permutations(range(len(sides)), 2))
    duels = sitting.duels(matches)
    pairs = []
    for first, second in itertools.combinations(range(len(sides)), 2):
        lead = found[first].quality - found[second].quality
        truth: Preference = "tie" if abs(lead) < _TIE else "first" if lead > 0 else "second"
        pairs.append(Judged(prompt.prompt_id, truth, matchup(duels, str(first), str(second))))
    return pairs, found, sitting


def _figures(
    task: Task,
    pairs: Sequence[Judged],
    points: Sequence[Scored],
    claims: Sequence[tuple[str, bool]],
    given: float,
) -> dict[str, float]:
    read = [one for one in pairs if one.met is not None]
    invalid = 1 - len(read) / len(pairs)
    decided = [one for one in read if one.truth != "tie"]
    hits = [(one.met.logit > 0) == (one.truth == "first") for one in decided if one.met]
    accuracy = clustered_bootstrap(list(map(float, hits)), [one.prompt_id for one in decided])
    flips = clustered_bootstrap(
        [float(one.met.is_flipped) for one in read if one.met], [one.prompt_id for one in read]
    )
    truths = clustered_bootstrap(
        [float(is_true) for _, is_true in claims], [prompt for prompt, _ in claims]
    )
    rank = spearman([one.quality for one in points], [one.score for one in points])
    temperature, before, ece = calibrate(read)
    print(
        f"{task}: accuracy {_shown(accuracy)} of {len(decided)} pairs (target {TARGETS[task]}), "
        f"flip rate {_shown(flips)}, invalid {invalid:.3f}\n"
        f"  ECE {before:.3f}, {ece:.3f} at temperature {temperature:.2f}; "
        f"Spearman of the score {rank:.3f} of {len(points)}; "
        f"true claims {_shown(truths)} of {len(claims)}, "
        f"in the {given:.0%} of reasons that it was sure of",
        flush=True,
    )
    return {
        f"{task}.accuracy": accuracy.value,
        f"{task}.accuracy_low": accuracy.low,
        f"{task}.flip_rate": flips.value,
        f"{task}.invalid_rate": invalid,
        f"{task}.ece": ece,
        f"{task}.spearman": rank,
        f"{task}.true_claims": truths.value,
        f"{task}.num_claims": len(claims),
    }


def calibrate(read: Sequence[Judged]) -> tuple[float, float, float]:
    """A temperature fitted on half of the prompts; ECE before and after it on the other half."""
    prompts = sorted({one.prompt_id for one in read})
    random.Random(0).shuffle(prompts)
    fitted = set(prompts[: len(prompts) // 2])
    outcome = {"first": 1.0, "second": 0.0, "tie": 0.5}

    def columns(is_fitted: bool) -> tuple[Any, Any]:
        rows = [one for one in read if (one.prompt_id in fitted) == is_fitted]
        logits = [one.met.logit for one in rows if one.met]
        return np.array(logits), np.array([outcome[one.truth] for one in rows])

    logits, outcomes = columns(True)
    options = np.geomspace(0.2, 5.0, 81)
    losses = [_cross_entropy(logits / one, outcomes) for one in options]
    best = float(options[int(np.argmin(losses))])
    logits, outcomes = columns(False)
    before = expected_calibration_error(_sigmoid(logits), outcomes)
    return best, before, expected_calibration_error(_sigmoid(logits / best), outcomes)


def _sigmoid(logits: Any) -> Any:
    return 1 / (1 + np.exp(-logits))


def _cross_entropy(logits: Any, outcomes: Any) -> float:
    return float(np.mean(np.logaddexp(0, logits) - outcomes * logits))


def _shown(one: Interval) -> str:
    return f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"


def _megabytes(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors")) / 1e6


if __name__ == "__main__":
    main()
