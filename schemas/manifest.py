"""Manifests: what a data set or model is, from what it was made, and that it is complete.

Everything that the factory makes has an address `name@version` and lives in one directory. Its
`manifest.json` is written last and only where there is none yet, so its presence means complete
and its writer is the only one. It names the Parquet files that count; what else lies there is left
over. The fingerprint is a hash of what the thing was made *from* (its part of the recipe and its
parents' digests), the digest a hash of what it *is*.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.places import Place

FILE = "manifest.json"


class ManifestError(ValueError):
    """A missing, unreadable or contradicting manifest."""


@dataclass(frozen=True)
class Parent:
    """What something was made from."""

    role: str  # prompts, judge, groups, labels …
    address: str  # name@version, or the path of an input file
    digest: str


@dataclass(frozen=True)
class Manifest:
    """One data set or model."""

    address: str
    kind: str  # its name in `schemas.artifacts.KINDS`
    fingerprint: str
    digest: str
    parents: tuple[Parent, ...]
    settings: dict[str, Any]  # the part of the recipe that it depends on
    counts: dict[str, int] = field(default_factory=dict)  # rows, and rows by verdict
    figures: dict[str, float] = field(default_factory=dict)  # measured on it
    files: tuple[str, ...] | None = None  # names of its Parquet files; None: all that are there
    created_at: str = ""  # ISO 8601, UTC; not part of fingerprint or digest
    writer: str = ""  # host:pid:random of the driver that completed it; likewise
    #: Versions of libraries, and the device; likewise. Older manifests do not say.
    made_with: dict[str, str] = field(default_factory=dict)


def fingerprint(kind: str, settings: Mapping[str, Any], parents: Sequence[Parent]) -> str:
    """Hash of what an artifact is made from."""
    made_from = [kind, dict(settings), [[parent.role, parent.digest] for parent in parents]]
    text = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest_files(directory: Place) -> str:
    """Hash of the names and bytes of all files below `directory`, manifest apart."""
    whole = hashlib.sha256()
    root = f"{directory}/"
    for path in sorted(directory.rglob("*")):
        if path.name != FILE and not path.name.startswith(".") and path.is_file():
            whole.update(str(path).removeprefix(root).encode() + b"\0")
            with path.open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())  # type: ignore[arg-type]
    return whole.hexdigest()[:16]


def digest_file(path: Place) -> str:
    """Hash of one file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]  # type: ignore[arg-type]


def to_bytes(manifest: Manifest) -> bytes:
    """The contents of `manifest.json`."""
    return (json.dumps(asdict(manifest), indent=2, sort_keys=True) + "\n").encode()


def read(directory: Place) -> Manifest | None:
    """The manifest of `directory`, or None where there is none: the artifact is not complete.

    Raises:
        ManifestError: there is one and it cannot be read.
    """
    path = directory / FILE
    try:
        return of_bytes(path.read_bytes(), path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error}") from None


def of_bytes(data: bytes, path: object) -> Manifest:
    """The manifest in the contents of a file.

    Raises:
        ManifestError: it is none; names `path`.
    """
    try:
        raw = json.loads(data)
        raw["parents"] = tuple(Parent(**parent) for parent in raw["parents"])
        raw["files"] = None if raw["files"] is None else tuple(map(_file_name, raw["files"]))
        return Manifest(**raw)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ManifestError(f"{path}: not a manifest of this version: {error}") from None


def _file_name(name: object) -> str:
    """A name that cannot lead out of the directory."""
    if not isinstance(name, str) or "/" in name or name.startswith("."):
        raise ValueError(f"{name!r} is not the name of a data file")
    return name


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ, one line each, as "key: found -> wanted"."""
    lines = []
    for key in sorted({*found, *wanted}):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            lines.append(f"{prefix}{key}: {old!r} -> {new!r}")
    return lines
