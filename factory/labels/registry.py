"""The formats by name: what `jobs.import_labels` and `jobs.evaluate_judge` can read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

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
from factory.labels.record import Record


@dataclass(frozen=True)
class Format:
    """A format.

    name: on the command line.
    about: the first line of its module.
    parse: from the records that belong together, usually one, to drafts.
    group_by: the key that tells which following rows belong together; None where each row is alone.
    macro_tag: the tag over whose values the benchmark's macro accuracy is the mean.
    """

    name: str
    about: str
    parse: Callable[[Sequence[Record]], Iterable[Draft]]
    group_by: str | None = None
    macro_tag: str | None = None


def _single(
    parse: Callable[[Record], Iterable[Draft]],
) -> Callable[[Sequence[Record]], list[Draft]]:
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
        *(Format(module.NAME, _about(module), _single(module.parse)) for module in _SINGLE),
        Format(image_reward.NAME, _about(image_reward), image_reward.parse, image_reward.GROUP),
        Format(
            vl_rewardbench.NAME,
            _about(vl_rewardbench),
            _single(vl_rewardbench.parse),
            macro_tag="category",
        ),
    )
}
