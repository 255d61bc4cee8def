"""Filled sheets to findings: how precise the kept pairs are by people, and how people agree.

    pairs' audit sample, sheets -> precision with an interval, agreement -> a section of the report

    human_audit@N/answers-DIGEST.parquet   every answer that counts; the manifest names the file
    human_audit@N/human_audit.json         what follows from them

It stands beside the loop: people take days, and no stage waits for them. A sheet that comes in
later is given to the same command, alone or with the earlier ones: the artifact holds its answers
itself, keeps them, and is made again with those of the new sheet. Where a person answers a pair
again in a later sheet, the later answer counts; those that say something else are counted as
corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from actors import storage
from actors.storage import place
from factory.human_audit.findings import DoubtOfAll, Findings, Sampled, find
from factory.human_audit.sheets import Answer, SheetError, read_sheet, with_later
from factory.statistics.intervals import Interval
from jobs.pages.audit_sample import read_answers, read_doubts, read_sample, write_answers
from jobs.rounds.lifecycle import lost_race, remake
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round, judge_address
from jobs.session.run_log import note
from jobs.stages.base import Outcome, Plan
from schemas import manifest, results
from schemas import recipe as sections
from schemas.manifest import Manifest, Parent, digest_file
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import Estimate, HumanAudit

_PEOPLE = "people"


class Settings(sections.HumanAudit):
    """What findings depend on, beside their parents."""

    seed: int


class AuditByPeople:
    """Makes `human_audit@N`, and takes in sheets that come later."""

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
        """The pairs, the sheets that were taken in, and those that are new: a sheet is known by
        its bytes, wherever it lies.
        """
        made = manifest.read(at.directory(self.kind))
        taken = [one for one in made.parents if one.role == "sheet"] if made is not None else []
        sheets = {one.digest: one for one in taken}
        for path in at.recipe.human_audit.sheets:
            digest = digest_file(place(path))
            sheets.setdefault(digest, Parent("sheet", path, digest))
        return [at.parent("pairs"), *sheets.values()]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        sample = _sample(at)
        answers, num_corrected = _take([], at.recipe.human_audit.sheets, sample)
        if num_corrected:
            print(f"{at.address(self.kind)}: {num_corrected} answer(s) corrected by a later sheet")
        doubt = _doubt_of_all(at, sample)
        found = _found(at, sample, answers, doubt)
        outcome = _outcome(directory, found, len(sample), answers, num_corrected)
        summary = _summary(at, found, outcome, answers, doubt)
        results.write(directory / results.HUMAN_AUDIT, summary)
        run.log_artifact(directory / results.HUMAN_AUDIT)
        _tell(summary)
        return outcome

    def grow(self, at: Round, made: Manifest, new: Sequence[Parent], run: StageRun) -> Manifest:
        """Take in the sheets that are new; the answers that are there stay.

        Raises:
            SheetError: a sheet that cannot be used, or no answer in any of the new ones.
            InputError: the answers of an artifact that an earlier version made are gone.
            LostRaceError: another driver has taken sheets in at the same time.
        """
        directory = at.directory(self.kind)
        path = directory / results.HUMAN_AUDIT
        before = path.read_bytes()
        sample = _sample(at)
        answers = _answers_of(made, directory, at, sample)
        num_earlier, num_corrected = len(answers), made.counts.get("corrected", 0)
        if new:
            paths = [sheet.address for sheet in new]
            answers, num_now = _take(answers, paths, sample)
            num_corrected += num_now
            print(
                f"{made.address}: {len(paths)} new sheet(s): {len(answers) - num_earlier} new "
                f"answer(s), {num_now} of {num_earlier} earlier ones corrected",
                flush=True,
            )
        doubt = _doubt_of_all(at, sample)
        found = _found(at, sample, answers, doubt)
        outcome = _outcome(directory, found, len(sample), answers, num_corrected)
        summary = _summary(at, found, outcome, answers, doubt)
        if new:
            made = remake(made, directory, outcome, [*made.parents, *new])
            note("sheets_taken", stage=made.address, sheets=paths, corrected=num_now)
        # After the manifest, which decides whose answers count; a run that is killed in between
        # leaves no record, and the next one comes by here.
        try:
            storage.replace(path, before, results.to_bytes(summary))
        except FileExistsError:
            raise lost_race(directory, made.address) from None
        run.log_artifact(path)
        _tell(summary)
        return made


def _sample(at: Round) -> list[Sampled]:
    sample = read_sample(at.directory("pairs"))
    if not sample:
        raise InputError(
            f"{at.directory('pairs')}: has no audit sample; curate.audit_sample.size is "
            f"{at.recipe.curate.audit_sample.size}, or no pair was kept"
        )
    return sample


def _doubt_of_all(at: Round, sample: list[Sampled]) -> DoubtOfAll | None:
    """The judge's doubt of all kept pairs; None, told, where it is of no use."""
    settings = at.recipe.curate.audit_sample
    found = read_doubts(at.directory("pairs"), settings.slice_by)
    if found is None or not {one.slice for one in sample} <= set(found):
        print(
            f"{at.address('pairs')}: the judge's doubt is not known for all kept pairs, or is the "
            "same for all; precision and ties rest on the answers alone"
        )
        return None
    return found


