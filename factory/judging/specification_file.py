"""A judge specification as somebody writes it, read key by key and held against what can be asked.

Each fault names the task and the key, and says what would do; whoever reads a file puts its name
before that. Left out: whether a tokenizer takes the answers apart, which only the judge knows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from typing import Any, get_args

from factory.judging.task_specification import (
    Dimension,
    Format,
    FramesAs,
    Kind,
    Overall,
    Reading,
    ShownPrompt,
    SpecificationError,
    TaskSpecification,
    Vote,
)
from schemas.rows import UNDERSTANDING, Preference, Task

_SLOT = re.compile(r"\{(\w+)\}")
_TEXTS = ("pointwise", "pairwise", "score", "reason", "source", "between")
_COUNTS = {
    "num_frames": 1,
    "max_tokens": 1,
    "num_samples": 1,
    "max_frames": 0,
    "min_pixels": 0,
    "max_pixels": 0,
    "decimals": 0,
}
_NUMBERS = ("reason_confidence", "fps", "temperature", "top_p")
_CHOICES: Mapping[str, Any] = {
    "reading": Reading,
    "prompt": ShownPrompt,
    "frames_as": FramesAs,
    "format": Format,
    "overall": Overall,
    "vote": Vote,
}
_KEYS = [field.name for field in fields(TaskSpecification)]
#: Numbers of a scale with decimals; more are no longer told apart in one pass.
_MOST_NUMBERS = 1001


def task_of(name: str, written: Any) -> TaskSpecification:
    """One task's part of a file.

    Raises:
        SpecificationError: names task and key.
    """
    given = _object(name, written)
    _known(name, given, _KEYS)
    for key in ("scale", "answers"):
        if key not in given:
            raise SpecificationError(f"{name}.{key}: is missing")
    read: dict[str, Any] = {"pointwise": "", "pairwise": ""}
    for key, value in given.items():
        read[key] = _value(name, key, value)
    return TaskSpecification(**read)


def later_keys(task: TaskSpecification) -> dict[str, Any]:
    """The keys that came after the first files were written and are not at their defaults: what has
    none of them is written as it ever was.
    """
    first = _KEYS.index("source")
    return {
        field.name: getattr(task, field.name)
        for field in fields(task)[first + 1 :]
        if getattr(task, field.name) != _default(field)
    }


def _default(field: Any) -> Any:
    return field.default if field.default is not MISSING else field.default_factory()


def _value(name: str, key: str, value: Any) -> Any:
    """The value of a task's key, of the type that the key has."""
    where = f"{name}.{key}"
    if key in _TEXTS:
        if value is None and key in ("pointwise", "pairwise"):
            return ""
        return _text(where, value)
    if key in _COUNTS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise SpecificationError(f"{where}: {value!r} is no whole number")
        return value
    if key in _NUMBERS:
        return _number(where, value)
    if key in _CHOICES:
        return _text(where, value)
    if key == "scale":
        if not isinstance(value, list | tuple) or not value:
            raise SpecificationError(f"{where}: needs a list of numbers, as [1, 2, 3, 4, 5]")
        return tuple(_number(where, one) for one in value)
    if key == "answers":
        return {side: _text(f"{where}.{side}", one) for side, one in _object(where, value).items()}
    if key == "system":
        return _system(where, value)
    if not isinstance(value, list | tuple):
        raise SpecificationError(f"{where}: needs a list of dimensions")
    return tuple(_dimension(f"{where}.{at}", one) for at, one in enumerate(value))


def _system(where: str, value: Any) -> dict[Kind, str]:
    """A system's turn of both kinds, or one of each by the name of its template."""
    if isinstance(value, str):
        return {"score": value, "duel": value} if value else {}
    given = _object(where, value)
    names: dict[str, Kind] = {
        "pointwise": "score",
        "pairwise": "duel",
        "score": "score",
        "duel": "duel",
    }
    _known(where, given, list(names))
    return {names[key]: _text(f"{where}.{key}", one) for key, one in given.items()}


