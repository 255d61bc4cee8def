"""Asking a judge: about labels, from a table of rows to a table of opinions, by probes, and against
the clock.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import pyarrow as pa

from actors.group_workers import one_thread_per_worker
from actors.media_store import MediaStore
from actors.refs import JudgeRef, ModelRef
from actors.tally import Piece, TallyHandle
from factory.bias.probes import Probe, Prober, Sample
from factory.protocols import Judge
from schemas.arrow import (
    groups_from_table,
    groups_to_table,
    labels_from_table,
    opinions_to_table,
)
from schemas.rows import Duel, Group, Label, Opinion, Score

#: Labels of one turn of a judge against the clock, and how many of them are not counted.
_TURN, _WARM_UP = 30, 5


class JudgeLabels:
    """Duels the sides of every pairwise label in both orders, and scores single sides.

    Reads label rows; writes for each a row of opinions by each judge, in the judges' order. With
    `with_scores`, the sides of pairs are scored as well.
    """

    def __init__(
        self, refs: Sequence[ModelRef[Judge]], tally: TallyHandle, with_scores: bool = False
    ) -> None:
        self.judges: list[Judge] = []
        for ref in refs:
            with tally.loading("opinions", ref.name):
                self.judges.append(ref.load())
        one_thread_per_worker()
        self.tally = tally
        self.with_scores = with_scores

    def __call__(self, table: pa.Table) -> pa.Table:
        labels = labels_from_table(table)
        with self.tally.busy("opinions", [one.label_id for one in labels]) as done:
            return opinions_to_table([one for label in labels for one in self._of(label, done)])

    def _of(self, label: Label, done: Piece) -> list[Opinion]:
        found = []
        for judge in self.judges:
            watch = done.model(label.label_id, judge.name)
            found.append(opinion_of(judge, label, with_scores=self.with_scores, watch=watch))
        errors = [one.error for one in found if one.error is not None]
        if errors:
            done.fail(label.label_id, errors[0])
        return found


def opinion_of(
    judge: Judge,
    label: Label,
    *,
    with_scores: bool,
    watch: AbstractContextManager[None] | None = None,
) -> Opinion:
    """What a judge makes of one label; whatever goes wrong is written into it.

    Args:
        judge: is asked.
        label: about which.
        with_scores: score the sides of a pair as well.
        watch: entered while the judge is at work.
    """
    scores: tuple[Score, ...] = ()
    duels: tuple[Duel, ...] = ()
    reason: str | None = None
    is_pair = label.preference is not None
    try:
        with watch or nullcontext():
            sitting = judge.sit(label.prompt, label.sides())
            if is_pair:
                duels = tuple(sitting.duels([(0, 1), (1, 0)]))
            if with_scores or not is_pair:
                scores = tuple(sitting.scores())
    except Exception as error:  # of anybody's code
        reason = f"{judge.name}: {type(error).__name__}: {error}"[:500]
    return Opinion(
        label_id=label.label_id,
        prompt_id=label.prompt.prompt_id,
        task=label.prompt.task,
        tags=label.prompt.tags,
        judge=judge.name,
        preference=label.preference,
        points=label.points,
        scores=scores,
        duels=duels,
        error=reason,
        weight=label.weight,
        dimensions=label.dimensions,
    )


def probe_groups(
    ref: JudgeRef,
    groups: Sequence[tuple[Group, Group | None]],
    sample: Sample,
    prober: Prober,
    tally: TallyHandle,
    store: MediaStore,
) -> list[Probe]:
    """Put a sample's probes to a judge; each group comes with another to borrow media from. Media
    that they refer to are brought in from `store`, one group after the other.
    """
    with tally.loading("probe", ref.name):
        judge = ref.load()
    one_thread_per_worker()
    found: list[Probe] = []
    for asked in groups:
        group, other = _with_media(asked, store)
        prompt_id = group.prompt.prompt_id
        with tally.busy("probe", [prompt_id]) as done:
            probes: list[Probe] = []
            if prompt_id in sample.media:
                probes += prober.media(judge, group, other)
            if prompt_id in sample.words:
                probes += prober.words(judge, group)
            if all(math.isnan(one.shift) for one in probes):
                done.fail(prompt_id, "no probe could be read")
        found += probes
    return found


def _with_media(asked: tuple[Group, Group | None], store: MediaStore) -> tuple[Group, Group | None]:
    rows = groups_to_table([one for one in asked if one is not None])
    group, *others = groups_from_table(store.bring_in(rows))
    return group, others[0] if others else None


def judgements_per_second(refs: Sequence[ModelRef[Judge]], table: pa.Table) -> list[float]:
    """How many labels each judge takes in a second of one thread: both scores, and the duel in both
    orders. The judges take turns, so that a machine that slows down slows them all; the first
    labels of a turn are not counted, since they pay for what the one before has driven out of the
    caches, and the very first ones for what is loaded late.
    """
    import torch

    one_thread_per_worker()
    # On a CPU the seconds that this process computed: another's work does not count.
    now = time.perf_counter if torch.cuda.is_available() else time.process_time
    judges = [ref.load() for ref in refs]
    seconds, num = [0.0 for _ in judges], 0
    labels = labels_from_table(table)
    for at in range(0, len(labels), _TURN):
        turn = labels[at : at + _TURN]
        for number, judge in enumerate(judges):
            for label in turn[:_WARM_UP]:
                opinion_of(judge, label, with_scores=True)
            began = now()
            for label in turn[_WARM_UP:]:
                opinion_of(judge, label, with_scores=True)
            seconds[number] += now() - began
        num += len(turn[_WARM_UP:])
    return [num / one if one else math.nan for one in seconds]
