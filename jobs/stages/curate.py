"""Groups to pairs: order, pair up, object, and write every pair with its verdict.

    groups -> pairs with objections -> objections across the data set -> pairs -> audit sample

No model runs here, so thresholds can change and curation can run again in seconds. Rejected pairs
are written with their reasons; nothing is dropped. Rows stream through Ray Data, unless they are
few. What must be decided over all of them at once (pairs like one already kept, quotas, the audit
sample) is decided from a few numbers of each pair, in this process, and written as their files are
joined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.storage import local_copy, place
from factory.curation.curator import Curator
from factory.curation.pairing import pairing_of
from factory.filters import objections_of
from factory.judging.calibration import Calibration, CalibrationError
from factory.prompts import read_prompts
from factory.ranking import ByTask, strategy_of
from factory.ranking.noise import FILE as NOISE
from jobs.pages.audit_sample import write_sample
from jobs.pipelines import noise
from jobs.pipelines.abstaining import corrected_confidence
from jobs.pipelines.amending import Balance
from jobs.pipelines.bias import correction_of, read_profile
from jobs.pipelines.curation import run_curation, survey_pairs
from jobs.pipelines.given_judge import check_judge, judge_parents
from jobs.pipelines.kept_leads import kept_leads, lead_in_words
from jobs.pipelines.noise import RoundNoise, noise_at
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import InputError, Round, judge
from jobs.stages.base import Outcome, Plan
from schemas import recipe as sections
from schemas import results
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.rows import Prompt, Task

if TYPE_CHECKING:
    pass


class Settings(sections.Curate):
    """What pairs depend on, beside their parents."""

    seed: int
    criteria: sections.Criteria


class Curate:
    """Makes `pairs@N`."""

    kind = "pairs"
    resumes = False

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ()

    def plan(self, at: Round) -> Plan:
        objections_of(at.recipe.curate.objections, _evaluation_prompts(at))
        if at.recipe.curate.objections.abstain:
            check_judge(at)
        return Plan("every group", "1 curator", 1.0)

    def settings(self, at: Round) -> Settings:
        recipe = at.recipe
        return Settings(seed=recipe.seed, criteria=recipe.criteria, **dict(recipe.curate))

    def parents(self, at: Round) -> list[Parent]:
        evaluation = [
            Parent("evaluation prompts", path, digest_file(place(path)))
            for path in _evaluation_files(at)
        ]
        asked = judge_parents(at) if at.recipe.curate.objections.abstain else []
        return [at.parent("groups"), at.parent("profile"), *asked, *evaluation]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        curate, known = at.recipe.curate, noise_at(at)
        curator = Curator(
            _strategies(curate.rank, known),
            objections_of(
                curate.objections, _evaluation_prompts(at), _least_confidence(at), known.units
            ),
            pairing_of(curate, known.units),
            at.recipe.criteria,
            correction_of(at),
        )
        correct = curate.correct
        balance = None
        if correct.max_lean is not None:
            balance = Balance(
                read_profile(at).sds, correct.max_lean, correct.balance == "weighting"
            )
        settled = run_curation(
            at.directory("groups"), directory, curator, curate.objections, at.recipe, balance
        )
        survey = survey_pairs(directory, settled.files)
        results.write(directory / results.SLICES, survey.slices())
        leads = kept_leads(at, directory, curator, settled.files)
        if leads:
            results.write(directory / results.KEPT_LEADS, leads)
        for lead in leads:
            print(f"{at.address('pairs')}: {lead_in_words(lead)}", flush=True)
        (directory / NOISE).write_bytes(known.fitted.to_json().encode())
        rankings = noise.rankings(at, known)
        results.write(directory / results.RANKING, rankings)
        for ranking in rankings:
            print(f"{at.address('pairs')}: {ranking.task}: noise: {ranking.source}", flush=True)
        num = write_sample(directory, curate.audit_sample, at.recipe.seed, settled.files)
        if num:
            print(f"{at.address('pairs')}: {num} pairs for people to look at", flush=True)
        return Outcome(
            {**survey.counts(), "audit_sample": num},
            {
                "effective_pairs": survey.num_effective,
                **noise.figures(known),
                **{
                    f"objection_{reason.replace(' ', '_')}": float(num)
                    for reason, num in sorted(survey.reasons.items())
                },
            },
            digest=settled.digest,
            files=settled.files,
        )


def _strategies(rank: sections.Rank, known: RoundNoise) -> ByTask:
    return ByTask(
        strategy_of(rank), {task: strategy_of(rank, known.noise(task)) for task in known.sources}
    )


def _least_confidence(at: Round) -> dict[Task, float]:
    """The confidence of a duel from which the judge is to be heard, where the recipe asks; of a
    corrected one where duels are corrected.

    Raises:
        InputError: the judge has no calibration, or one that cannot be read, or none that can be
            found again for corrected duels.
    """
    if not at.recipe.curate.objections.abstain:
        return {}
    model = judge(at)
    directory = place(model.path)
    try:
        calibration = Calibration.load(local_copy(directory))
    except CalibrationError as error:
        raise InputError(str(error)) from None
    if calibration is None:
        raise InputError(
            f"curate.objections.abstain: {model.address} has no calibration ({directory}); "
            "train it with train_judge.calibration.fit_share above 0"
        )
    found = calibration.least_confidence(is_calibrated=at.recipe.produce.is_calibrated)
    if not found:
        raise InputError(
            f"curate.objections.abstain: {model.address} has no abstention ({directory}); "
            "it had too few held-out pairs to fit one"
        )
    correction = correction_of(at)
    if correction.is_needed:
        found = corrected_confidence(at, calibration, correction)
    for task, least in found.items():
        told = "never heard" if math.isinf(least) else f"heard from a confidence of {least:.3f}"
        print(f"{model.address}: {task}: {told}", flush=True)
    return found


def _evaluation_files(at: Round) -> list[str]:
    evaluate = at.recipe.evaluate
    own = [evaluate.prompts] if evaluate.has("prompts") else []
    return [*own, *at.recipe.curate.objections.evaluation_prompts]


def _evaluation_prompts(at: Round) -> dict[str, list[Prompt]]:
    return {place(path).name: read_prompts(place(path)) for path in _evaluation_files(at)}


STAGE = Curate()
