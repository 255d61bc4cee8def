"""Foreign label files to label rows in Parquet, as a stream: what is in memory is a few rows.

    files -> labels (jobs.datasets.foreign_labels) -> part-00000.parquet, …, manifest.json

A row that cannot be used stops the import, or is written to `_invalid.jsonl` with its reason and
counted; it is never dropped in silence. What repeats or contradicts itself is counted and told, and
so are rows of kinds that none of the tasks holds, by kind.

A label is known by what it says and by how many of the source say the same, so that neither the
names of the files nor the order of the rows decide about ids. Sets that were imported before that
keep the ids that they have, of file and row: their manifest says so by `ids`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from factory.labels import table
from factory.labels.draft import Scale, is_of_one
from factory.labels.record import LabelError, NotHeldError
from factory.labels.registry import FORMATS, Format, format_named, row_by_row
from factory.labels.repeats import Repeats
from factory.labels.table import Table, TableError
from jobs.datasets.files import row_batches, write_table
from jobs.datasets.foreign import SUFFIXES, columns_of
from jobs.datasets.foreign_labels import LabelReader
from jobs.rounds import lifecycle
from jobs.rounds.checks import check_address, check_writable
from jobs.rounds.lifecycle import Blueprint, Outcome
from jobs.rounds.workspace import InputError
from schemas import manifest
from schemas.arrow import labels_to_table
from schemas.digests import digest_rows
from schemas.manifest import Manifest, Parent
from schemas.rows import Label, Media, Origin
from schemas.section import Section

INVALID = "_invalid.jsonl"
_ROWS_AT_ONCE = 16  # hold media
_PART_ROWS, _PART_BYTES = 4096, 64 * 1024**2
_DRY_ROWS = 20


class Settings(Section):
    """What imported labels depend on, beside their files."""

    format: str
    media: str | None
    heldout_share: float
    scale: tuple[float, float] | None
    keep_going: bool
    source: str | None = None
    license: str | None = None
    consent: str | None = None
    plugin: str | None = None  # package.module:NAME of the format, where it is no shipped one
    map: dict[str, str] | None = None  # of a table of one's own: its columns, by field
    values: dict[str, str] | None = None  # what its verdicts mean
    points: tuple[float, float] | None = None  # the scale on which its points lie
    #: What labels are known by; file and row of those that were imported before there was a choice.
    ids: Literal["place", "content"] = "place"


@dataclass(frozen=True)
class Import:
    """What to import, and how.

    format: of all files.
    files: of a kind that `jobs.datasets.foreign` reads.
    media: directory below which rows may name media; beside each file where None.
    heldout_share: of prompts.
    scale: of the points that come out; the source's own where None.
    keep_going: mark rows that cannot be used, and go on.
    origin: of all rows, but for what a row says itself.
    table: how a table of one's own is read, where that is the format.
    """

    format: Format
    files: tuple[Path, ...]
    media: Path | None = None
    heldout_share: float = 0.2
    scale: Scale | None = None
    keep_going: bool = False
    origin: Origin = field(default_factory=Origin)
    table: Table | None = None

    @property
    def reader(self) -> LabelReader:
        """What reads the files."""
        return LabelReader(self.format, self.media, self.heldout_share, self.scale, self.origin)

    def settings(self, ids: Literal["place", "content"] = "content") -> Settings:
        """What the result depends on, the files apart."""
        return Settings(
            format=self.format.name,
            plugin=self.format.plugin,
            media=None if self.media is None else str(self.media),
            heldout_share=self.heldout_share,
            scale=self.scale,
            keep_going=self.keep_going,
            source=self.origin.source,
            license=self.origin.license,
            consent=self.origin.consent,
            ids=ids,
            **table_settings(self.table),
        )


def table_settings(own: Table | None) -> dict[str, Any]:
    """What labels of a table of one's own depend on, beside its file; nothing without one."""
    if own is None:
        return {}
    said = {"map": dict(own.columns), "values": dict(own.values), "points": own.scale}
    return {name: value for name, value in said.items() if value}


def import_labels(request: Import, directory: Path) -> Manifest:
    """Import, or return the manifest of the import that was finished already.

    Raises:
        InputError: a missing file, or another import under this address.
        LabelError, StreamError: a row that cannot be used; names file, row and key.
    """
    blueprint = blueprint_of(request, directory)
    made = lifecycle.find(blueprint)
    if made is not None:
        lifecycle.say_complete(made)
    else:
        lifecycle.check_free(blueprint, "import")
        made = lifecycle.make(blueprint, lambda: _import(request, directory), keeps=False)
    if not lifecycle.is_finished(directory):
        lifecycle.finish(directory, made)
    return made


