"""The report on a judge as lines of text: a figure each, with its interval and what it rests on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from schemas.results import Estimate, JudgeReport, LabelsSeen, PublishedFigure

_WIDTH = 100


def as_text(made: JudgeReport) -> str:
    """The whole report."""
    return "\n".join(_lines(made))


def _lines(made: JudgeReport) -> Iterator[str]:
    yield f"{made.judge} on {made.labels}"
    if made.seen is not None:
        yield from _seen(made.seen)
    if made.headlines:
        yield "  as the benchmark's authors count"
        for one in made.headlines:
            yield _figure(one)
            yield from _wrapped(one.note, "      ")
    for source in dict.fromkeys(one.source for one in made.published):
        yield from _wrapped(f"as published ({source})", "  ")
        yield from (_published(one) for one in made.published if one.source == source)
    for part in made.slices:
        yield f"  {part.name}"
        yield from (_figure(one, one.note) for one in part.estimates if one.value is not None)
    for remark in made.remarks:
        yield from _wrapped(remark, "  ")


def _seen(seen: LabelsSeen) -> Iterator[str]:
    yield f"  {seen.num} labels, whose content has the digest {seen.digest}"
    if seen.duplicate or seen.contradictory:
        yield (
            f"    of them {seen.duplicate} say again what was said, and {seen.contradictory} "
            "contradict it"
        )
    if seen.num_unusable:
        yield f"    {seen.num_unusable} row(s) of the files gave no label, or not all they could"
    for kind, num in seen.not_held.items():
        yield f"    {num} of them hold what none of the four tasks does: {kind}"


def _figure(one: Estimate, note: str = "") -> str:
    """A line; beside every accuracy stands how much of it could not be read, also where that is
    nothing.
    """
    text = f"    {one.name:<50} {one.value:.3f}"
    if one.low is not None:
        text += f" [{one.low:.3f}, {one.high:.3f}]"
    if one.num is not None:
        text += f" over {one.num}"
        if one.num_invalid or "accuracy" in one.name:
            text += f", {one.num_invalid} invalid"
    return f"{text} ({note})" if note else text


def _published(one: PublishedFigure) -> str:
    return f"    {f'{one.judge}: {one.figure}':<50} {one.value:.3f}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
