"""One published checkpoint into a folder that judges load; a failed conversion leaves none."""

from __future__ import annotations

import shutil
from pathlib import Path

from actors.converters import KINDS
from actors.converters import convert as converted
from actors.converters.conversion import BESIDE, Conversion
from actors.weights import hub_commit, is_hub_name
from jobs.rounds.workspace import InputError

#: What is fetched of a hub's repository: all of a source, and of a base what is small.
_SMALL = ["config.json", *BESIDE]


def convert(kind: str, source: str, out: Path, base: str | None = None) -> None:
    """Convert, and tell what was made.

    Args:
        kind: of `actors.converters.KINDS`.
        source: a path, or a hub's name.
        out: a directory that does not exist yet.
        base: a path or a hub's name; the publisher's own where None.

    Raises:
        InputError: an unknown kind, a place that is taken, or one that is not there.
        ConversionError: no checkpoint of this kind.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r} is no layout that is known here: {', '.join(sorted(KINDS))}")
    if out.exists():
        raise InputError(f"{out}: is there already; convert into a folder of its own")
    found = _place(source, None)
    wanted = base or KINDS[kind].base or str(found)
    beneath = found if wanted == str(found) else _place(wanted, None if base else _SMALL)
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        made = converted(kind, found, beneath, part)
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    _tell(made, out)


def _place(name: str, files: list[str] | None) -> Path:
    """Where a model lies on this machine; of a hub's repository, where it was fetched to."""
    path = Path(name)
    if path.exists() or not is_hub_name(name):
        if not path.exists():
            raise InputError(f"{name}: no such file or directory")
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=hub_commit(name), allow_patterns=files))
    except OSError as error:
        raise InputError(f"{name}: cannot be fetched: {error}") from None


def _tell(made: Conversion, out: Path) -> None:
    print(f"{len(made.tensors)} tensors of {len(made.source)} written to {out}")
    reasons = sorted(set(made.dropped.values()))
    for reason in reasons:
        names = sorted(name for name, why in made.dropped.items() if why == reason)
        few = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
        print(f"  {len(names)} left behind ({few}): {reason}")
    for sentence in made.told:
        print(f"  {sentence}")
    if made.specification is not None:
        one = made.specification
        print(f"  judges {', '.join(one.tasks)} as {one.name}; judge.path: {out}")
        if one.slope is None:
            print(f"  it has no scale for duels: {one.duels}")
