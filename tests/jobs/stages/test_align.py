"""What the stage hands to the workers, from the recipe and the generator's directory."""

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.trainers.answers import AnswerDPO
from actors.trainers.diffusion import DiffusionDPO
from factory.alignment.losses import Objective
from factory.alignment.weighting import Weighting
from factory.generator_kinds import TASKS
from jobs.stages.align import count_kept, kept_pairs, trainer
from schemas.arrow import pairs_to_table
from schemas.recipe import Answering, Lora
from schemas.recipe_file import load
from schemas.rows import Candidate, Pair, Prompt

BASE = "factory/sandbox/weights/base"
PIPELINE = "factory/sandbox/weights/generator"


def test_a_pipeline_is_trained_by_diffusion_dpo():
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            "align.beta=null",
            "align.variant=ipo",
            "align.sft_weight=0",
            "align.weighting=margin",
            "align.lora={rank: 4}",
            "align.timesteps=sampler",
            "generator.num_inference_steps=6",
            "generator.guidance_scale=2.0",
        ],
    )
    assert trainer(PIPELINE, recipe, 4.0) == DiffusionDPO(
        PIPELINE,
        Objective(2000.0, "ipo"),
        Weighting("margin", 2.0),
        sampler_steps=6,
        guidance_scale=2.0,
        lora=Lora(rank=4),
    )


def test_a_model_that_answers_is_trained_by_dpo_of_answers():
    question = "{media} {prompt}"
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            "align.beta=null",
            "align.is_length_normalised=true",
            "align.sft_weight=0.1",
            "align.label_smoothing=0.05",
            "align.timesteps=all",
            f"generator.path={BASE}",
            f"generator.answering={{question: '{question}'}}",
        ],
    )
    assert trainer(BASE, recipe, 4.0) == AnswerDPO(
        BASE,
        Objective(0.1, "sigmoid", 0.05, 0.1, is_length_normalised=True),
        Answering(question=question),
    )


@pytest.mark.slow
def test_only_kept_pairs_of_the_generators_own_tasks_are_trained_on(local_ray, tmp_path: Path):
    drawn = Pair(
        "a",
        Prompt.of("a red circle"),
        Candidate("c", "generator@0", 1),
        Candidate("r", "generator@0", 2),
        *("judge@1", 1.0, 0.1, 1.0, 0.9, False, "kept"),
    )
    rows = [
        drawn,
        replace(drawn, pair_id="b", prompt=Prompt.of("it moves", "video_generation")),
        replace(drawn, pair_id="c", prompt=Prompt.of("what is it ?", "image_understanding")),
        replace(drawn, pair_id="d", verdict="rejected"),
    ]
    pq.write_table(pairs_to_table(rows), tmp_path / "pairs.parquet")
    for kind, wanted in (("pipeline", ["a", "b"]), ("answering", ["c"])):
        tasks = TASKS[kind]
        found = [row["pair_id"] for row in kept_pairs(tmp_path, tasks).take_all()]
        assert sorted(found) == wanted
        assert count_kept(tmp_path, tasks) == len(wanted)
