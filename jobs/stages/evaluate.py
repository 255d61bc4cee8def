"""Champion against challenger on held-out prompts, at equal seeds; then the gates decide.

    held-out prompts -> both draw from the same noise -> judged in both orders -> win rates

The gate looks at the win rate by a judge that the challenger was not trained on: one that knows
what is right where the recipe names one (`evaluate.oracle`), else a held-out judge, else a judge
behind an endpoint. Without any it looks at the round's own judge, which is the weaker evidence, and
nobody can tell whether the challenger has only learned to please it (`factory.evaluation.alarms`).
What the others are worth as witnesses of that is measured on held-out labels, where there are some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from actors.refs import PluginRef
from actors.storage import place
from factory.bias.profile import BiasProfile
from factory.evaluation import contest, gates, spending
from factory.evaluation.comparison import Comparison, compare, grid, outputs
from factory.evaluation.reference import REFERENCE_KEY, reference_of
from factory.evaluation.shift import Outputs
from factory.prompts import PromptsFile
from factory.protocols import ReferenceJudge
from jobs.datasets.at_hand import Source
from jobs.datasets.measured import read_measured
from jobs.datasets.reading import find_rows
from jobs.pipelines.bias import read_profile
from jobs.pipelines.given_judge import (
    check_contest,
    check_judge,
    check_tasks,
    judge_parents,
    judging_pool,
)
from jobs.pipelines.groups import pool_cpus, pool_gpus, run_pipeline
from jobs.pipelines.judge_backends import check_section, parents_of, ref_of
from jobs.pipelines.models import generator_ref, judge_ref, witness_sections
from jobs.pipelines.opinions import heldout_opinions, hold_against_gates
from jobs.pipelines.prompt_checks import check_drawn, check_judged, check_witnesses
from jobs.pipelines.reuse import as_parents, reused
from jobs.pipelines.scales import points_per_scale
from jobs.pipelines.witnesses import known_opinions, plan_notes
from jobs.rounds.checks import PIPELINE_OVERHEAD_CPUS, check_generator, prompts_file
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import (
    InputError,
    Model,
    Round,
    champion,
    is_judge_given,
    is_labelled,
    judge,
    rollbacks,
)
from jobs.stages.base import Outcome, Plan
from schemas import manifest, results
from schemas import recipe as sections
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS
from schemas.manifest import Parent, digest_file
from schemas.places import Place
from schemas.recipe import JudgeSpec, Pool, Recipe, told_by
from schemas.results import Decision, Evaluation
from schemas.rows import Prompt
from schemas.section import Section

if TYPE_CHECKING:
    from actors.refs import JudgingRef


#: The role of the held-out judge among the parents.
_WITNESS = "heldout judge"


class Settings(Section):
    """What an evaluation depends on, beside its parents."""

    seed: int
    evaluate: sections.Evaluate
    generator: sections.GeneratorSpec
    gates: sections.Gates


class Evaluate:
    """Makes `evaluation@N`."""

    kind = "evaluation"
    resumes = True

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return ("generator", "judge", "evaluate.prompts")

    def plan(self, at: Round) -> Plan:
        recipe = at.recipe
        prompts = prompts_file(recipe.evaluate.prompts, "evaluate.prompts", recipe)
        heldout = list(prompts)
        check_generator(recipe.generator, recipe, tasks=prompts.tasks)
        check_drawn(prompts, {"generator.path": recipe.generator})
        check_judge(at, prompts.tasks)
        if is_judge_given(at):
            check_contest(recipe.judge, "judge", prompts.tasks)
        check_judged(prompts, recipe.judge)
        if recipe.produce.has("prompts"):
            _check_new(heldout, recipe)
        reference = reference_of(recipe.evaluate)
        if reference is not None:
            try:
                reference.check(recipe.evaluate.prompts, heldout)
            except ValueError as error:
                raise InputError(f"{REFERENCE_KEY}: {error}") from error
        for key, spec in witness_sections(recipe).items():
            check_section(spec, key)
            check_tasks(spec, key, prompts.tasks)
            check_contest(spec, key, prompts.tasks)
        check_witnesses(prompts, recipe.evaluate)
        return Plan(
            f"{len(heldout)} held-out prompts x 2 x {recipe.evaluate.images_per_prompt}",
            f"{recipe.produce.generators.span} generator(s), {recipe.produce.judges.span} judge(s)",
            pool_cpus(recipe) + PIPELINE_OVERHEAD_CPUS,
            pool_gpus(recipe, _pool(at, reference)),
            notes=lambda: [
                *_told_power(at, len(heldout)),
                *plan_notes(at, len(heldout), prompts.tasks),
            ],
        )

    def settings(self, at: Round) -> Settings:
        recipe = at.recipe
        return Settings(
            seed=recipe.seed,
            evaluate=recipe.evaluate,
            generator=recipe.generator,
            gates=recipe.gates,
        )

    def parents(self, at: Round) -> list[Parent]:
        prompts = at.recipe.evaluate.prompts
        return [
            Parent("prompts", prompts, digest_file(place(prompts))),
            champion(at).parent("champion"),
            at.parent("generator"),
            *judge_parents(at),
            at.parent("profile"),
            *_heldout_judge(at),
            *([Round(at.recipe, 1).parent("evaluation")] if at.number > 1 else []),
        ]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        settings = at.recipe.evaluate
        old = champion(at)
        new = Model(str(at.directory("generator")), at.need("generator").address)
        reference = reference_of(settings)
        judges = _judges(at, reference)
        sources = _sources(at)
        speed, settled = run_pipeline(
            PromptsFile(place(settings.prompts)),
            directory,
            at.recipe,
            generators=[generator_ref(old, at), generator_ref(new, at)],
            num_candidates=settings.images_per_prompt,
            judges=judges,
            strategy=contest.Versus(settings.images_per_prompt),
            sources=sources,
        )
        print(f"{at.address('evaluation')}: {speed}", flush=True)
        groups = read_measured(directory, settled.files)
        names = (old.address, new.address)
        tasks = {one.prompt.task for one in groups}
        opinions = known_opinions(at, judges[1:], tasks, directory)
        found = compare(
            groups,
            [one.address for one in judges],
            names,
            at.recipe,
            _start(at, old),
            None if reference is None else (reference.name, reference.full_marks),
            opinions,
        )
        shown = [one.prompt.prompt_id for one in groups[: settings.grid_prompts]]
        _write_grid(directory, settled.files, shown, names, run)
        results.write(directory / results.EVALUATION, found.evaluation)
        decision = decide(found, read_profile(at), old, new, at, points_per_scale(at))
        results.write(directory / results.FINDINGS, decision)
        _say(decision, found.evaluation)
        evaluation = found.evaluation
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
        figures |= speed.figures()
        return Outcome(
            counts,
            figures,
            digest=settled.digest,
            files=settled.files,
            parents=as_parents(sources),
        )


def _sources(at: Round) -> list[Source]:
    """What the evaluations of earlier rounds have, and what the recipe names: a champion draws for
    the held-out prompts from equal noise in each round.
    """
    earlier = [one.directory("evaluation") for one in at.earlier()]
    return [Source.of(directory) for directory in (*earlier[::-1], *reused(at.recipe))]


def _check_new(heldout: Sequence[Prompt], recipe: Recipe) -> None:
    trained_on = prompts_file(recipe.produce.prompts, "produce.prompts", recipe)
    for number, prompt in enumerate(heldout, start=1):
        if prompt.prompt_id in trained_on:
            raise InputError(
                f"{recipe.evaluate.prompts}: row {number} is also in "
                f"{recipe.produce.prompts}: {prompt.text!r:.80}; held-out prompts must be new"
            )


def _pool(at: Round, reference: ReferenceJudge | None) -> Pool:
    """The judges' pool; who knows what is right runs here, and may ask for what it likes."""
    if reference is not None:
        return at.recipe.produce.judges
    return judging_pool(at, witness_sections(at.recipe).values())


