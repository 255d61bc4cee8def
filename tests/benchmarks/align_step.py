"""What our alignment step costs beside a plain PyTorch loop over the same model and batches.

    python -m tests.benchmarks.align_step [--of pictures | answers] [--num 40] [--batch 16]

DPO of the sandbox's (untrained) pipeline on pictures, or of its base model on answers; one process,
float32, one thread. The plain loop is written out here, loss and all, and is given its batches as
tensors; ours draws rows from Arrow, looks up what it has encoded, seeds, keeps means, and steps
through DeepSpeed. Both know the reference as a step should: a frozen copy for pictures, numbers for
answers. Steps alternate, and the first of each is left out. Time is CPU time of the process, which
a busy machine stretches less than the clock; the interval is over steps.

Then the memory of one step's tensors (weights, gradients, optimiser states, reference; without
activations), for all weights beside a frozen copy and for adapters whose reference has them off.

figure: CPU time of our steps over that of the plain ones. The largest difference between the two
trained models is printed beside it: the comparison is void unless it is rounding. Of answers it may
come to a learning rate or two: where a gradient is nothing but rounding, AdamW steps by its sign.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

import factory.sandbox
from actors.sandbox import generator
from actors.sandbox.tokenizer import MAX_PROMPT_TOKENS, build_tokenizer
from actors.trainers.answers import AnswerDPO
from actors.trainers.batches import Batches, Shard, in_order
from actors.trainers.diffusion import DiffusionDPO
from actors.trainers.learning import Prepares
from actors.trainers.loop import FitPlan, Progress, train_steps
from actors.trainers.zero import ZeroEngine, learning_rate
from factory.alignment.losses import Objective
from factory.sandbox.drawing import draw
from factory.sandbox.questions import ask
from factory.sandbox.world import caption, sample_scene
from factory.statistics.intervals import bootstrap_of_sums, ratio
from schemas.arrow import pairs_to_table
from schemas.recipe import Answering, Lora, Training
from schemas.rows import Candidate, Media, Pair, Prompt, Task, seed_of
from tests.group_of_one import group_of_one, worker_environment

_SEED = 0
_NUM_PAIRS = 32
_CPU = torch.device("cpu")
_BASE = Path(factory.sandbox.__file__).parent / "weights" / "base"
_ASKING = Answering(question="image : {media} question : {prompt} answer :")


@dataclass(frozen=True)
class Case:
    """What is aligned, and on which pairs."""

    task: Any
    pairs: pa.Table


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--of", choices=("pictures", "answers"), default="pictures")
    parser.add_argument("--num", type=int, default=40, help="steps of each side")
    parser.add_argument("--batch", type=int, default=16, help="pairs of a step")
    given = parser.parse_args()
    torch.set_num_threads(1)
    training = Training(
        num_steps=given.num + 1, batch_size=given.batch, learning_rate=1e-5, log_every=1
    )
    with tempfile.TemporaryDirectory() as directory, worker_environment(), group_of_one():
        save_pipeline(Path(directory) / "policy")
        if given.of == "pictures":
            policy = str(Path(directory) / "policy")
            case = Case(DiffusionDPO(policy, Objective(1000.0)), some_pairs("image_generation"))
        else:
            task = AnswerDPO(str(_BASE), Objective(0.1), _ASKING)
            case = Case(task, some_pairs("image_understanding"))
        sides = [_ours(case, training), _plain(case, training)]
        seconds = np.zeros((training.num_steps, 2))
        for step in range(training.num_steps):
            for index, side in enumerate(sides):
                began = time.process_time()
                next(side)
                seconds[step, index] = time.process_time() - began
        modules = [next(side) for side in sides]
        full = _held(case, training)
        small = _held(replace(case, task=replace(case.task, lora=Lora(rank=8))), training)
    apart = max(
        float((one - other).detach().abs().max())
        for one, other in zip(*(module.parameters() for module in modules), strict=True)
    )
    cost = bootstrap_of_sums(
        seconds[1:], [str(step) for step in range(given.num)], lambda sums: ratio(*sums.T)
    )
    ours, plain = 1000 * seconds[1:].mean(axis=0)
    print(f"{given.num} steps of {given.batch} pairs of {given.of}, ms of CPU a step")
    print(f"  ours   {ours:7.1f}\n  plain  {plain:7.1f}\n  weights differ by at most {apart:.1e}")
    print(f"  ratio  {cost.value:.3f} (95 %: {cost.low:.3f} to {cost.high:.3f})")
    print("memory of one step's tensors without activations, MB")
    print(f"  all weights {full / 1e6:7.1f}\n  adapters    {small / 1e6:7.1f}  (rank 8)")
    print(
        json.dumps(
            {
                "figure": round(cost.value, 3),
                "low": round(cost.low, 3),
                "high": round(cost.high, 3),
                "of": given.of,
                "mb_all_weights": round(full / 1e6, 1),
                "mb_adapters": round(small / 1e6, 1),
            }
        )
    )


def _learner(case: Case, training: Training) -> Any:
    learner = case.task.build(_CPU, torch.float32)
    learner.module.train()
    if isinstance(learner, Prepares):
        shards = {"pairs": Shard([case.pairs], "pair_id")}
        learner.prepare(learner.module, in_order(shards, training.batch_size))
    return learner


def _batches(case: Case, training: Training) -> Batches:
    shards = {"pairs": Shard([case.pairs], "pair_id")}
    return Batches(shards, {"pairs": 1.0}, training.batch_size, _SEED)


# ------------------------------------------------------------------------------------ the two sides


def _ours(case: Case, training: Training) -> Iterator[nn.Module]:
    learner = _learner(case, training)
    engine = ZeroEngine(learner.module, training)
    plan = FitPlan(case.task, training, _SEED, checkpoint_every=training.num_steps)
    batches = _batches(case, training)
    for number in range(training.num_steps):
        learner.collate(batches[number])  # encoding pairs is not part of a step
    for _ in train_steps(engine, learner, batches, plan, Progress(), rank=0):
        yield learner.module
    yield learner.module


def _plain(case: Case, training: Training) -> Iterator[nn.Module]:
    learner = _learner(case, training)
    batches = _batches(case, training)
    prepared = [learner.collate(batches[number]) for number in range(training.num_steps)]
    module = learner.module
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.0)
    plain_loss = _plain_answer_loss if isinstance(case.task, AnswerDPO) else _plain_picture_loss
    for step, batch in enumerate(prepared):
        optimizer.param_groups[0]["lr"] = learning_rate(training, step)
        torch.manual_seed(seed_of("noise", _SEED, 0, step))
        loss = plain_loss(learner, batch, case.task.objective.beta)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), training.gradient_clipping)
        optimizer.step()
        yield module
    yield module


def _plain_picture_loss(learner: Any, batch: dict[str, Tensor], beta: float) -> Tensor:
    """Diffusion-DPO of v-prediction, written out."""
    latents, words = batch["latents"], batch["encoder_hidden_states"]
    num = len(latents) // 2
    schedule = learner.noising(latents).schedule
    noise = torch.randn(num, *latents.shape[1:]).repeat(2, 1, 1, 1)
    times = torch.randint(1000, (num,)).repeat(2)
    noisy = schedule.add_noise(latents, noise, times)
    target = schedule.get_velocity(latents, noise, times)
    with torch.no_grad():
        by_reference = learner.reference(noisy, times, words, return_dict=False)[0]
        ref_error = (by_reference - target).pow(2).mean(dim=(1, 2, 3))
    error = (learner.module(noisy, times, words, return_dict=False)[0] - target).pow(2)
    gain = ref_error - error.mean(dim=(1, 2, 3))
    return -F.logsigmoid(beta * (gain[:num] - gain[num:])).mean()


def _plain_answer_loss(learner: Any, batch: Any, beta: float) -> Tensor:
    """DPO of answers, written out."""
    (inputs,) = batch.inputs  # of a family whose questions are joined
    asked = batch.targets >= 0
    places = batch.starts[:, None] + torch.arange(batch.targets.shape[1])
    places = places.clamp(max=inputs["input_ids"].shape[1] - 1)
    kept = places.unique()
    logits = learner.module(**inputs, logits_to_keep=kept, use_cache=False).logits
    rows = torch.arange(len(logits))[:, None]
    log_p = logits[rows, torch.searchsorted(kept, places)].log_softmax(-1)
    tokens = log_p.gather(-1, batch.targets.clamp(min=0)[..., None])[..., 0] * asked
    gain = tokens.sum(dim=1) - batch.ref_logp.sum(dim=1)
    chosen, rejected = gain.chunk(2)
    return -F.logsigmoid(beta * (chosen - rejected)).mean()


# ----------------------------------------------------------------------------------------- memory


def _held(case: Case, training: Training) -> int:
    """Bytes of all that a step of AdamW keeps: weights, gradients, states, a frozen copy."""
    learner = _learner(case, training)
    trained = [one for one in learner.module.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    loss, _ = learner.loss(learner.module, learner.collate(_batches(case, training)[0]))
    loss.backward()
    optimizer.step()
    reference = getattr(learner, "reference", None)
    tensors = [
        *learner.module.parameters(),
        *(() if reference is None else reference.parameters()),
        *(one.grad for one in trained if one.grad is not None),
        *(value for state in optimizer.state.values() for value in state.values()),
    ]
    return sum(one.nbytes for one in tensors)


# ------------------------------------------------------------------------------------------ inputs


def some_pairs(task: Task) -> pa.Table:
    """Drawn scenes in two tries each, or two answers about one; which is chosen means nothing."""
    rng = random.Random(_SEED)
    return pairs_to_table(_pair(number, task, rng) for number in range(_NUM_PAIRS))


def _pair(number: int, task: Task, rng: random.Random) -> Pair:
    scene = sample_scene(rng)
    pictures = []
    for _ in range(2):
        buffer = io.BytesIO()
        Image.fromarray(draw(scene, rng, generator.SIDE)).save(buffer, "PNG")
        pictures.append(Media(buffer.getvalue(), generator.SIDE, generator.SIDE))
    if task == "image_generation":
        prompt = Prompt.of(caption(scene))
        sides = [Candidate(f"{at}-{number}", "generator@0", at, pictures[at]) for at in range(2)]
    else:
        question = ask(scene, rng)
        prompt = Prompt.of(question.text, task, media=pictures[0])
        answers = [question.answers[0].text, question.answers[-1].text]
        sides = [
            Candidate(f"{at}-{number}", "generator@0", at, answer=answers[at]) for at in range(2)
        ]
    return Pair(f"{number:04d}", prompt, *sides, "none", 1.0, 0.1, 1.0, 0.9, False, "kept")


def save_pipeline(directory: Path, **unet: Any) -> None:
    """The sandbox's pipeline, untrained, with these settings of its UNet."""
    torch.manual_seed(_SEED)
    tokenizer = build_tokenizer(MAX_PROMPT_TOKENS, closed=True)
    pipeline = generator.assemble(
        generator.build_autoencoder(),
        generator.build_text_encoder(tokenizer),
        UNet2DConditionModel.from_config({**generator.build_unet().config, **unet}),
        tokenizer,
    )
    pipeline.save_pretrained(directory)


if __name__ == "__main__":
    main()
