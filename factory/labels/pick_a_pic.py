"""Pick-a-Pic (Kirstain et al. 2023) and the Diffusion-DPO sets in its form: Parquet.

Reads `caption`, `jpg_0`, `jpg_1`, and `label_0`: 1 where the first picture is preferred, 0 where
the second is, 0.5 for a tie. Rows with `has_label: false` carry no opinion and give no label.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Preference, Prompt

NAME = "pick-a-pic"
_PREFERENCES: dict[float, Preference] = {1.0: "first", 0.0: "second", 0.5: "tie"}


def parse(record: Record) -> Iterator[Draft]:
    """One pair, or none where nobody chose."""
    if record.row.get("has_label") is False:
        return
    share = record.number("label_0", 0, 1)
    if share not in _PREFERENCES:
        raise record.fault("label_0", f"is {share:g}, not 0, 0.5 or 1")
    user = record.row.get("user_id")
    yield Draft(
        Prompt.of(record.text("caption"), tags={"source": NAME}),
        NAME if user is None else f"{NAME}:{user}",
        first=record.medium("jpg_0"),
        second=record.medium("jpg_1"),
        preference=_PREFERENCES[share],
    )
