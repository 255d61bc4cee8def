"""Diffusion-DPO on small pipelines in diffusers' own classes."""

import io
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from actors.trainers.adapters import merge_adapters
from actors.trainers.diffusion import DiffusionDPO
from factory.alignment.losses import Objective
from factory.media.clips import encode_clip
from schemas.arrow import pairs_to_table
from schemas.recipe import Lora, Training
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


@pytest.fixture(params=["sandbox_pipeline", "xl_pipeline"])
def policy(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["sandbox_pipeline", "sd3_pipeline", "flux_pipeline", "wan_pipeline"])
def any_policy(request: pytest.FixtureRequest) -> str:
    """One of each family."""
    return request.getfixturevalue(request.param)


def clip(colour: tuple[int, int, int], num_frames: int = 5, side: int = 32) -> Media:
    frames = np.full((num_frames, side, side, 3), colour, dtype=np.uint8)
    return Media(encode_clip(frames, 8.0), side, side, num_frames, 8.0)


def rows_for(policy: str, num: int = 4) -> pa.Table:
    """Red is preferred to blue, in pictures or clips."""
    make = clip if "wan" in policy else picture
    return pairs_to_table(
        pair(number, make((200, 7 * number, 9)), make((9, 7 * number, 200)))
        for number in range(num)
    )


def perturb(module: torch.nn.Module) -> None:
    torch.manual_seed(1)
    with torch.no_grad():
        for one in module.parameters():
            one.add_(0.01 * torch.randn_like(one))


def test_before_the_first_step_nothing_is_preferred(policy):
    learner = DiffusionDPO(policy, Objective(100.0)).build(CPU, torch.float32)
    loss, scalars = learner.loss(learner.module, learner.collate({"pairs": pairs(4)}))
    assert loss.item() == pytest.approx(math.log(2))
    assert scalars["accuracy"] == 0.5
    for name in ("margin", "kl", "shift_chosen", "shift_rejected"):
        assert scalars[name] == 0.0
    loss.backward()
    assert any(one.grad.abs().max() > 0 for one in learner.module.parameters())
    assert all(one.grad is None for one in learner.reference.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_policy_and_reference_agree_before_the_first_step_in_any_dtype(any_policy, dtype):
    """Wan keeps its norms in float32 where it is loaded in another dtype; the steps do not."""
    learner = DiffusionDPO(any_policy, Objective(2000.0)).build(CPU, dtype)
    policy = learner.module.to(dtype)
    rows = [{"pairs": rows_for(any_policy, 2)}]
    assert {one.dtype for one in learner.reference.parameters()} == {dtype}
    learner.prepare(policy, iter(rows))
    assert learner.module.training


def test_a_policy_that_is_not_its_reference_is_refused_before_the_first_step(sandbox_pipeline):
    learner = DiffusionDPO(sandbox_pipeline, Objective(2000.0)).build(CPU, torch.float32)
    perturb(learner.module)
    with pytest.raises(ValueError, match="before the first step its margin to itself is"):
        learner.prepare(learner.module, iter([{"pairs": pairs(2)}]))


def test_training_follows_what_the_call_tells_the_model(sd3_pipeline):
    def length(**call: object) -> int:
        task = DiffusionDPO(sd3_pipeline, Objective(1.0), call=call)
        batch = task.build(CPU, torch.float32).collate({"pairs": pairs(1)})
        return batch["encoder_hidden_states"].shape[1]

    assert length() - length(max_sequence_length=16) == 256 - 16


def test_the_loss_matches_an_independent_one(policy):
    task = DiffusionDPO(policy, Objective(50.0))
    learner = task.build(CPU, torch.float32)
    perturb(learner.module)
    batch = learner.collate({"pairs": pairs(3)})
    torch.manual_seed(5)
    loss, scalars = learner.loss(learner.module, batch)

    torch.manual_seed(5)
    noise = torch.randn(3, 4, 16, 16)
    times = torch.randint(1000, (3,))
    alphas = learner.noising(batch["latents"]).schedule.alphas_cumprod[times].view(3, 1, 1, 1)
    errors = {}
    for side, start in (("chosen", 0), ("rejected", 3)):
        clean = batch["latents"][start : start + 3]
        noisy = alphas.sqrt() * clean + (1 - alphas).sqrt() * noise
        is_v = learner.pipeline.scheduler.config.prediction_type == "v_prediction"
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
    margins = -task.objective.beta * (gap["policy"] - gap["reference"])
    expected = torch.log1p(torch.exp(-margins)).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(scalars["margin"], margins.mean(), rtol=1e-3, atol=1e-5)
    assert scalars["kl"] > 0


def test_a_pair_becomes_the_same_in_any_batch_and_is_encoded_once(sandbox_pipeline):
    learner = DiffusionDPO(sandbox_pipeline, Objective(1.0)).build(CPU, torch.float32)
    table = pairs(4)
    together = learner.collate({"pairs": table})
    other = DiffusionDPO(sandbox_pipeline, Objective(1.0)).build(CPU, torch.float32)
    alone = other.collate({"pairs": table.slice(2, 1)})
    assert torch.equal(alone["latents"], together["latents"][[2, 6]])
    assert torch.equal(alone["encoder_hidden_states"], together["encoder_hidden_states"][[2, 6]])
    learner.pipeline.vae = None  # would be missed if it were asked again
    again = learner.collate({"pairs": table})
    assert torch.equal(again["latents"], together["latents"])


def test_few_step_models_train_on_the_samplers_own_timesteps(xl_pipeline):
    learner = DiffusionDPO(xl_pipeline, Objective(1.0), sampler_steps=4).build(CPU, torch.float32)
    levels = learner.noising(torch.zeros(2, 4, 16, 16))
    assert levels.timesteps.tolist() == [999, 749, 499, 249]


def test_a_side_without_a_picture_is_named(sandbox_pipeline):
    learner = DiffusionDPO(sandbox_pipeline, Objective(1.0)).build(CPU, torch.float32)
    table = pairs_to_table([pair(7, picture((1, 2, 3)), None)])
    with pytest.raises(ValueError, match="pair-07 has a side without a picture"):
        learner.collate({"pairs": table})


def test_other_predictions_are_refused(sandbox_pipeline, tmp_path):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(sandbox_pipeline)
    pipeline.scheduler.register_to_config(prediction_type="sample")
    pipeline.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="'sample'"):
        DiffusionDPO(str(tmp_path), Objective(1.0)).build(CPU, torch.float32)


