"""A finished round in small: every artifact of the loop with real files and made-up numbers."""

import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.rounds.workspace import Round
from schemas import arrow, manifest, results
from schemas.manifest import Manifest, Parent
from schemas.recipe import Recipe
from schemas.results import (
    Decision,
    Estimate,
    Evaluation,
    Finding,
    JudgeReport,
    JudgeSlice,
    Profile,
    ReliabilityBin,
)
from schemas.rows import Candidate, Duel, Group, Label, Media, Pair, Prompt, Score

HOSTILE = "<script>alert('x')</script> a \"red\" circle & more"


def picture(colour: tuple[int, int, int], size: int = 32) -> Media:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return Media(buffer.getvalue(), size, size)


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "laptop",
            "root": str(tmp_path / "run"),
            "num_rounds": 2,
            "tracking_uri": "postgresql://someone:secret@host/db",
            "generator": {"path": "weights/generator"},
            "judge": {"path": "weights/judge"},
            "labels": {"prompts": "prompts/labels.txt"},
            "train_judge": {"num_steps": 100, "batch_size": 8, "learning_rate": 0.001},
            "produce": {"prompts": "prompts/train.txt"},
            "align": {"num_steps": 50, "batch_size": 8, "learning_rate": 0.0001},
            "evaluate": {"prompts": "prompts/heldout.txt", "oracle": "sandbox"},
        }
    )


def groups_and_pairs(num: int = 12) -> tuple[list[Group], list[Pair]]:
    groups, pairs = [], []
    for index in range(num):
        prompt = Prompt.of(HOSTILE if index == 0 else f"a red circle {index}", tags={"n": "<b>"})
        one = Candidate(f"c{index}", "generator@0", 1, picture((200, 40, index)))
        two = Candidate(f"d{index}", "generator@0", 2, picture((40, 40, 200), 32 if index else 600))
        scores = (Score(f"c{index}", "judge@1", 3.5, 0.4), Score(f"d{index}", "judge@1", 2.5, 0.5))
        duels = (
            Duel(f"d{index}", f"c{index}", "judge@1", 0.3, 0.6, 0.1),
            Duel(f"c{index}", f"d{index}", "judge@1", 0.8, 0.15, 0.05),
            Duel(f"c{index}", f"d{index}", "another@1", 0.1, 0.9, 0.0),
        )
        verdict, objections = "kept", ()
        if index % 3 == 1:
            verdict, objections = "rejected", ("thin margin: 0.10 < 0.30", "inconsistent: <i>")
        if index % 6 == 5:
            verdict, objections = "invalid", ("broken media: no picture",)
            two = Candidate(f"d{index}", "generator@0", 2, error="generator failed")
        margin = math.nan if verdict == "invalid" else 1.0
        groups.append(Group(prompt, (one, two), scores, duels))
        pairs.append(
            Pair(
                *(f"pair-{index:02d}", prompt, one, two, "judge@1", margin, 0.2, 1.0, 0.7, False),
                verdict=verdict,
                objections=objections,
            )
        )
    return groups, pairs


def grid() -> bytes:
    return picture((255, 255, 255), 64).data


