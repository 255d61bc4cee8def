"""Measures the judge's biases before any pair is chosen by it.

    groups and held-out labels -> numbers of each prompt -> bias profile
    some groups -> edited, blank, swapped media, twin prompts -> judge -> bias profile

What only goes along with brightness is told apart from what is caused by it: the judge is asked
again about edited media, and where people labelled the same pairs, what exceeds their own leaning
is the judge's. What the correction would leave of each figure stands beside it.

A judge that the round trained was asked about the held-out labels then; one that is used as it is
is asked here. Without labels the profile says what it cannot know; and of groups that came with
their judgements (`produce.judged`) the judge is not at hand, so it is asked nothing at all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import pyarrow as pa

from actors.storage import place
from factory.bias import strength
from factory.bias.figure import Figure
from factory.bias.power import Believed, Size
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.evaluation import gates
from factory.evaluation.judge_report import report
from factory.evaluation.panel_report import disagreements
from factory.evaluation.report_text import as_text
from factory.prompts import PromptsFile
from jobs.datasets.files import write_table
from jobs.datasets.labels import label_files_so_far, num_labels
from jobs.datasets.reading import stream
from jobs.pipelines.bias import (
    PROFILE,
    observe_groups,
    observe_labels,
    probe_judge,
    profile_of,
    read_profile,
    relevance_of,
)
from jobs.pipelines.bringing import bringing
from jobs.pipelines.drawing import CANDIDATES
from jobs.pipelines.given_judge import check_judge, judge_parents, judging_pool, told
from jobs.pipelines.judge_backends import backend_of, specification_given
from jobs.pipelines.judge_training import check_points, check_shown
from jobs.pipelines.models import judge_ref
from jobs.pipelines.opinions import (
    OPINIONS_FILE,
    heldout_opinions,
    hold_against_gates,
    judge_labels,
    write_opinions,
)
from jobs.pipelines.planning import known_noise
from jobs.pipelines.scales import points_per_scale
from jobs.rounds.history import told as _told
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import (
    InputError,
    Round,
    is_judge_given,
    is_labelled,
    judge_address,
)
from jobs.stages.base import Outcome, Plan
from schemas import manifest, results
from schemas import recipe as sections
from schemas.arrow import duel_from_row
from schemas.columns import FIGURES, PROBES
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import Estimate, Profile
from schemas.rows import Opinion
from schemas.section import Section

_TABLE, _PROBES = "bias.parquet", "_probes.parquet"


class Corrected(Section):
    """What a profile shows the figures after."""

    attributes: bool
    slices: bool


class Settings(sections.Audit):
    """What a profile depends on, beside its parents."""

    seed: int
    correct: Corrected


class Audit:
    """Makes `profile@N`."""

    kind = "profile"
    resumes = False

    def needs(self, recipe: Recipe) -> Sequence[str]:
        return () if recipe.produce.judged else ("judge",)

    def plan(self, at: Round) -> Plan:
        if at.recipe.produce.judged is not None:
            return Plan("every group; whoever judged is not at hand, and not probed", "no judge", 1)
        audit = at.recipe.audit
        check_judge(at)
        pool = judging_pool(at)
        seen = "and held-out label" if is_labelled(at) else "and no label: there is no `labels`"
        return Plan(
            f"every group {seen}, at most {audit.num_groups} groups probed",
            f"{pool.size} judge(s), {told(at)}",
            pool.size * pool.num_cpus,
            pool.size * pool.num_gpus,
            notes=lambda: power_of(at),
        )

    def settings(self, at: Round) -> Settings:
        recipe, correct = at.recipe, at.recipe.curate.correct
        return Settings(
            seed=recipe.seed,
            correct=Corrected(attributes=correct.attributes, slices=correct.slices),
            **dict(recipe.audit),
        )

    def parents(self, at: Round) -> list[Parent]:
        if at.recipe.produce.judged is not None:
            return [at.parent("groups")]
        labels = [at.parent("labels")] if is_labelled(at) else []
        judges = judge_parents(at)
        _check_judged_by(at, judges[0])
        return [at.parent("groups"), *judges, *labels]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        seen, is_there = observe_groups(at), at.recipe.produce.judged is None
        opinions = _opinions(at, directory) if is_there else []
        labels, points = observe_labels(at, opinions)
        probes = probe_judge(at) if is_there else []
        relevance = relevance_of(at)
        profile = profile_of(at, seen, labels, points, probes, relevance)
        _write(profile, probes, directory)
        judge = judge_address(at)
        apart = _disagreements(at)
        could = strength.found_by(profile, relevance, at.recipe.audit.false_discovery_rate)
        found = (*estimates(profile, judge), *apart)
        shown = Profile(judge, found, profile.unknown, tuple(could))
        results.write(directory / results.PROFILE, shown)
        run.log_artifact(directory / results.PROFILE)
        run.log_artifact(directory / _TABLE)
        for one in profile.flagged():
            print(f"{judge}: bias: {_say(one)}", flush=True)
        for two in apart:
            print(f"{judge}: {two.name}: {_told(two)} of {two.num} matchups", flush=True)
        for sentence in profile.unknown:
            print(f"{judge}: not known: {sentence}", flush=True)
        for sentence in could:
            print(f"{judge}: {sentence}", flush=True)
        for finding in gates.profile_gates(profile, at.recipe.gates, points_per_scale(at)):
            if not finding.is_passed:
                print(f"{judge}: gate {finding.gate}: {finding.message}", flush=True)
        return Outcome(_counts(profile, probes), _figures(profile))


def power_of(at: Round) -> list[str]:
    """What an audit of this size finds, by what is known before it runs."""
    audit = at.recipe.audit
    if not audit.num_groups:
        return []
    num_probed = _num_probed(at, audit.num_groups)
    size = Size(num_probed, audit.num_candidates, 1, audit.false_discovery_rate)
    for one in reversed(at.earlier()):
        made = manifest.read(one.directory("profile"))
        if made is None or not made.settings.get("num_groups"):
            continue
        before = read_profile(one)
        num_then = _num_probed(one, made.settings["num_groups"])
        then = Size(num_then, made.settings["num_candidates"], 1)
        lines = strength.told_after(before, then, size, relevance_of(one), made.address)
        if before.score_sd > 0 and lines:  # profiles of before did not keep that
            return lines
    judge, twins = Believed(margin_logits=audit.min_logits), len(audit.twins)
    fitted = {task: one.noise for task, one in known_noise(at).tasks.items()}
    labelled = is_labelled(at)
    return strength.told(audit.edits, size, judge, twins, is_labelled=labelled, fitted=fitted)


def _num_probed(at: Round, num_groups: int) -> int:
    """How many groups an audit probes that asks for so many: no more than there are."""
    return min(num_groups, _most_groups(at) or num_groups)


def _most_groups(at: Round) -> int | None:
    """How many groups there are to probe, at most; None where nothing tells yet."""
    made, produce = manifest.read(at.directory("groups")), at.recipe.produce
    if made is not None:
        return made.counts.get("groups")
    rows: list[int | None] = []
    if produce.has("prompts") and place(produce.prompts).is_file():
        rows.append(len(PromptsFile(place(produce.prompts))))
    if produce.candidates is not None:  # a group has a row of the table or more
        rows.append(bringing(produce.candidates, CANDIDATES).table.num_rows())
    return None if None in rows else sum(filter(None, rows)) or None


def _check_judged_by(at: Round, judge: Parent) -> None:
    """Refuse groups that another judge has judged than the one that is to be audited.

    Raises:
        InputError: names both.
    """
    made = at.need("groups")
    others = [one for one in made.parents if one.role == "judge" and one != judge]
    if others:
        raise InputError(
            f"{at.directory('groups')}: {made.address} was judged by {others[0].address} "
            f"({others[0].digest}), and this recipe's judge is {judge.address} ({judge.digest}); "
            "use the recipe that it was made with, or another `root`"
        )


def _opinions(at: Round, directory: Place) -> list[Opinion]:
    """What the judge makes of the held-out labels: one that is given is asked now, and its
    agreement with people is written beside the profile. None without labels.
    """
    if not is_labelled(at):
        return []
    if not is_judge_given(at):
        return heldout_opinions(at)
    files, boot = label_files_so_far(at), at.recipe.audit.num_resamples
    if backend_of(at.recipe.judge).is_specified:
        asked = specification_given(at.recipe.judge)
        check_points(files, asked)
        check_shown(files, asked)
    opinions = judge_labels(judge_ref(at), files, at.recipe.produce, "heldout")
    num, judge = num_labels(files), judge_address(at)
    print(
        f"{judge}: held against {len(opinions)} held-out labels of {num}; the others are kept for "
        "training",
        flush=True,
    )
    if opinions:
        made = report(opinions, judge, "held-out labels", num_resamples=boot, seed=at.recipe.seed)
        print(as_text(made), flush=True)
        results.write(directory / results.AGREEMENT, made)
        for finding in hold_against_gates(opinions, at):
            if not finding.is_passed:
                print(f"{judge}: gate {finding.gate}: {finding.message}", flush=True)
    write_opinions(directory / OPINIONS_FILE, opinions)
    return opinions


def _disagreements(at: Round) -> tuple[Estimate, ...]:
    """How far the members of a panel are apart; nothing where one judge alone has judged."""
    if not is_judge_given(at) or at.recipe.produce.judged or not at.recipe.judge.panel:
        return ()
    said = (
        (prompt_id, [duel_from_row(one) for one in duels or ()])
        for table in stream(at.directory("groups"), ["prompt_id", "member_duels"], media="none")
        for prompt_id, duels in zip(*table.to_pydict().values(), strict=True)
    )
    return disagreements(said, at.recipe.audit.num_resamples, at.recipe.seed)


def estimates(profile: BiasProfile, judge: str) -> tuple[Estimate, ...]:
    """The figures as the report shows them."""
    return tuple(_estimate(figure, judge) for figure in profile.figures)


def _estimate(figure: Figure, judge: str) -> Estimate:
    after = figure.corrected
    flag = f"flagged: adjusted p {figure.p_adjusted:.2g}" if figure.is_flagged else ""
    estimate = Estimate.of(
        f"{figure.name}: {figure.measure}",
        figure.estimate,
        figure.neutral,
        figure.unit,
        figure.num,
        figure.num_invalid,
        judge,
        "; ".join(text for text in (flag, figure.note) if text),
    )
    return replace(
        estimate,
        corrected=None if after is None else Estimate.of(figure.name, after),
        kind=figure.kind,
        is_flagged=figure.is_flagged,
    )


def _write(profile: BiasProfile, probes: Sequence[Probe], directory: Place) -> None:
    (directory / PROFILE).write_text(json.dumps(profile.to_dict(), indent=2) + "\n")
    write_table(directory / _TABLE, pa.Table.from_pylist(profile.rows(), schema=FIGURES))
    rows = [
        {
            **asdict(one),
            "changes": [{"key": key, "value": value} for key, value in one.changes.items()],
        }
        for one in probes
    ]
    write_table(directory / _PROBES, pa.Table.from_pylist(rows, schema=PROBES))


def _say(figure: Figure) -> str:
    told = figure.estimate
    after = "" if figure.corrected is None else f", {figure.corrected.value:+.3f} after correction"
    return (
        f"{figure.name}: {figure.measure} {told.value:+.3f} [{told.low:+.3f}, {told.high:+.3f}] "
        f"{figure.unit}{after}"
    )


def _counts(profile: BiasProfile, probes: Sequence[Probe]) -> dict[str, int]:
    place = profile.find("position", "first slot", "share above one half")
    return {
        "groups": profile.num_prompts,
        "matchups": place.num if place else 0,
        "invalid_matchups": place.num_invalid if place else 0,
        "labels": profile.num_labels,
        "probes": profile.num_probes,
        "invalid_probes": sum(one.shift != one.shift for one in probes),  # NaN
        "flagged": len(profile.flagged()),
    }


def _figures(profile: BiasProfile) -> dict[str, float]:
    flips = profile.find("position", "order shown", "flip rate")
    return {"flip_rate": flips.estimate.value} if flips else {}


STAGE = Audit()