def draw(directory: str | Path) -> np.ndarray:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(directory, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    noise = torch.Generator().manual_seed(0)
    drawn = pipeline("a red circle", num_inference_steps=2, generator=noise, output_type="np")
    return drawn.images


def test_a_saved_pipeline_loads_without_our_code(policy, tmp_path):
    learner = DiffusionDPO(policy, Objective(1.0)).build(CPU, torch.float32)
    learner.save(tmp_path / "same")
    assert np.array_equal(draw(tmp_path / "same"), draw(policy))
    perturb(learner.module)
    learner.save(tmp_path / "other")
    assert not np.array_equal(draw(tmp_path / "other"), draw(policy))
    assert not list(tmp_path.rglob("*.bin"))


def test_a_flows_loss_matches_an_independent_one(sd3_pipeline):
    task = DiffusionDPO(sd3_pipeline, Objective(20.0, "ipo", label_smoothing=0.1, sft_weight=0.3))
    learner = task.build(CPU, torch.float32)
    perturb(learner.module)
    batch = learner.collate({"pairs": pairs(3)})
    torch.manual_seed(5)
    loss, _ = learner.loss(learner.module, batch)

    torch.manual_seed(5)
    noise = torch.randn(3, 4, 16, 16)
    even = torch.linspace(1.0, 0.001 * 3 / 1.002, 1000)  # the scheduler shifts from its own end on
    sigma = (3 * even / (1 + 2 * even))[torch.randint(1000, (3,))].view(3, 1, 1, 1)
    gain = {}
    for side, start in (("chosen", 0), ("rejected", 3)):
        clean = batch["latents"][start : start + 3]
        errors = [
            (
                one(
                    (1 - sigma) * clean + sigma * noise,
                    encoder_hidden_states=batch["encoder_hidden_states"][:3],
                    pooled_projections=batch["pooled_projections"][:3],
                    timestep=1000 * sigma.flatten(),
                ).sample
                - (noise - clean)
            )
            .pow(2)
            .mean(dim=(1, 2, 3))
            for one in (learner.module, learner.reference)
        ]
        gain[side] = errors[1] - errors[0]
        if side == "chosen":
            error_chosen = errors[0].mean()
    margin = 20.0 * (gain["chosen"] - gain["rejected"])
    expected = (0.9 * (margin - 0.5) ** 2 + 0.1 * (-margin - 0.5) ** 2).mean() + 0.3 * error_chosen
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_a_clip_has_one_error_over_all_its_dimensions(wan_pipeline):
    """A published script averages dimensions 1 to 3 of five: one sigmoid a column of pixels."""
    task = DiffusionDPO(wan_pipeline, Objective(30.0))
    learner = task.build(CPU, torch.float32)
    perturb(learner.module)
    batch = learner.collate({"pairs": rows_for("wan", 2)})
    assert batch["latents"].shape == (4, 4, 2, 4, 4)  # 2B C T' H' W'
    torch.manual_seed(5)
    loss, _ = learner.loss(learner.module, batch)

    torch.manual_seed(5)
    noise = torch.randn(2, 4, 2, 4, 4).repeat(2, 1, 1, 1, 1)
    levels = learner.noising(batch["latents"])
    level = torch.randint(len(levels.sigmas), (2,)).repeat(2)
    sigma = levels.sigmas[level].view(4, 1, 1, 1, 1)
    inputs = {
        "hidden_states": (1 - sigma) * batch["latents"] + sigma * noise,
        "timestep": levels.timesteps[level],
        "encoder_hidden_states": batch["encoder_hidden_states"],
    }
    error = [
        (one(**inputs).sample - noise + batch["latents"]).pow(2).mean(dim=(1, 2, 3, 4))
        for one in (learner.module, learner.reference)
    ]
    gain = error[1] - error[0]
    expected = torch.log1p(torch.exp(-30.0 * (gain[:2] - gain[2:]))).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)


