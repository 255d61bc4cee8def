"""Champion against challenger on held-out prompts, at equal seeds; then the gates decide.

    held-out prompts -> both draw from the same noise -> judged in both orders -> win rates

Where the recipe has the sandbox oracle, the gate looks at the oracle's win rate: the challenger was
not trained on it. So it does with a judge behind an endpoint where there is no oracle. Otherwise it
looks at the round's own judge, which is the weaker evidence.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from actors.storage import place
from factory import contest, gates, media
from factory.bias.profile import BiasProfile
from factory.grids import picture_grid
from factory.intervals import Interval, clustered_bootstrap
from factory.judging.specification import SpecificationError, find
from factory.metrics import attribute_drift, win_rate
from factory.prompts import read_prompts
from jobs import results
from jobs.judging import judge_ref
from jobs.pipelines import pool_cpus, pool_gpus, read_groups, run_pipeline
from jobs.ray_session import PIPELINE_OVERHEAD_CPUS
from jobs.results import Decision, Estimate, Evaluation
from jobs.stage import Outcome, Plan
from jobs.stages.audit import read_profile
from jobs.stages.produce import generator_ref
from jobs.tracking import StageRun
from jobs.workspace import InputError, Model, Round, champion, check_model
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import EndpointSpec
from schemas.rows import Candidate, Group


class Evaluate:
    """Makes `evaluation@N`."""

    kind = "evaluation"
    resumes = True

    def plan(self, at: Round) -> Plan:
        recipe = at.recipe
        heldout = read_prompts(place(recipe.evaluate.prompts))
        check_model(recipe.generator.path, "model_index.json", "generator.path")
        trained_on = {prompt.prompt_id for prompt in read_prompts(place(recipe.produce.prompts))}
        for number, prompt in enumerate(heldout, start=1):
            if prompt.prompt_id in trained_on:
                raise InputError(
                    f"{recipe.evaluate.prompts}: row {number} is also in "
                    f"{recipe.produce.prompts}: {prompt.text!r:.80}; held-out prompts must be new"
                )
        if recipe.evaluate.oracle == "sandbox":
            _check_captions(recipe.evaluate.prompts, [prompt.text for prompt in heldout])
        if recipe.evaluate.endpoint is not None:
            _check_endpoint(recipe.evaluate.endpoint)
        return Plan(
            f"{len(heldout)} held-out prompts x 2 x {recipe.evaluate.images_per_prompt}",
            f"{recipe.produce.generators.size} generator(s), {recipe.produce.judges.size} judge(s)",
            pool_cpus(recipe) + PIPELINE_OVERHEAD_CPUS,
            pool_gpus(recipe),
        )

    def settings(self, at: Round) -> dict[str, Any]:
        recipe = at.recipe
        return {
            "seed": recipe.seed,
            "evaluate": recipe.evaluate.model_dump(exclude={"prompts"}),
            "generator": recipe.generator.model_dump(exclude={"path"}),
            "gates": recipe.gates.model_dump(),
        }

    def parents(self, at: Round) -> list[Parent]:
        prompts = at.recipe.evaluate.prompts
        return [
            Parent("prompts", prompts, digest_file(place(prompts))),
            champion(at).parent("champion"),
            at.parent("generator"),
            at.parent("judge"),
            at.parent("profile"),
        ]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        from actors.stages import ORACLE, EndpointRef, JudgeRef
        from factory.sandbox.oracle_judge import NAME

        settings = at.recipe.evaluate
        old = champion(at)
        new = Model(str(at.directory("generator")), at.need("generator").address)
        judges: list[JudgeRef | EndpointRef] = [judge_ref(at)]
        if settings.endpoint is not None:
            judges.append(EndpointRef(settings.endpoint))
        if settings.oracle == "sandbox":
            judges.append(JudgeRef(ORACLE, NAME))
        speed, settled = run_pipeline(
            read_prompts(place(settings.prompts)),
            directory,
            at.recipe,
            generators=[generator_ref(old, at), generator_ref(new, at)],
            num_candidates=settings.images_per_prompt,
            judges=judges,
            strategy=contest.Versus(settings.images_per_prompt),
        )
        print(f"{at.address('evaluation')}: {speed}", flush=True)
        groups = read_groups(directory, settled.files)
        gains = {ref.address: _gain(groups, ref.address, at) for ref in judges}
        drift = _drift(groups)
        _write_grid(groups[: settings.grid_prompts], directory, run)
        evaluation = Evaluation(
            challenger=new.address,
            champion=old.address,
            gains=tuple(gain for both in gains.values() for gain in both),
            drift=tuple(
                Estimate(name, shift, unit="sd of champion") for name, shift in drift.items()
            ),
            grid_prompts=tuple(group.prompt.text for group in groups[: settings.grid_prompts]),
            grid_columns=(old.address, new.address),
        )
        results.write(directory / results.EVALUATION, evaluation)
        # The oracle's, where there is one; else the endpoint's; else the judge's own.
        won = gains[judges[-1].address][0]
        decision = decide(won, drift, read_profile(at), old, new, at)
        results.write(directory / results.FINDINGS, decision)
        _say(decision, evaluation, at)
        figures = {
            f"{gain.name.replace(' ', '_')}_{edge}_{gain.by.partition('@')[0]}": value
            for gain in evaluation.gains
            for edge, value in (("value", gain.value), ("low", gain.low), ("high", gain.high))
            if value is not None
        }
        counts = {
            "groups": len(groups),
            "invalid": sum(gain.num_invalid for gain in evaluation.gains if "win" in gain.name),
        }
        return Outcome(counts, figures, digest=settled.digest, files=settled.files)


def decide(
    won: Estimate,
    drift: dict[str, float],
    profile: BiasProfile,
    old: Model,
    new: Model,
    at: Round,
) -> Decision:
    """Hold the challenger, and the judge that made its pairs, against the gates of the recipe."""
    nan = float("nan")
    interval = Interval(
        nan if won.value is None else won.value,
        nan if won.low is None else won.low,
        nan if won.high is None else won.high,
    )
    findings = [
        (new.address, one) for one in gates.generator_gates(interval, drift, at.recipe.gates)
    ]
    findings += [
        (at.address("judge"), one)
        for one in (
            *gates.unprobed_gates(profile.num_probes, at.recipe.gates),
            *gates.bias_gates(profile.figures, at.recipe.gates),
        )
    ]
    return Decision(
        gates.decide([one for _, one in findings]),
        challenger=new.address,
        champion=old.address,
        findings=tuple(results.Finding.of(one, subject) for subject, one in findings),
    )


def _gain(groups: Sequence[Group], judge: str, at: Round) -> tuple[Estimate, Estimate]:
    """Win rate and score gain of the challenger by one judge."""
    found = [result for group in groups for result in contest.results(group, judge)]
    clusters = [result.prompt_id for result in found]
    num_invalid = sum(result.outcome is None for result in found)
    num_resamples, seed = at.recipe.evaluate.num_resamples, at.recipe.seed
    won = win_rate([result.outcome for result in found], clusters, num_resamples, seed)
    gain = clustered_bootstrap(
        [result.score_gain for result in found], clusters, num_resamples, seed
    )
    num = len(found) - num_invalid
    return (
        _estimate("win rate", won, 0.5, "share", num, num_invalid, judge),
        _estimate("score gain", gain, 0.0, "points", num, num_invalid, judge),
    )


def _estimate(
    name: str, found: Interval, neutral: float, unit: str, num: int, num_invalid: int, by: str
) -> Estimate:
    return Estimate(name, found.value, found.low, found.high, neutral, unit, num, num_invalid, by)


def _drift(groups: Sequence[Group]) -> dict[str, float]:
    """Shift of the pictures' attributes from champion to challenger."""
    sides: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for group in groups:
        num = len(group.candidates) // 2
        for side, candidates in zip(
            sides, (group.candidates[:num], group.candidates[num:]), strict=True
        ):
            for candidate in candidates:
                for name, value in _attributes(candidate).items():
                    side.setdefault(name, []).append(value)
    return attribute_drift(*sides)


