"""The life of an artifact, whoever makes it: found complete, or begun, made and completed.

    find -> begin -> work -> complete: the manifest, written last and only once -> finish

A `Blueprint` says what is to be made, of what, and where; no round is needed. An artifact that is
complete is left alone, and work of two recipes is never mixed under one address. What lies there is
the same work where its settings, read by the rule of `schemas/identity.py`, say the same and its
inputs are these: whichever version of the code began it or completed it, and under whatever
fingerprint, which is only a name. Of several drivers
that make the same artifact at once, the one whose manifest comes first has made it, and the others
say so. What is logged and registered of it is the matter of whoever has it made: between `complete`
and `finish`, and once more by the next run where a driver was killed in between.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from actors import storage
from actors.memory import reason
from jobs.rounds.made_with import joined, made_with
from jobs.rounds.workspace import InputError
from jobs.session.run_log import note
from schemas import manifest, results
from schemas.identity import known_later, read_out, spelled_out
from schemas.manifest import Manifest, Parent
from schemas.places import Place
from schemas.section import Section

#: Notes of this module; hidden, so that no digest sees them.
_STARTED = ".started.json"
_FINISHED = ".recorded"


class LostRaceError(InputError):
    """Another driver has completed the same artifact first."""


@dataclass(frozen=True)
class Started:
    """What is noted of an artifact before its first byte."""

    fingerprint: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Blueprint:
    """What is to be made.

    directory: of the artifact, named by its address.
    kind: its name in `schemas.artifacts.KINDS`.
    settings: what it depends on, beside its parents.
    parents: what it is made from.
    source: where the settings come from, for messages.
    place_key: what a user changes to have it made elsewhere, for messages.
    """

    directory: Place
    kind: str
    settings: Section
    parents: Sequence[Parent]
    source: str = "recipe"
    place_key: str = "`root`"

    @property
    def address(self) -> str:
        return self.directory.name

    @property
    def spelled(self) -> dict[str, Any]:
        """The settings that count, for manifests and people."""
        return spelled_out(self.settings)

    @property
    def fingerprint(self) -> str:
        return manifest.fingerprint(self.kind, self.spelled, self.parents)

    def differences(self, made: Manifest | Started) -> list[str]:
        """What tells it from what was made, or begun, in its directory: one line each, and none
        where it is the same work.
        """
        theirs = read_out(type(self.settings), made.settings)
        for key in known_later(type(self.settings), made.settings):
            theirs[key] = self.spelled[key]
        # A fingerprint is of the inputs, and of the settings as they were written down beside it.
        of_ours = manifest.fingerprint(self.kind, made.settings, self.parents)
        changed = [] if made.fingerprint == of_ours else ["its inputs have changed"]
        return manifest.differences(theirs, self.spelled) or changed


@dataclass(frozen=True)
class Outcome:
    """What was made: rows by verdict, figures measured on it, and, for a data set whose Parquet
    may be split and named in any way, the files that count and a digest of their rows.

    parents: what else was found while making it, beyond what the fingerprint is made of.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    curves: Sequence[Mapping[str, float]] = ()
    digest: str | None = None
    files: tuple[str, ...] | None = None
    parents: tuple[Parent, ...] = ()


def find(blueprint: Blueprint) -> Manifest | None:
    """The complete artifact, or None where there is none yet.

    Raises:
        InputError: it was made with other settings, or of other inputs.
    """
    made = manifest.read(blueprint.directory)
    if made is not None:
        differences = blueprint.differences(made)
        if differences:
            raise InputError(_contradiction(blueprint, made.address, differences))
    return made


def is_begun(directory: Place) -> bool:
    """Whether a run has begun with an artifact there and has not completed it."""
    return (directory / _STARTED).is_file() and manifest.read(directory) is None


def check_begun(blueprint: Blueprint) -> None:
    """Refuse to go on with what was begun as something else.

    Raises:
        InputError: what was begun there is of another blueprint.
    """
    left = _begun(blueprint)
    if left is not None:
        _check_same(blueprint, left)


