"""Diffusion-DPO on small pipelines in diffusers' own classes."""

import io
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from actors.trainers.diffusion import DiffusionDPO
from schemas.arrow import pairs_to_table
from schemas.recipe import Training
from schemas.rows import Candidate, Media, Pair, Prompt

CPU = torch.device("cpu")


def picture(colour: tuple[int, int, int], side: int = 32) -> Media:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return Media(buffer.getvalue(), side, side)


def pair(number: int, chosen: Media | None, rejected: Media | None) -> Pair:
    prompt = Prompt.of(f"a small red circle and {number} blue squares")
    return Pair(
        pair_id=f"pair-{number:02d}",
        prompt=prompt,
        chosen=Candidate(f"c{number}", "generator@0", 1, chosen),
        rejected=Candidate(f"r{number}", "generator@0", 2, rejected),
        judge="judge@1",
        margin=1.0,
        margin_sd=0.2,
        score_margin=1.0,
        p_chosen=0.8,
        is_flipped=False,
        verdict="kept",
    )


def pairs(num: int = 8) -> pa.Table:
    """Red is preferred to blue."""
    rng = np.random.default_rng(0)
    levels = [int(level) for level in rng.integers(0, 60, num)]
    return pairs_to_table(
        pair(number, picture((200, level, level)), picture((level, level, 200)))
        for number, level in enumerate(levels)
    )


