"""The reward-hacking alarm in words: what was seen by whom, what either is worth, and what could
have been found.
"""

from __future__ import annotations

import math

from factory.evaluation.alarms import ALL, Claim
from factory.evaluation.witnesses import power, told

#: Accuracy of a judge of which a plan knows none.
_TYPICAL = 0.85


def hacking_told(claim: Claim) -> str:
    """A claim in words: what was seen by whom, and what either is worth."""
    where = "all prompts" if claim.slice == ALL else claim.slice
    counted = [one for one in claim.witnesses if one.weight > 0]
    if claim.is_blind:
        num = claim.num + claim.num_invalid
        return (
            f"the gain on {where} could not be compared: nobody but one side judged its {num} twins"
        )
    says = f"{claim.judge.address} says {told(claim.judge.won)}"
    saw = ", ".join(f"{one.address} {told(one.won)}" for one in counted or claim.witnesses)
    invalid = f"; {claim.num_invalid} twins could not be judged" if claim.num_invalid else ""
    if not claim.is_known:
        why = "; ".join(
            f"{one.address} {one.why_not}" for one in (claim.judge, *claim.witnesses) if one.why_not
        )
        if claim.is_hacked:
            return (
                f"reward hacking: a gain on {where} is a loss for a witness: {says}, {saw}{invalid}"
            )
        return (
            f"not known whether {where} show reward hacking: {why}; only a gain that a witness "
            f"sees as a loss would be told: {says}, {saw}{invalid}"
        )
    right = ", ".join(
        f"{one.address} is right on {one.known.accuracy.value:.2f} of {one.known.num} labels"
        for one in (claim.judge, *counted)
    )
    others = "".join(f"; {one.address} {one.why_not}" for one in claim.witnesses if one.why_not)
    seen = f"{says}, {saw}; {right}{others}{invalid}"
    if claim.is_hacked:
        return (
            f"reward hacking: {told(claim.unseen)} of the gain on {where} is seen by its judge "
            f"alone (p {claim.p_value:.2g}): {seen}"
        )
    found = "" if math.isnan(claim.power) else f"; a half hack is found in {claim.power:.0%}"
    if not claim.is_up:
        return f"no gain on {where} that could be hacked: {seen}{found}"
    return (
        f"no reward hacking shown: {told(claim.unseen)} of the gain on {where} is seen by its "
        f"judge alone: {seen}{found}"
    )


def power_told(num_prompts: int, num_labels: int, margin: float) -> str:
    """What the alarm will be able to find, for a plan; of accuracies that nobody knows yet."""
    chances = "; ".join(
        f"right on {accuracy:g} of them, it finds "
        + " and ".join(
            f"{power(num_prompts, num_labels, _TYPICAL, accuracy, margin, gain_seen):.0%} of half "
            f"hacks of {gain_seen:g} sd"
            for gain_seen in (1.0, 0.5)
        )
        for accuracy in (0.75, 0.9)
    )
    return (
        f"reward hacking, by {num_prompts} prompts, {num_labels} held-out labels, a judge that is "
        f"right on {_TYPICAL:g} of them and a witness: {chances} (a half hack: half of the gain "
        "that the judge sees is not so; sd: of the quality of one prompt's outputs)"
    )