def known_as(blueprint: Blueprint) -> str:
    """The fingerprint by which MLflow knows the work: that under which it was completed or begun,
    else its own.
    """
    made = manifest.read(blueprint.directory)
    left = made or _begun(blueprint)
    if left is None or blueprint.differences(left):
        return blueprint.fingerprint
    return left.fingerprint


def say_complete(made: Manifest) -> None:
    """Tell a person that there was nothing to do."""
    print(f"{made.address}: complete already ({_told(made.counts)})", flush=True)


def check_free(blueprint: Blueprint, what: str) -> None:
    """Leave somebody else's files alone, where a user says in which directory to make something;
    what a killed run left is made anew.

    Raises:
        InputError: there are files that no run has begun with; says that they are no `what`.
    """
    directory = blueprint.directory
    if not (directory / _STARTED).is_file() and any(directory.glob("*")):
        raise InputError(
            f"{blueprint.place_key}: {directory}: holds files that are no {what}; choose another"
        )


def make(
    blueprint: Blueprint,
    work: Callable[[], Outcome],
    *,
    resumes: bool = False,
    keeps: bool = True,
    gpus: float = 0.0,
    **noted: Any,
) -> Manifest:
    """Make the artifact and write its manifest.

    Args:
        blueprint: of the artifact, which is not complete.
        work: makes it in the blueprint's directory.
        resumes: whether `work` goes on with what a killed run left, which must then be of the same
            blueprint.
        keeps: whether what `work` has made stays where it fails; where not, `check_free` first.
        gpus: that it reserves, by which a loop's limits are measured.
        noted: of the event `stage_started` in the log of the run.

    Raises:
        InputError: unfinished work of another blueprint that would be resumed.
        LostRaceError: another driver was faster.
    """
    directory, address = blueprint.directory, blueprint.address
    begun = begin(blueprint, resumes=resumes)
    print(f"{address}: started", flush=True)
    note("stage_started", stage=address, fingerprint=begun.fingerprint, **noted)
    began = time.monotonic()
    try:
        outcome = work()
    except Exception as error:
        note("stage_failed", stage=address, error=reason(error))
        if manifest.read(directory) is None:
            if not keeps:
                abandon(blueprint)
            raise
        # Whoever completed it has cleared away what this driver was still at work on.
        raise lost_race(directory, address) from error
    seconds = round(time.monotonic() - began, 1)
    if outcome.curves:
        (directory / results.CURVES).write_text(json.dumps(list(outcome.curves)))
    cost = {"seconds": seconds} | ({"gpu_seconds": round(gpus * seconds, 1)} if gpus else {})
    made = Manifest(
        address=address,
        kind=blueprint.kind,
        fingerprint=begun.fingerprint,
        digest=outcome.digest or manifest.digest_files(directory),
        parents=(*blueprint.parents, *outcome.parents),
        settings=begun.settings,
        counts=dict(outcome.counts),
        figures={**outcome.figures, **cost},
        files=outcome.files,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        writer=_writer(),
        made_with=made_with(gpus),
    )
    complete(directory, made)
    (directory / _STARTED).unlink(missing_ok=True)
    print(f"{address}: complete in {seconds:.0f} s ({_told(made.counts)})", flush=True)
    note("stage_complete", stage=address, counts=made.counts, figures=made.figures)
    return made


def begin(blueprint: Blueprint, *, resumes: bool) -> Started:
    """Note what is being made before the first byte of it, so that neither a resumed run nor a
    driver beside this one can mix two recipes. What a killed run left stays: another driver may
    be at work on it, and the manifest will not name it.

    Returns:
        what is noted: of work that goes on, as it was begun.

    Raises:
        InputError: it is to be resumed, and is of another blueprint.
    """
    blueprint.directory.mkdir(parents=True, exist_ok=True)
    file = blueprint.directory / _STARTED
    ours = Started(blueprint.fingerprint, blueprint.spelled)
    text = json.dumps(asdict(ours))
    try:
        storage.write_new(file, text.encode())
    except FileExistsError:
        left = Started(**json.loads(file.read_text()))
        if resumes:
            _check_same(blueprint, left)
        if resumes or not blueprint.differences(left):
            return left
        file.write_text(text)
    return ours


