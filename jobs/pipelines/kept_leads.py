"""The lead of chosen over rejected sides in what was corrected, before and after the correction.

Before: the groups are paired once more as the judge says it, with the objections to single pairs
that need no pixels. After: the pairs that are kept, as they lie there, by their weights. Nothing is
done where nothing was corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from factory.bias.correction import Correction
from factory.bias.kept import Leads, lead
from factory.bias.observation import MEASURED, attributes_in, measure_candidate
from factory.curation.curator import Curator
from factory.filters.objection import needs_pixels
from jobs.datasets.measured import MeasuredGroups, Stretch, each_in_a_task, stretches
from jobs.datasets.reading import sources_of, stream
from jobs.pipelines.bias import read_profile
from jobs.rounds.workspace import Round
from schemas.places import Place
from schemas.results import Estimate
from schemas.rows import Measures


def kept_leads(
    at: Round, directory: Place, curator: Curator, files: Sequence[str]
) -> tuple[Estimate, ...]:
    """An estimate for each corrected attribute: before the correction, and `corrected`.

    Args:
        at: the round.
        directory: of the pairs.
        curator: that made them.
        files: names of the pairs' files.
    """
    names = list(dict.fromkeys([*curator.correction.points, *curator.correction.logits]))
    if not names:
        return ()
    known = read_profile(at).sds
    sds = {name: known[name] for name in names}
    as_judged = replace(
        curator,
        correction=Correction(),
        objections=tuple(one for one in curator.objections if not needs_pixels(one)),
    )
    pieces = stretches(sources_of(at.directory("groups")))
    often = (at.recipe.audit.num_resamples, at.recipe.seed)
    before = Leads.of(list(each_in_a_task(leads_of_stretch, pieces, as_judged, sds)), len(names))
    after = _kept(directory, sds, files)
    note = f"of {len(before.prompts)} pairs as judged, and of {len(after.prompts)} that are kept"
    return tuple(
        replace(
            Estimate.of(
                f"{name}: lead of chosen over rejected sides",
                first,
                unit="sd",
                num=len(before.prompts),
                note=note,
            ),
            corrected=Estimate.of(name, second, unit="sd", num=len(after.prompts)),
        )
        for name, first, second in zip(
            names, before.means(*often), after.means(*often), strict=True
        )
    )


def lead_in_words(one: Estimate) -> str:
    """One estimate of `kept_leads`, for the log."""
    left = one.corrected.value if one.corrected else None
    before, after = ("unknown" if x is None else f"{x:+.2f} sd" for x in (one.value, left))
    return f"{one.name}: {before} in pairs as judged, {after} in those that are kept"


def leads_of_stretch(stretch: Stretch, curator: Curator, sds: dict[str, float]) -> Leads:
    """Of the pairs that a curator keeps of some groups."""
    prompts, leads = [], []
    for groups in MeasuredGroups(stretch):
        for pair in (pair for group in groups for pair in curator(group)):
            if pair.verdict == "kept":
                prompts.append(pair.prompt.prompt_id)
                chosen, rejected = map(measure_candidate, (pair.chosen, pair.rejected))
                leads.append(lead(chosen, rejected, sds))
    return Leads(prompts, np.array(leads).reshape(len(leads), len(sds)), np.ones(len(leads)))


def _kept(directory: Place, sds: dict[str, float], files: Sequence[str]) -> Leads:
    """Of the pairs that are kept, by their weights."""
    looks = [f"{side}.measures.{name}" for side in ("chosen", "rejected") for name in MEASURED]
    columns = ["prompt_id", "verdict", "weight", *looks]
    prompts, leads, weights = [], [], []
    for batch in stream(directory, columns, files=list(files), media="none"):
        for row in batch.filter(pc.equal(batch.column("verdict"), "kept")).to_pylist():
            chosen, rejected = (
                attributes_in(Measures(**row[side]["measures"])) for side in ("chosen", "rejected")
            )
            prompts.append(row["prompt_id"])
            leads.append(lead(chosen, rejected, sds))
            weights.append(1.0 if row["weight"] is None else row["weight"])
    columns_of = np.array(leads).reshape(len(leads), len(sds))
    return Leads(prompts, columns_of, np.array(weights, np.float64))
