"""What all sections of a recipe have in common: strictness, former names, and what may be left out.

A recipe holds what its jobs need, and nothing else. A key that not every job needs is `needed(…)`:
it may be left out, and whoever reads it all the same gets an error that says what it is for and how
it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names file and key and says what to do."""


class MissingSectionError(RecipeError):
    """A recipe without what a job reads; says what it is for and how it is written."""

    @classmethod
    def of(cls, lacks: Iterable[Needed], reader: str = "") -> MissingSectionError:
        """The error about some keys.

        Args:
            lacks: the keys.
            reader: who reads them, as `jobs.align`, where that is known.
        """
        lines = [f"  {one.written}  # {one.what}" for one in lacks]
        for_whom = f" for {reader}" if reader else ""
        return cls(f"missing in the recipe{for_whom}; add\n" + "\n".join(lines))


@dataclass(frozen=True)
class Needed:
    """A key that a recipe may leave out.

    key: from the top of the recipe, with dots.
    what: it is for.
    example: of its value.
    """

    key: str
    what: str
    example: str

    @property
    def written(self) -> str:
        """A line of YAML."""
        *sections, name = self.key.split(".")
        text = f"{name}: {self.example}"
        for section in reversed(sections):
            text = f"{section}: {{{text}}}"
        return text


def needed(key: str, what: str, example: str) -> Any:
    """The field of a key that may be left out, as `Needed` describes it."""
    return Field(
        None,
        description=what,
        exclude_if=lambda value: value is None,
        json_schema_extra={"key": key, "example": example},
    )


class _Reader:
    """Reads a `needed` field. It has a `__set__` so that it comes before the value itself."""

    def __init__(self, name: str, what: Needed) -> None:
        self._name, self._what = name, what

    def __get__(self, section: Section | None, owner: type[Section]) -> Any:
        if section is None:
            raise AttributeError(self._name)  # as of any field: a class has no value of it
        if not section.has(self._name):
            raise MissingSectionError.of([self._what])
        return vars(section)[self._name]

    def __set__(self, section: Section, value: Any) -> None:
        raise AttributeError(f"{self._name} is frozen")


def _as_it_is(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Renamed:
    """What has become of a knob.

    successor: its name now, in the same section; with dots, from the top of the recipe, where it is
        elsewhere, and then nothing is translated.
    translate: from a former value to the successor's; None where a value alone does not say it.
    advice: added to the error where nothing is translated.
    asked_nothing: of a knob that is gone, the value with which it asked for nothing: a recipe may
        still have that one, and any other is refused with the successor's name. Manifests keep no
        such knob, whatever it was: no artifact's contents hang on it.
    """

    successor: str
    translate: Callable[[Any], Any] | None = _as_it_is
    advice: str = ""
    asked_nothing: Any = None

    @property
    def is_translated(self) -> bool:
        return self.translate is not None and "." not in self.successor

    @property
    def is_gone(self) -> bool:
        return self.asked_nothing is not None


class Section(BaseModel):
    """A part of the recipe, or the settings of a stage; unknown keys are errors, and so are NaN and
    infinity.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    #: Names that knobs of this section, and of those derived from it, had before.
    former_names: ClassVar[Mapping[str, Renamed]] = {}

    @model_validator(mode="before")
    @classmethod
    def _as_it_is_written_today(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        for name, renamed in _former_names(cls).items():
            if renamed.is_gone and given.get(name) == renamed.asked_nothing:
                continue
            if name in given and not renamed.is_gone and renamed.successor in given:
                raise ValueError(f"{name}: is called {renamed.successor} now; give only that")
            if name in given and not renamed.is_translated:
                advice = f"; {renamed.advice}" if renamed.advice else ""
                raise ValueError(f"{name}: {renamed.successor} has taken its place{advice}")
        return {
            name: value
            for name, value in translated(cls, given).items()
            if value is not None or not _may_be_left_out(cls, name)
        }

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        for name, field in cls.model_fields.items():
            what = _needed_by(field)
            if what is not None:
                setattr(cls, name, _Reader(name, what))

    def has(self, name: str) -> bool:
        """Whether a `needed` key was given."""
        return vars(self)[name] is not None

    def lacks(self, key: str) -> Needed | None:
        """What is missing where a `needed` key, with dots from here, was not given."""
        first, _, rest = key.partition(".")
        if rest and self.has(first):
            below: Section = getattr(self, first)
            return below.lacks(rest)
        return None if self.has(first) else _needed_by(type(self).model_fields[first])


def _needed_by(field: FieldInfo) -> Needed | None:
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        return None
    return Needed(str(extra["key"]), str(field.description), str(extra["example"]))


def _may_be_left_out(kind: type[Section], name: str) -> bool:
    field = kind.model_fields.get(name)
    return field is not None and _needed_by(field) is not None


def _former_names(kind: type[Section]) -> dict[str, Renamed]:
    names: dict[str, Renamed] = {}
    for base in reversed(kind.__mro__):
        names |= vars(base).get("former_names", {})
    return names


def translated(kind: type[Section], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names of today, where a former name can be translated."""
    today = dict(settings)
    for name, renamed in _former_names(kind).items():
        if renamed.is_gone:
            today.pop(name, None)
        elif name in today and renamed.translate is not None and renamed.is_translated:
            today[renamed.successor] = renamed.translate(today.pop(name))
    return today