def _judges(at: Round, reference: ReferenceJudge | None) -> list[JudgingRef]:
    """Who is asked: the round's own judge first, and the one that decides last."""
    judges: list[JudgingRef] = [judge_ref(at)]
    judges += [
        ref_of(spec, key, f"{spec.name}@0") for key, spec in witness_sections(at.recipe).items()
    ]
    if reference is not None:
        judges.append(PluginRef(at.recipe.evaluate.oracle, REFERENCE_KEY, reference.name))
    return judges


def _heldout_judge(at: Round) -> list[Parent]:
    """The held-out judge as a parent; of a panel, all of it.

    Raises:
        InputError: it, or a member of it, is the judge of the pairs or one of its members, or was
            trained on the same labels.
    """
    spec = at.recipe.evaluate.heldout_judge
    if spec is None:
        return []
    own = judge(at)
    labels = {one.digest for one in _parents_of(own.path) if one.role == "labels"}
    found = {one.name: _as_parents(one) for one in spec.panel or [spec]}
    for one in spec.panel or [spec]:
        shared = [made.address for made in _parents_of(one.path) if made.digest in labels]
        is_same = found[one.name][0].digest in _own_digests(at)
        if is_same or shared:
            why = f"was trained on {', '.join(shared)}" if shared else f"is {own.address}"
            if is_same and at.recipe.judge.panel:
                why = f"is a member of {own.address}"
            raise InputError(
                f"evaluate.heldout_judge: {one.path} {why}, as the judge of the pairs was: it "
                "makes the same mistakes; name another model"
            )
    if spec.panel:
        return parents_of(spec, f"{spec.name}@0", _WITNESS)
    return found[spec.name]