@pytest.fixture
def finished(recipe: Recipe) -> Round:
    """The first round, with all its artifacts."""
    at = Round(recipe, 1)

    def make(
        kind: str, parents: Sequence[Parent], counts: dict[str, int], fill: Callable[[Path], object]
    ) -> Parent:
        directory = at.directory(kind)
        directory.mkdir(parents=True)
        fill(directory)
        digest = manifest.digest_files(directory)
        made = Manifest(
            *(at.address(kind), kind, "fingerprint", digest, tuple(parents), {}, counts),
            figures={"seconds": 75.2, "ece": 0.04},
            created_at="2026-01-02T03:04:05+00:00",
        )
        (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
        return Parent(kind, made.address, made.digest)

    def curve(directory: Path) -> None:
        points = [{"step": step, "loss": 1 / (1 + step), "gap": None} for step in range(0, 100, 10)]
        (directory / results.CURVES).write_text(json.dumps(points))

    groups, pairs = groups_and_pairs()
    label = Label("l", groups[0].prompt, "simulated:ann", picture((0, 0, 0)), None, None, 3)
    labels = make(
        "labels",
        [Parent("prompts", "prompts/labels.txt", "1111")],
        {"rows": 1},
        lambda to: [
            pq.write_table(arrow.labels_to_table([label]), to / "labels.parquet"),
            (to / "_candidates").mkdir(),  # as the stage leaves them, with another schema
            pq.write_table(arrow.groups_to_table(groups), to / "_candidates" / "0.parquet"),
            pq.write_table(arrow.groups_to_table(groups), to / "_prompts.parquet"),
        ],
    )
    passed = Finding("max_flip_rate", "judge@1", True, 0.2, 0.11)
    agreement = JudgeReport(
        *("judge@1", "held-out labels <b>"),
        (
            JudgeSlice(
                "all",
                (
                    Estimate(
                        "accuracy without ties", 0.81, 0.72, 0.9, None, "share", 90, 3, "judge@1"
                    ),
                ),
                (
                    ReliabilityBin(0.62, 0.4, 0.2, 0.6, 10),
                    ReliabilityBin(0.93, 0.8, None, None, 80),
                ),
                (ReliabilityBin(0.8, 0.79, 0.7, 0.88, 90),),
            ),
        ),
    )
    judge = make(
        "judge",
        [labels],
        {"steps": 100},
        lambda to: [
            curve(to),
            results.write(to / results.FINDINGS, (passed,)),
            results.write(to / results.AGREEMENT, agreement),
        ],
    )
    base = Parent("generator", "generator@0", "2222")
    grouped = make(
        "groups",
        [Parent("prompts", "prompts/train.txt", "3333"), base, judge],
        {"rows": len(groups)},
        lambda to: pq.write_table(arrow.groups_to_table(groups), to / "0.parquet"),
    )
    profile = Profile(
        "judge@1",
        (
            Estimate("first place", 0.56, 0.53, 0.59, neutral=0.5, unit="share", num=24),
            Estimate(
                "brightness", 0.31, 0.22, 0.4, corrected=Estimate("brightness", 0.0, -0.1, 0.1)
            ),
            Estimate("sharpness", math.nan, note="constant"),
        ),
    )
    profiled = make(
        "profile", [grouped], {}, lambda to: results.write(to / results.PROFILE, profile)
    )
    paired = make(
        "pairs",
        [grouped, profiled],
        {"rows": len(pairs), "kept": 6},
        lambda to: [
            pq.write_table(arrow.pairs_to_table(pairs[:7]), to / "0.parquet"),
            pq.write_table(arrow.pairs_to_table(pairs[7:]), to / "1.parquet"),
        ],
    )
    aligned = make("generator", [paired, base], {"steps": 50}, curve)
    evaluation = Evaluation(
        *("generator@1", "generator@0"),
        gains=(Estimate("win rate", 0.7181, 0.655, 0.781, 0.5, num=80, by="heldout-judge@1"),),
        drift=(Estimate("saturation", 0.6, 0.4, 0.8, unit="sd of the champion"),),
        grid_prompts=("a <red> circle",),
        grid_columns=("generator@0", "generator@1"),
    )
    findings = (
        Finding("min_win_rate", "generator@1", True, 0.5, 0.7181, 0.655, 0.781, "lower bound"),
    )
    make(
        "evaluation",
        [aligned, base, judge],
        {"prompts": 80},
        lambda to: [
            results.write(to / results.EVALUATION, evaluation),
            results.write(
                to / results.FINDINGS, Decision("promote", "generator@1", "generator@0", findings)
            ),
            (to / results.GRID).write_bytes(grid()),
        ],
    )
    return at
