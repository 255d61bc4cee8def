"""A campaign of faults against `produce` and `curate`, with stub models.

    python -m tests.benchmarks.chaos [--faults 200] [--turns 2] [--minutes 60] [--rows 40]

Each trial makes a small data set of groups and its pairs by the stages' own code, with faults of
one kind injected from a seed, and starts the same driver again until it ends by itself. Then it is
compared, row by row, with an undisturbed run. The stub models stand for real ones: a generator and
a judge (it likes red) that each take a tenth of a second a prompt. The kinds:

driver killed: SIGKILL to the driver at a random moment; the next has blocks of another size.
write killed: SIGKILL to a worker that writes a part, of what is drawn or of what is judged: when
    its pack is written and of the part nothing, a half, or all. Some of the drivers are killed too.
two drivers: two make the same at once, in blocks of different sizes.
generator killed, judge killed: SIGKILL to the worker process that holds the model.
machine lost: SIGKILL to all processes of the node on which the models are; another node comes.
exception: the models are not reached on some rows until they are cured; `--retry-invalid` makes
    them again.
hang: on some rows they do not come back, until they are cured; `--retry-invalid` likewise.
retry killed: `--retry-invalid` is killed while a worker writes, and before and after the manifest.
manifest: the driver kills itself before and after it writes each of the two manifests: between data
    and commit, and between commit and clearing up.
disk full: the root lies on a file system of a few kilobytes until it is made larger (needs root).
S3 error, busy, slow, reset: every path is on an S3 server (SeaweedFS), behind a proxy that answers
    a fifth of the requests with 500 or 503, hands answers on late, or breaks connections.
S3 silent: a few requests are never answered.
S3 writes: the first 20 writes of packs and parts fail, more than the client tries by itself.

rows_lost, rows_doubled, rows_altered: against the undisturbed run, by id and by hash.
rows_made_again: prompts that a driver drew or judged again though a readable part of the step held
    them, whole, when it started.
unfinished: trials that did not end by themselves within `_MAX_STARTS`; their rows count as lost.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa

from actors import storage
from actors.storage import place
from actors.storage.s3 import filesystem
from jobs.datasets.at_hand import DRAWN
from jobs.datasets.files import read_columns
from jobs.datasets.reading import data_files, read_groups, read_table
from schemas import manifest
from schemas.arrow import groups_from_table, groups_to_table
from schemas.columns import GROUPS, PAIRS
from schemas.digests import digest_rows
from schemas.manifest import Manifest
from schemas.places import Place
from tests.faults.driver import MOMENTS, Order, start
from tests.faults.injections import Machines, SmallDisk
from tests.s3.proxy import MODES, SHARE, S3Proxy
from tests.s3.server import BUCKET, S3Server, weed

KINDS = (
    "driver killed",
    "S3 error",
    "write killed",
    "generator killed",
    "hang",
    "manifest",
    "S3 reset",
    "two drivers",
    "machine lost",
    "judge killed",
    "S3 busy",
    "exception",
    "disk full",
    "S3 slow",
    "retry killed",
    "S3 writes",
    "S3 silent",
)
_MAX_STARTS = 8
_TIMEOUT_S = 1200.0
#: Every so many rows of a trial that is to be cured, one fails.
_SICK = {
    "exception": ("generator is away", "judge is away"),
    "retry killed": ("generator is away", "judge is away"),
    "hang": ("generator hangs", "judge hangs"),
}
_EVERY = 10
_LIMIT_S = 10.0  # of a hang
#: Calls of a model between two kills of it: more than two blocks, so that no block dies thrice.
_APART = 10
_BLOCKS = (1, 3, 4, 8)  # prompts
#: What a proxy does to which share of which requests, and how often; else to a fifth of all.
_WRITES = r"/media/|/groups@1/(_drawn|part)-"
_S3 = {"S3 writes": ("error", 1.0, _WRITES, 20), "S3 silent": ("silent", 0.02, "", math.inf)}


@dataclass
class Result:
    """What the trials of one kind did; in the order of the table."""

    trials: int = 0
    faults: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    made_again: int = 0
    unfinished: int = 0


@dataclass(frozen=True)
class Rows:
    """The rows of a finished trial: hashes by id. `attempts` is left out: it may differ."""

    groups: dict[str, str]
    pairs: dict[str, str]
    num_ids: int
    num_failed: int


@dataclass
class Trial:
    """One data set under faults of one kind.

    root: of the recipe; local, or on S3.
    notes: a local directory of what the models and the driver say.
    """

    kind: str
    root: Place
    notes: Path
    result: Result
    process: Any = None
    starts: int = 0

    def calls(self, file: str = "calls", first: int = 1) -> list[str]:
        """Ids of the prompts with which a model was called by the drivers from number `first` on.
        Each has files of its own: workers live on for a while when their driver is dead.
        """
        return [
            one
            for number in range(first, self.starts + 1)
            for path in self.notes.glob(f"{file}-{number}")
            for one in path.read_text().split()
        ]

    def wait_for(self, is_so: Callable[[], bool]) -> bool:
        """Wait until something is so, or the driver has ended: then False."""
        while not is_so():
            if self.process.exitcode is not None:
                return False
            time.sleep(0.05)
        return True

    def wait_for_calls(self, num: int, file: str = "calls") -> bool:
        """Wait until a model has been called so often, or the driver has ended: then False."""
        return self.wait_for(lambda: len(self.calls(file)) >= num)

    def kill(self) -> bool:
        """Kill the driver; whether it was still alive."""
        was_alive = self.process.exitcode is None
        if was_alive:
            with suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()
        return was_alive


class Campaign:
    """Trials on one cluster."""

    def __init__(self, directory: Path, num_rows: int, seed: int, max_kills: int) -> None:
        self.max_kills = max_kills  # of a trial's drivers
        self.directory = directory
        self.num_rows = num_rows
        self.rng = random.Random(seed)
        self.results: dict[str, Result] = {}
        self.server: S3Server | None = None
        self.proxy: S3Proxy | None = None
        if weed() is not None:
            (directory / "s3").mkdir()
            self.server = S3Server(directory / "s3")
            self.server.start()
            self.proxy = S3Proxy(self.server.url, seed)
            # Before the cluster starts, whose workers inherit it.
            here = {"AWS_ENDPOINT_URL": self.proxy.url, "AWS_ENDPOINT_URL_S3": self.proxy.url}
            os.environ.update({**self.server.environment, **here})
            filesystem.cache_clear()
        self.machines = Machines()
        self.wholes: dict[str, tuple[Rows, float]] = {}

    def close(self) -> None:
        self.machines.shutdown()
        if self.proxy is not None:
            self.proxy.close()
        if self.server is not None:
            self.server.kill()

    # ------------------------------------------------------------------------------ one trial

    def run(self, number: int, kind: str) -> bool:
        """One trial; False where this kind cannot be had here."""
        root: Place = self.directory / f"trial-{number}" / "root"
        if kind.startswith("S3"):
            if self.proxy is None:
                return False
            root = place(f"s3://{BUCKET}/trial-{number}")
        disk = None
        if kind == "disk full":
            disk = SmallDisk(self.directory / f"trial-{number}" / "root")
            if not disk.mount():
                return False
        whole, seconds = self.undisturbed(kind)
        trial = Trial(kind, root, self.prepare(f"trial-{number}", root, kind), self.result(kind))
        try:
            is_done = self.go(trial, seconds, disk)
            self.compare(trial, whole, is_done)
        finally:
            if disk is not None:
                disk.unmount()
            storage.remove(root)
            shutil.rmtree(trial.notes.parent, ignore_errors=True)
        return True

    def result(self, kind: str) -> Result:
        return self.results.setdefault(kind, Result())

    def prepare(self, name: str, root: Place, kind: str) -> Path:
        """Prompts, and the manifests that the stages ask for."""
        notes = self.directory / name / "notes"
        notes.mkdir(parents=True)
        texts = [f"plain {n}" for n in range(self.num_rows)]
        if kind in _SICK:
            words = _SICK[kind]
            texts = [
                f"{words[n // _EVERY % len(words)]} {n}" if n % _EVERY == 0 else text
                for n, text in enumerate(texts)
            ]
        (notes / "prompts.txt").write_text("".join(f"{text}\n" for text in texts))
        for artifact, folder in (("judge", "models"), ("profile", "data")):
            at = root / folder / f"{artifact}@1"
            at.mkdir(parents=True, exist_ok=True)
            made = Manifest(f"{artifact}@1", artifact, "f", "d", (), {})
            (at / manifest.FILE).write_bytes(manifest.to_bytes(made))
        return notes

    def undisturbed(self, kind: str) -> tuple[Rows, float]:
        """The rows of a run without faults, of the same prompts, and how long it took."""
        name = kind if kind in _SICK else "plain"
        if name not in self.wholes:
            root = self.directory / f"whole-{name}" / "root"
            notes = self.prepare(f"whole-{name}", root, kind)
            (notes / "cured").touch()
            trial = Trial(kind, root, notes, Result())
            began = time.monotonic()
            self.start(trial, is_retry=True)
            trial.process.join(_TIMEOUT_S)
            if trial.process.exitcode != 0:
                raise SystemExit((notes / "log").read_text()[-4000:])
            self.wholes[name] = (self.look(root), time.monotonic() - began)
        return self.wholes[name]

    def start(self, trial: Trial, killed: str = "", is_after: bool = False, **more: Any) -> Order:
        trial.starts += 1
        order = Order(
            str(trial.root),
            str(trial.notes),
            self.machines.address,
            trial.starts,
            killed,
            is_after,
            row_timeout_s=_LIMIT_S if trial.kind == "hang" else 3600.0,
            **more,
        )
        trial.process = start(order)
        return order

    def go(self, trial: Trial, seconds: float, disk: SmallDisk | None) -> bool:
        """Start drivers, with faults at first, until one ends well."""
        faults = self.faults(trial, seconds, disk)
        while trial.starts < _MAX_STARTS:
            drawn, judged = self.at_hand(trial)
            first = trial.starts + 1
            try:
                next(faults, None)
                trial.process.join(_TIMEOUT_S)
            finally:
                trial.kill()
            trial.result.made_again += len(drawn & set(trial.calls("calls", first)))
            trial.result.made_again += len(judged & set(trial.calls("judged", first)))
            if trial.process.exitcode == 0 and not self.is_to_be_cured(trial):
                return True
        return False

    def is_to_be_cured(self, trial: Trial) -> bool:
        """Whether the models were sick so far; they are well from then on."""
        cured = trial.notes / "cured"
        if trial.kind not in _SICK or cured.exists():
            return False
        trial.result.faults += -(-self.num_rows // _EVERY)
        cured.touch()
        storage.remove(trial.root / "data" / "pairs@1")  # made of rows that are made again
        return True

    def faults(self, trial: Trial, seconds: float, disk: SmallDisk | None) -> Iterator[None]:
        """Each step starts a driver and does to it what the kind asks for."""
        kind, result = trial.kind, trial.result
        if kind == "driver killed":
            for _ in range(min(_MAX_STARTS - 2, self.max_kills)):
                self.start(trial, groups_per_block=self.rng.choice(_BLOCKS))
                self.wait_somewhere(trial, seconds)
                result.faults += trial.kill()
                yield
        elif kind == "write killed":
            for number, dying in enumerate(product(("_drawn", "part"), MOMENTS)):
                order = self.start(trial, groups_per_block=1, dies_writing=dying)
                result.faults += trial.wait_for(order.died.exists)
                if number % 2:  # Ray does the block again before the driver dies too
                    trial.wait_for_calls(len(trial.calls()) + 1)
                trial.kill()
                yield
        elif kind == "two drivers":
            blocks = self.rng.sample(_BLOCKS, 2)
            self.start(trial, groups_per_block=blocks[0])
            other = trial.process
            self.start(trial, groups_per_block=blocks[1])
            trial.process.join(_TIMEOUT_S)
            other.join(_TIMEOUT_S)
            result.faults += 1
            yield
        elif kind in ("generator killed", "judge killed"):
            is_generator = kind.startswith("generator")
            file, actor = ("calls", "Generate") if is_generator else ("judged", "Judging")
            self.start(trial)
            at = self.rng.randint(1, _APART)
            while trial.wait_for_calls(at, file):
                result.faults += self.machines.kill_actor(actor, self.rng)
                at = len(trial.calls(file)) + self.rng.randint(_APART, 2 * _APART)
            yield
        elif kind == "machine lost":
            self.start(trial)
            for _ in range(2):
                at = len(trial.calls()) + self.rng.randint(1, self.num_rows // 2)
                if trial.wait_for_calls(at):
                    self.machines.lose_worker()
                    result.faults += 1
            yield
        elif kind == "manifest":
            for artifact in ("groups@1", "pairs@1"):
                for is_after in (False, True):
                    self.start(trial, artifact, is_after)
                    trial.process.join(_TIMEOUT_S)
                    result.faults += trial.process.exitcode == -signal.SIGKILL
                    yield
        elif kind == "retry killed":
            self.start(trial)
            yield
            for dying in (("_drawn", "all"), ("retry", "half"), ("retry", "all")):
                order = self.start(trial, is_retry=True, groups_per_block=1, dies_writing=dying)
                result.faults += trial.wait_for(order.died.exists)
                trial.kill()
                yield
            for is_after in (False, True):
                self.start(trial, "groups@1", is_after, is_retry=True)
                trial.process.join(_TIMEOUT_S)
                result.faults += trial.process.exitcode == -signal.SIGKILL
                yield
        elif kind == "disk full":
            assert disk is not None
            self.start(trial)
            trial.process.join(_TIMEOUT_S)
            result.faults += trial.process.exitcode != 0
            disk.enlarge()
            yield
        elif kind.startswith("S3"):
            assert self.proxy is not None
            before = self.proxy.num_faults
            usual = (kind.partition(" ")[2], SHARE, "", math.inf)
            mode, self.proxy.share, self.proxy.pattern, self.proxy.left = _S3.get(kind, usual)
            assert mode in MODES
            self.proxy.mode = mode
            try:
                while True:
                    self.start(trial)
                    trial.process.join(_TIMEOUT_S)
                    result.faults += self.proxy.num_faults - before
                    before = self.proxy.num_faults
                    yield
            finally:
                self.proxy.mode = None
        while True:
            self.start(trial, is_retry=kind in _SICK)
            yield

    def wait_somewhere(self, trial: Trial, seconds: float) -> None:
        """Until a random moment of a run: while it starts, makes groups, or makes pairs."""
        where = self.rng.random()
        if where < 0.2:
            time.sleep(self.rng.uniform(0, 0.5) * seconds)
        elif where < 0.8:
            at = len(trial.calls()) + self.rng.randint(1, self.num_rows // 2)
            trial.wait_for_calls(at)
            time.sleep(self.rng.uniform(0, 0.5))
        else:
            groups = trial.root / "data" / "groups@1" / manifest.FILE
            trial.wait_for(groups.is_file)
            time.sleep(self.rng.uniform(0, 0.1) * seconds)

    # ------------------------------------------------------------------------------- looking

    def at_hand(self, trial: Trial) -> tuple[set[str], set[str]]:
        """Ids of prompts that the next driver need not draw, and of those it need not judge."""
        at = trial.root / "data" / "groups@1"
        is_cured = (trial.notes / "cured").exists()
        drawn: set[str] = set()
        judged: set[str] = set()
        for path in [*data_files(at), *at.glob(f"{DRAWN}-*.parquet")]:
            with suppress(pa.ArrowInvalid):  # torn
                for group in groups_from_table(read_columns(path, schema=GROUPS)):
                    is_whole = not any(one.is_attempt for one in group.candidates)
                    is_done = not path.name.startswith(DRAWN) and not (
                        is_cured and group.has_attempts
                    )
                    if is_whole or is_done:
                        drawn.add(group.prompt.prompt_id)
                    if is_done:
                        judged.add(group.prompt.prompt_id)
        return drawn, judged

    def look(self, root: Place) -> Rows:
        groups = read_groups(root / "data" / "groups@1")
        pairs = read_table(root / "data" / "pairs@1", PAIRS)
        ids = pairs.column("pair_id").to_pylist()
        return Rows(
            {
                one.prompt.prompt_id: digest_rows([groups_to_table([replace(one, attempts=1)])])
                for one in groups
            },
            {one: digest_rows([pairs.slice(at, 1)]) for at, one in enumerate(ids)},
            len(groups) + len(ids),
            sum(one.has_failures for one in groups),
        )

    def compare(self, trial: Trial, whole: Rows, is_done: bool) -> None:
        result = trial.result
        result.trials += 1
        if not is_done:
            result.unfinished += 1
            result.lost += whole.num_ids
            print((trial.notes / "log").read_text()[-3000:], flush=True)
            return
        found = self.look(trial.root)
        for wanted, there in ((whole.groups, found.groups), (whole.pairs, found.pairs)):
            result.lost += len(wanted.keys() - there.keys())
            result.altered += len(there.keys() - wanted.keys())
            result.altered += sum(wanted[one] != there[one] for one in wanted.keys() & there.keys())
        result.doubled += found.num_ids - len(found.groups) - len(found.pairs)
        result.altered += found.num_failed - whole.num_failed


def campaign(
    num_faults: int,
    num_minutes: float,
    seed: int,
    num_rows: int,
    kinds: tuple[str, ...] = KINDS,
    num_turns: int = 0,
) -> dict[str, Any]:
    """Inject so many faults, or as many as there is time for, kind after kind; each kind has
    `num_turns` trials at least, since one trial on S3 alone has a hundred faults.
    """
    began = time.monotonic()
    skipped: set[str] = set()
    with tempfile.TemporaryDirectory() as directory:
        one = Campaign(Path(directory), num_rows, seed, num_faults)
        try:
            number = 0
            while (
                (
                    sum(result.faults for result in one.results.values()) < num_faults
                    or number < num_turns * len(kinds)
                )
                and time.monotonic() - began < 60 * num_minutes
                and len(skipped) < len(kinds)
            ):
                kind = kinds[number % len(kinds)]
                if kind not in skipped and not one.run(number, kind):
                    skipped.add(kind)
                    print(f"{kind}: cannot be had on this machine", flush=True)
                number += 1
                print(f"{number:>3} {kind:<18} {one.results.get(kind)}", flush=True)
        finally:
            one.close()
    return table(one.results, began)


def table(results: dict[str, Result], began: float) -> dict[str, Any]:
    names = ("trials", "faults", "lost", "doubled", "altered", "made again", "unfinished")
    print(f"{'kind':<18}", *(f"{name:>10}" for name in names))
    total = Result()
    for kind, result in results.items():
        print(f"{kind:<18}", *(f"{value:>10}" for value in astuple(result)))
        total = Result(*(a + b for a, b in zip(astuple(total), astuple(result), strict=True)))
    print(f"{'all':<18}", *(f"{value:>10}" for value in astuple(total)))
    return {
        "trials": total.trials,
        "faults": total.faults,
        "kinds": len(results),
        "rows_lost": total.lost,
        "rows_doubled": total.doubled,
        "rows_altered": total.altered,
        "rows_made_again": total.made_again,
        "unfinished": total.unfinished,
        "seconds": round(time.monotonic() - began, 1),
    }


def main() -> None:
    """Run the campaign."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    given = parser.parse_args()
    found = campaign(
        given.faults, given.minutes, given.seed, given.rows, tuple(given.kinds), given.turns
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
