"""A card as Markdown that fits a model card: the answers side by side, then every figure."""

from __future__ import annotations

from collections.abc import Sequence

from factory.judge_card.figures import CardFigure
from factory.judge_card.verdict import JudgeCard
from factory.judge_card.wording import least_found, of_figure, plural, rests_on, valued
from schemas.results import Stability
from schemas.rows import Task

_SIGNS = {"good": "✓", "bad": "✗", "open": "?"}
#: Of a report on labels, in this order.
LABEL_FIGURES = ("accuracy without ties", "accuracy with ties", "calibration error")


def as_markdown(
    cards: Sequence[JudgeCard], trust: Sequence[str], shown: str, notes: Sequence[str]
) -> str:
    """The card of some judges.

    Args:
        cards: side by side.
        trust: which to trust, in sentences.
        shown: the name of the set.
        notes: on the set.
    """
    prompts = ", ".join(f"{num} of {plural(task)}" for task, num in _num_prompts(cards).items())
    lines = [
        "## Judge card",
        "",
        f"Made on {shown} ({prompts or 'nothing'}), without labels of its own. ✓ shown to be so, ✗ "
        "a fault was shown, ? neither. Intervals are 95 %, clustered by prompt; not looking, "
        "leanings and likings are tested together for each judge, with false alarms kept at 5 %.",
        "",
        *(f"> {note}\n" for note in notes),
        *(f"**{one}**" if at == 0 else one for at, one in enumerate(trust)),
        "",
        "| | " + " | ".join(_cell(one.name) for one in cards) + " |",
        "|---" * (len(cards) + 1) + "|",
    ]
    for question in dict.fromkeys(line.question for one in cards for line in one.lines):
        answers = []
        for one in cards:
            found = next((line for line in one.lines if line.question == question), None)
            answers.append(f"{_SIGNS[found.state]} {_cell(found.text)}" if found else "not asked")
        lines.append(f"| {question} | " + " | ".join(answers) + " |")
    for one in cards:
        lines += ["", f"### {one.given}", "", *_of_judge(one)]
    return "\n".join(lines) + "\n"


def _num_prompts(cards: Sequence[JudgeCard]) -> dict[Task, int]:
    found: dict[Task, int] = {}
    for one in cards:
        for task, num in one.num_prompts.items():
            found[task] = max(found.get(task, 0), num)
    return found


def _of_judge(card: JudgeCard) -> list[str]:
    lines = [f"Not asked of {plural(task)}: {why}" for task, why in card.refused.items()]
    lines += [f"{num} × {_cell(reason)}" for reason, num in list(card.faults.items())[:3]]
    if lines:
        lines.append("")
    lines += [
        "| of | what | value | probes | would have been found | |",
        "|---|---|---|---|---|---|",
    ]
    lines += [_row(one) for one in card.figures]
    if card.stability is not None:
        lines += ["", *_stability(card.stability)]
    if card.report is not None:
        lines += ["", f"On labels ({_cell(card.report.labels)}):", ""]
        lines += ["| slice | " + " | ".join(LABEL_FIGURES) + " |", "|---|---|---|---|"]
        for each in card.report.slices:
            by_name = {one.name: one for one in each.estimates}
            told = []
            for name in LABEL_FIGURES:
                found = by_name.get(name)
                if found is None or found.value is None:
                    told.append("–")
                else:
                    ends = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
                    told.append(f"{found.value:.3f}{ends} of {found.num}")
            lines.append(f"| {_cell(each.name)} | " + " | ".join(told) + " |")
    return lines


def _row(one: CardFigure) -> str:
    mark = "**shown**" if one.is_shown else ""
    cells = (plural(one.task), of_figure(one), valued(one), rests_on(one), least_found(one), mark)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _stability(found: Stability) -> list[str]:
    lines = [f"Stability, against {found.baseline}, on {found.num_labels} prompts:", ""]
    for one in found.variants:
        if one.why_not:
            lines.append(f"- {one.name}: not run: {_cell(one.why_not)}")
        else:
            flips = f"{one.num_flips} of {one.num_duels} verdicts flip"
            p, points = one.largest_p or 0.0, one.largest_score or 0.0
            lines.append(
                f"- {one.name}: {flips}; largest change of a probability {p:.2g}, of a score "
                f"{points:.2g}"
            )
    return lines


def _cell(text: str) -> str:
    """Text that cannot end a cell of a table, or begin markup of a reader's."""
    return text.replace("\n", " ").replace("|", "\\|").replace("<", "&lt;")
