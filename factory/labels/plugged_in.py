"""A format of somebody's own: its rows are parsed by code that nobody has tested here.

What that code raises, and what it gives that is no label, becomes a `LabelError` of the row, as a
fault of the row itself does: the import stops there, or marks the row and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from factory.labels.draft import Draft
from factory.labels.record import LabelError, Record
from factory.plugins import one_line
from schemas.rows import UNDERSTANDING, Preference


@dataclass(frozen=True)
class PluggedIn:
    """The `parse` of a format of somebody's own.

    plugin: `package.module:NAME` of the format, for messages.
    parse: as the format brings it.
    """

    plugin: str
    parse: Callable[[Sequence[Record]], Iterable[Draft]]

    def __call__(self, records: Sequence[Record]) -> list[Draft]:
        try:
            drafts = list(self.parse(records))
        except LabelError:
            raise
        except Exception as error:
            raise self._fault(records, f"{type(error).__name__}: {error}") from error
        for draft in drafts:
            if (what := fault_of(draft)) is not None:
                raise self._fault(records, what)
        return drafts

    def _fault(self, records: Sequence[Record], what: str) -> LabelError:
        return LabelError(f"{records[0].where}: {self.plugin}: {one_line(what)}")


def fault_of(draft: object) -> str | None:
    """Why what a format gives is no label; None where it is one."""
    if not isinstance(draft, Draft):
        return f"gave a {type(draft).__name__}, not a Draft (factory/labels/draft.py)"
    if (draft.preference is None) == (draft.rating is None):
        return "gave a draft that needs a preference or a rating, and not both"
    if draft.preference is not None and draft.preference not in get_args(Preference):
        known = ", ".join(get_args(Preference))
        return f"gave the preference {draft.preference!r:.40}; known: {known}"
    is_answer = draft.prompt.task in UNDERSTANDING
    sides = {
        "first": draft.first_answer if is_answer else draft.first,
        "second": draft.second_answer if is_answer else draft.second,
    }
    for name in ("first",) if draft.preference is None else ("first", "second"):
        if sides[name] is None:
            key = f"{name}_answer" if is_answer else name
            return f"gave a draft of {draft.prompt.task} without {key}"
    return None
