"""Measures the judge's biases before any pair is chosen by it.

    groups and held-out labels -> numbers of each prompt -> bias profile
    some groups -> edited, blank, swapped media, twin prompts -> judge -> bias profile

What only goes along with brightness is told apart from what is caused by it: the judge is asked
again about edited media, and where people labelled the same pairs, what exceeds their own leaning
is the judge's. What the correction would leave of each figure stands beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage import arrow_path
from factory.bias.correction import Correction, with_corrected
from factory.bias.estimate import bias_profile
from factory.bias.figure import Figure, Relevance
from factory.bias.observation import (
    LabelObservation,
    Observation,
    PointObservation,
    observe,
    observe_label,
)
from factory.bias.probes import Probe, Prober, Twins, sample_prompts
from factory.bias.profile import BiasProfile
from factory.evaluation import gates
from factory.ranking import is_scored
from factory.ranking.matchups import meeting
from jobs.datasets.labels import heldout_labels
from jobs.datasets.reading import data_files, num_rows, stream
from jobs.judging import heldout_opinions, judge_ref
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.workspace import InputError, Round
from schemas import results
from schemas.arrow import FIGURES, PROBES, groups_from_table
from schemas.manifest import Parent
from schemas.places import Place
from schemas.results import Estimate, Profile
from schemas.rows import Group, Prompt

PROFILE = "bias.json"
_TABLE, _PROBES = "bias.parquet", "_probes.parquet"
_GROUPS_AT_ONCE = 64


class Audit:
    """Makes `profile@N`."""

    kind = "profile"
    resumes = False

    def plan(self, at: Round) -> Plan:
        audit, pool = at.recipe.audit, at.recipe.produce.judges
        return Plan(
            f"every group and held-out label, {audit.num_groups} groups probed",
            f"{pool.size} judge(s)",
            pool.size * pool.num_cpus,
            pool.size * pool.num_gpus,
        )

    def settings(self, at: Round) -> dict[str, Any]:
        recipe = at.recipe
        correct = recipe.curate.correct.model_dump(include={"attributes", "slices"})
        return {"seed": recipe.seed, **recipe.audit.model_dump(), "correct": correct}

    def parents(self, at: Round) -> list[Parent]:
        return [at.parent("groups"), at.parent("judge"), at.parent("labels")]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        # Files and their rows come in any order; the bootstrap must not depend on it.
        seen = sorted(_observe_groups(at), key=lambda one: one.prompt_id)
        labels, points = _observe_labels(at)
        probes = _probe(at)
        profile = profile_of(at, seen, labels, points, probes)
        _write(profile, probes, directory)
        judge = at.address("judge")
        results.write(directory / results.PROFILE, Profile(judge, estimates(profile, judge)))
        run.log_artifact(directory / results.PROFILE)
        run.log_artifact(directory / _TABLE)
        for one in profile.flagged():
            print(f"{judge}: bias: {_say(one)}", flush=True)
        for finding in (
            *gates.unprobed_gates(len(probes), at.recipe.gates),
            *gates.bias_gates(profile.figures, at.recipe.gates),
        ):
            if not finding.is_passed:
                print(f"{judge}: gate {finding.gate}: {finding.message}", flush=True)
        return Outcome(_counts(profile, probes), _figures(profile))


def profile_of(
    at: Round,
    seen: Sequence[Observation],
    labels: Sequence[LabelObservation],
    points: Sequence[PointObservation],
    probes: Sequence[Probe],
) -> BiasProfile:
    """The profile, each figure with what the recipe's correction leaves of it."""
    audit, correct = at.recipe.audit, at.recipe.curate.correct
    relevance = Relevance(audit.min_points, audit.min_logits, audit.min_share)
    profile = bias_profile(
        seen,
        labels,
        points,
        probes,
        audit.attributes,
        relevance,
        audit.false_discovery_rate,
        audit.num_resamples,
        at.recipe.seed,
    )
    correction = Correction.of(profile, attributes=correct.attributes, slices=correct.slices)
    return with_corrected(
        profile, correction, seen, labels, probes, relevance, audit.num_resamples, at.recipe.seed
    )


def read_profile(at: Round) -> BiasProfile:
    """The full profile of a round.

    Raises:
        InputError: it is missing or cannot be read.
    """
    path = at.directory("profile") / PROFILE
    try:
        return BiasProfile.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not a bias profile ({error!r}); remove {at.directory('profile')} and run "
            "`python -m jobs.audit` again"
        ) from None