def _own_digests(at: Round) -> set[str]:
    """By what the judge of the pairs is known, or each of its members."""
    if not is_judge_given(at):
        return {judge(at).parent("judge").digest}
    spec = at.recipe.judge
    return {_as_parents(one)[0].digest for one in spec.panel or [spec]}


def _as_parents(spec: JudgeSpec) -> list[Parent]:
    """One judge that is named in a recipe; of an endpoint, how it is asked too."""
    if spec.told == "endpoint":
        return parents_of(spec, f"{spec.name}@0", _WITNESS)
    return [Model(spec.path, f"{spec.name}@0").parent(_WITNESS)]


def _parents_of(path: str) -> tuple[Parent, ...]:
    """What a model was made from; nothing where the factory did not make it."""
    is_made = told_by(path) is None and place(path).is_dir()
    made = manifest.read(place(path)) if is_made else None
    return () if made is None else tuple(made.parents)


def _start(at: Round, old: Model) -> tuple[str, Outputs] | None:
    """What the generator that the recipe starts from drew for the held-out prompts, from the first
    round's evaluation; None where the champion is that one. Both drew from equal noise.
    """
    first = Round(at.recipe, 1)
    base = champion(first)
    if at.number == 1 or old.address == base.address:
        return None
    return base.address, outputs(read_measured(first.directory("evaluation")))[0]


def decide(
    found: Comparison, profile: BiasProfile, old: Model, new: Model, at: Round, unit: float
) -> Decision:
    """Hold the challenger, and the judge that made its pairs, against the gates of the recipe.

    Args:
        found: how the two compare.
        profile: of the judge.
        old: the champion.
        new: the challenger.
        at: whose gates.
        unit: points of the judge's whole scale.
    """
    limits, level = at.recipe.gates, level_of_round(at)
    won = contest.win_bound(found.told, level)
    kept = found.diversity.kept if found.diversity is not None else None
    findings = [
        (new.address, one)
        for one in (
            *gates.generator_gates(won, found.drift, limits, kept, found.failures, level),
            *gates.hacking_gates(found.claims, limits),
        )
    ]
    findings += [(judge(at).address, one) for one in gates.profile_gates(profile, limits, unit)]
    if is_judge_given(at) and is_labelled(at):  # one that is trained passed these before it judged
        findings += [(one.subject, one) for one in hold_against_gates(heldout_opinions(at), at)]
    return Decision(
        gates.decide([one for _, one in findings]),
        challenger=new.address,
        champion=old.address,
        findings=tuple(finding.about(subject) for subject, finding in findings),
        level=level,
    )


def level_of_round(at: Round) -> float:
    """The chance of error that this round may spend, by what the decisions of earlier ones say that
    they spent. A promotion from which someone went back has spent its own, and decisions from
    before there was such a sum have spent nothing of it.
    """
    spent = []
    gone_back = {back.was for one in at.earlier() for back in rollbacks(one)}
    for one in at.earlier():
        made = results.read(one.directory("evaluation") / results.FINDINGS, Decision)
        if made is not None and made.level is not None:
            is_returned = made.decision == "promote" and made.challenger not in gone_back
            spent.append(spending.Spent(made.level, is_returned))
    total = at.recipe.gates.max_false_promotions
    return spending.level_of(at.number, at.recipe.num_rounds, spent, total)


def _told_power(at: Round, num_prompts: int) -> list[str]:
    recipe = at.recipe
    total = recipe.gates.max_false_promotions
    return [spending.told(num_prompts, level_of_round(at), recipe.num_rounds, total)]


def _write_grid(
    directory: Place,
    files: Sequence[str],
    prompt_ids: Sequence[str],
    names: tuple[str, str],
    run: StageRun,
) -> None:
    rows = find_rows(directory, "prompt_id", prompt_ids, GROUPS, files)
    groups = sorted(groups_from_table(rows), key=lambda one: one.prompt.prompt_id)
    data = grid(groups, names)
    if data is not None:
        path = directory / results.GRID
        path.write_bytes(data)
        run.log_artifact(path)


def _say(decision: Decision, evaluation: Evaluation) -> None:
    for gain in (*evaluation.gains, *evaluation.errors):
        if gain.value is not None:
            print(
                f"{gain.name} of {evaluation.challenger} against {evaluation.champion} "
                f"by {gain.by}: "
                f"{gain.value:.3f} [{gain.low:.3f}, {gain.high:.3f}] over {gain.num} pairs",
                flush=True,
            )
    if not evaluation.leads:
        print(
            "no judge was asked but the one that made the pairs: reward hacking cannot be seen; "
            "name one in evaluate.heldout_judge",
            flush=True,
        )
    for finding in decision.findings:
        if not finding.is_passed or finding.gate == gates.HACKING:
            print(f"gate {finding.gate}: {finding.message}", flush=True)
    print(f"decision: {decision.decision} {decision.challenger}", flush=True)


STAGE = Evaluate()
