"""How large a bias an audit can find, told before it runs, and how many prompts it takes.

    size of the bias, noise of the judge, prompts x candidates -> chance that the bias is flagged

The squared standard error of a slope is `(noise² / information + response²) / (prompts ·
candidates)`, in the unit of scores or of duels. The information of a candidate is what its edits
amount to, in squared standard deviations of the attribute, once the other edits of the joint fit
have taken their share. It hangs on how much the candidates of a generator vary, which nobody knows
before they are there: the numbers here are those of sandbox media (`tests.truth.bias_pools`), and
plans say so. The response differs from candidate to candidate, by misreadings above all; how far is
what `tests.benchmarks.planted_bias` saw of brightness (48 candidates found a medium bias in 83 %
of audits, 192 in all).

A slope is flagged where it is beyond what does not matter by Student's t, at the level that
Benjamini & Yekutieli's procedure leaves to one true bias among all tests
(0.05 / (m (1 + 1/2 + … + 1/m))). Left out: that a bias may show in scores and in duels, of which
the better one alone is counted here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from scipy.stats import nct, norm
from scipy.stats import t as student

from factory.bias.edits import EDITS
from factory.bias.figure import Relevance
from factory.bias.profile import BiasProfile
from factory.bias.response import SCORES

#: Sizes of a bias: what one standard deviation of an attribute within a prompt adds, in standard
#: deviations of true quality within a prompt (Cohen's small, medium and large).
SIZES: Mapping[str, float] = {"small": 0.2, "medium": 0.5, "large": 0.8}
#: Information of one candidate's edits about the slope of scores and about that of duels.
INFORMATION: Mapping[str, tuple[float, float]] = {
    "brightness": (5.8, 6.2),
    "saturation": (3.7, 25.0),
    "contrast": (1.4, 2.4),
    "sharpness": (2.6, 4.4),
    "text": (0.84, 2.2),
    "motion": (5.1, 10.0),
    "length": (0.48, 0.95),
}
#: What can be done to candidates of each medium (`Edit.needs`).
_MEDIA: Mapping[str, tuple[str, ...]] = {
    "pictures": ("picture",),
    "clips": ("picture", "clip"),
    "answers": ("answer",),
}
WANTED = 0.95  # of audits
_MOST_PROMPTS = 100_000
_NORMAL_95, _NORMAL_POWER = 1.959964, 1.644854


@dataclass(frozen=True)
class Believed:
    """What is taken to be known of a judge, in shares of its scale.

    quality_sd: spread of true quality among the candidates of a prompt.
    score_sd: noise of a score that an edited copy does not share with its original.
    duel_sd: noise of a duel, both orders together.
    logits_per_share: log-odds of a duel for one share.
    response_sd: how far the response to one standard deviation of an attribute differs from
        candidate to candidate.
    margin_share, margin_logits: slopes that are too small to matter (`Relevance`).
    source: of the noise, in words.
    """

    quality_sd: float = 0.2
    score_sd: float = 0.16
    duel_sd: float = 0.1
    logits_per_share: float = 10.0
    response_sd: float = 0.12
    margin_share: float = 0.0125
    margin_logits: float = 0.1
    source: str = "by default, since nobody has fitted this judge's"


@dataclass(frozen=True)
class Size:
    """Of an audit.

    num_prompts: that are probed.
    num_candidates: of each.
    num_tests: figures that accuse, all tested together.
    false_discovery_rate: kept over them.
    """

    num_prompts: int
    num_candidates: int
    num_tests: int
    false_discovery_rate: float = 0.05


def power(attribute: str, size: float, audit: Size, judge: Believed) -> float:
    """The chance that a bias is flagged, 0 to 1.

    Args:
        attribute: one of `INFORMATION`.
        size: of the bias, in standard deviations of true quality.
        audit: how much is asked.
        judge: what is believed of the judge.
    """
    by_scores, by_duels = INFORMATION[attribute]
    bias = size * judge.quality_sd
    return max(
        _power(bias - margin, math.hypot(noise / math.sqrt(information), judge.response_sd), audit)
        for margin, noise, information in (
            (judge.margin_share, judge.score_sd, by_scores),
            (judge.margin_logits / judge.logits_per_share, judge.duel_sd, by_duels),
        )
    )


def _power(beyond: float, sd: float, audit: Size) -> float:
    """Of a slope so far beyond what does not matter, `sd` being that of one candidate."""
    freedom = audit.num_prompts - 1
    if freedom < 1:
        return 0.0
    se = sd / math.sqrt(audit.num_prompts * audit.num_candidates)
    # One side: that a bias is taken for one of the other sign is next to impossible.
    level = audit.false_discovery_rate / (audit.num_tests * _harmonic(audit.num_tests))
    limit = float(student.isf(level, freedom))
    return float(nct.sf(limit, freedom, beyond / se))


def prompts_needed(
    attribute: str, size: float, audit: Size, judge: Believed, wanted: float = WANTED
) -> int | None:
    """The fewest prompts with which a bias is flagged with the wanted chance; None where no number
    of them is enough, since a bias of this size is too small to matter.

    Args:
        attribute: one of `INFORMATION`.
        size: of the bias, in standard deviations of true quality.
        audit: whose number of prompts is not looked at.
        judge: what is believed of the judge.
        wanted: chance of a flag.
    """
    return _fewest(
        lambda num: power(attribute, size, replace(audit, num_prompts=num), judge), wanted
    )


def _fewest(chance: Callable[[int], float], wanted: float) -> int | None:
    high = 2
    while chance(high) < wanted:
        high *= 2
        if high > _MOST_PROMPTS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= wanted else (middle, high)
    return high


def moved_by(edits: Iterable[str]) -> list[str]:
    """The attributes whose slopes edits tell, in their order."""
    moved = (EDITS[name].moves for name in edits)
    return list(dict.fromkeys(one for one in moved if one is not None))


def num_tests(edits: Collection[str], num_twins: int = 0, *, is_labelled: bool = True) -> int:
    """About how many figures accuse in an audit by these edits: two slopes of each attribute, a
    gain of each damage, position, two ways to look at nothing, twins; where there are labels, the
    excess along each attribute.
    """
    num = len(moved_by(edits))
    damages = sum(EDITS[name].is_damage for name in edits)
    return 2 * num + damages + 3 + num_twins + (num if is_labelled else 0)


def told(
    edits: Collection[str],
    audit: Size,
    judge: Believed,
    num_twins: int = 0,
    *,
    is_labelled: bool = True,
) -> list[str]:
    """Sentences on what an audit can find, for its plan: medium biases by attribute, then what it
    takes where that is not enough, then what all this rests on.

    Args:
        edits: of the recipe; those that apply to one medium are tested together.
        audit: its size; the number of tests is not looked at.
        judge: what is believed of the judge.
        num_twins: words that should not matter.
        is_labelled: whether there are labels.
    """
    found: dict[str, Found] = {}
    for medium, needs in _MEDIA.items():
        mine = [name for name in edits if EDITS[name].needs in needs]
        tests = num_tests(mine, num_twins, is_labelled=is_labelled)
        asked = replace(audit, num_tests=tests)
        for name in moved_by(mine):
            if name in INFORMATION and name not in found:
                found[name] = Found(
                    medium,
                    {size: power(name, sds, asked, judge) for size, sds in SIZES.items()},
                    prompts_needed(name, SIZES["medium"], asked, judge),
                )
    rests = (
        f"this rests on the judge's noise ({judge.source}) and on how far edits move an attribute "
        "beyond its spread, taken from the sandbox's media"
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

        def chance(num: int, size: float, sd: float = sd) -> float:
            beyond = size * before.score_sd - relevance.points
            return _power(beyond, sd, replace(audit, num_prompts=num, num_tests=tests))

        found[name] = Found(
            "slopes of scores",
            {size: chance(audit.num_prompts, sds) for size, sds in SIZES.items()},
            _fewest(lambda num, chance=chance: chance(num, SIZES["medium"]), WANTED),  # type: ignore[misc]
        )
    rests = f"this rests on the errors of {address}, of {then.num_prompts} prompts"
    return _sentences(found, audit, "its scores within a prompt", rests)


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
        one.name: (one.estimate.high - one.estimate.low) / (2 * _NORMAL_95)
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
    level = false_discovery_rate / (tests * _harmonic(tests))
    beyond = float(norm.isf(level)) + _NORMAL_POWER
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


def _harmonic(num: int) -> float:
    return sum(1 / at for at in range(1, num + 1))
