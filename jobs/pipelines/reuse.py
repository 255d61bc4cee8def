"""The data sets that a recipe lets its runs take from (`produce.reuse`): found, and told of.

What may be taken of their rows is decided by keys (`jobs.datasets.at_hand`); here is only which
places they are, and how a manifest names them.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from actors.storage import place
from jobs.datasets.at_hand import Source
from jobs.datasets.files import parquet
from jobs.rounds.workspace import InputError
from schemas import manifest
from schemas.columns import GROUPS, SchemaError, check_schema
from schemas.manifest import Parent
from schemas.places import DATA, Place
from schemas.recipe import Recipe

_KEY = "produce.reuse"


def reused(recipe: Recipe) -> list[Place]:
    """The data sets of `produce.reuse`.

    Raises:
        InputError: one is not there, or holds no groups; names it and says what to name instead.
    """
    return [_checked(path) for path in recipe.produce.reuse]


def _checked(path: str) -> Place:
    directory = place(path)
    if not directory.is_dir():
        raise InputError(f"{_KEY}: {path}: is no data set; name one, as ROOT/{DATA}/groups@1")
    if (directory / DATA).is_dir():
        raise InputError(f"{_KEY}: {path}: is a root; name a data set of it, as {DATA}/groups@1")
    source = Source.of(directory)
    if not source.files:
        raise InputError(f"{_KEY}: {path}: holds no rows, finished or begun")
    for file in source.files:
        try:
            with file.open("rb") as opened:
                check_schema(parquet(opened, file).schema_arrow, GROUPS, str(file))
            return directory
        except SchemaError as error:
            raise InputError(f"{_KEY}: {error}; only groups and candidates can be taken") from None
        except pa.ArrowInvalid:  # a killed writer left it torn
            continue
    raise InputError(f"{_KEY}: {path}: none of its files can be opened")


def as_parents(sources: Sequence[Source]) -> tuple[Parent, ...]:
    """The sources as further parents of what was made with them. What was begun only has no digest:
    what was taken of it lies in the rows.
    """
    found = []
    for source in sources:
        made = manifest.read(source.directory)
        digest = made.digest if made is not None else "begun"
        found.append(Parent("reused", str(source.directory), digest))
    return tuple(found)
