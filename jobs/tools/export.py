"""Pairs or groups to the form that another trainer loads: as a stream, row by row.

    data sets -> rows -> records (factory.exports) -> shards (jobs.datasets.shards) -> manifest.json

A row that the form cannot hold is counted by its reason, with examples, in the output, the manifest
and the card (README.md); it is never dropped in silence. A killed export goes on by the same
command, a finished one is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from actors.media_store import media_store
from actors.storage import is_address, place, remove, write_whole
from factory.exports.card import Facts, card
from factory.exports.columns import MediaMode
from factory.exports.record import Kind, Options, Unfit, row_id
from factory.exports.registry import EXPORTERS, Exporter, exporter_named
from jobs.datasets.files import num_rows, parquet, streamed_batches
from jobs.datasets.reading import JUDGED, sources_of
from jobs.datasets.shards import (
    NOTES,
    Layout,
    Note,
    Slice,
    clear_others,
    read_notes,
    shard_names,
    sums,
)
from jobs.rounds import lifecycle
from jobs.rounds.checks import check_writable
from jobs.rounds.lifecycle import Blueprint, Outcome
from jobs.rounds.workspace import InputError
from jobs.tools.export_facts import source_facts
from jobs.tools.export_hub import TOKEN, check_push, push
from schemas import manifest
from schemas.arrow import groups_from_table, pairs_from_table
from schemas.artifacts import ADDRESS
from schemas.columns import PAIRS, check_schema, upgraded
from schemas.manifest import Manifest, Parent
from schemas.places import DATA, Place
from schemas.recipe import Recipe
from schemas.rows import Group, Pair, Verdict, draw_of
from schemas.section import Section

#: Rows that are read at once: they may hold media.
_ROWS_AT_ONCE = 32
_SLICE_ROWS, _SLICE_MIB = 50_000, 512
_SPLIT = re.compile(r"[a-z][a-z0-9_]*")


class NothingFitsError(InputError):
    """The form holds none of the rows; says why, by reason."""


class Settings(Section):
    """What an export depends on, beside the data sets."""

    format: str
    kind: str
    media: str
    verdicts: tuple[str, ...]
    splits: dict[str, float]
    scale: tuple[float, float] | None = None
    shard_rows: int | None = None
    shard_mib: int | None = None
    plugin: str | None = None  # package.module:NAME of the exporter, where it is no shipped one


@dataclass(frozen=True)
class Export:
    """What to export, and how.

    exporter: the format.
    kind: of the rows.
    sources: data sets, complete.
    options: for the projection.
    verdicts: of the pairs that are exported.
    splits: shares of prompts, by name; together 1.
    shard_rows, shard_mib: rows read and MiB of media at which a shard ends.
    """

    exporter: Exporter
    kind: Kind
    sources: tuple[Place, ...]
    options: Options
    verdicts: tuple[Verdict, ...] = ("kept",)
    splits: tuple[tuple[str, float], ...] = (("train", 1.0),)
    shard_rows: int = _SLICE_ROWS
    shard_mib: int = _SLICE_MIB

    def settings(self) -> Settings:
        """What the result depends on, the data sets apart."""
        is_one = self.exporter.is_one_file
        return Settings(
            format=self.exporter.name,
            plugin=self.exporter.plugin,
            kind=self.kind,
            media=self.options.media,
            verdicts=self.verdicts if self.kind == "pairs" else (),
            splits=dict(self.splits),
            scale=self.options.scale,
            shard_rows=None if is_one else self.shard_rows,
            shard_mib=None if is_one else self.shard_mib,
        )

    def layout(self) -> Layout:
        """How its records are written."""
        settings = self.settings()
        return Layout(
            self.exporter.name,
            self.exporter.schema(self.kind, self.options.media),
            self.options.media,
            "../" if self.exporter.is_one_file else "",
            settings.shard_rows,
            None if settings.shard_mib is None else settings.shard_mib * 1024**2,
        )

    def split_of(self, prompt_id: str) -> str:
        """The split to which all rows of a prompt belong."""
        drawn, reached = draw_of("export", prompt_id), 0.0
        for name, share in self.splits:
            reached += share
            if drawn < reached:
                return name
        return self.splits[-1][0]


def export(request: Export, directory: Place) -> Manifest:
    """Export, or return the manifest of the export that was finished already.

    Raises:
        InputError: a data set that is not complete, or another export in this place.
        RecordError: an exporter of somebody's own whose records do not fit its columns.
    """
    check_writable(directory)
    blueprint = blueprint_of(request, directory)
    made = lifecycle.find(blueprint)
    if made is not None:
        lifecycle.say_complete(made)
    else:
        lifecycle.check_free(blueprint, "export")
        try:
            made = lifecycle.make(blueprint, lambda: _export(request, directory), resumes=True)
        except NothingFitsError:
            lifecycle.abandon(blueprint)
            raise
    if not lifecycle.is_finished(directory):
        clear_others(directory, read_notes(directory))
        remove(directory / NOTES)
        lifecycle.finish(directory, made)
    return made


def blueprint_of(request: Export, directory: Place) -> Blueprint:
    """What an export makes.

    Raises:
        InputError: a data set that is not complete.
    """
    parents = []
    for source in request.sources:
        made = manifest.read(source)
        if made is None:
            raise InputError(f"--{request.kind}: {source}: is no complete data set (no manifest)")
        parents.append(Parent(request.kind, made.address, made.digest))
    return Blueprint(directory, "export", request.settings(), parents, "command line", "--out")


def check(request: Export, directory: Place) -> None:
    """Say what would be written, counted and left out. Reads no media and writes nothing."""
    blueprint_of(request, directory)
    counts, splits = Counter[str](), Counter[str]()
    examples: dict[str, str] = {}
    for _, _, table in _batches(request, 0, 0):
        counts["read"] += table.num_rows
        for row in _rows(request.kind, table):
            made = request.exporter.reads[request.kind](row, request.options)
            if isinstance(made, Unfit):
                counts[f"left out: {made.reason}"] += 1
                examples.setdefault(made.reason, f"{row_id(row)}: {made.detail}")
            else:
                splits[request.split_of(row.prompt.prompt_id)] += len(made)
    print(f"{directory}: {request.exporter.name} of {counts.pop('read', 0)} {request.kind}")
    for split, num in sorted(splits.items()):
        print(f"  {split}: {num} record(s), media {request.options.media}")
    for name, num in sorted(counts.items()):
        print(f"  {name}: {num} (such as {examples[name.removeprefix('left out: ')]})")


def _export(request: Export, directory: Place) -> Outcome:
    notes = read_notes(directory)
    if notes:
        num = sum(note.num_read for note in notes)
        print(f"{directory}: going on after {num} rows", flush=True)
    source, row = (notes[-1].source, notes[-1].row) if notes else (0, 0)
    for note in _slices(request, directory, len(notes), source, row):
        notes.append(note)
        told = sum(note.num_read for note in notes)
        print(f"{directory}: {told} rows, {sum(sums(notes, 'splits').values())} records")
    splits, left_out = sums(notes, "splits"), sums(notes, "left_out")
    for reason, num in left_out.items():
        examples = [one for note in notes for one in note.examples.get(reason, ())]
        print(f"{directory}: left out: {reason}: {num} (such as {examples[0]})", flush=True)
    if not splits:
        reasons = ", ".join(f"{reason} {num}" for reason, num in left_out.items()) or "no rows"
        raise NothingFitsError(f"{request.exporter.name}: no row fits this form ({reasons})")
    _write_beside(request, directory, notes)
    names = list(shard_names(notes))
    counts = {
        "rows": sum(note.num_read for note in notes),
        "records": sum(splits.values()),
        **{f"split_{name}": num for name, num in splits.items()},
        "left_out": sum(left_out.values()),
        **{f"left_out_{name.replace(' ', '_')}": num for name, num in left_out.items()},
    }
    figures = {"megabytes": sum(note.num_bytes for note in notes) / 1e6}
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
    return Outcome(counts, figures, digest=digest)


def _slices(
    request: Export, directory: Place, number: int, source: int, row: int
) -> Iterator[Note]:
    """Write the slices from a row on, and give their notes."""
    layout = request.layout()
    current: Slice | None = None
    try:
        for source, row, table in _batches(request, source, row):  # noqa: B020
            current = current or Slice(directory, layout, number)
            for few in media_store(request.sources[source]).stream_in(table):
                _take(request, current, few)
            if current.is_full:
                yield current.close(source, row)
                current, number = None, number + 1
        if current is not None:
            yield current.close(source, row)
            current = None
    finally:
        if current is not None:
            current.abandon()


def _take(request: Export, current: Slice, table: pa.Table) -> None:
    current.num_read += table.num_rows
    for row in _rows(request.kind, table):
        made = request.exporter.reads[request.kind](row, request.options)
        if isinstance(made, Unfit):
            current.leave_out(made.reason, f"{row_id(row)}: {made.detail}")
            continue
        split = request.split_of(row.prompt.prompt_id)
        for record in made:
            current.add(split, record, row.prompt.origin)


def _rows(kind: Kind, table: pa.Table) -> Sequence[Pair] | Sequence[Group]:
    return pairs_from_table(table) if kind == "pairs" else groups_from_table(table)


def _batches(request: Export, source: int, row: int) -> Iterator[tuple[int, int, pa.Table]]:
    """Rows a few at a time from a row on, media as references, of the verdicts asked for; each with
    its source, and the row of that at which the next ones begin.
    """
    schema = PAIRS if request.kind == "pairs" else JUDGED
    verdicts = pa.array(request.verdicts, pa.string())
    batch_size = min(_ROWS_AT_ONCE, request.shard_rows)
    for index in range(source, len(request.sources)):
        start = 0  # of the file, in the source
        skipped = row if index == source else 0
        for path, _ in sources_of(request.sources[index]):
            num = num_rows([path])
            if start + num > skipped:
                with path.open("rb") as file:
                    names = parquet(file, path).schema_arrow
                check_schema(names, schema, str(path))
                columns = [name for name in schema.names if name in names.names]
                at = max(start, skipped)
                passed_over = range(at - start)
                for batch in streamed_batches(path, batch_size, columns, passed_over):
                    at += batch.num_rows
                    table = upgraded(pa.Table.from_batches([batch]), schema)
                    if request.kind == "pairs":
                        is_wanted = pc.is_in(table.column("verdict"), verdicts)
                        if not pc.all(is_wanted).as_py():  # a filter copies all media
                            table = table.filter(is_wanted)
                    yield index, at, table
            start += num


def _write_beside(request: Export, directory: Place, notes: Sequence[Note]) -> None:
    """Write the card, and what else the format has beside its tables."""
    exporter = request.exporter
    splits = sums(notes, "splits")
    facts = Facts(
        directory.name,
        exporter.name,
        exporter.about,
        exporter.loads,
        request.layout().ending,
        splits,
        sums(notes, "left_out"),
        request.verdicts if request.kind == "pairs" else (),
        [source_facts(source) for source in request.sources],
        {name: num for name, num in sums(notes, "licences").items() if name != "not told"},
    )
    files = {"README.md": card(facts)}
    if exporter.companions is not None:
        files |= exporter.companions(sorted(splits))
    for name, text in files.items():
        write_whole(directory / name, text.encode())


# ---------------------------------------------------------------------------------- command line


FORMATS_IN_WORDS = "formats:\n" + "\n".join(
    (
        *(
            f"  {one.name} (of {' or '.join(one.reads)}; media {' or '.join(one.media)})\n"
            f"      {one.about}"
            for one in EXPORTERS.values()
        ),
        "  package.module:NAME\n      an exporter of your own (factory/exports/registry.py)",
    )
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add = parser.add_argument
    add("format", metavar="FORMAT", help="one of those below")
    add(
        "--pairs",
        action="append",
        metavar="NAME@N|PLACE",
        help="pairs to export, of the recipe's root or anywhere; once or several times "
        "(default: the newest of the recipe's root)",
    )
    add(
        "--groups",
        action="append",
        metavar="NAME@N|PLACE",
        help="groups or candidates to export instead, for formats that hold them",
    )
    add("--out", required=True, metavar="PLACE", help="a folder, local or s3://bucket/key")
    add("--media", choices=get_args(MediaMode), help="in the tables or as files beside them")
    add(
        "--verdict",
        action="append",
        choices=(*get_args(Verdict), "all"),
        help="of the pairs that are exported; once or several times (default: kept)",
    )
    add(
        "--split",
        type=_splits,
        default=(("train", 1.0),),
        metavar="NAME=SHARE,…",
        help="shares of prompts, as train=0.9,test=0.1 (default: all are train)",
    )
    add(
        "--scale",
        type=_scale,
        metavar="LOW:HIGH",
        help="on which the judge of the groups gives points; needed where they are exported",
    )
    add(
        "--shard-rows",
        type=_positive,
        default=_SLICE_ROWS,
        metavar="N",
        help="rows read for a shard",
    )
    add(
        "--shard-mib",
        type=_positive,
        default=_SLICE_MIB,
        metavar="N",
        help="MiB of its media, about",
    )
    add("--push-to-hub", metavar="REPO", help=f"then put it there, with {TOKEN} of the environment")


def run(recipe: Recipe, given: argparse.Namespace) -> None:
    """Export what the command line names, or say what would be.

    Raises:
        InputError, ExporterError, PluginError: something that cannot be exported so.
    """
    request = requested(recipe, given)
    directory = place(given.out)
    token = check_push(directory) if given.push_to_hub else ""
    if given.dry_run:
        check(request, directory)
        return
    export(request, directory)
    if given.push_to_hub:
        push(directory, given.push_to_hub, token)
    elif request.exporter.loads:
        split = request.splits[0][0]
        print(request.exporter.loads.format(out=given.out, split=split), flush=True)


def requested(recipe: Recipe, given: argparse.Namespace) -> Export:
    """What the command line asks for.

    Raises:
        InputError, ExporterError, PluginError: it cannot be done.
    """
    exporter = exporter_named(given.format, "FORMAT")
    if given.pairs and given.groups:
        raise InputError("--pairs, --groups: give one of them; each makes an export of its own")
    is_of_groups = given.groups or (not given.pairs and "pairs" not in exporter.reads)
    kind: Kind = "groups" if is_of_groups else "pairs"
    media: MediaMode = given.media or exporter.media[0]
    exporter.check(kind, media)
    data = place(recipe.root) / DATA
    names = (given.groups if kind == "groups" else given.pairs) or [_newest(data, kind)]
    verdicts = tuple(dict.fromkeys(given.verdict or ("kept",)))
    if kind == "groups" and given.verdict:
        raise InputError("--verdict: is of pairs; groups have none")
    if "all" in verdicts:
        verdicts = get_args(Verdict)
    request = Export(
        exporter,
        kind,
        tuple(_source(data, name, kind) for name in names),
        Options(media, given.scale),
        verdicts,
        given.split,
        given.shard_rows,
        given.shard_mib,
    )
    addresses = [str(source.absolute()) for source in request.sources]
    if len(set(addresses)) < len(addresses):
        raise InputError(f"--{kind}: names {max(addresses, key=addresses.count)} twice")
    return request


def _source(data: Place, name: str, kind: Kind) -> Place:
    """The data set that a name of the recipe's root, or a place, means."""
    is_name = ADDRESS.fullmatch(name) is not None and not is_address(name)
    directory = data / name if is_name and not place(name).is_dir() else place(name)
    if not directory.is_dir():
        raise InputError(f"--{kind}: {directory}: no such data set")
    return directory


