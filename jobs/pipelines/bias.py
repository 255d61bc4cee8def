"""What a bias profile is made of: numbers of each group and held-out label, and the judge's answers
to probes.

Groups are scanned by Ray tasks, in columns: what was measured of their media when they were made.
The media of labels, and of candidates that nobody measured, are looked at by the tasks as well; no
medium comes to this process, but for those in the rows of the few groups that are probed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from actors.media_store import media_store
from factory.bias.corrected import with_corrected
from factory.bias.correction import Correction
from factory.bias.edits import EDITS
from factory.bias.estimate import bias_profile
from factory.bias.figure import Relevance
from factory.bias.observation import (
    MEASURED,
    LabelObservation,
    Observation,
    PointObservation,
    observe,
    observe_label,
)
from factory.bias.probes import Probe, Prober, Twins, sample_prompts
from factory.bias.profile import BiasProfile
from factory.bias.seen import Packed, Seen
from factory.ranking import is_scored
from factory.ranking.matchups import Matchup, meeting
from jobs.datasets.files import num_rows
from jobs.datasets.labels import label_files_so_far
from jobs.datasets.measured import (
    MeasuredGroups,
    Stretch,
    each_in_a_task,
    rows_of,
    stretches,
    tell_measured,
)
from jobs.datasets.reading import data_files, find_rows, sources_of, stream
from jobs.pipelines.given_judge import judging_pool
from jobs.pipelines.models import judge_ref
from jobs.pipelines.scales import points_per_scale
from jobs.rounds.workspace import InputError, Round
from schemas.arrow import groups_from_table, labels_from_table
from schemas.columns import GROUPS, LABELS
from schemas.places import Place
from schemas.recipe import Audit
from schemas.rows import Opinion

if TYPE_CHECKING:
    from actors.tally import TallyHandle

PROFILE = "bias.json"


_LABELS_AT_ONCE = 16  # with media
#: All that an observation needs of a group.
_OBSERVED = [
    *("prompt_id", "task", "tags", "error"),
    *(f"candidates.list.element.{name}" for name in ("candidate_id", "generator", "error")),
    *(f"candidates.list.element.{name}" for name in ("answer", "media.width")),
    *(f"candidates.list.element.measures.{name}" for name in MEASURED),
    *(f"scores.list.element.{name}" for name in ("candidate_id", "judge", "value", "error")),
    "duels",
]


def profile_of(
    at: Round,
    seen: Seen,
    labels: Sequence[LabelObservation],
    points: Sequence[PointObservation],
    probes: Sequence[Probe],
    relevance: Relevance,
) -> BiasProfile:
    """The profile, each figure with what the recipe's correction leaves of it."""
    audit, correct, judged = at.recipe.audit, at.recipe.curate.correct, at.recipe.produce.judged
    profile = bias_profile(
        seen,
        labels,
        points,
        probes,
        attributes_measured(audit),
        relevance,
        audit.false_discovery_rate,
        audit.num_resamples,
        at.recipe.seed,
        is_order_told=judged is None or "duels" in judged.columns,
    )
    correction = Correction.of(profile, attributes=correct.attributes, slices=correct.slices)
    return with_corrected(
        profile, correction, seen, labels, probes, relevance, audit.num_resamples, at.recipe.seed
    )


def relevance_of(at: Round) -> Relevance:
    """What the recipe takes to be too small to matter."""
    audit = at.recipe.audit
    points = audit.least_points(points_per_scale(at))
    return Relevance(points, audit.min_logits, audit.min_share)


def attributes_measured(audit: Audit) -> list[str]:
    """The attributes that the recipe names, and those that its edits move."""
    moved = (EDITS[name].moves for name in audit.edits)
    return list(dict.fromkeys([*audit.attributes, *(one for one in moved if one is not None)]))


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


