"""Makes the sandbox's parts: its prompts files, its small generators and its base model.

    python -m jobs.sandbox prompts   --out jobs/recipes/prompts
    python -m jobs.sandbox generator --out factory/sandbox/weights/generator   (about 50 minutes)
    python -m jobs.sandbox clips     --out factory/sandbox/weights/clips       (about an hour)
    python -m jobs.sandbox base      --out factory/sandbox/weights/base4       (about 3 hours)
    python -m jobs.sandbox questions --out runs/questions

The generator of clips is made from that of pictures, and the base looks at pictures of it, so that
one comes first. The base knows four tasks; what lies in `weights/base` is an earlier one that knows
pictures only (docs/decisions/0003 and 0011). `prompts` writes captions of pictures, and of clips;
`questions` draws pictures and clips to ask about: those files hold media and are not shipped.
Times are of one CPU core. Training saves as it goes, so a stopped run leaves a model that loads.
The base can be trained by several processes, each with documents of its own:

    torchrun --nproc-per-node 2 -m jobs.sandbox base --out DIRECTORY
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.rows import UNDERSTANDING, seed_of

#: The shipped prompts files: name -> number of prompts. No prompt is in two of them.
PROMPTS = {"heldout": 240, "label": 220, "produce": 610, "sweep": 360}
#: The same of clips, each of whose captions states a motion.
CLIP_PROMPTS = {"clips_heldout": 240, "clips_label": 150, "clips_produce": 200}
#: Files of questions about pictures and clips: name -> number, half of it of either.
QUESTIONS = {"heldout": 300, "label": 240, "produce": 600}

#: Captions of which the base sees drawn pictures, as many of which it sees generated ones, and
#: half as many of which it sees clips.
GALLERY = 3000
#: Steps on clips that fit their captions, before a fifth as many on such that mostly do not.
CLIP_STEPS = 2200
#: Where the generator of pictures lies, from which the gallery and the generator of clips come.
GENERATOR = "factory/sandbox/weights/generator"


def main(argv: Sequence[str] | None = None) -> int:
    """Make one of the sandbox's parts."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.sandbox",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", choices=("prompts", "generator", "clips", "base", "questions"))
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
        "--batch-size", type=int, default=24, metavar="N", help="base: of each process"
    )
    given = parser.parse_args(argv)
    given.out.mkdir(parents=True, exist_ok=True)
    if given.part == "prompts":
        _write_prompts(given.out, given.seed)
    elif given.part == "generator":
        _train_generator(given.out, given.seed, given.steps or 3300)
    elif given.part == "clips":
        _train_clip_generator(given.out, given.seed, given.steps or CLIP_STEPS, given.start_from)
    elif given.part == "questions":
        _write_questions(given.out, given.seed)
    else:
        steps = given.steps or 8000
        _pretrain_base(
            given.out,
            given.seed,
            steps,
            given.batch_size,
            given.start_from,
            given.learning_rate,
        )
    return 0


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
    import pyarrow.parquet as pq

    from factory.sandbox.four_tasks import SCENE, drawn_cases

    rows = []
    for task in UNDERSTANDING:
        for prompt, _ in drawn_cases(task, num // 2, 1, seed):
            assert prompt.media is not None
            media = {"bytes": prompt.media.data, "path": None}
            tags = {SCENE: prompt.tags[SCENE], "about": task.partition("_")[0]}
            rows.append({"prompt": prompt.text, "task": task, "media": media, **tags})
    pq.write_table(pa.Table.from_pylist(rows), path)


def _train_generator(out: Path, seed: int, num_steps: int) -> None:
    import torch

    from factory.sandbox.generator import train_generator

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

    from factory.sandbox.clip_generator import train_clip_generator

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


def _pretrain_base(
    out: Path,
    seed: int,
    num_steps: int,
    batch_size: int,
    start_from: str | None,
    learning_rate: float,
) -> None:
    import torch
    import torch.distributed as dist

    from factory.sandbox import gallery
    from factory.sandbox.base_vlm import SPECIFICATION, pretrain_base, rank

    torch.set_num_threads(1)

    def save(model: Any, processor: Any) -> None:
        model.save_pretrained(out)
        processor.save_pretrained(out)
        SPECIFICATION.save(out)

    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    # Each process has a gallery of its own, and all of them together one of the whole size.
    gallery_size = GALLERY // (dist.get_world_size() if dist.is_initialized() else 1)
    gallery_seed = seed + 10 * rank()
    images = _gallery(gallery_seed, gallery_size)
    clips = list(gallery.drawn_clips(gallery_size // 2, gallery_seed + 2))
    _log(f"gallery: {len(clips)} series of clips drawn")
    model, processor = pretrain_base(
        images,
        clips,
        num_steps,
        batch_size,
        seed,
        _log if rank() == 0 else _ignore,
        _save_copy(save) if rank() == 0 else None,
        500,
        start_from,
        learning_rate,
    )
    if rank() == 0:
        save(model, processor)


def _ignore(*_: Any) -> None:
    """What one process logs and saves is enough."""


def _gallery(seed: int, size: int) -> list[Any]:
    """Pictures for the base, half drawn and half of the shipped generator; none of a caption that
    a shipped prompts file has.
    """
    from diffusers import DiffusionPipeline

    from factory.sandbox import gallery
    from factory.sandbox.world import sample_captions

    pipeline = DiffusionPipeline.from_pretrained(
        GENERATOR, use_safetensors=True, trust_remote_code=False
    )
    pipeline.set_progress_bar_config(disable=True)
    shipped = sample_captions(sum(PROMPTS.values()), seed=0)
    captions = sample_captions(size, seed + 1, exclude=frozenset(shipped))
    found: list[Any] = list(gallery.drawn(size, seed))
    _log(f"gallery: {len(found)} series drawn")
    for series in gallery.generated(pipeline, captions, seed):
        found.append(series)
        if len(found) % 250 == 0:
            _log(f"gallery: {len(found)} of {2 * size} series")
    return found


def _save_copy(save: Any) -> Any:
    """Saving rounds to half precision in place: a run that goes on must save a copy."""
    import copy

    return lambda model, *rest: save(copy.deepcopy(model), *rest)


def _log(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
