"""The audit sample of a data set of pairs, drawn and written beside it, and the table of answers.

    pairs@N/_audit/sample.parquet   the drawn pairs, with their probabilities and sides as shown;
                                    large media are referred to, as in the pairs themselves
    pairs@N/_audit/review.html      one page to look at them and answer, without outside resources
    pairs@N/_audit/sheet.csv        the same questions as an empty sheet
    human_audit@N/answers-DIGEST.parquet   every answer that counts, whichever sheet it came in

Page and sheet do not say which side the judge chose. Which side is on the left is a function of
the pair's id and the seed, and is kept in the sample, so that "left" means the same in page, sheet
and findings. The page keeps every answer in the browser's own store, by sample and reviewer, until
it is saved as a sheet; its only script is its own, which its policy names by hash.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from actors.media_store import media_store
from actors.storage import remove, write_whole
from factory.human_audit.estimate import NUM_CELLS, cells_of
from factory.human_audit.findings import DoubtOfAll, Sampled
from factory.human_audit.sampling import doubts, draw, inclusion
from factory.human_audit.sheets import COLUMNS, WORDS, Answer
from factory.ids import to_numbers, to_text
from factory.scratch import Scratch
from jobs.datasets.files import read_columns, write_table
from jobs.datasets.reading import find_rows, stream
from jobs.pages.pictures import show, show_parts
from schemas.arrow import pairs_from_table, tags_from_rows
from schemas.columns import PAIRS
from schemas.places import Place
from schemas.recipe import AuditSample
from schemas.rows import Pair, content_id, seed_of

FOLDER = "_audit"
SAMPLE, PAGE, SHEET = "sample.parquet", "review.html", "sheet.csv"
_TEMPLATE = Path(__file__).with_name("audit_sample.html")
_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_DOUBT = ("margin", "margin_sd", "p_chosen", "score_margin", "is_flipped", "margin_before")
_ANSWERS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("annotator", pa.string()),
        ("answer", pa.string()),  # in the words of a sheet
        ("seconds", pa.float64()),  # null where the look was not measured
    ]
)
#: What the sample holds of each pair, beside the pair.
_DRAWN = [("slice", pa.string()), ("p_drawn", pa.float64()), ("is_chosen_first", pa.bool_())]


def write_sample(
    directory: Place, settings: AuditSample, seed: int, files: Sequence[str] | None = None
) -> int:
    """Draw the audit sample of the pairs in `directory`, write it, and return its size.

    Args:
        directory: of the data set.
        settings: of the sample.
        seed: of the recipe.
        files: names of the data set's files, where it is not complete yet.
    """
    found = _draw(directory, settings, seed, files)
    folder = directory / FOLDER
    if not found:
        remove(folder)  # a killed run of another recipe may have left one
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    rows = find_rows(directory, "pair_id", list(found), PAIRS, files, media="inline")
    table = rows.sort_by("pair_id")
    ids = table.column("pair_id").to_pylist()
    is_first = [seed_of("audit sides", seed, one) % 2 == 0 for one in ids]
    columns = ([found[one][0] for one in ids], [found[one][1] for one in ids], is_first)
    for (name, type_), values in zip(_DRAWN, columns, strict=True):
        table = table.append_column(name, pa.array(values, type_))
    write_table(folder / SAMPLE, table)
    # Not by prompt: two pairs of one prompt should not be looked at in a row.
    shown = sorted(ids, key=lambda one: seed_of("audit order", seed, one))
    sides = dict(zip(ids, is_first, strict=True))
    row_of = {one: row for row, one in enumerate(ids)}
    pairs = _seen(directory, table.take([row_of[one] for one in shown]))
    page = render(pairs, [(one, sides[one]) for one in shown], directory.name)
    write_whole(folder / PAGE, page)
    sheet = io.StringIO(newline="")
    rows = csv.writer(sheet)
    rows.writerow(COLUMNS)
    rows.writerows((one, "", "", "") for one in shown)
    write_whole(folder / SHEET, sheet.getvalue().encode())
    return len(ids)


def _seen(directory: Place, table: pa.Table) -> Iterator[Pair]:
    """The pairs of a table with their media, of which a few are held at a time: those of a whole
    sample are hundreds of clips or large pictures, and the page shows each of them small.
    """
    for few in media_store(directory).stream_in(table):
        yield from pairs_from_table(few)


def _draw(
    directory: Place, settings: AuditSample, seed: int, files: Sequence[str] | None
) -> dict[str, tuple[str, float]]:
    """Slice and probability of each drawn pair, by its id; what the draw needs to know of every
    pair lies in scratch files, but for its probability.
    """
    ids, doubt, codes = Scratch(np.uint64), Scratch(np.float64), Scratch(np.int32)
    slices: dict[str, int] = {}
    for batch in stream(directory, ["pair_id", "verdict", "tags", *_DOUBT], files=files):
        kept = batch.filter(pc.equal(batch.column("verdict"), "kept"))
        doubt.add(_doubts_in(kept))
        ids.add(to_numbers(kept.column("pair_id")))
        values = _slices_in(kept, settings.slice_by)
        codes.add(np.array([slices.setdefault(one, len(slices)) for one in values], np.int32))
    if not settings.size or not len(ids):
        return {}
    # Codes were given out in the order of the rows; the draw must not depend on it.
    names = sorted(slices)
    order = {name: at for at, name in enumerate(names)}
    place = np.array([order[one] for one in slices], dtype=np.int32)
    number, slice_of = ids.array(), place[codes.array()]
    p = inclusion(doubt.array(), slice_of, settings.size, settings.even_share)
    drawn = draw(number, slice_of, p, seed_of("audit sample", seed))
    return {to_text(number[at]): (names[slice_of[at]], float(p[at])) for at in drawn}


def read_sample(directory: Place) -> list[Sampled]:
    """The audit sample of the pairs in `directory`; empty where none was drawn."""
    path = directory / FOLDER / SAMPLE
    if not path.is_file():
        return []
    names = ["pair_id", "prompt_id", "p_drawn", "slice", "is_chosen_first"]
    table = read_columns(path, [*names, *_DOUBT])
    doubt = _doubts_in(table).tolist()
    rows = table.select(names).to_pylist()
    return [Sampled(**row, doubt=one) for row, one in zip(rows, doubt, strict=True)]


def read_doubts(directory: Place, slice_by: str | None) -> DoubtOfAll | None:
    """How many kept pairs of a data set have each doubt, by the value of the tag `slice_by`; None
    where the pairs are no longer there, or the judge has stated nothing that tells them apart.
    """
    found: dict[str, npt.NDArray[np.int64]] = {}
    try:
        for batch in stream(directory, ["verdict", "tags", *_DOUBT]):
            kept = batch.filter(pc.equal(batch.column("verdict"), "kept"))
            cells, values = cells_of(_doubts_in(kept)), np.array(_slices_in(kept, slice_by), object)
            for name in set(values):
                counts = np.bincount(cells[values == name], minlength=NUM_CELLS)
                found[name] = found.get(name, 0) + counts
    except FileNotFoundError:
        return None
    if not found or np.count_nonzero(np.sum(list(found.values()), axis=0)) < 2:
        return None
    return {name: counts.astype(np.float64) for name, counts in found.items()}


def _doubts_in(pairs: pa.Table) -> npt.NDArray[np.float64]:
    return doubts(*(pairs.column(name).to_numpy(zero_copy_only=False) for name in _DOUBT))


def _slices_in(pairs: pa.Table, slice_by: str | None) -> list[str]:
    rows = pairs.column("tags").to_pylist()
    return [tags_from_rows(row).get(slice_by or "", "") for row in rows]


def write_answers(directory: Place, answers: Iterable[Answer]) -> tuple[str, str]:
    """Write a table of answers; its name, and the digest of its rows that makes the name its own.

    So a table never takes the place of another, and a manifest says which one counts.
    """
    rows = sorted(
        (one.pair_id, one.annotator, one.word, None if math.isnan(one.seconds) else one.seconds)
        for one in answers
    )
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
    table = pa.Table.from_pylist(
        [dict(zip(_ANSWERS.names, row, strict=True)) for row in rows], schema=_ANSWERS
    )
    file = f"answers-{digest}.parquet"
    write_table(directory / file, table)
    return file, digest


def read_answers(path: Place) -> list[Answer]:
    """The answers of a table that `write_answers` wrote."""
    return [
        Answer(
            row["pair_id"],
            row["annotator"],
            WORDS[row["answer"]],
            math.nan if row["seconds"] is None else row["seconds"],
        )
        for row in read_columns(path).to_pylist()
    ]


def render(pairs: Iterable[Pair], sides: Sequence[tuple[str, bool]], address: str) -> bytes:
    """The page on which people look at pairs, as UTF-8.

    Args:
        pairs: in the order of the page, with their media; each is looked at once.
        sides: the id of each, and whether its chosen side is on the left.
        address: of their data set. With a digest of pairs and sides it tells this page from others
            in the browser's store.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATE.parent), autoescape=True, undefined=StrictUndefined
    )
    script = _SCRIPT.search(_TEMPLATE.read_text(encoding="utf-8"))
    assert script is not None  # the template is ours
    digest = base64.b64encode(hashlib.sha256(script.group(1).encode()).digest()).decode()
    page = environment.get_template(_TEMPLATE.name).generate(
        rows=(_shown(pair, is_first) for pair, (_, is_first) in zip(pairs, sides, strict=True)),
        num=len(sides),
        words=list(WORDS),
        address=address,
        digest=content_id("audit page", list(sides)),
        script_hash=digest,
    )
    return b"".join(piece.encode() for piece in page)


def _shown(pair: Pair, is_first: bool) -> dict[str, Any]:
    """What the page shows of a pair."""
    sides = (pair.chosen, pair.rejected) if is_first else (pair.rejected, pair.chosen)
    return {
        "pair_id": pair.pair_id,
        "prompt": pair.prompt.text,
        "parts": show_parts(pair.prompt),
        "sides": [{"picture": show(one.media), "answer": one.answer} for one in sides],
    }
