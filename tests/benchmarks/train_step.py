"""What our training step costs beside a plain PyTorch loop over the same model and batches.

    python -m tests.benchmarks.train_step [--num 40] [--batch 8]

Diffusion-DPO of the sandbox's (untrained) pipeline, one process, float32, one thread. Both sides
compute the same loss on the same rows with the same noise. The plain loop is given its batches as
tensors; ours draws rows from Arrow, looks up their latents, seeds, keeps means, and steps through
DeepSpeed. Steps alternate, and the first of each is left out. Time is CPU time of the process,
which a busy machine stretches less than the clock.

figure: CPU time of our steps over that of the plain ones. The largest difference between the two
trained models is printed beside it: the comparison is void unless it is rounding.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image

from actors.trainers.batches import Batches, Shard
from actors.trainers.diffusion import DiffusionDPO
from actors.trainers.loop import Plan, Progress, train_steps
from actors.trainers.zero import ZeroEngine, learning_rate
from factory.losses import Objective
from factory.sandbox import generator
from factory.sandbox.drawing import draw
from factory.sandbox.tokenizer import MAX_PROMPT_TOKENS, build_tokenizer
from factory.sandbox.world import caption, sample_scene
from schemas.arrow import pairs_to_table
from schemas.recipe import Training
from schemas.rows import Candidate, Media, Pair, Prompt, seed_of

_SEED = 0


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--num", type=int, default=40, help="steps of each side")
    parser.add_argument("--batch", type=int, default=8, help="pairs of a step")
    given = parser.parse_args()
    torch.set_num_threads(1)
    training = Training(
        num_steps=given.num + 1, batch_size=given.batch, learning_rate=1e-5, log_every=1
    )
    with tempfile.TemporaryDirectory() as directory:
        _start_process_group(Path(directory))
        _save_pipeline(Path(directory) / "policy")
        task = DiffusionDPO(str(Path(directory) / "policy"), Objective(1000.0))
        sides = [_ours(task, training), _plain(task, training)]
        seconds = [0.0, 0.0]
        for step in range(training.num_steps):
            for index, side in enumerate(sides):
                began = time.process_time()
                next(side)
                seconds[index] += (time.process_time() - began) * (step > 0)
        modules = [next(side) for side in sides]
    torch.distributed.destroy_process_group()
    apart = max(
        float((one - other).detach().abs().max())
        for one, other in zip(*(module.parameters() for module in modules), strict=True)
    )
    ours, plain = (1000 * total / given.num for total in seconds)
    print(f"{given.num} steps of {given.batch} pairs, ms of CPU a step")
    print(f"  ours   {ours:7.1f}\n  plain  {plain:7.1f}\n  weights differ by at most {apart:.1e}")
    print(json.dumps({"figure": round(ours / plain, 3)}))


def _ours(task: DiffusionDPO, training: Training) -> Iterator[torch.nn.Module]:
    learner = task.build(torch.device("cpu"), torch.float32)
    engine = ZeroEngine(learner.module, training)
    plan = Plan(task, training, _SEED, checkpoint_every=training.num_steps)
    batches = _batches(training)
    for number in range(training.num_steps):
        learner.collate(batches[number])  # encoding pairs is not part of a step
    for _ in train_steps(engine, learner, batches, plan, Progress(), rank=0):
        yield learner.module
    yield learner.module


def _plain(task: DiffusionDPO, training: Training) -> Iterator[torch.nn.Module]:
    learner = task.build(torch.device("cpu"), torch.float32)
    batches = _batches(training)
    prepared = [learner.collate(batches[number]) for number in range(training.num_steps)]
    module = learner.module
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.0)
    for step, batch in enumerate(prepared):
        optimizer.param_groups[0]["lr"] = learning_rate(training, step)
        torch.manual_seed(seed_of("noise", _SEED, 0, step))
        loss, _ = learner.loss(module, batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), training.gradient_clipping)
        optimizer.step()
        yield module
    yield module


def _batches(training: Training) -> Batches:
    shards = {"pairs": Shard([_pairs(32)], "pair_id")}
    return Batches(shards, {"pairs": 1.0}, training.batch_size, _SEED)


def _pairs(num: int) -> pa.Table:
    rng = random.Random(_SEED)
    pairs = []
    for number in range(num):
        scene = sample_scene(rng)
        sides = []
        for side in ("chosen", "rejected"):
            buffer = io.BytesIO()
            Image.fromarray(draw(scene, rng, generator.SIDE)).save(buffer, "PNG")
            media = Media(buffer.getvalue(), generator.SIDE, generator.SIDE)
            sides.append(Candidate(f"{side}-{number}", "generator@0", number, media))
        prompt = Prompt.of(caption(scene))
        pairs.append(
            Pair(f"{number:04d}", prompt, *sides, "none", 1.0, 0.1, 1.0, 0.9, False, "kept")
        )
    return pairs_to_table(pairs)


def _save_pipeline(directory: Path) -> None:
    torch.manual_seed(_SEED)
    tokenizer = build_tokenizer(MAX_PROMPT_TOKENS, closed=True)
    pipeline = generator.assemble(
        generator.build_autoencoder(),
        generator.build_text_encoder(tokenizer),
        generator.build_unet(),
        tokenizer,
    )
    pipeline.save_pretrained(directory)


def _start_process_group(directory: Path) -> None:
    """A group of one, as Ray Train would have made it."""
    os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    store = f"file://{directory / 'store'}"
    torch.distributed.init_process_group("gloo", store, world_size=1, rank=0)


if __name__ == "__main__":
    main()
