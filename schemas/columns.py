"""The columns of the factory's tables, and which version of them a file has.

A medium is stored as encoded bytes in `struct<bytes, path>`, the form that Hugging Face readers
decode, with its size beside it; the schemas carry Hugging Face's own description of the columns. A
large medium has no bytes there and a `path`, which says where they lie (`actors.media_store`).
Nested rows (candidates, scores, duels, replies) are lists of structs, so a group stays one row.

Every table of older rows can be read: `upgraded` gives it the columns and fields that came later.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

#: Exactly what Hugging Face stores a picture as; with one more field it would not be recognised.
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ORIGIN = pa.struct([("source", pa.string()), ("license", pa.string()), ("consent", pa.string())])
MEDIA = pa.struct(
    [
        ("image", IMAGE),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_frames", pa.int32()),
        ("fps", pa.float32()),
        ("origin", ORIGIN),
    ]
)
_TAGS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
PART = pa.struct([("role", pa.string()), ("text", pa.string()), ("media", MEDIA)])
DRAWN = pa.struct(
    [
        ("key", pa.string()),
        ("prompt", pa.string()),
        ("weights", pa.string()),
        ("engine", pa.string()),
        ("precision", pa.string()),
        ("encoding", pa.string()),
        ("arguments", pa.string()),
        ("negative_prompt", pa.string()),
        ("rewritten_by", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("num_frames", pa.int32()),
        ("adapters", pa.list_(pa.string())),
        ("num_together", pa.int32()),
    ]
)
MEASURES = pa.struct(
    [
        ("digest", pa.string()),
        ("num_bytes", pa.int64()),
        ("brightness", pa.float64()),
        ("saturation", pa.float64()),
        ("contrast", pa.float64()),
        ("sharpness", pa.float64()),
        ("motion", pa.float64()),
        ("entropy", pa.float64()),
        ("signature", pa.uint64()),
        ("is_blank", pa.bool_()),
        ("num_words", pa.int32()),
        ("fault", pa.string()),
        ("is_unsafe", pa.bool_()),
    ]
)
CANDIDATE = pa.struct(
    [
        ("candidate_id", pa.string()),
        ("generator", pa.string()),
        ("seed", pa.int64()),
        ("media", MEDIA),
        ("answer", pa.string()),
        ("error", pa.string()),
        ("drawn", DRAWN),
        ("measures", MEASURES),
        ("is_attempt", pa.bool_()),
    ]
)
_BREAKDOWN = pa.list_(pa.struct([("criterion", pa.string()), ("points", pa.float64())]))
SCORE = pa.struct(
    [
        ("candidate_id", pa.string()),
        ("judge", pa.string()),
        ("value", pa.float64()),
        ("spread", pa.float64()),
        ("error", pa.string()),
        ("breakdown", _BREAKDOWN),
    ]
)
DIMENSION = pa.struct(
    [
        ("name", pa.string()),
        ("preference", pa.string()),
        ("first", pa.float64()),
        ("second", pa.float64()),
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
        ("dimensions", pa.list_(DIMENSION)),
        ("bound", pa.string()),
    ]
)
REPLY = pa.struct(
    [
        ("key", pa.string()),
        ("judge", pa.string()),
        ("first_id", pa.string()),
        ("second_id", pa.string()),
        ("criterion", pa.string()),
        ("numbers", pa.list_(pa.float64())),
        ("error", pa.string()),
        ("is_attempt", pa.bool_()),
        ("text", pa.string()),
        ("is_cut", pa.bool_()),
        (
            "logprobs",
            pa.list_(pa.struct([("answer", pa.string()), ("logprob", pa.float64())])),
        ),
        ("request", pa.string()),
        ("num_read", pa.int32()),
        ("num_written", pa.int32()),
        ("seconds", pa.float64()),
        ("breakdown", _BREAKDOWN),
        ("dimensions", pa.list_(DIMENSION)),
        ("samples", pa.list_(pa.struct([("text", pa.string()), ("is_cut", pa.bool_())]))),
    ]
)
PROMPTS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("task", pa.string()),
        ("tags", _TAGS),
        ("prompt_media", MEDIA),
        ("prompt_parts", pa.list_(PART)),
        ("prompt_origin", ORIGIN),
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
        ("replies", pa.list_(REPLY)),
        ("member_scores", pa.list_(SCORE)),
        ("member_duels", pa.list_(DUEL)),
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
        ("dissent", pa.float64()),
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
        ("points", pa.float64()),
        ("justification", pa.string()),
        ("split", pa.string()),
        ("first_answer", pa.string()),
        ("second_answer", pa.string()),
        ("origin", ORIGIN),
        ("dimensions", pa.list_(DIMENSION)),
        ("weight", pa.float64()),
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
        ("points", pa.float64()),
        ("scores", pa.list_(SCORE)),
        ("duels", pa.list_(DUEL)),
        ("error", pa.string()),
        ("weight", pa.float64()),
        ("dimensions", pa.list_(DIMENSION)),
    ]
)
#: Columns that older rows lack, or that only questions about media need; a table without them is
#: read as if they were null.
OPTIONAL = (
    "member_scores",
    "member_duels",
    "dissent",
    "prompt_media",
    "first_answer",
    "second_answer",
    "prompt_parts",
    "prompt_origin",
    "replies",
    "origin",
    "dimensions",
    "weight",
)
#: Columns and fields that say how a row was made and what was measured of it. They are no part of
#: what the row says, and of no digest: to take a row over, or drop a judge's words, changes none.
RECORD = ("replies", "drawn", "measures", "is_attempt")


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
#: lack belongs to `OPTIONAL`, and a field of a struct to its end.
#: Version 2: what the record says of candidates and judges, prompts of several parts, origins.
#: Version 3: a label's points carry fractions; its dimensions and its weight.
VERSION = 3
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


class SchemaError(ValueError):
    """A table that lacks a column, holds one of another type than the factory's, or has rows of a
    newer version.
    """


def check_version(found: pa.Schema, where: str) -> None:
    """Refuse rows that a newer factory wrote: nobody here knows what their columns mean.

    Raises:
        SchemaError: names `where` and both versions.
    """
    if version_of(found) > VERSION:
        raise SchemaError(
            f"{where}: its rows are of version {version_of(found)}, and this factory knows them up "
            f"to version {VERSION}; read them with a factory as new as the one that wrote them"
        )


def check_schema(found: pa.Schema, wanted: pa.Schema, where: str) -> None:
    """Refuse a table that cannot be `upgraded` to `wanted`; more columns are welcome.

    Raises:
        SchemaError: names `where`, the column, and both types, or the versions.
    """
    check_version(found, where)
    for column in wanted:
        index = found.get_field_index(column.name)
        if index < 0:
            if column.name in OPTIONAL:
                continue
            raise SchemaError(f"{where}: column {column.name!r} is missing")
        if not _is_earlier(found.field(index).type, column.type):
            raise SchemaError(
                f"{where}: column {column.name!r} is {found.field(index).type}, not {column.type}"
            )


def _is_earlier(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a type is the wanted one, or was so before its structs got fields at their end, or
    before its whole numbers carried fractions.
    """
    if pa.types.is_floating(wanted) and pa.types.is_integer(found):
        return True
    if pa.types.is_list(found) and pa.types.is_list(wanted):
        return _is_earlier(found.value_type, wanted.value_type)
    if pa.types.is_struct(found) and pa.types.is_struct(wanted) and len(found) <= len(wanted):
        return all(
            one.name == other.name and _is_earlier(one.type, other.type)
            for one, other in zip(found, wanted, strict=False)
        )
    return bool(found.equals(wanted))


def upgraded(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """A table of the columns of `wanted`, from one that `check_schema` has let through: what older
    rows lack is null.
    """
    columns = []
    for field in wanted:
        index = table.schema.get_field_index(field.name)
        if index < 0:
            columns.append(pa.nulls(table.num_rows, field.type))
        elif table.schema.field(index).type.equals(field.type):
            columns.append(table.column(index))
        else:
            columns.append(table.column(index).cast(field.type))
    return pa.table(columns, schema=wanted)