def test_pairs_count_by_their_weight(sandbox_pipeline):
    from dataclasses import replace

    from factory.alignment.weighting import Weighting

    table = pairs_to_table(
        [
            replace(pair(0, picture((200, 0, 0)), picture((0, 0, 200))), margin=0.5),
            replace(pair(1, picture((200, 9, 0)), picture((0, 9, 200))), margin=7.0),
            replace(pair(2, picture((200, 0, 9)), picture((9, 0, 200))), margin=7.0, weight=0.5),
        ]
    )
    by_margin = Weighting("margin", full_margin=2.0)
    learner = DiffusionDPO(sandbox_pipeline, Objective(1.0), by_margin).build(CPU, torch.float32)
    batch = learner.collate({"pairs": table})
    assert batch["weights"].tolist() == [0.25, 1.0, 0.5]
    loss, _ = learner.loss(learner.module, batch)  # policy and reference alike: log 2 a pair
    assert loss.item() == pytest.approx(math.log(2) * 1.75 / 3)


# ------------------------------------------------------------------------------------- adapters


def trained(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: one for name, one in module.named_parameters() if one.requires_grad}


def test_with_adapters_the_reference_is_the_same_model_without_them(any_policy):
    table = rows_for(any_policy)
    whole = DiffusionDPO(any_policy, Objective(50.0)).build(CPU, torch.float32)
    lora = Lora(rank=2, alpha=8.0)
    task = DiffusionDPO(any_policy, Objective(50.0), lora=lora, gradient_checkpointing=True)
    learner = task.build(CPU, torch.float32)
    assert learner.reference is None
    assert all("lora_" in name for name in trained(learner.module))
    losses = []
    for one in (learner, whole):
        torch.manual_seed(3)
        losses.append(one.loss(one.module, one.collate({"pairs": table}))[0].item())
    assert losses == [pytest.approx(math.log(2))] * 2

    torch.manual_seed(1)
    with torch.no_grad():
        for one in trained(learner.module).values():
            one.add_(0.05 * torch.randn_like(one))
    before = {name: one.clone() for name, one in learner.module.named_parameters()}
    torch.manual_seed(3)
    loss, scalars = learner.loss(learner.module, learner.collate({"pairs": table}))
    assert scalars["kl"] > 0
    loss.backward()
    grads = {name: one.grad for name, one in learner.module.named_parameters()}
    assert all((grad is not None) == ("lora_" in name) for name, grad in grads.items())
    assert all(torch.equal(one, before[name]) for name, one in learner.module.named_parameters())

    # The merged model beside a copy of the policy gives the same loss.
    merge_adapters(learner.module)
    assert not any("lora" in name for name, _ in learner.module.named_parameters())
    whole.module.load_state_dict(learner.module.state_dict())
    torch.manual_seed(3)
    merged, _ = whole.loss(whole.module, whole.collate({"pairs": table}))
    assert merged.item() == pytest.approx(loss.item(), rel=1e-4)


