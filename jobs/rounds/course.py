"""Which stages a round of the loop has: those whose sections the recipe holds.

Drawing, judging, auditing and curating are always there. Labels and the training of a judge, and
alignment and the evaluation of what it made, are there where the recipe says how. What is left out
is said, with what that means.
"""

from __future__ import annotations

from schemas.artifacts import ArtifactKind, loop_kinds
from schemas.recipe import Recipe


def course(recipe: Recipe) -> tuple[ArtifactKind, ...]:
    """What each round of the recipe makes, in order."""
    absent = left_out(recipe)
    return tuple(kind for kind in loop_kinds() if kind.job not in absent)


def left_out(recipe: Recipe) -> dict[str, str]:
    """The stages that the recipe has no section for, by job, and what comes of it."""
    absent = {}
    if not (recipe.has("labels") or recipe.has("train_judge")):
        absent["label"] = "no `labels`: the judge is held against nobody's judgement"
    if not recipe.has("train_judge"):
        absent["train_judge"] = "no `train_judge`: no judge is trained"
    if not recipe.has("align"):
        absent["align"] = "no `align`: the pairs are the end"
    if not recipe.is_evaluated:
        absent["evaluate"] = (
            "no `evaluate.prompts`: what is aligned is compared with nothing, and a generator "
            "whose gates were not asked is not promoted"
            if recipe.has("align")
            else "no `align`: there is nothing to compare"
        )
    return absent
