"""VideoGen-RewardBench (Liu et al. 2025): two generated clips, and which people prefer.

A CSV with `prompt`, `path_A`, `path_B`, and `Overall`: "A", "B" or "same". The verdicts on single
dimensions (`VQ`, `MQ`, `TA`) are left out: a judge here gives one verdict a pair.
"""

from __future__ import annotations

from collections.abc import Iterator

from factory.labels.draft import Draft
from factory.labels.record import Record
from schemas.rows import Preference, Prompt

NAME = "videogen-rewardbench"
_VERDICTS: dict[str, Preference] = {"A": "first", "B": "second", "same": "tie"}


def parse(record: Record) -> Iterator[Draft]:
    """One pair."""
    verdict = record.text("Overall")
    if verdict not in _VERDICTS:
        raise record.fault("Overall", f"is {verdict!r:.40}, not A, B or same")
    yield Draft(
        Prompt.of(record.text("prompt"), "video_generation", tags={"source": NAME}),
        NAME,
        first=record.medium("path_A", is_video=True),
        second=record.medium("path_B", is_video=True),
        preference=_VERDICTS[verdict],
    )
