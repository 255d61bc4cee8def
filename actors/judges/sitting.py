"""One prompt's candidates before any judge of ours: what cannot be judged is marked, never guessed.

A judge fills in two methods: how scores and duels of what *can* be judged are asked for. What comes
back is kept whole in a reply, and read from there. A checkpoint is not asked what it was not
trained to be asked.
"""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import numpy as np

from actors.judges.looks import SeenSide, look_at
from factory.judging.reading import duel_of, read, reason_in, score_of
from factory.judging.specification import Kind, TaskSpecification, not_trained
from factory.keys import output_digest
from schemas.rows import Candidate, Duel, Preference, Prompt, Reply, Sample, Score

Match = tuple[int, int]
#: One side of a score, or two of a duel in the order shown, as indices of candidates.
Sides = tuple[int, ...]
Shown = TypeVar("Shown", tuple[int], Match)


@dataclass(frozen=True)
class Response:
    """What came back for one request, before it is read: words, log-probabilities, or why nothing.
    The fields are those of a `schemas.rows.Reply`.
    """

    text: str | None = None
    is_cut: bool = False
    samples: tuple[Sample, ...] = ()
    logprobs: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    is_attempt: bool = False
    request: str | None = None
    num_read: int | None = None
    num_written: int | None = None


class ReadSitting(ABC):
    """Scores and duels with every failure marked, each with the reply that it was read from.

    looks: the media, each decoded once.
    sides: for each candidate what is judged of it, or why it cannot be.
    """

    def __init__(
        self, judge: str, task: TaskSpecification, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        self.name = judge
        self.task = task.for_prompt(prompt)
        self.prompt = prompt
        self.candidates = candidates
        self.looks, self.sides = look_at(prompt, candidates, self.task)
        self._digests = [str(output_digest(candidate)) for candidate in candidates]
        self._prompt_digests = _media_digests(prompt)
        self._said: dict[Sides, Reply] = {}

    def mark(self, faults: Mapping[int, str]) -> None:
        """Let nobody be asked about a side that shows one of these looks.

        Args:
            faults: why not, by the index of the look.
        """

        def fault(side: SeenSide) -> str | None:
            shown = (faults.get(look) for look in (*side.looks, *side.sources))
            return next(filter(None, shown), None)

        self.sides = [
            side if side.error is not None else replace(side, error=fault(side))
            for side in self.sides
        ]

    @abstractmethod
    def ask_scores(self, indices: Sequence[int]) -> Sequence[Response]:
        """What the judge says of each of these candidates."""

    @abstractmethod
    def ask_duels(self, matches: Sequence[Match]) -> Sequence[Response]:
        """What the judge says of each of these matches."""

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.candidates)) if indices is None else indices

        def ask(sides: Sequence[tuple[int]]) -> Sequence[Response]:
            return self.ask_scores([index for (index,) in sides])

        sides = [(index,) for index in wanted]
        return [score_of(reply) for reply in self._replies("score", sides, ask)]

    def about(self, prompt: Prompt) -> Self:
        other = copy(self)  # with the same media, however they are encoded
        other.prompt = prompt
        other._said = {}
        other._prompt_digests = _media_digests(prompt)
        return other

    def duels(self, matches: Sequence[Match]) -> list[Duel]:
        return [duel_of(reply) for reply in self._replies("duel", matches, self.ask_duels)]

    def justify_score(self, index: int, value: float) -> str:
        """Why a candidate has its score, as far as it was said in words with it."""
        return self._said_for((index,))

    def justify_duel(self, match: Match, preference: Preference) -> str:
        """Why one of two sides is preferred, likewise, in the order shown."""
        return self._said_for(match)

    def _said_for(self, sides: Sides) -> str:
        said = self._said.get(sides)
        return "" if said is None else reason_in(said, self.task)

    def _replies(
        self,
        kind: Kind,
        sides: Sequence[Shown],
        ask: Callable[[Sequence[Shown]], Sequence[Response]],
    ) -> list[Reply]:
        """What is said of each, in order; what cannot be judged is not asked about."""
        if kind not in self.task.kinds:
            why = Response(error=f"not asked: {not_trained(self.prompt.task, kind)}")
            return [self._reply(one, why, None) for one in sides]
        said: dict[Shown, tuple[Response, float | None]] = {}
        playable: list[Shown] = []
        for one in dict.fromkeys(sides):
            error = next(filter(None, self._errors(one)), None)
            if error is None:
                playable.append(one)
            else:
                said[one] = Response(error=error), None
        if playable:
            began = time.perf_counter()
            responses = ask(playable)
            seconds = (time.perf_counter() - began) / len(playable)
            for one, response in zip(playable, responses, strict=True):
                said[one] = response, seconds
        return [self._reply(one, *said[one]) for one in sides]

    def _reply(self, sides: Sides, response: Response, seconds: float | None) -> Reply:
        ids = [self.candidates[index].candidate_id for index in sides]
        reply = Reply(
            None,
            self.name,
            ids[0],
            ids[1] if len(ids) > 1 else None,
            error=response.error,
            is_attempt=response.is_attempt,
            text=response.text,
            is_cut=response.is_cut,
            samples=response.samples,
            logprobs=dict(response.logprobs),
            request=response.request,
            num_read=response.num_read,
            num_written=response.num_written,
            seconds=seconds,
        )
        self._said[sides] = told = read(reply, self.task)
        return told

    def _errors(self, sides: Sides) -> list[str | None]:
        return [self.sides[index].error for index in sides]

    def shown(self, match: Sequence[int]) -> tuple[list[int], list[str], list[int]]:
        """Indices of the looks that a prompt for these sides shows, their answers, and indices of
        what their edits start from.
        """
        sides = [self.sides[at] for at in match]
        answers = [side.answer for side in sides if side.answer is not None]
        looks = [look for place in self.places(match) for look in place]
        return looks, answers, list(sides[0].sources)

    def places(self, match: Sequence[int]) -> list[tuple[int, ...]]:
        """The looks of each `{media}` of a prompt for these sides, by their indices."""
        sides = [self.sides[at] for at in match]
        is_answer = any(side.answer is not None for side in sides)
        return [side.looks for side in (sides[:1] if is_answer else sides)]

    def request_digest(self, ids: Sequence[int], sides: Sides) -> str:
        """Of what a model is given: token ids, the prompt's media, and the sides' outputs."""
        media = [*self._prompt_digests, *(self._digests[index] for index in sides)]
        tokens = np.asarray(ids, dtype="<i8").tobytes()
        return hashlib.sha256(tokens + "".join(media).encode()).hexdigest()[:32]


def _media_digests(prompt: Prompt) -> list[str]:
    media = [prompt.media, *(part.media for part in prompt.parts)]
    return [hashlib.sha256(one.data).hexdigest() for one in media if one is not None]
