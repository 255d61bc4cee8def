"""Dataclass rows <-> Arrow tables of `schemas.columns`: the only file that knows both.

Whoever reads a table of somebody else's, or of an older version, first has it `upgraded`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from schemas.columnar import (
    Reader,
    Writer,
    lists,
    lists_written,
    mappings,
    mappings_written,
    plain,
    structs,
    structs_written,
    written,
)
from schemas.columns import GROUPS, LABELS, OPINIONS, PAIRS, PROMPTS, SchemaError
from schemas.rows import (
    UNDERSTANDING,
    Candidate,
    Dimension,
    Drawn,
    Duel,
    Group,
    Label,
    Measures,
    Media,
    Opinion,
    Origin,
    Pair,
    Part,
    Prompt,
    Reply,
    Sample,
    Score,
)

Row = Mapping[str, Any]


def _media_to_row(media: Media | None) -> Row | None:
    if media is None:
        return None
    return {
        "image": {"bytes": media.stored, "path": media.path},
        "width": media.width,
        "height": media.height,
        "num_frames": media.num_frames,
        "fps": media.fps,
        "origin": _plain(media.origin),
    }


def _media_from_row(row: Row | None) -> Media | None:
    if row is None:
        return None
    image = row["image"] or {}
    return Media(
        image.get("bytes"),
        row["width"],
        row["height"],
        row["num_frames"],
        row["fps"],
        image.get("path"),
        _origin_from_row(row.get("origin")),
    )


def _plain(value: Any) -> Row | None:
    """A dataclass without media as a row."""
    return None if value is None else vars(value)


def _origin_from_row(row: Row | None) -> Origin | None:
    return None if row is None else Origin(**row)


def _part_from_row(row: Row) -> Part:
    return Part(row["role"], row["text"], _media_from_row(row["media"]))


def _tags_to_row(tags: Mapping[str, str]) -> list[Row]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def _prompt_to_row(prompt: Prompt) -> dict[str, Any]:
    return {
        "prompt_id": prompt.prompt_id,
        "prompt": prompt.text,
        "task": prompt.task,
        "tags": _tags_to_row(prompt.tags),
        "prompt_media": _media_to_row(prompt.media),
        "prompt_parts": [{**vars(one), "media": _media_to_row(one.media)} for one in prompt.parts]
        or None,
        "prompt_origin": _plain(prompt.origin),
    }


def prompt_from_row(row: Row) -> Prompt:
    """The prompt of a row of any of the tables that begin with the columns of `PROMPTS`."""
    return Prompt(
        row["prompt_id"],
        row["prompt"],
        row["task"],
        tags_from_rows(row["tags"]),
        _media_from_row(row.get("prompt_media")),
        tuple(map(_part_from_row, row.get("prompt_parts") or ())),
        _origin_from_row(row.get("prompt_origin")),
    )


def tags_from_rows(rows: Iterable[Row] | None) -> dict[str, str]:
    """A prompt's tags, from the value of their column."""
    return {tag["key"]: tag["value"] for tag in rows or ()}


def _candidate_to_row(candidate: Candidate) -> Row:
    return {
        **vars(candidate),
        "media": _media_to_row(candidate.media),
        "drawn": _plain(candidate.drawn),
        "measures": _plain(candidate.measures),
    }


def _candidate_from_row(row: Row) -> Candidate:
    drawn, measures = row.get("drawn"), row.get("measures")
    return Candidate(
        **{
            **row,
            "media": _media_from_row(row["media"]),
            "drawn": drawn and Drawn(**{**drawn, "adapters": tuple(drawn["adapters"] or ())}),
            "measures": measures and Measures(**measures),
            "is_attempt": bool(row.get("is_attempt")),
        }
    )


def _dimensions_from_rows(rows: Iterable[Row] | None) -> tuple[Dimension, ...]:
    return tuple(Dimension(**one) for one in rows or ())


def _number(value: float | None) -> float:
    """Null, which some engines write for NaN, read back as NaN."""
    return math.nan if value is None else value


