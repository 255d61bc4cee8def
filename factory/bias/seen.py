"""Observations of very many groups as columns, on the machine's disk and a few at a time in memory.

    Observation (one group) -> Packed (some, from a worker) -> Seen (all) -> Block (some, in order)

An `Observation` of 8 candidates takes a Python process about 10 kB, the same numbers as columns
about 1 kB, and those lie in scratch files. What is estimated of groups is a function of sums by
prompt, so it goes through the blocks one after the other and adds up. Groups are in the order of
their prompts' ids, whichever worker was first.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from factory.bias.observation import NAMES, Observation
from factory.scratch import Scratch
from factory.statistics.intervals import Array

Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

GROUPS_AT_ONCE = 4096
#: The columns of each kind of row, and how many numbers a row has.
_CANDIDATES = {"looks": len(NAMES), "scores": 1}
_MATCHUPS = {"sides": 2, "p": 3, "logits": 1, "positions": 1, "slot_rates": 1, "is_flipped": 1}
_GIVEN = {"given_by": 1, "given_to": 1, "given": 1}
_KINDS: tuple[Mapping[str, int], ...] = (_CANDIDATES, _MATCHUPS, _GIVEN)


@dataclass(frozen=True, eq=False)
class Packed:
    """Some observations as columns, with words of their own, to travel from a worker.

    prompt_ids, tags: of each group.
    makers, judges: what codes stand for.
    num_rows: candidates, matchups and given scores of each group, [g, 3].
    columns: by name, flat.
    num_unreadable: meetings without a readable verdict in both orders.
    """

    prompt_ids: Sequence[str]
    tags: Sequence[Mapping[str, str]]
    makers: Sequence[str]
    judges: Sequence[str]
    num_rows: Codes
    columns: Mapping[str, Array]
    num_unreadable: int

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> Packed:
        """Observations, packed."""
        column = {name: at for at, name in enumerate(NAMES)}
        makers: dict[str, int] = {}
        judges: dict[str, int] = {}
        columns: dict[str, list[Any]] = {name: [] for kind in _KINDS for name in kind}
        num_rows = []
        for one in observations:
            for maker in one.generators.values():
                makers.setdefault(maker, len(makers))
            # Those with a score come first, in the order of the scores: so are pairs made of them.
            ids = list(dict.fromkeys([*one.scores, *one.attributes, *_met(one)]))
            place = {name: at for at, name in enumerate(ids)}
            for name in ids:
                look = [np.nan] * len(NAMES)
                for attribute, value in one.attributes.get(name, {}).items():
                    look[column[attribute]] = value
                columns["looks"] += look
                columns["scores"].append(one.scores.get(name, np.nan))
            for met in one.matchups:
                columns["sides"] += [place[met.first_id], place[met.second_id]]
                columns["p"] += [met.p_first, met.p_second, met.p_tie]
                columns["logits"].append(met.logit)
                columns["positions"].append(met.logit_position)
                columns["slot_rates"].append(met.first_slot_rate)
                columns["is_flipped"].append(met.is_flipped)
            num_given = 0
            for judge, scores in one.scores_by.items():
                mean = float(np.mean(list(scores.values())))
                for name, value in scores.items():
                    columns["given_by"].append(judges.setdefault(judge, len(judges)))
                    columns["given_to"].append(makers[one.generators[name]])
                    columns["given"].append(value - mean)
                num_given += len(scores)
            num_rows.append((len(ids), len(one.matchups), num_given))
        return cls(
            [one.prompt_id for one in observations],
            [one.tags for one in observations],
            list(makers),
            list(judges),
            np.array(num_rows, np.int64).reshape(-1, len(_KINDS)),
            {name: np.array(values, np.float64) for name, values in columns.items()},
            sum(one.num_unreadable for one in observations),
        )


def _met(one: Observation) -> Iterator[str]:
    for met in one.matchups:
        yield from (met.first_id, met.second_id)


@dataclass(frozen=True, eq=False)
class Block:
    """Some groups: g of them, with c candidates, m matchups and s scores by any of several judges.

    prompts: which of all prompts each group is of, in the order of their ids, [g].
    tags: of each key the code of the value, -1 for none, [g].
    group: of each candidate, [c].
    looks: attributes, NaN where there are none, [c, K].
    scores: readable points by the judge at work, else NaN, [c].
    met: the group of each matchup, [m].
    sides: its candidates, [m, 2].
    p: of first, second and tie, [m, 3].
    logits, positions, slot_rates, is_flipped: as of a `Matchup`, [m].
    given_in: the group of a score by any judge, [s].
    given_by, given_to: judge and generator, [s].
    given: points beyond the judge's mean in the group, [s].
    """

    prompts: Codes
    tags: Mapping[str, Codes]
    group: Codes
    looks: Array
    scores: Array
    met: Codes
    sides: Codes
    p: Array
    logits: Array
    positions: Array
    slot_rates: Array
    is_flipped: Flags
    given_in: Codes
    given_by: Codes
    given_to: Codes
    given: Array

    @property
    def is_scored(self) -> Flags:
        """Whether each candidate has a readable score, [c]."""
        return ~np.isnan(self.scores)

    @property
    def is_seen(self) -> Flags:
        """Whether anything could be measured of each candidate, [c]."""
        return np.asarray(~np.isnan(self.looks).all(axis=1))

    @property
    def verdicts(self) -> Codes:
        """What each matchup says, as `Duel.preference`: 0 for first, 1 second, 2 tie, [m]."""
        first, second, tie = self.p.T
        is_tie = (tie >= np.maximum(first, second)) | (first == second)
        return np.where(is_tie, 2, np.where(first > second, 0, 1))

    def scored_pairs(self) -> tuple[Codes, Codes]:
        """Every two candidates of one group that have a score, as rows of them, [n] and [n]."""
        rows = np.flatnonzero(self.is_scored)
        sizes = np.bincount(self.group[rows], minlength=len(self.prompts))
        begins = np.cumsum(sizes) - sizes
        firsts, seconds = [], []
        for size in np.unique(sizes[sizes > 1]).tolist():
            within = np.array(list(itertools.combinations(range(size), 2)))
            at = begins[sizes == size][:, None]
            firsts.append(rows[at + within[:, 0]].ravel())
            seconds.append(rows[at + within[:, 1]].ravel())
        if not firsts:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate(firsts), np.concatenate(seconds)


class Seen:
    """Observations of all groups.

    names: of the attributes, K.
    makers, judges, values: what the codes of blocks stand for; values are those of each tag's key.
    num_prompts: different ones.
    num_unreadable: meetings without a readable verdict in both orders.

    Args:
        packed: in any order.
    """

    def __init__(self, packed: Iterable[Packed]) -> None:
        self.names = NAMES
        self.num_unreadable = 0
        self._makers, self._judges = _Words(), _Words()
        self._values: dict[str, _Words] = {}
        ids: list[npt.NDArray[np.bytes_]] = [np.empty(0, "S1")]
        num_rows = [np.empty((0, len(_KINDS)), np.int64)]
        tags: dict[str, list[tuple[int, Codes]]] = {}
        came = {name: Scratch(np.float64) for kind in _KINDS for name in kind}
        num = 0
        for one in packed:
            ids.append(np.array([name.encode() for name in one.prompt_ids], np.bytes_))
            num_rows.append(one.num_rows)
            for key in sorted({key for tagged in one.tags for key in tagged}):
                words = self._values.setdefault(key, _Words())
                codes = words.codes(tagged.get(key) for tagged in one.tags)
                tags.setdefault(key, []).append((num, codes))
            for name, values in self._in_our_words(one).items():
                came[name].add(values)
            self.num_unreadable += one.num_unreadable
            num += len(one.prompt_ids)
        every = np.concatenate(ids)
        order = np.argsort(every, kind="stable")
        _, prompts = np.unique(every, return_inverse=True)
        self.num_prompts = int(prompts.max(initial=-1)) + 1
        self._prompts: Codes = prompts[order]
        self._tags = {key: _joined(parts, num)[order] for key, parts in tags.items()}
        came_rows = np.concatenate(num_rows)
        self._num_rows: Codes = came_rows[order]
        self._ends: Codes = np.cumsum(self._num_rows, axis=0)
        self._columns = _sorted(came, came_rows, order)

    def __len__(self) -> int:
        return len(self._prompts)

    @property
    def makers(self) -> list[str]:
        return self._makers.all()

    @property
    def judges(self) -> list[str]:
        return self._judges.all()

    @property
    def values(self) -> dict[str, list[str]]:
        return {key: words.all() for key, words in self._values.items()}

    def num_tagged(self) -> dict[tuple[str, str], int]:
        """Groups by key and value of a tag."""
        return {
            (key, value): int(num)
            for key, codes in self._tags.items()
            for value, num in zip(
                self._values[key].all(), np.bincount(codes[codes >= 0]).tolist(), strict=True
            )
        }

    def blocks(self) -> Iterator[Block]:
        """The groups in the order of their prompts' ids, a few thousand at a time."""
        for begin in range(0, len(self), GROUPS_AT_ONCE):
            yield self._block(begin, min(begin + GROUPS_AT_ONCE, len(self)))

    def _in_our_words(self, one: Packed) -> dict[str, Array]:
        columns = dict(one.columns)
        for name, words, own in (
            ("given_to", self._makers, one.makers),
            ("given_by", self._judges, one.judges),
        ):
            codes = words.codes(own)
            columns[name] = codes[columns[name].astype(np.int64)].astype(np.float64)
        return columns

    def _block(self, begin: int, end: int) -> Block:
        num_rows = self._num_rows[begin:end]
        found: dict[str, Any] = {}
        for at, kind in enumerate(_KINDS):
            first = int(self._ends[begin - 1, at]) if begin else 0
            last = int(self._ends[end - 1, at])
            for name, width in kind.items():
                flat = np.array(self._columns[name][first * width : last * width])
                found[name] = flat if width == 1 else flat.reshape(last - first, width)
        group, met, given_in = (np.repeat(np.arange(end - begin), num) for num in num_rows.T)
        starts = np.cumsum(num_rows[:, 0]) - num_rows[:, 0]
        return Block(
            prompts=self._prompts[begin:end],
            tags={key: codes[begin:end] for key, codes in self._tags.items()},
            group=group,
            looks=found["looks"],
            scores=found["scores"],
            met=met,
            sides=found["sides"].astype(np.int64) + starts[met][:, None],
            p=found["p"],
            logits=found["logits"],
            positions=found["positions"],
            slot_rates=found["slot_rates"],
            is_flipped=found["is_flipped"].astype(np.bool_),
            given_in=given_in,
            given_by=found["given_by"].astype(np.int64),
            given_to=found["given_to"].astype(np.int64),
            given=found["given"],
        )


