"""A card in words: one line for each question that somebody asks before they trust a judge.

A line is good, bad or open. Bad is what was shown; good is what was shown to be absent, up to a
size that is told; open is all else: a small set says nothing for a judge and nothing against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from factory.human_audit.estimate import wilson
from factory.judge_card.asking import Said
from factory.judge_card.figures import (
    FEWEST_PROMPTS,
    CardFigure,
    figures_of,
    paired_right,
    right_by_prompt,
)
from factory.judge_card.wording import (
    DAMAGED,
    MORE,
    copy_at,
    instead,
    listed,
    number,
    percent,
    plural,
    shown_in,
)
from schemas.results import JudgeReport, Stability
from schemas.rows import Task

State = Literal["good", "bad", "open"]

READS, LOOKS = "Can its answers be read?", "Does it look at all?"
#: Limits of what is called good or bad; a share is beyond a limit where its whole interval is.
MOST_UNREADABLE = 0.02
#: Of prompts that nobody asked about, where all that were could be read.
MOST_UNSEEN = 0.1
FEWEST_RIGHT, GUESSING = 0.8, 0.65
MOST_TURNED = 0.1
MOST_FLIPS = 0.01
LABELS_RIGHT = 0.6
_FEW = 2
#: Verdicts that must be asked for again before none that flips says anything.
FEWEST_STABLE = 60


@dataclass(frozen=True)
class Line:
    """One question and its answer.

    question: as somebody asks it.
    state: good, bad or open.
    short: the answer in a few words.
    text: what it rests on, with its figures.
    names: the likings that it names, as "likes brighter pictures"; empty where none is shown.
    """

    question: str
    state: State
    short: str
    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class JudgeCard:
    """All that a page says of one judge.

    name: short, and of no other judge of the page.
    given: as the command line has it.
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
    given: str
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
    def is_sound(self) -> bool:
        """Whether no fault was shown, and it was shown that it can be read and that it looks."""
        return not self.bad and all(
            one.state == "good" for one in self.lines if one.question in (READS, LOOKS)
        )

    @property
    def names(self) -> tuple[str, ...]:
        """All likings that the card names."""
        return tuple(name for line in self.lines for name in line.names)


