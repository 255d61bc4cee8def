"""What a judge card asks of each prompt, and what the judge said, as numbers without media.

    group, another group -> scores, duels in both orders, edited and other media -> Said

No label is needed. What is right is known by construction: a picture under its own caption is to
win over the picture of another caption, an edited copy is neither better nor worse for its
brightness, and a grey square is no picture of anything. Left out: words that should not matter
(`audit.twins`), which need somebody who says which.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from factory.bias.edits import EDITS
from factory.bias.observation import measure_candidate
from factory.bias.probes import Probe, Prober, shown
from factory.judge_card.watch import WatchedJudge
from factory.judging.reading import duel_of
from factory.judging.recording import Recorder
from factory.judging.specification import SpecificationError
from factory.ranking import is_scored
from factory.ranking.matchups import Matchup, matchups
from schemas.rows import UNDERSTANDING, Candidate, Duel, Group, Reply, Task

#: What is done to a picture, a clip or an answer: what says nothing of how good it is. Of clips,
#: each of which is encoded anew for every edit, less is asked.
EDITS_ASKED: Mapping[str, tuple[str, ...]] = {
    "picture": (
        *("brightness", "contrast", "saturation", "sharpness"),
        *("compression", "resolution", "overlay text"),
    ),
    "clip": ("brightness", "saturation", "sharpness", "compression", "overlay text", "low motion"),
    "answer": ("padding",),
}
#: Candidates of a prompt that meet each other.
_MET = 3
#: Ends the id of what was made for another prompt.
STRANGER = " another's"
#: Reasons that are kept of each prompt.
_REASONS = 3

Occasion = Literal["another's", "candidates", "edited"]


@dataclass(frozen=True)
class Met:
    """Two sides that met in both orders.

    occasion: the own output against another prompt's, two candidates of one prompt, or an edited
        copy against its original.
    found: told from the own output, from the first candidate, or from the original.
    """

    occasion: Occasion
    found: Matchup


@dataclass(frozen=True)
class Said:
    """What one judge said of one prompt.

    scores: of the prompt's candidates; NaN where unreadable.
    looks: attributes of the candidates, and of the stranger that was shown among them.
    met: every two that met in both orders.
    num_unmet: of two that met and could not be read in both orders, by occasion.
    probes: of edits, blank media and another's media (`factory.bias.probes`).
    num_scores, num_duels: requests; with those that could not be read in num_bad_scores and
        num_bad_duels.
    reasons: why they could not be read, by how often.
    seconds, num_timed: the judge's own time, and the verdicts that it gave in it.
    num_read, num_written: tokens of all requests and answers; None where the judge tells none.
    num_counted: requests of which it tells.
    scale: the lowest and the highest score that the judge can give; None where nobody says.
    error: why nothing was said at all.
    is_refused: whether the judge says that it is not to be asked this.
    """

    prompt_id: str
    task: Task
    scores: tuple[tuple[str, float], ...] = ()
    looks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    met: tuple[Met, ...] = ()
    num_unmet: Mapping[str, int] = field(default_factory=dict)
    probes: tuple[Probe, ...] = ()
    num_scores: int = 0
    num_duels: int = 0
    num_bad_scores: int = 0
    num_bad_duels: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    num_timed: int = 0
    num_read: int | None = None
    num_written: int | None = None
    num_counted: int = 0
    scale: tuple[float, float] | None = None
    error: str | None = None
    is_refused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON; what is not finite is None."""
        plain: dict[str, Any] = _finite(asdict(self))
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Said:
        """Read back what `to_dict` wrote."""
        return cls(
            **{
                **plain,
                "scale": plain["scale"] and tuple(plain["scale"]),
                "scores": tuple((name, _number(value)) for name, value in plain["scores"]),
                "met": tuple(Met(one["occasion"], Matchup(**one["found"])) for one in plain["met"]),
                "probes": tuple(
                    Probe(**{**one, "shift": _number(one["shift"]), "logit": _number(one["logit"])})
                    for one in plain["probes"]
                ),
            }
        )


