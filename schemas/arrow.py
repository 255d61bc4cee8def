"""Dataclass rows <-> Arrow tables: the only file that knows both.

Media is stored as encoded bytes in `struct<bytes, path>`, the form that Hugging Face readers
decode, with its size beside it; the schemas carry Hugging Face's own description of the columns.
Media too large for a table has no bytes there and a `path`, which `map_media` lets a reader fill
in. Nested rows (candidates, scores, duels) are lists of structs, so a group stays one row.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from schemas.rows import (
    UNDERSTANDING,
    Candidate,
    Duel,
    Group,
    Label,
    Media,
    Opinion,
    Pair,
    Prompt,
    Score,
)

#: Exactly what Hugging Face stores a picture as; with one more field it would not be recognised.
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
MEDIA = pa.struct(
    [
        ("image", IMAGE),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_frames", pa.int32()),
        ("fps", pa.float32()),
    ]
)
_TAGS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
_CANDIDATE_FIELDS = [
    ("candidate_id", pa.string()),
    ("generator", pa.string()),
    ("seed", pa.int64()),
    ("media", MEDIA),
    ("answer", pa.string()),
    ("error", pa.string()),
]
CANDIDATE = pa.struct(_CANDIDATE_FIELDS)
SCORE = pa.struct(
    [
        ("candidate_id", pa.string()),
        ("judge", pa.string()),
        ("value", pa.float64()),
        ("spread", pa.float64()),
        ("error", pa.string()),
        (
            "breakdown",
            pa.list_(pa.struct([("criterion", pa.string()), ("points", pa.float64())])),
        ),
    ]
)
DUEL = pa.struct(
    [
        ("first_id", pa.string()),
        ("second_id", pa.string()),
        ("judge", pa.string()),
        ("p_first", pa.float64()),
        ("p_second", pa.float64()),
        ("p_tie", pa.float64()),
        ("error", pa.string()),
    ]
)
PROMPTS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("task", pa.string()),
        ("tags", _TAGS),
        ("prompt_media", MEDIA),
    ]
)
GROUPS = pa.schema(
    [
        *PROMPTS,
        ("candidates", pa.list_(CANDIDATE)),
        ("scores", pa.list_(SCORE)),
        ("duels", pa.list_(DUEL)),
        ("error", pa.string()),
        ("failed_stage", pa.string()),
        ("attempts", pa.int32()),
    ]
)
PAIRS = pa.schema(
    [
        ("pair_id", pa.string()),
        *PROMPTS,
        ("chosen", CANDIDATE),
        ("rejected", CANDIDATE),
        ("judge", pa.string()),
        ("margin", pa.float64()),
        ("margin_sd", pa.float64()),
        ("score_margin", pa.float64()),
        ("p_chosen", pa.float64()),
        ("is_flipped", pa.bool_()),
        ("verdict", pa.string()),
        ("objections", pa.list_(pa.string())),
        ("margin_before", pa.float64()),
        ("weight", pa.float64()),
    ]
)
LABELS = pa.schema(
    [
        ("label_id", pa.string()),
        *PROMPTS,
        ("annotator", pa.string()),
        ("first", MEDIA),
        ("second", MEDIA),
        ("preference", pa.string()),
        ("points", pa.int32()),
        ("justification", pa.string()),
        ("split", pa.string()),
        ("first_answer", pa.string()),
        ("second_answer", pa.string()),
    ]
)
#: The figures of a bias profile (`factory.bias.figure.Figure`), an interval as three columns.
FIGURES = pa.schema(
    [
        ("kind", pa.string()),
        ("name", pa.string()),
        ("measure", pa.string()),
        ("unit", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("corrected_value", pa.float64()),
        ("corrected_low", pa.float64()),
        ("corrected_high", pa.float64()),
        ("neutral", pa.float64()),
        ("num", pa.int64()),
        ("num_invalid", pa.int64()),
        ("p_value", pa.float64()),
        ("p_adjusted", pa.float64()),
        ("is_flagged", pa.bool_()),
        ("note", pa.string()),
    ]
)
#: What a judge said of edited, blank and swapped media and of twins (`factory.bias.probes.Probe`).
PROBES = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("candidate_id", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("dose", pa.float64()),
        ("shift", pa.float64()),
        ("logit", pa.float64()),
        ("is_flipped", pa.bool_()),
        ("changes", pa.list_(pa.struct([("key", pa.string()), ("value", pa.float64())]))),
    ]
)
OPINIONS = pa.schema(
    [
        ("label_id", pa.string()),
        ("prompt_id", pa.string()),
        ("task", pa.string()),
        ("tags", _TAGS),
        ("judge", pa.string()),
        ("preference", pa.string()),
        ("points", pa.int32()),
        ("scores", pa.list_(SCORE)),
        ("duels", pa.list_(DUEL)),
        ("error", pa.string()),
    ]
)
#: Columns that only questions about media need; a table without them is read as if they were null.
OPTIONAL = ("prompt_media", "first_answer", "second_answer")


def _features(type_: pa.DataType) -> Any:
    """A type in Hugging Face's terms, as `datasets.Features.to_dict` writes it."""
    if type_.equals(IMAGE):
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": _features(type_.value_type), "_type": "List"}
    if pa.types.is_struct(type_):
        return {field.name: _features(field.type) for field in type_}
    names = {"double": "float64", "float": "float32"}
    return {"dtype": names.get(str(type_), str(type_)), "_type": "Value"}


