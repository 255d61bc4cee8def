"""Labels of the sandbox: its simulated annotators look at groups."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from factory.sandbox.annotators import Annotator
from factory.sandbox.four_tasks import Side, check_prompts, see
from schemas.recipe import Labels
from schemas.rows import Group, Label, Prompt, content_id, seed_of


@dataclass(frozen=True)
class SimulatedAnnotators:
    """What stands in for people in a recipe: its annotators, who label any group of the sandbox's
    prompts.
    """

    labels: Labels
    seed: int

    def check(self, path: str, prompts: Iterable[Prompt]) -> None:
        """Refuse prompts that are not the sandbox's; raises ForeignPromptError."""
        check_prompts(path, prompts)

    def __call__(self, group: Group) -> list[Label]:
        annotators = annotators_of(self.labels, self.seed)
        return simulate_labels(group, annotators, self.labels, self.seed)


def annotators_of(labels: Labels, seed: int) -> list[Annotator]:
    """The recipe's simulated annotators; each makes mistakes of their own."""
    return [
        Annotator(
            name=spec.name,
            noise=spec.noise,
            error_rate=spec.error_rate,
            tie_width=spec.tie_width,
            biases={str(name): weight for name, weight in spec.biases.items()},
            seed=seed_of("annotator", spec.name, seed),
        )
        for spec in labels.annotators
    ]


def simulate_labels(
    group: Group, annotators: list[Annotator], labels: Labels, seed: int
) -> list[Label]:
    """Labels of one group by simulated annotators: some of its pairs, and points for each
    candidate. Which pairs, and who looks at which, depend on the prompt and the seed alone. Of
    candidates that are the same, as short answers often are, one is looked at.
    """
    prompt = group.prompt
    rng = random.Random(seed_of("labels", prompt.prompt_id, seed))
    is_heldout = rng.random() < labels.heldout_share
    split: Any = "heldout" if is_heldout else "train"
    sides = {(one.media, one.answer): one for one in group.candidates if one.error is None}
    shown = list(sides.values())
    seen = {one.candidate_id: see(prompt, Side(one.media, one.answer)) for one in shown}
    pairs = list(itertools.permutations(shown, 2))
    made = []
    for first, second in rng.sample(pairs, min(labels.pairs_per_prompt, len(pairs))):
        annotator = rng.choice(annotators)
        key = content_id("label", first.candidate_id, second.candidate_id, annotator.full_name)
        preference, why = annotator.prefer(seen[first.candidate_id], seen[second.candidate_id], key)
        made.append(
            Label(
                key,
                prompt,
                annotator.full_name,
                first.media,
                second.media,
                preference,
                justification=why,
                split=split,
                first_answer=first.answer,
                second_answer=second.answer,
            )
        )
    for candidate in shown:
        annotator = rng.choice(annotators)
        key = content_id("points", candidate.candidate_id, annotator.full_name)
        points, why = annotator.rate(seen[candidate.candidate_id], key)
        made.append(
            Label(
                key,
                prompt,
                annotator.full_name,
                candidate.media,
                points=points,
                justification=why,
                split=split,
                first_answer=candidate.answer,
            )
        )
    return made
