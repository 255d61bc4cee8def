"""The objections that a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from factory.filters.answers import SimilarAnswers
from factory.filters.contamination import Contaminated
from factory.filters.objection import Objection
from factory.filters.pictures import BrokenMedia, LowEntropy, NearDuplicate
from factory.filters.plugged_in import PluggedIn
from factory.filters.safety import Unsafe, load_classifier
from factory.filters.verdicts import (
    Abstain,
    Disagree,
    Dissent,
    Inconsistent,
    LowConfidence,
    ThinMargin,
)
from schemas import recipe
from schemas.rows import Prompt, Task


def objections_of(
    settings: recipe.Objections,
    evaluation: Mapping[str, Iterable[Prompt]] | None = None,
    least_confidence: Mapping[Task, float] | None = None,
    units: Mapping[Task, float] | None = None,
) -> tuple[Objection, ...]:
    """The objections to single pairs that a recipe asks for, in the order in which they are raised.

    Args:
        settings: the thresholds.
        evaluation: the prompts of each evaluation set by its name.
        least_confidence: of the judge's duels, by task; looked at where `settings.abstain` is true.
        units: points of the judge's whole scale, by task; its points are shares where not given.

    Raises:
        PluginError: the safety classifier, or an objection of the user's own, cannot be loaded.
    """
    found: list[Objection] = [
        BrokenMedia(),
        Inconsistent(),
        ThinMargin(settings.least_margins(units)),
        LowConfidence(settings.min_confidence),
        Disagree(),
        Dissent(settings.max_panel_dissent),
        SimilarAnswers(settings.max_answer_similarity),
        LowEntropy(settings.min_entropy),
        NearDuplicate(settings.min_hash_distance),
    ]
    if settings.abstain:
        found.append(Abstain(least_confidence or {}))
    if evaluation:
        found.append(
            Contaminated.of(evaluation, settings.evaluation_gram, settings.max_evaluation_overlap)
        )
    if settings.safety_classifier is not None:
        load_classifier(settings.safety_classifier)  # here, where the user still sees the error
        found.append(Unsafe(settings.safety_classifier, settings.max_p_unsafe))
    found += [PluggedIn.of(name) for name in settings.plugins]
    return tuple(found)
