"""The columns of exported tables, and Hugging Face's description of those that hold media.

Where a loader decodes pictures by itself its table is `described`, so that `load_dataset` shows
them; where it wants bytes, as those of Diffusion-DPO do, it must not be, or it would get pictures.
"""

from __future__ import annotations

import json
from typing import Any, Literal

import pyarrow as pa

from schemas.columns import IMAGE

#: Whether media lie in the table, or as files beside it of which rows name the paths.
MediaMode = Literal["inline", "files"]

TAGS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
#: Of a prompt.
ORIGIN = [
    ("source", pa.string()),
    ("license", pa.string()),
    ("consent", pa.string()),
    ("tags", TAGS),
]
#: Of a pair, beside what its format asks for.
PROVENANCE = [
    ("pair_id", pa.string()),
    ("prompt_id", pa.string()),
    ("chosen_id", pa.string()),
    ("rejected_id", pa.string()),
    ("chosen_generator", pa.string()),
    ("rejected_generator", pa.string()),
    ("judge", pa.string()),
    ("margin", pa.float64()),
    ("margin_sd", pa.float64()),
    ("confidence", pa.float64()),
    ("weight", pa.float64()),
    ("verdict", pa.string()),
    ("objections", pa.list_(pa.string())),
    *ORIGIN,
]


def medium(mode: MediaMode) -> pa.DataType:
    """A medium in a column: its bytes with a name, or the path of its file."""
    return IMAGE if mode == "inline" else pa.string()


def described(schema: pa.Schema) -> pa.Schema:
    """The schema with the metadata by which Hugging Face's readers know pictures, and clips where
    the column's name ends in "video".
    """
    features = {field.name: _feature(field.name, field.type) for field in schema}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(name: str, type_: pa.DataType) -> Any:
    if type_.equals(IMAGE):
        return {"_type": "Video" if name.endswith("video") else "Image"}
    if pa.types.is_list(type_):
        return {"feature": _feature(name, type_.value_type), "_type": "List"}
    if pa.types.is_struct(type_):
        return {field.name: _feature(field.name, field.type) for field in type_}
    names = {"double": "float64", "float": "float32"}
    return {"dtype": names.get(str(type_), str(type_)), "_type": "Value"}
