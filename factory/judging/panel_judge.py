"""A panel before one prompt's candidates: every member is asked, and their verdicts are fused.

What each member said stays with the verdict that was made of it (`Score.members`,
`Duel.members`), and each member has a recorder of its own: replies are kept, and taken over, as if
it had judged alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from factory.judging.panel import PanelWeights, Scale, TaskWeights, fused_duel, fused_score
from factory.judging.recording import Ledger, Recorder
from factory.judging.specification import JudgeSpecification, conditioning
from factory.protocols import Judge, Sitting, scores_of
from schemas.rows import Candidate, Duel, Prompt, Reply, Score, Task

#: The panel's own scale where no member has one.
_OWN_SCALE = Scale(0.0, 1.0)


@dataclass(frozen=True)
class Member:
    """One judge of a panel; its specification, where one says how it is asked."""

    judge: Judge
    specification: JudgeSpecification | None = None

    def scale(self, task: Task) -> Scale:
        """Of its scores; none known of a judge without a specification."""
        if self.specification is None:
            return Scale()
        scale = self.specification.task(task).scale
        return Scale(float(scale[0]), float(scale[-1]))

    def shown(self, prompt: Prompt, candidates: Sequence[Candidate]) -> Prompt:
        """The prompt that it holds the candidates against."""
        asked = self.specification
        if asked is None or asked.task(prompt.task).prompt == "original":
            return prompt
        return conditioning(prompt, candidates)


@dataclass(frozen=True)
class PanelJudge:
    """Several judges as one. Scores lie on the scale of the first member that has one."""

    name: str
    members: tuple[Member, ...]
    weights: PanelWeights

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> PanelSitting:
        sittings = [
            one.judge.sit(one.shown(prompt, candidates), candidates) for one in self.members
        ]
        return PanelSitting(self, prompt.task, sittings)


class PanelSitting:
    """One prompt's candidates before a `PanelJudge`."""

    def __init__(self, panel: PanelJudge, task: Task, sittings: Sequence[Sitting]) -> None:
        self.panel = panel
        self.task = task
        self.sittings = sittings
        self.scales = [one.scale(task) for one in panel.members]
        self.scale = next((one for one in self.scales if one.is_known), _OWN_SCALE)

    @property
    def weights(self) -> TaskWeights:
        return self.panel.weights.task(self.task)

    def about(self, prompt: Prompt) -> PanelSitting:
        return PanelSitting(self.panel, self.task, [one.about(prompt) for one in self.sittings])

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        said = [scores_of(one, indices) for one in self.sittings]
        made = []
        for members in zip(*said, strict=True):
            scales = (self.scales, self.scale)
            fused = fused_score(members, self.panel.name, self.weights, *scales)
            made.append(replace(fused, members=members))
        return made

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        said = [one.duels(matches) for one in self.sittings]
        return [
            replace(fused_duel(members, self.panel.name, self.weights), members=members)
            for members in zip(*said, strict=True)
        ]


@dataclass
class PanelLedger:
    """What the members of a panel said while their ledgers were open."""

    ledgers: Sequence[Ledger]

    @contextmanager
    def opened(self) -> Iterator[None]:
        """As `Ledger.opened`, for every member."""
        with ExitStack() as opened:
            for one in self.ledgers:
                opened.enter_context(one.opened())
            yield

    @property
    def replies(self) -> tuple[Reply, ...]:
        """Of one member after the other."""
        return tuple(reply for one in self.ledgers for reply in one.replies)

    @property
    def num_asked(self) -> int:
        return sum(one.num_asked for one in self.ledgers)

    @property
    def num_taken(self) -> int:
        return sum(one.num_taken for one in self.ledgers)

    @property
    def model_s(self) -> float:
        return sum(one.model_s for one in self.ledgers)


class PanelRecorder:
    """The recorders of a panel's members as one. It has no specification: members have theirs."""

    specification: None = None

    def __init__(self, recorders: Sequence[Recorder]) -> None:
        self.recorders = recorders

    @contextmanager
    def open(self, at_hand: Sequence[Reply] = ()) -> Iterator[PanelLedger]:
        """As `Recorder.open`."""
        ledger = self.ledger_for(at_hand)
        with ledger.opened():
            yield ledger

    def ledger_for(self, at_hand: Sequence[Reply] = ()) -> PanelLedger:
        """As `Recorder.ledger_for`: each member finds its own among the replies by their keys."""
        return PanelLedger([one.ledger_for(at_hand) for one in self.recorders])