def test_adapters_are_saved_within_the_pipeline_and_beside_it(any_policy, tmp_path):
    """Both are loaded by stock diffusers alone, and are the same model."""
    from diffusers import DiffusionPipeline

    lora = Lora(rank=2, alpha=8.0)
    learner = DiffusionDPO(any_policy, Objective(50.0), lora=lora).build(CPU, torch.float32)
    part = learner.family.part
    torch.manual_seed(1)
    with torch.no_grad():
        for one in trained(learner.module).values():
            one.add_(0.05 * torch.randn_like(one))
    learner.save(tmp_path)
    merged = getattr(DiffusionPipeline.from_pretrained(tmp_path, use_safetensors=True), part)
    on_top = DiffusionPipeline.from_pretrained(any_policy, use_safetensors=True)
    plain = {name: one.clone() for name, one in getattr(on_top, part).state_dict().items()}
    on_top.load_lora_weights(tmp_path / "lora")
    on_top.fuse_lora(components=[part])
    on_top.unload_lora_weights()
    found = merged.state_dict()
    assert set(found) == set(plain)
    for name, one in getattr(on_top, part).state_dict().items():
        torch.testing.assert_close(found[name], one, rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(found[name], plain[name]) for name in plain)


def test_adapters_on_layers_that_do_not_exist_are_refused(sandbox_pipeline):
    lora = Lora(targets=["no_such_layer"])
    with pytest.raises(ValueError, match=r"lora\.targets: .*no_such_layer"):
        DiffusionDPO(sandbox_pipeline, Objective(1.0), lora=lora).build(CPU, torch.float32)


def test_media_that_do_not_fit_the_pipeline_are_named(sandbox_pipeline, wan_pipeline):
    still, moving = picture((1, 2, 3)), clip((1, 2, 3))
    for policy, sides, fault in (
        (wan_pipeline, (still, still), r"pair-01 has sides of 1 frame.*draws clips"),
        (wan_pipeline, (clip((1, 2, 3), 6),) * 2, "pair-01: 6 frames"),
        (sandbox_pipeline, (moving, moving), r"pair-01 has sides of 5 frame.*draws pictures"),
        (sandbox_pipeline, (still, picture((1, 2, 3), 64)), "pair-01 has sides of different sizes"),
        (sandbox_pipeline, (still, Media(b"no", 1, 1)), "pair pair-01: cannot read a picture"),
    ):
        learner = DiffusionDPO(policy, Objective(1.0)).build(CPU, torch.float32)
        table = pairs_to_table([pair(1, *sides)])
        with pytest.raises(ValueError, match=fault):
            learner.collate({"pairs": table})


@pytest.mark.gpu
def test_a_bf16_step_on_a_gpu(policy):
    device = torch.device("cuda")
    learner = DiffusionDPO(policy, Objective(100.0)).build(device, torch.bfloat16)
    learner.module.to(device, torch.bfloat16)
    loss, _ = learner.loss(learner.module, learner.collate({"pairs": pairs(4)}))
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()


def test_alignment_end_to_end(local_ray, sandbox_pipeline, tmp_path):
    import ray.data

    from actors.trainers.engine import fit

    training = Training(num_steps=12, batch_size=8, learning_rate=1e-3, log_every=4)
    task = DiffusionDPO(sandbox_pipeline, Objective(50.0))
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
    assert last["kl"] > 0
    assert not np.array_equal(draw(result.directory), draw(sandbox_pipeline))


def test_looking_at_what_it_draws_changes_nothing_of_the_training(policy: str) -> None:
    learner = DiffusionDPO(policy, Objective(2000.0), sampler_steps=4).build(CPU, torch.float32)
    rows = {"pairs": pairs(4)}

    def loss() -> float:
        torch.manual_seed(3)
        return float(learner.loss(learner.module, learner.collate(rows))[0].detach())

    before, state = loss(), torch.get_rng_state()
    prompts = ["a small red circle", "a large blue square"]
    first, again = (learner.draw(prompts, 2, 1.0) for _ in range(2))
    assert first == again
    assert all(Image.open(io.BytesIO(one)).format == "PNG" for one in first)
    assert torch.equal(torch.get_rng_state(), state)
    assert learner.module.training
    assert loss() == before
