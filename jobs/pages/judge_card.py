"""The page of a judge card: whom to trust, the answers side by side, and what they rest on.

One HTML file without scripts or outside resources. Names of judges, captions and reasons come from
elsewhere, and are escaped like everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from factory.bias.edits import EDITS, edit_candidate
from factory.bias.probes import shown
from factory.judge_card.asking import EDITS_ASKED, medium_of
from factory.judge_card.figures import CardFigure
from factory.judge_card.markdown import LABEL_FIGURES
from factory.judge_card.sets import CardSet
from factory.judge_card.verdict import JudgeCard
from factory.judge_card.wording import (
    DAMAGED,
    MORE,
    least_found,
    of_figure,
    percent,
    plural,
    rests_on,
    valued,
)
from factory.media.pictures import MediaError
from factory.prompt_parts import in_words
from jobs.pages.pictures import show
from jobs.pages.report import Picture
from jobs.pages.templates import environment
from schemas.rows import Candidate, Group, Task

_TEMPLATE = Path(__file__).with_name("judge_card.html")
_WIDTH = 150
#: Prompts whose probes the page shows.
_TASKS_SHOWN = 3


@dataclass(frozen=True)
class Bar:
    """A share on an axis from 0 to 1, in SVG units, and what it is beside."""

    low: float
    value: float
    high: float
    neutral: float | None
    text: str
    title: str
    is_shown: bool


@dataclass(frozen=True)
class BarRow:
    """One measure of all judges."""

    name: str
    bars: tuple[Bar | None, ...]


@dataclass(frozen=True)
class Chart:
    """Measures of one task."""

    title: str
    rows: tuple[BarRow, ...]


@dataclass(frozen=True)
class Probed:
    """What was done to one candidate, for people to look at."""

    prompt: str
    items: tuple[tuple[str, Picture | None, str | None], ...]  # words, picture, answer


def render(cards: Sequence[JudgeCard], trust: Sequence[str], shown_set: CardSet) -> bytes:
    """The page, in UTF-8.

    Args:
        cards: of the judges, in their order.
        trust: which to trust, in sentences.
        shown_set: what they were shown.
    """
    pages = environment()
    pages.filters.update(
        percent=percent, plural=plural, of_figure=of_figure, valued=valued,
        rests_on=rests_on, least_found=least_found,
    )  # fmt: skip
    questions = dict.fromkeys(line.question for one in cards for line in one.lines)
    page = pages.get_template(_TEMPLATE.name).render(
        cards=cards,
        trust=trust,
        shown=shown_set,
        num_prompts=shown_set.num_prompts(),
        questions=[
            (question, [next((line for line in one.lines if line.question == question), None)
                        for one in cards])
            for question in questions
        ],
        charts=_charts(cards),
        width=_WIDTH,
        probed=_probed(shown_set.groups),
        label_figures=LABEL_FIGURES,
    )  # fmt: skip
    return page.encode()


def _charts(cards: Sequence[JudgeCard]) -> list[Chart]:
    """Shares of all judges beside each other: what is right, what turns, and which copies win."""
    charts = []
    tasks = dict.fromkeys(figure.task for one in cards for figure in one.figures)
    for task in tasks:
        keys = [
            (figure.part, figure.name, figure.measure)
            for one in cards
            for figure in one.figures
            if figure.task == task and figure.unit == "share" and _is_drawn(figure)
        ]
        rows = []
        for part, name, measure in sorted(dict.fromkeys(keys), key=lambda key: _place(*key)):
            found = [
                next((figure for figure in one.figures
                      if (figure.task, figure.part, figure.name, figure.measure)
                      == (task, part, name, measure)), None)
                for one in cards
            ]  # fmt: skip
            words = next(of_figure(one) for one in found if one is not None)
            bars = [
                None if figure is None else _bar(figure, card)
                for figure, card in zip(found, cards, strict=True)
            ]
            rows.append(BarRow(words[:1].upper() + words[1:], tuple(bars)))
        if rows:
            title = plural(task)
            charts.append(Chart(title[:1].upper() + title[1:], tuple(rows)))
    return charts


def _is_drawn(one: CardFigure) -> bool:
    return one.part in ("looking", "order", "liking", "damage", "reading") and not one.is_tested


_PARTS = ("reading", "looking", "order", "liking", "damage")


def _place(part: str, name: str, measure: str) -> tuple[int, int, str]:
    edits = list(EDITS)
    return _PARTS.index(part), edits.index(name) if name in edits else -1, measure


def _bar(one: CardFigure, card: JudgeCard) -> Bar | None:
    if one.value is None:
        return None
    low, high = (one.value if end is None else end for end in (one.low, one.high))
    is_shown = any(
        each.is_shown and (each.task, each.part, each.name) == (one.task, one.part, one.name)
        for each in card.figures
    )
    if one.part in ("liking", "damage") and one.low is not None and one.low <= 0.5:
        is_shown = False  # the copies on the other side of the liking
    ends = [round(_WIDTH * end, 1) for end in (low, one.value, high)]
    neutral = None if one.neutral is None else round(_WIDTH * one.neutral, 1)
    title = f"{valued(one)}, {rests_on(one)}"
    return Bar(ends[0], ends[1], ends[2], neutral, percent(one.value), title, is_shown)


def _probed(groups: Sequence[Group]) -> list[Probed]:
    """One candidate of each task as it was shown, and as it was edited."""
    found: list[Probed] = []
    for task in list(dict.fromkeys(one.prompt.task for one in groups))[:_TASKS_SHOWN]:
        group = next(one for one in groups if one.prompt.task == task)
        found.append(Probed(in_words(group.prompt), tuple(_versions(task, shown(group)[0]))))
    return found


def _versions(task: Task, own: Candidate) -> list[tuple[str, Picture | None, str | None]]:
    items = [("as it is", show(own.media), own.answer)]
    for name in EDITS_ASKED[medium_of(task)]:
        edit = EDITS[name]
        doses = (1.0,) if edit.is_damage else (1.0, -1.0)
        for dose in doses if name != "padding" else (edit.doses[-1],):
            try:
                made = edit_candidate(own, edit, dose)
            except MediaError:
                continue
            if made is not None:
                words = DAMAGED[name] if edit.is_damage else MORE[name][0 if dose > 0 else 1]
                items.append((words, show(made.media), made.answer))
    return items
