"""A campaign of faults against `produce` and `curate`, with stub models.

    python -m tests.benchmarks.chaos [--faults 24] [--seed 0] [--rows 48]

Each trial makes a small data set of groups and its pairs by the stages' own code, with faults of
one kind injected from a seed, and starts the same driver again until it ends by itself. Then it is
compared with an undisturbed run. The stub models stand for real ones: a generator that takes a few
milliseconds and a judge that likes red. The kinds:

driver killed: SIGKILL to the driver at a random moment.
generator killed, judge killed: SIGKILL to the worker process that holds the model.
exception: the generator raises on some rows until it is cured; `--retry-invalid` makes them again.
before manifest, after manifest: the driver kills itself right before or after that write.
disk full: the data lie on a file system of a few kilobytes until it is made larger (needs root).

rows_lost, rows_doubled, rows_altered: against the undisturbed run, by id and by digest.
rows_made_again: rows that were in a readable part when a driver started, and were drawn again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from actors import storage
from jobs import parts
from jobs.pipelines import read_groups, read_table
from jobs.stage import run_stage
from jobs.workspace import Round
from schemas import manifest
from schemas.arrow import PAIRS
from schemas.manifest import Manifest
from schemas.recipe import load
from tests.stubs import Ref, StubGenerator, StubJudge

KINDS = (
    "driver killed",
    "generator killed",
    "judge killed",
    "exception",
    "before manifest",
    "after manifest",
    "disk full",
)
_MAX_STARTS = 8
_TIMEOUT_S = 300.0


# ---------------------------------------------------------------------------------- the driver


class _NoRun:
    """A tracker's run that notes nothing: tracking is not what is tested here."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _NoTracker:
    @contextmanager
    def stage(self, *_: object) -> Iterator[_NoRun]:
        yield _NoRun()


def drive(root: Path, address: str, fault: str, retry: bool) -> None:
    """Make groups and pairs; what a driver that may be killed does."""
    import ray

    from jobs.stages import curate, produce

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={root}",
            f"produce.prompts={root / 'prompts.txt'}",
            "produce.groups_per_block=4",
            "produce.num_candidates=4",
            "produce.generators={size: 1, num_cpus: 0.5}",
            "produce.judges={size: 1, num_cpus: 0.5}",
        ],
    )
    generator = StubGenerator(
        seconds=0.02, calls=str(root / "calls"), cured=str(root / "cured") if retry else None
    )
    write_new = storage.write_new

    def write(at: Any, data: bytes) -> None:
        is_manifest = at.name == manifest.FILE
        if is_manifest and fault == "before manifest":
            os.kill(os.getpid(), signal.SIGKILL)
        write_new(at, data)
        if is_manifest and fault == "after manifest":
            os.kill(os.getpid(), signal.SIGKILL)

    with (
        mock.patch.object(produce, "generator_ref", return_value=Ref(generator)),
        mock.patch.object(produce, "judge_ref", return_value=Ref(StubJudge(seconds=0.01))),
        mock.patch.object(storage, "write_new", write),
    ):
        at = Round(recipe, 1)
        run_stage(produce.STAGE, at, _NoTracker())  # type: ignore[arg-type]
        if retry and (root / "cured").exists():
            produce.retry_invalid(at)
        run_stage(curate.STAGE, at, _NoTracker())  # type: ignore[arg-type]


# -------------------------------------------------------------------------------- the campaign


@dataclass
class Result:
    """What the trials of one kind did."""

    trials: int = 0
    faults: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    made_again: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """A finished trial's data: ids and digests."""

    groups: tuple[str, ...]
    pairs: tuple[str, ...]
    digests: tuple[str, str]
    num_failed: int