#: Of the rows of groups, pairs and labels as this code writes them. Whoever changes what a column
#: means, or takes one away, adds 1 here and goes on reading older rows; a column that older rows
#: lack belongs to `OPTIONAL`.
VERSION = 1
_VERSION_KEY = b"preference-factory.version"


def _described(schema: pa.Schema) -> pa.Schema:
    """The schema with the metadata that its files carry: the version of the rows, and that from
    which Hugging Face readers know its pictures.
    """
    features = {field.name: _features(field.type) for field in schema}
    described = json.dumps({"info": {"features": features}})
    return schema.with_metadata({_VERSION_KEY: str(VERSION), "huggingface": described})


def version_of(schema: pa.Schema) -> int:
    """The version of a table's rows. Those that say none are the first, or somebody else's."""
    return int((schema.metadata or {}).get(_VERSION_KEY, b"1"))


GROUPS, PAIRS, LABELS = map(_described, (GROUPS, PAIRS, LABELS))

Row = Mapping[str, Any]


class SchemaError(ValueError):
    """A table that lacks a column, holds one of another type than the factory's, or has rows of a
    newer version.
    """


def check_schema(found: pa.Schema, wanted: pa.Schema, where: str) -> None:
    """Refuse a table whose columns are not those of `wanted`; more columns are welcome.

    `OPTIONAL` columns may be missing; `pq.read_table(path, schema=wanted)` fills them with nulls.

    Raises:
        SchemaError: names `where`, the column, and both types, or the versions.
    """
    if version_of(found) > VERSION:
        raise SchemaError(
            f"{where}: its rows are of version {version_of(found)}, and this factory knows them up "
            f"to version {VERSION}; read them with a factory as new as the one that wrote them"
        )
    for column in wanted:
        index = found.get_field_index(column.name)
        if index < 0:
            if column.name in OPTIONAL:
                continue
            raise SchemaError(f"{where}: column {column.name!r} is missing")
        if not found.field(index).type.equals(column.type):
            raise SchemaError(
                f"{where}: column {column.name!r} is {found.field(index).type}, not {column.type}"
            )


def _media_to_row(media: Media | None) -> Row | None:
    if media is None:
        return None
    return {
        "image": {"bytes": media.data, "path": None},
        "width": media.width,
        "height": media.height,
        "num_frames": media.num_frames,
        "fps": media.fps,
    }


def _media_from_row(row: Row | None) -> Media | None:
    if row is None:
        return None
    data = row["image"]["bytes"]
    if data is None:
        raise SchemaError(
            f"media lies outside the table, at {row['image']['path']!r}: "
            "read the data set through jobs.datasets"
        )
    return Media(data, row["width"], row["height"], row["num_frames"], row["fps"])


def _tags_to_row(tags: Mapping[str, str]) -> list[Row]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def _prompt_to_row(prompt: Prompt) -> dict[str, Any]:
    return {
        "prompt_id": prompt.prompt_id,
        "prompt": prompt.text,
        "task": prompt.task,
        "tags": _tags_to_row(prompt.tags),
        "prompt_media": _media_to_row(prompt.media),
    }


def _prompt_from_row(row: Row) -> Prompt:
    media = _media_from_row(row.get("prompt_media"))
    return Prompt(row["prompt_id"], row["prompt"], row["task"], tags_from_rows(row["tags"]), media)


def tags_from_rows(rows: Iterable[Row] | None) -> dict[str, str]:
    """A prompt's tags, from the value of their column."""
    return {tag["key"]: tag["value"] for tag in rows or ()}


def _candidate_to_row(candidate: Candidate) -> Row:
    return {**vars(candidate), "media": _media_to_row(candidate.media)}


def _candidate_from_row(row: Row) -> Candidate:
    return Candidate(**{**row, "media": _media_from_row(row["media"])})


def _number(value: float | None) -> float:
    """Null, which some engines write for NaN, read back as NaN."""
    return math.nan if value is None else value


