"""A worker that asks one judge all that its card wants to know, prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import Any

from actors.refs import JudgingRef
from actors.stability import stability
from actors.tally import TallyHandle
from factory.bias.probes import shown
from factory.judge_card.asking import STRANGER, Said, ask
from factory.judge_card.watch import WatchedJudge
from factory.judging.recording import Recorder
from schemas.results import Stability
from schemas.rows import Group, Label

#: The step's name in a tally.
STEP = "card"


class CardAsker:
    """Holds the judge. Without a tally it works in the process that makes it."""

    def __init__(self, ref: JudgingRef, tally: TallyHandle | None = None) -> None:
        self.ref = ref
        self.tally = tally
        with tally.loading(STEP, ref.name) if tally else nullcontext():
            judge, recorder = ref.recorded()
        assert isinstance(recorder, Recorder)  # a panel has no card: its members have
        self.recorder = recorder
        self.judge = WatchedJudge(judge)

    def ask(self, group: Group, other: Group) -> dict[str, Any]:
        """What the judge says of one prompt, and its replies, as plain values for JSON."""
        prompt_id = group.prompt.prompt_id
        with self.tally.busy(STEP, [prompt_id]) if self.tally else nullcontext() as done:
            said, replies = ask(self.judge, self.recorder, group, other)
            if done is not None and said.error is not None and not said.is_refused:
                done.fail(prompt_id, said.error)
        plain = said.to_dict()
        plain["replies"] = [asdict(one) for one in replies]
        return plain


def said_in(plain: dict[str, Any]) -> Said:
    """What `CardAsker.ask` told, without the replies."""
    return Said.from_dict({key: value for key, value in plain.items() if key != "replies"})


def stability_of_groups(
    ref: JudgingRef, groups: Sequence[tuple[Group, Group]], others: dict[str, Any]
) -> Stability:
    """How far the answers of a judge move with how it is run, on each prompt's own output against
    another prompt's: no label is needed, since only its answers are compared.

    Args:
        ref: of the judge.
        groups: prompts, each with the one that lends the other side.
        others: the same judge by other engines, by their names, or why there is none.
    """
    return stability(ref, [label_of(*both) for both in groups], others)


def label_of(group: Group, other: Group) -> Label:
    """The prompt's own output and another's, as a label to ask about."""
    own, stranger = shown(group)[0], shown(other)[0]
    stranger = replace(stranger, candidate_id=f"{stranger.candidate_id}{STRANGER}")
    return Label(
        f"{group.prompt.prompt_id} card",
        group.prompt,
        "by construction",
        own.media,
        stranger.media,
        "first",
        first_answer=own.answer,
        second_answer=stranger.answer,
    )
