"""DPO of the champion on the round's kept pairs: the challenger.

kept pairs -> Ray Data -> Ray Train + DeepSpeed -> generator@N; the reference is the champion

A diffusers pipeline is trained by Diffusion-DPO on pairs of pictures or clips, a vision-language
model by DPO on pairs of answers; which of the two the generator is, its directory says.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from pydantic import Field, JsonValue

from actors.pipeline_files import pipeline_files
from actors.storage import place, remove
from actors.weights import hub_commit
from factory.alignment.pipelines import FOLLOWED
from factory.alignment.weighting import Weighting
from factory.generator_kinds import TASKS, check_alignable, generator_kind
from factory.prompts import PromptsFile, read_prompts
from jobs.datasets.reading import read_dataset, stream
from jobs.pipelines.prompt_checks import check_trained
from jobs.pipelines.scales import points_per_scale
from jobs.pipelines.training import run_fit, samples_directory, stopping
from jobs.rounds.checks import check_generator
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round, champion
from jobs.stages.base import Outcome, Plan, fit_plan
from schemas import recipe as sections
from schemas.columns import PAIRS
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Answering, GeneratorSpec, Recipe
from schemas.section import Section

#: What `align.beta` is where the recipe does not say.
_DIFFUSION_BETA = 2000.0
_ANSWERS_BETA = 0.1


class Settings(Section):
    """What a generator depends on, beside its parents.

    told: of the call with which it draws, what training follows.
    """

    seed: int
    align: sections.Align
    sampler_steps: int | None
    trust_remote_code: bool = False
    revision: str | None = None
    allow_missing: list[str] = Field(default_factory=list)
    told: dict[str, JsonValue] = Field(default_factory=dict)


class Align:
    """Makes `generator@N`."""

    kind = "generator"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        looks = recipe.has("align") and recipe.align.sample_every
        return ("generator", "align", *(["evaluate.prompts"] if looks else []))

    def plan(self, at: Round) -> Plan:
        spec = at.recipe.generator
        check_generator(spec, at.recipe, is_trained=True)
        try:
            files = pipeline_files(spec.path, spec.revision)  # a hub's too
            where = place(spec.path) if files is None else files.directory
            check_alignable(where, spec, at.recipe.align)
        except ValueError as error:
            raise InputError(str(error)) from error
        if generator_kind(place(spec.path), spec) == "pipeline":
            _check_prompts(at.recipe)
        return fit_plan("kept pairs", at.recipe.align)

    def settings(self, at: Round) -> Settings:
        return Settings(
            seed=at.recipe.seed,
            align=at.recipe.align,
            sampler_steps=_sampler_steps(at.recipe),
            trust_remote_code=at.recipe.generator.trust_remote_code,
            revision=at.recipe.generator.revision,
            allow_missing=asked_of(at.recipe.generator).allow_missing,
            told={key: one for key, one in at.recipe.generator.call.items() if key in FOLLOWED},
        )

    def parents(self, at: Round) -> list[Parent]:
        if at.need("pairs").counts.get("kept", 0) == 0:
            raise InputError(
                f"{at.address('pairs')} has no kept pair to learn from; its objections say why "
                f"({at.directory('pairs')})"
            )
        return [champion(at).parent("reference"), at.parent("pairs")]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        model, pairs = champion(at), at.directory("pairs")
        tasks = TASKS[generator_kind(place(model.path), at.recipe.generator)]
        num_pairs = count_kept(pairs, tasks)
        if num_pairs == 0:
            raise InputError(
                f"{at.address('pairs')} has no kept pair of the tasks of {model.address} "
                f"({', '.join(tasks)})"
            )
        task, kept = trainer(model.path, at.recipe, points_per_scale(at)), kept_pairs(pairs, tasks)
        curves = run_fit(
            task, at.recipe.align, {"pairs": kept}, at, "generator", directory, _samples(at, tasks)
        )
        _log_samples(at, run)
        last = curves[-1]
        figures = {f"last_{name}": value for name, value in last.items() if name != "step"}
        return Outcome({"pairs": num_pairs}, {**figures, **stopping(curves)}, curves)


def _check_prompts(recipe: Recipe) -> None:
    """Refuse prompts, where they are at hand, on whose pairs a pipeline cannot be trained."""
    produce = recipe.produce
    if produce.has("prompts") and place(produce.prompts).is_file():
        check_trained(PromptsFile(place(produce.prompts)))


def _samples(at: Round, tasks: tuple[str, ...]) -> Any:
    """What is drawn or answered on the way; None for nothing."""
    from actors.trainers.samples import Samples

    align, spec = at.recipe.align, at.recipe.generator
    if not align.sample_every:
        return None
    fitting = (one for one in read_prompts(place(at.recipe.evaluate.prompts)) if one.task in tasks)
    prompts = tuple(islice(fitting, align.num_samples))
    if not prompts:
        print(
            f"samples: none: {at.recipe.evaluate.prompts} has no prompt of {', '.join(tasks)}",
            flush=True,
        )
        return None
    return Samples(
        prompts,
        align.sample_every,
        str(samples_directory(at)),
        spec.num_inference_steps,
        spec.guidance_scale,
    )


def _log_samples(at: Round, run: StageRun) -> None:
    directory = samples_directory(at)
    for path in sorted(directory.glob("step-*"), key=str):
        run.log_artifact(path, "samples")
    remove(directory)


def trainer(policy: str, recipe: Recipe, unit: float) -> Any:
    """What is trained, as it travels to the workers.

    Args:
        policy: where it is.
        recipe: that says how.
        unit: points of the judge's whole scale.
    """
    from factory.alignment.losses import Objective

    align, spec = recipe.align, recipe.generator
    is_answering = generator_kind(place(policy), spec) == "answering"
    default = _ANSWERS_BETA if is_answering else _DIFFUSION_BETA
    objective = Objective(
        default if align.beta is None else align.beta,
        align.variant,
        align.label_smoothing,
        align.sft_weight,
        align.is_length_normalised,
    )
    common: dict[str, Any] = {
        "policy": policy,
        "objective": objective,
        "weighting": Weighting(align.weighting, align.margin_in_full(unit)),
        "lora": align.lora,
        "gradient_checkpointing": align.gradient_checkpointing,
        "cache_gb": align.cache_gb,
        "trust_remote_code": spec.trust_remote_code,
        "revision": hub_commit(policy, spec.revision if policy == spec.path else None),
    }
    if is_answering:
        from actors.trainers.answers import AnswerDPO

        return AnswerDPO(asking=asked_of(spec), **common)
    from actors.trainers.diffusion import DiffusionDPO

    return DiffusionDPO(
        sampler_steps=_sampler_steps(recipe),
        guidance_scale=spec.guidance_scale,
        call=spec.call,
        variant=spec.variant if policy == spec.path else None,
        **common,
    )


def asked_of(spec: GeneratorSpec) -> Answering:
    """How an answering model is asked."""
    return spec.answering or Answering()


def kept_pairs(pairs: Place, tasks: tuple[str, ...]) -> Any:
    """The kept pairs of these tasks as a Ray data set."""
    from ray.data.expressions import col

    is_wanted = (col("verdict") == "kept") & col("task").is_in(list(tasks))
    return read_dataset([pairs], PAIRS, where=is_wanted)


def count_kept(pairs: Place, tasks: tuple[str, ...]) -> int:
    """How many rows `kept_pairs` has."""
    return sum(
        row["verdict"] == "kept" and row["task"] in tasks
        for table in stream(pairs, ["verdict", "task"])
        for row in table.to_pylist()
    )


def _sampler_steps(recipe: Recipe) -> int | None:
    """Denoising steps whose timesteps are trained on; None for all timesteps."""
    return recipe.generator.num_inference_steps if recipe.align.timesteps == "sampler" else None


STAGE = Align()
