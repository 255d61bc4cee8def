"""What a run pays for when another run has a part of it, held against what it ought to pay for.

Each case is made twice: afresh, and with the rows of a first run at hand; the two are compared row
by row. What is missing is told from keys alone (those of the fresh run's candidates and replies
that the first run has not), and from a sum of the case's own where there is one. The generator is
a stub, and so are the judges of the first four cases. The judge that answers in words is a stub
server behind `EndpointRef`; the judge that is calibrated is the sandbox's, of real weights.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from actors.refs import EndpointRef, JudgeRef
from actors.weights import model_weights
from factory.judging.calibration import (
    Calibration,
    Isotonic,
    Line,
    ScoreMap,
    TaskCalibration,
    Temperature,
)
from factory.judging.specification import PUBLISHED
from factory.ranking import Bracket, Ring, RoundRobin, Strategy
from jobs.datasets.at_hand import Source
from jobs.datasets.reading import read_groups
from jobs.pipelines.groups import run_pipeline
from jobs.session.ray_session import ray_session
from schemas.recipe import EndpointSpec
from schemas.recipe_file import load
from schemas.rows import Group, Prompt
from tests.actors.test_endpoint import StubServer
from tests.stubs import Listed, Ref, StubGenerator, StubJudge

#: Numbers of a judge of weights may differ by this where it was asked in other batches.
TOLERANCE = 1e-4
_JUDGE = "factory/sandbox/weights/base"
_WORDS = PUBLISHED / "unifiedreward-llava-onevision.json"


@dataclass(frozen=True)
class Case:
    """One run: its number of prompts, the candidates of each, who judges them, by which duels."""

    num: int
    num_candidates: int
    judge: Any
    strategy: Strategy


@dataclass(frozen=True)
class Made:
    """What a run made, and what it paid for."""

    groups: list[Group]
    digest: str
    num_drawn: int
    num_asked: int

    @property
    def candidates(self) -> set[str | None]:
        """Keys."""
        return {one.drawn and one.drawn.key for group in self.groups for one in group.candidates}

    @property
    def replies(self) -> set[str | None]:
        """Keys."""
        return {one.key for group in self.groups for one in group.replies}


class Reuse:
    """Runs under one directory, and what became of them."""

    def __init__(self, directory: Path, num_prompts: int) -> None:
        self.data = directory / "data"
        self.recipe = load(
            "jobs/recipes/laptop.yaml",
            [
                f"root={directory}",
                "produce.groups_per_block=16",
                "produce.generators={size: 1, num_cpus: 0.5}",
                "produce.judges={size: 2, num_cpus: 0.5}",
            ],
        )
        self.prompts = [Prompt.of(f"plain {number}") for number in range(num_prompts)]
        self.figures: dict[str, float] = {}

    def run(self, name: str, case: Case, *sources: str) -> Made:
        speed, settled = run_pipeline(
            Listed(self.prompts[: case.num]),
            self.data / name,
            self.recipe,
            generators=[Ref(StubGenerator(side=32), weights="stub")],
            num_candidates=case.num_candidates,
            judges=[case.judge],
            strategy=case.strategy,
            sources=[Source.of(self.data / one) for one in sources],
        )
        groups = read_groups(self.data / name, settled.files)
        num = speed.num_made
        return Made(groups, settled.digest, num["generate"], num["judge"])

    def compare(
        self, name: str, case: Case, source: str, first: Made, drawn: int, asked: int | None = None
    ) -> None:
        """Make a case afresh, and with a first run at hand.

        Args:
            name: of the case.
            case: what is to be made.
            source: the name of the first run.
            first: what that made.
            drawn: candidates that may be drawn.
            asked: replies that may be asked for; those that the first run has not, where None.
        """
        fresh = self.run(f"{name} afresh", case)
        again = self.run(name, case, source)
        assert None not in fresh.candidates | fresh.replies  # else nothing could be taken over
        missing = len(fresh.replies - first.replies)
        assert len(fresh.candidates - first.candidates) == drawn
        found = {
            "afresh_drawn": fresh.num_drawn,
            "afresh_asked": fresh.num_asked,
            "drawn": again.num_drawn,
            "asked": again.num_asked,
            "drawn_too_many": again.num_drawn - drawn,
            "asked_too_many": again.num_asked - (missing if asked is None else asked),
            "is_same_digest": int(fresh.digest == again.digest),
            **differences(fresh, again),
        }
        print(f"{name}: {found}", flush=True)
        self.figures |= {f"{name}_{key}": value for key, value in found.items()}
        shutil.rmtree(self.data / f"{name} afresh")


def differences(fresh: Made, again: Made) -> dict[str, float]:
    """Row by row: how many are equal to the last bit, how many within the tolerance, and how far
    the judge's numbers are apart at most. What was said counts by its keys: seconds differ.
    """
    assert len(fresh.groups) == len(again.groups)
    num_equal = num_within = 0
    most = 0.0
    for one, other in zip(fresh.groups, again.groups, strict=True):
        is_like = _without_numbers(one) == _without_numbers(other)
        apart = [abs(a - b) for a, b in zip(_numbers(one), _numbers(other), strict=False)]
        num_equal += is_like and not any(apart)
        num_within += is_like and max(apart, default=0.0) <= TOLERANCE
        most = max([most, *apart])
    return {
        "rows": len(fresh.groups),
        "rows_equal": num_equal,
        "rows_within": num_within,
        "largest_difference": most,
    }


def _without_numbers(group: Group) -> Any:
    scores = tuple(replace(one, value=0.0, spread=0.0, breakdown={}) for one in group.scores)
    duels = tuple(replace(one, p_first=0.0, p_second=0.0, p_tie=0.0) for one in group.duels)
    return replace(group, scores=scores, duels=duels, replies=()), {
        one.key for one in group.replies
    }


def _numbers(group: Group) -> Iterator[float]:
    """All that the judge's verdicts say; -1 for what could not be read."""
    for score in group.scores:
        yield from (-1.0 if math.isnan(one) else one for one in (score.value, score.spread))
    for duel in group.duels:
        told = (duel.p_first, duel.p_second, duel.p_tie)
        yield from (-1.0 if math.isnan(one) else one for one in told)


