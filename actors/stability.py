"""Asking a judge the same in several ways: alone, in company, in another precision, by another
engine. What each way changes is measured in `factory.evaluation.stability`.

    stability(ref, labels) -> Stability

One process holds one judge after the other. A way that a judge has no means for is named with the
reason, and so is one that fails: a table that is silent about a way would pass for a good one.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pyarrow as pa

from actors.group_workers import one_thread_per_worker
from actors.judge_workers import opinion_of
from actors.memory import reason
from actors.refs import ModelRef
from actors.storage import local_model
from factory.evaluation.stability import compare, num_unread
from factory.protocols import Judge, Sitting, scores_of
from schemas.arrow import labels_from_table
from schemas.results import Stability, Variant
from schemas.rows import Candidate, Duel, Label, Opinion, Prompt, Score

#: Sides of other labels that sit beside those of a label, where it is asked in company.
_COMPANY = 4
_PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Way:
    """A way of asking.

    name: in words.
    ref: what travels to a worker that is to load the judge so; None where there is none.
    has_company: whether the sides of other labels sit beside those of each.
    why_not: the reason, where there is no `ref`.
    """

    name: str
    ref: ModelRef[Judge] | None
    has_company: bool = False
    why_not: str = ""


def stability(
    ref: ModelRef[Judge],
    labels: Sequence[Label],
    others: Mapping[str, ModelRef[Judge] | str] | None = None,
) -> Stability:
    """Ask a judge about labels as `ref` says, and then in each other way that there is.

    Args:
        ref: what loads the judge (`actors.refs`): asked anew in other batches and precisions where
            it says `max_batch` and `precision`.
        labels: pairs are asked about in both orders, and every side is scored.
        others: the same judge by another engine, by its name, or why there is none.

    Raises:
        Exception: whatever hinders the judge from loading as `ref` says. What hinders another way
            is told in its row.
    """
    one_thread_per_worker()
    how = _baseline(ref)
    baseline = _opinions(Way(how, ref), labels)
    ways = (*_ways(ref), *_engines(others or {}))
    return Stability(
        getattr(ref, "address", ref.name),
        how,
        len(labels),
        num_unread(baseline),
        tuple(_variant(way, labels, baseline) for way in ways),
    )


def stability_of_table(
    ref: ModelRef[Judge], table: pa.Table, others: Mapping[str, ModelRef[Judge] | str]
) -> Stability:
    """`stability` of label rows with their media, for a worker."""
    return stability(ref, labels_from_table(table), others)


def _baseline(ref: ModelRef[Judge]) -> str:
    """How the judge is asked as `ref` says, in words."""
    how = "asked with both sides of a label in one batch"
    precision = getattr(ref, "precision", None)
    return how if precision is None else f"{how}, in {precision}"


def _ways(ref: ModelRef[Judge]) -> list[Way]:
    """Other batches, another precision, and the plain path beside the fast one."""
    alone = _changed(ref, "max_batch", lambda _: 1)
    no_batch = "this judge has no size of batch to set"
    precise = _changed(ref, "precision", _other_precision)
    told = getattr(precise, "precision", None)
    no_precision = "this judge has no precision to set"
    return [
        Way("one at a time", alone, why_not="" if alone else no_batch),
        Way("in company, with sides of other labels", ref, has_company=True),
        Way(
            "in another precision" if told is None else f"in {told}",
            precise,
            why_not="" if precise else no_precision,
        ),
        _plain(ref),
    ]


def _other_precision(precision: str) -> str:
    return next(one for one in _PRECISIONS if one != precision)


def _plain(ref: ModelRef[Judge]) -> Way:
    """By the model's own processor and forward pass, where there is a faster way of ours."""
    name, plain = "on the plain path", _changed(ref, "run", lambda _: "plain")
    if plain is None:
        return Way(name, None, why_not="this judge has one path")
    from actors.judges.eyes import has_eyes

    paths = [local_model(one.path) for one in _parts(ref) if hasattr(one, "run")]
    if not any(map(has_eyes, paths)):
        return Way(name, None, why_not="its family has no other path")
    return Way(name, plain)


def _engines(others: Mapping[str, ModelRef[Judge] | str]) -> list[Way]:
    return [
        Way(name, None, why_not=one) if isinstance(one, str) else Way(name, one)
        for name, one in others.items()
    ]


def _parts(ref: Any) -> tuple[Any, ...]:
    """The judge itself, or the members of a panel."""
    members: tuple[Any, ...] = getattr(ref, "members", (ref,))
    return members


def _changed(ref: Any, name: str, of: Callable[[Any], object]) -> ModelRef[Judge] | None:
    """The same judge with a setting changed, of a panel in all members that have it; None where
    there is no such setting.
    """
    parts = _parts(ref)
    if not any(hasattr(one, name) for one in parts):
        return None
    made = [
        replace(one, **{name: of(getattr(one, name))}) if hasattr(one, name) else one
        for one in parts
    ]
    found: ModelRef[Judge] = made[0]
    if hasattr(ref, "members"):
        found = replace(ref, members=tuple(made))
    return found


def _variant(way: Way, labels: Sequence[Label], baseline: Sequence[Opinion]) -> Variant:
    if way.ref is None:
        return Variant(way.name, way.why_not)
    _make_room()
    try:
        return compare(way.name, baseline, _opinions(way, labels))
    except Exception as error:  # of a library that lacks an operation in this precision, say
        return Variant(way.name, reason(error))


def _opinions(way: Way, labels: Sequence[Label]) -> list[Opinion]:
    assert way.ref is not None
    judge = way.ref.load()
    found = []
    for number, label in enumerate(labels):
        company = _sides_after(number, labels) if way.has_company else ()
        asked = _InCompany(judge, company) if company else judge
        found.append(opinion_of(asked, label, with_scores=True))
    return found


def _make_room() -> None:
    """Let go of the judge before: the next may need its memory."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _sides_after(number: int, labels: Sequence[Label]) -> list[Candidate]:
    """Sides of the labels that follow one, of the same task."""
    task = labels[number].prompt.task
    after = [*labels[number + 1 :], *labels[:number]]
    sides = [side for one in after if one.prompt.task == task for side in one.sides()]
    return [replace(side, candidate_id=f"other {at}") for at, side in enumerate(sides[:_COMPANY])]


@dataclass(frozen=True)
class _InCompany:
    """A judge before which others sit beside whoever it is asked about, and are asked about too."""

    judge: Judge
    others: Sequence[Candidate]

    @property
    def name(self) -> str:
        return self.judge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> _SittingInCompany:
        sitting = self.judge.sit(prompt, (*candidates, *self.others))
        return _SittingInCompany(sitting, len(candidates), len(self.others))


@dataclass(frozen=True)
class _SittingInCompany:
    """What is said of those asked about; what is said of the others is dropped."""

    sitting: Sitting
    num: int
    num_others: int

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        beside = pairwise(range(self.num, self.num + self.num_others))
        return self.sitting.duels([*matches, *beside])[: len(matches)]

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        wanted = range(self.num) if indices is None else indices
        beside = range(self.num, self.num + self.num_others)
        return scores_of(self.sitting, [*wanted, *beside])[: len(wanted)]

    def about(self, prompt: Prompt) -> _SittingInCompany:
        return replace(self, sitting=self.sitting.about(prompt))