@pytest.fixture(scope="session")
def sandbox_pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained pipeline of the sandbox: Stable Diffusion with v-prediction."""
    from factory.sandbox import generator
    from factory.sandbox.tokenizer import MAX_PROMPT_TOKENS, build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer(MAX_PROMPT_TOKENS, closed=True)
    directory = tmp_path_factory.mktemp("pipeline") / "sandbox"
    generator.assemble(
        generator.build_autoencoder(),
        generator.build_text_encoder(tokenizer),
        generator.build_unet(),
        tokenizer,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def xl_pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An untrained SDXL pipeline: two text encoders, size conditions, noise prediction, Euler."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from factory.sandbox import generator
    from factory.sandbox.tokenizer import MAX_PROMPT_TOKENS, build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer(MAX_PROMPT_TOKENS, closed=True)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_PROMPT_TOKENS,
        projection_dim=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=4,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 16,
    )
    directory = tmp_path_factory.mktemp("pipeline") / "xl"
    StableDiffusionXLPipeline(
        vae=generator.build_autoencoder(),
        text_encoder=CLIPTextModel(text),
        text_encoder_2=CLIPTextModelWithProjection(text),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"),
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    ).save_pretrained(directory)
    return str(directory)


@pytest.fixture(params=["sandbox_pipeline", "xl_pipeline"])
def policy(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


def perturb(module: torch.nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for one in module.parameters():
            one.add_(0.01 * torch.randn_like(one))


def test_before_the_first_step_nothing_is_preferred(policy):
    learner = DiffusionDPO(policy, beta=100.0).build(CPU, torch.float32)
    loss, scalars = learner.loss(learner.module, learner.collate({"pairs": pairs(4)}))
    assert loss.item() == pytest.approx(math.log(2))
    assert scalars["accuracy"] == 0.5
    for name in ("margin", "drift", "shift_chosen", "shift_rejected"):
        assert scalars[name] == 0.0
    loss.backward()
    assert any(one.grad.abs().max() > 0 for one in learner.module.parameters())
    assert all(one.grad is None for one in learner.reference.parameters())


def test_the_loss_matches_an_independent_one(policy):
    task = DiffusionDPO(policy, beta=50.0)
    learner = task.build(CPU, torch.float32)
    perturb(learner.module)
    batch = learner.collate({"pairs": pairs(3)})
    torch.manual_seed(5)
    loss, scalars = learner.loss(learner.module, batch)

    torch.manual_seed(5)
    noise = torch.randn(3, 4, 16, 16)
    times = torch.randint(1000, (3,))
    alphas = learner.schedule.alphas_cumprod[times].view(3, 1, 1, 1)
    errors = {}
    for side, start in (("chosen", 0), ("rejected", 3)):
        clean = batch["latents"][start : start + 3]
        noisy = alphas.sqrt() * clean + (1 - alphas).sqrt() * noise
        is_v = learner.prediction == "v_prediction"
        target = alphas.sqrt() * noise - (1 - alphas).sqrt() * clean if is_v else noise
        for who, unet in (("policy", learner.module), ("reference", learner.reference)):
            kwargs = {"encoder_hidden_states": batch["encoder_hidden_states"][:3]}
            if not is_v:
                kwargs["added_cond_kwargs"] = {
                    name: batch[name][:3] for name in ("text_embeds", "time_ids")
                }
            error = (unet(noisy, times, **kwargs).sample - target).pow(2)
            errors[who, side] = error.mean(dim=(1, 2, 3))
    gap = {who: errors[who, "chosen"] - errors[who, "rejected"] for who in ("policy", "reference")}
    margins = -task.beta * (gap["policy"] - gap["reference"])
    expected = torch.log1p(torch.exp(-margins)).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scalars["margin"], margins.mean(), rtol=1e-3, atol=1e-5)
    assert scalars["drift"] > 0


def test_a_pair_becomes_the_same_in_any_batch_and_is_encoded_once(sandbox_pipeline):
    learner = DiffusionDPO(sandbox_pipeline, beta=1.0).build(CPU, torch.float32)
    table = pairs(4)
    together = learner.collate({"pairs": table})
    other = DiffusionDPO(sandbox_pipeline, beta=1.0).build(CPU, torch.float32)
    alone = other.collate({"pairs": table.slice(2, 1)})
    assert torch.equal(alone["latents"], together["latents"][[2, 6]])
    assert torch.equal(alone["encoder_hidden_states"], together["encoder_hidden_states"][[2, 6]])
    learner.pipeline.vae = None  # would be missed if it were asked again
    again = learner.collate({"pairs": table})
    assert torch.equal(again["latents"], together["latents"])


def test_few_step_models_train_on_the_samplers_own_timesteps(xl_pipeline):
    learner = DiffusionDPO(xl_pipeline, beta=1.0, sampler_steps=4).build(CPU, torch.float32)
    assert learner.timesteps.tolist() == [999, 749, 499, 249]


def test_a_side_without_a_picture_is_named(sandbox_pipeline):
    learner = DiffusionDPO(sandbox_pipeline, beta=1.0).build(CPU, torch.float32)
    table = pairs_to_table([pair(7, picture((1, 2, 3)), None)])
    with pytest.raises(ValueError, match="pair-07 has a side without a picture"):
        learner.collate({"pairs": table})


def test_other_predictions_are_refused(sandbox_pipeline, tmp_path):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(sandbox_pipeline)
    pipeline.scheduler.register_to_config(prediction_type="sample")
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'sample'"):
        DiffusionDPO(str(tmp_path), beta=1.0).build(CPU, torch.float32)


def draw(directory: str | Path) -> np.ndarray:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(directory, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    drawn = pipeline("a red circle", num_inference_steps=2, generator=noise, output_type="np")
    return drawn.images


def test_a_saved_pipeline_loads_without_our_code(policy, tmp_path):
    learner = DiffusionDPO(policy, beta=1.0).build(CPU, torch.float32)
    learner.save(tmp_path / "same")
    assert np.array_equal(draw(tmp_path / "same"), draw(policy))
    perturb(learner.module)
    learner.save(tmp_path / "other")
    assert not np.array_equal(draw(tmp_path / "other"), draw(policy))
    assert not list(tmp_path.rglob("*.bin"))


@pytest.mark.gpu
def test_a_bf16_step_on_a_gpu(policy):
    device = torch.device("cuda")
    learner = DiffusionDPO(policy, beta=100.0).build(device, torch.bfloat16)
    learner.module.to(device, torch.bfloat16)
    loss, _ = learner.loss(learner.module, learner.collate({"pairs": pairs(4)}))
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()


def test_alignment_end_to_end(local_ray, sandbox_pipeline, tmp_path):
    import ray.data

    from actors.trainers.engine import fit

    training = Training(num_steps=12, batch_size=8, learning_rate=1e-3, log_every=4)
    task = DiffusionDPO(sandbox_pipeline, beta=50.0)
    result = fit(
        task,
        training,
        {"pairs": ray.data.from_arrow(pairs())},
        output=tmp_path / "aligned",
        run_name="generator@1",
        storage_path=tmp_path / "storage",
        seed=0,
    )
    first, last = result.points[0], result.points[-1]
    assert last["loss"] < first["loss"]
    assert last["accuracy"] > 0.6
    assert last["margin"] > 0
    assert last["drift"] > 0
    assert not np.array_equal(draw(result.directory), draw(sandbox_pipeline))
