"""Diffusion-DPO of the champion on the round's kept pairs: the challenger.

kept pairs -> Ray Data -> Ray Train + DeepSpeed -> generator@N; the reference is the champion
"""

from __future__ import annotations

from typing import Any

from factory.weighting import Weighting
from jobs.pipelines import read_dataset
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.training import fit_plan, run_fit
from jobs.workspace import InputError, Round, champion, check_model
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Recipe

_BETA = 2000.0  # where the recipe gives none


class Align:
    """Makes `generator@N`."""

    kind = "generator"
    resumes = True

    def plan(self, at: Round) -> Plan:
        check_model(at.recipe.generator.path, "model_index.json", "generator.path")
        return fit_plan("kept pairs", at.recipe.align)

    def settings(self, at: Round) -> dict[str, Any]:
        return {
            "seed": at.recipe.seed,
            "align": at.recipe.align.model_dump(),
            "sampler_steps": _sampler_steps(at.recipe),
        }

    def parents(self, at: Round) -> list[Parent]:
        if at.need("pairs").counts.get("kept", 0) == 0:
            raise InputError(
                f"{at.address('pairs')} has no kept pair to learn from; its objections say why "
                f"({at.directory('pairs')})"
            )
        return [champion(at).parent("reference"), at.parent("pairs")]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        from ray.data.expressions import col

        from actors.trainers.diffusion import DiffusionDPO
        from factory.losses import Objective

        kept = read_dataset([at.directory("pairs")]).filter(expr=col("verdict") == "kept")
        settings = at.recipe.align
        task = DiffusionDPO(
            champion(at).path,
            Objective(
                _BETA if settings.beta is None else settings.beta,
                settings.variant,
                settings.label_smoothing,
                settings.sft_weight,
            ),
            Weighting(settings.weighting, settings.full_margin),
            sampler_steps=_sampler_steps(at.recipe),
            guidance_scale=at.recipe.generator.guidance_scale,
            lora=settings.lora,
            gradient_checkpointing=settings.gradient_checkpointing,
            cache_gb=settings.cache_gb,
        )
        curves = run_fit(task, at.recipe.align, {"pairs": kept}, at, "generator", directory)
        last = curves[-1]
        figures = {f"last_{name}": value for name, value in last.items() if name != "step"}
        return Outcome({"pairs": at.need("pairs").counts["kept"]}, figures, curves)


def _sampler_steps(recipe: Recipe) -> int | None:
    """Denoising steps whose timesteps are trained on; None for all timesteps."""
    return recipe.generator.num_inference_steps if recipe.align.timesteps == "sampler" else None


STAGE = Align()
