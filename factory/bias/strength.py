"""What an audit can find, in sentences: for its plan before it runs, for its report afterwards.

told         by what is believed of a judge, before anything was asked
told_after   by the errors of an audit of an earlier round
found_by     by an audit's own errors, once it is done
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

import scipy

from factory.bias.edits import EDITS
from factory.bias.figure import SCORES, Relevance
from factory.bias.power import (
    INFORMATION,
    SIZES,
    WANTED,
    Believed,
    Size,
    chance_of_flag,
    fewest,
    harmonic,
    moved_by,
    num_tests,
    power,
    prompts_needed,
)
from factory.bias.profile import BiasProfile
from factory.ranking.noise import Noise
from factory.statistics.intervals import NORMAL_95
from schemas.rows import Task

#: What can be done to candidates of each medium (`Edit.needs`).
_MEDIA: Mapping[str, tuple[str, ...]] = {
    "pictures": ("picture",),
    "clips": ("picture", "clip"),
    "answers": ("answer",),
}
#: Of which tasks their judgements are.
_TASKS: Mapping[str, tuple[Task, ...]] = {
    "pictures": ("image_generation",),
    "clips": ("video_generation",),
    "answers": ("image_understanding", "video_understanding"),
}
_FITTED = "as fitted in the noise.json beside it"
_NORMAL_POWER = 1.644854


def told(
    edits: Collection[str],
    audit: Size,
    judge: Believed,
    num_twins: int = 0,
    *,
    is_labelled: bool = True,
    fitted: Mapping[Task, Noise] | None = None,
) -> list[str]:
    """Sentences on what an audit can find, for its plan: medium biases by attribute, then what it
    takes where that is not enough, then what all this rests on.

    Args:
        edits: of the recipe; those that apply to one medium are tested together.
        audit: its size; the number of tests is not looked at.
        judge: what is believed of the judge.
        num_twins: words that should not matter.
        is_labelled: whether there are labels.
        fitted: the judge's own noise, where it is known.
    """
    found: dict[str, Found] = {}
    sources: dict[str, list[str]] = {}
    for medium, needs in _MEDIA.items():
        own = [fitted[task] for task in _TASKS[medium] if fitted and task in fitted]
        believed = replace(judge, noise=own[0], source=_FITTED) if own else judge
        mine = [name for name in edits if EDITS[name].needs in needs]
        tests = num_tests(mine, num_twins, is_labelled=is_labelled)
        asked = replace(audit, num_tests=tests)
        for name in moved_by(mine):
            if name in INFORMATION and name not in found:
                found[name] = Found(
                    medium,
                    {size: power(name, sds, asked, believed) for size, sds in SIZES.items()},
                    prompts_needed(name, SIZES["medium"], asked, believed),
                )
                if medium not in (media := sources.setdefault(believed.source, [])):
                    media.append(medium)
    said = [
        f"{source} ({' and '.join(media)})" if len(sources) > 1 else source
        for source, media in sources.items()
    ]
    rests = (
        f"this rests on the judge's noise, {'; '.join(said)}, and on how far edits move an "
        "attribute beyond its spread, taken from the sandbox's media"
    )
    return _sentences(found, audit, "quality", rests)


def told_after(
    before: BiasProfile, then: Size, audit: Size, relevance: Relevance, address: str
) -> list[str]:
    """The same where a judge of this loop was audited before: by the errors of that audit, which
    hold the judge's noise, its misreadings, and how much the candidates vary. Of scores alone.

    Args:
        before: the profile of that audit.
        then: its size.
        audit: the one to come.
        relevance: what is too small to matter.
        address: of the profile.
    """
    tests = sum(not math.isnan(one.p_value) for one in before.figures)
    found: dict[str, Found] = {}
    for name, se in _errors(before).items():
        sd = se * math.sqrt(then.num_prompts * then.num_candidates)
        chance = partial(_chance_after, before, sd, relevance, replace(audit, num_tests=tests))
        found[name] = Found(
            "slopes of scores",
            {size: chance(sds, audit.num_prompts) for size, sds in SIZES.items()},
            fewest(partial(chance, SIZES["medium"]), WANTED),
        )
    rests = f"this rests on the errors of {address}, of {then.num_prompts} prompts"
    return _sentences(found, audit, "its scores within a prompt", rests)


def _chance_after(
    before: BiasProfile, sd: float, relevance: Relevance, audit: Size, size: float, num: int
) -> float:
    """That `num` prompts flag a bias of a size, `sd` being that of one candidate's slope."""
    beyond = size * before.score_sd - relevance.points
    return chance_of_flag(beyond, sd, replace(audit, num_prompts=num))


