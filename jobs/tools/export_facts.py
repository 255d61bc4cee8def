"""What the card of an export tells of a data set, read from the manifests and results around it."""

from __future__ import annotations

from typing import get_args

from actors.storage import place
from factory.exports.card import Source
from jobs.rounds import lineage
from schemas import manifest, results
from schemas.artifacts import ADDRESS
from schemas.manifest import Manifest, ManifestError
from schemas.places import DATA, Place
from schemas.results import Estimate, HumanAudit, Profile
from schemas.rows import Verdict

_OBJECTION = "objection_"


def source_facts(directory: Place) -> Source:
    """A complete data set, and what is known of how it came about.

    Raises:
        ManifestError, ResultError: something beside it cannot be read.
    """
    made = manifest.read(directory)
    if made is None:
        raise ManifestError(f"{directory}: has no manifest")
    root = directory.parent.parent if directory.parent.name == DATA else None
    return Source(
        made.address,
        made.digest,
        {name: made.counts[name] for name in get_args(Verdict) if name in made.counts},
        {
            name.removeprefix(_OBJECTION).replace("_", " "): int(num)
            for name, num in made.figures.items()
            if name.startswith(_OBJECTION)
        },
        _lineage(root, made),
        _judges(root, made),
        [] if root is None else _bias(root, made),
        [] if root is None else _audits(directory, made),
    )


def _nodes(root: Place | None, made: Manifest) -> list[lineage.Node]:
    if root is None or lineage.directory_of(root, made.address) is None:
        return []
    return list(lineage.walk(lineage.trace(root, made.address)))[1:]


def _lineage(root: Place | None, made: Manifest) -> list[str]:
    nodes = _nodes(root, made)
    if not nodes:  # away from its root: its own manifest is all that is known
        return [f"{one.role}: {_shown(one.address)} ({one.digest})" for one in made.parents]
    return [f"{one.role}: {_shown(one.address)} ({one.digest}, {one.state})" for one in nodes]


def _shown(address: str) -> str:
    """An address, or the name of a file: where that lay on somebody's machine is not told."""
    return address if ADDRESS.fullmatch(address) else place(address).name


def _judges(root: Place | None, made: Manifest) -> list[str]:
    nodes = _nodes(root, made)
    parents = [(one.role, one.address) for one in nodes or made.parents]
    return sorted({_shown(address) for role, address in parents if role == "judge"})


def _bias(root: Place, made: Manifest) -> list[Estimate]:
    for parent in made.parents:
        directory = lineage.directory_of(root, parent.address)
        if parent.role == "profile" and directory is not None:
            profile = results.read(directory / results.PROFILE, Profile)
            return [] if profile is None else list(profile.estimates)
    return []


def _audits(directory: Place, made: Manifest) -> list[Estimate]:
    """Of the newest human audit of these very rows."""
    found: list[tuple[int, HumanAudit]] = []
    for path in directory.parent.glob("human_audit@*"):
        audit = manifest.read(path)
        if audit is None or not any(one.digest == made.digest for one in audit.parents):
            continue
        told = results.read(path / results.HUMAN_AUDIT, HumanAudit)
        if told is not None:
            found.append((int(path.name.partition("@")[2]), told))
    return list(max(found, key=lambda one: one[0])[1].estimates) if found else []
