"""Keeping what a judge says, and asking only what nobody has answered yet.

    with recorder.open(replies_at_hand) as ledger:
        scores = judge.sit(prompt, candidates).scores()  # a `RecordingJudge` beneath
    ledger.replies                                       # all that these rest on, in order

A `RecordingJudge` stands directly around a judge, beneath all that is made of what it says (rules,
calibration, criteria): what is kept is raw. A request whose key (`factory.keys`) a reply at hand
has is answered by that reply, read again by today's specification; the others are asked together.
Scores and duels are made of replies alone, so what was taken over and what was asked just now go
the same way. Left out: where replies at hand come from, and what becomes of the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace

from factory.judging.criteria import asked, criteria_for
from factory.judging.reading import duel_of, lacks_words, read, reply_of, score_of
from factory.judging.specification import JudgeSpecification, asking_of
from factory.keys import Asking, Kind, output_digest, prompt_digest, request_keys
from factory.protocols import Judge, Sitting, scores_of
from schemas import recipe
from schemas.rows import Candidate, Duel, Group, Prompt, Reply, Score, Task

#: One side of a score, or two of a duel in the order shown, as indices of candidates.
Sides = tuple[int, ...]


@dataclass
class Ledger:
    """What a judge said of one row, while the ledger was open.

    num_asked, num_taken: requests that were put to the judge, and that were answered already.
    model_s: seconds that the judge itself took for them.
    """

    recorder: Recorder
    at_hand: dict[str, Reply]
    num_asked: int = 0
    num_taken: int = 0
    model_s: float = 0.0
    _kept: dict[object, Reply] = field(default_factory=dict)

    @property
    def replies(self) -> tuple[Reply, ...]:
        """In the order in which they were first asked for, each key once."""
        return tuple(self._kept.values())

    def opened(self) -> AbstractContextManager[None]:
        """Enter here all that is said within.

        Raises:
            RuntimeError: the ledger of another row is open.
        """
        return self.recorder.writing(self)

    def answer(self, key: str | None) -> Reply | None:
        """What was said to a request already, today or before; attempts are no answers."""
        if key is None:
            return None
        reply = self._kept.get(key) or self.at_hand.get(key)
        return None if reply is None or reply.is_attempt else reply

    def keep(self, reply: Reply) -> None:
        """Enter a reply; one whose key is there stands in the place of the one before."""
        self._kept[object() if reply.key is None else reply.key] = reply


class Recorder:
    """What keeps the words of one judge in one process: for one row at a time."""

    def __init__(
        self,
        asking: Callable[[Prompt], Asking | None],
        specification: JudgeSpecification | None = None,
    ) -> None:
        """Args:
        asking: who is asked about a prompt, and how; None where nobody may take what is said.
        specification: how replies are read; where there is none, their numbers stand as they are.
        """
        self.asking = asking
        self.specification = specification
        self._ledger: Ledger | None = None

    @classmethod
    def of(cls, weights: str | None, precision: str, specification: JudgeSpecification) -> Recorder:
        """Of a judge that is asked and read by a specification. What it has no words for, it
        refuses: SpecificationError.
        """

        def asking(prompt: Prompt) -> Asking:
            told = specification.task(prompt.task).for_prompt(prompt)
            is_chat, turn = specification.is_chat, specification.turn
            score, duel = (asking_of(told, is_chat, kind, turn) for kind in ("score", "duel"))
            return Asking(weights, precision, score, duel)

        return cls(asking, specification)

    @contextmanager
    def open(self, at_hand: Sequence[Reply] = ()) -> Iterator[Ledger]:
        """Collect all that is said within, and answer from the replies at hand, as `ledger_for`
        takes them.

        Raises:
            RuntimeError: the ledger of another row is open.
        """
        ledger = self.ledger_for(at_hand)
        with ledger.opened():
            yield ledger

    def ledger_for(self, at_hand: Sequence[Reply] = ()) -> Ledger:
        """The ledger of a row, closed: whoever has several rows at once opens now one, now another.

        Args:
            at_hand: of earlier runs, of any judge; attempts and those without a key are passed by.
                Of several with one key the first counts.
        """
        known: dict[str, Reply] = {}
        for reply in at_hand:
            if reply.key is not None and not reply.is_attempt:
                known.setdefault(reply.key, reply)
        return Ledger(self, known)

    @contextmanager
    def writing(self, ledger: Ledger) -> Iterator[None]:
        """As `Ledger.opened`."""
        if self._ledger is not None:
            raise RuntimeError("a recorder was opened for a row while another's ledger was open")
        self._ledger = ledger
        try:
            yield
        finally:
            self._ledger = None

    @property
    def ledger(self) -> Ledger:
        """The open one.

        Raises:
            RuntimeError: none is open, and what is said now would be lost.
        """
        if self._ledger is None:
            raise RuntimeError("a recording judge was asked while its recorder's ledger was closed")
        return self._ledger

    def read(self, reply: Reply, task: Task) -> Reply | None:
        """A reply at hand by today's reading; None where it does not hold what is read."""
        if self.specification is None:
            return reply
        told = self.specification.task(task)
        return None if lacks_words(reply, told) else read(reply, told)