def _newest(data: Place, kind: Kind) -> str:
    """The complete data set of the last round."""
    found = [
        int(path.parent.name.partition("@")[2])
        for path in data.glob(f"{kind}@*")
        for path in (path / manifest.FILE,)
        if ADDRESS.fullmatch(path.parent.name) and path.is_file()
    ]
    if not found:
        raise InputError(f"--{kind}: {data} holds no complete {kind}@N; name a data set")
    return f"{kind}@{max(found)}"


def _splits(text: str) -> tuple[tuple[str, float], ...]:
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            value = float(share)
        except ValueError:
            value = math.nan
        if _SPLIT.fullmatch(name) is None or not 0 < value <= 1 or name in shares:
            raise argparse.ArgumentTypeError(f"{part!r} is not NAME=SHARE, as train=0.9")
        shares[name] = value
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9):
        raise argparse.ArgumentTypeError(f"the shares add up to {sum(shares.values()):g}, not to 1")
    return tuple(shares.items())


def _scale(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        bounds = float(low), float(high)
    except ValueError:
        bounds = math.nan, math.nan
    if not bounds[0] < bounds[1] or not all(map(math.isfinite, bounds)):
        raise argparse.ArgumentTypeError(f"{text!r} is not LOW:HIGH, as 1:5")
    return bounds


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number