def _attributes(candidate: Candidate) -> dict[str, float]:
    if candidate.media is None:
        return {}
    return media.attributes(media.decode(candidate.media.data))


def _write_grid(groups: Sequence[Group], directory: Place, run: StageRun) -> None:
    """Champion and challenger side by side, drawn from the same noise."""
    rows = []
    for group in groups:
        twins = (group.candidates[0], group.candidates[len(group.candidates) // 2])
        rows.append([one.media.data if one.media is not None else None for one in twins])
    path = directory / results.GRID
    captions = [group.prompt.text for group in groups]
    path.write_bytes(picture_grid(rows, ["champion", "challenger"], captions))
    run.log_artifact(path)


def _say(decision: Decision, evaluation: Evaluation, at: Round) -> None:
    for gain in evaluation.gains:
        if gain.value is not None:
            print(
                f"{gain.name} of {evaluation.challenger} against {evaluation.champion} "
                f"by {gain.by}: "
                f"{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}] over {gain.num} pairs",
                flush=True,
            )
    for finding in decision.findings:
        if not finding.is_passed:
            print(f"gate {finding.gate}: {finding.message}", flush=True)
    print(f"decision: {decision.decision} {decision.challenger}", flush=True)


def _check_endpoint(spec: EndpointSpec) -> None:
    """An endpoint needs a specification and its key before anything runs. Raises InputError."""
    try:
        find("", spec.specification).task("image_generation")
    except SpecificationError as error:
        raise InputError(f"evaluate.endpoint: {error}") from None
    if spec.key_variable is not None and not os.environ.get(spec.key_variable):
        raise InputError(f"evaluate.endpoint: the environment has no {spec.key_variable}")


def _check_captions(path: str, texts: Sequence[str]) -> None:
    """The oracle reads captions of the sandbox's grammar alone. Raises InputError."""
    from factory.sandbox.world import CaptionError, parse

    for number, text in enumerate(texts, start=1):
        try:
            parse(text)
        except CaptionError as error:
            raise InputError(
                f"{path}: row {number}: {error}; evaluate.oracle: sandbox needs its captions"
            ) from None


STAGE = Evaluate()
