"""Foreign label files to label rows in Parquet, as a stream: what is in memory is a few rows.

    files -> records -> drafts (factory.labels) -> labels -> part-00000.parquet, …, manifest.json

A row that cannot be used stops the import, or is written to `_invalid.jsonl` with its reason and
counted; it is never dropped in silence. Media are read from below one directory and from nowhere
else: a row may not name a path outside of it, and nothing is fetched.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from factory.labels.draft import Scale, finish
from factory.labels.record import LabelError, Record
from factory.labels.registry import FORMATS, Format, format_named
from factory.labels.streams import StreamError, together
from factory.prompt_parts import PartsError
from jobs.datasets.files import row_batches, write_table
from jobs.datasets.foreign import BrokenRow, MediaFolder, read_csv, read_json, read_parquet
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
_ROWS_AT_ONCE = 16  # with media
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


@dataclass(frozen=True)
class Import:
    """What to import, and how.

    format: of all files.
    files: Parquet, JSON, JSON Lines or CSV.
    media: directory below which rows may name media; beside each file where None.
    heldout_share: of prompts.
    scale: of the points that come out; the source's own where None.
    keep_going: mark rows that cannot be used, and go on.
    origin: of all rows, but for what a row says itself.
    """

    format: Format
    files: tuple[Path, ...]
    media: Path | None = None
    heldout_share: float = 0.2
    scale: Scale | None = None
    keep_going: bool = False
    origin: Origin = field(default_factory=Origin)

    def settings(self) -> Settings:
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
        )


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
    return Blueprint(directory, "labels", request.settings(), parents, "command line", "--out")


def _import(request: Import, directory: Path) -> Outcome:
    (directory / INVALID).unlink(missing_ok=True)  # of an import that was killed
    counts = Counter[str]()
    files = _write_parts(_labels(request, directory, counts), directory, counts)
    if not counts["labels"]:
        raise InputError(f"{', '.join(map(str, request.files))}: no row gives a label")
    digest = digest_rows(
        pa.Table.from_batches([batch])
        for name in files
        for batch in row_batches(directory / name, _ROWS_AT_ONCE)
    )
    return Outcome({name: counts[name] for name in _COUNTED}, digest=digest, files=files)


_COUNTED = ("rows", "labels", "pairs", "points", "train", "heldout", "invalid")


def check(request: Import, directory: Path) -> None:
    """Read a few rows of each file and say what becomes of them. Writes nothing."""
    _check_files(request, directory)
    for path in request.files:
        num_labels = 0
        groups = together(itertools.islice(_rows(path), _DRY_ROWS), request.format.group_by)
        for group in groups:
            num_labels += len(_group_labels(request, path, group))
        print(f"{path}: {num_labels} label(s) of the first rows -> {directory}", flush=True)


def _labels(request: Import, directory: Path, counts: Counter[str]) -> Iterator[Label]:
    for path in request.files:
        try:
            for group in together(_rows(path), request.format.group_by):
                counts["rows"] += len(group)
                try:
                    yield from _group_labels(request, path, group)
                except LabelError as error:
                    if not request.keep_going:
                        raise LabelError(
                            f"{error}; --keep-going marks such rows and goes on"
                        ) from None
                    counts["invalid"] += len(group)
                    _mark(directory, path, group, error)
        except StreamError as error:
            raise StreamError(f"{path}: {error}") from None


def _group_labels(request: Import, path: Path, group: list[tuple[int, Any]]) -> list[Label]:
    """The labels of rows that belong together: all of them, or an error."""
    read = MediaFolder(request.media or path.parent)
    records = [Record(row, f"{path}: row {number}", read) for number, row in group]
    place = f"{request.format.name}:{path.name}:{group[0][0]}"
    origin = _origin(request, records)
    try:
        return [
            finish(draft, f"{place}:{index}", request.heldout_share, request.scale, origin)
            for index, draft in enumerate(request.format.parse(records))
        ]
    except PartsError as error:
        raise LabelError(f"{records[0].where}: {error}") from None


def _origin(request: Import, records: Sequence[Record]) -> Origin | None:
    """Of rows that belong together: what the first of them says, else the command line."""
    said = records[0].origin() or Origin()
    found = Origin(
        said.source or request.origin.source,
        said.license or request.origin.license,
        said.consent or request.origin.consent,
    )
    return None if found == Origin() else found


def _mark(directory: Path, path: Path, group: list[tuple[int, Any]], error: LabelError) -> None:
    with (directory / INVALID).open("a", encoding="utf-8") as file:
        for number, _ in group:
            line = {"file": str(path), "row": number, "reason": str(error)}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


# ------------------------------------------------------------------------------------- reading


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """The rows of a file with their numbers, from 1."""
    reader = _READERS[path.suffix]
    try:
        for number, row in enumerate(reader(path), start=1):
            if isinstance(row, BrokenRow):
                raise InputError(f"{path}: cannot be read: row {number}: {row}")
            yield number, row
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a table of comma-separated values: {error}") from None


_READERS: dict[str, Callable[[Path], Iterator[Any]]] = {
    ".parquet": read_parquet,
    ".json": read_json,
    ".jsonl": read_json,
    ".csv": read_csv,
}


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
        if path.suffix not in _READERS:
            raise InputError(f"{path}: is not one of {', '.join(_READERS)}")
    if request.media is not None and not request.media.is_dir():
        raise InputError(f"--media: {request.media}: no such directory")


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
    request = Import(
        format_named(given.format, "FORMAT"),
        tuple(given.files),
        given.media,
        given.heldout_share,
        given.scale,
        given.keep_going,
        Origin(given.source, given.license, given.consent),
    )
    if given.dry_run:
        check(request, given.out)
    else:
        import_labels(request, given.out)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to 1")
    return share


def _scale(text: str) -> Scale:
    low, _, high = text.partition(":")
    scale = float(low), float(high)
    if not scale[0] < scale[1]:
        raise argparse.ArgumentTypeError(f"{text} is not LOW:HIGH with LOW below HIGH")
    return scale
