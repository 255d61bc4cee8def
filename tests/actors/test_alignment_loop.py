"""Alignment through the loop and DeepSpeed in one process: adapters, ZeRO stages, resuming."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from actors.trainers import zero
from actors.trainers.answers import AnswerDPO
from actors.trainers.batches import Batches, Shard, in_order
from actors.trainers.diffusion import DiffusionDPO
from actors.trainers.learning import Prepares
from actors.trainers.loop import FitPlan, Progress, train_steps
from actors.trainers.samples import Looks, Samples
from factory.alignment.losses import Objective
from factory.media.pictures import encode_png
from schemas.arrow import pairs_to_table
from schemas.recipe import Answering, Lora, Training
from schemas.rows import Candidate, Media, Pair, Prompt

pytestmark = pytest.mark.usefixtures("process_group")

BASE = str(Path(__file__).parents[2] / "factory/sandbox/weights/base")
ASKING = Answering(question="image : {media} question : {prompt} answer :", max_new_tokens=8)


def pairs(is_answers: bool) -> pa.Table:
    """Red and short are preferred."""
    rows = []
    for number in range(8):
        colours = np.full((2, 32, 32, 3), 9 * number, dtype=np.uint8)
        colours[0, ..., 0] = colours[1, ..., 2] = 220
        media = [Media(encode_png(one), 32, 32) for one in colours]
        if is_answers:
            prompt = Prompt.of("what is it ?", "image_understanding", media=media[0])
            chosen = Candidate("c", "generator@0", 1, answer="red")
            rejected = Candidate("r", "generator@0", 2, answer="a small blue circle")
        else:
            prompt = Prompt.of(f"a red circle and {number} blue squares")
            chosen, rejected = (Candidate(str(at), "generator@0", at, media[at]) for at in (0, 1))
        judged = ("judge@1", 1.0, 0.2, 1.0, 0.8, False, "kept")
        rows.append(Pair(f"pair-{number}", prompt, chosen, rejected, *judged))
    return pairs_to_table(rows)


def training(**changes: object) -> Training:
    wanted = {"num_steps": 6, "batch_size": 4, "learning_rate": 1e-3, "log_every": 2}
    return Training.model_validate({**wanted, **changes})


def run(
    task,
    plan_training: Training,
    resume: Path | None = None,
    save_to: Path | None = None,
    samples: Samples | None = None,
):
    """As a worker of `engine` does it; with `save_to` it stops after half of the steps."""
    plan = FitPlan(task, plan_training, 0, checkpoint_every=3)
    learner = task.build(torch.device("cpu"), zero.DTYPES[plan_training.precision])
    engine = zero.ZeroEngine(learner.module, plan_training)
    shards = {"pairs": Shard([pairs(isinstance(task, AnswerDPO))], "pair_id")}
    batches = Batches(shards, {"pairs": 1.0}, plan_training.batch_size, 0)
    if isinstance(learner, Prepares):
        learner.prepare(engine.model, in_order(shards, 4))
    viewer = Looks(samples, learner, is_writer=True) if samples else None
    progress = Progress()
    if resume is not None:
        progress = Progress.read(resume)
        engine.load(resume)
    for _ in train_steps(engine, learner, batches, plan, progress, rank=0):
        if viewer is not None:
            viewer.look(progress.step - 1, progress.step)
        if save_to is not None and progress.step == 3:
            engine.save(save_to)
            progress.write(save_to)
            break
    engine.restore_full_weights(is_saver=True)
    return progress.points, learner


def adapters(learner) -> list[torch.Tensor]:
    named = learner.module.named_parameters()
    return [one.detach().clone() for name, one in named if "lora_" in name]


@pytest.fixture(params=["answers", "pictures"])
def task(request: pytest.FixtureRequest):
    lora = Lora(rank=2)
    if request.param == "answers":
        return AnswerDPO(BASE, Objective(0.1), ASKING, lora=lora)
    return DiffusionDPO(
        request.getfixturevalue("sandbox_pipeline"), Objective(50.0), lora=lora, sampler_steps=4
    )


def test_adapters_learn_alike_at_every_stage_and_leave_the_rest_alone(task):
    points, learner = run(task, training())
    first, last = points[0], points[-1]
    assert {"loss", "accuracy", "margin", "kl", "grad_norm"} <= set(last)
    assert last["loss"] < first["loss"]
    assert last["accuracy"] > 0.7
    untouched = dict(task.build(torch.device("cpu"), torch.float32).module.named_parameters())
    for name, one in learner.module.named_parameters():
        assert "lora_" in name or torch.equal(one, untouched[name])
    for stage in (2, 3):
        other_points, other = run(task, training(zero_stage=stage))
        assert other_points[-1]["loss"] == pytest.approx(last["loss"], rel=1e-3)
        for ours, theirs in zip(adapters(learner), adapters(other), strict=True):
            # Adam moves by the rate in the sign of a gradient, which may be rounding.
            assert (ours - theirs).abs().median() < 1e-5


def test_a_resumed_alignment_is_the_undisturbed_one(task, tmp_path):
    """The reference is the model before the first step, also to a run that goes on later."""
    wanted, undisturbed = run(task, training())
    run(task, training(), save_to=tmp_path)
    found, resumed = run(task, training(), resume=tmp_path)
    assert found == wanted
    for ours, theirs in zip(adapters(undisturbed), adapters(resumed), strict=True):
        assert torch.equal(ours, theirs)


def test_a_bf16_run_saves_the_weights_that_it_did_not_train_unrounded(sandbox_pipeline, tmp_path):
    from diffusers import UNet2DConditionModel

    task = DiffusionDPO(sandbox_pipeline, Objective(50.0), lora=Lora(rank=2))
    _, learner = run(task, training(precision="bf16", zero_stage=2, num_steps=2))
    learner.save(tmp_path)
    before, after = (
        UNet2DConditionModel.from_pretrained(path, subfolder="unet").state_dict()
        for path in (sandbox_pipeline, tmp_path)
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.split(".")[-2] in ("to_q", "to_k", "to_v", "0") for name in changed)
    assert all((before[name] - after[name]).abs().max() < 0.01 for name in changed)


def test_samples_show_the_weights_of_their_step_at_every_stage_and_change_nothing(task, tmp_path):
    row = pairs(is_answers=True).to_pylist()[0]["prompt_media"]["image"]["bytes"]
    asked = Prompt.of("what is it ?", "image_understanding", media=Media(row, 32, 32))
    wanted, untouched = run(task, training())
    shown = {}
    for stage in (0, 3):
        directory = tmp_path / str(stage)
        # Points of the curves are at 2, 3 (a checkpoint), 4 and 6.
        samples = Samples((asked,), 2, str(directory), 2, 1.0)
        points, learner = run(task, training(zero_stage=stage), samples=samples)
        assert points[-1]["loss"] == pytest.approx(wanted[-1]["loss"], rel=1e-3)
        shown[stage] = {one.name: one.read_bytes() for one in directory.glob("*")}
        if stage == 0:
            assert all(map(torch.equal, adapters(learner), adapters(untouched)))
    suffix = ".html" if isinstance(task, AnswerDPO) else ".png"
    assert sorted(shown[0]) == [f"step-00000{step}{suffix}" for step in (2, 4, 6)]
    assert sorted(shown[3]) == sorted(shown[0])
    if suffix == ".png":  # answers may well stay the same in six steps
        assert len(set(shown[0].values())) == 3
