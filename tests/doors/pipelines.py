"""What becomes of each tiny pipeline: drawn, or refused at the plan with the reason; and whether it
can be aligned.

    .venv/bin/python -m tests.doors.pipelines ["FLUX.1 dev" …]

Weights are random, so what is drawn is noise; a row that a worker cannot draw is counted.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from factory.generator_kinds import check_alignable
from factory.media.pictures import encode_png
from factory.prompts import PromptsFile
from jobs.pipelines.prompt_checks import check_drawn
from jobs.rounds.checks import check_generator
from schemas.recipe import Align, GeneratorSpec, Recipe
from tests.tiny.pipelines import PIPELINES, TinyPipeline

_SEEDS = (1, 2)
_ALIGN = Align(num_steps=1, batch_size=1, learning_rate=1e-5)


@dataclass(frozen=True)
class Outcome:
    """What became of one pipeline.

    drawing: "drawn", or why the plan refuses it.
    num_failed: of two candidates, those that the worker could not draw.
    error: of the first of those.
    alignment: "can be aligned", or why not.
    """

    name: str
    kind: str
    drawing: str
    num_failed: int
    error: str | None
    alignment: str


def outcome(tiny: TinyPipeline, directory: Path) -> Outcome:
    """Plan and draw with one pipeline, and plan its alignment."""
    path = str(tiny.save(directory / "pipeline"))
    spec = GeneratorSpec(path=path, **tiny.spec)
    kind = json.loads((Path(path) / "model_index.json").read_text())["_class_name"]
    prompts = PromptsFile(prompts_file(tiny, directory))
    recipe = Recipe(name="tiny", root=str(directory), generator=spec)
    drawing, errors = "drawn", []
    try:
        check_generator(spec, recipe, tasks=prompts.tasks)
        check_drawn(prompts, {"generator.path": spec})
    except ValueError as error:
        drawing = f"refused: {error}".replace(path, "PATH")
    else:
        errors = list(_drawn(spec, prompts))
    try:
        check_generator(spec, recipe)
        check_alignable(path, spec, _ALIGN)
        alignment = "can be aligned"
    except ValueError as error:
        alignment = f"refused: {error}".replace(path, "PATH")
    failed = [error for error in errors if error is not None]
    return Outcome(tiny.name, kind, drawing, len(failed), next(iter(failed), None), alignment)


def _drawn(spec: GeneratorSpec, prompts: PromptsFile) -> Iterator[str | None]:
    from actors.generators import load_generator

    generator = load_generator(spec.path, "tiny@0", spec)
    for prompt in prompts:
        for candidate in generator.generate(prompt, _SEEDS):
            yield candidate.error


def prompts_file(tiny: TinyPipeline, directory: Path) -> Path:
    """One prompt of the pipeline's task, with a picture where it starts from one."""
    task = "video_generation" if tiny.is_video else "image_generation"
    row: dict[str, object] = {"task": task, "prompt": "a red cup"}
    if tiny.has_source:
        picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
        (directory / "source.png").write_bytes(encode_png(picture))
        parts = [{"role": "source", "media": "source.png"}, {"role": "user", "text": "a red cup"}]
        row = {"task": task, "parts": parts}
    path = directory / "prompts.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return path


def figures(pipelines: Sequence[TinyPipeline] = PIPELINES) -> dict[str, object]:
    """The table, and its sums."""
    return _summed(list(_outcomes(pipelines)))


def _outcomes(pipelines: Sequence[TinyPipeline]) -> Iterator[Outcome]:
    for tiny in pipelines:
        with tempfile.TemporaryDirectory() as directory:
            yield outcome(tiny, Path(directory))


def _summed(outcomes: Sequence[Outcome]) -> dict[str, object]:
    drawn = [one for one in outcomes if one.drawing == "drawn"]
    return {
        "classes": len({one.kind for one in outcomes}),
        "drawn": sum(one.num_failed == 0 for one in drawn),
        "refused_at_the_plan": len(outcomes) - len(drawn),
        "failing_in_every_row": sum(one.num_failed == len(_SEEDS) for one in drawn),
        "pipelines": [asdict(one) for one in outcomes],
    }


def main() -> None:
    wanted = [tiny for tiny in PIPELINES if not sys.argv[1:] or tiny.name in sys.argv[1:]]
    outcomes = []
    for one in _outcomes(wanted):
        outcomes.append(one)
        failed = f"; {one.num_failed} of 2 failed: {one.error}" if one.num_failed else ""
        print(f"{one.name} ({one.kind}): {one.drawing}{failed} | {one.alignment}", flush=True)
    sums = {name: num for name, num in _summed(outcomes).items() if name != "pipelines"}
    print(sums)


if __name__ == "__main__":
    main()
