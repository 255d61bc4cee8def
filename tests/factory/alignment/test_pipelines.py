"""Which pipelines can be aligned, by class, scheduler and autoencoder."""

from dataclasses import replace

import pytest

from factory.alignment.pipelines import PipelineParts, check_followed, check_parts, noise_kind

XL = PipelineParts(
    ("StableDiffusionXLPipeline",),
    {"unet": "UNet2DConditionModel"},
    "AutoencoderKL",
    "EulerDiscreteScheduler",
    {},
    {"scaling_factor": 0.13, "shift_factor": None, "latents_mean": None, "latents_std": None},
    {"prediction_type": "epsilon", "timestep_type": "discrete"},
)
PLAYGROUND = replace(
    XL,
    scheduler="EDMDPMSolverMultistepScheduler",
    scheduler_config={"prediction_type": "epsilon", "sigma_data": 0.5},
    vae_config={"latents_mean": [0.1] * 4, "latents_std": [2.0] * 4, "scaling_factor": 0.5},
)
WAN = PipelineParts(
    ("WanPipeline",),
    {"transformer": "WanTransformer3DModel"},
    "AutoencoderKLWan",
    "UniPCMultistepScheduler",
    {"expand_timesteps": False},
    {"latents_mean": [0.1], "latents_std": [1.0]},
    {"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
)


@pytest.mark.parametrize(
    "parts",
    [
        XL,
        PLAYGROUND,
        WAN,
        replace(XL, classes=()),  # code that comes with the checkpoint: its worker will look
        replace(XL, classes=("Ours", "StableDiffusionXLPipeline", "DiffusionPipeline")),
        replace(XL, classes=("StableDiffusionPipeline",)),
    ],
)
def test_what_is_known_is_aligned(parts: PipelineParts) -> None:
    check_parts(parts)


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        (replace(XL, classes=("KolorsPipeline",)), "KolorsPipeline cannot be aligned"),
        (replace(WAN, classes=("WanImageToVideoPipeline",)), "WanImageToVideoPipeline cannot be"),
        (replace(XL, classes=("Ours", "DiffusionPipeline")), "Ours cannot be aligned"),
        (replace(WAN, settings={"expand_timesteps": True}), "a timestep for each token"),
        (replace(WAN, models={**WAN.models, "transformer_2": "X"}), "two transformers"),
        (replace(PLAYGROUND, classes=("StableDiffusionPipeline",)), "latents_mean and latents_std"),
        (replace(XL, vae_config={"shift_factor": 0.1}), "shift_factor, which StableDiffusionXL"),
        (replace(XL, vae_config={"latents_std": [1.0]}), "has latents_std, which"),
        (replace(XL, vae="AutoencoderTiny"), "is AutoencoderTiny; AutoencoderKL alone"),
        (replace(XL, scheduler="KarrasVeScheduler"), "KarrasVeScheduler: how it puts noise"),
        (replace(XL, scheduler_config={"prediction_type": "sample"}), "predicts 'sample'"),
        (replace(XL, scheduler_config={"timestep_type": "continuous"}), "'continuous'"),
        (
            replace(PLAYGROUND, scheduler_config={"prediction_type": "sample"}),
            "predicts 'sample'",
        ),
        (replace(WAN, scheduler_config={"use_flow_sigmas": 1, "invert_sigmas": 1}), "invert_"),
    ],
)
def test_what_is_not_known_is_refused_by_name(parts: PipelineParts, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        check_parts(parts)


def test_a_scheduler_says_how_noise_gets_in() -> None:
    assert noise_kind("DDIMScheduler", {}) == "diffusion"
    assert noise_kind("EDMEulerScheduler", {"prediction_type": "v_prediction"}) == "edm"
    assert noise_kind("FlowMatchEulerDiscreteScheduler", {}) == "flow"
    assert noise_kind("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}) == "flow"


def test_a_call_that_tells_the_model_more_than_training_does_is_refused() -> None:
    check_followed({"max_sequence_length": 64, "negative_prompt": "x", "true_cfg_scale": 4})
    with pytest.raises(ValueError, match="prompt_2, sigmas: what a model is told by it"):
        check_followed({"sigmas": [1.0], "prompt_2": "x"})
