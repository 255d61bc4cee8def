"""Candidates before they are drawn: their seeds, and which of them are at hand already; and how one
is known that nobody draws here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from schemas.rows import Candidate, Prompt, seed_of

#: What drew a candidate (`Drawn.engine`) that came from elsewhere as it is; and its generator's
#: name where nobody says whose it is.
BROUGHT = "brought"
#: How the error of an answer begins that was cut before it came to an end.
UNFINISHED = "the answer does not end within"


def is_unfinished(candidate: Candidate) -> bool:
    """Whether it is an answer that came to no end, of which the text up to there is known."""
    is_cut = candidate.error is not None and candidate.error.startswith(UNFINISHED)
    return is_cut and bool(candidate.answer)


def is_brought(candidate: Candidate) -> bool:
    """Whether it was brought along, and drawn by nothing that the factory knows."""
    return candidate.drawn is not None and candidate.drawn.engine == BROUGHT


def candidate_seeds(prompt: Prompt, generator: str, seed: int, num: int) -> list[int]:
    """The seeds of a prompt's candidates: functions of prompt, generator, recipe seed and index.

    `generator` is the *name* without version where two versions are to be compared at equal seeds.
    """
    return [seed_of(prompt.prompt_id, generator, seed, index) for index in range(num)]


def take(wanted: Sequence[Candidate], at_hand: Sequence[Candidate]) -> dict[int, Candidate]:
    """Of candidates that are known before they are drawn, those that are at hand, by their seed.

    What has a key is known by it, whatever it was called where it was made, and is called as it
    would be here. What has none is known by its id, or by generator and seed where only the
    generator knows its ids; whoever brings such candidates knows that the same thing drew them.
    What only an attempt failed at is drawn again.

    Args:
        wanted: candidates without content (`actors.refs.GeneratorLike.planned`).
        at_hand: drawn candidates of the same prompt.
    """
    by_key: dict[str, Candidate] = {}
    by_id: dict[str, Candidate] = {}
    by_seed: dict[tuple[str, int], Candidate] = {}
    for one in at_hand:
        if one.is_attempt:
            continue
        if one.drawn is not None and one.drawn.key is not None:
            by_key.setdefault(one.drawn.key, one)
        else:
            by_id.setdefault(one.candidate_id, one)
            by_seed.setdefault((one.generator, one.seed), one)
    taken = {}
    for plan in wanted:
        key = plan.drawn.key if plan.drawn is not None else None
        found = by_key.get(key) if key is not None else None
        if found is None and plan.candidate_id:
            found = by_id.get(plan.candidate_id)
        elif found is None:
            found = by_seed.get((plan.generator, plan.seed))
        if found is not None:
            name = plan.candidate_id or found.candidate_id
            taken[plan.seed] = replace(found, candidate_id=name, generator=plan.generator)
    return taken
