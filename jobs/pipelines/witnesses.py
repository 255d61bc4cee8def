"""What held-out labels tell of the judges that compare champion and challenger.

The judge of the pairs was asked about them when it was trained or audited. Those that had no part
in the pairs are asked here, about some of the same labels, and their opinions are kept beside the
evaluation. Where there are no labels nothing is asked, and nothing is known of anybody.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from factory.evaluation.alarm_text import power_told
from jobs.datasets.files import read_columns
from jobs.datasets.labels import label_files_so_far
from jobs.pipelines.models import witness_sections
from jobs.pipelines.opinions import (
    heldout_opinions,
    judges_on_labels,
    read_opinions,
    was_held_against_labels,
    write_opinions,
)
from jobs.rounds.workspace import Round, is_labelled, judge, was_labelled
from schemas.places import Place
from schemas.rows import Opinion, Task

if TYPE_CHECKING:
    from actors.refs import JudgingRef

#: Beside the evaluation; by the mark before its name no file of its rows.
FILE = "_witness_opinions.parquet"


def known_opinions(
    at: Round, witnesses: Sequence[JudgingRef], tasks: Collection[Task], directory: Place
) -> dict[str, list[Opinion]]:
    """Opinions of held-out labels by the address of each judge; none where there are no labels.

    Args:
        at: the round.
        witnesses: who compares beside the judge of the pairs.
        tasks: of the held-out prompts; labels of others are not asked about.
        directory: of the evaluation, where what a killed run has asked is found again.

    Raises:
        TooManyFailuresError: a witness does not load.
    """
    if not witnesses or not was_labelled(at):
        return {}
    found = {judge(at).address: _own_opinions(at)}
    path = directory / FILE
    asked = read_opinions(path) if path.is_file() else []
    files = label_files_so_far(at)
    wanted = chosen_labels(files, tasks, at.recipe.evaluate.num_witness_labels)
    known = {
        one.address: [said for said in asked if said.judge == one.address] for one in witnesses
    }
    new = [one for one in witnesses if {of.label_id for of in known[one.address]} != set(wanted)]
    if wanted and new:
        names = ", ".join(one.address for one in new)
        print(f"{names}: held against {len(wanted)} held-out labels", flush=True)
        # By workers that hold all of them, as those that compare do.
        known |= judges_on_labels(new, files, at.recipe.produce, "heldout", only=wanted)
        write_opinions(path, [said for of_one in known.values() for said in of_one])
    found |= known
    return found


def _own_opinions(at: Round) -> list[Opinion]:
    """None of a judge whose opinions were not kept, as where another factory's had judged."""
    return heldout_opinions(at) if was_held_against_labels(at) else []


def chosen_labels(files: Sequence[Place], tasks: Collection[Task], num: int) -> list[str]:
    """Held-out labels that prefer a side, `num` at most: those of the smallest digests, which is a
    sample that stays as labels are added.
    """
    found: set[str] = set()
    for path in files:
        table = read_columns(path, ["label_id", "task", "preference", "split"])
        for row in table.to_pylist():
            is_decided = row["preference"] in ("first", "second")
            if row["split"] == "heldout" and is_decided and row["task"] in tasks:
                found.add(row["label_id"])
    return sorted(sorted(found, key=_digest)[:num])


def _digest(label_id: str) -> str:
    return hashlib.sha256(label_id.encode()).hexdigest()


def plan_notes(at: Round, num_prompts: int, tasks: Collection[Task]) -> list[str]:
    """What the reward-hacking alarm will be able to tell, before anything is asked."""
    settings = at.recipe.evaluate
    if settings.oracle == "none" and not witness_sections(at.recipe):
        return [
            "reward hacking cannot be seen: no judge is asked but the one that makes the pairs; "
            "name one in evaluate.heldout_judge"
        ]
    if not is_labelled(at):
        return [
            "reward hacking: without labels nothing is known of the judges, and only a gain that a "
            "witness sees as a loss is found; half a hack is not"
        ]
    num = settings.num_witness_labels
    if was_labelled(at):
        num = len(chosen_labels(label_files_so_far(at), tasks, num))
    if not num:
        return ["reward hacking: no held-out label prefers a side, so witnesses are not known"]
    return [power_told(num_prompts, num, at.recipe.gates.max_unseen_gain)]
