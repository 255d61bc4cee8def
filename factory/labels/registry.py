"""The formats by name: what `jobs.import_labels` and `jobs.evaluate_judge` can read.

A format of somebody's own is a `Format` too, named as `package.module:NAME`; it need not be entered
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from factory.labels import (
    evalmuse,
    genai_bench,
    hpd,
    image_reward,
    llava_critic,
    mmrb2,
    pick_a_pic,
    table,
    trl,
    unified_reward,
    video_feedback,
    videogen_rewardbench,
    videorewardbench,
    vl_rewardbench,
)
from factory.labels.draft import Draft
from factory.labels.plugged_in import PluggedIn
from factory.labels.record import LabelError, Record
from factory.plugins import PluginError, find
from schemas.plugins import is_plugin

#: Label rows of ours, which need no format; no format goes by that name.
OWN = "labels"


class FormatError(ValueError):
    """A name that is no format's; the message says which there are."""


@dataclass(frozen=True)
class Format:
    """A format.

    name: on the command line, in ids and in addresses: lower-case letters, digits and hyphens.
    about: the first line of its module.
    parse: from the records that belong together, usually one, to drafts. A `LabelError` among the
        drafts is a fault that costs no other draft; one that is raised costs all of them.
    group_by: the key that tells which following rows belong together; None where each row is alone.
    macro_tag: the tag over whose values the benchmark's macro accuracy is the mean.
    columns: that `parse` reads, so that of Parquet no other is; None where that is not known.
    inside: the key under which a JSON file of one object has its rows as a list.
    plugin: `package.module:NAME`, by which `format_named` found one of somebody's own.
    """

    name: str
    about: str
    parse: Callable[[Sequence[Record]], Iterable[Draft | LabelError]]
    group_by: str | None = None
    macro_tag: str | None = None
    plugin: str | None = None
    columns: tuple[str, ...] | None = None
    inside: str | None = None


def row_by_row(
    parse: Callable[[Record], Iterable[Draft | LabelError]],
) -> Callable[[Sequence[Record]], list[Draft | LabelError]]:
    """The `parse` of a format of which each row is alone, from one that takes a single record."""
    return lambda records: [draft for record in records for draft in parse(record)]


def _format(module: Any, **more: Any) -> Format:
    """Of a module: its name, its first line, the columns that it reads, and how."""
    about = (module.__doc__ or "").partition("\n")[0]
    parse = more.pop("parse", None) or row_by_row(module.parse)
    return Format(module.NAME, about, parse, columns=getattr(module, "COLUMNS", None), **more)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        _format(pick_a_pic),
        _format(hpd),
        _format(llava_critic),
        _format(video_feedback),
        _format(evalmuse),
        _format(unified_reward),
        _format(trl),
        _format(genai_bench),
        _format(videogen_rewardbench),
        _format(image_reward, parse=image_reward.parse, group_by=image_reward.GROUP),
        _format(vl_rewardbench, macro_tag="category"),
        _format(mmrb2, macro_tag="part", inside=mmrb2.INSIDE),
        _format(videorewardbench, macro_tag="subset"),
        _format(table, parse=row_by_row(table.Table())),
    )
}


def format_named(name: str, key: str) -> Format:
    """A format by its name, or one of somebody's own by `package.module:NAME`.

    Args:
        name: as a command line gives it.
        key: of the argument, with which every error begins.

    Raises:
        FormatError: there is none of that name.
        PluginError: what is named cannot be loaded, is no `Format`, or calls itself what another
            is called.
    """
    if name in FORMATS:
        return FORMATS[name]
    if not is_plugin(name):
        raise FormatError(
            f"{key}: {name!r} is no format; known: {', '.join(FORMATS)}, and package.module:NAME "
            "of one of your own"
        )
    form = find(name, key)
    if not isinstance(form, Format):
        raise PluginError(
            f"{key}: {name!r}: is of type {type(form).__name__}, no Format "
            "(factory/labels/registry.py)"
        )
    if re.fullmatch(r"[a-z0-9][a-z0-9-]*", form.name) is None:
        raise PluginError(
            f"{key}: {name!r}: calls itself {form.name!r:.60}; ids and addresses want lower-case "
            "letters, digits and hyphens"
        )
    if form.name in (OWN, *FORMATS):
        raise PluginError(f"{key}: {name!r}: calls itself {form.name!r}, as another format does")
    return replace(form, parse=PluggedIn(name, form.parse), plugin=name)
