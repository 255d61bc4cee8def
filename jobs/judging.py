"""The round's judge, and what it makes of the held-out labels on a worker of its pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.pipelines import read_table
from jobs.workspace import Round
from schemas.arrow import LABELS, labels_from_table
from schemas.rows import Label

if TYPE_CHECKING:
    from actors.measure import Opinions


def judge_ref(at: Round) -> Any:
    """The round's judge, to be loaded by a worker."""
    from actors.stages import JudgeRef

    spec = at.recipe.judge
    return JudgeRef(str(at.directory("judge")), at.address("judge"), spec.precision, spec.max_batch)


def labels_so_far(at: Round) -> list[Label]:
    """The labels of this round and all before it."""
    folders = [one.directory("labels") for one in (*at.earlier(), at)]
    return [label for folder in folders for label in labels_from_table(read_table(folder, LABELS))]


def judge_heldout_labels(at: Round) -> tuple[list[Label], Opinions]:
    """The held-out labels so far, and what the round's judge makes of each."""
    import ray

    from actors.measure import judge_labels

    heldout = [label for label in labels_so_far(at) if label.split == "heldout"]
    pool = at.recipe.produce.judges
    measure = ray.remote(num_cpus=pool.num_cpus, num_gpus=pool.num_gpus)(judge_labels)
    return heldout, ray.get(measure.remote(judge_ref(at), heldout))
