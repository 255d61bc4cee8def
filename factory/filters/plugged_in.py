"""Objections of somebody's own: named in the recipe, loaded where they are raised.

What a recipe names is called without arguments and makes an `Objection`. It must be a function of
the pair alone: pairs are looked at in any order and on any worker. Nobody has tested it here, so
what it says is looked at, and where it fails the pair is marked as one that could not be judged:
nothing is known against it, and nothing for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from factory.filters.objection import FAILED, Objection, needs_pixels
from factory.plugins import make, one_line
from schemas.rows import Pair

#: Where a recipe names them.
KEY = "curate.objections.plugins"
#: "reason: detail". The reason names a count in manifests and a metric in MLflow.
_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]*:.*\S.*")


@dataclass(frozen=True)
class PluggedIn:
    """An objection of somebody's own.

    plugin: `package.module:name` of what makes it.
    needs_media, needs_pixels: as it says itself.
    """

    plugin: str
    needs_media: bool
    needs_pixels: bool = True

    @classmethod
    def of(cls, plugin: str) -> PluggedIn:
        """The objection of a name.

        Raises:
            PluginError: it cannot be loaded, or is no objection.
        """
        objection = load_objection(plugin)
        return cls(plugin, bool(objection.needs_media), needs_pixels(objection))

    def __call__(self, pair: Pair) -> str | None:
        objection = load_objection(self.plugin)
        try:
            raised: object = objection(pair)
        except Exception as error:
            return one_line(f"{FAILED} {self.plugin}: {type(error).__name__}: {error}")
        if raised is None:
            return None
        if not isinstance(raised, str):
            return f"{FAILED} {self.plugin}: gave a {type(raised).__name__}, not None or a text"
        told = one_line(raised)
        if _FORM.fullmatch(told) is None:
            return one_line(f"{FAILED} {self.plugin}: gave {told!r}, not 'reason: detail'")
        return told


@cache
def load_objection(plugin: str) -> Objection:
    """The objection that `package.module:name` makes, once in a process.

    Raises:
        PluginError: it cannot be loaded, or is no objection.
    """
    objection: Objection = make(plugin, KEY, Objection)
    return objection