def card_of(
    name: str,
    given: str,
    said: Sequence[Said],
    report: JudgeReport | None = None,
    stability: Stability | None = None,
    seed: int = 0,
) -> JudgeCard:
    """The card of one judge.

    Args:
        name: of the judge, short.
        given: as the command line has it.
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
    num_prompts: dict[Task, int] = {}
    for one in said:
        if not one.is_refused:
            num_prompts[one.task] = num_prompts.get(one.task, 0) + 1
    lines = (
        _reads(figures),
        _looks(figures),
        _tells(figures),
        _order(figures),
        _likes(figures),
        *([] if stability is None else [_stable(stability)]),
        *([] if report is None else [_agrees(report)]),
    )
    return JudgeCard(
        name=name,
        given=given,
        lines=lines,
        figures=figures,
        right=right_by_prompt(said),
        num_prompts=num_prompts,
        refused=refused,
        faults=dict(sorted(faults.items(), key=lambda one: -one[1])),
        report=report,
        stability=stability,
    )


def whom_to_trust(cards: Sequence[JudgeCard], seed: int = 0) -> tuple[str, ...]:
    """Which of the judges to trust, in sentences; the first says it in short.

    A judge against which nothing was shown is not trusted for that: it must also be shown to be
    readable and to look.
    """
    sound = [one for one in cards if one.is_sound]
    unsure = [one for one in cards if not one.bad and not one.is_sound]
    told = [_in_short(cards, sound, unsure)]
    if len(sound) > 1:
        both = set.intersection(*(set(one.right) for one in sound))
        best = max(sound, key=lambda one: sum(one.right[prompt] for prompt in both))
        told += [_apart(best, one, seed) for one in sound if one is not best]
    for one in (*sound, *unsure):
        if one.open:
            told.append(f"{one.name}: {_questions(one)}. More prompts would tell.")
    for one in cards:
        if one.bad:
            told.append(f"{one.name}: {'; '.join(_short(line) for line in one.bad)}.")
    return tuple(told)


def _in_short(
    cards: Sequence[JudgeCard], sound: Sequence[JudgeCard], unsure: Sequence[JudgeCard]
) -> str:
    if sound:
        names = listed(one.name for one in sound)
        if len(sound) == 1:
            return f"Trust {names} first: it can be read, it looks, and no fault was shown."
        return f"Trust {names} first: they can be read, they look, and no fault was shown."
    if unsure:
        names = listed(one.name for one in unsure)
        return (
            "No judge was shown to be worth trust: nothing was shown against "
            f"{names}, and too little for it."
        )
    if len(cards) == 1:
        return "Do not trust this judge as it is: a fault was shown."
    return "Trust none of these judges as it is: of each a fault was shown."


def _apart(best: JudgeCard, one: JudgeCard, seed: int) -> str:
    apart = paired_right(best.right, one.right, seed)
    by = f"{percent(apart.value)} [{percent(apart.low)}, {percent(apart.high)}] more of the prompts"
    if apart.low > 0:
        return f"{best.name} finds the right side more often than {one.name}: of {by}."
    return f"That {best.name} finds the right side more often than {one.name} was not shown ({by})."


def _questions(card: JudgeCard) -> str:
    """Which questions are open, or how many where they are not few."""
    if len(card.open) > _FEW:
        return f"{len(card.open)} of {len(card.lines)} questions are open"
    return f"open is {listed(f'“{line.question}”' for line in card.open)}"


def _short(line: Line) -> str:
    if line.names:
        return listed(line.names)
    return line.short[:1].lower() + line.short[1:]


# --- the questions -------------------------------------------------------------------------------


def _reads(figures: Sequence[CardFigure]) -> Line:
    question = READS
    found = [one for one in figures if one.part == "reading" and one.value is not None]
    if not found:
        return Line(question, "open", "Nothing was asked", "")
    worst = max(found, key=lambda one: one.value or 0.0)
    num = sum(one.num for one in found)
    if not worst.value:
        # Answers about one prompt may fail together, so it is prompts that count.
        prompts = sum(one.num_prompts for one in found if one.name == worst.name)
        most = wilson(0.0, prompts).high
        text = f"All {num:,}, about {prompts} prompts: of others up to {percent(most)} could fail"
        return Line(question, "good" if most < MOST_UNSEEN else "open", "Yes, all", text)
    share = f"{percent(worst.value)} of {worst.name} cannot be read"
    ends = f"[{percent(worst.low)}, {percent(worst.high)}]"
    text = f"{ends}, of {plural(worst.task)}; {num:,} answers in all"
    if (worst.low or 0.0) > MOST_UNREADABLE:
        return Line(question, "bad", f"No: {share}", text)
    is_few = (worst.high or 1.0) <= 2 * MOST_UNREADABLE
    return Line(question, "good" if is_few else "open", f"Mostly: {share}", text)


def _looks(figures: Sequence[CardFigure]) -> Line:
    question = LOOKS
    found = [one for one in figures if one.part == "looking" and one.is_tested]
    if not any(one.value is not None for one in found):
        return Line(question, "open", "Not measured", "No score could be read.")
    told = []
    for task in dict.fromkeys(one.task for one in found):
        falls = ", ".join(
            f"by {number(one.value)} [{number(one.low)}, {number(one.high)}] points where it is "
            f"shown {instead(one.name)}"
            for one in found
            if one.task == task and one.value is not None
        )
        told.append(f"Of {plural(task)} the score falls {falls}")
    text = ". ".join(told)
    bad = [one for one in found if one.is_shown]
    if bad:
        kinds = listed(dict.fromkeys(shown_in(one.task) for one in bad))
        named = tuple(dict.fromkeys(f"does not look at {shown_in(one.task)}" for one in bad))
        return Line(question, "bad", f"No: it does not look at {kinds}", text, named)
    unsure = [
        one for one in found if not ((one.low or 0.0) > 0.0 and one.num_prompts >= FEWEST_PROMPTS)
    ]
    if unsure:
        kinds = listed(dict.fromkeys(shown_in(one.task) for one in unsure))
        return Line(question, "open", f"Not shown of {kinds}", text)
    return Line(question, "good", "Yes", text)


def _tells(figures: Sequence[CardFigure]) -> Line:
    question = "Does it tell right from wrong?"
    found = [one for one in figures if one.name == "right one" and one.value is not None]
    if not found:
        return Line(question, "open", "Not measured", "No comparison could be read.")
    told = ", ".join(
        f"{plural(one.task)} {percent(one.value)} [{percent(one.low)}, {percent(one.high)}] of "
        f"{one.num}"
        for one in found
    )
    text = (
        f"What was made for a prompt wins over what was made for another: {told}. It is not always "
        "right itself: hold judges against each other"
    )
    # What was answered to a question is wrong too often to hold a judge against it.
    made = [one for one in found if "understanding" not in one.task]
    if any((one.high or 1.0) < GUESSING for one in made):
        return Line(question, "bad", "Hardly better than guessing", text)
    shares = [one.value or 0.0 for one in found]
    ends = dict.fromkeys((percent(min(shares)), percent(max(shares))))
    if made and all((one.low or 0.0) > FEWEST_RIGHT for one in made):
        return Line(question, "good", "Yes", text)
    return Line(question, "open", f"In {' to '.join(ends)} of cases", text)


def _order(figures: Sequence[CardFigure]) -> Line:
    question = "Does the order matter?"
    slots = [one for one in figures if one.name == "first slot" and one.value is not None]
    if not slots:
        return Line(
            question, "open", "Not measured", "No comparison could be read both ways round."
        )
    turned = [one for one in figures if one.name == "turned: another's" and one.value is not None]
    told = ", ".join(
        f"{plural(one.task)} {percent(one.value)} [{percent(one.low)}, {percent(one.high)}]"
        for one in turned
    )
    turns = f"Clear verdicts that turn with the order: {told}" if told else ""
    bad = [one for one in slots if one.is_shown]
    if bad:
        sides = {(one.value or 0.0) > 0 for one in bad}
        side = "first" if sides == {True} else "second" if sides == {False} else "first or second"
        sizes = ", ".join(
            f"{plural(one.task)} {percent(0.5 + (one.value or 0.0))} "
            f"[{percent(0.5 + (one.low or 0.0))}, {percent(0.5 + (one.high or 0.0))}]"
            for one in bad
        )
        text = f"What is shown first wins: {sizes}. {turns}"
        name = f"leans to what is shown {side}"
        return Line(question, "bad", f"It {name}", text, (name,))
    often = [one for one in turned if (one.low or 0.0) > MOST_TURNED]
    if often:
        kinds = listed(plural(one.task) for one in often)
        name = f"changes its mind with the order ({kinds})"
        return Line(question, "bad", f"It {name}", turns, (name,))
    least = max(one.least if one.least is not None else 0.5 for one in slots)
    text = f"A leaning of {percent(min(least, 0.5))} above one half would have been found. {turns}"
    if all(one.is_known for one in slots):
        return Line(question, "good", "No leaning shown", text)
    return Line(question, "open", "Not known", text)


def _likes(figures: Sequence[CardFigure]) -> Line:
    question = "Does it like what should not count?"
    found = [
        one
        for one in figures
        if one.is_tested and one.part in ("liking", "damage") and one.value is not None
    ]
    if not found:
        return Line(question, "open", "Not measured", "Nothing that was edited could be read.")
    blind = {one.task for one in figures if one.part == "looking" and one.is_shown}
    names: list[str] = []
    told: list[str] = []
    known: dict[Task, list[str]] = {}
    unknown: dict[Task, list[str]] = {}
    for task, name in dict.fromkeys((one.task, one.name) for one in found):
        mine = [one for one in found if (one.task, one.name) == (task, name)]
        shown = [one for one in mine if one.is_shown]
        if shown:
            strongest = min(shown, key=lambda one: one.p_adjusted or 0.0)
            names.append(_liking(strongest))
            told.append(_won(figures, strongest))
        elif task in blind and name != "padding":
            unknown.setdefault(task, []).append(name)
        elif any(one.is_known for one in mine):
            known.setdefault(task, []).append(name)
        else:
            unknown.setdefault(task, []).append(name)
    if known:
        told.append(f"None shown, and one of size would have been: {_by_task(known)}")
    if unknown:
        told.append(f"Not known: {_by_task(unknown)}")
    if blind:
        told.append("A judge that does not look is moved by no edit, and that is no merit")
    num = sum(map(len, unknown.values()))
    text = ". ".join(filter(None, told))
    if names:
        liked = listed(one.removeprefix("likes ") for one in names)
        return Line(question, "bad", f"It likes {liked}", text, tuple(names))
    if unknown:
        return Line(question, "open", f"None shown; {num} of {num + sum(map(len, known.values()))} "
                    "not known", text)  # fmt: skip
    return Line(question, "good", "None shown", text)


def _stable(found: Stability) -> Line:
    question = "Does it say the same however it is run?"
    asked = [one for one in found.variants if not one.why_not and one.num_duels]
    if not asked:
        return Line(question, "open", "Not measured", "It can be asked in one way only.")
    told = "; ".join(
        f"{one.name}: {one.num_flips} of {one.num_duels} verdicts flip"
        + (f", a probability moves by up to {one.largest_p:.1g}" if one.largest_p else "")
        for one in asked
    )
    flips, num = max((one.num_flips, one.num_duels) for one in asked)
    if flips > MOST_FLIPS * num:
        return Line(question, "bad", f"No: {flips} of {num} verdicts flip", told)
    if num < FEWEST_STABLE:
        return Line(question, "open", f"{flips} of {num} verdicts flip", told)
    return Line(question, "good", f"Yes: {flips} of {num} verdicts flip", told)


def _agrees(report: JudgeReport) -> Line:
    question = "Is it right by people's labels?"
    every = {one.name: one for one in report.slices[0].estimates}
    found = every.get("accuracy without ties")
    if found is None or found.value is None:
        return Line(question, "open", "Not measured", "No label could be compared.")
    text = f"[{percent(found.low)}, {percent(found.high)}] of {found.num} pairs without ties"
    error = every.get("calibration error")
    if error is not None and error.value is not None:
        text += (
            f"; its confidence is off by {percent(error.value)} "
            f"[{percent(error.low)}, {percent(error.high)}] on average"
        )
    share = percent(found.value)
    if found.low is not None and found.low > LABELS_RIGHT:
        return Line(question, "good", f"{share} of the time", text)
    if found.high is not None and found.high < LABELS_RIGHT:
        return Line(question, "bad", f"Only {share} of the time", text)
    return Line(question, "open", f"{share} of the time", text)


def _liking(one: CardFigure) -> str:
    if one.part == "damage":
        return f"likes {plural(one.task)} {DAMAGED[one.name]}"
    more, less = MORE[one.name]
    word = more if (one.value or 0.0) > 0 else less
    if word.startswith("of "):
        return f"likes {plural(one.task)} {word}"
    return f"likes {word} {plural(one.task)}"


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
        f"Of {plural(best.task)}, a copy {copy_at(best)} wins {percent(best.value)} "
        f"[{percent(best.low)}, {percent(best.high)}] of {best.num} meetings with its own original"
    )


def _by_task(names: Mapping[Task, Sequence[str]]) -> str:
    return "; ".join(f"of {plural(task)} {listed(some)}" for task, some in names.items())
