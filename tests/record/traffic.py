"""Bytes that are read and written for each byte of media, from drawing to pairs, and what the
driver holds of them.

Groups of two pictures of noise are drawn by a stub, judged by a stub that looks at them, audited
(columns scanned, a sample probed) and curated, by the code that the stages run. The same is done
with pictures of a few hundred bytes: what that reads and writes (libraries, pipes between
processes, columns) is there whatever the media weigh. Read and written is what system calls move,
of the driver, Ray and its workers, whether or not a disk was needed; on S3 it is what a proxy
before the server hands on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.benchmarks.curation_throughput import in_own_process
from tests.record.watching import Watch
from tests.s3.proxy import S3Proxy
from tests.s3.server import BUCKET, S3Server

_TINY = 8  # pixels, of a picture of no weight
_NUM_CANDIDATES = 2


@dataclass(frozen=True)
class Job:
    """What is made: how many groups, of pictures how many pixels wide, and where."""

    root: str
    notes: str
    num: int
    side: int


def work(job: Job, answer: Any) -> None:
    """Draw, judge, audit and curate in this process, and put what it took into `answer`."""
    from actors.storage import place
    from factory.curation.curator import Curator
    from factory.curation.pairing import pairing_of
    from factory.filters import objections_of
    from factory.prompts import PromptsFile
    from factory.ranking import Bracket
    from jobs.pages.audit_sample import write_sample
    from jobs.pipelines import bias
    from jobs.pipelines.curation import run_curation, survey_pairs
    from jobs.pipelines.groups import run_pipeline
    from jobs.rounds.workspace import Round
    from jobs.session.ray_session import ray_session
    from schemas.recipe_file import load
    from tests.stubs import Ref, StubGenerator, StubJudge

    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={job.root}",
            "produce.generators={size: 2, num_cpus: 1}",
            "produce.judges={size: 1, num_cpus: 1}",
            # Every edit would read a medium no more often, and take much longer.
            "audit.edits=[brightness]",
            "curate.objections={min_margin: 0.1}",
        ],
    )
    prompts = Path(job.notes) / "prompts.txt"
    prompts.write_text("".join(f"prompt {n}\n" for n in range(job.num)))
    at = Round(recipe, 1)
    judge = Ref(StubJudge(), weights="judge")
    watch = Watch()
    stages: list[tuple[str, int, int]] = []

    def passed(name: str) -> None:
        so_far = watch.so_far()
        stages.append((name, so_far.num_read, so_far.num_written))

    with ray_session(recipe):
        passed("start")
        run_pipeline(
            PromptsFile(prompts),
            at.directory("groups"),
            recipe,
            generators=[Ref(StubGenerator(side=job.side), weights="generator")],
            num_candidates=_NUM_CANDIDATES,
            judges=[judge],
            strategy=Bracket(1),
        )
        passed("produce")
        seen = bias.observe_groups(at)
        with mock.patch.object(bias, "judge_ref", return_value=judge):
            probes = bias.probe_judge(at)
        bias.profile_of(at, seen, [], [], probes, bias.relevance_of(at))
        passed("audit")
        objections = recipe.curate.objections
        curator = Curator(Bracket(1), objections_of(objections), pairing_of(recipe.curate))
        pairs = place(job.root) / "data" / "pairs@1"
        pairs.mkdir(parents=True, exist_ok=True)
        settled = run_curation(at.directory("groups"), pairs, curator, objections, recipe)
        survey = survey_pairs(pairs, settled.files)
        write_sample(pairs, recipe.curate.audit_sample, recipe.seed, settled.files)
        passed("curate")
        watch.stop()
    answer.put(
        {
            "stages": stages,
            "peak_bytes": watch.peak_bytes,
            "media_bytes": _num_bytes(at.directory("groups")),
            "kept": survey.counts()["kept"],
            "probes": len(probes),
        }
    )


def _num_bytes(groups: Any) -> int:
    """Of all media, as their rows say."""
    from jobs.datasets.reading import read_groups

    return sum(
        one.measures.num_bytes
        for group in read_groups(groups, media="none")
        for one in group.candidates
        if one.measures is not None
    )


def traffic(directory: Path, num: int, side: int) -> dict[str, float]:
    """On local files."""
    large = _in_own_process(directory, num, side)
    tiny = _in_own_process(directory, num, _TINY)
    media = large["media_bytes"] - tiny["media_bytes"]
    figures: dict[str, float] = {
        "prompts": num,
        "media_mb": round(large["media_bytes"] / 1e6, 1),
        "media_bytes_each": round(large["media_bytes"] / num / _NUM_CANDIDATES),
        "kept": large["kept"],
        "probes": large["probes"],
    }
    for name, read, written, read_tiny, written_tiny in _by_stage(large, tiny):
        figures[f"{name}_read_per_byte"] = round((read - read_tiny) / media, 3)
        figures[f"{name}_written_per_byte"] = round((written - written_tiny) / media, 3)
    moved, moved_tiny = (sum(one["stages"][-1][1:]) for one in (large, tiny))
    moved_start = sum(large["stages"][0][1:])
    return figures | {
        "moved_per_byte": round((moved - moved_tiny) / media, 3),
        "moved_per_byte_in_all": round((moved - moved_start) / large["media_bytes"], 3),
        "moved_mb_without_media": round(moved_tiny / 1e6, 1),
        "driver_peak_mb": round(large["peak_bytes"] / 2**20),
        "driver_peak_mb_tiny": round(tiny["peak_bytes"] / 2**20),
    }


def _by_stage(large: Any, tiny: Any) -> Iterator[tuple[str, int, int, int, int]]:
    """What each stage read and wrote, of large media and of tiny ones."""
    for (_, *before), (name, *after), (_, *tiny_before), (_, *tiny_after) in zip(
        large["stages"], large["stages"][1:], tiny["stages"], tiny["stages"][1:], strict=False
    ):
        of_large = [end - start for start, end in zip(before, after, strict=True)]
        of_tiny = [end - start for start, end in zip(tiny_before, tiny_after, strict=True)]
        yield name, *of_large, *of_tiny


def traffic_of_s3(directory: Path, num: int, side: int) -> dict[str, float]:
    """On an S3 server, at its door."""
    with _server(directory) as proxy:
        large = _at_the_server(proxy, directory, num, side)
        tiny = _at_the_server(proxy, directory, num, _TINY)
    media = large["media_bytes"] - tiny["media_bytes"]
    return {
        "prompts": num,
        "media_mb": round(large["media_bytes"] / 1e6, 1),
        "written_per_byte": round((large["received"] - tiny["received"]) / media, 3),
        "read_per_byte": round((large["sent"] - tiny["sent"]) / media, 3),
        "moved_per_byte_in_all": round(
            (large["received"] + large["sent"]) / large["media_bytes"], 3
        ),
    }


def _at_the_server(proxy: S3Proxy, directory: Path, num: int, side: int) -> Any:
    received, sent = proxy.num_received, proxy.num_sent
    found = _in_own_process(directory, num, side, f"s3://{BUCKET}/of-{side}")
    return {**found, "received": proxy.num_received - received, "sent": proxy.num_sent - sent}


@contextmanager
def _server(directory: Path) -> Iterator[S3Proxy]:
    (directory / "s3").mkdir()
    server = S3Server(directory / "s3")
    server.start()
    proxy = S3Proxy(server.url)
    here = {"AWS_ENDPOINT_URL": proxy.url, "AWS_ENDPOINT_URL_S3": proxy.url}
    before = dict(os.environ)
    os.environ.update({**server.environment, **here})
    try:
        yield proxy
    finally:
        os.environ.clear()
        os.environ.update(before)
        proxy.close()
        server.kill()


def _in_own_process(directory: Path, num: int, side: int, root: str | None = None) -> Any:
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        return in_own_process(work, Job(root or f"{folder}/root", folder, num, side))
