"""The formats by name: what `jobs.import_labels` and `jobs.evaluate_judge` can read.

A format of somebody's own is a `Format` too, named as `package.module:NAME`; it need not be entered
here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from factory.labels import (
    evalmuse,
    genai_bench,
    hpd,
    image_reward,
    llava_critic,
    pick_a_pic,
    trl,
    unified_reward,
    video_feedback,
    videogen_rewardbench,
    vl_rewardbench,
)
from factory.labels.draft import Draft
from factory.labels.plugged_in import PluggedIn
from factory.labels.record import Record
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
    parse: from the records that belong together, usually one, to drafts.
    group_by: the key that tells which following rows belong together; None where each row is alone.
    macro_tag: the tag over whose values the benchmark's macro accuracy is the mean.
    plugin: `package.module:NAME`, by which `format_named` found one of somebody's own.
    """

    name: str
    about: str
    parse: Callable[[Sequence[Record]], Iterable[Draft]]
    group_by: str | None = None
    macro_tag: str | None = None
    plugin: str | None = None


def row_by_row(
    parse: Callable[[Record], Iterable[Draft]],
) -> Callable[[Sequence[Record]], list[Draft]]:
    """The `parse` of a format of which each row is alone, from one that takes a single record."""
    return lambda records: [draft for record in records for draft in parse(record)]


def _about(module: object) -> str:
    return (module.__doc__ or "").partition("\n")[0]


_SINGLE = (
    pick_a_pic,
    hpd,
    llava_critic,
    video_feedback,
    evalmuse,
    unified_reward,
    trl,
    genai_bench,
    videogen_rewardbench,
)
FORMATS: dict[str, Format] = {
    one.name: one
    for one in (
        *(Format(module.NAME, _about(module), row_by_row(module.parse)) for module in _SINGLE),
        Format(image_reward.NAME, _about(image_reward), image_reward.parse, image_reward.GROUP),
        Format(
            vl_rewardbench.NAME,
            _about(vl_rewardbench),
            row_by_row(vl_rewardbench.parse),
            macro_tag="category",
        ),
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
