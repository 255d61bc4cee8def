"""What a run would find at hand and what it would have to pay for, before it starts.

    prompts, sources -> how many prompts are there; of some, what can be taken -> a sentence

Which prompts are there is counted; what of them can be taken is looked at for some, and told as
"about" where these differ. Which duels a strategy asks for is known only as it goes on: scores
stand for what the judge has said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from actors.refs import GeneratorLike
from factory.candidates import candidate_seeds, take
from factory.ids import numbers_of, positions
from factory.keys import Asking, reply_key
from factory.prompts import Prompts
from jobs.datasets.at_hand import AtHand, Source
from schemas import manifest
from schemas.rows import Candidate, Group, Prompt

_LOOKED_AT = 256  # prompts
#: The steps whose pace the manifests of sources tell.
_STEPS = ("generate", "judge")


@dataclass(frozen=True)
class Forecast:
    """What is there, and what is not.

    num_prompts, num_there: prompts of the run, and those of which sources have anything.
    num_wanted: candidates of the run.
    num_taken: of them, those that are taken; estimated where `is_exact` is false.
    num_scored: of those, the ones of which the judge has said what it would be asked; None where
        that is not known before the run.
    pace_s: by step, seconds of a worker for one more candidate or reply, as the sources needed.
    """

    num_prompts: int
    num_there: int
    num_wanted: int
    num_taken: int
    num_scored: int | None
    is_exact: bool
    pace_s: dict[str, float]

    def __str__(self) -> str:
        about = "" if self.is_exact else "about "
        left = self.num_wanted - self.num_taken
        text = f"{about}{self.num_taken} of {self.num_wanted} candidates are there, {left} to draw"
        if "generate" in self.pace_s and left:
            text += f" ({_hours(left * self.pace_s['generate'])} of a generator)"
        if self.num_scored is not None:
            unasked = self.num_wanted - self.num_scored
            text += f"; {about}{self.num_scored} are scored, {unasked} to score"
            if "judge" in self.pace_s and unasked:
                text += f" ({_hours(unasked * self.pace_s['judge'])} of a judge, and its new duels)"
        return text


def forecast(
    prompts: Prompts,
    generators: Sequence[GeneratorLike],
    num_candidates: int,
    seed: int,
    sources: Sequence[Source],
    asking: Callable[[Prompt], Asking | None] | None = None,
) -> Forecast:
    """What sources have of a run. Nothing is linked or copied.

    Args:
        prompts: of the run.
        generators: each of which is to have drawn `num_candidates` for each of them.
        num_candidates: of each generator.
        seed: of the candidates.
        sources: that may be taken from.
        asking: how the judge is asked about a prompt; None where that is not known yet.

    Raises:
        SchemaError: a source holds no groups, or those of a newer factory.
    """
    ids = numbers_of(prompts.ids())
    at_hand = AtHand(sources, ids)
    is_there = positions(ids, at_hand.ids()) >= 0
    some = islice((one for one, there in zip(prompts, is_there, strict=True) if there), _LOOKED_AT)
    groups = at_hand.groups([Group(one, ()) for one in some])
    taken = [_taken(group, generators, num_candidates, seed) for group in groups]
    scored = [
        _num_scored(group, candidates, asking)
        for group, candidates in zip(groups, taken, strict=True)
    ]
    nums = [len(candidates) for candidates in taken]
    num_there, looked_at = int(is_there.sum()), max(len(groups), 1)
    return Forecast(
        len(ids),
        num_there,
        len(ids) * num_candidates * len(generators),
        round(sum(nums) / looked_at * num_there),
        None if asking is None else round(sum(scored) / looked_at * num_there),
        len({*zip(nums, scored, strict=True)}) <= 1,
        _paces(sources),
    )


def _taken(
    group: Group, generators: Sequence[GeneratorLike], num: int, seed: int
) -> list[Candidate]:
    taken: list[Candidate] = []
    for ref in generators:
        seeds = candidate_seeds(group.prompt, ref.name, seed, num)
        taken += take(ref.planned(group.prompt, seeds), group.candidates).values()
    return taken


def _num_scored(
    group: Group, candidates: Sequence[Candidate], asking: Callable[[Prompt], Asking | None] | None
) -> int:
    told = None if asking is None else asking(group.prompt)
    if told is None:
        return 0
    said = {reply.key for reply in group.replies}
    of_each = (reply_key(told, "score", group.prompt, [one]) for one in candidates if one.measures)
    return sum(key in said for key in of_each)


def _paces(sources: Sequence[Source]) -> dict[str, float]:
    """Of the first source that tells, by step."""
    paces: dict[str, float] = {}
    for source in sources:
        made = manifest.read(source.directory)
        figures = {} if made is None else made.figures
        for step in _STEPS:
            num = figures.get(f"{step}_made", 0.0)
            if num:
                paces.setdefault(step, figures.get(f"busy_{step}_s", 0.0) / num)
    return paces


def _hours(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"