def ask(
    judge: WatchedJudge, recorder: Recorder, group: Group, other: Group
) -> tuple[Said, list[Reply]]:
    """Ask a judge all that a card wants to know of one prompt.

    Args:
        judge: that the recorder hears.
        recorder: of what it says.
        group: a prompt with at least one candidate.
        other: of another prompt of the same task, whose candidates and media are the stranger's.

    Returns:
        what was said, and the replies, word for word. What goes wrong is written into the first.
    """
    prompt = group.prompt
    empty = Said(prompt.prompt_id, prompt.task)
    try:
        recorder.asking(prompt)
    except SpecificationError as error:
        return replace(empty, error=str(error), is_refused=True), []
    own = shown(group)[:_MET]
    strangers = [_as_stranger(one) for one in shown(other)[:1] if not _is_like(one, own)]
    judge.start()
    with recorder.open() as ledger:
        try:
            sitting = judge.sit(prompt, [*own, *strangers])
            scores = sitting.scores()
            pairs = list(combinations(range(len(own) + len(strangers)), 2))
            # Of the strangers only the meeting with the first of the prompt's own is asked for.
            pairs = [(i, j) for i, j in pairs if j < len(own) or i == 0]
            sitting.duels([match for i, j in pairs for match in ((i, j), (j, i))])
            probes = prober_of(prompt.task).media(
                judge, replace(group, candidates=tuple(own)), other
            )
        except Exception as error:  # of anybody's code
            reason = f"{type(error).__name__}: {error}"[:300]
            return replace(empty, error=reason), list(ledger.replies)
    replies = ledger.replies
    scored = [one for one in replies if one.second_id is None]
    duelled = [one for one in replies if one.second_id is not None]
    # A judge that only scores is asked for no duel: those that are made of its scores count.
    duels = [duel_of(one) for one in duelled] or judge.duels
    met, num_unmet = _meetings(duels, own)
    counted = [one for one in replies if one.num_read is not None]
    reasons = Counter((one.error or "")[:200] for one in replies if one.error is not None)
    return (
        replace(
            empty,
            scores=tuple(
                (one.candidate_id, one.value if is_scored(one) else math.nan)
                for one in scores[: len(own)]
            ),
            looks={one.candidate_id: measure_candidate(one) for one in [*own, *strangers]},
            met=met,
            num_unmet=num_unmet,
            probes=tuple(probes),
            num_scores=len(scored),
            num_duels=len(duelled),
            num_bad_scores=sum(one.error is not None for one in scored),
            num_bad_duels=sum(one.error is not None for one in duelled),
            reasons=dict(reasons.most_common(_REASONS)),
            seconds=judge.seconds,
            num_timed=judge.num_verdicts,
            num_read=sum(one.num_read or 0 for one in counted) if counted else None,
            num_written=sum(one.num_written or 0 for one in counted) if counted else None,
            num_counted=len(counted),
            scale=_scale(recorder, prompt.task),
        ),
        list(replies),
    )


def medium_of(task: Task) -> str:
    """What a judge of a task is shown candidates of: a picture, a clip or an answer."""
    if task in UNDERSTANDING:
        return "answer"
    return "clip" if task == "video_generation" else "picture"


def prober_of(task: Task) -> Prober:
    """What is done to one candidate of each prompt."""
    return Prober(edits=EDITS_ASKED[medium_of(task)], num_candidates=1)


def num_requests(group: Group) -> int:
    """About how many requests a card puts to a judge for one prompt: for plans."""
    num = min(len(group.candidates), _MET)
    rivals = int(num > 1)
    total = num + 1 + 2 * (num * (num - 1) // 2 + 1) + 3
    for name in EDITS_ASKED[medium_of(group.prompt.task)]:
        doses = EDITS[name].doses
        extremes = sum(abs(dose) == max(map(abs, doses)) for dose in doses)
        total += 1 + len(doses) + 2 * extremes + rivals * (1 + 2 * (extremes + 1))
    return total


def _meetings(
    duels: Sequence[Duel], own: Sequence[Candidate]
) -> tuple[tuple[Met, ...], dict[str, int]]:
    """Every two that met, by occasion; an edited candidate against a rival is in none."""
    ids = [one.candidate_id for one in own]
    # A judge whose replies have no key is asked the same twice: the first counts.
    once = {(one.first_id, one.second_id): one for one in reversed(duels)}
    found: list[Met] = []
    unmet: Counter[str] = Counter()
    pairs = dict.fromkeys(frozenset(key) for key in reversed(once))
    for pair in pairs:
        if len(pair) != 2:
            continue
        occasion, first, second = _occasion(sorted(pair), ids)
        if occasion is None:
            continue
        both = [once[key] for key in ((first, second), (second, first)) if key in once]
        met = matchups(both)
        if met:
            one = met[0]
            found.append(Met(occasion, one if one.first_id == first else one.swap()))
        elif any(one.error is not None for one in both):
            unmet[occasion] += 1
    return tuple(found), dict(unmet)


def _occasion(pair: Sequence[str], own: Sequence[str]) -> tuple[Occasion | None, str, str]:
    one, other = pair
    for first, second in ((one, other), (other, one)):
        if first in own and second.endswith(STRANGER):
            return "another's", first, second
        if first in own and second.startswith(f"{first} "):
            return "edited", first, second
    return ("candidates" if one in own and other in own else None), one, other


def _scale(recorder: Recorder, task: Task) -> tuple[float, float] | None:
    if recorder.specification is None:
        return None
    scale = recorder.specification.task(task).scale
    return float(scale[0]), float(scale[-1])


def _as_stranger(candidate: Candidate) -> Candidate:
    return replace(candidate, candidate_id=f"{candidate.candidate_id}{STRANGER}")


def _is_like(candidate: Candidate, own: Sequence[Candidate]) -> bool:
    """Whether an answer from elsewhere is one of the prompt's own, word for word."""
    return candidate.answer is not None and any(candidate.answer == one.answer for one in own)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else value