def observe_groups(at: Round) -> Seen:
    """Numbers of every group."""
    from actors.tally import TallyHandle
    from jobs.session import progress

    directory, tally = at.directory("groups"), TallyHandle()
    num_measured = 0

    def packed() -> Iterator[Packed]:
        nonlocal num_measured
        pieces = stretches(sources_of(directory))
        for one, num in each_in_a_task(_observe_stretch, pieces, tally):
            num_measured += num
            yield one

    with progress.shown(at.address("profile"), num_rows(data_files(directory)), tally, "observe"):
        seen = Seen(packed())
    tell_measured(directory, num_measured)
    return seen


def _observe_stretch(stretch: Stretch, tally: TallyHandle) -> tuple[Packed, int]:
    """What is seen of some groups, and how many candidates had to be measured for it."""
    rows = MeasuredGroups(stretch, _OBSERVED)
    seen: list[Observation] = []
    for groups in rows:
        with tally.busy("observe", [one.prompt.prompt_id for one in groups]) as done:
            seen += map(observe, groups)
            for one in groups:
                if one.is_invalid:
                    done.fail(one.prompt.prompt_id, one.error or "fewer than two scores")
    return Packed.of(seen), rows.num_measured


def observe_labels(
    at: Round, opinions: Sequence[Opinion]
) -> tuple[list[LabelObservation], list[PointObservation]]:
    """Numbers of every held-out label beside what the judge makes of it: pairs, then points."""
    import ray

    if not opinions:
        return [], []
    met = ray.put({one.label_id: meeting(one) for one in opinions})
    pieces = stretches((path, ()) for path in label_files_so_far(at))
    seen = sorted(
        (one for some in each_in_a_task(_observe_labels_of, pieces, met) for one in some),
        key=lambda one: one[0],
    )
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
    return [one for _, one in seen], points


def _observe_labels_of(
    stretch: Stretch, met: Mapping[str, Matchup | None]
) -> list[tuple[str, LabelObservation]]:
    """What is seen of the held-out pairwise labels among some, by their ids."""
    found = []
    store = media_store(stretch.path.parent)
    for table in rows_of(stretch, LABELS, _LABELS_AT_ONCE):
        heldout = table.filter(pc.equal(table.column("split"), "heldout"))
        for label in labels_from_table(store.bring_in(heldout)):
            seen = observe_label(label, met.get(label.label_id))
            if seen is not None:
                found.append((label.label_id, seen))
    return found


def probe_judge(at: Round) -> list[Probe]:
    """Put the probes to the judge, on as many workers as its pool has."""
    import ray

    from actors.judge_workers import probe_groups
    from actors.tally import TallyHandle
    from jobs.session import progress

    audit, pool = at.recipe.audit, judging_pool(at)
    if audit.num_groups == 0:
        return []
    twins = tuple(Twins(one.name, one.swaps) for one in audit.twins)
    directory = at.directory("groups")
    sample = sample_prompts(_texts(directory), audit.num_groups, twins)
    rows = find_rows(directory, "prompt_id", sample.media | sample.words, GROUPS, media="inline")
    groups = sorted(groups_from_table(rows), key=lambda one: one.prompt.prompt_id)
    asked = [(one, groups[at - 1] if len(groups) > 1 else None) for at, one in enumerate(groups)]
    prober = Prober(tuple(audit.edits), audit.num_candidates, twins)
    work = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(probe_groups)
    parts = [asked[start :: pool.size] for start in range(pool.size)]
    tally = TallyHandle(load_timeout_s=at.recipe.produce.load_timeout_s)
    ref, store = judge_ref(at), media_store(directory)
    try:
        with progress.shown(at.address("profile"), len(asked), tally, "probe"):
            done = ray.get(
                [work.remote(ref, one, sample, prober, tally, store) for one in parts if one]
            )
    except Exception:
        tally.check()  # a worker that was told to stop says so less clearly
        raise
    return sorted(
        (probe for part in done for probe in part),
        key=lambda one: (one.prompt_id, one.candidate_id, one.kind, one.name, one.dose),
    )


def _texts(directory: Place) -> Iterator[tuple[str, str]]:
    """The id and the text of each prompt."""
    for table in stream(directory, ["prompt_id", "prompt"]):
        yield from zip(*(table.column(at).to_pylist() for at in range(2)), strict=True)