def _score_to_row(score: Score) -> Row:
    parts = [{"criterion": name, "points": points} for name, points in score.breakdown.items()]
    return {**vars(score), "breakdown": parts}


def score_from_row(row: Row) -> Score:
    """A score of a group's or an opinion's row."""
    return Score(
        row["candidate_id"],
        row["judge"],
        _number(row["value"]),
        _number(row["spread"]),
        row["error"],
        # Tables that were written before there were criteria have none.
        {one["criterion"]: _number(one["points"]) for one in row.get("breakdown") or ()},
    )


def prompts_to_table(prompts: Iterable[Prompt]) -> pa.Table:
    """Prompts as a table of schema `PROMPTS`."""
    return pa.Table.from_pylist([_prompt_to_row(prompt) for prompt in prompts], schema=PROMPTS)


def prompts_from_table(table: pa.Table) -> list[Prompt]:
    """The rows of a table of schema `PROMPTS`."""
    return [_prompt_from_row(row) for row in table.to_pylist()]


def groups_to_table(groups: Iterable[Group]) -> pa.Table:
    """Groups, media included, as a table of schema `GROUPS`."""
    rows = [
        {
            **_prompt_to_row(group.prompt),
            "candidates": [_candidate_to_row(candidate) for candidate in group.candidates],
            "scores": [_score_to_row(score) for score in group.scores],
            "duels": [vars(duel) for duel in group.duels],
            "error": group.error,
            "failed_stage": group.failed_stage,
            "attempts": group.attempts,
        }
        for group in groups
    ]
    return pa.Table.from_pylist(rows, schema=GROUPS)


def groups_from_table(table: pa.Table) -> list[Group]:
    """The rows of a table of schema `GROUPS`."""
    return [
        Group(
            _prompt_from_row(row),
            tuple(_candidate_from_row(one) for one in row["candidates"]),
            tuple(score_from_row(one) for one in row["scores"] or ()),
            tuple(duel_from_row(one) for one in row["duels"] or ()),
            row["error"],
            row["failed_stage"],
            row["attempts"],
        )
        for row in table.to_pylist()
    ]


def pairs_to_table(pairs: Iterable[Pair]) -> pa.Table:
    """Pairs as a table of schema `PAIRS`."""
    rows = [
        {
            **_prompt_to_row(pair.prompt),
            **{key: value for key, value in vars(pair).items() if key != "prompt"},
            "chosen": _candidate_to_row(pair.chosen),
            "rejected": _candidate_to_row(pair.rejected),
            "objections": list(pair.objections),
        }
        for pair in pairs
    ]
    return pa.Table.from_pylist(rows, schema=PAIRS)


def pairs_from_table(table: pa.Table) -> list[Pair]:
    """The rows of a table of schema `PAIRS`."""
    return [
        Pair(
            pair_id=row["pair_id"],
            prompt=_prompt_from_row(row),
            chosen=_candidate_from_row(row["chosen"]),
            rejected=_candidate_from_row(row["rejected"]),
            judge=row["judge"],
            margin=_number(row["margin"]),
            margin_sd=_number(row["margin_sd"]),
            score_margin=_number(row["score_margin"]),
            p_chosen=_number(row["p_chosen"]),
            is_flipped=row["is_flipped"],
            verdict=row["verdict"],
            objections=tuple(row["objections"] or ()),
            margin_before=row["margin_before"],
            weight=row["weight"],
        )
        for row in table.to_pylist()
    ]


def labels_to_table(labels: Iterable[Label]) -> pa.Table:
    """Labels as a table of schema `LABELS`."""
    rows = [
        {
            **_prompt_to_row(label.prompt),
            **{key: value for key, value in vars(label).items() if key != "prompt"},
            "first": _media_to_row(label.first),
            "second": _media_to_row(label.second),
        }
        for label in labels
    ]
    return pa.Table.from_pylist(rows, schema=LABELS)


def labels_from_table(table: pa.Table) -> list[Label]:
    """The rows of a table of schema `LABELS`."""
    labels = []
    for row in table.to_pylist():
        prompt = _prompt_from_row(row)
        side = "first_answer" if prompt.task in UNDERSTANDING else "first"
        if row.get(side) is None:
            raise SchemaError(f"label {row['label_id']}: column {side!r} is empty")
        labels.append(
            Label(
                label_id=row["label_id"],
                prompt=prompt,
                annotator=row["annotator"],
                first=_media_from_row(row["first"]),
                second=_media_from_row(row["second"]),
                preference=row["preference"],
                points=row["points"],
                justification=row["justification"] or "",
                split=row["split"],
                first_answer=row.get("first_answer"),
                second_answer=row.get("second_answer"),
            )
        )
    return labels


