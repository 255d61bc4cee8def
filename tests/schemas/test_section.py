"""Sections of a recipe: what may be left out, and names that knobs had before."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from schemas.section import MissingSectionError, Needed, Renamed, Section, needed, translated


class Inner(Section):
    path: str = needed("outer.path", "where it lies", "FILE")
    size: int = 2


class Outer(Section):
    former_names: ClassVar[Mapping[str, Renamed]] = {
        "many": Renamed("number", lambda value: value + 1),
        "same": Renamed("number"),
        "lost": Renamed("number", None, "count from 1"),
        "elsewhere": Renamed("inner.size"),
    }

    inner: Inner = needed("outer", "a section within", "{path: FILE}")
    number: int = 1


class Derived(Outer):
    former_names: ClassVar[Mapping[str, Renamed]] = {"few": Renamed("number")}


PATH = Needed("outer.path", "where it lies", "FILE")
INNER = Needed("outer", "a section within", "{path: FILE}")


@pytest.mark.parametrize(
    ("given", "key", "lacks"),
    [
        ({"inner": {"path": "x"}}, "inner.path", None),
        ({"inner": {"path": "x"}}, "inner", None),
        ({"inner": {}}, "inner", None),
        ({"inner": {}}, "inner.path", PATH),
        ({}, "inner.path", INNER),
        ({}, "inner", INNER),
        ({"inner": None}, "inner", INNER),
    ],
)
def test_the_first_missing_key_on_the_way_is_named(given, key, lacks) -> None:
    assert Outer.model_validate(given).lacks(key) == lacks


def test_what_was_left_out_says_so_when_it_is_read() -> None:
    whole, bare = Outer.model_validate({"inner": {"path": "x"}}), Outer()
    assert (whole.inner.path, whole.has("inner"), bare.has("inner")) == ("x", True, False)
    with pytest.raises(MissingSectionError) as caught:
        _ = bare.inner
    assert str(caught.value) == (
        "missing in the recipe; add\n  outer: {path: FILE}  # a section within"
    )
    told = str(MissingSectionError.of([PATH, INNER], "jobs.align"))
    assert told.splitlines()[0] == "missing in the recipe for jobs.align; add"
    assert told.splitlines()[1] == "  outer: {path: FILE}  # where it lies"
    with pytest.raises(AttributeError):
        _ = Outer.inner


@pytest.mark.parametrize(
    ("given", "number"), [({"many": 4}, 5), ({"same": 4}, 4), ({"number": 4}, 4), ({}, 1)]
)
def test_a_former_name_is_translated(given: dict[str, Any], number: int) -> None:
    for kind in (Outer, Derived):
        assert kind.model_validate(given).number == number
    assert Derived.model_validate({"few": 7}).number == 7
    assert translated(Outer, given) == ({"number": number} if given else {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"same": 4, "number": 4}, "same: is called number now; give only that"),
        ({"lost": 4}, "lost: number has taken its place; count from 1"),
        ({"elsewhere": 4}, r"elsewhere: inner\.size has taken its place"),
        ({"few": 4}, "Extra inputs are not permitted"),
        ([4], r"input_value=\[4\]"),
        ({"number": None}, "valid integer"),
    ],
)
def test_a_name_that_is_none_is_refused(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Outer.model_validate(given)
