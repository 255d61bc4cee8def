"""What P(right) is worth on labels that were not fitted on, of a judge with an error of its own."""

import math

import numpy as np

from factory.ranking import Scale
from factory.ranking.claims import claims_on_labels
from schemas.rows import Opinion, Score
from tests.factory.simulated import JUDGE, duel

TASK = "image_generation"


def opinions(num: int, error_sd: float, seed: int) -> list[Opinion]:
    """Pairs from 0 to 100, of which the judge sees each side with an error of its own."""
    draws = np.random.default_rng(seed)
    found = []
    for at in range(num):
        quality = draws.normal(50, 15, 2)
        seen = quality + draws.normal(0, error_sd, 2)
        logit = 0.15 * (seen[0] - seen[1] + draws.normal(0, 5))
        scores = tuple(
            Score(str(side), JUDGE, float(seen[side] + draws.normal(0, 8)), 1.0) for side in (0, 1)
        )
        first = duel("0", "1", logit)
        said = "first" if quality[0] > quality[1] else "second"
        name = f"p{seed}-{at}"
        found.append(
            Opinion(
                name, name, TASK, {}, JUDGE, said, None, scores, (first, duel("1", "0", -logit))
            )
        )
    return found


def test_claims_hold_on_labels_that_were_not_fitted_on():
    scales = {TASK: Scale(100.0)}
    found = claims_on_labels(TASK, opinions(400, 12, 0), opinions(600, 12, 1), scales)
    assert found.num == 600
    assert found.ece < 0.06
    assert found.num_sure > 50
    assert found.right.low < 0.96
    assert found.right.value > 0.85  # of claims of 0.9 and more
    assert not found.why


def test_without_labels_it_is_not_known():
    found = claims_on_labels(TASK, [], opinions(50, 12, 1), {})
    assert math.isnan(found.ece)
    assert math.isnan(found.right.value)
    assert found.why