@dataclass(frozen=True)
class Found:
    """What an audit finds along one attribute.

    of: what the attribute belongs to.
    chances: of a flag, by size.
    needed: prompts for a medium bias; None where no number of them is enough.
    """

    of: str
    chances: Mapping[str, float]
    needed: int | None


def _sentences(found: Mapping[str, Found], audit: Size, of: str, rests: str) -> list[str]:
    if not found:
        return []
    groups: dict[str, list[str]] = {}
    for name, one in found.items():
        groups.setdefault(one.of, []).append(f"{name} {one.chances['medium']:.0%}")
    medium = "; ".join(f"{group}: {', '.join(told)}" for group, told in groups.items())
    least = {size: min(one.chances[size] for one in found.values()) for size in SIZES}
    lines = [
        f"with {audit.num_prompts} prompts x {audit.num_candidates} candidate(s) a bias of medium "
        f"size (0.5 sd of {of} for one sd) is found in so many audits: {medium}. "
        f"The least found attribute: {least['small']:.0%} where the bias is small (0.2), "
        f"{least['large']:.0%} where it is large (0.8)"
    ]
    short = [
        f"{name} {one.needed if one.needed is not None else 'no number of'} prompts"
        for name, one in found.items()
        if one.chances["medium"] < WANTED
    ]
    if short:
        lines.append(f"to find medium ones in {WANTED:.0%} of audits takes {', '.join(short)}")
    return [*lines, rests]


def _errors(profile: BiasProfile) -> dict[str, float]:
    """The standard errors of the slopes of scores that are tested, by attribute."""
    return {
        one.name: (one.estimate.high - one.estimate.low) / (2 * NORMAL_95)
        for one in profile.figures
        if (one.kind, one.measure) == ("edit", SCORES)
        and not math.isnan(one.p_value)
        and one.estimate.high > one.estimate.low
    }


def found_by(profile: BiasProfile, relevance: Relevance, false_discovery_rate: float) -> list[str]:
    """Sentences on how large a bias an audit would have found, by the errors that it came to.

    Sizes are told in points, and as shares of the spread of the judge's own scores within a prompt,
    which holds their noise: of true quality they are larger shares.

    Args:
        profile: of the judge.
        relevance: as it was tested against.
        false_discovery_rate: likewise.
    """
    tests = sum(not math.isnan(one.p_value) for one in profile.figures)
    errors = _errors(profile)
    if not errors:
        return []
    level = false_discovery_rate / (tests * harmonic(tests))
    beyond = float(scipy.stats.norm.isf(level)) + _NORMAL_POWER
    least = {name: relevance.points + beyond * se for name, se in errors.items()}
    spread = profile.score_sd
    told = ", ".join(
        f"{name} {points:.2g}" + (f" ({points / spread:.1f} sd of scores)" if spread > 0 else "")
        for name, points in least.items()
    )
    lines = [f"slopes of scores that are found in 95% of such audits, in points per sd: {told}"]
    weak = [name for name, points in least.items() if points > SIZES["medium"] * spread]
    if weak:
        lines.append(
            f"a bias of medium size (0.5 sd) along {', '.join(weak)} would often have been missed: "
            "that nothing was flagged there says little; probe more prompts (audit.num_groups) or "
            "candidates (audit.num_candidates)"
        )
    return lines