class Campaign:
    """Trials in one Ray session."""

    def __init__(self, directory: Path, address: str, num_rows: int, seed: int) -> None:
        self.directory = directory
        self.address = address
        self.num_rows = num_rows
        self.rng = random.Random(seed)
        self.results = {kind: Result() for kind in KINDS}
        self.whole = self.undisturbed("whole", "plain")
        self.seconds = 0.0

    def prepare(self, name: str, word: str) -> Path:
        """A root with prompts and the manifests that the stages ask for."""
        root = self.directory / name
        root.mkdir(parents=True, exist_ok=True)
        texts = [f"plain {n}" for n in range(self.num_rows)]
        if word == "raise":  # every sixth row fails until it is cured
            texts = [f"raise {n}" if n % 6 == 0 else text for n, text in enumerate(texts)]
        (root / "prompts.txt").write_text("".join(f"{text}\n" for text in texts))
        for kind, folder in (("judge", "models"), ("profile", "data")):
            at = root / folder / f"{kind}@1"
            at.mkdir(parents=True, exist_ok=True)
            made = Manifest(f"{kind}@1", kind, "f", "d", (), {})
            (at / manifest.FILE).write_bytes(manifest.to_bytes(made))
        return root

    def undisturbed(self, name: str, word: str) -> Found:
        root = self.prepare(name, word)
        began = time.monotonic()
        process = self.start(root, "none", retry=False)
        if process.wait(_TIMEOUT_S) != 0:
            raise SystemExit((root / "log").read_text()[-4000:])
        self.seconds = time.monotonic() - began
        return self.look(root)

    def start(self, root: Path, fault: str, *, retry: bool) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.benchmarks.chaos", "--driver", str(root)]
        command += ["--address", self.address, "--fault", fault, *(["--retry"] if retry else [])]
        with (root / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def look(self, root: Path) -> Found:
        groups = root / "data" / "groups@1"
        pairs = root / "data" / "pairs@1"
        made = [manifest.read(one) for one in (groups, pairs)]
        assert made[0] is not None
        assert made[1] is not None
        rows = read_groups(groups)
        return Found(
            tuple(one.prompt.prompt_id for one in rows),
            tuple(sorted(read_table(pairs, PAIRS).column("pair_id").to_pylist())),
            (made[0].digest, made[1].digest),
            sum(one.has_failures for one in rows),
        )

    def trial(self, number: int, kind: str) -> None:
        """One data set with faults of one kind, until it is whole."""
        result, is_cure = self.results[kind], kind == "exception"
        root = self.prepare(f"trial-{number}", "raise" if is_cure else "plain")
        full = _SmallDisk(root / "data" / "groups@1") if kind == "disk full" else None
        if full is not None and not full.mount():
            result.notes.append("cannot mount a small file system here: not tried")
            return
        result.trials += 1
        try:
            self.go(root, kind, result, full)
            found = self.look(root)
        finally:
            if full is not None:
                full.unmount()
        wanted = self.whole if not is_cure else None
        result.lost += max(0, self.num_rows - len(set(found.groups)))
        result.doubled += len(found.groups) - len(set(found.groups))
        result.doubled += len(found.pairs) - len(set(found.pairs))
        if wanted is not None:
            result.lost += len({*wanted.groups, *wanted.pairs} - {*found.groups, *found.pairs})
            result.altered += found.digests != wanted.digests
        else:  # no failure may be left once it is cured
            result.altered += found.num_failed
        shutil.rmtree(root, ignore_errors=True)

    def go(self, root: Path, kind: str, result: Result, full: _SmallDisk | None) -> None:
        is_cure = kind == "exception"
        for start in range(_MAX_STARTS):
            done = self.committed(root)
            fault = kind if start == 0 else "none"
            process = self.start(root, fault, retry=is_cure)
            try:
                if kind == "driver killed" and start < 3:
                    # Past the end of a run too: then nothing is killed, and nothing is counted.
                    time.sleep(self.rng.uniform(0.2, 1.0) * self.seconds)
                    result.faults += process.poll() is None
                    _kill(process)
                elif kind in ("generator killed", "judge killed") and start == 0:
                    actor = "Generate" if kind.startswith("generator") else "Judging"
                    for _ in range(3):
                        time.sleep(self.rng.uniform(0.05, 0.3) * self.seconds)
                        result.faults += _kill_actor(actor, self.rng)
                code = process.wait(_TIMEOUT_S)
            finally:
                _kill(process)
            result.made_again += len(done & set(self.calls(root)[self.seen :]))
            self.seen = len(self.calls(root))
            if fault in ("before manifest", "after manifest"):
                result.faults += code == -signal.SIGKILL
            if full is not None and code != 0:
                result.faults += 1
                full.enlarge()
            if is_cure and code == 0 and not (root / "cured").exists():
                result.faults += -(-self.num_rows // 6)
                (root / "cured").touch()
                # What was made of the failed rows is made again too.
                shutil.rmtree(root / "data" / "pairs@1")
                self.seen = len(self.calls(root))
                continue
            if code == 0:
                return
        raise SystemExit((root / "log").read_text()[-4000:])

    seen = 0

    def calls(self, root: Path) -> list[str]:
        with suppress(FileNotFoundError):
            return (root / "calls").read_text().split()
        return []

    def committed(self, root: Path) -> set[str]:
        """Ids that a driver finds done, but for those that it is asked to make again."""
        self.seen = len(self.calls(root))
        if (root / "cured").exists():
            failed = {
                one.prompt.prompt_id
                for one in read_groups(root / "data" / "groups@1")
                if one.has_failures
            }
        else:
            failed = set()
        found = parts.read_parts(root / "data" / "groups@1", "prompt_id")
        return {one for part in found for one in part.ids} - failed


class _SmallDisk:
    """A file system of a few kilobytes at a directory."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def mount(self) -> bool:
        self.at.mkdir(parents=True, exist_ok=True)
        return self._mount("size=40k")

    def enlarge(self) -> None:
        self._mount("remount,size=64m")

    def unmount(self) -> None:
        subprocess.run(["umount", str(self.at)], capture_output=True, check=False)

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.at)]
        with suppress(FileNotFoundError):
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _kill_actor(name: str, rng: random.Random) -> bool:
    """SIGKILL to a worker process of this campaign's Ray that holds a model of this kind."""
    import psutil

    # Workers are children of the raylet, which is a child of this process.
    found = [
        one
        for one in psutil.Process().children(recursive=True)
        if f"MapBatches({name})" in " ".join(_command(one))
    ]
    if not found:
        return False
    with suppress(psutil.NoSuchProcess):
        rng.choice(found).kill()
        return True
    return False


def _command(process: Any) -> list[str]:
    import psutil

    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


def main() -> None:
    """Run the campaign, or be one of its drivers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    parser.add_argument("--driver", type=Path)
    parser.add_argument("--address")
    parser.add_argument("--fault", default="none")
    parser.add_argument("--retry", action="store_true")
    given = parser.parse_args()
    if given.driver is not None:
        drive(given.driver, given.address, given.fault, given.retry)
        return
    print(json.dumps(campaign(given.faults, given.seed, given.rows, given.kinds)))


def campaign(
    num_faults: int, seed: int, num_rows: int, kinds: list[str] | tuple[str, ...] = KINDS
) -> dict[str, Any]:
    """Inject at least so many faults, kind after kind, and say what became of the rows."""
    import ray

    os.environ["RAY_AUTH_MODE"] = "disabled"  # the drivers join this session by its address
    temporary = tempfile.mkdtemp(prefix="ray-")
    ray.init(
        address="local",
        num_cpus=6,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _temp_dir=temporary,
    )
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as directory:
            address = ray.get_runtime_context().gcs_address
            one = Campaign(Path(directory), address, num_rows, seed)
            number = 0
            while sum(result.faults for result in one.results.values()) < num_faults:
                kind = kinds[number % len(kinds)]
                one.trial(number, kind)
                number += 1
                if number > 10 * num_faults:
                    break
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{'kind':<18} trials faults lost doubled altered made again")
    total: Counter[str] = Counter()
    for kind, result in one.results.items():
        row = (result.trials, result.faults, result.lost, result.doubled, result.altered)
        print(f"{kind:<18}", *(f"{n:>6}" for n in (*row, result.made_again)), *result.notes[:1])
        names = ("trials", "faults", "rows_lost", "rows_doubled", "rows_altered")
        total.update(dict(zip(names, row, strict=True)))
        total["rows_made_again"] += result.made_again
    return {**total, "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    main()
