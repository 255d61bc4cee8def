"""A root with pairs and groups of every task, and media in packs: what exports are made of."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pyarrow as pa

from actors.media_store import MediaStore
from jobs.datasets.files import write_table
from schemas import manifest, results
from schemas.arrow import groups_to_table, pairs_to_table
from schemas.digests import digest_rows
from schemas.manifest import Manifest, Parent
from schemas.results import Estimate, HumanAudit, Profile
from schemas.rows import Group, Pair, Task
from tests.factory.exports.rows import dialogue, edit, group_of, pair_of

TASKS: tuple[Task, ...] = get_args(Task)


def pairs(num: int = 3) -> list[Pair]:
    """Some of each task, one of them rejected; a dialogue and an edit."""
    made = [
        pair_of(100 * place + number, task)
        for place, task in enumerate(TASKS)
        for number in range(num)
    ]
    made += [pair_of(7, prompt=dialogue(1)), pair_of(8, prompt=edit(1))]
    rejected = replace(made[0], verdict="rejected", objections=("like another: 0.9",))
    return [rejected, *made[1:]]


def write_set(
    directory: Path,
    table: pa.Table,
    kind: str,
    parents: Sequence[Parent] = (),
    counts: dict[str, int] | None = None,
    figures: dict[str, float] | None = None,
    num_files: int = 2,
) -> Manifest:
    """A complete data set of some files; media of more than 500 bytes lie in packs."""
    directory.mkdir(parents=True)
    table = MediaStore(str(directory.parent.parent), 500).put_out(table)
    size = -(-table.num_rows // num_files)
    names = []
    for number in range(num_files):
        names.append(f"part-{number}.parquet")
        write_table(directory / names[-1], table.slice(number * size, size), row_group_size=4)
    made = Manifest(
        directory.name,
        kind,
        "0" * 16,
        digest_rows([table]),
        tuple(parents),
        {},
        counts or {},
        figures or {},
        tuple(names),
    )
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    return made


def write_root(root: Path, rows: Sequence[Pair] | None = None) -> Path:
    """A root after one round: groups, a profile, pairs, and what people said of them."""
    rows = pairs() if rows is None else rows
    groups: list[Group] = [group_of(number, task) for number, task in enumerate(TASKS)]
    judge = Parent("judge", "judge@1", "cd" * 8)
    of_groups = write_set(root / "data" / "groups@1", groups_to_table(groups), "groups", [judge])
    write_set(root / "data" / "candidates@1", groups_to_table(groups), "candidates")
    profile = root / "data" / "profile@1"
    profile.mkdir()
    flagged = Estimate("first place", 0.6, 0.55, 0.65, 0.5, kind="place", is_flagged=True)
    results.write(profile / results.PROFILE, Profile("judge@1", (flagged,)))
    of_profile = Manifest("profile@1", "profile", "1" * 16, "ef" * 8, (), {})
    (profile / manifest.FILE).write_bytes(manifest.to_bytes(of_profile))
    kept = sum(one.verdict == "kept" for one in rows)
    of_pairs = write_set(
        root / "data" / "pairs@1",
        pairs_to_table(rows),
        "pairs",
        [
            Parent("groups", "groups@1", of_groups.digest),
            Parent("profile", "profile@1", of_profile.digest),
        ],
        {"pairs": len(rows), "kept": kept, "rejected": len(rows) - kept, "invalid": 0},
        {"objection_like_another": float(len(rows) - kept)},
    )
    audit = root / "data" / "human_audit@1"
    audit.mkdir()
    precise = Estimate("precision", 0.9, 0.8, 0.95, None, num=40)
    results.write(
        audit / results.HUMAN_AUDIT, HumanAudit("pairs@1", ("ann",), 40, 40, 0, (precise,))
    )
    parents = (Parent("pairs", "pairs@1", of_pairs.digest),)
    of_audit = Manifest("human_audit@1", "human_audit", "2" * 16, "ab" * 8, parents, {})
    (audit / manifest.FILE).write_bytes(manifest.to_bytes(of_audit))
    return root