@dataclass(frozen=True)
class RecordingJudge:
    """A raw judge, and the recorder that keeps what it says.

    criteria: that will be asked about; each reply names the one that it is about.
    """

    judge: Judge
    recorder: Recorder
    criteria: recipe.Criteria = field(default_factory=recipe.Criteria)

    @property
    def name(self) -> str:
        return self.judge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> RecordingSitting:
        return RecordingSitting(self, prompt, candidates)


class RecordingSitting:
    """One prompt's candidates before a `RecordingJudge`, who sees them when something is missing.

    What was not drawn is not put to the judge: there is nothing to ask about.
    """

    def __init__(
        self, judge: RecordingJudge, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        self.judge = judge
        self.prompt = prompt
        self.candidates = candidates
        self._prompt_digest = prompt_digest(prompt)
        self._digests = [output_digest(candidate) for candidate in candidates]
        self._criterion: str | None = None
        self._asking = judge.recorder.asking(prompt)
        self._sit: Callable[[], Sitting] = lambda: judge.judge.sit(prompt, candidates)
        self._raw: Sitting | None = None
        self._keys: dict[tuple[Kind, Sides], str | None] = {}

    def about(self, prompt: Prompt) -> RecordingSitting:
        other = RecordingSitting(self.judge, prompt, self.candidates)
        other._sit = lambda: self._sitting().about(prompt)
        for one in criteria_for(self.prompt, self.judge.criteria):
            if one.text and asked(self.prompt, one).text == prompt.text:
                other._criterion = one.name
        return other

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(len(self.candidates)) if indices is None else indices

        def ask(sides: Sequence[Sides]) -> Sequence[Score]:
            some = [index for (index,) in sides]
            is_whole = some == list(range(len(self.candidates)))
            return scores_of(self._sitting(), None if is_whole else some)

        replies = self._replies("score", [(index,) for index in wanted], ask)
        return [score_of(reply) for reply in replies]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        def ask(sides: Sequence[Sides]) -> Sequence[Duel]:
            return self._sitting().duels([(first, second) for first, second in sides])

        return [duel_of(reply) for reply in self._replies("duel", matches, ask)]

    def _sitting(self) -> Sitting:
        if self._raw is None:
            self._raw = self._sit()
        return self._raw

    def _replies(
        self,
        kind: Kind,
        sides: Sequence[Sides],
        ask: Callable[[Sequence[Sides]], Sequence[Score | Duel]],
    ) -> list[Reply]:
        """What is said of each, in order: taken where it is at hand, else asked in one call."""
        ledger = self.judge.recorder.ledger
        self._learn_keys(kind, sides)
        # Equal requests, as of two answers in the same words, are put to the judge once.
        requests: dict[object, Sides] = {}
        for one in sides:
            if self._not_drawn(one) is None:
                requests.setdefault(self._key(kind, one) or one, one)
        said = {request: self._at_hand(self._key(kind, one)) for request, one in requests.items()}
        missing = [request for request, reply in said.items() if reply is None]
        if missing:
            began = time.perf_counter()
            try:
                verdicts = ask([requests[request] for request in missing])
            finally:
                ledger.model_s += time.perf_counter() - began
            said |= dict(zip(missing, map(reply_of, verdicts), strict=True))
        ledger.num_asked += len(missing)
        ledger.num_taken += len(said) - len(missing)
        named: dict[Sides, Reply] = {}
        for request, one in requests.items():
            named[one] = self._named(kind, one, said[request])
            ledger.keep(named[one])
        return [
            named.get(one) or self._named(kind, one, said.get(self._key(kind, one) or one))
            for one in sides
        ]

    def _at_hand(self, key: str | None) -> Reply | None:
        """What can be taken, by today's reading."""
        reply = self.judge.recorder.ledger.answer(key)
        return None if reply is None else self.judge.recorder.read(reply, self.prompt.task)

    def _named(self, kind: Kind, sides: Sides, reply: Reply | None) -> Reply:
        """A reply by today's names; of sides that were not drawn, one that says so."""
        ids = [self.candidates[index].candidate_id for index in sides]
        return replace(
            reply or Reply(None, self.judge.name, ids[0], error=self._not_drawn(sides)),
            key=self._key(kind, sides),
            judge=self.judge.name,
            first_id=ids[0],
            second_id=ids[1] if kind == "duel" else None,
            criterion=self._criterion,
        )

    def _not_drawn(self, sides: Sides) -> str | None:
        errors = [self.candidates[index].error for index in sides]
        return next((f"not generated: {error}" for error in errors if error is not None), None)

    def _key(self, kind: Kind, sides: Sides) -> str | None:
        return self._keys[kind, sides]

    def _learn_keys(self, kind: Kind, sides: Sequence[Sides]) -> None:
        new = [one for one in dict.fromkeys(sides) if (kind, one) not in self._keys]
        keys: list[str | None] = [None] * len(new)
        if self._asking is not None:
            shown = [[self._digests[index] for index in one] for one in new]
            keys = request_keys(self._asking, kind, self._prompt_digest, shown)
        self._keys |= {(kind, one): key for one, key in zip(new, keys, strict=True)}


def without_words(group: Group) -> Group:
    """The group without what judges wrote. What was read from the words stays; a judge that answers
    in words has to be asked again by whoever would take its verdicts over.
    """
    bare = (replace(one, text=None, samples=()) for one in group.replies)
    return replace(group, replies=tuple(bare))
