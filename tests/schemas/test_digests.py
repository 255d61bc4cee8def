"""Digests of rows are those of the rows' JSON, written row by row."""

import hashlib
import json
import math
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.media_pack import whereabouts
from schemas import arrow
from schemas.columns import RECORD
from schemas.digests import add_up_rows
from schemas.rows import (
    Candidate,
    Dimension,
    Drawn,
    Duel,
    Group,
    Label,
    Media,
    Origin,
    Pair,
    Part,
    Prompt,
    Reply,
    Score,
)
from tests.old_root import FIXTURE

LATER = (
    *("prompt_parts", "prompt_origin", "origin", "dimensions", "weight"),
    *("member_scores", "member_duels", "dissent", "bound"),
)
HASH = "ab" * 32
MEDIA = Media(b"\x89PNG", 32, 32)
PROMPT = Prompt.of('a "red" circle\n100 % \u00e9', tags={"style": "plain", "at": ""})
SAID = replace(
    PROMPT,
    parts=(Part("user", "look", MEDIA), Part("user", "well", None)),
    origin=Origin("site", None, "given"),
)
DUEL = Duel("c1", "c2", "judge@1", 0.7, 0.2, 0.1)
CANDIDATES = (
    Candidate("c1", "generator@0", 7, MEDIA, drawn=Drawn("key", "a", "b", "c", "d", "e")),
    Candidate("c2", "generator@0", 2**62, error="no: \U0001f600"),
    Candidate("c3", "other@0", 0, replace(MEDIA, fps=0.1, origin=Origin("a", "b", "c"))),
    Candidate("c4", "other@0", 0, Media(None, 8, 8, path=f"objects/ab/{HASH}")),
    Candidate("c5", "other@0", 0, Media(None, 8, 8, path=f"media/ab/{HASH}.tar#{HASH}.png@512+9")),
    Candidate("c6", "other@0", 0, Media(b"", 8, 8, path="x.png")),
)
GROUPS = [
    Group(PROMPT, ()),
    Group(
        PROMPT,
        CANDIDATES,
        (Score("c1", "judge@1", 3.0, 0.4), Score("c2", "j", math.nan, math.inf, "?")),
    ),
    Group(
        SAID,
        CANDIDATES[:1],
        (),
        (DUEL, replace(DUEL, bound="upper", dimensions=(Dimension("light", "tie", 0.5, 1.0),))),
    ),
    Group(
        PROMPT,
        CANDIDATES,
        replies=(Reply("key", "judge@1", "c1"),),
        error="failed",
        failed_stage="judge",
    ),
    Group(
        PROMPT,
        CANDIDATES[:2],
        (Score("c1", "panel", 1e-7, 1e300, breakdown={"style": 2.0, "light": 2.5}),),
        member_scores=(Score("c1", "j", -0.0, 0.0),),
        member_duels=(DUEL,),
    ),
]
PAIR = Pair(
    "p", PROMPT, *CANDIDATES[:2], "judge@1", 1.0, 0.2, 0.9, 0.8, False, "kept", ("thin: 1",)
)
PAIRS = [
    PAIR,
    replace(PAIR, prompt=SAID, dissent=0.5, weight=0.0, objections=()),
    replace(PAIR, weight=2.0),
]
LABELS = [
    Label("l", PROMPT, "ann", MEDIA, MEDIA, "tie", None, "alike", "heldout"),
    Label("m", SAID, "ann", MEDIA, points=3, weight=0.25),
    Label("n", PROMPT, "ann", MEDIA, points=2.5, dimensions=(Dimension("motion", "tie"),)),
]
TABLES = {
    "groups": arrow.groups_to_table(GROUPS),
    "pairs": arrow.pairs_to_table(PAIRS),
    "labels": arrow.labels_to_table(LABELS),
    **{
        str(path.relative_to(FIXTURE)): pq.ParquetFile(path).read()
        for path in sorted(FIXTURE.glob("root/**/*.parquet"))
    },
}


def said(value: Any) -> Any:
    """A row, or a part of it, as its digest sees it."""
    if isinstance(value, list):
        return [said(one) for one in value]
    if not isinstance(value, dict):
        return value
    row = {
        key: said(one)
        for key, one in value.items()
        if key not in RECORD and not (key in LATER and not one)
    }
    if isinstance(row.get("points"), float) and row["points"].is_integer():
        row["points"] = int(row["points"])
    where = whereabouts(row["path"]) if set(row) == {"bytes", "path"} and row["path"] else None
    return row if where is None else {"bytes": row["bytes"] or where.digest, "path": None}


def one_by_one(table: pa.Table) -> int:
    """The sum of the rows' hashes, of JSON that is made of Python's values."""

    def of_bytes(value: bytes) -> str:
        return hashlib.sha256(value).hexdigest()

    texts = (
        json.dumps(said(row), sort_keys=True, default=of_bytes)
        for row in table.select([n for n in table.column_names if n not in RECORD]).to_pylist()
    )
    hashes = (hashlib.sha256(text.encode()).digest() for text in texts)
    return sum(int.from_bytes(one, "big") for one in hashes) % 2**256


@pytest.mark.parametrize("name", TABLES)
def test_rows_have_the_digest_of_their_json(name: str) -> None:
    table = TABLES[name]
    pieces = pa.concat_tables([table.slice(1), table, table.slice(0, 1)])
    for one in (table, table.slice(1), table.slice(0, 0), pieces):
        assert add_up_rows(one) == one_by_one(one)


def test_a_column_of_a_type_that_none_of_ours_is_has_no_digest() -> None:
    moment = pa.table({"prompt_id": ["a"], "at": pa.array([0], pa.timestamp("s"))})
    with pytest.raises(TypeError, match="datetime"):
        add_up_rows(moment)
    with pytest.raises(TypeError, match="large_list"):
        add_up_rows(pa.table({"a": pa.array([[1]], pa.large_list(pa.int64()))}))
