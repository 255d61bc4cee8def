"""What of a recipe's section is identity: which knobs decide that an artifact, or an id, is the one
asked for.

A knob counts where it differs from the default that it was introduced with, unless it is only a
place or a resource. No stage keeps a list of its own. So

- a **new knob** with a default needs nothing: whoever does not give it asks for what was made
  before there was such a knob;
- a **changed default** keeps the first one on the knob, `Annotated[int, FirstDefault(20)] = 30`: a
  recipe without the knob now asks for something else than it did, and artifacts and ids say so;
- a knob **in points** that a share of the judge's scale has taken the place of is marked with the
  default that it had, `Annotated[float | None, Superseded(0.3)]`: artifacts that note it are those
  of a recipe that gives neither, since on most scales both defaults are the same;
- a **renamed knob**, or one with another unit, leaves its old name in `former_names` of its
  section: recipes and manifests that have it are translated, or refused with the successor's name.
  No name is ever used again with another meaning;
- a setting that was **known later**, `Annotated[…, LATER_KNOWN]`, refuses nothing that was made
  before it was noted;
- a **place** or a **resource** is marked so on the knob, `Annotated[str, PLACE]`.

Manifests hold settings as `spelled_out`; `read_out` makes the same of those that older code wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic.fields import FieldInfo

from schemas.section import Section, translated


@dataclass(frozen=True)
class NotIdentity:
    """A mark on a knob that says nothing of what is made."""

    why: str


#: Where something lies whose digest stands among the parents of what is made of it. An address of
#: which there is no digest (a server's, a folder's that rows point into) is no place in this sense.
PLACE = NotIdentity("where something lies that is known by its digest")
#: How the work is done: room, time, and looks at it. What comes out differs by rounding at most.
RESOURCE = NotIdentity("with what, and how fast, it is made")


@dataclass(frozen=True)
class LaterKnown:
    """A mark on a setting that artifacts did not note at first although it decided about them: of
    those it is taken to be what is asked for now, since nobody can tell.
    """


LATER_KNOWN = LaterKnown()


@dataclass(frozen=True)
class FirstDefault:
    """A mark on a knob whose default has changed: the one it was introduced with, as JSON."""

    value: Any


@dataclass(frozen=True)
class Superseded:
    """A mark on a knob that is null now where it is not given, since another has taken its place:
    the default that it had. Artifacts that note that one are taken for those of a recipe that does
    not give it.
    """

    default: Any


def identity(section: Section) -> dict[str, Any]:
    """What of a section is identity: the knobs that have no default, and those that differ from
    their first one, as JSON. Places and resources are left out.
    """
    return _told_apart(type(section), section.model_dump(mode="json"))


def spelled_out(section: Section) -> dict[str, Any]:
    """The same with each knob that counts, also where it is as at first: for people to read, and
    for manifests.
    """
    return read_out(type(section), section.model_dump(mode="json"))


def read_out(kind: type[Section], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`spelled_out` of settings of `kind` that some version of the code wrote down. Two that are
    alike have the same identity. What is no knob of `kind` any more stays: it is a difference.
    """
    given = translated(kind, settings)
    said: dict[str, Any] = {}
    for key, field in kind.model_fields.items():
        value = given.pop(key, _first_default(field))
        if value is not _NONE and not _is_marked(field):
            said[key] = _within(field, _settled(field, value), read_out)
    return {**said, **given}


def known_later(kind: type[Section], settings: Mapping[str, Any]) -> list[str]:
    """The knobs of `kind` that settings which older code wrote down do not note, although they
    decided: see `LaterKnown`.
    """
    return [
        key
        for key, field in kind.model_fields.items()
        if LATER_KNOWN in field.metadata and key not in settings
    ]


def _told_apart(kind: type[Section], settings: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, field in kind.model_fields.items():
        if key in settings and not _is_marked(field):
            value = _within(field, _settled(field, settings[key]), _told_apart)
            if value != _within(field, _first_default(field), _told_apart):
                said[key] = value
    return said


#: There is no default.
_NONE = object()


def _first_default(field: FieldInfo) -> Any:
    for mark in field.metadata:
        if isinstance(mark, FirstDefault):
            return mark.value
    return _NONE if field.is_required() else _plain(field.get_default(call_default_factory=True))


def _settled(field: FieldInfo, value: Any) -> Any:
    """A knob's value; null of one that is superseded and as it was by default."""
    if any(isinstance(one, Superseded) and one.default == value for one in field.metadata):
        return None
    return value


def _plain(default: Any) -> Any:
    """A default as JSON. Of a section only what it says itself: its other knobs have first defaults
    of their own.
    """
    if isinstance(default, Section):
        return default.model_dump(mode="json", exclude_unset=True)
    return [_plain(one) for one in default] if isinstance(default, list) else default


def _is_marked(field: FieldInfo) -> bool:
    return any(isinstance(mark, NotIdentity) for mark in field.metadata)


def _within(
    field: FieldInfo,
    value: Any,
    reduce: Callable[[type[Section], Mapping[str, Any]], dict[str, Any]],
) -> Any:
    """A knob's value with `reduce` done to the sections in it."""
    kinds = _sections_in(field.annotation)

    def done(value: Any) -> Any:
        if isinstance(value, list):
            return [done(one) for one in value]
        if isinstance(value, Mapping) and kinds:
            return reduce(_kind_of(value, kinds), value)
        return value

    return done(value)


def _sections_in(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _sections_in(part)]


def _kind_of(settings: Mapping[str, Any], kinds: list[type[Section]]) -> type[Section]:
    """Of several sections that a knob may hold, the first whose needs are met, or else the last."""
    for kind in kinds[:-1]:
        if all(key in settings for key, field in kind.model_fields.items() if field.is_required()):
            return kind
    return kinds[-1]