def reuse(directory: Path, num: int, more: int, few: int, many: int) -> dict[str, float]:
    """All cases.

    Args:
        directory: an empty one.
        num: prompts of the first runs.
        more: prompts of the first case, beside them.
        few, many: candidates of a prompt, before and after.
    """
    runs = Reuse(directory, num + more)
    with ray_session(runs.recipe):
        _with_stubs(runs, num, more, few, many)
        _with_words(runs, num, few)
        _with_calibration(runs, num, few)
    return runs.figures


def _with_stubs(runs: Reuse, num: int, more: int, few: int, many: int) -> None:
    judge = Ref(StubJudge(), weights="judge")
    first = runs.run("first", Case(num, few, judge, Bracket(1)))
    begun = ("first", first)
    runs.compare(
        "prompts", Case(num + more, few, judge, Bracket(1)), *begun, more * few, more * (few + 2)
    )
    runs.compare("candidates", Case(num, many, judge, Bracket(1)), *begun, num * (many - few))
    other = Ref(StubJudge("other@1"), weights="other")
    runs.compare("judge", Case(num, few, other, Bracket(1)), *begun, 0, num * (few + 2))
    duels = few * (few - 1) - 2  # all in both orders, less the final
    runs.compare("strategy", Case(num, few, judge, RoundRobin()), *begun, 0, num * duels)


def _with_words(runs: Reuse, num: int, few: int) -> None:
    """A judge whose verdicts were read the wrong way round, until its specification was mended."""
    folder = runs.data.parent / "specifications"
    folder.mkdir()
    raw = json.loads(_WORDS.read_text())
    for task in raw["tasks"].values():
        task["reading"] = "text"  # as endpoints are asked
    right = folder / "right.json"
    right.write_text(json.dumps(raw))
    for task in raw["tasks"].values():
        answers = task["answers"]
        answers["first"], answers["second"] = answers["second"], answers["first"]
    wrong = folder / "wrong.json"
    wrong.write_text(json.dumps(raw))
    server = StubServer()
    server.start()
    try:
        first, mended = (Case(num, few, _served(server, path), Ring(2)) for path in (wrong, right))
        misread = runs.run("misread", first)
        runs.compare("reading", mended, "misread", misread, 0, 0)
    finally:
        server.shutdown()
        server.server_close()
    runs.figures["reading_duels_changed"] = _num_changed(
        misread.groups, read_groups(runs.data / "reading")
    )


def _served(server: StubServer, specification: Path) -> EndpointRef:
    spec = EndpointSpec(
        url=server.url, model="m", specification=str(specification), revision="1", concurrency=4
    )
    return EndpointRef(spec.judge, "endpoint@0", "endpoint:m@1")


def _num_changed(before: list[Group], after: list[Group]) -> int:
    return sum(
        one.preference != other.preference
        for group, same in zip(before, after, strict=True)
        for one, other in zip(group.duels, same.duels, strict=True)
    )


def _with_calibration(runs: Reuse, num: int, few: int) -> None:
    """Two calibrations of one judge: the second says that many scores are the same points, so that
    other duels are planned.
    """
    line = TaskCalibration(Temperature(1.5), ScoreMap(Line(1.2, -0.3), 1.1))
    first_judge = _calibrated(runs.data.parent / "judge-1", line)
    first = runs.run("calibrated", Case(num, few, first_judge, Bracket(1)))
    scores = [
        one.numbers[0]
        for group in first.groups
        for one in group.replies
        if one.second_id is None and one.numbers
    ]
    knots = tuple(float(one) for one in np.quantile(scores, (0, 0.3, 0.7, 1)))
    steps = ScoreMap(Isotonic(knots, (1.0, 3.0, 3.0, 5.0), is_symmetric=False), 0.8)
    refitted = _calibrated(runs.data.parent / "judge-2", TaskCalibration(Temperature(0.7), steps))
    runs.compare("calibration", Case(num, few, refitted, Bracket(1)), "calibrated", first, 0)


def _calibrated(directory: Path, fitted: TaskCalibration) -> JudgeRef:
    shutil.copytree(_JUDGE, directory)
    Calibration({"image_generation": fitted}).save(directory)
    weights = model_weights(str(directory))
    return JudgeRef(str(directory), "judge@1", is_calibrated=True, weights=weights)
