"""A benchmark's section of the report on a judge: its own figures as its authors count them, beside
those that others have published.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from factory.evaluation.headlines import headline
from factory.evaluation.quoted import QUOTED
from schemas.results import Estimate, JudgeReport
from schemas.rows import Opinion


def quoted(
    made: JudgeReport, opinions: Sequence[Opinion], num_resamples: int = 1000, seed: int = 0
) -> JudgeReport:
    """The report with the section of the benchmark that it is about; as it is, where that is none
    that is quoted.
    """
    benchmark = QUOTED.get(made.labels)
    if benchmark is None:
        return made
    estimates = []
    for definition in benchmark.definitions:
        found = headline(opinions, definition, num_resamples, seed)
        if found is not None and math.isfinite(found.value.value):
            counts = (found.num, found.num_unread)
            estimates.append(
                Estimate.of(
                    *(definition.name, found.value, None, "share", *counts),
                    by=made.judge,
                    note=definition.words,
                )
            )
    remarks = (*made.remarks, *((benchmark.remark,) if benchmark.remark else ()))
    return replace(made, headlines=tuple(estimates), published=benchmark.figures, remarks=remarks)
