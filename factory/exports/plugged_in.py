"""An exporter of somebody's own: its rows are projected by code that nobody has tested here.

What that code raises, and what it gives that is no record, becomes a reason by which the row is
counted; the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from factory.exports.record import Options, Projection, Record, Unfit
from factory.plugins import one_line


@dataclass(frozen=True)
class PluggedIn:
    """The projection of an exporter of somebody's own.

    plugin: `package.module:NAME` of the exporter, for messages.
    project: as the exporter brings it.
    """

    plugin: str
    project: Projection

    def __call__(self, row: Any, options: Options) -> Sequence[Record] | Unfit:
        try:
            made = self.project(row, options)
            if isinstance(made, Unfit):
                return made
            records: list[Any] = list(made)
        except Exception as error:
            return Unfit("failed", one_line(f"{self.plugin}: {type(error).__name__}: {error}"))
        for record in records:
            if not isinstance(record, dict):
                kind = type(record).__name__
                return Unfit("failed", f"{self.plugin}: gave a {kind}, not a dict")
        return records or Unfit("failed", f"{self.plugin}: gave no record and no reason")
