"""Which diffusers pipelines can be aligned, told from the names of their classes and from small
configurations: before anything is loaded, and again of what is.

    the pipeline's class   which model it has, and what is undone before its latents are decoded
    the scheduler          how noise gets into latents: diffusion, EDM, or a flow
    the autoencoder        how latents are scaled

A pipeline that is told here and drawn otherwise would be trained on the wrong noise or the wrong
latents without a word, so whatever is not known is refused by name. Left out: pipelines that start
from a picture, and those of two models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: How noise gets into latents; see `actors/trainers/noising.py`.
NoiseKind = Literal["diffusion", "edm", "flow"]

#: The models in a pipeline that can be aligned, by diffusers' names of their classes.
ALIGNABLE = (
    "FluxTransformer2DModel",
    "SD3Transformer2DModel",
    "UNet2DConditionModel",
    "UNet3DConditionModel",
    "UNetMotionModel",
    "WanTransformer3DModel",
)
#: What else than `scaling_factor` an autoencoder's configuration may say of its latents.
_SCALES = ("latents_mean", "latents_std", "shift_factor")
_MEAN_AND_SD = frozenset({"latents_mean", "latents_std"})
_SHIFT = frozenset({"shift_factor"})
_NONE: frozenset[str] = frozenset()
#: The pipelines that can be aligned, each with what of `_SCALES` it undoes before it decodes.
PIPELINES: dict[str, frozenset[str]] = {
    "AnimateDiffPAGPipeline": _NONE,
    "AnimateDiffPipeline": _NONE,
    "FluxPipeline": _SHIFT,
    "LatentConsistencyModelPipeline": _NONE,
    "StableDiffusion3PAGPipeline": _SHIFT,
    "StableDiffusion3Pipeline": _SHIFT,
    "StableDiffusionPAGPipeline": _NONE,
    "StableDiffusionPipeline": _NONE,
    "StableDiffusionXLPAGPipeline": _MEAN_AND_SD,
    "StableDiffusionXLPipeline": _MEAN_AND_SD,
    "TextToVideoSDPipeline": _NONE,
    "WanPipeline": _MEAN_AND_SD,
}
#: Samplers of the diffusion that `DDPMScheduler` describes by the same betas.
_DIFFUSION = frozenset(
    {
        "DDIMParallelScheduler",
        "DDIMScheduler",
        "DDPMParallelScheduler",
        "DDPMScheduler",
        "DEISMultistepScheduler",
        "DPMSolverMultistepScheduler",
        "DPMSolverSDEScheduler",
        "DPMSolverSinglestepScheduler",
        "EulerAncestralDiscreteScheduler",
        "EulerDiscreteScheduler",
        "HeunDiscreteScheduler",
        "KDPM2AncestralDiscreteScheduler",
        "KDPM2DiscreteScheduler",
        "LCMScheduler",
        "LMSDiscreteScheduler",
        "PNDMScheduler",
        "SASolverScheduler",
        "TCDScheduler",
        "UniPCMultistepScheduler",
    }
)
_EDM = frozenset({"EDMDPMSolverMultistepScheduler", "EDMEulerScheduler"})
#: Arguments of a pipeline's call by which its model is told something that training follows.
FOLLOWED = ("clip_skip", "max_sequence_length")
#: Those by which it is told, or noised, in a way that training does not follow.
_NOT_FOLLOWED = (
    "attention_kwargs",
    "cross_attention_kwargs",
    "crops_coords_top_left",
    "denoising_end",
    "joint_attention_kwargs",
    "original_size",
    "prompt_2",
    "prompt_3",
    "sigmas",
    "target_size",
    "timesteps",
)


@dataclass(frozen=True)
class PipelineParts:
    """What alignment has to know of a pipeline, by diffusers' names.

    classes: of the pipeline, its own first and then those that it is derived from; none where it is
        code that comes with the checkpoint and is not loaded yet.
    models: the classes of `unet`, `transformer` and `transformer_2`, of those that it has.
    vae, scheduler: their classes; None where it has none, or it is not known.
    settings: of the pipeline itself, such as `expand_timesteps`.
    """

    classes: tuple[str, ...]
    models: Mapping[str, str]
    vae: str | None = None
    scheduler: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    vae_config: Mapping[str, Any] = field(default_factory=dict)
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def known(self) -> str | None:
        """The class in `PIPELINES` that it is, or is derived from."""
        return next((name for name in self.classes if name in PIPELINES), None)


def check_parts(parts: PipelineParts) -> None:
    """Refuse a pipeline that would be trained on anything else than what it is drawn with.

    Raises:
        ValueError: says which part, and what it has.
    """
    models = parts.models
    if "transformer_2" in models:
        raise ValueError("a pipeline of two transformers cannot be aligned")
    if not set(models.values()) & set(ALIGNABLE):
        found = ", ".join(f"{name}: {kind}" for name, kind in models.items()) or "no model"
        raise ValueError(
            f"this pipeline ({found}) cannot be aligned; these can: {', '.join(ALIGNABLE)}"
        )
    if parts.classes and parts.known is None:
        raise ValueError(
            f"{parts.classes[0]} cannot be aligned: what its model is told, and how its latents "
            f"are scaled, is known of these alone: {', '.join(PIPELINES)}"
        )
    if parts.settings.get("expand_timesteps"):
        raise ValueError("a model with a timestep for each token cannot be aligned")
    if parts.scheduler is not None:
        noise_kind(parts.scheduler, parts.scheduler_config)
    if parts.known is not None and parts.vae is not None:
        _check_latents(parts.known, parts.vae, parts.vae_config)


def noise_kind(scheduler: str, config: Mapping[str, Any]) -> NoiseKind:
    """How noise gets into the latents of a scheduler of this class.

    Raises:
        ValueError: in a way that is not known here, or its model predicts something else than
            noise, v or a velocity.
    """
    predicted = config.get("prediction_type", "epsilon")
    is_flow = (
        scheduler.startswith("FlowMatch")
        or predicted == "flow_prediction"
        or bool(config.get("use_flow_sigmas"))
    )
    if is_flow:
        if config.get("invert_sigmas"):
            raise ValueError(f"{scheduler} with invert_sigmas: its levels run from data to noise")
        return "flow"
    if predicted not in ("epsilon", "v_prediction"):
        raise ValueError(f"the model predicts {predicted!r}: not noise, not v and not a velocity")
    if scheduler in _EDM:
        return "edm"
    if scheduler not in _DIFFUSION:
        raise ValueError(f"{scheduler}: how it puts noise into latents is not known here")
    if config.get("timestep_type") == "continuous":
        raise ValueError(
            f"{scheduler} with timestep_type 'continuous': its model is told the logarithm of the "
            "noise, which training does not follow; an EDM scheduler is followed"
        )
    return "diffusion"


def _check_latents(pipeline: str, vae: str, config: Mapping[str, Any]) -> None:
    wanted = "AutoencoderKLWan" if pipeline == "WanPipeline" else "AutoencoderKL"
    if vae != wanted:
        raise ValueError(f"the autoencoder of {pipeline} is {vae}; {wanted} alone is known here")
    given = {name for name in _SCALES if config.get(name)}
    odd = sorted(given - PIPELINES[pipeline])
    if given & _MEAN_AND_SD in ({"latents_mean"}, {"latents_std"}):
        odd = sorted(given & _MEAN_AND_SD)  # one without the other is passed over
    if odd:
        raise ValueError(
            f"the autoencoder's configuration has {' and '.join(odd)}, which {pipeline} does not "
            "undo before it decodes: latents would be scaled otherwise in training than in drawing"
        )


def check_followed(call: Mapping[str, Any]) -> None:
    """Refuse arguments of the call under which training would see another model than drawing.

    Raises:
        ValueError: names them.
    """
    odd = sorted(set(call) & set(_NOT_FOLLOWED))
    if odd:
        raise ValueError(
            f"generator.call: {', '.join(odd)}: what a model is told by it, training does not "
            "follow; leave it out, or align without it elsewhere"
        )
