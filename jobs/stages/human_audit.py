"""Filled sheets to findings: how precise the kept pairs are by people, and how people agree.

    pairs' audit sample, sheets -> precision with an interval, agreement -> a section of the report

It stands beside the loop: people take days, and no stage waits for them. Sheets that come in later
are added to `human_audit.sheets`; the stage then asks to remove what was found before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actors.storage import place
from factory.human_audit.findings import Findings, find
from factory.human_audit.sheets import Answer, SheetError, read_sheet
from factory.statistics.intervals import Interval
from jobs.pages.audit_sample import read_sample
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round
from jobs.stages.base import Outcome, Plan
from schemas import recipe as sections
from schemas import results
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import Estimate, HumanAudit

_PEOPLE = "people"


class Settings(sections.HumanAudit):
    """What findings depend on, beside their parents."""

    seed: int


class AuditByPeople:
    """Makes `human_audit@N`."""

    kind = "human_audit"
    resumes = False

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ()

    def plan(self, at: Round) -> Plan:
        sheets = at.recipe.human_audit.sheets
        if not sheets:
            raise InputError(
                "human_audit.sheets: names no file; give the sheets that people filled, "
                "human_audit.sheets=[ann.csv, ben.csv]"
            )
        for sheet in sheets:
            if not place(sheet).is_file():
                raise SheetError(f"{sheet}: no such sheet")
        return Plan(f"{len(sheets)} sheet(s)", "no actors", 0.0)

    def settings(self, at: Round) -> Settings:
        return Settings(seed=at.recipe.seed, **dict(at.recipe.human_audit))

    def parents(self, at: Round) -> list[Parent]:
        return [
            at.parent("pairs"),
            *(
                Parent("sheet", path, digest_file(place(path)))
                for path in at.recipe.human_audit.sheets
            ),
        ]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        settings = at.recipe.human_audit
        sample = read_sample(at.directory("pairs"))
        if not sample:
            raise InputError(
                f"{at.directory('pairs')}: has no audit sample; curate.audit_sample.size is "
                f"{at.recipe.curate.audit_sample.size}, or no pair was kept"
            )
        answers = _read_sheets(settings.sheets, {one.pair_id for one in sample})
        found = find(sample, answers, settings.num_resamples, at.recipe.seed)
        people = tuple(sorted({one.annotator for one in answers}))
        judge = at.address("judge")
        summary = HumanAudit(
            pairs=at.address("pairs"),
            people=people,
            num_sampled=len(sample),
            num_answered=found.num_answered,
            num_unclear=found.num_unclear,
            estimates=tuple(_estimates(found, judge, len(answers) - found.num_unclear)),
        )
        results.write(directory / results.HUMAN_AUDIT, summary)
        run.log_artifact(directory / results.HUMAN_AUDIT)
        for one in summary.estimates:
            if one.value is not None:
                print(f"{summary.pairs}: {one.name} {_told(one)}", flush=True)
        return Outcome(
            {
                "sampled": len(sample),
                "answered": found.num_answered,
                "answers": len(answers),
                "unclear": found.num_unclear,
                "people": len(people),
            },
            {
                "precision": found.precision.value,
                "precision_low": found.precision.low,
                "precision_high": found.precision.high,
                "kappa": found.kappa.value,
                "alpha": found.alpha.value,
                "agreement": found.agreement.value,
                "seconds_per_look": found.seconds.value,
            },
        )


def _read_sheets(paths: list[str], pair_ids: set[str]) -> list[Answer]:
    """All answers; the same person may have filled several sheets, each pair once.

    Raises:
        SheetError: a sheet that cannot be used, or no answer in any.
    """
    found: dict[tuple[str, str], str] = {}
    answers = []
    for path in paths:
        for answer in read_sheet(place(path), pair_ids):
            key = (answer.pair_id, answer.annotator)
            if key in found:
                raise SheetError(
                    f"{path}: {answer.annotator!r} has answered pair {answer.pair_id} in "
                    f"{found[key]} already; leave one of the two answers"
                )
            found[key] = path
            answers.append(answer)
    if not answers:
        raise SheetError(f"{', '.join(paths)}: hold no answer")
    return answers


def _estimates(found: Findings, judge: str, num_answers: int) -> Iterator[Estimate]:
    num = found.num_answered
    yield _estimate(
        "precision",
        found.precision,
        "share",
        num,
        note="kept pairs whose chosen side people prefer",
    )
    for name, (share, rests_on) in found.precision_by_slice.items():
        if name:
            yield _estimate(f"precision, {name}", share, "share", rests_on)
    yield _estimate("ties", found.ties, "share", num, note="kept pairs that people call equal")
    yield _estimate(
        "agreement",
        found.agreement,
        "share",
        num_answers,
        note=f"answers that are {judge}'s verdict",
    )
    yield _estimate(
        "Cohen's kappa", found.kappa, "beyond chance", num_answers, 0.0, f"people and {judge}"
    )
    if len(found.kappa_by_person) > 1:
        for person, kappa in found.kappa_by_person.items():
            yield _estimate(
                "Cohen's kappa", kappa, "beyond chance", None, 0.0, f"and {judge}", person
            )
    yield _estimate(
        "Krippendorff's alpha", found.alpha, "beyond chance", None, 0.0, "people among themselves"
    )
    yield _estimate("time of a look", found.seconds, "seconds", None, note="measured by the page")


def _estimate(
    name: str,
    found: Interval,
    unit: str,
    num: int | None,
    neutral: float | None = None,
    note: str = "",
    by: str = _PEOPLE,
) -> Estimate:
    return Estimate(name, found.value, found.low, found.high, neutral, unit, num, by=by, note=note)


def _told(one: Estimate) -> str:
    return f"{one.value:.3g} [{one.low:.3g}, {one.high:.3g}] {one.unit}; {one.note} ({one.by})"


STAGE = AuditByPeople()
