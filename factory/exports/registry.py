"""The formats by name: what `jobs.export` can write.

An exporter of somebody's own is an `Exporter` too, named as `package.module:NAME`; it need not be
entered here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from factory.exports import (
    hugging_face,
    llama_factory,
    ms_swift,
    n_way,
    pick_a_pic,
    trl,
    unified_reward,
    verl_omni,
)
from factory.exports.columns import MediaMode
from factory.exports.plugged_in import PluggedIn
from factory.exports.record import Kind, Projection
from factory.plugins import PluginError, find
from schemas.plugins import is_plugin


class ExporterError(ValueError):
    """A name that is no exporter's, or something that this one cannot do; says what can be done."""


@dataclass(frozen=True)
class Table:
    """The Parquet columns of an exporter, by what is exported and where its media lie."""

    columns: pa.Schema | Callable[[MediaMode], pa.Schema]

    def __call__(self, media: MediaMode) -> pa.Schema:
        return self.columns(media) if callable(self.columns) else self.columns


@dataclass(frozen=True)
class Exporter:
    """A format.

    name: on the command line and in the manifest: lower-case letters, digits and hyphens.
    about: the first line of its module.
    reads: what it makes records of, by the kind of rows.
    media: where media may lie; the first is the default.
    tables: Parquet columns by kind of rows; an exporter without any writes JSON arrays.
    is_one_file: whether a split must be one file, since its loader takes paths as relative to that.
    loads: how the target loads it, with {out} and {split}.
    companions: files beside the tables, by name, from the splits that there are.
    plugin: `package.module:NAME`, by which `exporter_named` found one of somebody's own.
    """

    name: str
    about: str
    reads: Mapping[Kind, Projection]
    media: tuple[MediaMode, ...]
    tables: Mapping[Kind, Table] = field(default_factory=dict)
    is_one_file: bool = False
    loads: str = ""
    companions: Callable[[Sequence[str]], Mapping[str, str]] | None = None
    plugin: str | None = None

    def schema(self, kind: Kind, media: MediaMode) -> pa.Schema | None:
        """The Parquet columns of its records; None where they are JSON."""
        return self.tables[kind](media) if self.tables else None

    def check(self, kind: Kind, media: MediaMode) -> None:
        """Refuse what it does not do.

        Raises:
            ExporterError: says what it does.
        """
        if kind not in self.reads:
            flag = " and ".join(f"--{one}" for one in self.reads)
            raise ExporterError(f"{self.name}: is made of {' and '.join(self.reads)}: give {flag}")
        if media not in self.media:
            raise ExporterError(
                f"--media {media}: {self.name} is loaded with its media {' or '.join(self.media)}"
            )


def _about(module: Any) -> str:
    return (module.__doc__ or "").partition("\n")[0]


def _of_pairs(module: Any, *media: MediaMode, **more: Any) -> Exporter:
    columns = module.SCHEMA if hasattr(module, "SCHEMA") else module.schema
    return Exporter(
        module.NAME,
        _about(module),
        {"pairs": module.project},
        media,
        {"pairs": Table(columns)},
        loads=module.LOADS,
        **more,
    )


EXPORTERS: dict[str, Exporter] = {
    one.name: one
    for one in (
        _of_pairs(trl, "inline"),
        _of_pairs(ms_swift, "files", "inline"),
        _of_pairs(llama_factory, "files", "inline", companions=llama_factory.companions),
        _of_pairs(pick_a_pic, "inline"),
        _of_pairs(verl_omni, "files", is_one_file=True),
        Exporter(
            unified_reward.NAME,
            _about(unified_reward),
            {"pairs": unified_reward.project, "groups": unified_reward.project_group},
            ("files",),
            loads=unified_reward.LOADS,
        ),
        Exporter(
            n_way.NAME,
            _about(n_way),
            {"groups": n_way.project_group},
            ("inline",),
            {"groups": Table(n_way.SCHEMA)},
            loads=n_way.LOADS,
        ),
        Exporter(
            hugging_face.NAME,
            _about(hugging_face),
            {"pairs": hugging_face.project, "groups": n_way.project_group},
            ("inline",),
            {"pairs": Table(hugging_face.SCHEMA), "groups": Table(n_way.SCHEMA)},
            loads=hugging_face.LOADS,
        ),
    )
}


def exporter_named(name: str, key: str) -> Exporter:
    """An exporter by its name, or one of somebody's own by `package.module:NAME`.

    Args:
        name: as a command line gives it.
        key: of the argument, with which every error begins.

    Raises:
        ExporterError: there is none of that name.
        PluginError: what is named cannot be loaded, is no `Exporter`, or calls itself what another
            is called.
    """
    if name in EXPORTERS:
        return EXPORTERS[name]
    if not is_plugin(name):
        raise ExporterError(
            f"{key}: {name!r} is no exporter; known: {', '.join(EXPORTERS)}, and "
            "package.module:NAME of one of your own"
        )
    exporter = find(name, key)
    if not isinstance(exporter, Exporter):
        raise PluginError(
            f"{key}: {name!r}: is of type {type(exporter).__name__}, no Exporter "
            "(factory/exports/registry.py)"
        )
    if re.fullmatch(r"[a-z0-9][a-z0-9-]*", exporter.name) is None:
        raise PluginError(
            f"{key}: {name!r}: calls itself {exporter.name!r:.60}; names are lower-case letters, "
            "digits and hyphens"
        )
    if exporter.name in EXPORTERS:
        raise PluginError(f"{key}: {name!r}: calls itself {exporter.name!r}, as another one does")
    if not exporter.media or not exporter.reads:
        raise PluginError(f"{key}: {name!r}: says in `reads` and `media` nothing that it can do")
    if exporter.tables and set(exporter.tables) != set(exporter.reads):
        raise PluginError(f"{key}: {name!r}: `tables` and `reads` are of different kinds of rows")
    reads = {kind: PluggedIn(name, project) for kind, project in exporter.reads.items()}
    return replace(exporter, reads=reads, plugin=name)