def map_media(table: pa.Table, change: Callable[[pa.StructArray], pa.StructArray]) -> pa.Table:
    """The table with every column of pictures, however deep, replaced by `change` of it.

    Args:
        table: of any of the schemas.
        change: from an array of type `IMAGE` to another of the same length.
    """
    for index, field in enumerate(table.schema):
        if _has_media(field.type):
            chunks = [_map_array(chunk, change) for chunk in table.column(index).chunks]
            table = table.set_column(index, field, pa.chunked_array(chunks, field.type))
    return table


def media_arrays(table: pa.Table) -> Iterator[pa.StructArray]:
    """The arrays of type `IMAGE` of a table, however deep; nothing is copied."""
    for index, field in enumerate(table.schema):
        if _has_media(field.type):
            for chunk in table.column(index).chunks:
                yield from _media_below(chunk)


def _media_below(array: pa.Array) -> Iterator[pa.StructArray]:
    if array.type.equals(IMAGE):
        yield array
    elif pa.types.is_list(array.type):
        yield from _media_below(array.flatten())
    else:
        for index, field in enumerate(array.type):
            if _has_media(field.type):
                yield from _media_below(array.field(index))


def _has_media(type_: pa.DataType) -> bool:
    if pa.types.is_list(type_):
        return _has_media(type_.value_type)
    if pa.types.is_struct(type_):
        return bool(type_.equals(IMAGE)) or any(_has_media(field.type) for field in type_)
    return False


def _map_array(array: pa.Array, change: Callable[[pa.StructArray], pa.StructArray]) -> pa.Array:
    if array.type.equals(IMAGE):
        return change(array)
    if pa.types.is_list(array.type) and _has_media(array.type):
        if array.offset:  # of a slice: its offsets would not begin at its values
            array = pa.concat_arrays([array, array.slice(0, 0)])
        start, stop = array.offsets[0].as_py(), array.offsets[-1].as_py()
        values = _map_array(array.values.slice(start, stop - start), change)
        offsets = pa.array([one - start for one in array.offsets.to_pylist()], pa.int32())
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(offsets, values, type=array.type, mask=mask)
    if pa.types.is_struct(array.type) and _has_media(array.type):
        fields = list(array.type)
        parts = [_map_array(array.field(index), change) for index in range(len(fields))]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(parts, fields=fields, mask=mask)
    return array


def opinions_to_table(opinions: Iterable[Opinion]) -> pa.Table:
    """Opinions as a table of schema `OPINIONS`."""
    rows = [
        {
            **vars(opinion),
            "tags": _tags_to_row(opinion.tags),
            "scores": [_score_to_row(score) for score in opinion.scores],
            "duels": [vars(duel) for duel in opinion.duels],
        }
        for opinion in opinions
    ]
    return pa.Table.from_pylist(rows, schema=OPINIONS)


def opinions_from_table(table: pa.Table) -> list[Opinion]:
    """The rows of a table of schema `OPINIONS`."""
    return [
        Opinion(
            **{
                **row,
                "tags": tags_from_rows(row["tags"]),
                "scores": tuple(score_from_row(one) for one in row["scores"] or ()),
                "duels": tuple(duel_from_row(one) for one in row["duels"] or ()),
            }
        )
        for row in table.to_pylist()
    ]


def duel_from_row(row: Row) -> Duel:
    """A duel of a group's or an opinion's row."""
    return Duel(**{**row, **{p: _number(row[p]) for p in ("p_first", "p_second", "p_tie")}})


def digest_rows(tables: Iterable[pa.Table | pa.RecordBatch]) -> str:
    """A hash of a table's rows, whatever their order and however they are split into files.

    Rows are hashed one by one and the hashes added, so writers may finish in any order. Media
    counts by its bytes, whether it lies in the table or is referred to by its hash.
    """
    return digest_text(map(add_up_rows, tables))


def add_up_rows(table: pa.Table) -> int:
    """The sum of the hashes of a table's rows, modulo 2^256: a part of `digest_rows`."""
    total = 0
    for row in table.to_pylist():
        text = json.dumps(row, sort_keys=True, default=_digest_bytes)
        text = _REFERENCE.sub(r'"bytes": "\1", "path": null', text)
        total += int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    return total % 2**256


def digest_text(sums: Iterable[int]) -> str:
    """The digest of a whole from the sums of its parts."""
    return f"{sum(sums) % 2**256:064x}"[:16]


#: A reference in the JSON of a row; in text of a row the quotes would be escaped.
_REFERENCE = re.compile(r'"bytes": null, "path": "objects/[0-9a-f]{2}/([0-9a-f]{64})"')


def _digest_bytes(value: object) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"no stable form of {type(value).__name__}")
    return hashlib.sha256(value).hexdigest()