def blueprint_of(request: Import, directory: Path) -> Blueprint:
    """What an import makes.

    Raises:
        InputError: a missing file, or no directory to import to.
    """
    _check_files(request, directory)
    parents = [Parent("source", str(path), manifest.digest_file(path)) for path in request.files]
    made = manifest.read(directory)
    # What is complete keeps its ids; all that is made from now on is known by its content.
    is_by_place = made is not None and made.settings.get("ids", "place") == "place"
    settings = request.settings("place" if is_by_place else "content")
    return Blueprint(directory, "labels", settings, parents, "command line", "--out")


def _import(request: Import, directory: Path) -> Outcome:
    (directory / INVALID).unlink(missing_ok=True)  # of an import that was killed
    counts = Counter[str]()
    repeats = Repeats()
    files = _write_parts(_labels(request, directory, counts, repeats), directory, counts)
    not_held = {name: num for name, num in sorted(counts.items()) if name.startswith(NOT_HELD)}
    for name, num in not_held.items():
        what = name.removeprefix(NOT_HELD)
        print(f"{directory.name}: {num} row(s) that none of the tasks holds: {what}", flush=True)
    if not counts["labels"]:
        raise InputError(
            f"{', '.join(map(str, request.files))}: no row gives a label{_first_fault(directory)}"
        )
    digest = digest_rows(
        pa.Table.from_batches([batch])
        for name in files
        for batch in row_batches(directory / name, _ROWS_AT_ONCE)
    )
    counts.update(repeats.counts())
    for name, what in _TOLD.items():
        if counts[name]:
            print(f"{directory.name}: {counts[name]} {what}", flush=True)
    told = {name: counts[name] for name in _COUNTED} | not_held
    return Outcome(told, digest=digest, files=files)


#: Begins the count of rows of a kind that none of the tasks holds.
NOT_HELD = "not_held/"
#: What a person is told at the end, where there is any.
_TOLD = {
    "invalid": f"row(s) that could not be used, or not in full: see {INVALID}",
    "identical": "tie(s) between sides that are the same, which say nothing",
    "duplicate": "label(s) that say again what their annotator has said of the same sides",
    "contradictory": "label(s) that contradict their annotator's own of the same sides",
}
_COUNTED = ("rows", "labels", "pairs", "points", "train", "heldout", *_TOLD)


def _first_fault(directory: Path) -> str:
    """Why rows could not be used, where none could."""
    if not (directory / INVALID).is_file():
        return ""
    with (directory / INVALID).open(encoding="utf-8") as file:
        return f"; the first of their faults: {json.loads(file.readline())['reason']}"


def check(request: Import, directory: Path) -> None:
    """Read a few rows of each file and say what becomes of them. Writes nothing."""
    _check_files(request, directory)
    for path in request.files:
        groups = list(request.reader.groups(path, _DRY_ROWS))
        faults = [fault for group in groups for fault in group.faults.values()]
        if faults and not request.keep_going:
            raise _to_be_told(faults[0])
        marked = f"; {len(faults)} row(s) marked, such as {faults[0]}" if faults else ""
        num = sum(len(group.labels) for group in groups)
        print(f"{path}: {num} label(s) of the first rows -> {directory}{marked}", flush=True)


def _labels(
    request: Import, directory: Path, counts: Counter[str], repeats: Repeats
) -> Iterator[Label]:
    reader = request.reader
    for path in request.files:
        for group in reader.groups(path):
            if group.faults and not request.keep_going:
                raise _to_be_told(next(iter(group.faults.values())))
            counts["rows"] += group.num_rows
            counts["invalid"] += len(group.faults)
            for fault in group.faults.values():
                if isinstance(fault, NotHeldError):
                    counts[NOT_HELD + fault.what] += 1
            _mark(directory, path, group.faults)
            for label in group.labels:
                repeats.add(label)
                yield label


def _to_be_told(fault: LabelError) -> LabelError:
    return LabelError(f"{fault}; --keep-going marks such rows and goes on")


