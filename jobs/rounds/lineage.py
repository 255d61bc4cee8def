"""Where an artifact comes from, read from manifests alone.

Each manifest names its parents with the digests they had, so the way back from a model to the
prompt files needs no tracking server: only the root's folders of artifacts. What is
found is compared with what the child recorded, and a parent that is gone or has changed is shown
as such rather than left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from schemas import manifest as manifests
from schemas.artifacts import ADDRESS, folders
from schemas.manifest import Manifest, ManifestError
from schemas.places import Place

#: made: its manifest was read and has the recorded digest; given: an input that the factory did
#: not make (a file, a checkpoint); missing: an address without a manifest; changed: the digest now
#: is not the one that the child was made from.
State = Literal["made", "given", "missing", "changed"]


@dataclass(frozen=True)
class Node:
    """An artifact or input in the role that it plays for its child, with its own parents."""

    role: str  # empty for the artifact that was asked for
    address: str  # name@version, or the path of an input
    digest: str  # as the child recorded it
    state: State
    manifest: Manifest | None
    parents: tuple[Node, ...]


def directory_of(root: Place, address: str) -> Place | None:
    """The directory of a complete artifact under `root`, or None where there is none."""
    if ADDRESS.fullmatch(address) is None:  # never a path made of a foreign string
        return None
    for folder in folders():
        directory = root / folder / address
        if (directory / manifests.FILE).is_file():
            return directory
    return None


def find(root: Place, address: str) -> Manifest | None:
    """The manifest at an address under `root`, or None where there is no complete artifact.

    Raises:
        ManifestError: it cannot be read, or it belongs to another address.
    """
    directory = directory_of(root, address)
    found = manifests.read(directory) if directory else None
    if found is not None and found.address != address:
        raise ManifestError(f"{directory}: holds the manifest of {found.address!r}")
    return found


def trace(root: Place, address: str) -> Node:
    """The artifact at `address` with everything that it was made from.

    Raises:
        ManifestError: no such artifact, or a manifest that cannot be read or contains itself.
    """
    found = find(root, address)
    if found is None:
        raise ManifestError(f"{address}: no complete artifact of this name under {root}")
    return _node(root, "", address, found.digest, ())


def _node(root: Place, role: str, address: str, digest: str, below: tuple[str, ...]) -> Node:
    if address in below:
        raise ManifestError(f"{address}: is made from itself, by way of {' <- '.join(below)}")
    found = find(root, address)
    if found is None:
        # Version 0 is what came from outside, such as the checkpoint before the first round.
        is_given = ADDRESS.fullmatch(address) is None or address.endswith("@0")
        return Node(role, address, digest, "given" if is_given else "missing", None, ())
    parents = tuple(
        _node(root, parent.role, parent.address, parent.digest, (*below, address))
        for parent in found.parents
    )
    state: State = "made" if found.digest == digest else "changed"
    return Node(role, address, digest, state, found, parents)


def walk(node: Node) -> Iterator[Node]:
    """The node and all above it, each address once, nearest first."""
    seen: set[str] = set()
    queue = [node]
    while queue:
        at = queue.pop(0)
        if at.address not in seen:
            seen.add(at.address)
            yield at
            queue.extend(at.parents)


def lineage(root: Place, address: str) -> list[Manifest]:
    """The manifests of an artifact and of all that it was made from, nearest first."""
    return [node.manifest for node in walk(trace(root, address)) if node.manifest is not None]


def inputs(node: Node) -> list[Node]:
    """What the walk back ends at: prompt files, label files, checkpoints, and missing parents."""
    return [one for one in walk(node) if one.manifest is None]


def as_text(node: Node) -> str:
    """The tree, one line a node; what was already printed is named and not unfolded again."""
    lines: list[str] = []
    _print(node, "", "", lines, set())
    return "\n".join(lines)


def _print(node: Node, first: str, rest: str, lines: list[str], seen: set[str]) -> None:
    role = f"{node.role}: " if node.role else ""
    remark = {
        "made": "",
        "given": " (given)",
        "missing": " MISSING",
        "changed": f" CHANGED, is now {node.manifest.digest if node.manifest else '?'}",
    }[node.state]
    is_repeated = node.address in seen and bool(node.parents)
    above = " (see above)" if is_repeated else ""
    lines.append(f"{first}{role}{node.address}  {node.digest}{remark}{above}")
    seen.add(node.address)
    if is_repeated:
        return
    for index, parent in enumerate(node.parents):
        is_last = index == len(node.parents) - 1
        _print(
            parent,
            rest + ("└─ " if is_last else "├─ "),
            rest + ("   " if is_last else "│  "),
            lines,
            seen,
        )
