"""The steps of a Ray Data pipeline: callable classes from an Arrow table of groups to another.

A step holds its model and handles one group after the other. What goes wrong with a row is
written into the row (`error`), so that one bad row never takes its block along. Model libraries are
loaded with a model, and not by who only refers to one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from actors.memory import halving, is_out_of_memory, reason
from actors.refs import Loaded, ModelRef
from actors.tally import Piece, TallyHandle
from factory.protocols import Generator, Judge, Sitting
from factory.ranking import Strategy
from schemas.arrow import groups_from_table, groups_to_table
from schemas.rows import Candidate, Duel, Group, Prompt, Score, content_id, seed_of


def one_thread_per_worker() -> None:
    """On CPUs Ray already runs one worker per core; more threads would only fight."""
    torch = sys.modules.get("torch")  # what was loaded needs it, or nothing does
    if torch is not None and not torch.cuda.is_available():
        torch.set_num_threads(1)


def _load(ref: ModelRef[Loaded], step: str, tally: TallyHandle) -> Loaded:
    with tally.loading(step, ref.name):
        return ref.load()


def candidate_seeds(prompt: Prompt, generator: str, seed: int, num: int) -> list[int]:
    """The seeds of a prompt's candidates: functions of prompt, generator, recipe seed and index.

    `generator` is the *name* without version where two versions are to be compared at equal seeds.
    """
    return [seed_of(prompt.prompt_id, generator, seed, index) for index in range(num)]


class Generate:
    """Adds candidates.

    Reads prompt columns; adds `num_candidates` outputs of each generator to `candidates`. Seeds
    come from the generator's name without its version: two versions draw from equal noise. Where
    nothing could be drawn, `error` and `failed_stage` say so. In a run that is to stop, rows that
    were not begun are left out: they are no part of it.
    """

    def __init__(
        self,
        generators: Sequence[ModelRef[Generator]],
        num_candidates: int,
        seed: int,
        tally: TallyHandle,
    ) -> None:
        self.generators = [(ref.name, _load(ref, "generate", tally)) for ref in generators]
        one_thread_per_worker()
        self.num_candidates = num_candidates
        self.seed = seed
        self.tally = tally

    def __call__(self, table: pa.Table) -> pa.Table:
        if self.tally.read_stopped() is not None:
            return table.slice(0, 0)
        groups = groups_from_table(table)
        with self.tally.busy("generate", [one.prompt.prompt_id for one in groups]) as done:
            groups = [self.generate(group, done) for group in groups]
        return groups_to_table(groups)

    def generate(self, group: Group, done: Piece) -> Group:
        candidates: list[Candidate] = list(group.candidates)
        for name, generator in self.generators:
            seeds = candidate_seeds(group.prompt, name, self.seed, self.num_candidates)
            try:
                with done.model(group.prompt.prompt_id, generator.name):
                    candidates += generator.generate(group.prompt, seeds)
            except Exception as error:
                candidates += [
                    Candidate(
                        content_id("candidate", group.prompt.prompt_id, generator.name, seed),
                        generator.name,
                        seed,
                        error=reason(error),
                    )
                    for seed in seeds
                ]
        group = replace(group, candidates=tuple(candidates))
        if any(one.error is None for one in candidates):
            return group
        why = next((one.error for one in candidates if one.error), "no candidates")
        done.fail(group.prompt.prompt_id, why)
        return replace(group, error=why, failed_stage="generate")


class Judging:
    """Adds scores and duels.

    Reads `candidates`; adds to `scores` one score for each, and to `duels` those that the ranking
    strategy asks for: all of one plan together, then the next plan. Where a judge fails, `error`
    and `failed_stage` say so.
    """

    def __init__(
        self, judges: Sequence[ModelRef[Judge]], strategy: Strategy, tally: TallyHandle
    ) -> None:
        self.judges = [_load(ref, "judge", tally) for ref in judges]
        one_thread_per_worker()
        self.strategy = strategy
        self.tally = tally

    def __call__(self, table: pa.Table) -> pa.Table:
        groups = groups_from_table(table)
        with self.tally.busy("judge", [one.prompt.prompt_id for one in groups]) as done:
            groups = [self.judge(group, done) for group in groups]
        return groups_to_table(groups)

    def judge(self, group: Group, done: Piece) -> Group:
        if group.error is not None:
            return group
        all_scores: list[Score] = list(group.scores)
        all_duels: list[Duel] = list(group.duels)
        for judge in self.judges:
            try:
                with done.model(group.prompt.prompt_id, judge.name):
                    scores, duels = self._verdicts(judge, group)
            except Exception as error:
                why = reason(error, f"{judge.name}: ")
                done.fail(group.prompt.prompt_id, why)
                return replace(group, error=why, failed_stage="judge")
            all_scores += scores
            all_duels += duels
        group = replace(group, scores=tuple(all_scores), duels=tuple(all_duels))
        if group.is_invalid:
            errors = (one.error for one in group.scores if one.error)
            done.fail(group.prompt.prompt_id, next(errors, "fewer than two scores"))
        return group

    def _verdicts(self, judge: Judge, group: Group) -> tuple[list[Score], list[Duel]]:
        """One judge's scores and duels; in smaller sittings where memory is too small for one."""
        prompt, candidates = group.prompt, group.candidates
        sitting: Sitting | None = None
        try:
            sitting = judge.sit(prompt, candidates)
            scores = sitting.scores()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            sitting = None
        if sitting is None:
            scores = halving(lambda few: judge.sit(prompt, few).scores(), candidates)

        def play(matches: Sequence[tuple[int, int]]) -> list[Duel]:
            if sitting is not None:
                return sitting.duels(matches)
            sides = [[candidates[first], candidates[second]] for first, second in matches]
            return [duel for both in sides for duel in judge.sit(prompt, both).duels([(0, 1)])]

        duels: list[Duel] = []
        while matches := self.strategy.plan(scores, duels):
            duels += halving(play, matches)
        return scores, duels