def _check_same(blueprint: Blueprint, left: Started) -> None:
    differences = blueprint.differences(left)
    if differences:
        address = f"unfinished {blueprint.address}"
        raise InputError(_contradiction(blueprint, address, differences))


def _begun(blueprint: Blueprint) -> Started | None:
    try:
        return Started(**json.loads((blueprint.directory / _STARTED).read_text()))
    except FileNotFoundError:
        return None


def abandon(blueprint: Blueprint) -> None:
    """Take away what a failed run has left, so that nobody takes it for a data set. It stays where
    the note is of other work, which is another driver's, and where something in it is complete.
    Only for a directory that was free before.
    """
    directory = blueprint.directory
    left = _begun(blueprint)
    is_ours = left is not None and not blueprint.differences(left)
    if is_ours and not any(directory.rglob(manifest.FILE)):
        storage.remove(directory)


def complete(directory: Place, made: Manifest) -> None:
    """Write the manifest of a finished artifact, where there is none yet.

    Raises:
        LostRaceError: there is one: of drivers that race for a version, exactly one completes it.
    """
    try:
        storage.write_new(directory / manifest.FILE, manifest.to_bytes(made))
    except FileExistsError:
        raise lost_race(directory, made.address) from None


def lost_race(directory: Place, address: str) -> LostRaceError:
    """Says who was faster."""
    first = manifest.read(directory)
    who = first.writer if first is not None else "unknown"
    return LostRaceError(
        f"{directory}: another driver ({who}) completed {address} first; its manifest stands, and "
        "what this one made is left out. Run the same command again to go on from there."
    )


def finish(directory: Place, made: Manifest) -> None:
    """Clear away what the manifest does not name, and note that nothing is left to do."""
    if made.files is not None:
        clear(directory, made.files)
    (directory / _FINISHED).write_bytes(b"")


def is_finished(directory: Place) -> bool:
    """Whether nothing is left to do for a complete artifact."""
    return (directory / _FINISHED).exists()


def clear(directory: Place, files: Sequence[str]) -> None:
    """Delete the Parquet files that a complete data set does not name."""
    for path in list(directory.glob("*.parquet")):
        if path.name not in files:
            path.unlink(missing_ok=True)


def remake(
    made: Manifest, directory: Place, outcome: Outcome, parents: Sequence[Parent] | None = None
) -> Manifest:
    """Put another content in the place of a complete artifact.

    Args:
        made: its manifest so far.
        directory: of it.
        outcome: the new content.
        parents: all that it is made from now; None where that has not changed.

    Raises:
        LostRaceError: another driver has changed it in the meantime.
    """
    changed = made
    if parents is not None:
        fingerprint = manifest.fingerprint(made.kind, made.settings, parents)
        changed = replace(made, fingerprint=fingerprint, parents=tuple(parents))
    again = replace(
        changed,
        digest=outcome.digest or made.digest,
        counts=dict(outcome.counts),
        figures={**made.figures, **outcome.figures},
        files=outcome.files,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        writer=_writer(),
        made_with=joined(made.made_with, made_with(made.figures.get("gpu_seconds", 0.0))),
    )
    # Before the manifest: a driver that is killed between the two leaves a record to be made.
    (directory / _FINISHED).unlink(missing_ok=True)
    try:
        storage.replace(
            directory / manifest.FILE, manifest.to_bytes(made), manifest.to_bytes(again)
        )
    except FileExistsError:
        raise lost_race(directory, made.address) from None
    if again.files is not None:
        clear(directory, again.files)
    return again


def _writer() -> str:
    """Names this driver: no two are alike."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def _contradiction(blueprint: Blueprint, address: str, differences: Sequence[str]) -> str:
    lines = "\n".join(f"  {line}" for line in differences)
    return (
        f"{blueprint.directory}: {address} was made with another {blueprint.source}:\n{lines}\n"
        f"Use another {blueprint.place_key}, or remove what lies there to make it again."
    )


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in counts.items()) or "no rows"