def _score_to_row(score: Score) -> Row:
    return {**_without_reply(score), "breakdown": _breakdown_to_rows(score.breakdown)}


def _breakdown_to_rows(breakdown: Mapping[str, float]) -> list[Row]:
    return [{"criterion": name, "points": points} for name, points in breakdown.items()]


def _breakdown_from_rows(rows: Iterable[Row] | None) -> dict[str, float]:
    """Points by criterion; tables that were written before there were criteria have none."""
    return {one["criterion"]: _number(one["points"]) for one in rows or ()}


def _without_reply(verdict: Score | Duel) -> dict[str, Any]:
    apart = ("reply", "members")
    return {name: value for name, value in vars(verdict).items() if name not in apart}


def _duel_to_row(duel: Duel) -> Row:
    return {**_without_reply(duel), "dimensions": list(map(vars, duel.dimensions))}


def score_from_row(row: Row) -> Score:
    """A score of a group's or an opinion's row."""
    return Score(
        row["candidate_id"],
        row["judge"],
        _number(row["value"]),
        _number(row["spread"]),
        row["error"],
        _breakdown_from_rows(row.get("breakdown")),
    )


def prompts_to_table(prompts: Iterable[Prompt]) -> pa.Table:
    """Prompts as a table of schema `PROMPTS`."""
    return pa.Table.from_pylist([_prompt_to_row(prompt) for prompt in prompts], schema=PROMPTS)


def prompts_from_table(table: pa.Table) -> list[Prompt]:
    """The rows of a table of schema `PROMPTS`."""
    return [prompt_from_row(row) for row in table.to_pylist()]


def groups_to_table(groups: Iterable[Group]) -> pa.Table:
    """Groups, media included, as a table of schema `GROUPS`."""
    groups = list(groups)
    rows = [
        {
            **_prompt_to_row(group.prompt),
            "candidates": [_candidate_to_row(candidate) for candidate in group.candidates],
        }
        for group in groups
    ]
    # By way of rows, which Arrow cuts where a column's media come to more than an array can hold.
    table = pa.Table.from_pylist(rows, schema=pa.schema([*PROMPTS, GROUPS.field("candidates")]))
    return with_judgements(table, groups)


def with_judgements(table: pa.Table, groups: Sequence[Group]) -> pa.Table:
    """A table with the columns of prompts and candidates, and beside them what is said in `groups`,
    of the same rows in the same order, as a table of schema `GROUPS`.
    """
    columns = [
        _JUDGEMENTS[field.name]([getattr(group, field.name) for group in groups], field.type)
        if field.name in _JUDGEMENTS
        else table.column(field.name)
        for field in GROUPS
    ]
    return pa.Table.from_arrays(columns, schema=GROUPS)


def groups_from_table(table: pa.Table) -> list[Group]:
    """The rows of a table of schema `GROUPS`."""
    return [
        group for batch in table.to_batches() for group in _read_groups(batch.to_struct_array())
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
            prompt=prompt_from_row(row),
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
            dissent=row.get("dissent"),
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
            "origin": _plain(label.origin),
            "dimensions": [vars(dimension) for dimension in label.dimensions],
        }
        for label in labels
    ]
    return pa.Table.from_pylist(rows, schema=LABELS)


def labels_from_table(table: pa.Table) -> list[Label]:
    """The rows of a table of schema `LABELS`."""
    labels = []
    for row in table.to_pylist():
        prompt = prompt_from_row(row)
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
                origin=_origin_from_row(row.get("origin")),
                dimensions=_dimensions_from_rows(row.get("dimensions")),
                weight=row.get("weight"),
            )
        )
    return labels


def opinions_to_table(opinions: Iterable[Opinion]) -> pa.Table:
    """Opinions as a table of schema `OPINIONS`."""
    rows = [
        {
            **vars(opinion),
            "tags": _tags_to_row(opinion.tags),
            "scores": [_score_to_row(score) for score in opinion.scores],
            "duels": [_duel_to_row(duel) for duel in opinion.duels],
            "dimensions": list(map(vars, opinion.dimensions)),
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
                "dimensions": _dimensions_from_rows(row.get("dimensions")),
            }
        )
        for row in table.to_pylist()
    ]


