"""Local criteria: dimensions of quality that a recipe names, scored one by one and weighed.

A criterion is a sentence that is put to the judge after the prompt, in its own pointwise
instruction; the answer is one more score on the same scale. The order then goes by the weighted
mean of these and of the overall score, and each score keeps its breakdown, so weights can change
and curation can run again without the judge. A criterion without a sentence is a dimension that the
judge rates by itself, by its name: it costs no call. A region or a product has its own variant of a
criterion, chosen by the prompt's tags.

Whether a judge understands the sentence is the judge's matter: a model that was tuned on one
instruction may answer every criterion alike. Duels stay about the whole.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from factory.protocols import Judge, Sitting, scores_of
from factory.ranking import is_scored
from schemas import recipe
from schemas.rows import OVERALL, Candidate, Duel, Group, Prompt, Score


def criteria_for(prompt: Prompt, criteria: recipe.Criteria) -> list[recipe.Criterion]:
    """The criteria that apply to a prompt: of each name the variant that its tags fit best.

    A variant applies where the prompt has all tags of its `where`. Of several, the one with the
    most tags goes first, then the one that the recipe names first.
    """
    best: dict[str, recipe.Criterion] = {}
    for one in criteria.named:
        if any(prompt.tags.get(tag) != value for tag, value in one.where.items()):
            continue
        rival = best.get(one.name)
        if rival is None or len(one.where) > len(rival.where):
            best[one.name] = one
    return list(best.values())


def asked(prompt: Prompt, criterion: recipe.Criterion) -> Prompt:
    """The prompt as it is put to the judge for one criterion. Its id stays: it is the same row."""
    return prompt.saying(f"{prompt.text}\n{criterion.text}")


def combine(overall: Score, parts: Mapping[str, Score]) -> Score:
    """The overall score with a breakdown; unreadable where any part is, and never a low score."""
    for name, part in parts.items():
        if is_scored(overall) and not is_scored(part):
            error = f"criterion {name}: {part.error or 'the score is not a finite number'}"
            return replace(overall, value=math.nan, spread=math.nan, error=error)
    told = {OVERALL: overall.value} | {name: one.value for name, one in parts.items()}
    return replace(overall, breakdown={**overall.breakdown, **told})


def weigh(group: Group, criteria: recipe.Criteria) -> Group:
    """The group with scores that are the weighted means of their breakdowns.

    A score without a breakdown stays as it is: it was given before there were criteria. One that
    lacks a criterion of the recipe is unreadable.
    """
    found = criteria_for(group.prompt, criteria)
    if not found:
        return group
    weights = {OVERALL: criteria.overall_weight, **{one.name: one.weight for one in found}}
    own = {one.name for one in found if not one.text}
    return replace(group, scores=tuple(_weigh(one, weights, own) for one in group.scores))


def _weigh(score: Score, weights: Mapping[str, float], own: Collection[str]) -> Score:
    if not is_scored(score) or not (score.breakdown or own):
        return score
    missing = [name for name in weights if name not in score.breakdown]
    if missing:
        lacking = next((name for name in missing if name in own), None)
        error = f"criterion {missing[0]}: was not scored; judge the groups again"
        if lacking is not None:
            error = (
                f"criterion {lacking}: the judge rated no such dimension by itself: give the "
                "criterion a text, or leave it out"
            )
        return replace(score, value=math.nan, spread=math.nan, error=error)
    total = sum(weight * score.breakdown[name] for name, weight in weights.items())
    return replace(score, value=total / sum(weights.values()))


@dataclass(frozen=True)
class CriteriaJudge:
    """A judge that also scores by the criteria of a recipe."""

    judge: Judge
    criteria: recipe.Criteria

    @property
    def name(self) -> str:
        return self.judge.name

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> CriteriaSitting:
        return CriteriaSitting(self.judge.sit(prompt, candidates), prompt, self.criteria)


@dataclass(frozen=True)
class CriteriaSitting:
    """One prompt's candidates before a `CriteriaJudge`; duels are the judge's own."""

    sitting: Sitting
    prompt: Prompt
    criteria: recipe.Criteria

    def scores(self, indices: Sequence[int] | None = None) -> list[Score]:
        overall = scores_of(self.sitting, indices)
        parts = {
            one.name: scores_of(self.sitting.about(asked(self.prompt, one)), indices)
            for one in criteria_for(self.prompt, self.criteria)
            if one.text
        }
        if not criteria_for(self.prompt, self.criteria):
            return overall
        found = [
            combine(score, {name: scores[index] for name, scores in parts.items()})
            for index, score in enumerate(overall)
        ]
        return list(weigh(Group(self.prompt, (), tuple(found)), self.criteria).scores)

    def about(self, prompt: Prompt) -> Sitting:
        return self.sitting.about(prompt)

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        return self.sitting.duels(matches)