def correction_of(at: Round) -> Correction:
    """The correction that the recipe asks for, from the round's profile."""
    correct = at.recipe.curate.correct
    if not (correct.attributes or correct.slices):
        return Correction()
    return Correction.of(read_profile(at), attributes=correct.attributes, slices=correct.slices)


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


def _groups(directory: Place) -> Iterator[Group]:
    """Groups a few at a time, so that media never fills the memory."""
    for table in stream(directory, batch_size=_GROUPS_AT_ONCE):
        yield from groups_from_table(table)


def _observe_groups(at: Round) -> list[Observation]:
    from actors.tally import TallyHandle
    from jobs import progress

    directory, tally = at.directory("groups"), TallyHandle()
    seen: list[Observation] = []
    with progress.shown(at.address("profile"), num_rows(data_files(directory)), tally, "observe"):
        for table in stream(directory, batch_size=_GROUPS_AT_ONCE):
            groups = groups_from_table(table)
            with tally.busy("observe", [one.prompt.prompt_id for one in groups]) as done:
                seen += map(observe, groups)
                for one in groups:
                    if one.is_invalid:
                        done.fail(one.prompt.prompt_id, one.error or "fewer than two scores")
    return seen


def _observe_labels(at: Round) -> tuple[list[LabelObservation], list[PointObservation]]:
    opinions = heldout_opinions(at)
    met = {one.label_id: meeting(one) for one in opinions}
    seen = (observe_label(label, met.get(label.label_id)) for label in heldout_labels(at))
    points = [
        PointObservation(
            one.prompt_id,
            float(one.points),
            one.scores[0].value if one.scores and is_scored(one.scores[0]) else math.nan,
            one.tags,
        )
        for one in opinions
        if one.points is not None
    ]
    return [one for one in seen if one is not None], points


def _probe(at: Round) -> list[Probe]:
    """Put the probes to the judge, on as many workers as its pool has."""
    import ray

    from actors.judge_workers import probe_groups
    from actors.tally import TallyHandle
    from jobs import progress

    audit, pool = at.recipe.audit, at.recipe.produce.judges
    if audit.num_groups == 0:
        return []
    twins = tuple(Twins(one.name, one.swaps) for one in audit.twins)
    directory = at.directory("groups")
    texts = [(one.prompt_id, one.text) for one in _prompts(directory)]
    sample = sample_prompts(texts, audit.num_groups, twins)
    chosen = sample.media | sample.words
    groups = [one for one in _groups(directory) if one.prompt.prompt_id in chosen]
    groups.sort(key=lambda one: one.prompt.prompt_id)
    asked = [(one, groups[at - 1] if len(groups) > 1 else None) for at, one in enumerate(groups)]
    prober = Prober(tuple(audit.edits), audit.num_candidates, twins)
    work = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(probe_groups)
    parts = [asked[start :: pool.size] for start in range(pool.size)]
    tally = TallyHandle(load_timeout_s=at.recipe.produce.load_timeout_s)
    ref = judge_ref(at)
    try:
        with progress.shown(at.address("profile"), len(asked), tally, "probe"):
            done = ray.get([work.remote(ref, one, sample, prober, tally) for one in parts if one])
    except Exception:
        tally.check()  # a worker that was told to stop says so less clearly
        raise
    return sorted(
        (probe for part in done for probe in part),
        key=lambda one: (one.prompt_id, one.candidate_id, one.kind, one.name, one.dose),
    )


def _prompts(directory: Place) -> Iterator[Prompt]:
    for table in stream(directory, ["prompt_id", "prompt"]):
        for row in table.to_pylist():
            yield Prompt(row["prompt_id"], row["prompt"])


def _write(profile: BiasProfile, probes: Sequence[Probe], directory: Place) -> None:
    (directory / PROFILE).write_text(json.dumps(profile.to_dict(), indent=2) + "\n")
    _write_table(pa.Table.from_pylist(profile.rows(), schema=FIGURES), directory / _TABLE)
    rows = [
        {
            **asdict(one),
            "changes": [{"key": key, "value": value} for key, value in one.changes.items()],
        }
        for one in probes
    ]
    _write_table(pa.Table.from_pylist(rows, schema=PROBES), directory / _PROBES)


def _write_table(table: pa.Table, path: Place) -> None:
    filesystem, name = arrow_path(path)
    pq.write_table(table, name, filesystem=filesystem)


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
