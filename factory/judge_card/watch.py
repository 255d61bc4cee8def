"""A judge with its time taken: what it costs to ask it, apart from what is made to ask it about.
What it says of two is kept too: of a judge that only scores, no reply tells what is made of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from factory.protocols import Judge, Sitting, scores_of
from schemas.rows import Candidate, Duel, Prompt, Score


class WatchedJudge:
    """Another judge, and how many seconds it took for how many verdicts since `start`, and the
    `duels` among these.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.start()

    @property
    def name(self) -> str:
        return self.judge.name

    def start(self) -> None:
        self.seconds, self.num_verdicts = 0.0, 0
        self.duels: list[Duel] = []

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> WatchedSitting:
        began = time.perf_counter()
        sitting = self.judge.sit(prompt, candidates)
        self.seconds += time.perf_counter() - began
        return WatchedSitting(self, sitting)


class WatchedSitting:
    """One prompt's candidates before a `WatchedJudge`."""

    def __init__(self, watch: WatchedJudge, sitting: Sitting) -> None:
        self.watch = watch
        self.sitting = sitting

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        began = time.perf_counter()
        found = scores_of(self.sitting, indices)
        self._stop(began, len(found))
        return found

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        began = time.perf_counter()
        found = self.sitting.duels(matches)
        self._stop(began, len(found))
        self.watch.duels += found
        return found

    def about(self, prompt: Prompt) -> WatchedSitting:
        return WatchedSitting(self.watch, self.sitting.about(prompt))

    def _stop(self, began: float, num: int) -> None:
        self.watch.seconds += time.perf_counter() - began
        self.watch.num_verdicts += num
