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
from dataclasses import dataclass, field, replace

import scipy

from factory.bias.edits import EDITS
from factory.ranking.noise import Noise

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
WANTED = 0.95  # of audits
_MOST_PROMPTS = 100_000


@dataclass(frozen=True)
class Believed:
    """What is taken to be known of a judge, in shares of its scale.

    noise: of the judge; that of a score is not shared by an edited copy and its original.
    response_sd: how far the response to one standard deviation of an attribute differs from
        candidate to candidate.
    margin_share, margin_logits: slopes that are too small to matter (`Relevance`).
    source: of the noise, in words.
    """

    noise: Noise = field(default_factory=Noise)
    response_sd: float = 0.12
    margin_share: float = 0.0125
    margin_logits: float = 0.1
    source: str = "by default, since nobody has fitted it yet"


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
    least_logits = judge.margin_logits / judge.noise.logits_per_share
    return max(
        chance_of_flag(
            size * judge.noise.quality_sd - least,
            math.hypot(noise / math.sqrt(information), judge.response_sd),
            audit,
        )
        for least, noise, information in (
            (judge.margin_share, judge.noise.score_sd, by_scores),
            (least_logits, judge.noise.duel_sd, by_duels),
        )
    )


def chance_of_flag(beyond: float, sd: float, audit: Size) -> float:
    """The chance that a slope is flagged that is so far beyond what does not matter.

    Args:
        beyond: in any unit.
        sd: of the slope of one candidate, in the same.
        audit: how much is asked.
    """
    freedom = audit.num_prompts - 1
    if freedom < 1:
        return 0.0
    se = sd / math.sqrt(audit.num_prompts * audit.num_candidates)
    # One side: that a bias is taken for one of the other sign is next to impossible.
    level = audit.false_discovery_rate / (audit.num_tests * harmonic(audit.num_tests))
    limit = float(scipy.stats.t.isf(level, freedom))
    return float(scipy.stats.nct.sf(limit, freedom, beyond / se))


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
    return fewest(
        lambda num: power(attribute, size, replace(audit, num_prompts=num), judge), wanted
    )


def fewest(chance: Callable[[int], float], wanted: float) -> int | None:
    """The fewest prompts that give the wanted chance, which grows with them; None for none."""
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


def harmonic(num: int) -> float:
    """1 + 1/2 + … + 1/num: what Benjamini & Yekutieli's procedure costs beside Hochberg's."""
    return sum(1 / at for at in range(1, num + 1))
