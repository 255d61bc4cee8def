"""Measures the judge's biases before any pair is chosen by it.

    groups and held-out labels -> numbers of each prompt -> bias profile
    some groups -> edited, blank, swapped media, twin prompts -> judge -> bias profile

What only goes along with brightness is told apart from what is caused by it: the judge is asked
again about edited media, and where people labelled the same pairs, what exceeds their own leaning
is the judge's. What the correction would leave of each figure stands beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import pyarrow as pa

from factory.bias.figure import Figure
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.evaluation import gates
from jobs.datasets.files import write_table
from jobs.pipelines.bias import PROFILE, observe_groups, observe_labels, probe_judge, profile_of
from jobs.rounds.tracking import StageRun
from jobs.rounds.workspace import Round
from jobs.stages.base import Outcome, Plan
from schemas import recipe as sections
from schemas import results
from schemas.columns import FIGURES, PROBES
from schemas.manifest import Parent
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.results import Estimate, Profile
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
        return ("judge",)

    def plan(self, at: Round) -> Plan:
        audit, pool = at.recipe.audit, at.recipe.produce.judges
        return Plan(
            f"every group and held-out label, {audit.num_groups} groups probed",
            f"{pool.size} judge(s)",
            pool.size * pool.num_cpus,
            pool.size * pool.num_gpus,
        )

    def settings(self, at: Round) -> Settings:
        recipe, correct = at.recipe, at.recipe.curate.correct
        return Settings(
            seed=recipe.seed,
            correct=Corrected(attributes=correct.attributes, slices=correct.slices),
            **dict(recipe.audit),
        )

    def parents(self, at: Round) -> list[Parent]:
        return [at.parent("groups"), at.parent("judge"), at.parent("labels")]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        seen = observe_groups(at)
        labels, points = observe_labels(at)
        probes = probe_judge(at)
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
