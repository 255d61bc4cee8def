"""The page of a round: one HTML file without a single outside resource.

`render` is a pure function of plain values, so the page can be made again from the artifacts at any
time and tested without them; `jobs.pages.collect` reads those values from the artifacts. Everything
that comes from data is escaped by the template, and the page carries a policy that lets a browser
load nothing but the pictures in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jobs.pages.plots import forests, line, reliability
from jobs.pages.templates import environment
from jobs.rounds.history import RoundSummary

_TEMPLATE = Path(__file__).with_name("report.html")
#: The kinds of bias in the order of the page: kind, title, and how to read its figures.
BIAS_KINDS = (
    ("position", "Position", "What changes with the order in which two candidates are shown."),
    (
        "edit",
        "Edited media",
        "The same picture, edited: what the judge gives for one standard deviation of an attribute "
        "when nothing else changes. Damage may cost points; it must not gain any.",
    ),
    ("neglect", "Media not looked at", "What a score loses when the right media is not there."),
    ("twin", "Twin prompts", "The same media under a prompt with one word for another."),
    (
        "association",
        "What goes along with preferences",
        "For good reasons or bad ones; only the excess over people's own labels accuses.",
    ),
    ("slice", "Slices of prompts", "Gaps and selection by the prompts' tags."),
    ("self-preference", "Generators", "What one judge gives a generator beyond other judges."),
    ("calibration", "Calibration", "Whether probabilities are frequencies, on held-out labels."),
    ("", "Other figures", ""),
)


@dataclass(frozen=True)
class Picture:
    """A picture or clip inside the page.

    uri: `data:` URI.
    is_video: to be shown by a player.
    width, height: of the original, in pixels.
    """

    uri: str
    is_video: bool
    width: int
    height: int


@dataclass(frozen=True)
class ShownPart:
    """A part of a prompt on a page: what is said, or a medium; neither where it cannot be shown.

    role: as in schemas.rows.Part.
    """

    role: str
    text: str | None
    picture: Picture | None


@dataclass(frozen=True)
class ShownSide:
    """One candidate of a pair.

    candidate_id: its id.
    picture: None where there is none to show.
    answer: what an answering model said, for the understanding tasks.
    score: the judge's pointwise score in points; None where it was not scored.
    spread: standard deviation of the score over the scale's tokens.
    error: why there is no picture, or no score.
    """

    candidate_id: str
    picture: Picture | None
    answer: str | None = None
    score: float | None = None
    spread: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Match:
    """A duel of the two sides of a pair, told as probabilities that each side wins.

    is_chosen_first: which side was shown first.
    p_chosen, p_tie, p_rejected: they sum to 1.
    """

    is_chosen_first: bool
    p_chosen: float
    p_tie: float
    p_rejected: float


@dataclass(frozen=True)
class Example:
    """A pair as it is shown.

    pair_id, tags, verdict, objections, is_flipped: as in schemas.rows.Pair.
    prompt: its text; of a dialogue what the user says last.
    parts: what else there is of the prompt, in order (`pictures.show_parts`).
    margin, margin_low, margin_high: the margin in points with its 95 % interval; None if unknown.
    p_chosen: over both orders; None where the two never met.
    matches: the duels of the two sides, in each order.
    """

    pair_id: str
    prompt: str
    parts: tuple[ShownPart, ...]
    tags: tuple[tuple[str, str], ...]
    chosen: ShownSide
    rejected: ShownSide
    verdict: str
    objections: tuple[str, ...]
    margin: float | None
    margin_low: float | None
    margin_high: float | None
    p_chosen: float | None
    is_flipped: bool
    matches: tuple[Match, ...]


@dataclass(frozen=True)
class ExampleGroup:
    """Examples under one heading: the kept ones, or those with one objection.

    title: "kept", or the reason.
    verdict: kept, rejected or invalid; it gives the colour.
    num: pairs of this kind in the data set, of which the examples are a few.
    """

    title: str
    verdict: str
    num: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class StageRow:
    """One stage of the round.

    stage: the job's name.
    address, digest: of what it made; empty where the stage has not finished.
    parents: what went in, as (role, address).
    counts: rows, and rows by verdict.
    figures: measured on the artifact, without the seconds.
    seconds: how long the stage took; None where it was not recorded.
    """

    stage: str
    address: str = ""
    digest: str = ""
    parents: tuple[tuple[str, str], ...] = ()
    counts: tuple[tuple[str, int], ...] = ()
    figures: tuple[tuple[str, float], ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Curve:
    """A metric over the steps of a training run.

    model: address of the model that was trained.
    metric: its name.
    points: (step, value), at least one.
    """

    model: str
    metric: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Grid:
    """The picture grid of base and aligned model.

    picture: the PNG.
    prompts: of the rows, in order.
    columns: titles, in order.
    """

    picture: Picture
    prompts: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class ReportData:
    """All that the page of a round shows.

    recipe: name of the recipe.
    round: number of the round.
    num_rounds: of the recipe.
    made_at: when the newest artifact was made, ISO 8601; not the clock, so that the page of the
        same artifacts is the same page.
    results: what the stages found, by the names of `schemas.results.ROUND_RESULTS`; None for what
        is not there.
    notes: sentences that a reader must know first, such as that labels are simulated.
    stages: in the order of the loop.
    num_kept, num_rejected, num_invalid: pairs by verdict.
    reasons: (objection, number of pairs), most frequent first; a pair may have several.
    examples: kept pairs, then a group for each reason.
    grid: None where no grid was drawn.
    curves: of the trainings of this round.
    lineage: the tree, as text; empty where nothing was made yet.
    recipe_yaml: the resolved recipe.
    rounds: all rounds up to this one.
    left_out: stages that the recipe has no section for, and what comes of it.
    """

    recipe: str
    round: int
    num_rounds: int
    made_at: str
    results: Mapping[str, Any]
    notes: tuple[str, ...]
    stages: tuple[StageRow, ...]
    num_kept: int
    num_rejected: int
    num_invalid: int
    reasons: tuple[tuple[str, int], ...]
    examples: tuple[ExampleGroup, ...]
    grid: Grid | None
    curves: tuple[Curve, ...]
    lineage: str
    recipe_yaml: str
    rounds: tuple[RoundSummary, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def render(data: ReportData) -> str:
    """The page."""
    pages = environment()
    pages.filters.update(
        number=number, plain=plain, interval=interval, duration=duration, moment=moment
    )
    # Globals, so that the sections and what they import see them too.
    pages.globals.update(bias_kinds=BIAS_KINDS, forests=forests, line=line, reliability=reliability)
    template = pages.get_template(_TEMPLATE.name)
    return template.render(data=data, results=data.results)


def number(value: float | None, width: float | None = None) -> str:
    """A number with the decimals that matter: two digits of `width`, or up to three of its own.

    Args:
        value: None and NaN are shown as a dash.
        width: of the number's interval.
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return f"{value:,}"
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.2e}".replace("-", "−")
    scale = width or abs(value)
    digits = 1 if width else 2
    decimals = digits - math.floor(math.log10(scale)) if scale > 0 else 2
    text = f"{value:,.{min(max(decimals, 0), 6)}f}"
    if not width and "." in text:
        text = text.rstrip("0").rstrip(".")
    if not float(text.replace(",", "")):
        text = text.removeprefix("-")
    return text.replace("-", "−")


def plain(value: float) -> str:
    """A number that someone chose, such as a threshold, as short as it was written."""
    return f"{value:g}".replace("-", "−")


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A number with its interval: "0.72 [0.66, 0.78]"; without one, only the number."""
    if value is None:
        return "not measured"
    if low is None or high is None:
        return number(value)
    width = high - low
    return f"{number(value, width)} [{number(low, width)}, {number(high, width)}]"


def duration(seconds: float | None) -> str:
    """Seconds as people read them: "8.1 s", "4 min 12 s", "2 h 05 min"."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(text: str) -> str:
    """An ISO 8601 time to the minute: "2026-11-23 21:05 UTC"."""
    day, _, clock = text.partition("T")
    zone = "UTC" if clock.endswith(("+00:00", "Z")) else clock[8:]
    return f"{day} {clock[:5]} {zone}".strip()
