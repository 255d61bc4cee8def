"""Labels out of somebody else's rows, group by group: what each gives, and what is wrong with it.

    rows (foreign) -> records -> drafts (factory.labels) -> labels

Nothing that a row holds ends in an exception here, whatever its format makes of it. Media are read
from below one directory and from nowhere else: a row may not name a path outside of it, and nothing
is fetched.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from factory.labels.draft import Draft, Scale, content_of, fault_of, finish
from factory.labels.record import LabelError, Record
from factory.labels.registry import Format
from factory.labels.streams import BrokenRow, Row, together, within
from factory.plugins import one_line
from factory.prompt_parts import PartsError
from jobs.datasets.foreign import columns_of, numbered
from jobs.datasets.foreign_media import MediaFolder
from schemas.rows import Label, Origin

_ORIGIN = ("source", "license", "consent")  # as `Record.origin` reads them


@dataclass(frozen=True)
class RowGroup:
    """What became of rows that belong together, usually one.

    num_rows: how many they are.
    labels: that they give.
    faults: by the row's number, of rows that give none, or not all that they name.
    """

    num_rows: int
    labels: list[Label]
    faults: dict[int, LabelError]


@dataclass(frozen=True)
class LabelReader:
    """Reads files of one format.

    media: directory below which rows may name media; beside each file where None.
    heldout_share: of prompts.
    scale: of the points that come out; the source's own where None.
    origin: of all rows, but for what a row says itself.
    equal: how often each content was seen, in all files so far.
    """

    format: Format
    media: Path | None = None
    heldout_share: float = 0.2
    scale: Scale | None = None
    origin: Origin = field(default_factory=Origin)
    equal: Counter[str] = field(default_factory=Counter, compare=False, repr=False)

    def groups(self, path: Path, most: int | None = None) -> Iterator[RowGroup]:
        """The rows of a file, `most` of them at most, as labels and faults.

        Raises:
            InputError: the file, or all that is left of it, cannot be read.
        """
        columns = self.format.columns
        read = numbered(path, None if columns is None else (*columns, *_ORIGIN))
        read = within(read, self.format.inside)
        known = columns_of(path) if columns is not None else None
        folder = MediaFolder(self.media or path.parent, "--media")
        urls: dict[str, str] = {}
        for group in together(itertools.islice(read, most), self.format.group_by):
            made = RowGroup(len(group), [], {})
            records = []
            for number, row in group:
                where = f"{path}: row {number}"
                if isinstance(row, BrokenRow):
                    made.faults[number] = LabelError(f"{where}: {row.reason}", where)
                else:
                    records.append(Record(row, where, folder, known or (), urls))
            if records:
                for item in self._guarded(records):
                    if isinstance(item, Label):
                        made.labels.append(item)
                    else:
                        _blame(made, item, path, group)
            yield made

    def labels(self, records: Sequence[Record]) -> Iterator[Label | LabelError]:
        """The labels of records that belong together, and the faults of those that give none.

        Args:
            records: at least one.

        Raises:
            LabelError, PartsError: nothing can be made of any of them.
        """
        origin = self._origin(records[0])
        for draft in self.format.parse(records):
            if isinstance(draft, LabelError):
                yield draft
            elif (what := fault_of(draft)) is not None:
                where = records[0].where
                yield LabelError(f"{where}: {what}", where if len(records) == 1 else None)
            else:
                yield self._label(draft, records[0], origin)

    def _guarded(self, records: Sequence[Record]) -> Iterator[Label | LabelError]:
        """The same, with whatever is raised as a fault of all records."""
        where = records[0].where
        try:
            yield from self.labels(records)
        except LabelError as error:
            yield error
        except PartsError as error:
            yield LabelError(f"{where}: {error}")
        except Exception as error:  # nobody knows what rows hold
            what = one_line(f"{type(error).__name__}: {error}")
            yield LabelError(f"{where}: cannot be read: {what}")

    def _label(self, draft: Draft, record: Record, origin: Origin | None) -> Label:
        """The label, known by what it says and by how many before it said the same: of rows that
        are equal it does not matter which is which.
        """
        content = content_of(draft, record.origin())
        self.equal[content] += 1
        key = f"{self.format.name}:{content}:{self.equal[content]}"
        return finish(draft, key, self.heldout_share, self.scale, origin)

    def _origin(self, record: Record) -> Origin | None:
        """Of rows that belong together: what the first of them says, else what holds for all."""
        said = record.origin() or Origin()
        told = Origin(
            said.source or self.origin.source,
            said.license or self.origin.license,
            said.consent or self.origin.consent,
        )
        return None if told == Origin() else told


def _blame(made: RowGroup, fault: LabelError, path: Path, group: Sequence[tuple[int, Row]]) -> None:
    """Lay a fault on the row that it names, or on all of a group."""
    numbers = [number for number, _ in group]
    named = [number for number in numbers if fault.where == f"{path}: row {number}"]
    for number in named or numbers:
        made.faults.setdefault(number, fault)
