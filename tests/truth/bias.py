"""Biases of known size in simulated judges: found, falsely found, taken out of kept pairs.

A judge sees a candidate's true quality with an error of its own and, of a biased one, what it gives
for an attribute; its scores and duels are that with noise (0.8, 0.5 and 0.3 sds of true
quality, one logit for the side shown first). Now and then it misreads an edited copy: in one of ten
the copy jumps by 1 sd. Damage costs an honest judge 0.1 sd at its largest dose. Pictures, clips and
answers, their edits and attributes are real ones (`tests.truth.bias_pools`); true quality has
nothing to do with brightness, words across a picture or motion, but longer answers say more.

An audit has as many prompts as the plan asks for where it is to find a medium bias in 95 % of
audits (`factory.bias.power`), two candidates of each, and all figures that edits give, tested with
as many others as an audit has. Then some other prompts are judged, ranked by the default strategy
and paired, once as the judge says it, once corrected, and once by the same judge, with the same
noise, without the bias.

    found_SIZE_KIND          share of audits that flag the planted attribute on the right side
    accused_KIND             share of audits of a clean judge that flag anything
    removed_on_kept_pairs_KIND   share of the lead of chosen over rejected sides, in the planted
                             attribute, among kept pairs and beyond the clean judge's, that the
                             correction takes away; the worse of medium and large
    found_medium, …          the worst of the kinds
    facts_judge_accused_of_length   share of audits of a judge of what answers say, one that minds
                             sentences which say nothing, that flag length
    prompts_asked_KIND       by the plan
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from factory.bias.correction import Correction
from factory.bias.edits import EDITS
from factory.bias.figure import Figure, Relevance, flag
from factory.bias.power import SIZES, Believed, Size, num_tests, prompts_needed
from factory.bias.probes import Probe
from factory.bias.profile import BiasProfile
from factory.bias.response import edit_figures
from factory.curation.curator import Curator
from factory.filters import objections_of
from factory.ranking import strategy_of
from factory.statistics.intervals import Interval
from schemas.recipe import Objections, Rank
from schemas.rows import Duel, Group, Pair, Score
from tests.truth import bias_pools
from tests.truth.bias_pools import NUM_CANDIDATES, NUM_EDITED, Pool

#: In sds of true quality, and in logits.
SCORE_SD, DUEL_SD, ITEM_SD, POSITION = 0.8, 0.5, 0.3, 1.0
JUMP_SHARE, JUMP_SD, DAMAGE = 0.1, 1.0, 0.1
#: Points of one sd of true quality on a scale of 1 to 5, and log-odds of it.
POINTS, LOGITS = 0.8, 2.0
PICTURES = tuple(name for name, edit in EDITS.items() if edit.needs == "picture")


@dataclass(frozen=True)
class Kind:
    """What is planted.

    pool: what audits are drawn from, by a number of prompts and a seed.
    attribute: that is liked.
    sign: of the liking.
    edits: of an audit.
    num_paired: prompts that are paired after each audit; of answers more, since their lengths
        differ less than a judge's noise does.
    """

    pool: Callable[[int, int], Pool]
    attribute: str
    sign: float
    edits: tuple[str, ...]
    num_paired: int = 5

    @property
    def num_asked(self) -> int:
        """Prompts that the plan asks for."""
        audit = Size(0, NUM_EDITED, num_tests(self.edits))
        num = prompts_needed(self.attribute, SIZES["medium"], audit, Believed())
        assert num is not None
        return num


KINDS = {
    "brightness": Kind(bias_pools.pictures, "brightness", 1.0, PICTURES),
    "text": Kind(bias_pools.pictures, "text", 1.0, PICTURES),
    "motion": Kind(bias_pools.clips, "motion", -1.0, (*PICTURES, "low motion")),
    "length": Kind(bias_pools.answers, "length", 1.0, ("length",), num_paired=15),
}


@dataclass(frozen=True)
class Judge:
    """A simulated judge, in sds of true quality.

    likings: for one sd of an attribute.
    minds: for each sentence that says nothing.
    """

    likings: Mapping[str, float]
    minds: float = 0.0


def figures(replications: int, seed: int, num_pooled: int = 120) -> dict[str, float]:
    """The figures of this part; `num_pooled` prompts are drawn from."""
    found: dict[str, float] = {}
    for name, kind in KINDS.items():
        pool = kind.pool(max(num_pooled, kind.num_asked + kind.num_paired), seed)
        found[f"prompts_asked_{name}"] = float(kind.num_asked)
        run = partial(audits, kind, pool, replications, seed)
        found[f"accused_{name}"] = run(Judge({})).accused
        removed = []
        for size in ("medium", "large"):
            told = run(Judge({kind.attribute: kind.sign * SIZES[size]}))
            found[f"found_{size}_{name}"] = told.found
            removed.append(told.removed)
        found[f"removed_on_kept_pairs_{name}"] = min(removed)
        if name == "length":
            found["facts_judge_accused_of_length"] = run(Judge({}, minds=0.05)).accused
    for name, worst in (
        ("found_medium", min),
        ("found_large", min),
        ("accused", max),
        ("removed_on_kept_pairs", min),
    ):
        found[name] = worst(found[f"{name}_{kind}"] for kind in KINDS)
    return found


@dataclass(frozen=True)
class Told:
    """What came of many audits."""

    found: float
    accused: float
    removed: float


def audits(kind: Kind, pool: Pool, replications: int, seed: int, judge: Judge) -> Told:
    """Audits of one kind of judge, and the pairs after each."""
    attribute, num = kind.attribute, kind.num_asked
    rng = np.random.default_rng([seed, num, *map(ord, attribute)])
    liking = judge.likings.get(attribute, 0.0)
    curator = Curator(
        strategy_of(Rank()), [one for one in objections_of(Objections()) if not one.needs_media]
    )
    num_found, num_accused, leads = 0, 0, []
    for _ in range(replications):
        order = rng.permutation(len(pool.prompts))
        profile = audit(pool, order[:num], judge, kind.edits, rng)
        flagged = {one.name: one.estimate.value for one in profile.flagged()}
        num_accused += bool(flagged)
        num_found += flagged.get(attribute, 0.0) * liking > 0
        if liking:
            correct = Correction.of(profile)
            for at in order[num : num + kind.num_paired]:
                leads.append(leads_of(pool, at, attribute, liking, correct, curator, rng))
    before, after = (
        (
            np.nanmean([one[at] for one in leads]) - np.nanmean([one[2] for one in leads])
            for at in (0, 1)
        )
        if leads
        else (math.nan, math.nan)
    )
    return Told(num_found / replications, num_accused / replications, 1 - abs(after / before))


def audit(
    pool: Pool, prompts: np.ndarray, judge: Judge, edits: tuple[str, ...], rng: np.random.Generator
) -> BiasProfile:
    """The profile of a judge: what it says of edits, among as many tests as an audit has."""
    probes = [
        probe
        for at in prompts
        for probe in answered(pool.probes[at], pool.costs[at], pool.sds, judge, rng)
    ]
    measured = edit_figures(probes, pool.sds, Relevance(), num_resamples=2)
    num_more = num_tests(edits) - sum(not math.isnan(one.p_value) for one in measured)
    others = [
        Figure("neglect", str(at), "drop of scores", "points", Interval(1.0), 1, p_value=1.0)
        for at in range(num_more)
    ]
    return BiasProfile(flag([*measured, *others], 0.05), pool.sds, {}, len(prompts), 0, len(probes))


def answered(
    probes: list[Probe],
    costs: list[float],
    sds: Mapping[str, float],
    judge: Judge,
    rng: np.random.Generator,
) -> list[Probe]:
    """What a judge says of the edits of one prompt."""
    num = len(probes)
    original = {one.candidate_id: SCORE_SD * rng.normal() for one in probes}
    seen = np.array(
        [
            sum(gives * one.changes[name] / sds[name] for name, gives in judge.likings.items())
            + cost
            - DAMAGE * abs(one.dose) * EDITS[one.name].is_damage
            for one, cost in zip(probes, costs, strict=True)
        ]
    )
    seen -= [judge.minds * added(one) for one in probes]
    seen += JUMP_SD * rng.normal(size=num) * (rng.random(num) < JUMP_SHARE)
    noise, duels = SCORE_SD * rng.normal(size=num), DUEL_SD * rng.normal(size=num)
    found = []
    base = 0.0
    for at, one in enumerate(probes):
        edit = EDITS[one.name]
        if one.dose == edit.doses[0]:
            base = seen[at] if edit.is_among_edited else 0.0
        is_met = abs(one.dose) == abs(edit.doses[-1])
        shift = POINTS * (seen[at] + noise[at] - original[one.candidate_id])
        logit = LOGITS * (seen[at] - base + duels[at]) if is_met else math.nan
        found.append(replace(one, shift=shift, logit=logit))
    return found


def added(probe: Probe) -> float:
    """Sentences that an edit of length added."""
    return {0.25: 1, 0.5: 2, 1.0: 4}[probe.dose] if probe.name == "length" else 0


def leads_of(
    pool: Pool,
    at: int,
    attribute: str,
    liking: float,
    correct: Correction,
    curator: Curator,
    rng: np.random.Generator,
) -> tuple[float, float, float]:
    """By how many sds chosen sides lead in an attribute: of the judge, corrected, and without its
    bias, all with the same noise; NaN where no pair is kept.
    """
    quality = rng.normal(size=NUM_CANDIDATES)
    if any(pool.merits[at]):
        quality = np.array(pool.merits[at])
        quality = (quality - quality.mean()) / max(quality.std(), 1e-9)
    seen = quality + ITEM_SD * rng.normal(size=NUM_CANDIDATES)
    noise = SCORE_SD * rng.normal(size=NUM_CANDIDATES)
    luck = DUEL_SD * rng.normal(size=(NUM_CANDIDATES, NUM_CANDIDATES))
    luck = (luck - luck.T) / math.sqrt(2)
    looks = np.array([one[attribute] for one in pool.looks[at]])
    biased = judged(pool, at, seen + liking * looks, noise, luck, curator)
    clean = judged(pool, at, seen, noise, luck, curator)
    corrected = replace(curator, correction=correct)
    first, second, third = (
        kept_lead(used(group), pool, at, attribute)
        for group, used in ((biased, curator), (biased, corrected), (clean, curator))
    )
    return first, second, third


def judged(
    pool: Pool, at: int, seen: np.ndarray, noise: np.ndarray, luck: np.ndarray, curator: Curator
) -> Group:
    """A prompt's candidates with scores, and the duels that the strategy plays."""
    candidates = pool.candidates[at]
    ids = [one.candidate_id for one in candidates]
    points = 3 + POINTS * (seen - seen.mean() + noise)
    scores = [Score(one, "simulated@0", float(p), 0.0) for one, p in zip(ids, points, strict=True)]
    duels: list[Duel] = []
    while matches := curator.strategy.plan(scores, duels):
        for i, j in matches:
            logit = LOGITS * (seen[i] - seen[j] + luck[i, j]) + POSITION
            p = 1 / (1 + math.exp(-logit))
            duels.append(Duel(ids[i], ids[j], "simulated@0", p, 1 - p, 0.0))
    return Group(pool.prompts[at], tuple(candidates), tuple(scores), tuple(duels))


def kept_lead(pairs: list[Pair], pool: Pool, at: int, attribute: str) -> float:
    """Of the kept pairs of one prompt, by their weights."""
    looks = dict(
        zip((one.candidate_id for one in pool.candidates[at]), pool.looks[at], strict=True)
    )
    kept = [one for one in pairs if one.verdict == "kept"]
    leads = [
        looks[one.chosen.candidate_id][attribute] - looks[one.rejected.candidate_id][attribute]
        for one in kept
    ]
    weights = [1.0 if one.weight is None else one.weight for one in kept]
    return float(np.average(leads, weights=weights)) if sum(weights) else math.nan
