"""A generator and a judge without weights, for tests of what surrounds them. Not models: the
pictures are a colour that follows from the seed, and the scores follow from the colour.

`faults` plants failures by the text of the prompt, so that a test says which rows go wrong and how.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.recorded import RecordedGenerator, drawn_by
from factory.judging.recording import Recorder, RecordingJudge
from factory.keys import Asking, with_keys
from factory.media.pictures import decode, encode_png
from schemas.recipe import GeneratorSpec
from schemas.rows import Candidate, Drawn, Duel, Media, Prompt, Score, content_id

if TYPE_CHECKING:
    from actors.tally import Piece


def misbehave(text: str, who: str) -> None:
    """Do to this process what the text asks for."""
    if f"{who} hangs" in text:
        time.sleep(3600)
    if f"{who} dies" in text:  # as of the kernel's out-of-memory killer
        os.kill(os.getpid(), signal.SIGKILL)
    if f"{who} is away" in text:  # which says nothing of the row
        raise ConnectionError("planted")


@dataclass(frozen=True)
class StubGenerator:
    """Draws squares of one colour.

    name: as `name@version`.
    side: pixels.
    seconds: that a call takes.
    calls: a file that gets a line for each prompt drawn.
    cured: a file whose presence takes the planted failures away.
    """

    name: str = "stub@0"
    side: int = 8
    seconds: float = 0.0
    calls: str | None = None
    cured: str | None = None

    def generate(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        if self.calls is not None:
            with Path(self.calls).open("a") as file:
                file.write(f"{prompt.prompt_id}\n")
        if self.seconds:
            time.sleep(self.seconds)
        is_sick = self.cured is None or not Path(self.cured).exists()
        if is_sick:
            misbehave(prompt.text, "generator")
        if "raise" in prompt.text and is_sick:
            raise KeyError("planted\nfailure")
        if "memory" in prompt.text and len(seeds) > 1 and is_sick:
            raise MemoryError("planted")
        return [self._candidate(prompt, seed, is_sick) for seed in seeds]

    def _candidate(self, prompt: Prompt, seed: int, is_sick: bool) -> Candidate:
        one = content_id("candidate", prompt.prompt_id, self.name, seed)
        colour = np.frombuffer(bytes.fromhex(one)[:3], dtype=np.uint8)
        pixels = np.broadcast_to(colour, (self.side, self.side, 3))
        if self.side > 64:  # noise, so that the size of the file is what a photo's would be
            noise = np.random.default_rng(seed).integers(0, 255, pixels.shape, dtype=np.uint8)
            pixels = noise
        data = encode_png(np.ascontiguousarray(pixels))
        if "unreadable" in prompt.text and is_sick:
            data = data[: len(data) // 2]
        return Candidate(one, self.name, seed, Media(data, self.side, self.side))


@dataclass(frozen=True)
class StubJudge:
    """Likes red. Its fields are those of the generator."""

    name: str = "stubjudge@1"
    seconds: float = 0.0
    calls: str | None = None
    cured: str | None = None

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> "StubSitting":
        if self.calls is not None:
            with Path(self.calls).open("a") as file:
                file.write(f"{prompt.prompt_id}\n")
        is_sick = self.cured is None or not Path(self.cured).exists()
        if is_sick:
            misbehave(prompt.text, "judge")
        if "judge fails" in prompt.text and is_sick:
            raise RuntimeError("planted")
        if "small judge" in prompt.text and len(candidates) > 2:
            raise RuntimeError("CUDA out of memory (planted)")
        if self.seconds:
            time.sleep(self.seconds)
        return StubSitting(self, candidates)


def stub_generator(name: str, settings: GeneratorSpec) -> StubGenerator:
    """As a recipe names a generator: made of its name@version and its section."""
    return StubGenerator(name)


@dataclass(frozen=True)
class StubSitting:
    judge: StubJudge
    candidates: Sequence[Candidate]

    def scores(self) -> list[Score]:
        return [self._score(one) for one in self.candidates]

    def _score(self, one: Candidate) -> Score:
        try:
            assert one.media is not None
            value = float(decode(one.media.data)[..., 0].mean()) / 64
        except (AssertionError, ValueError) as error:
            nan = float("nan")
            return Score(one.candidate_id, self.judge.name, nan, nan, f"unreadable: {error}")
        return Score(one.candidate_id, self.judge.name, value, 0.1)

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        found = self.scores()
        duels = []
        for first, second in matches:
            p = 0.8 if found[first].value > found[second].value else 0.2
            ids = (found[first].candidate_id, found[second].candidate_id)
            duels.append(Duel(*ids, self.judge.name, p, 1 - p, 0.0))
        return duels


class Listed(list[Prompt]):
    """Prompts that are at hand, where a file of them is asked for."""

    def ids(self) -> Iterator[str]:
        return (one.prompt_id for one in self)


SPEC = GeneratorSpec(path="tests.stubs:stub_generator")


@dataclass(frozen=True)
class Ref:
    """What travels to a worker.

    loads: a file that gets a line for each time that it is loaded.
    hangs: how many of those times it never comes to an end.
    weights: by which it is known; candidates and replies have no keys where None.
    """

    model: StubGenerator | StubJudge = field(default_factory=StubGenerator)
    loads: str | None = None
    hangs: int = 0
    weights: str | None = None

    @property
    def name(self) -> str:
        return self.model.name.partition("@")[0]

    def planned(self, prompt: Prompt, seeds: Sequence[int]) -> list[Candidate]:
        """As of a generator of somebody's own, which alone knows the ids."""
        if self.weights is None:
            return [Candidate("", self.model.name, seed) for seed in seeds]
        drawn = replace(self._drawn_by, prompt=prompt.text)
        return [
            Candidate("", self.model.name, seed, drawn=one)
            for seed, one in zip(seeds, with_keys(drawn, prompt, seeds), strict=True)
        ]

    @cached_property
    def _drawn_by(self) -> Drawn:
        return drawn_by("stub", SPEC, self.weights)

    @property
    def address(self) -> str:
        return self.model.name

    def load(self) -> Any:
        if self.loads is not None:
            with Path(self.loads).open("a+") as file:
                file.write("load\n")
                file.seek(0)
                num = len(file.readlines())
            if num <= self.hangs:
                time.sleep(3600)
        if self.weights is not None and isinstance(self.model, StubGenerator):
            return RecordedGenerator(self.model, "stub", SPEC, self.weights)
        return self.model

    def recorded(self) -> tuple[RecordingJudge, Recorder]:
        """As of a judge of somebody's own."""
        recorder = Recorder(lambda _: Asking(self.weights, ""))
        return RecordingJudge(self.load(), recorder), recorder


class Untallied:
    """Stands for a `TallyHandle` where a stage is tried without Ray: nobody counts."""

    @contextmanager
    def busy(self, stage: str, rows: Sequence[str]) -> Iterator["Piece"]:
        from actors.tally import Piece

        yield Piece(stage)

    @contextmanager
    def loading(self, stage: str, model: str) -> Iterator[None]:
        yield
