"""Objections: why a pair is not kept.

Each block looks at one pair and returns None or "reason: detail". The reasons are counted in
manifests and reports, so their spelling stays. What could not be measured (NaN, no media) is no
objection: a block objects to what it knows. `verdicts` holds what the judge's own statements say
against a pair, `pictures` and `answers` what the two sides do, `contamination` what the prompt
does, `safety` a classifier of the user's own, `plugged_in` objections of the user's own. `across`
is different: it needs the whole data set.
"""

from factory.filters.answers import SimilarAnswers
from factory.filters.contamination import Contaminated
from factory.filters.objection import Objection, judge_pair
from factory.filters.pictures import BrokenMedia, LowEntropy, NearDuplicate
from factory.filters.plugged_in import PluggedIn
from factory.filters.registry import objections_of
from factory.filters.safety import Unsafe
from factory.filters.verdicts import (
    Disagree,
    Dissent,
    Inconsistent,
    LowConfidence,
    ThinMargin,
)

__all__ = [
    "BrokenMedia",
    "Contaminated",
    "Disagree",
    "Dissent",
    "Inconsistent",
    "LowConfidence",
    "LowEntropy",
    "NearDuplicate",
    "Objection",
    "PluggedIn",
    "SimilarAnswers",
    "ThinMargin",
    "Unsafe",
    "judge_pair",
    "objections_of",
]
