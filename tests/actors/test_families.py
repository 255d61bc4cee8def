"""Each family of pipelines against the pipeline itself: what its own call hands to its model."""

import numpy as np
import pytest
import torch

from actors.generators import load_generator
from actors.trainers.families import FAMILIES, family_of
from actors.trainers.noising import Diffusion, Edm, Flow, noising
from factory.alignment.pipelines import ALIGNABLE
from factory.media.clips import decode_clip
from schemas.recipe import GeneratorSpec
from schemas.rows import Prompt

CPU = torch.device("cpu")
PICTURES = ("sandbox_pipeline", "xl_pipeline", "lcm_pipeline", "sd3_pipeline", "flux_pipeline")
CLIPS = ("wan_pipeline", "motion_pipeline")
FLOWS = ("sd3_pipeline", "flux_pipeline", "wan_pipeline")
#: The argument that holds a model's guidance-free call, and how many frames a clip has.
GUIDANCE = {"lcm_pipeline": 8.0, "flux_pipeline": 3.5}
FRAMES = 5


def load(directory):
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(directory, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sides(name, num=2):
    """Random uint8 [B, T, H, W, 3]."""
    shape = (num, FRAMES if name in CLIPS else 1, 32, 32, 3)
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


@torch.no_grad()
def watch(pipeline, part, **call):
    """What the pipeline's own call hands to its model in the first step, and gets back."""
    seen = []

    def keep(_, args, kwargs, output):
        seen.append((args, kwargs, output[0]))

    handle = getattr(pipeline, part).register_forward_hook(keep, with_kwargs=True)
    pipeline(**call)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("name", PICTURES + CLIPS)
def test_the_model_is_called_as_its_pipeline_calls_it(name, request):
    pipeline = load(request.getfixturevalue(name))
    guidance = GUIDANCE.get(name, 1.0)
    family = family_of(pipeline, CPU, guidance)
    size = {"num_frames": FRAMES} if name in CLIPS else {}
    args, kwargs, output = watch(
        pipeline,
        family.part,
        prompt="a small red circle",
        height=32,
        width=32,
        num_inference_steps=2,
        guidance_scale=guidance,
        output_type="latent",
        generator=torch.Generator().manual_seed(0),
        **size,
    )
    noisy = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
    timestep = kwargs["timestep"] if "timestep" in kwargs else args[1]
    if name == "flux_pipeline":
        timestep = timestep * 1000
    with torch.no_grad():
        condition = family.condition("a small red circle", sides(name))
        found = family.predict(family.module, noisy, timestep.expand(1), condition)
        latents = family.latents(sides(name))
    torch.testing.assert_close(found, output, rtol=1e-5, atol=1e-6)
    assert found.shape == noisy.shape
    assert latents.shape[1:] == noisy.shape[1:]


@pytest.mark.parametrize("name", FLOWS)
def test_a_flows_levels_are_its_samplers(name, request):
    """The pipeline's own steps, as its scheduler is left after a call."""
    pipeline = load(request.getfixturevalue(name))
    family = family_of(pipeline, CPU)
    size = {"num_frames": FRAMES} if name in CLIPS else {}
    pipeline("a red circle", height=32, width=32, num_inference_steps=4, **size)
    sigmas = pipeline.scheduler.sigmas[:4].clone()
    timesteps = pipeline.scheduler.timesteps.clone()
    latents = family.latents(sides(name))
    levels = noising(pipeline.scheduler, 4, **family.shift(4, latents))
    assert isinstance(levels, Flow)
    torch.testing.assert_close(levels.sigmas, sigmas.float())
    torch.testing.assert_close(levels.timesteps, timesteps.float())
    everything = noising(pipeline.scheduler, None, **family.shift(1000, latents))
    assert len(everything.timesteps) == 1000
    assert 0 < everything.sigmas.min() < 0.02
    assert everything.sigmas.max() > 0.99


def test_a_shifted_flow_spends_more_levels_on_noise(sd3_pipeline):
    """Closed form of the shift: s -> 3 s / (1 + 2 s), so the median level is 3/4 noise."""
    levels = noising(load(sd3_pipeline).scheduler, None)
    assert levels.sigmas.median().item() == pytest.approx(0.75, abs=0.002)


def test_a_flow_is_a_straight_line_from_data_to_noise():
    flow = Flow(torch.tensor([1.0, 0.25]), torch.tensor([1000.0, 250.0]))
    clean, noise = torch.randn(2, 4, 2, 3, 3), torch.randn(2, 4, 2, 3, 3)
    level = torch.tensor([0, 1])
    noisy = flow.noisy(clean, noise, level)
    torch.testing.assert_close(noisy[0], noise[0])
    torch.testing.assert_close(noisy[1], 0.75 * clean[1] + 0.25 * noise[1])
    velocity = flow.target(clean, noise, level)
    torch.testing.assert_close(noisy[1] - 0.25 * velocity[1], clean[1])


def test_few_step_diffusion_has_its_samplers_levels(lcm_pipeline):
    levels = noising(load(lcm_pipeline).scheduler, 4)
    assert isinstance(levels, Diffusion)
    assert levels.timesteps.tolist() == [999, 759, 499, 259]


@pytest.fixture(scope="session")
def playground_pipeline(tmp_path_factory):
    """SDXL's parts under EDM, with an autoencoder that is normalised channel by channel."""
    from tests.tiny.pipelines import named

    return str(named("Playground v2.5").save(tmp_path_factory.mktemp("pipeline") / "edm"))


@pytest.mark.parametrize("kind", ["EDMDPMSolverMultistepScheduler", "EDMEulerScheduler"])
@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction"])
def test_an_edm_models_target_denoises_to_the_data(kind, predicted):
    """By the scheduler's own preconditioning: what the model sees, is told, and is made into."""
    import diffusers

    scheduler = getattr(diffusers, kind)(prediction_type=predicted, sigma_data=0.5)
    levels = noising(scheduler, None)
    assert isinstance(levels, Edm)
    assert len(levels.timesteps) == 1000
    clean, noise = torch.randn(6, 4, 3, 3), torch.randn(6, 4, 3, 3)
    level = torch.tensor([0, 1, 300, 700, 990, 999])
    for at, (one, other) in enumerate(zip(clean, noise, strict=True)):
        sigma = scheduler.sigmas[level[at]]
        noisy = one + sigma * other
        seen = levels.noisy(clean, noise, level)[at]
        torch.testing.assert_close(seen, scheduler.precondition_inputs(noisy, sigma))
        told = levels.timesteps[level[at]]
        torch.testing.assert_close(told, scheduler.precondition_noise(sigma))
        target = levels.target(clean, noise, level)[at]
        made = scheduler.precondition_outputs(noisy, target, sigma)
        torch.testing.assert_close(made, one, rtol=1e-3, atol=1e-4)
    target = levels.target(clean, noise, level)
    assert 0.5 < target.std() < 2.0  # of one scale at all levels


def test_an_edm_pipeline_is_told_what_its_sampler_tells_it(playground_pipeline):
    pipeline = load(playground_pipeline)
    args, kwargs, _ = watch(
        pipeline,
        "unet",
        prompt="a red circle",
        height=32,
        width=32,
        num_inference_steps=4,
        output_type="latent",
        guidance_scale=1.0,
    )
    timesteps = noising(pipeline.scheduler, 4).timesteps
    told = kwargs["timestep"] if "timestep" in kwargs else args[1]
    torch.testing.assert_close(told.float(), timesteps[0])


def test_latents_normalised_channel_by_channel_decode_to_what_was_encoded(playground_pipeline):
    """As the pipeline does it: times the deviation, over the factor, plus the mean."""
    pipeline = load(playground_pipeline)
    family, vae = family_of(pipeline, CPU), pipeline.vae
    frames = sides("playground_pipeline")
    with torch.no_grad():
        latents = family.latents(frames)
        scaled = frames.float() / 127.5 - 1.0
        plain = vae.encode(scaled[:, 0].permute(0, 3, 1, 2)).latent_dist.mode()
    mean, sd = (
        torch.tensor(values).view(1, 4, 1, 1)
        for values in (vae.config.latents_mean, vae.config.latents_std)
    )
    undone = latents * sd / vae.config.scaling_factor + mean
    torch.testing.assert_close(undone, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sandbox_pipeline", "sd3_pipeline", "wan_pipeline"])
def test_latents_decode_to_what_was_encoded(name, request):
    """Scaling and shifting are undone exactly by what the pipeline does before it decodes."""
    pipeline = load(request.getfixturevalue(name))
    family = family_of(pipeline, CPU)
    frames, vae = sides(name), pipeline.vae
    with torch.no_grad():
        latents = family.latents(frames)
        scaled = frames.float() / 127.5 - 1.0
        if name == "wan_pipeline":
            plain = vae.encode(scaled.permute(0, 4, 1, 2, 3)).latent_dist.mode()
            sd = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
            mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
            undone = latents * sd + mean
        else:
            plain = vae.encode(scaled[:, 0].permute(0, 3, 1, 2)).latent_dist.mode()
            undone = latents / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
    torch.testing.assert_close(undone, plain, rtol=1e-4, atol=1e-5)


def test_clips_of_a_length_that_the_autoencoder_would_cut_are_refused(wan_pipeline):
    family = family_of(load(wan_pipeline), CPU)
    with pytest.raises(ValueError, match=r"6 frames; this autoencoder takes 4 k \+ 1"):
        family.latents(torch.zeros(2, 6, 32, 32, 3, dtype=torch.uint8))


def test_what_is_refused_before_anything_is_loaded_is_what_no_family_takes():
    assert tuple(sorted(FAMILIES)) == ALIGNABLE


def test_unknown_families_are_refused(wan_pipeline):
    pipeline = load(wan_pipeline)
    pipeline.transformer = torch.nn.Linear(1, 1)
    with pytest.raises(ValueError, match=r"\(transformer: Linear\) cannot be aligned"):
        family_of(pipeline, CPU)


def test_clips_are_drawn_by_seed_and_stored_as_clips(wan_pipeline):
    spec = GeneratorSpec(
        path=wan_pipeline,
        num_inference_steps=2,
        guidance_scale=1.0,
        **{"width": 32, "height": 32, "num_frames": FRAMES, "fps": 8.0},
    )
    generator = load_generator(wan_pipeline, "generator@0", spec)
    prompt = Prompt.of("a red circle moving left", "video_generation")
    first, second = generator.generate(prompt, [5, 6])
    assert (first.error, first.media.num_frames, first.media.fps) == (None, FRAMES, 8.0)
    assert decode_clip(first.media.data, FRAMES).shape == (FRAMES, 32, 32, 3)
    assert first.media != second.media
    assert generator.generate(prompt, [5, 6])[1] == second
