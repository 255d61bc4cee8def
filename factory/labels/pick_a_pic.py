"""Pick-a-Pic (Kirstain et al. 2023) and the Diffusion-DPO sets in its form: Parquet.

Reads `caption`, `jpg_0`, `jpg_1`, and `label_0`: 1 where the first picture is preferred, 0 where
the second is, 0.5 for a tie. Rows with `has_label: false` carry no opinion and give no label. Of a
caption with n rows (`num_example_per_prompt`) each has the weight 1/n, as in the authors' training:
else a few captions that many people drew for would be most of what is learned.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Preference, Prompt

NAME = "pick-a-pic"
COLUMNS = (
    *("caption", "jpg_0", "jpg_1", "label_0", "has_label", "user_id"),
    "num_example_per_prompt",
)
_PREFERENCES: dict[float, Preference] = {1.0: "first", 0.0: "second", 0.5: "tie"}


def parse(record: Record) -> Iterator[Draft]:
    """One pair, or none where nobody chose."""
    if record.row.get("has_label") is False:
        return
    share = record.number("label_0", 0, 1)
    if share not in _PREFERENCES:
        raise record.fault("label_0", f"is {share:g}, not 0, 0.5 or 1")
    user = record.name("user_id")
    weight = None
    if record.has("num_example_per_prompt"):
        weight = 1 / record.number("num_example_per_prompt", 1, 1e9)
    yield Draft(
        Prompt.of(record.text("caption"), tags={"source": NAME}),
        NAME if user is None else f"{NAME}:{user}",
        first=record.medium("jpg_0"),
        second=record.medium("jpg_1"),
        preference=_PREFERENCES[share],
        weight=weight,
    )
