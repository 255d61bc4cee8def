"""How Hugging Face readers are told of the columns."""

import json

import pytest

from schemas.columns import GROUPS, LABELS, PAIRS

TEXT = {"dtype": "string", "_type": "Value"}
IMAGE = {"_type": "Image"}


@pytest.mark.parametrize("schema", [GROUPS, PAIRS, LABELS])
def test_every_column_is_described(schema) -> None:
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(features) == schema.names
    assert features["prompt"] == TEXT
    assert features["tags"] == {"feature": {"key": TEXT, "value": TEXT}, "_type": "List"}
    assert features["prompt_media"]["image"] == IMAGE
    assert features["prompt_media"]["width"] == {"dtype": "int32", "_type": "Value"}
    assert features["prompt_media"]["fps"] == {"dtype": "float32", "_type": "Value"}


def test_numbers_have_the_names_that_readers_know() -> None:
    features = json.loads(PAIRS.metadata[b"huggingface"])["info"]["features"]
    assert features["margin"] == {"dtype": "float64", "_type": "Value"}
    assert features["is_flipped"] == {"dtype": "bool", "_type": "Value"}
