"""What is paid for twice where a run is killed ten times, each time going on in another shape.

The driver and all processes that hold a model are killed with SIGKILL at random moments while they
draw and judge, and the driver is started again with other sizes of blocks and pools. Stub models of
a few milliseconds write down each prompt that they are called for: a prompt's candidates are drawn
in one call and its replies asked in one sitting, so both are counted in prompts, as blocks are.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.faults.injections import Machines

_PRELOADED = ["ray.data", "jobs.pipelines.groups", "tests.record.killed"]
_NUM_CANDIDATES = 4
_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class Order:
    """What a driver is to do.

    root: of the recipe.
    notes: a directory; gets the models' calls and the driver's log and result.
    address: of Ray.
    num: prompts.
    block, generators, judges: how large the blocks and the pools are.
    """

    root: str
    notes: str
    address: str
    num: int
    block: int
    generators: int
    judges: int


def drive(order: Order) -> None:
    """Draw and judge, and leave the digest of all rows in `result`."""
    log = os.open(f"{order.notes}/log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    import ray

    from factory.ranking import Bracket
    from jobs.pipelines.groups import run_pipeline
    from schemas.recipe_file import load
    from schemas.rows import Prompt
    from tests.stubs import Listed, Ref, StubGenerator, StubJudge

    ray.init(address=order.address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    recipe = load(
        "jobs/recipes/laptop.yaml",
        [
            f"root={order.root}",
            f"produce.groups_per_block={order.block}",
            f"produce.generators={{size: {order.generators}, num_cpus: 0.25}}",
            f"produce.judges={{size: {order.judges}, num_cpus: 0.25}}",
        ],
    )
    _, settled = run_pipeline(
        Listed([Prompt.of(f"plain {n}") for n in range(order.num)]),
        Path(order.root) / "data" / "groups@1",
        recipe,
        generators=[Ref(StubGenerator(seconds=0.012, calls=f"{order.notes}/drawn"), weights="g")],
        num_candidates=_NUM_CANDIDATES,
        judges=[Ref(StubJudge(seconds=0.008, calls=f"{order.notes}/judged"), weights="j")],
        strategy=Bracket(1),
    )
    said = {"digest": settled.digest, "rows": settled.counts["rows"]}
    (Path(order.notes) / "result").write_text(json.dumps(said))


def killed(directory: Path, num: int, num_kills: int, seed: int) -> dict[str, float | str]:
    """Kill a run so often, let it end, and hold it against one that nobody disturbed."""
    rng = random.Random(seed)
    machines = Machines()
    try:
        whole = _undisturbed(directory / "whole", machines.address, num)
        return _disturbed(directory / "killed", machines, num, num_kills, rng, whole)
    finally:
        machines.shutdown()


def _undisturbed(directory: Path, address: str, num: int) -> dict[str, Any]:
    notes = directory / "notes"
    notes.mkdir(parents=True)
    process = _start(Order(str(directory / "root"), str(notes), address, num, 8, 1, 1))
    process.join(_TIMEOUT_S)
    return _result(notes)


def _disturbed(
    directory: Path,
    machines: Machines,
    num: int,
    num_kills: int,
    rng: random.Random,
    whole: dict[str, Any],
) -> dict[str, float | str]:
    notes = directory / "notes"
    notes.mkdir(parents=True)
    most_drawn = most_judged = kills = 0
    while True:
        order = Order(
            str(directory / "root"),
            str(notes),
            machines.address,
            num,
            rng.choice((2, 3, 5, 8)),
            rng.randint(1, 3),
            rng.randint(1, 2),
        )
        before = _calls(notes, "drawn"), _calls(notes, "judged")
        process = _start(order)
        if kills == num_kills:
            process.join(_TIMEOUT_S)
            break
        # Somewhere within the next calls of either model, so that all kills find work to disturb.
        file = rng.choice(("drawn", "judged"))
        further = rng.randint(1, max(1, num // (2 * num_kills)))
        until = before[file == "judged"] + further
        while _calls(notes, file) < until and process.exitcode is None:
            time.sleep(0.01)
        if not _kill(process, machines.actors("Generate", "Judging"), rng.uniform(0, 0.2)):
            break
        kills += 1
        most_drawn += 2 * order.block * order.generators
        most_judged += order.block * order.judges
        print(
            f"killed {kills}: blocks of {order.block}, {order.generators} generator(s), "
            f"{order.judges} judge(s); drawn {_calls(notes, 'drawn')}, judged "
            f"{_calls(notes, 'judged')} of {num}",
            flush=True,
        )
    drawn, judged = _calls(notes, "drawn"), _calls(notes, "judged")
    found = _result(notes)
    return {
        "prompts": num,
        "kills": kills,
        "drawn_again": drawn - num,
        "drawn_again_allowed": most_drawn,
        "judged_again": judged - num,
        "judged_again_allowed": most_judged,
        "candidates_drawn": drawn * _NUM_CANDIDATES,
        "replies_asked": judged * (_NUM_CANDIDATES + 2),
        "rows": found["rows"],
        "is_same_digest": int(found["digest"] == whole["digest"]),
    }


def _start(order: Order) -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    process = context.Process(target=drive, args=(order,))
    process.start()
    return process


def _kill(process: Any, actors: Sequence[psutil.Process], after_s: float) -> bool:
    """Kill a driver and its actors at once; whether it was still alive."""
    time.sleep(after_s)
    was_alive = process.exitcode is None
    if was_alive:
        for one in (psutil.Process(process.pid), *actors):
            with suppress(psutil.Error):
                one.send_signal(signal.SIGKILL)
    process.join()
    return was_alive


def _calls(notes: Path, file: str) -> int:
    with suppress(FileNotFoundError):
        return len((notes / file).read_bytes().splitlines())
    return 0


def _result(notes: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((notes / "result").read_text())
    except FileNotFoundError:
        raise SystemExit((notes / "log").read_text()[-4000:]) from None
    return found
