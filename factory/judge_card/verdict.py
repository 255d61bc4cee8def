"""A card in words: one line for each question that somebody asks before they trust a judge.

A line is good, bad or open. Bad is what was shown; good is what was shown to be absent, up to a size
that is told; open is all else: a small set says nothing for a judge and nothing against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.judge_card.asking import Said, medium_of
from factory.judge_card.figures import CardFigure, figures_of, paired_right, right_by_prompt
from schemas.results import JudgeReport, Stability
from schemas.rows import Task

State = Literal["good", "bad", "open"]

#: Limits of what is called good or bad; a share is beyond a limit where its whole interval is.
MOST_UNREADABLE = 0.02
FEWEST_RIGHT = 0.8
MOST_TURNED = 0.1
MOST_FLIPS = 0.01

#: What an edit does, upwards and downwards, as the end of "a copy that is …".
_MORE = {
    "brightness": ("brighter", "darker"),
    "contrast": ("more contrasty", "flatter"),
    "saturation": ("more colourful", "paler"),
    "sharpness": ("sharper", "softer"),
}
#: What a damage makes of a thing.
_DAMAGED = {
    "compression": "compressed",
    "resolution": "coarse",
    "overlay text": "with an advertisement written across",
    "low motion": "that stand still",
    "padding": "padded with words that say nothing",
}
_PLURAL = {"picture": "pictures", "clip": "clips", "answer": "answers"}


@dataclass(frozen=True)
class Line:
    """One question and its answer.

    question: as somebody asks it.
    state: good, bad or open.
    text: the answer, with its figures.
    names: the likings that it names, as "likes brighter pictures"; empty where none is shown.
    """

    question: str
    state: State
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgeCard:
    """All that a page says of one judge.

    name: as the command line has it.
    lines: the answers.
    figures: what they rest on.
    right: by prompt, whether its own output wins over another's.
    num_prompts: by task, that were asked about.
    refused: by task, why the judge is not to be asked about it.
    faults: reasons of what could not be read, by how often.
    report: on labels; None where there are none.
    stability: None where it was not measured.
    """

    name: str
    lines: tuple[Line, ...]
    figures: tuple[CardFigure, ...]
    right: Mapping[str, float]
    num_prompts: Mapping[Task, int]
    refused: Mapping[Task, str]
    faults: Mapping[str, int]
    report: JudgeReport | None = None
    stability: Stability | None = None

    @property
    def bad(self) -> tuple[Line, ...]:
        return tuple(one for one in self.lines if one.state == "bad")

    @property
    def open(self) -> tuple[Line, ...]:
        return tuple(one for one in self.lines if one.state == "open")

    @property
    def names(self) -> tuple[str, ...]:
        """All likings that the card names."""
        return tuple(name for line in self.lines for name in line.names)


def card_of(
    name: str,
    said: Sequence[Said],
    report: JudgeReport | None = None,
    stability: Stability | None = None,
    seed: int = 0,
) -> JudgeCard:
    """The card of one judge.

    Args:
        name: of the judge, for people.
        said: of each prompt.
        report: on labels, where there are any.
        stability: where it was measured.
        seed: of the bootstraps.
    """
    figures = figures_of(said, seed)
    refused = {one.task: one.error or "" for one in said if one.is_refused}
    faults: dict[str, int] = {}
    for one in said:
        if one.error is not None and not one.is_refused:
            faults[one.error] = faults.get(one.error, 0) + 1
        for reason, num in one.reasons.items():
            faults[reason] = faults.get(reason, 0) + num
    num: dict[Task, int] = {}
    for one in said:
        if not one.is_refused:
            num[one.task] = num.get(one.task, 0) + 1
    unseeing = _unseeing(figures)
    lines = (
        _reads(figures),
        _looks(figures),
        _tells(figures),
        _order(figures),
        _likes(figures, unseeing),
        *([] if stability is None else [_stable(stability)]),
        *([] if report is None else [_agrees(report)]),
    )
    return JudgeCard(
        name, lines, figures, right_by_prompt(said), num, refused,
        dict(sorted(faults.items(), key=lambda one: -one[1])), report, stability,
    )  # fmt: skip


def whom_to_trust(cards: Sequence[JudgeCard], seed: int = 0) -> tuple[str, ...]:
    """Which of the judges to trust, in sentences."""
    clean = [one for one in cards if not one.bad]
    if len(cards) == 1:
        return _of_one(cards[0])
    if not clean:
        least = min(len(one.bad) for one in cards)
        fewest = [one.name for one in cards if len(one.bad) == least]
        return (
            "Trust none of them as it is: of each a fault was shown.",
            f"Fewest faults ({least}): {', '.join(fewest)}.",
        )
    best = max(clean, key=_share)
    told = [f"Nothing was shown against {_listed([one.name for one in clean])}."]
    if len(clean) > 1:
        for one in clean:
            if one is best:
                continue
            apart = paired_right(best.right, one.right, seed)
            by = f"{_percent(apart.value)} [{_percent(apart.low)}, {_percent(apart.high)}]"
            if apart.low > 0:
                told.append(
                    f"Of these, {best.name} finds the right one more often than {one.name}, by {by}."
                )
            else:
                told.append(
                    f"That {best.name} finds the right one more often than {one.name} was not shown "
                    f"(by {by})."
                )
    else:
        told.insert(0, f"Trust {best.name} first.")
    for one in clean:
        if one.open:
            told.append(
                f"Open of {one.name}: {_listed([line.question for line in one.open])}. More prompts "
                "would tell."
            )
    others = [one for one in cards if one.bad]
    told += [f"Not {one.name}: {'; '.join(_short(line) for line in one.bad)}." for one in others]
    return tuple(told)


def _of_one(card: JudgeCard) -> tuple[str, ...]:
    if card.bad:
        told = [f"Shown against it: {'; '.join(_short(line) for line in card.bad)}."]
    else:
        told = ["Nothing that was asked speaks against it."]
    if card.open:
        told.append(
            f"Open: {_listed([line.question for line in card.open])}. More prompts would tell."
        )
    return tuple(told)


def _short(line: Line) -> str:
    if line.names:
        return ", ".join(line.names)
    text = line.text.split(";")[0].rstrip(".")
    return text[:1].lower() + text[1:]


def _share(card: JudgeCard) -> float:
    values = list(card.right.values())
    return sum(values) / len(values) if values else 0.0


# --- the questions -------------------------------------------------------------------------------


def _reads(figures: Sequence[CardFigure]) -> Line:
    question = "Can its answers be read?"
    found = [one for one in figures if one.part == "reading" and one.value is not None]
    if not found:
        return Line(question, "open", "Nothing was asked.")
    worst = max(found, key=lambda one: one.value or 0.0)
    num = sum(one.num for one in found)
    text = f"{_percent(worst.value)} of its {worst.name} cannot be read ({_range(worst)}; {num} asked in all)"
    if (worst.low or 0.0) > MOST_UNREADABLE:
        return Line(question, "bad", text)
    if not worst.value:
        # Counted by prompt, whose answers fail together: few prompts leave much open.
        text = f"All {num} of them; with {worst.num_prompts} prompts, up to {_percent(worst.high)} could fail"
    is_good = worst.num_prompts >= 12 and (worst.value or 0.0) <= MOST_UNREADABLE
    return Line(question, "good" if is_good else "open", text)


def _looks(figures: Sequence[CardFigure]) -> Line:
    question = "Does it look at all?"
    found = [one for one in figures if one.part == "looking" and one.is_tested]
    if not any(one.value is not None for one in found):
        return Line(question, "open", "Not measured: no score could be read.")
    bad = [one for one in found if one.is_shown]
    if bad:
        kinds = _listed(dict.fromkeys(_about(one.task) for one in bad))
        what = _listed(dict.fromkeys(_instead(one.name) for one in bad))
        text = f"It does not look at {kinds}: its score stays where it is given {what}"
        return Line(question, "bad", text, (f"does not look at {kinds}",))
    told = []
    for task in dict.fromkeys(one.task for one in found):
        drops = [one for one in found if one.task == task and one.value is not None]
        told.append(
            f"{_about(task)}: " + ", ".join(
                f"−{_number(one.value)} points [{_number(one.low)}, {_number(one.high)}] for {_instead(one.name)}"
                for one in drops
            )
        )  # fmt: skip
    is_sure = all((one.low or 0.0) > 0.0 for one in found) and all(
        one.num_prompts >= 12 for one in found
    )
    words = (
        "It does. Its score falls, of " if is_sure else "Not shown for all. Its score falls, of "
    )
    return Line(question, "good" if is_sure else "open", words + "; ".join(told))


def _tells(figures: Sequence[CardFigure]) -> Line:
    question = "Does it tell right from wrong?"
    found = [one for one in figures if one.name == "right one" and one.value is not None]
    if not found:
        return Line(question, "open", "Not measured: no comparison could be read.")
    told = "; ".join(
        f"{_plural(one.task)} {_percent(one.value)} [{_percent(one.low)}, {_percent(one.high)}] of {one.num}"
        for one in found
    )
    text = f"The prompt's own wins over another prompt's: {told}"
    return Line(question, _worst(_beyond(one, FEWEST_RIGHT, is_above=True) for one in found), text)


def _order(figures: Sequence[CardFigure]) -> Line:
    question = "Does the order matter?"
    slots = [one for one in figures if one.name == "first slot" and one.value is not None]
    if not slots:
        return Line(question, "open", "Not measured: no comparison could be read in both orders.")
    bad = [one for one in slots if one.is_shown]
    turned = [one for one in figures if one.name == "turned: another's" and one.value is not None]
    often = [one for one in turned if (one.low or 0.0) > MOST_TURNED]
    told = "; ".join(
        f"{_plural(one.task)} {_percent(one.value)} [{_percent(one.low)}, {_percent(one.high)}]"
        for one in turned
    )
    turns = f"clear verdicts that turn with the order: {told}" if told else ""
    if bad:
        sides = {(one.value or 0.0) > 0 for one in bad}
        side = "first" if sides == {True} else "second" if sides == {False} else "first or second"
        name = f"leans to what is shown {side}"
        sizes = "; ".join(
            f"{_plural(one.task)} wins {_percent(0.5 + (one.value or 0.0))} there "
            f"[{_percent(0.5 + (one.low or 0.0))}, {_percent(0.5 + (one.high or 0.0))}]"
            for one in bad
        )
        return Line(question, "bad", f"It leans to what is shown {side}: {sizes}; {turns}", (name,))
    if often:
        names = (f"turns with the order ({_listed(_plural(one.task) for one in often)})",)
        return Line(question, "bad", f"Its verdict turns with the order; {turns}", names)
    least = max((one.least or 1.0) for one in slots)
    text = f"No leaning to either place was shown; one of {_percent(least)} above one half would have been; {turns}"
    return Line(question, "good" if all(one.is_known for one in slots) else "open", text)


def _likes(figures: Sequence[CardFigure], unseeing: Iterable[Task]) -> Line:
    question = "Does it like what should not count?"
    found = [
        one
        for one in figures
        if one.is_tested and one.part in ("liking", "damage") and one.value is not None
    ]
    if not found:
        return Line(question, "open", "Not measured.")
    blind = set(unseeing)
    names: list[str] = []
    told: list[str] = []
    unknown: list[str] = []
    known: list[str] = []
    for task, name in dict.fromkeys((one.task, one.name) for one in found):
        mine = [one for one in found if (one.task, one.name) == (task, name)]
        shown = [one for one in mine if one.is_shown]
        what = f"{name} of {_plural(task)}" if name != "padding" else "padding of answers"
        if shown:
            strongest = min(shown, key=lambda one: one.p_adjusted or 0.0)
            named = _liking(strongest)
            names.append(named)
            won = _won(figures, strongest)
            told.append(f"It {named}" + (f": {won}" if won else ""))
        elif task in blind and name != "padding":
            unknown.append(what)
        elif any(one.is_known or _is_punished(one) for one in mine):
            known.append(what)
        else:
            unknown.append(what)
    if known:
        told.append(f"None shown, and one of size would have been: {_listed(known)}")
    if unknown:
        why = " (a judge that does not look is moved by no edit)" if blind else ""
        told.append(f"Not known{why}: {_listed(unknown)}")
    state: State = "bad" if names else "open" if unknown else "good"
    return Line(question, state, ". ".join(told), tuple(names))


def _stable(found: Stability) -> Line:
    question = "Does it say the same each time?"
    asked = [one for one in found.variants if not one.why_not and one.num_duels]
    if not asked:
        return Line(question, "open", "Not measured: it can be asked in one way only.")
    flips = sum(one.num_flips for one in asked)
    num = sum(one.num_duels for one in asked)
    told = "; ".join(
        f"{one.name}: {one.num_flips} of {one.num_duels} verdicts flip"
        + (f", p changes by up to {one.largest_p:.1g}" if one.largest_p else "")
        for one in asked
    )
    return Line(question, "good" if flips <= MOST_FLIPS * num else "bad", told)


def _agrees(report: JudgeReport) -> Line:
    question = "Is it right by the labels?"
    every = {one.name: one for one in report.slices[0].estimates}
    found = every.get("accuracy without ties")
    if found is None or found.value is None:
        return Line(question, "open", "No label could be compared.")
    text = f"{_percent(found.value)} [{_percent(found.low)}, {_percent(found.high)}] of {found.num} pairs"
    error = every.get("calibration error")
    if error is not None and error.value is not None:
        text += f"; calibration error {_percent(error.value)}"
    state: State = "open"
    if found.low is not None and found.high is not None:
        state = "good" if found.low > 0.6 else "bad" if found.high < 0.6 else "open"
    return Line(question, state, text)


def _unseeing(figures: Sequence[CardFigure]) -> list[Task]:
    return [one.task for one in figures if one.part == "looking" and one.is_tested and one.is_shown]


def _is_punished(one: CardFigure) -> bool:
    """Whether a damage is shown not to be rewarded: the whole interval lies below what matters."""
    return one.part == "damage" and one.high is not None and one.high <= 0 and one.num_prompts >= 12


def _liking(one: CardFigure) -> str:
    if one.part == "damage":
        return f"likes {_plural(one.task)} {_DAMAGED[one.name]}"
    more, less = _MORE[one.name]
    return f"likes {more if (one.value or 0.0) > 0 else less} {_plural(one.task)}"


def _won(figures: Sequence[CardFigure], liking: CardFigure) -> str:
    """How often the copy that is liked wins over its original."""
    copies = [
        one
        for one in figures
        if not one.is_tested
        and one.part == liking.part
        and (one.task, one.name) == (liking.task, liking.name)
        and one.value is not None
    ]
    if not copies:
        return ""
    best = max(copies, key=lambda one: one.value or 0.0)
    return (
        f"such a copy wins {_percent(best.value)} [{_percent(best.low)}, {_percent(best.high)}] "
        f"of {best.num} meetings with its own original"
    )


def _worst(states: Iterable[State]) -> State:
    found = set(states)
    return "bad" if "bad" in found else "open" if "open" in found else "good"


def _beyond(one: CardFigure, limit: float, *, is_above: bool) -> State:
    low, high = one.low, one.high
    if low is None or high is None:
        return "open"
    if low > limit:
        return "good" if is_above else "bad"
    if high < limit:
        return "bad" if is_above else "good"
    return "open"


def _plural(task: Task) -> str:
    words = _PLURAL[medium_of(task)]
    return words if not task.startswith("video_u") else "answers about clips"


def _about(task: Task) -> str:
    """What a judge of a task is to look at."""
    return {
        "image_understanding": "the picture of a question",
        "video_understanding": "the clip of a question",
    }.get(task, _plural(task))


def _instead(name: str) -> str:
    return "a grey area" if name == "blank media" else "another prompt's"


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    if len(every) < 2:
        return "".join(every)
    return f"{', '.join(every[:-1])} and {every[-1]}"


def _percent(value: float | None) -> str:
    if value is None or value != value:
        return "–"
    text = f"{100 * value:.0f} %" if abs(value) >= 0.095 or not value else f"{100 * value:.1f} %"
    return text.replace("-", "−")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def _range(one: CardFigure) -> str:
    return f"{_percent(one.low)} to {_percent(one.high)}"
