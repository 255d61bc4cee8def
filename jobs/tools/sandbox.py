"""How the parts of the sandbox are made; `python -m jobs.sandbox --help` says which there are."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from schemas.rows import UNDERSTANDING, seed_of

PARTS = ("prompts", "generator", "clips", "base", "questions", "votes")
#: The shipped prompts files: name -> number of prompts. No prompt is in two of them.
PROMPTS = {"heldout": 240, "label": 220, "produce": 610, "sweep": 360}
#: The same of clips, each of whose captions states a motion.
CLIP_PROMPTS = {"clips_heldout": 240, "clips_label": 150, "clips_produce": 200}
#: Files of questions about pictures and clips: name -> number, half of it of either.
QUESTIONS = {"heldout": 300, "label": 240, "produce": 600}
#: Votes between two drawn pictures, each of another caption of `label.txt`.
NUM_VOTES = PROMPTS["label"]

#: Captions of which the base sees drawn pictures, as many of which it sees generated ones, and
#: half as many of which it sees clips.
GALLERY = 9000
BASE_STEPS = 8000
#: Steps on clips that fit their captions, before a fifth as many on such that mostly do not.
CLIP_STEPS = 2200
#: Where the generator of pictures lies, from which the gallery and the generator of clips come.
GENERATOR = "factory/sandbox/weights/generator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="training steps (default: as shipped)")
    parser.add_argument(
        "--start-from", metavar="DIRECTORY", help="base, clips: go on from these weights"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=1e-3, metavar="RATE", help="base: at its peak"
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=24,
        metavar="N",
        help="base: scales a step's documents, of each process",
    )
    parser.add_argument(
        "--gallery",
        type=int,
        default=GALLERY,
        metavar="N",
        help="base: captions of drawn pictures, and of generated ones",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="base: processes that make documents"
    )
    parser.add_argument("--device", default="cpu", help="base: cpu or cuda")


def make(given: argparse.Namespace) -> None:
    """Make one of the sandbox's parts."""
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part == "prompts":
        _write_prompts(given.out, given.seed)
    elif given.part == "generator":
        _train_generator(given.out, given.seed, given.steps or 3300)
    elif given.part == "clips":
        _train_clip_generator(given.out, given.seed, given.steps or CLIP_STEPS, given.start_from)
    elif given.part == "questions":
        _write_questions(given.out, given.seed)
    elif given.part == "votes":
        write_votes(given.out, NUM_VOTES, given.seed)
    else:
        _pretrain_base(given)


def _write_prompts(out: Path, seed: int) -> None:
    from factory.sandbox.world import sample_captions

    captions = iter(sample_captions(sum(PROMPTS.values()), seed))
    for name, num in PROMPTS.items():
        lines = [next(captions) + "\n" for _ in range(num)]
        (out / f"{name}.txt").write_text("".join(lines))
        print(f"{out / name}.txt: {num} prompts")
    captions = iter(sample_captions(sum(CLIP_PROMPTS.values()), seed, moving=True))
    for name, num in CLIP_PROMPTS.items():
        rows = [{"prompt": next(captions), "task": "video_generation"} for _ in range(num)]
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{out / name}.jsonl: {num} prompts")


def _write_questions(out: Path, seed: int) -> None:
    for name, num in QUESTIONS.items():
        write_questions(out / f"{name}.parquet", num, seed_of("questions", name, seed))
        print(f"{out / name}.parquet: {num} questions")


