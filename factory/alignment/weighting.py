"""How much a pair counts in training, from what the judges said of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Weighting:
    """The weight of a pair, 0 to 1.

    by: "none": every pair counts alike. "confidence": 2 p - 1, where p is the probability that the
        chosen side is truly better, its margin being normal with the standard deviation that the
        ranking gave: 0 for a coin toss. "margin": in proportion to the margin up to `full_margin`.
    full_margin: in points of the judge's scale.
    """

    by: Literal["none", "confidence", "margin"] = "none"
    full_margin: float = 2.0

    def __call__(self, margin: float, margin_sd: float) -> float:
        """The weight of a pair with this margin, in points of the judge's scale.

        Raises:
            ValueError: what is weighed by is not a number.
        """
        if self.by == "none":
            return 1.0
        if not math.isfinite(margin) or (self.by == "confidence" and not margin_sd >= 0):
            raise ValueError(f"cannot weigh a pair by a margin of {margin} with sd {margin_sd}")
        if margin <= 0:
            return 0.0
        if self.by == "margin":
            return min(1.0, margin / self.full_margin)
        return math.erf(margin / (margin_sd * math.sqrt(2.0))) if margin_sd else 1.0


#: Every pair counts the same.
ALIKE = Weighting()
