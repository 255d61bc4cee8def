"""A challenger that fails instead of being wrong: is it promoted for what is not seen of it?

Champion and challenger would be wrong on the same share of prompts, independently. The challenger
ends in an error on half of the prompts that it would get wrong. A judge that knows what is right
compares the twins of 240 prompts, as an evaluation does, and the gate on the win rate and the gate
on failures decide.

- `failing_challenger_promoted`: share of such evaluations that promote the challenger.
- `failing_challenger_promoted_when_unseen`: the same by the former rule, under which a twin of
  which either side failed was in no share.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.evaluation import contest, gates
from factory.statistics.metrics import win_rate
from schemas.recipe import Gates
from schemas.rows import Candidate, Duel, Group, Prompt

_JUDGE = "oracle@0"
_NUM_PROMPTS = 240
_WRONG = 0.4  # of what either would give
_FAILS = 0.5  # of what the challenger would get wrong


def figures(replications: int, seed: int) -> dict[str, float]:
    """Simulate; see the module's docstring."""
    rng = np.random.default_rng(seed)
    prompts = [f"prompt {at}" for at in range(_NUM_PROMPTS)]
    told_of = {
        (old, new, fail): contest.results(_contest(old, new, fail), _JUDGE)[0]
        for old in (False, True)
        for new in (False, True)
        for fail in (False, True)
    }
    promoted = unseen = 0
    for draw in range(replications):
        wrong = rng.random((_NUM_PROMPTS, 2)) < _WRONG
        fails = wrong[:, 1] & (rng.random(_NUM_PROMPTS) < _FAILS)
        told = [
            replace(told_of[bool(old), bool(new), bool(fail)], prompt_id=prompt)
            for prompt, (old, new), fail in zip(prompts, wrong, fails, strict=True)
        ]
        found = gates.generator_gates(
            contest.win_bound(told, 0.025), {}, Gates(), failures=contest.failures(told, seed=draw)
        )
        promoted += gates.decide(found) == "promote"
        read = [one for one in told if not any(one.has_failed)]
        won = win_rate([one.outcome for one in read], [one.prompt_id for one in read], 500, draw)
        unseen += won.low > 0.5
    return {
        "failing_challenger_promoted": promoted / replications,
        "failing_challenger_promoted_when_unseen": unseen / replications,
    }


def _contest(is_old_wrong: bool, is_new_wrong: bool, fails: bool) -> Group:
    prompt = Prompt.of("a question", "image_understanding")
    old = Candidate("old", "g@0", 0, answer="an answer")
    if fails:
        new = Candidate("new", "g@1", 0, error="the answer does not end within 64 tokens")
        return Group(prompt, (old, new))
    p_new = 0.5 + 0.45 * (is_old_wrong - is_new_wrong)
    duels = (
        Duel("new", "old", _JUDGE, p_new * 0.9, (1 - p_new) * 0.9, 0.1),
        Duel("old", "new", _JUDGE, (1 - p_new) * 0.9, p_new * 0.9, 0.1),
    )
    return Group(prompt, (old, Candidate("new", "g@1", 0, answer="an answer")), duels=duels)