def _mark(directory: Path, path: Path, faults: dict[int, LabelError]) -> None:
    if not faults:
        return
    # A name of a file may hold what is no text.
    with (directory / INVALID).open("a", encoding="utf-8", errors="backslashreplace") as file:
        for number, error in faults.items():
            line = {"file": str(path), "row": number, "reason": str(error)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


# ------------------------------------------------------------------------------------- writing


def _write_parts(labels: Iterator[Label], directory: Path, counts: Counter[str]) -> tuple[str, ...]:
    """Write labels as they come, and return the names of the files."""
    part: list[Label] = []
    size = 0
    names: list[str] = []
    for label in labels:
        part.append(label)
        size += sum(len(one.data) for one in _media(label))
        if len(part) >= _PART_ROWS or size >= _PART_BYTES:
            names.append(_write_part(part, directory, len(names), counts))
            part, size = [], 0
    if part:
        names.append(_write_part(part, directory, len(names), counts))
    return tuple(names)


def _write_part(part: list[Label], directory: Path, number: int, counts: Counter[str]) -> str:
    name = f"part-{number:05}.parquet"
    # Small row groups: a reader of a few rows need not unpack a part's media.
    write_table(directory / name, labels_to_table(part), row_group_size=256)
    counts["labels"] += len(part)
    for label in part:
        counts["points" if label.preference is None else "pairs"] += 1
        counts[label.split] += 1
        counts["identical"] += is_of_one(label)
    return name


def _media(label: Label) -> list[Media]:
    found = (*(part.media for part in label.prompt.in_full), label.first, label.second)
    return [one for one in found if one is not None]


def _check_files(request: Import, directory: Path) -> None:
    check_address(directory, "--out")
    check_writable(directory)
    for path in request.files:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if path.suffix not in SUFFIXES:
            raise InputError(f"{path}: is not one of {', '.join(SUFFIXES)}")
        _check_columns(request, path)
    if request.media is not None and not request.media.is_dir():
        raise InputError(f"--media: {request.media}: no such directory")


def _check_columns(request: Import, path: Path) -> None:
    """Refuse a map to columns that a table does not have, before each of its rows is."""
    names = columns_of(path) if request.table is not None else None
    for name, column in (request.table or Table()).columns.items():
        if names is not None and column not in names:
            raise InputError(
                f"--map: {name}={column}: {path} has no such column; it has: {', '.join(names)}"
            )


FORMATS_IN_WORDS = "formats:\n" + "\n".join(
    (
        *(f"  {format.name}: {format.about}" for format in FORMATS.values()),
        "  package.module:NAME: a format of your own (factory/labels/registry.py)",
    )
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("format", metavar="FORMAT", help="one of those below")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=".parquet, .json, .jsonl or .csv"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIRECTORY", help="is to be named NAME@VERSION"
    )
    parser.add_argument(
        "--media",
        type=Path,
        metavar="DIRECTORY",
        help="where the media lie that rows name (default: beside the file)",
    )
    parser.add_argument(
        "--heldout-share",
        type=_share,
        default=0.2,
        metavar="SHARE",
        help="of prompts, kept for measuring judges (default: 0.2)",
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        metavar="LOW:HIGH",
        help="the judge's points, to which ratings are mapped (default: as they are)",
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="write rows that cannot be used to _invalid.jsonl, and count them (default: stop)",
    )
    for name, what in (
        ("source", "where the rows come from"),
        ("license", "their licence"),
        ("consent", "what those who labelled or are shown have agreed to"),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="TEXT",
            help=f"{what}, for rows that have no text under {name!r} themselves",
        )
    parser.add_argument(
        "--dry-run", action="store_true", help="read a few rows of each file, write nothing"
    )


def run(given: argparse.Namespace) -> None:
    """Import what the command line names, or say what would be."""
    form, own = named_format(given, "FORMAT")
    if given.scale is not None and own is not None and own.is_of_unknown_points:
        raise TableError("--scale: say by --points on which scale the table's points lie")
    request = Import(
        form,
        tuple(given.files),
        given.media,
        given.heldout_share,
        given.scale,
        given.keep_going,
        Origin(given.source, given.license, given.consent),
        own,
    )
    if given.dry_run:
        check(request, given.out)
    else:
        import_labels(request, given.out)


def named_format(given: argparse.Namespace, key: str) -> tuple[Format, Table | None]:
    """The format that a command line names, and for a table of one's own how it is read.

    Args:
        given: with what `cli.add_table` adds.
        key: of the argument that names the format.

    Raises:
        FormatError, PluginError, TableError: it names none, or says of it what cannot be.
    """
    form = format_named(given.format, key)
    columns = table.assignments("--map", given.map or ())
    values = table.assignments("--values", given.values or ())
    if form.name == table.NAME:
        scale = None if given.points is None else table.scale_of("--points", given.points)
        own = Table(columns, values, scale)
        return replace(form, parse=row_by_row(own), columns=own.read), own
    if columns or values or given.points:
        raise TableError(f"--map, --values, --points: are for the format `table`, not {form.name}")
    return form, None


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return share


def _scale(text: str) -> Scale:
    try:
        return table.scale_of("--scale", text)
    except TableError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
