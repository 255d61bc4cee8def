"""The rounds of a loop at a glance: who challenged whom, what each judge said, what became of it.

Read from the artifacts, so it can be made at any time and says the same after a restart. Scores are
those of the judge that decides. Held-out prompts are drawn from equal noise in every round, so
where that judge stays the same (an oracle, a held-out judge) its scores can be followed.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.storage import write_whole
from jobs.rounds.course import course, left_out
from jobs.rounds.limits import spent, spent_in
from jobs.rounds.workspace import Round, rollbacks
from schemas import manifest, results
from schemas.artifacts import loop_kinds
from schemas.places import REPORTS, Place
from schemas.recipe import Recipe
from schemas.results import Decision, Estimate, Evaluation, Rollback


@dataclass(frozen=True)
class RoundSummary:
    """One round; what it has not come to yet is None.

    won: win rate of the challenger by the judge that decides.
    won_by_own: by the judge that made the pairs; None where that is the same.
    score_before, score_after: of champion and challenger, by the judge that decides.
    reasons: what kept the champion, a sentence for each gate that was not passed.
    num_labels, num_inbox: label rows that were new in this round, and those that people brought.
    num_kept: pairs that were trained on.
    missing: stages of the recipe that are not complete.
    back: who went back to which champion after this round.
    is_begun: whether anything is complete.
    undecided: why there will be no decision; empty where the recipe evaluates.
    """

    number: int
    champion: str | None
    challenger: str | None
    decision: str | None
    won: Estimate | None
    won_by_own: Estimate | None
    score_before: Estimate | None
    score_after: Estimate | None
    reasons: tuple[str, ...]
    num_labels: int | None
    num_inbox: int
    judge_accuracy: float | None
    num_kept: int | None
    hours: float
    missing: tuple[str, ...]
    back: tuple[Rollback, ...]
    is_begun: bool = True
    undecided: str = ""

    @property
    def next_champion(self) -> str | None:
        """Who is champion after this round."""
        if self.back:
            return self.back[-1].champion
        return self.challenger if self.decision == "promote" else self.champion


def rounds_so_far(recipe: Recipe) -> list[RoundSummary]:
    """The rounds that were begun, in order."""
    rounds = (Round(recipe, number) for number in range(1, recipe.num_rounds + 1))
    each = [summarise(at) for at in rounds]
    while each and not each[-1].is_begun:
        each.pop()
    return each


def summarise(at: Round) -> RoundSummary:
    """Read one round."""
    made = {kind.name: manifest.read(at.directory(kind.name)) for kind in loop_kinds()}
    evaluation, decision = None, None
    if made["evaluation"] is not None:
        directory = at.directory("evaluation")
        evaluation = results.read(directory / results.EVALUATION, Evaluation)
        decision = results.read(directory / results.FINDINGS, Decision)
    wins = [one for one in evaluation.gains if one.name == "win rate"] if evaluation else []
    scores = evaluation.scores[-2:] if evaluation else ()
    labels, judge, pairs = made["labels"], made["judge"], made["pairs"]
    return RoundSummary(
        number=at.number,
        champion=decision.champion if decision else None,
        challenger=decision.challenger if decision else None,
        decision=decision.decision if decision else None,
        won=wins[-1] if wins else None,
        won_by_own=wins[0] if len(wins) > 1 else None,
        score_before=scores[0] if scores else None,
        score_after=scores[1] if scores else None,
        reasons=_reasons(decision),
        num_labels=labels.counts.get("labels") if labels else None,
        num_inbox=labels.counts.get("inbox", 0) if labels else 0,
        judge_accuracy=judge.figures.get("accuracy_without_ties") if judge else None,
        num_kept=pairs.counts.get("kept") if pairs else None,
        hours=spent_in(at).hours,
        missing=tuple(kind.job for kind in course(at.recipe) if made[kind.name] is None),
        back=tuple(rollbacks(at)),
        is_begun=any(made.values()),
        undecided=left_out(at.recipe).get("evaluate", ""),
    )


def _reasons(decision: Decision | None) -> tuple[str, ...]:
    if decision is None:
        return ()
    return tuple(f"{one.gate}: {one.message}" for one in decision.findings if not one.is_passed)


def kept_in_a_row(recipe: Recipe, number: int) -> int:
    """How many rounds in a row, up to the one before `number`, ended without a promotion."""
    num = 0
    for at in reversed(Round(recipe, number).earlier()):
        if summarise(at).decision != "keep":
            break
        num += 1
    return num


def as_text(recipe: Recipe) -> str:
    """All rounds, a paragraph each."""
    lines = [f"{recipe.name}: rounds so far"]
    for one in rounds_so_far(recipe):
        lines += [f"  {line}" for line in _lines(one)]
    so_far = spent(recipe)
    gpu = f", {so_far.gpu_hours:.2f} GPU hours" if so_far.gpu_hours else ""
    lines.append(f"  spent: {so_far.hours:.2f} hours{gpu}")
    return "\n".join(lines)


def _lines(one: RoundSummary) -> list[str]:
    if one.decision is None and (one.missing or not one.undecided):
        return [f"round {one.number}: not complete ({', '.join(one.missing)})"]
    if one.decision is None:
        return [
            f"round {one.number}: complete; {one.num_kept} pairs kept; {one.hours:.2f} hours",
            f"  nothing promoted: {one.undecided}",
        ]
    people = f", {one.num_inbox} of them from the inbox" if one.num_inbox else ""
    accuracy = "" if one.judge_accuracy is None else f"; judge accuracy {one.judge_accuracy:.3f}"
    lines = [
        f"round {one.number}: {one.decision} {one.challenger} against {one.champion}; "
        f"champion from here on: {one.next_champion}",
        f"  {one.num_labels or 'no'} new labels{people}{accuracy}; {one.num_kept} pairs kept; "
        f"{one.hours:.2f} hours",
    ]
    for won in (one.won, one.won_by_own):
        if won is not None:
            lines.append(f"  win rate by {won.by}: {told(won)}")
    if one.score_before is not None and one.score_after is not None:
        lines.append(
            f"  score by {one.score_after.by}: {told(one.score_before)} -> {told(one.score_after)}"
        )
    lines += [f"  kept because of {reason}" for reason in one.reasons]
    lines += [f"  went back to {back.champion} from {back.was}: {back.reason}" for back in one.back]
    return lines


def told(one: Estimate) -> str:
    """An estimate in a line of text."""
    if one.value is None:
        return "not measured"
    interval = "" if one.low is None else f" [{one.low:.3f}, {one.high:.3f}]"
    invalid = f", {one.num_invalid} invalid" if one.num_invalid else ""
    return f"{one.value:.3f}{interval}{invalid}"


def write_summary(recipe: Recipe) -> Place:
    """Write the rounds so far to the root's reports, and return the file."""
    path = Round(recipe, 1).root / REPORTS / "summary.txt"
    write_whole(path, (as_text(recipe) + "\n").encode())
    return path
