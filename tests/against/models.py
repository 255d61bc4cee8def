"""Stub models that take a given time and write down each of their calls. Not models."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.rows import Candidate, Duel, Prompt, Score
from tests.stubs import StubGenerator, StubJudge, StubSitting


@dataclass(frozen=True)
class Call:
    """One call of a model: of a prompt, from `began` to `ended`, in seconds of the machine's own
    clock, which all its processes share.
    """

    model: str
    worker: int
    prompt: str
    began: float
    ended: float


@dataclass(frozen=True)
class Notes:
    """A folder of files of calls, one a worker, so that nobody waits for anybody."""

    folder: str

    def add(self, model: str, prompt: str, began: float) -> None:
        ended = time.monotonic()
        with Path(self.folder, f"{model}-{os.getpid()}").open("a") as file:
            file.write(f"{prompt}\t{began!r}\t{ended!r}\n")

    def read(self) -> list[Call]:
        """All calls, in the order in which they began."""
        found = []
        for path in Path(self.folder).iterdir():
            model, _, worker = path.name.partition("-")
            for line in path.read_text().splitlines():
                prompt, began, ended = line.split("\t")
                found.append(Call(model, int(worker), prompt, float(began), float(ended)))
        return sorted(found, key=lambda one: one.began)


@dataclass(frozen=True)
class NotedGenerator(StubGenerator):
    """A stub generator that writes down when it was called."""

    notes: Notes = Notes("")

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        began = time.monotonic()
        drawn = super().generate(prompt, seeds)
        self.notes.add("generator", prompt.text, began)
        return drawn


@dataclass(frozen=True)
class NotedJudge(StubJudge):
    """A stub judge that writes down when it was called: looking at a prompt's candidates, scoring
    them and comparing them are one call each.
    """

    notes: Notes = Notes("")

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> NotedSitting:
        began = time.monotonic()
        sitting = super().sit(prompt, candidates)
        self.notes.add("judge", prompt.text, began)
        return NotedSitting(self, sitting.candidates, prompt.text)


@dataclass(frozen=True)
class NotedSitting(StubSitting):
    """One prompt's candidates before a stub judge that writes down when it was called."""

    prompt: str = ""

    def scores(self) -> list[Score]:
        began = time.monotonic()
        found = super().scores()
        self._note(began)
        return found

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        began = time.monotonic()
        found = super().duels(matches)
        self._note(began)
        return found

    def _note(self, began: float) -> None:
        assert isinstance(self.judge, NotedJudge)
        self.judge.notes.add("judge", self.prompt, began)
