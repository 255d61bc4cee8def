"""A recipe's file: read, overridden from the command line, and its faults explained."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.recipe import Recipe
from schemas.section import RecipeError

_CREDENTIALS = re.compile(r"""(?<=://)[^/@\s"']+@""")


_SECRET_KEY = re.compile(r"(?i)key|secret|token|password|credential")


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and validate a recipe.

    Raises:
        RecipeError: unreadable file, unknown key, wrong type or value; every fault is listed.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"{path}: no such recipe file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys, not {type(raw).__name__}")
    for override in overrides:
        _override(raw, override)
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(_explain(path, error)) from None


def _override(raw: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"{override!r}: an override is written key.path=value")
    *parents, last = key.split(".")
    at = raw
    for parent in parents:
        at = at.setdefault(parent, {})
        if not isinstance(at, dict):
            raise RecipeError(f"{override!r}: {parent!r} is a value, not a section")
    try:
        at[last] = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RecipeError(f"{override!r}: the value is not valid YAML: {error}") from None


def _explain(path: str | Path, error: ValidationError) -> str:
    lines = [f"{path}: {error.error_count()} fault(s) in the recipe"]
    for fault in error.errors():
        key = ".".join(map(str, fault["loc"])) or "recipe"
        if fault["type"] == "extra_forbidden":
            lines.append(f"  {key}: unknown key{_known_keys(fault['loc'])}{_no_secrets(key)}")
        else:
            # Shortened while it is made: an alias in YAML can stand for a very large value.
            shown = without_credentials(reprlib.repr(fault["input"]))
            given = "" if fault["type"] == "missing" else f" (given: {shown:.80})"
            lines.append(f"  {key}: {fault['msg']}{given}")
    return "\n".join(lines)


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
