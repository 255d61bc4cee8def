"""What a bias profile is made of: numbers of each group and held-out label, and the judge's answers
to probes. Groups stream, so that media never fills the memory.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence

from factory.bias.correction import Correction, with_corrected
from factory.bias.estimate import bias_profile
from factory.bias.figure import Relevance
from factory.bias.observation import (
    LabelObservation,
    Observation,
    PointObservation,
    observe,
    observe_label,
)
from factory.bias.probes import Probe, Prober, Twins, sample_prompts
from factory.bias.profile import BiasProfile
from factory.ranking import is_scored
from factory.ranking.matchups import meeting
from jobs.datasets.files import num_rows
from jobs.datasets.labels import heldout_labels
from jobs.datasets.reading import data_files, stream
from jobs.pipelines.models import judge_ref
from jobs.pipelines.opinions import heldout_opinions
from jobs.rounds.workspace import InputError, Round
from schemas.arrow import groups_from_table
from schemas.places import Place
from schemas.rows import Group, Prompt

PROFILE = "bias.json"


_GROUPS_AT_ONCE = 64


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


def _groups(directory: Place) -> Iterator[Group]:
    """Groups a few at a time, so that media never fills the memory."""
    for table in stream(directory, batch_size=_GROUPS_AT_ONCE):
        yield from groups_from_table(table)


def observe_groups(at: Round) -> list[Observation]:
    """Numbers of every group; media are let go as soon as they are measured."""
    from actors.tally import TallyHandle
    from jobs.session import progress

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


def observe_labels(at: Round) -> tuple[list[LabelObservation], list[PointObservation]]:
    """Numbers of every held-out label beside what the judge makes of it: pairs, then points."""
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


def probe_judge(at: Round) -> list[Probe]:
    """Put the probes to the judge, on as many workers as its pool has."""
    import ray

    from actors.judge_workers import probe_groups
    from actors.tally import TallyHandle
    from jobs.session import progress

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
