"""What the stage hands to the workers, from the recipe and the generator's directory."""

from actors.trainers.answers import AnswerDPO
from actors.trainers.diffusion import DiffusionDPO
from factory.losses import Objective
from factory.weighting import Weighting
from jobs.stages.align import trainer
from schemas.recipe import Answering, Lora, load

BASE = "factory/sandbox/weights/base"
PIPELINE = "factory/sandbox/weights/generator"


def test_a_pipeline_is_trained_by_diffusion_dpo():
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            "align.beta=null",
            "align.variant=ipo",
            "align.weighting=margin",
            "align.lora={rank: 4}",
            "align.timesteps=sampler",
            "generator.num_inference_steps=6",
            "generator.guidance_scale=2.0",
        ],
    )
    assert trainer(PIPELINE, recipe) == DiffusionDPO(
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
    assert trainer(BASE, recipe) == AnswerDPO(
        BASE,
        Objective(0.1, "sigmoid", 0.05, 0.1, is_length_normalised=True),
        Answering(question=question),
    )
