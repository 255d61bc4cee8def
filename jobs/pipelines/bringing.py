"""A brought table to rows of its prompts: read, measured and stored by Ray tasks, piece by piece.

    table -> pieces -> groups of one row each, media in the store -> `_brought-….parquet`
          -> rows of one prompt, wherever they stand (`jobs.datasets.at_hand`)

A piece that is done leaves a note beside its rows; a run that was killed does the others. A row
that cannot be used is set aside with file, row, column and reason, in `_invalid.jsonl`; a medium
that cannot be read fails its candidate alone. This process holds no medium, 8 bytes of a row, and
of text tables the rows that are on their way.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

import numpy as np

from actors.hub_data import HubDataError
from actors.media_store import MediaStore, media_store, without_bytes
from actors.storage import write_whole
from factory.brought.candidates import RowReader
from factory.brought.cells import Cells, Columns, RowFault, ScaleError, listed
from factory.brought.verdicts import JudgedRowReader
from factory.ids import to_text
from factory.labels.streams import BrokenRow
from factory.prompt_parts import Need, needs_of
from factory.scratch import Scratch
from jobs.datasets.at_hand import prompt_ids
from jobs.datasets.brought import Piece, Table, find_table
from jobs.datasets.files import row_batches, write_table
from jobs.datasets.measured import each_in_a_task
from jobs.datasets.writing import patiently
from jobs.rounds.workspace import InputError
from schemas.arrow import groups_to_table, prompt_from_row
from schemas.columns import PROMPTS
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Candidates, Judged, JudgedColumn, Recipe
from schemas.rows import Group, Prompt, Task

#: Rows that are set aside, with why.
INVALID = "_invalid.jsonl"
_BROUGHT = "_brought"
_BYTES_AT_ONCE = 64 * 1024**2  # of media, that a worker holds
_ROWS_A_FILE = 1024
_ROWS_LOOKED_AT = 20
_LEAST_ROWS = 32  # before the share of those set aside is looked at
_THREADS = 16
_LINE_S = 30.0

Spec = Candidates | Judged


@dataclass(frozen=True)
class Bringing:
    """What is brought along, and how its rows are read; it travels to workers.

    key: of the recipe.
    """

    key: str
    table: Table
    reader: RowReader
    columns: tuple[str, ...]

    def parent(self) -> Parent:
        """The table, as a parent of what is made of it."""
        return Parent(self.key.rpartition(".")[2], str(self.table), self.table.digest())


def bringing(spec: Spec, key: str) -> Bringing:
    """What a section of the recipe brings along.

    Raises:
        InputError: there is no such table, or it lacks a column; names both.
    """
    columns: Columns = {str(name): given for name, given in spec.columns.items()}
    reader = RowReader(columns, spec.task)
    if isinstance(spec, Judged):
        reader = JudgedRowReader(columns, spec.task, spec.address, spec.scale, spec.values)
    return Bringing(key, find_table(spec, key), reader, _columns_read(columns))


def _columns_read(columns: Columns) -> tuple[str, ...]:
    """Every column that may be looked at, by its own name and by that of what holds the field."""
    names: dict[str, None] = {}
    for key in get_args(JudgedColumn):
        given = columns.get(key, key)
        for name in [given] if isinstance(given, str) else given:
            names |= dict.fromkeys((name, name.partition(".")[0]))
    return tuple(names)


# ------------------------------------------------------------------------------------- the plan


@dataclass(frozen=True)
class Look:
    """What the first rows of a brought table tell, before any of it is worked on.

    path: of the table, for messages.
    columns: that it has.
    num_rows: of all of it, where its files say so.
    num_looked_at, faults: rows that were tried, and why some cannot be used.
    tasks, needs: of their prompts; of a need, the first row that has it.
    num_failed: candidates among them whose medium cannot be read.
    has_scores, has_duels: whether any of them was scored, or compared with another.
    """

    path: str
    columns: tuple[str, ...]
    num_rows: int | None
    num_looked_at: int
    faults: tuple[str, ...]
    tasks: frozenset[Task]
    needs: Mapping[Need, int]
    num_failed: int
    has_scores: bool
    has_duels: bool

    def __str__(self) -> str:
        rows = "rows" if self.num_rows is None else f"{self.num_rows} rows"
        text = (
            f"{rows} of {self.path} ({', '.join(self.columns)}; "
            f"{', '.join(sorted(self.tasks))}) brought along"
        )
        if self.faults:
            num = f"{len(self.faults)} of the first {self.num_looked_at}"
            text += f", of which {num} cannot be used: {self.faults[0]}"
        if self.num_failed:
            text += f", {self.num_failed} candidates of the first rows cannot be read"
        return text


def look(what: Bringing) -> Look:
    """Try the first rows.

    Raises:
        InputError: a column is missing, or none of these rows can be used.
    """
    table, key = what.table, what.key
    head = table.head(_ROWS_LOOKED_AT)
    if not head:
        raise InputError(f"{key}.path: {table}: holds no rows")
    columns = table.columns()
    whole = [row for _, row in head if isinstance(row, dict)]
    if whole:  # broken ones do not tell the columns of some formats
        _check_columns(what, columns)
        _check_fields(what, whole, columns)
    groups, faults = [], []
    needs: dict[Need, int] = {}
    read = partial(table.folder.medium, table.files[0])
    for number, (where, row) in enumerate(head, start=1):
        try:
            if isinstance(row, BrokenRow):
                raise RowFault("row", row.reason)
            group = what.reader(row, read)
        except RowFault as fault:
            faults.append(f"{where}: {fault}")
            continue
        except ScaleError as error:
            raise InputError(f"{key}: {where}: {error}") from None
        groups.append(group)
        for need in needs_of(group.prompt):
            needs.setdefault(need, number)
    if not groups:
        raise InputError(f"{key}: none of the first {len(head)} rows can be used: {faults[0]}")
    errors = [one.error for group in groups for one in group.candidates]
    if errors and all(errors):
        raise InputError(
            f"{key}: no candidate of the first {len(head)} rows can be used: {errors[0]}"
        )
    return Look(
        str(table),
        tuple(columns),
        table.num_rows(),
        len(head),
        tuple(faults),
        frozenset(group.prompt.task for group in groups),
        needs,
        sum(one is not None for one in errors),
        any(group.scores for group in groups),
        any(group.duels for group in groups),
    )


def _check_columns(what: Bringing, there: Sequence[str]) -> None:
    """Refuse a table that lacks a column that the recipe names, or one that every row needs."""
    told = f"there are: {', '.join(there)}"
    columns = what.reader.columns
    in_items = columns.get("candidates")
    for key, given in columns.items():
        for name in [given] if isinstance(given, str) else given:
            is_there = name in there or name.partition(".")[0] in there
            if not is_there and (in_items is None or key in ("candidates", "prompt")):
                raise InputError(
                    f"{what.key}.columns.{key}: {what.table} has no column {name!r}; {told}"
                )
    if "prompt" not in columns and "prompt" not in there:
        raise InputError(
            f"{what.key}.columns: {what.table} has no column 'prompt': say which holds it, "
            f"as columns: {{prompt: NAME}}; {told}"
        )
    if in_items is None and not any(key in columns or key in there for key in ("media", "answer")):
        raise InputError(
            f"{what.key}.columns: {what.table} has no column 'media' or 'answer': say which "
            f"holds the candidates, as columns: {{media: NAME}}; {told}"
        )


def _check_fields(what: Bringing, rows: Sequence[Mapping[str, Any]], there: Sequence[str]) -> None:
    """The same of the items of a list of candidates, as far as the first rows tell."""
    columns = what.reader.columns
    if "candidates" not in columns:
        return
    fields: dict[str, None] = {}
    for row in rows:
        try:
            for item in listed(Cells(row, columns)):
                fields |= dict.fromkeys(item if isinstance(item, dict) else ())
        except RowFault:
            continue  # the row says so itself
    for key, given in columns.items():
        for name in [given] if isinstance(given, str) else given:
            if fields and not {name, name.partition(".")[0]} & {*fields, *there}:
                raise InputError(
                    f"{what.key}.columns.{key}: {what.table} has no column {name!r}, nor "
                    f"have the items of {columns['candidates']!r} such a field; fields there are: "
                    f"{', '.join(fields)}; columns: {', '.join(there)}"
                )


# ------------------------------------------------------------------------------------- the work


class BroughtPrompts:
    """The prompts of brought rows, each once, in the order in which they first come: gone through
    without holding them. 8 bytes of each row are kept.

    files: that hold the rows.
    """

    def __init__(self, files: Sequence[Place]) -> None:
        self.files = tuple(files)
        ids, nums = Scratch(np.uint64), []
        with ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(prompt_ids, self.files):
                ids.add(found)
                nums.append(len(found))
        every = ids.array()
        self._is_first = np.zeros(len(every), np.bool_)
        self._is_first[np.unique(every, return_index=True)[1]] = True
        self._ids = every[self._is_first]
        self._ends = np.cumsum(nums, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Prompt]:
        begin = 0
        for path, end in zip(self.files, self._ends.tolist(), strict=True):
            left_out = np.flatnonzero(~self._is_first[begin:end])
            begin = end
            for batch in row_batches(path, 256, PROMPTS.names, left_out):
                yield from map(prompt_from_row, batch.to_pylist())

    def ids(self) -> Iterator[str]:
        """Their ids, in the same order."""
        return map(to_text, self._ids)


@dataclass(frozen=True)
class Brought:
    """What was brought along.

    prompts: of its rows, which lie in `prompts.files`.
    counts: rows, and those that were set aside; candidates, and those that failed.
    """

    prompts: BroughtPrompts
    counts: Mapping[str, int]


def bring(what: Bringing, directory: Place, recipe: Recipe) -> Brought:
    """Read, measure and store all rows of a table, but for those that an earlier run has done.

    Args:
        what: is brought along.
        directory: gets the rows, and a note of those that cannot be used.
        recipe: for the layout, and the share of rows that may be unusable.

    Raises:
        InputError: a file cannot be read, no row can be used, or more than
            `produce.max_failed_share` cannot.
    """
    directory.mkdir(parents=True, exist_ok=True)
    done = {path.name for path in directory.glob(f"{_BROUGHT}-*.json")}
    store = media_store(directory, recipe.storage.max_inline_bytes)
    names: list[str] = []
    counts = Counter[str]()
    most = recipe.produce.max_failed_share

    def todo() -> Iterator[Piece]:
        for piece in what.table.pieces(what.columns):
            names.append(f"{_BROUGHT}-{piece.name}")
            if f"{names[-1]}.json" not in done:
                yield piece

    said = time.monotonic()
    for note in _told_here(each_in_a_task(_bring_piece, todo(), what, directory, store)):
        counts.update(note["counts"])
        _check_share(what, counts, note["set_aside"], most)
        if time.monotonic() - said >= _LINE_S:
            said = time.monotonic()
            print(f"{directory.name}: {_told(counts)} brought along so far", flush=True)
    notes = list(_read_notes(directory, sorted(names)))
    counts = Counter[str]()
    for note in notes:
        counts.update(note["counts"])
    aside = [line for note in notes for line in note["set_aside"]]
    _check_share(what, counts, aside, most)
    if counts["rows"] == counts["set_aside"]:
        why = aside[0]["reason"] if aside else "it has none"
        raise InputError(f"{what.key}: no row of {what.table} can be used: {why}")
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in aside)
    if lines:
        write_whole(directory / INVALID, lines.encode())
        first = aside[0]
        print(
            f"{directory.name}: {len(aside)} of {counts['rows']} rows were set aside "
            f"({directory / INVALID}); {first['file']}: row {first['row']}: {first['reason']}",
            flush=True,
        )
    files = [directory / name for note in notes for name in note["files"]]
    found = Brought(BroughtPrompts(files), counts)
    print(
        f"{directory.name}: {_told(counts)} brought along, of {len(found.prompts)} prompts",
        flush=True,
    )
    return found


def _told_here(notes: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Notes as they come; what a worker says of its input is said as it said it."""
    from ray.exceptions import RayTaskError

    try:
        yield from notes
    except RayTaskError as error:
        if isinstance(error.cause, InputError | HubDataError):
            raise error.cause from None
        raise