class PromptSums:
    """Sums of rows by prompt, row by row in the order in which they come.

    num: rows so far.

    Args:
        seen: whose prompts they are.
        num_terms: numbers of each row, K.
    """

    def __init__(self, seen: Seen, num_terms: int) -> None:
        self.num = 0
        self._sums = np.zeros((seen.num_prompts, num_terms))
        self._has = np.zeros(seen.num_prompts, np.bool_)

    def add(self, prompts: Codes, *terms: Array | Flags) -> None:
        """Rows of a block.

        Args:
            prompts: of each row, [n].
            terms: K columns of them, [n] each.
        """
        if not len(prompts):
            return
        first, last = int(prompts.min()), int(prompts.max())
        self.num += len(prompts)
        self._has[prompts] = True
        for column, values in enumerate(terms):
            sums = np.bincount(prompts - first, values, last - first + 1)
            self._sums[first : last + 1, column] += sums

    def all(self) -> Array:
        """The sums of each prompt that has rows, [P, K]."""
        return self._sums[self._has]


def as_seen(observations: Seen | Iterable[Observation]) -> Seen:
    """Observations as columns, whichever they are."""
    if isinstance(observations, Seen):
        return observations
    return Seen([Packed.of(list(observations))])


class _Words:
    """Words as numbers, in the order in which they came."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def codes(self, words: Iterable[str | None]) -> Codes:
        """The number of each, -1 for None."""
        known = self._known
        return np.array(
            [-1 if one is None else known.setdefault(one, len(known)) for one in words], np.int64
        )

    def all(self) -> list[str]:
        return list(self._known)


def _joined(parts: Sequence[tuple[int, Codes]], num: int) -> Codes:
    """Codes of `num` groups, from those of some stretches of them; -1 elsewhere."""
    found = np.full(num, -1, np.int64)
    for begin, codes in parts:
        found[begin : begin + len(codes)] = codes
    return found


def _sorted(came: Mapping[str, Scratch], num_rows: Codes, order: Codes) -> dict[str, Array]:
    """Columns with the rows of each group in the place that the group has in `order`."""
    found: dict[str, Array] = {}
    for at, kind in enumerate(_KINDS):
        begins = np.cumsum(num_rows[:, at]) - num_rows[:, at]
        for name, width in kind.items():
            column, kept = came[name].array(), Scratch(np.float64)
            for start in range(0, len(order), GROUPS_AT_ONCE):
                groups = order[start : start + GROUPS_AT_ONCE]
                rows = _ranges(begins[groups] * width, num_rows[groups, at] * width)
                kept.add(column[rows])
            found[name] = kept.array()
    return found


def _ranges(begins: Codes, sizes: Codes) -> Codes:
    """Runs of whole numbers, one after the other: from each of `begins`, as many as `sizes`."""
    offsets = np.cumsum(sizes) - sizes
    return np.repeat(begins - offsets, sizes) + np.arange(int(sizes.sum()))
