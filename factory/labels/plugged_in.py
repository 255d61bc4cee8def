"""A format of somebody's own: its rows are parsed by code that nobody has tested here.

What that code raises, and what it gives that is no label, becomes a `LabelError` of the row, as a
fault of the row itself does: the import stops there, or marks the row and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from factory.labels.draft import Draft, fault_of
from factory.labels.record import LabelError, Record
from factory.plugins import one_line


@dataclass(frozen=True)
class PluggedIn:
    """The `parse` of a format of somebody's own.

    plugin: `package.module:NAME` of the format, for messages.
    parse: as the format brings it.
    """

    plugin: str
    parse: Callable[[Sequence[Record]], Iterable[Draft | LabelError]]

    def __call__(self, records: Sequence[Record]) -> list[Draft | LabelError]:
        try:
            drafts = list(self.parse(records))
        except LabelError:
            raise
        except Exception as error:
            raise self._fault(records, f"{type(error).__name__}: {error}") from error
        for draft in drafts:
            if not isinstance(draft, LabelError) and (what := fault_of(draft)) is not None:
                raise self._fault(records, what)
        return drafts

    def _fault(self, records: Sequence[Record], what: str) -> LabelError:
        return LabelError(f"{records[0].where}: {self.plugin}: {one_line(what)}")