def clear_notes(directory: Place) -> None:
    """Delete what tells which pieces are done, once nobody will ask."""
    for path in list(directory.glob(f"{_BROUGHT}-*.json")):
        path.unlink(missing_ok=True)


def _told(counts: Mapping[str, int]) -> str:
    text = f"{counts['candidates']} candidates of {counts['rows']} rows"
    return f"{text} ({counts['failed']} failed)" if counts["failed"] else text


def _check_share(
    what: Bringing, counts: Mapping[str, int], aside: Sequence[Mapping[str, Any]], most: float
) -> None:
    num, num_rows = counts["set_aside"], counts["rows"]
    if num_rows >= _LEAST_ROWS and num > most * num_rows:
        examples = "; ".join(f"row {one['row']}: {one['reason']}" for one in aside[:3])
        raise InputError(
            f"{what.key}: {num} of {num_rows} rows of {what.table} cannot be used, more than "
            f"produce.max_failed_share: {most:g} allows. {examples}"
        )


def _bring_piece(
    piece: Piece, what: Bringing, directory: Place, store: MediaStore
) -> dict[str, Any]:
    """The rows of a piece as files of groups, and a note of them, written last."""
    name = f"{_BROUGHT}-{piece.name}"
    counts = Counter[str]()
    aside: list[dict[str, Any]] = []
    files: list[str] = []
    few: list[Group] = []
    num_bytes = 0

    def write() -> None:
        file = f"{name}-{len(files):04d}.parquet"
        kept = store.keep(groups_to_table(few))
        patiently(directory / file, lambda: write_table(directory / file, without_bytes(kept)))
        files.append(file)

    read = partial(what.table.folder.medium, piece.file)
    for where, number, row in what.table.rows(piece, what.columns):
        counts["rows"] += 1
        try:
            if isinstance(row, BrokenRow):
                raise RowFault("row", row.reason)
            group = what.reader(row, read)
        except ScaleError as error:
            raise InputError(f"{what.key}: {where}: row {number}: {error}") from None
        except RowFault as fault:
            counts["set_aside"] += 1
            aside.append({"file": where, "row": number, "key": fault.key, "reason": str(fault)})
            continue
        counts["candidates"] += len(group.candidates)
        counts["failed"] += sum(one.error is not None for one in group.candidates)
        few.append(group)
        num_bytes += sum(one.measures.num_bytes for one in group.candidates if one.measures)
        if num_bytes >= _BYTES_AT_ONCE or len(few) >= _ROWS_A_FILE:
            write()
            few, num_bytes = [], 0
    if few:
        write()
    note = {"counts": dict(counts), "set_aside": aside, "files": files}
    write_whole(directory / f"{name}.json", json.dumps(note).encode())
    return note


def _read_notes(directory: Place, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    with ThreadPoolExecutor(_THREADS) as pool:
        texts = pool.map(lambda name: (directory / f"{name}.json").read_text(), names)
        yield from map(json.loads, texts)
