"""Measures the judge's biases before any pair is chosen by it.

    groups and held-out labels -> numbers of each prompt -> bias profile with intervals

Position: how often a verdict changes with the order shown. Association: how the judge's margins
lean to brighter, more saturated, more contrasted or sharper sides; where people labelled the same
pairs, what exceeds their own leaning is the judge's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from factory.agreement import meeting
from factory.bias.estimate import bias_profile
from factory.bias.observation import LabelObservation, Observation, observe, observe_label
from factory.bias.profile import BiasProfile
from jobs import results
from jobs.judging import heldout_labels, heldout_opinions
from jobs.pipelines import read_batches
from jobs.results import Estimate, Profile
from jobs.stage import Outcome, Plan
from jobs.tracking import StageRun
from jobs.workspace import Round
from schemas.arrow import groups_from_table
from schemas.manifest import Parent
from schemas.places import Place

_FULL_PROFILE = "bias.json"
_GROUPS_AT_ONCE = 64


class Audit:
    """Makes `profile@N`."""

    kind = "profile"
    resumes = False

    def plan(self, at: Round) -> Plan:
        return Plan("every group and held-out label", "no actors", 0)

    def settings(self, at: Round) -> dict[str, Any]:
        return {"seed": at.recipe.seed, **at.recipe.audit.model_dump()}

    def parents(self, at: Round) -> list[Parent]:
        return [at.parent("groups"), at.parent("judge"), at.parent("labels")]

    def make(self, at: Round, directory: Place, run: StageRun) -> Outcome:
        settings = at.recipe.audit
        found = bias_profile(
            # Files and their rows come in any order; the bootstrap must not depend on it.
            sorted(_observe_groups(at.directory("groups")), key=lambda one: one.prompt_id),
            _observe_labels(at),
            settings.attributes,
            settings.num_resamples,
            at.recipe.seed,
        )
        (directory / _FULL_PROFILE).write_text(json.dumps(found.to_dict(), indent=2) + "\n")
        judge = at.address("judge")
        results.write(directory / results.PROFILE, Profile(judge, _estimates(found, judge)))
        run.log_artifact(directory / results.PROFILE)
        flagged = [one for one in found.associations if one.is_flagged]
        for one in flagged:
            print(
                f"{judge}: {one.source} lean with {one.attribute}: {one.slope.value:+.3f} "
                f"[{one.slope.low:+.3f}, {one.slope.high:+.3f}]",
                flush=True,
            )
        counts = {
            "groups": found.num_prompts,
            "matchups": found.position.num_matchups,
            "invalid_matchups": found.position.num_unreadable,
            "labels": found.num_labels,
            "flagged": len(flagged),
        }
        return Outcome(counts, {"flip_rate": found.position.flip_rate.value})


def _observe_groups(directory: Place) -> Iterator[Observation]:
    """Groups reduced to numbers a few at a time, so that media never fills the memory."""
    for batch in read_batches(directory, _GROUPS_AT_ONCE):
        yield from map(observe, groups_from_table(batch))


def _observe_labels(at: Round) -> list[LabelObservation]:
    met = {one.label_id: meeting(one) for one in heldout_opinions(at)}
    seen = (observe_label(label, met.get(label.label_id)) for label in heldout_labels(at))
    return [one for one in seen if one is not None]


def _estimates(found: BiasProfile, judge: str) -> tuple[Estimate, ...]:
    return tuple(Estimate(**row, by=judge) for row in found.describe())


STAGE = Audit()
