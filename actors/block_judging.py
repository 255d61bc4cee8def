"""One judge before the groups of a block.

    sit and score each group -> plan the duels of all -> each group's duels -> plan -> ...

What is to be played next is decided for all groups at once, since one fit over many costs little
more than over one; between two calls a judge waits for nothing else. Sittings stay open meanwhile,
each with what its judge has encoded, so groups with many pixels are taken in smaller numbers, in
the end one by one. Where memory runs out all the same, the group is judged again when no other is
open, in sittings as small as need be. What goes wrong with one group is said of it alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from actors.memory import halving, is_out_of_memory, reason
from actors.tally import Piece
from factory.judging.panel_judge import PanelLedger, PanelRecorder
from factory.judging.recording import Ledger, Recorder
from factory.judging.specification import conditioning
from factory.protocols import Judge, Sitting
from factory.ranking import ByTask, Duels, Match, Strategy, for_task, plan_all
from schemas.rows import Duel, Group, Prompt, Reply, Score

#: Pixels of the groups whose sittings are open at one time, over all frames: 8 groups of 8 pictures
#: of 1024 x 1024.
PIXELS_TOGETHER = 2**26


@dataclass
class Heard:
    """One group before one judge, and what it has said of it so far.

    group: with its media.
    ledger: gets what is said.
    strategy: which duels to play.
    error: why the judge could not judge it.
    """

    group: Group
    ledger: Ledger | PanelLedger
    strategy: Strategy
    scores: list[Score] = field(default_factory=list)
    duels: list[Duel] = field(default_factory=list)
    error: str | None = None
    sitting: Sitting | None = None
    is_too_large: bool = False

    @property
    def is_unscored(self) -> bool:
        return isinstance(self.strategy, Duels)

    def places(self, judge: str) -> list[Score]:
        """The scores, or where none is asked for some that say nothing, so that candidates have
        their places.
        """
        if self.scores:
            return self.scores
        nan = math.nan
        return [
            Score(one.candidate_id, judge, nan, nan, one.error) for one in self.group.candidates
        ]


def in_turns(groups: Sequence[Group]) -> Iterator[Sequence[Group]]:
    """Groups in their order, as many at a time as may be before a judge together."""
    start, pixels = 0, 0
    for at, group in enumerate(groups):
        own = _pixels(group)
        if at > start and pixels + own > PIXELS_TOGETHER:
            yield groups[start:at]
            start, pixels = at, 0
        pixels += own
    yield groups[start:]


def _pixels(group: Group) -> int:
    prompt = [part.media for part in group.prompt.in_full]
    media = [*prompt, *(one.media for one in group.candidates)]
    return sum(one.width * one.height * one.num_frames for one in media if one is not None)


class Hearing:
    """One judge before several groups."""

    def __init__(
        self,
        judge: Judge,
        recorder: Recorder | PanelRecorder,
        strategy: Strategy | ByTask,
        done: Piece,
    ) -> None:
        """Begin.

        Args:
            judge: is asked.
            recorder: of what it says.
            strategy: which duels to play; one of each task, where they differ by it.
            done: counts what was asked, and watches over each call.
        """
        self.judge = judge
        self.recorder = recorder
        self.strategy = strategy
        self.done = done

    def hear(self, groups: Sequence[Group], at_hand: Sequence[Sequence[Reply]]) -> list[Heard]:
        """Judge them.

        Args:
            groups: with their media.
            at_hand: replies of earlier runs about each.
        """
        every = [
            self._begun(group, replies) for group, replies in zip(groups, at_hand, strict=True)
        ]
        for one in every:
            self._ask(one, self._sit)
        open_ones = every
        while open_ones := [one for one in open_ones if one.error is None and not one.is_too_large]:
            planned = self._plans(open_ones)
            for one, matches in planned:
                self._ask(one, partial(self._play, matches=matches))
            open_ones = [one for one, _ in planned]
        for one in every:
            one.sitting = None
        for at, one in enumerate(every):
            if one.is_too_large:  # what was said until now is asked again
                every[at] = self._begun(one.group, at_hand[at])
                self._ask_alone(every[at])
        for one in every:
            self.done.count(one.ledger.num_asked, one.ledger.num_taken)
            self.done.took(one.ledger.model_s)
        return every

    def _begun(self, group: Group, at_hand: Sequence[Reply]) -> Heard:
        strategy = for_task(self.strategy, group.prompt.task)
        return Heard(group, self.recorder.ledger_for(at_hand), strategy)

    def _prompt(self, group: Group) -> Prompt:
        """As the judge is to see it: the prompt that its specification asks for.

        Raises:
            SpecificationError: the judge was not made for the task, or there is no one such prompt.
        """
        told = self.recorder.specification
        if told is None or told.task(group.prompt.task).prompt == "original":
            return group.prompt
        return conditioning(group.prompt, group.candidates)

    def _ask(self, one: Heard, work: Callable[[Heard], None]) -> None:
        """A call about one group; what it is too large for is noted, and what fails is said."""
        try:
            self._watched(one, work)
        except Exception as error:  # of anybody's code
            one.is_too_large = is_out_of_memory(error)
            one.error = None if one.is_too_large else reason(error, f"{self.judge.name}: ")

    def _ask_alone(self, one: Heard) -> None:
        try:
            self._watched(one, self._judge_alone)
        except Exception as error:
            one.error = reason(error, f"{self.judge.name}: ")

    def _watched(self, one: Heard, work: Callable[[Heard], None]) -> None:
        row = one.group.prompt.prompt_id
        with one.ledger.opened(), self.done.watched(row, self.judge.name):
            work(one)

    def _sit(self, one: Heard) -> None:
        one.sitting = self.judge.sit(self._prompt(one.group), one.group.candidates)
        one.scores = [] if one.is_unscored else one.sitting.scores()

    def _play(self, one: Heard, matches: Sequence[Match]) -> None:
        assert one.sitting is not None
        one.duels += halving(one.sitting.duels, matches)

    def _plans(self, every: Sequence[Heard]) -> list[tuple[Heard, list[Match]]]:
        """The next matches of those that have any."""
        found = []
        for strategy in {id(one.strategy): one.strategy for one in every}.values():
            some = [one for one in every if one.strategy is strategy]
            for one, matches in zip(some, self._planned(strategy, some), strict=True):
                if matches:
                    found.append((one, matches))
        return found

    def _planned(self, strategy: Strategy, some: Sequence[Heard]) -> list[list[Match]]:
        said = [(one.places(self.judge.name), one.duels) for one in some]
        try:
            return plan_all(strategy, said)
        except Exception as error:
            if len(some) == 1:  # numbers of which nothing can be made are a fault of their row
                some[0].error = reason(error, f"{self.judge.name}: ")
                return [[]]
        return [plan for one in some for plan in self._planned(strategy, [one])]

    def _judge_alone(self, one: Heard) -> None:
        """A group that is too large to be judged beside others, or in one sitting."""
        prompt, candidates = self._prompt(one.group), one.group.candidates
        sitting: Sitting | None = None
        try:
            sitting = self.judge.sit(prompt, candidates)
            one.scores = [] if one.is_unscored else sitting.scores()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            sitting = None
        if sitting is None and not one.is_unscored:
            one.scores = halving(lambda few: self.judge.sit(prompt, few).scores(), candidates)

        def play(matches: Sequence[Match]) -> list[Duel]:
            if sitting is not None:
                return sitting.duels(matches)
            sides = [[candidates[first], candidates[second]] for first, second in matches]
            return [duel for both in sides for duel in self.judge.sit(prompt, both).duels([(0, 1)])]

        while matches := one.strategy.plan(one.places(self.judge.name), one.duels):
            one.duels += halving(play, matches)
