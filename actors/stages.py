"""The stages of a Ray Data pipeline: callable classes from an Arrow table of groups to another.

A stage holds its model and handles one group after the other. What goes wrong with a row is
written into the row (`error`), so that one bad row never takes its block along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import torch

from actors.generators import DiffusersGenerator, candidate_seeds
from actors.judges import TransformersJudge
from actors.judges.endpoint import EndpointJudge
from actors.tally import TallyHandle
from factory.criteria import CriteriaJudge
from factory.judging.calibrated import CalibratedJudge
from factory.judging.calibration import Calibration, CalibrationError
from factory.protocols import Generator, Judge
from factory.ranking import Strategy
from factory.sandbox.oracle_judge import OracleJudge
from schemas.arrow import groups_from_table, groups_to_table
from schemas.recipe import Criteria, EndpointSpec, GeneratorSpec
from schemas.rows import Candidate, Duel, Group, Score

#: Names the sandbox oracle where a judge is asked for.
ORACLE = "sandbox:oracle"


@dataclass(frozen=True)
class GeneratorRef:
    """What travels to a worker that is to load a generator."""

    path: str
    address: str
    spec: GeneratorSpec

    def load(self) -> Generator:
        return DiffusersGenerator(self.path, self.address, self.spec)


@dataclass(frozen=True)
class JudgeRef:
    """What travels to a worker that is to load a judge."""

    path: str
    address: str
    precision: str = "fp32"
    max_batch: int = 64
    specification: str | None = None
    is_calibrated: bool = False  # map what it says by the `calibration.json` beside its weights
    criteria: Criteria = field(default_factory=Criteria)

    def load(self) -> Judge:
        judge = self._load()
        return CriteriaJudge(judge, self.criteria) if self.criteria.named else judge

    def _load(self) -> Judge:
        if self.path == ORACLE:
            return OracleJudge()
        judge = TransformersJudge(
            self.path, self.address, self.precision, self.max_batch, self.specification
        )
        if not self.is_calibrated:
            return judge
        calibration = Calibration.load(Path(self.path))
        if calibration is None:
            raise CalibrationError(f"{self.path}: this judge was not calibrated")
        return CalibratedJudge(judge, calibration)


@dataclass(frozen=True)
class EndpointRef:
    """What travels to a worker that is to ask an endpoint. The key does not travel."""

    spec: EndpointSpec

    @property
    def address(self) -> str:
        return f"{self.spec.name}@0"

    def load(self) -> Judge:
        return EndpointJudge(self.spec)


def one_thread_per_worker() -> None:
    """On CPUs Ray already runs one worker per core; more threads would only fight."""
    if not torch.cuda.is_available():
        torch.set_num_threads(1)


class Generate:
    """Adds candidates.

    Reads prompt columns; adds `num_candidates` outputs of each generator to `candidates`. Seeds
    come from the generator's name without its version: two versions draw from equal noise.
    """

    def __init__(
        self,
        generators: Sequence[GeneratorRef],
        num_candidates: int,
        seed: int,
        tally: TallyHandle,
    ) -> None:
        one_thread_per_worker()
        self.generators: list[tuple[str, Generator]] = [
            (ref.spec.name, ref.load()) for ref in generators
        ]
        self.num_candidates = num_candidates
        self.seed = seed
        self.tally = tally

    def __call__(self, table: pa.Table) -> pa.Table:
        with self.tally.busy("generate") as done:
            groups = [self.generate(group) for group in groups_from_table(table)]
            done.num_rows = len(groups)
            done.num_failed = sum(
                candidate.error is not None for group in groups for candidate in group.candidates
            )
        return groups_to_table(groups)

    def generate(self, group: Group) -> Group:
        candidates: list[Candidate] = list(group.candidates)
        for name, generator in self.generators:
            seeds = candidate_seeds(group.prompt, name, self.seed, self.num_candidates)
            candidates += generator.generate(group.prompt, seeds)
        return replace(group, candidates=tuple(candidates))


class Judging:
    """Adds scores and duels.

    Reads `candidates`; adds to `scores` one score for each, and to `duels` those that the ranking
    strategy asks for: all of one plan together, then the next plan.
    """

    def __init__(
        self, judges: Sequence[JudgeRef | EndpointRef], strategy: Strategy, tally: TallyHandle
    ) -> None:
        one_thread_per_worker()
        self.judges = [ref.load() for ref in judges]
        self.strategy = strategy
        self.tally = tally

    def __call__(self, table: pa.Table) -> pa.Table:
        with self.tally.busy("judge") as done:
            groups = [self.judge(group) for group in groups_from_table(table)]
            done.num_rows = len(groups)
            done.num_failed = sum(
                sum(score.error is not None for score in group.scores)
                + sum(duel.error is not None for duel in group.duels)
                for group in groups
            )
        return groups_to_table(groups)

    def judge(self, group: Group) -> Group:
        all_scores: list[Score] = list(group.scores)
        all_duels: list[Duel] = list(group.duels)
        for judge in self.judges:
            try:
                sitting = judge.sit(group.prompt, group.candidates)
                scores, duels = sitting.scores(), list[Duel]()
                while matches := self.strategy.plan(scores, duels):
                    duels += sitting.duels(matches)
            except (RuntimeError, ValueError) as error:
                reason = f"{judge.name}: {type(error).__name__}: {error}"[:500]
                return replace(group, error=reason)
            all_scores += scores
            all_duels += duels
        return replace(group, scores=tuple(all_scores), duels=tuple(all_duels))
