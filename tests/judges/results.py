"""Is a measured judge the same twice? `evaluate_judge` on one benchmark, told in several ways.

    python -m tests.judges.results 24

The rows are written once in a file, again under another name, shuffled, and in three files; they
are judged by one worker and by four. The report and the opinions are compared to the byte. Then the
judge is asked in other batches, in another precision and by other engines. The judge is the
sandbox's base, the pictures are drawn by its painter.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from factory.labels.registry import FORMATS
from factory.media.pictures import encode_png
from factory.sandbox.drawing import draw
from factory.sandbox.world import parse, sample_captions
from jobs.pipelines import opinions as opinions_of
from jobs.pipelines.opinions import OPINIONS_FILE
from jobs.rounds.workspace import Round
from jobs.session.ray_session import ray_session
from jobs.tools.evaluate_judge import Benchmark, evaluate_judge
from jobs.tools.judge_stability import judge_stability
from schemas import results
from schemas.recipe_file import load

JUDGE = "factory/sandbox/weights/base"
_RECIPE = "jobs/recipes/laptop.yaml"


def rows(num: int) -> list[dict[str, Any]]:
    """Votes on pairs of pictures, `num` sound ones among them."""
    captions = sample_captions(num + 1, seed=5)

    def picture(caption: str, seed: int) -> bytes:
        return encode_png(draw(parse(caption), random.Random(seed)))

    made = [
        {
            **{"prompt": caption, "vote_type": ("leftvote", "rightvote", "tievote")[n % 3]},
            "left_image": picture(caption if n % 3 != 1 else captions[n + 1], n),
            "right_image": picture(captions[n + 1] if n % 3 == 0 else caption, -n),
        }
        for n, caption in enumerate(captions[:num])
    ]
    return [
        *made,
        dict(made[0]),
        {**made[0], "vote_type": "rightvote"},
        {**made[1], "left_image": b"broken"},
    ]


def _written(folder: Path, told: Sequence[Sequence[dict[str, Any]]], name: str) -> tuple[str, ...]:
    """The files of a way of telling the rows."""
    folder.mkdir()
    files = [folder / f"{name}-{number}.parquet" for number in range(len(told))]
    for file, part in zip(files, told, strict=True):
        pq.write_table(pa.Table.from_pylist(list(part)), file)
    return tuple(map(str, files))


def figures(num: int = 24) -> dict[str, object]:
    """How many different result files there are, and what each says of the data; and how far the
    judge's answers hang on how it is run.
    """
    every = rows(num)
    shuffled = random.Random(1).sample(every, len(every))
    ways: dict[str, tuple[Sequence[Sequence[dict[str, Any]]], str, int]] = {
        "once": ([every], "votes", 1),
        "again": ([every], "votes", 1),
        "under another name": ([every], "others", 1),
        "shuffled": ([shuffled], "votes", 1),
        "in three files": ([shuffled[0::3], shuffled[1::3], shuffled[2::3]], "votes", 1),
        "before four judges": ([shuffled], "votes", 4),
    }
    reports, opinions, seen = {}, {}, None
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        given = [f"root={folder / 'run'}", "evaluate.num_resamples=200", "num_cpus=8"]
        recipe = load(_RECIPE, given)
        files: tuple[str, ...] = ()
        with ray_session(recipe):
            for number, (way, (told, name, num_judges)) in enumerate(ways.items()):
                files = _written(folder / f"rows-{number}", told, name)
                at = Round(load(_RECIPE, [*given, f"produce.judges.size={num_judges}"]), 1)
                out = folder / f"bench@{number}"
                benchmark = Benchmark(FORMATS["genai-bench"], files, judge=JUDGE)
                # Blocks so small that there is work for all of several judges.
                with patch.object(opinions_of, "_LABELS_PER_BLOCK", 4 if num_judges > 1 else 256):
                    seen = evaluate_judge(benchmark, at, out).seen
                reports[way] = _digest(out / results.AGREEMENT)
                opinions[way] = _digest(out / OPINIONS_FILE)
            benchmark = Benchmark(FORMATS["genai-bench"], files, judge=JUDGE)
            stable = judge_stability(benchmark, Round(recipe, 1), folder / "stable@1", num)
    assert seen is not None
    return {
        "num_runs": len(ways),
        "num_result_files": len(set(reports.values())),
        "num_opinion_files": len(set(opinions.values())),
        "result_files": reports,
        "rows": len(every),
        "labels_seen": asdict(seen),
        "stability": asdict(stable),
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    print(json.dumps(figures(int(sys.argv[1]) if len(sys.argv) > 1 else 24), indent=2))