def duel_from_row(row: Row) -> Duel:
    """A duel of a group's or an opinion's row."""
    numbers = {p: _number(row[p]) for p in ("p_first", "p_second", "p_tie")}
    dimensions = _dimensions_from_rows(row.get("dimensions"))
    return Duel(**{**row, **numbers, "dimensions": dimensions})


# ---------------------------------------------------------------------- groups, by their columns


def _flags(array: pa.Array) -> list[bool]:
    return list(map(bool, array.to_pylist()))


def _numbers(array: pa.Array) -> list[float]:
    return list(map(_number, array.to_pylist()))


def _reader_of(kind: Any, **readers: Reader) -> Reader:
    """Of a struct whose fields are those of a dataclass, in its order."""
    return structs(kind, {one.name: readers.get(one.name, plain) for one in fields(kind)})


def _media_of(
    image: tuple[bytes | None, str | None] | None,
    width: int,
    height: int,
    num_frames: int,
    fps: float,
    origin: Origin | None,
) -> Media:
    data, path = image or (None, None)
    return Media(data, width, height, num_frames, fps, path, origin)


def _group_of(*told: Any) -> Group:
    num = len(PROMPTS)
    return Group(Prompt(*told[:num]), *told[num:])


def _each(names: str, reader: Reader = plain) -> dict[str, Reader]:
    return dict.fromkeys(names.split(), reader)


_read_origin = _reader_of(Origin)
_read_media = structs(
    _media_of,
    {
        "image": structs(lambda *image: image, _each("bytes path")),
        **_each("width height num_frames fps"),
        "origin": _read_origin,
    },
)
_read_dimensions = lists(_reader_of(Dimension))
_read_points = mappings(_number)
_nothing = lists(plain)  # of what stands in a column of its own
_read_scores = lists(
    _reader_of(Score, value=_numbers, spread=_numbers, breakdown=_read_points, members=_nothing)
)
_read_duels = lists(
    _reader_of(
        Duel,
        p_first=_numbers,
        p_second=_numbers,
        p_tie=_numbers,
        dimensions=_read_dimensions,
        members=_nothing,
    )
)
_read_groups = structs(
    _group_of,
    {
        **_each("prompt_id prompt task"),
        "tags": mappings(),
        "prompt_media": _read_media,
        "prompt_parts": lists(_reader_of(Part, media=_read_media)),
        "prompt_origin": _read_origin,
        "candidates": lists(
            _reader_of(
                Candidate,
                media=_read_media,
                drawn=_reader_of(Drawn, adapters=lists(plain)),
                measures=_reader_of(Measures),
                is_attempt=_flags,
            )
        ),
        "scores": _read_scores,
        "duels": _read_duels,
        **_each("error failed_stage attempts"),
        "replies": lists(
            _reader_of(
                Reply,
                numbers=lists(_numbers),
                is_attempt=_flags,
                is_cut=_flags,
                logprobs=_read_points,
                breakdown=_read_points,
                dimensions=_read_dimensions,
                samples=lists(_reader_of(Sample, is_cut=_flags)),
            )
        ),
        "member_scores": _read_scores,
        "member_duels": _read_duels,
    },
)

_write_dimensions = lists_written(structs_written({}))
_write_scores = lists_written(structs_written({"breakdown": mappings_written}))
_write_duels = lists_written(structs_written({"dimensions": _write_dimensions}))
#: The columns of what is said of candidates.
_JUDGEMENTS: dict[str, Writer] = {
    "scores": _write_scores,
    "duels": _write_duels,
    "error": written,
    "failed_stage": written,
    "attempts": written,
    "replies": lists_written(
        structs_written(
            {
                "logprobs": mappings_written,
                "breakdown": mappings_written,
                "dimensions": _write_dimensions,
                "samples": lists_written(structs_written({})),
            }
        )
    ),
    "member_scores": _write_scores,
    "member_duels": _write_duels,
}