def write_questions(path: Path, num: int, seed: int) -> None:
    """A prompts file of questions about drawn pictures and about drawn clips, half of either."""
    import pyarrow as pa

    from factory.sandbox.four_tasks import SCENE, drawn_cases
    from jobs.datasets.files import write_table

    rows = []
    for task in UNDERSTANDING:
        for prompt, _ in drawn_cases(task, num // 2, 1, seed):
            assert prompt.media is not None
            media = {"bytes": prompt.media.data, "path": None}
            tags = {SCENE: prompt.tags[SCENE], "about": task.partition("_")[0]}
            rows.append({"prompt": prompt.text, "task": task, "media": media, **tags})
    write_table(path, pa.Table.from_pylist(rows))


def write_votes(out: Path, num: int, seed: int) -> None:
    """A table as people keep their own: votes.csv, and the pictures that it names.

    Of two pictures one shows the caption and the other something else of it; of each tenth pair
    both show it. The voters are simulated, and one of them errs in each tenth vote.
    """
    import csv
    import random

    from factory.media.pictures import encode_png
    from factory.sandbox.drawing import CONTENT_DEFECTS, draw, spoil_scene
    from factory.sandbox.world import parse, sample_captions
    from schemas.rows import SIMULATED

    known = PROMPTS["heldout"], PROMPTS["label"]
    captions = sample_captions(sum(PROMPTS.values()), 0)[known[0] : sum(known)][:num]
    (out / "pictures").mkdir(exist_ok=True)
    with (out / "votes.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("prompt", "image_a", "image_b", "winner", "voter"))
        for number, text in enumerate(captions):
            rng = random.Random(seed_of("vote", text, seed))
            scene = parse(text)
            is_even = number % 10 == 9
            other = scene if is_even else spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng)
            names = [f"pictures/{number:03}-{side}.png" for side in "ab"]
            is_left = rng.random() < 0.5
            for name, shown in zip(
                names, (scene, other) if is_left else (other, scene), strict=True
            ):
                (out / name).write_bytes(encode_png(draw(shown, rng)))
            voter = rng.choice(("ann", "ben"))
            errs = voter == "ben" and rng.random() < 0.1
            winner = "both" if is_even else "left" if is_left != errs else "right"
            table.writerow((text, *names, winner, f"{SIMULATED}{voter}"))
    print(f"{out / 'votes.csv'}: {len(captions)} votes, and their pictures")


def _train_generator(out: Path, seed: int, num_steps: int) -> None:
    import torch

    from actors.sandbox.generator import train_generator

    torch.set_num_threads(1)

    def save(pipeline: Any) -> None:
        # The text encoder stays in single precision: transformers loads weights as they are
        # stored and diffusers loads them in single precision, and the two must meet.
        pipeline.unet.half()
        pipeline.vae.half()
        pipeline.save_pretrained(out, safe_serialization=True)

    save(train_generator(num_steps, 1500, 300, 48, seed, _log, _save_copy(save)))


def _train_clip_generator(out: Path, seed: int, num_steps: int, start_from: str | None) -> None:
    import torch
    from diffusers import DiffusionPipeline

    from actors.sandbox.clip_generator import train_clip_generator

    torch.set_num_threads(1)

    def save(pipeline: Any) -> None:
        pipeline.unet.half()
        pipeline.vae.half()
        pipeline.save_pretrained(out, safe_serialization=True)

    source = DiffusionPipeline.from_pretrained(
        start_from or GENERATOR, use_safetensors=True, trust_remote_code=False
    )
    misfit_steps = num_steps // 5
    save(train_clip_generator(source, num_steps, misfit_steps, 8, seed, _log, _save_copy(save)))


def _pretrain_base(given: argparse.Namespace) -> None:
    import torch
    import torch.distributed as dist
    from diffusers import DiffusionPipeline

    from actors.sandbox.base_vlm import SPECIFICATION, Pretraining, build_processor, pretrain_base
    from actors.sandbox.lessons import Lessons
    from factory.sandbox.world import sample_captions

    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    processor = build_processor()

    def save(model: Any) -> None:
        model.save_pretrained(given.out)
        processor.save_pretrained(given.out)
        SPECIFICATION.save(given.out)

    pipeline = DiffusionPipeline.from_pretrained(
        GENERATOR, use_safetensors=True, trust_remote_code=False
    )
    pipeline.set_progress_bar_config(disable=True)
    # None of them is in a shipped prompts file.
    shipped = sample_captions(sum(PROMPTS.values()), seed=0)
    captions = sample_captions(given.gallery, given.seed + 1, exclude=frozenset(shipped))
    rank, num_processes = 0, 1
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
        rank, num_processes = dist.get_rank(), dist.get_world_size()
    lessons = Lessons(
        processor.tokenizer,
        pipeline,
        captions,
        given.gallery,
        given.batch_size,
        given.seed,
        rank,
        num_processes,
    )
    pretraining = Pretraining(
        given.steps or BASE_STEPS,
        given.learning_rate,
        given.seed,
        num_workers=given.workers,
        device=given.device,
    )
    if rank > 0:  # what one process logs and saves is enough
        pretrain_base(processor, lessons, pretraining, given.start_from, _ignore)
        return
    save(pretrain_base(processor, lessons, pretraining, given.start_from, _log, _save_copy(save)))


def _ignore(_: str) -> None:
    """Log nothing."""


def _save_copy(save: Any) -> Any:
    """Saving rounds to half precision in place: a run that goes on must save a copy."""
    import copy

    return lambda model, *rest: save(copy.deepcopy(model), *rest)


def _log(line: str) -> None:
    print(line, flush=True)
