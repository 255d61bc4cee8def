"""A recipe's file: read, overridden from the command line, and its faults explained.

What a word means does not depend on which key it stands at (`plain_yaml.py`), and no key takes
another kind of value than it wants: text of digits is no number here, a number no text, and `true`
is not 1. The fault says how the value is written that the key wants.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from schemas import plain_yaml
from schemas.identity import PLACE
from schemas.places import why_no_home, why_no_place
from schemas.plain_yaml import Document, YamlError, quoted, read_word
from schemas.recipe import Recipe
from schemas.section import RecipeError, Section

_CREDENTIALS = re.compile(r"""(?<=://)[^/@\s"']+@""")


_SECRET_KEY = re.compile(r"(?i)key|secret|token|password|credential")


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and validate a recipe.

    Raises:
        RecipeError: unreadable file, unknown key, wrong type or value; every fault is listed.
    """
    try:
        document = plain_yaml.read(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe file") from None
    except YamlError as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    if document.faults:
        raise RecipeError(_listed(path, [f"{_key(at)}: {what}" for at, what in document.faults]))
    if not isinstance(document.values, dict):
        kind = type(document.values).__name__
        raise RecipeError(f"{path}: a recipe is a mapping of keys, not {kind}")
    for override in overrides:
        _override(document, override)
    try:
        recipe = Recipe.model_validate(document.values)
    except ValidationError as error:
        raise RecipeError(_explain(path, error, document)) from None
    turned = list(_turned(recipe, document.values, ()))
    if turned:
        raise RecipeError(
            _listed(path, [_wrong_kind(at, value, is_, document) for at, value, is_ in turned])
        )
    misplaced = [
        without_credentials(f"{_key(at)}: {place!r}: {why}")
        for at, place in _places(recipe, ())
        if (why := why_no_place(place) or why_no_home(place))
    ]
    if misplaced:
        raise RecipeError(_listed(path, misplaced))
    return recipe


def _places(section: Section, at: plain_yaml.Path) -> Iterator[tuple[plain_yaml.Path, str]]:
    """The places that a recipe names, with their keys."""
    for name, field in type(section).model_fields.items():
        value = vars(section)[name]
        values = value if isinstance(value, list) else [value]
        for number, one in enumerate(values):
            below = (*at, name, number) if isinstance(value, list) else (*at, name)
            if isinstance(one, Section):
                yield from _places(one, below)
            elif isinstance(one, str) and PLACE in field.metadata and one != field.default:
                yield below, one


def _override(document: Document, override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"{override!r}: an override is written key.path=value")
    *parents, last = path = key.split(".")
    at = document.values
    for parent in parents:
        at = at.setdefault(parent, {})
        if not isinstance(at, dict):
            raise RecipeError(f"{override!r}: {parent!r} is a value, not a section")
    said = _value(key, value)
    at[last] = said.values
    for old in [old for old in document.written if old[: len(path)] == tuple(path)]:
        del document.written[old]
    document.written.update({(*path, *below): word for below, word in said.written.items()})


def _value(key: str, text: str) -> Document:
    """What an override says: YAML where it begins with a bracket or a quote, else one word, to its
    end. `root=/data/a #1` has no comment, and `text=a: b` no mapping.
    """
    is_one_word = not text.startswith(("[", "{", '"', "'"))
    try:
        document = _word(text) if is_one_word else plain_yaml.read(text)
        faults = [f"{_key((key, *at))}: {what}" for at, what in document.faults]
    except YamlError as error:
        faults = [f"{key}: {error}"]
    if faults:
        if is_one_word:
            faults.append(f"quotes stand in quotes in a shell: '{key}={quoted(text)}'")
        raise RecipeError(without_credentials("\n  ".join(faults)))
    return document


def _word(text: str) -> Document:
    if text != text.strip():
        raise YamlError(f"{text!r} has spaces at its ends; write {quoted(text)} if they are meant")
    word = read_word(text)
    return Document(word, {} if isinstance(word, str) else {(): text})


def _turned(
    read: Any, given: Any, at: plain_yaml.Path
) -> Iterator[tuple[plain_yaml.Path, Any, Any]]:
    """Values that validation has turned into another kind: their place, as given and as read."""
    if isinstance(given, Mapping) and isinstance(read, BaseModel | Mapping):
        for key, value in given.items():
            below = read.get(key) if isinstance(read, Mapping) else vars(read).get(key)
            yield from _turned(below, value, (*at, key))
    elif isinstance(given, list) and isinstance(read, list | tuple):
        for number, (below, value) in enumerate(zip(read, given, strict=False)):
            yield from _turned(below, value, (*at, number))
    elif None not in (_kind(given), _kind(read)) and _kind(given) != _kind(read):
        yield at, given, read


_KINDS = {bool: "a truth value", int: "a number", float: "a number", str: "text"}


def _kind(value: Any) -> str | None:
    return _KINDS.get(type(value))


def _wrong_kind(at: plain_yaml.Path, given: Any, read: Any, document: Document) -> str:
    shown = document.written.get(at, quoted(given) if isinstance(given, str) else repr(given))
    how = quoted(shown) if isinstance(read, str) else _without_quotes(read)
    is_, wanted = _kind(given) or "nothing", _kind(read)
    return without_credentials(f"{_key(at)}: {shown} is {is_}, and {wanted} is wanted; write {how}")


def _without_quotes(value: Any) -> str:
    """A number or a truth value as a recipe writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else repr(value)


def _key(at: plain_yaml.Path) -> str:
    return ".".join(map(str, at)) or "recipe"


def _listed(path: str | Path, faults: Sequence[str]) -> str:
    return "\n".join(
        [f"{path}: {len(faults)} fault(s) in the recipe", *(f"  {one}" for one in faults)]
    )


def _explain(path: str | Path, error: ValidationError, document: Document) -> str:
    lines = []
    for fault in error.errors():
        at, given = fault["loc"], fault["input"]
        if fault["type"] == "extra_forbidden":
            lines.append(f"{_key(at)}: unknown key{_known_keys(at)}{_no_secrets(_key(at))}")
        elif fault["type"] == "string_type" and at in document.written:
            lines.append(_wrong_kind(at, given, "", document))
        else:
            shown = without_credentials(reprlib.repr(given))
            said = "" if fault["type"] == "missing" else f" (given: {shown:.80})"
            lines.append(f"{_key(at)}: {fault['msg']}{said}")
    return _listed(path, lines)


def without_credentials(text: str) -> str:
    """Text in which `scheme://user:password@host` has become `scheme://***@host`."""
    return _CREDENTIALS.sub("***@", text)


def _no_secrets(key: str) -> str:
    """A word of advice where an unknown key looks like a credential."""
    if _SECRET_KEY.search(key) is None:
        return ""
    return "; credentials stay in the environment (AWS_PROFILE, AWS_ACCESS_KEY_ID …)"


def _known_keys(location: tuple[int | str, ...]) -> str:
    """The keys of the section that holds the unknown one, as a hint."""
    section: Any = Recipe
    for step in location[:-1]:
        field = getattr(section, "model_fields", {}).get(step)
        if field is None:
            return ""
        section = field.annotation
    fields = getattr(section, "model_fields", None)
    return f"; known here: {', '.join(fields)}" if fields else ""