def _found(
    at: Round, sample: list[Sampled], answers: list[Answer], doubt: DoubtOfAll | None
) -> Findings:
    return find(sample, answers, at.recipe.human_audit.num_resamples, at.recipe.seed, doubt)


def _take(
    answers: list[Answer], paths: Sequence[str], sample: list[Sampled]
) -> tuple[list[Answer], int]:
    """Answers with those of some sheets, one after the other, and how many were corrected.

    Raises:
        SheetError: a sheet that cannot be used, or no answer in any.
    """
    pair_ids = {one.pair_id for one in sample}
    num_answers = num_corrected = 0
    for path in paths:
        later = read_sheet(place(path), pair_ids)
        answers, num = with_later(answers, later)
        num_answers += len(later)
        num_corrected += num
    if not num_answers:
        raise SheetError(f"{', '.join(paths)}: hold no answer")
    return answers, num_corrected


def _answers_of(made: Manifest, directory: Place, at: Round, sample: list[Sampled]) -> list[Answer]:
    """The answers of a complete audit. Earlier versions kept none: their sheets are read again."""
    if made.files is not None:
        try:
            return read_answers(directory / made.files[0])
        except FileNotFoundError:
            raise InputError(
                f"{directory}: {made.files[0]} is not there; if another driver has taken sheets in "
                "just now, run the same command again"
            ) from None
    taken = [one for one in made.parents if one.role == "sheet"]
    paths = [*(one.address for one in taken), *at.recipe.human_audit.sheets]
    by_digest = {digest_file(place(path)): path for path in paths if place(path).is_file()}
    for sheet in taken:
        if sheet.digest not in by_digest:
            raise InputError(
                f"{directory}: {made.address} was made by an earlier version, which kept no "
                f"answers, and {sheet.address} is no longer what it was; name a copy of that sheet "
                "too, or remove what lies there to make it again"
            )
    return _take([], [by_digest[sheet.digest] for sheet in taken], sample)[0]


def _outcome(
    directory: Place,
    found: Findings,
    num_sampled: int,
    answers: list[Answer],
    num_corrected: int,
) -> Outcome:
    file, digest = write_answers(directory, answers)
    return Outcome(
        {
            "sampled": num_sampled,
            "answered": found.num_answered,
            "answers": len(answers),
            "unclear": found.num_unclear,
            "corrected": num_corrected,
            "people": len({one.annotator for one in answers}),
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
        digest=digest,
        files=(file,),
    )


def _summary(
    at: Round,
    found: Findings,
    outcome: Outcome,
    answers: list[Answer],
    doubt: DoubtOfAll | None,
) -> HumanAudit:
    num_clear = len(answers) - found.num_unclear
    return HumanAudit(
        pairs=at.address("pairs"),
        people=tuple(sorted({one.annotator for one in answers})),
        num_sampled=outcome.counts["sampled"],
        num_answered=found.num_answered,
        num_unclear=found.num_unclear,
        estimates=tuple(_estimates(found, judge_address(at), num_clear, _rests_on(doubt))),
        num_corrected=outcome.counts["corrected"],
    )


def _tell(summary: HumanAudit) -> None:
    for one in summary.estimates:
        if one.value is not None:
            print(f"{summary.pairs}: {one.name} {_told(one)}", flush=True)


def _rests_on(doubt: DoubtOfAll | None) -> str:
    if doubt is None:
        return "by the answers alone"
    num = sum(int(counts.sum()) for counts in doubt.values())
    return f"sharpened by the judge's doubt of all {num:,}"


def _estimates(found: Findings, judge: str, num_answers: int, rests_on: str) -> Iterator[Estimate]:
    num = found.num_answered
    yield _estimate(
        "precision",
        found.precision,
        "share",
        num,
        note=f"kept pairs whose chosen side people prefer; {rests_on}",
    )
    for name, (share, num_here) in found.precision_by_slice.items():
        if name:
            yield _estimate(f"precision, {name}", share, "share", num_here)
    yield _estimate(
        "ties", found.ties, "share", num, note=f"kept pairs that people call equal; {rests_on}"
    )
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
    return Estimate.of(name, found, neutral, unit, num, by=by, note=note)


def _told(estimate: Estimate) -> str:
    interval = ""
    if estimate.low is not None and estimate.high is not None:
        interval = f" [{estimate.low:.3g}, {estimate.high:.3g}]"
    return f"{estimate.value:.3g}{interval} {estimate.unit}; {estimate.note} ({estimate.by})"


STAGE = AuditByPeople()