def _dimension(where: str, value: Any) -> Dimension:
    given = _object(where, value)
    _known(where, given, [field.name for field in fields(Dimension)])
    for key in ("label", "low", "high"):
        if key not in given:
            raise SpecificationError(f"{where}.{key}: is missing")
    if not isinstance(given.get("is_optional", False), bool):
        raise SpecificationError(f"{where}.is_optional: needs true or false")
    return Dimension(
        _text(f"{where}.label", given["label"]),
        _number(f"{where}.low", given["low"]),
        _number(f"{where}.high", given["high"]),
        _text(f"{where}.name", given.get("name", "")),
        _number(f"{where}.weight", given.get("weight", 1.0)),
        given.get("is_optional", False),
    )


def _object(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SpecificationError(f"{where}: needs an object of keys and values")
    return value


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise SpecificationError(f"{where}: {value!r} is no text")
    return value


def _number(where: str, value: Any) -> float:
    """A finite number, whole where it was written so."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SpecificationError(f"{where}: {value!r} is no number")
    return value


def _known(where: str, given: Mapping[str, Any], keys: list[str]) -> None:
    for key in given:
        if key not in keys:
            near = get_close_matches(str(key), keys, 1)
            meant = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(keys)}"
            raise SpecificationError(f"{where}.{key}: no such key{meant}")


# ------------------------------------------------------------------------------------- meaning


def check(name: str, task: TaskSpecification, *, is_chat: bool) -> None:
    """Refuse what could not be asked or read.

    Args:
        name: of the task.
        task: how it is put to the judge.
        is_chat: whether there are turns, of which the system's is one.

    Raises:
        SpecificationError: names task and key.
    """
    if name not in get_args(Task):
        raise SpecificationError(f"unknown task {name!r}; known: {', '.join(get_args(Task))}")
    _check_choices(name, task)
    if not task.kinds:
        raise SpecificationError(
            f"{name}: has neither pointwise nor pairwise: leave the task out, if the checkpoint "
            "was not trained for it"
        )
    for kind in sorted(task.kinds):
        _check_template(name, task, kind)
    if task.source and (name != "image_generation" or _SLOT.findall(task.source) != ["source"]):
        raise SpecificationError(
            f"{name}.source: is for image_generation alone, where a picture is edited, and needs "
            "{source} once and no other slot"
        )
    if len(task.scale) < 2 or list(task.scale) != sorted(set(task.scale)):
        raise SpecificationError(f"{name}.scale: needs two numbers or more, rising")
    if set(task.answers) != set(get_args(Preference)):
        raise SpecificationError(f"{name}.answers: needs {', '.join(get_args(Preference))}")
    if task.score.count("{score}") != 1:
        raise SpecificationError(f"{name}.score: needs {{score}} once")
    if not 0 <= task.reason_confidence < 1:
        raise SpecificationError(
            f"{name}.reason_confidence: {task.reason_confidence} is no probability below 1"
        )
    _check_counts(name, task)
    _check_dimensions(name, task)
    _check_samples(name, task)
    if task.system and not is_chat:
        raise SpecificationError(
            f"{name}.system: needs is_chat: plain text has no turns, so put it into the templates"
        )


def _check_choices(name: str, task: TaskSpecification) -> None:
    for key, choices in _CHOICES.items():
        given, known = getattr(task, key), get_args(choices)
        if given not in known:
            listed = " nor ".join(known)
            raise SpecificationError(f"{name}.{key}: {given!r} is neither {listed}")


def _check_template(name: str, task: TaskSpecification, kind: Kind) -> None:
    where = f"{name}.{'pointwise' if kind == 'score' else 'pairwise'}"
    num, is_answer = 1 if kind == "score" else 2, name in UNDERSTANDING
    slots = _SLOT.findall(task.template(kind))
    unknown = set(slots) - {"media", "prompt", "answer", "source"}
    if unknown:
        raise SpecificationError(f"{where}: unknown slot {{{min(unknown)}}}")
    wanted = {"media": 1 if is_answer else num, "answer": num if is_answer else 0}
    if task.is_about_edits:
        if name != "image_generation" or task.source:
            raise SpecificationError(
                f"{where}: {{source}} is for image_generation alone, and there either in the "
                "templates or in `source`"
            )
        wanted["source"] = 1
    for slot, count in wanted.items():
        if slots.count(slot) != count:
            raise SpecificationError(
                f"{where}: needs {{{slot}}} {count} time(s), has {slots.count(slot)}"
            )
    if "prompt" not in slots:
        raise SpecificationError(f"{where}: has no {{prompt}}")


def _check_counts(name: str, task: TaskSpecification) -> None:
    for key, least in _COUNTS.items():
        if getattr(task, key) < least:
            few = "less than one" if least else "negative"
            raise SpecificationError(f"{name}.{key}: {getattr(task, key)} is {few}")
    if task.fps < 0:
        raise SpecificationError(f"{name}.fps: {task.fps} is negative")
    if bool(task.fps) != bool(task.max_frames):
        raise SpecificationError(
            f"{name}.fps, {name}.max_frames: belong together: frames by time, and the most of them"
        )
    if task.fps and task.max_frames < task.num_frames:
        raise SpecificationError(
            f"{name}.max_frames: {task.max_frames} is less than num_frames, {task.num_frames}, "
            "which is the fewest where fps is given"
        )
    if task.fps and name.startswith("image"):
        raise SpecificationError(f"{name}.fps: a picture has no time")
    if task.max_pixels and task.max_pixels < task.min_pixels:
        raise SpecificationError(
            f"{name}.max_pixels: {task.max_pixels} is less than min_pixels, {task.min_pixels}"
        )
    if task.decimals:
        if task.reading != "logits":
            raise SpecificationError(
                f"{name}.decimals: are read by logits; from text all decimals are read that stand "
                "there"
            )
        num = round((task.scale[-1] - task.scale[0]) * 10**task.decimals) + 1
        if num > _MOST_NUMBERS:
            raise SpecificationError(
                f"{name}.decimals: {num} numbers from {task.scale[0]:g} to {task.scale[-1]:g} are "
                f"more than {_MOST_NUMBERS}; read fewer decimals"
            )


def _check_dimensions(name: str, task: TaskSpecification) -> None:
    keys = [one.key for one in task.dimensions]
    for at, one in enumerate(task.dimensions):
        where = f"{name}.dimensions.{at}"
        if not one.label.strip():
            raise SpecificationError(f"{where}.label: is empty")
        if not one.low < one.high:
            raise SpecificationError(f"{where}: low {one.low:g} is not below high {one.high:g}")
        if one.weight < 0:
            raise SpecificationError(f"{where}.weight: {one.weight:g} is negative")
        if one.key == "overall" or keys.count(one.key) > 1:
            raise SpecificationError(
                f"{where}.name: {one.key!r} "
                + (
                    "is the score itself; call the dimension otherwise"
                    if one.key == "overall"
                    else "is there twice"
                )
            )
    if task.overall == "mean":
        if not any(one.weight for one in task.dimensions):
            raise SpecificationError(
                f"{name}.overall: the mean of the dimensions needs some with a weight"
            )
        if task.reading == "logits" and task.pointwise:
            raise SpecificationError(
                f"{name}.overall: the mean of the dimensions is read from text: set reading to text"
            )
    if task.format == "dimensions" and not task.dimensions:
        raise SpecificationError(f"{name}.format: points for dimensions need `dimensions`")
    if task.format != "any" and task.reading == "logits":
        raise SpecificationError(f"{name}.format: is of answers in words: set reading to text")


def _check_samples(name: str, task: TaskSpecification) -> None:
    if not 0 < task.top_p <= 1:
        raise SpecificationError(f"{name}.top_p: {task.top_p} is not above 0 and at most 1")
    if task.temperature < 0:
        raise SpecificationError(f"{name}.temperature: {task.temperature} is negative")
    if task.num_samples > 1 and task.temperature == 0:
        raise SpecificationError(
            f"{name}.num_samples: {task.num_samples} answers at temperature 0 are one answer; "
            "set a temperature"
        )
    if task.temperature and task.reading == "logits":
        raise SpecificationError(
            f"{name}.temperature: logits are read and nothing is drawn: set reading to text"
        )
