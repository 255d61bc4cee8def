"""Figures of a card in the words and numbers of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from factory.bias.edits import EDITS
from factory.judge_card.asking import medium_of
from factory.judge_card.figures import CardFigure
from schemas.rows import Task

#: What an edit makes of a thing, upwards and downwards, as the end of "a copy that is …".
MORE = {
    "brightness": ("brighter", "darker"),
    "contrast": ("of stronger contrast", "of weaker contrast"),
    "saturation": ("more colourful", "paler"),
    "sharpness": ("sharper", "softer"),
}
#: What a damage makes of a thing.
DAMAGED = {
    "compression": "compressed",
    "resolution": "made coarse",
    "overlay text": "with an advertisement written across",
    "low motion": "made to stand still",
    "padding": "padded with words that say nothing",
}
_PLURAL: dict[Task, str] = {
    "image_generation": "pictures",
    "video_generation": "clips",
    "image_understanding": "answers about pictures",
    "video_understanding": "answers about clips",
}


def plural(task: Task) -> str:
    """What is judged in a task."""
    return _PLURAL[task]


def shown_in(task: Task) -> str:
    """What a judge of a task is to look at."""
    if medium_of(task) == "answer":
        return f"the {'clip' if task == 'video_understanding' else 'picture'} of a question"
    return plural(task)


def instead(name: str) -> str:
    """What is shown in the place of the medium."""
    return "a grey area" if name == "blank media" else "another prompt's"


def of_figure(one: CardFigure) -> str:
    """What a figure is of, in one phrase."""
    if one.part in ("liking", "damage") and not one.is_tested:
        return f"a copy {copy_at(one)} wins over its original"
    if one.part == "liking":
        source = "scores" if one.measure.endswith("scores") else "comparisons"
        return f"liking of what is {MORE[one.name][0]}, by {source}"
    if one.part == "damage":
        source = "scores" if one.measure.endswith("scores") else "comparisons"
        return f"reward for being {DAMAGED[one.name]}, by {source}"
    if one.part == "flips":
        return f"verdicts against a rival that change with {one.name}"
    if one.part == "looking" and one.is_tested:
        return f"fall of the score where it is shown {instead(one.name)}"
    return one.measure


def copy_at(one: CardFigure) -> str:
    """What a copy is like; the dose stands in the figure's measure."""
    dose = float(one.measure.split("dose ")[1].split(" ")[0])
    if EDITS[one.name].is_damage:
        return DAMAGED[one.name] + ("" if dose == EDITS[one.name].doses[-1] else ", half as much")
    return MORE[one.name][0 if dose > 0 else 1]


def short_names(names: Sequence[str]) -> list[str]:
    """The ends of names of judges, where these tell them apart."""
    ends = [one.rstrip("/").rpartition("/")[2].rpartition(":")[2] for one in names]
    return ends if len(set(ends)) == len(ends) else list(names)


def listed(words: Iterable[str]) -> str:
    """One, two and three."""
    every = list(words)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} and {every[-1]}"


def percent(value: float | None) -> str:
    """A share as people read it; below ten with one decimal."""
    if value is None or value != value:
        return "–"
    scaled = 100 * value
    text = f"{scaled:.0f}" if abs(scaled) >= 9.95 or not round(scaled, 1) else f"{scaled:.1f}"
    return f"{text.removesuffix('.0')} %".replace("-", "−")


def number(value: float | None) -> str:
    """A number with two decimals, more where it is small."""
    if value is None or value != value:
        return "–"
    decimals = 2 if abs(value) >= 0.095 or not value else 3
    text = f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:.0f}"
    return ("0" if not float(text) else text).replace("-", "−")


def valued(one: CardFigure) -> str:
    """Value, interval and unit."""
    if one.value is None:
        return "not measured"
    write = percent if one.unit == "share" else number
    unit = "" if one.unit == "share" else f" {one.unit}"
    if one.unit == "seconds" and one.value < 1:
        scaled = (None if end is None else 1000 * end for end in (one.value, one.low, one.high))
        value, low, high = (number(end) for end in scaled)
        return f"{value} [{low}, {high}] ms"
    if one.low is None or one.high is None:
        return f"{write(one.value)}{unit}"
    return f"{write(one.value)} [{write(one.low)}, {write(one.high)}]{unit}"


def least_found(one: CardFigure) -> str:
    """The smallest effect that would have been found; empty where nothing is looked for."""
    if one.least is None or not one.is_tested or one.part == "looking":
        return ""
    return percent(one.least) if one.unit == "share" else number(one.least)


def rests_on(one: CardFigure) -> str:
    """How many probes, of how many prompts, and how many could not be read."""
    bad = f", {one.num_invalid} unreadable" if one.num_invalid else ""
    return f"{one.num} of {one.num_prompts} prompts{bad}"
