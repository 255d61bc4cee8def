"""Asking a judge about things that differ in one respect: edited, blank and swapped media, and twin
prompts. What comes back is a row of numbers for each question, without any media.

A probe says what changed and how far the judge moved, in points and, where the two met in a duel,
in log-odds. It is a plain measurement: `response` draws the conclusions. What could not be read is
NaN and is counted; it is never a judge that did not move.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from factory.bias.edits import EDITS, Edit, blank, edit_candidate, unedited
from factory.bias.observation import Measure, measure_candidate
from factory.media.pictures import MediaError
from factory.protocols import Judge
from factory.ranking import Match, is_scored
from factory.ranking.matchups import matchup
from schemas.rows import Candidate, Group, Media, Prompt, content_id

Editor = Callable[[Candidate, Edit, float], Candidate | None]
ProbeKind = Literal["edit", "blank", "swapped", "twin"]
#: Which candidates of a group are probed is as good as chance, and the same each time.
_DRAW = "probe"


@dataclass(frozen=True)
class Probe:
    """One question that was put to the judge twice, with one thing changed.

    kind: what was changed.
    name: of the edit, or of the twin words; empty for blank and swapped media.
    dose: of the edit. Of twins, which of the two words the media was made for: -1 the first, 1 the
        second.
    shift: score with the change minus score without, in points; NaN where either is unreadable.
        Of twins: score under the second word minus score under the first.
    logit: of edits at their largest doses, log-odds that the edited one beats the original in a
        duel, both orders; NaN where unreadable. Of edits whose copies are held against each other
        (`Edit.is_among_edited`), that the largest dose beats the smallest.
    is_flipped: of the largest doses, whether the verdict against another candidate of the group
        changed; None where that was not asked or could not be read.
    changes: attributes with the edit minus those without, in their natural units.
    """

    prompt_id: str
    candidate_id: str
    kind: ProbeKind
    name: str = ""
    dose: float = 0.0
    shift: float = math.nan
    logit: float = math.nan
    is_flipped: bool | None = None
    changes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Twins:
    """Words that should not matter, such as "man" and "woman", and how to swap them.

    name: what they stand for.
    swaps: each word of the first kind and its twin of the second.
    """

    name: str
    swaps: Mapping[str, str]

    def twin(self, text: str) -> tuple[str, int] | None:
        """The text with its words swapped, and which kind it had: -1 the first, 1 the second.

        None where it has words of neither kind or of both: there is no single twin then.
        """
        found = []
        for side, swaps in ((-1, self.swaps), (1, {b: a for a, b in self.swaps.items()})):
            swapped, num = _swap(text, swaps)
            if num:
                found.append((swapped, side))
        return found[0] if len(found) == 1 else None

    def twin_prompt(self, prompt: Prompt) -> tuple[Prompt, int] | None:
        """The prompt with the words of all that is said in it swapped, by the same rule."""
        told = self.twin("\n".join(part.text for part in prompt.in_full if part.text is not None))
        if told is None:
            return None
        side = told[1]
        swaps = self.swaps if side == -1 else {b: a for a, b in self.swaps.items()}
        parts = [
            part if part.text is None else replace(part, text=_swap(part.text, swaps)[0])
            for part in prompt.in_full
        ]
        return Prompt.of_parts(parts, prompt.task, prompt.tags), side


@dataclass(frozen=True)
class Prober:
    """What each sampled group is asked.

    edits: names of the edits.
    num_candidates: of a group that are edited, blanked and swapped.
    twins: words that should not matter.
    edit, measure: how a candidate is edited, and measured.
    """

    edits: tuple[str, ...] = tuple(EDITS)
    num_candidates: int = 2
    twins: tuple[Twins, ...] = ()
    edit: Editor = edit_candidate
    measure: Measure = measure_candidate

    def media(self, judge: Judge, group: Group, other: Group | None = None) -> list[Probe]:
        """Edited, blank and swapped media of one group.

        Args:
            judge: is asked.
            group: whose candidates are probed.
            other: of another prompt, whose media is shown in place of the group's own.
        """
        every = shown(group)
        chosen = every[: self.num_candidates]
        found: list[Probe] = []
        for at, drawn in enumerate(chosen):
            rival = every[(at + 1) % len(every)] if len(every) > 1 else None
            try:
                start = unedited(drawn)
            except MediaError:
                continue  # the group's own score says that it is broken
            for name in self.edits:
                found += self._edited(judge, group.prompt, drawn, start, rival, EDITS[name])
        return found + _unseen(judge, group.prompt, chosen, other)

    def words(self, judge: Judge, group: Group) -> list[Probe]:
        """The candidates of one group under the twins of its prompt."""
        chosen = shown(group)
        return [
            probe for twins in self.twins for probe in _twins(judge, group.prompt, chosen, twins)
        ]

    def _edited(
        self,
        judge: Judge,
        prompt: Prompt,
        drawn: Candidate,
        start: Candidate,
        rival: Candidate | None,
        edit: Edit,
    ) -> list[Probe]:
        """A drawn candidate at every dose, side by side with where it starts and with a rival.

        One sitting for each edit: no larger than that of a group, whatever the memory of the judge.
        """
        try:
            edited = [(dose, self.edit(drawn, edit, dose)) for dose in edit.doses]
            before = self.measure(start)
        except MediaError:
            return []  # the group's own score says that it is broken
        versions = [(dose, one) for dose, one in edited if one is not None]
        if not versions:
            return []
        others = [rival] if rival is not None else []
        sitting = judge.sit(prompt, [start, *[one for _, one in versions], *others])
        scores = [one.value if is_scored(one) else math.nan for one in sitting.scores()]
        largest = max(abs(dose) for dose, _ in versions)
        extremes = [at for at, (dose, _) in enumerate(versions, start=1) if abs(dose) == largest]
        base = 1 if edit.is_among_edited and len(versions) > 1 else 0
        matches = [match for at in extremes for match in _both(base, at)]
        if rival is not None:
            matches += [match for at in (0, *extremes) for match in _both(at, len(versions) + 1)]
        duels = sitting.duels(matches)
        met = {
            (i, j): matchup(duels[at : at + 2], duels[at].first_id, duels[at].second_id)
            for at, (i, j) in enumerate(matches)
            if at % 2 == 0  # both orders of a match stand side by side
        }
        as_it_was = met.get((0, len(versions) + 1))
        found = []
        for at, (dose, version) in enumerate(versions, start=1):
            direct, as_it_is = met.get((base, at)), met.get((at, len(versions) + 1))
            after = self.measure(version)
            found.append(
                Probe(
                    prompt.prompt_id,
                    drawn.candidate_id,
                    "edit",
                    edit.name,
                    dose,
                    scores[at] - scores[0],
                    -direct.logit if direct else math.nan,
                    as_it_is.preference != as_it_was.preference if as_it_is and as_it_was else None,
                    {name: after[name] - value for name, value in before.items() if name in after},
                )
            )
        return found


@dataclass(frozen=True)
class Sample:
    """The prompts to probe: those whose media is probed, and those whose words are."""

    media: frozenset[str]
    words: frozenset[str]


def sample_prompts(prompts: Iterable[tuple[str, str]], num: int, twins: Sequence[Twins]) -> Sample:
    """The first `num` prompts by a hash of their ids, and for each twins as many with its words.

    Args:
        prompts: prompt_id and text of each; of a dialogue what the user says last.
        num: of prompts, half of it with either word of each twins.
        twins: that need prompts with their words.
    """
    order = sorted(prompts, key=lambda one: content_id(_DRAW, one[0]))
    worded: set[str] = set()
    for words in twins:
        for side in (-1, 1):
            told = [at for at, text in order if (twin := words.twin(text)) and twin[1] == side]
            worded.update(told[: (num + 1) // 2])
    return Sample(frozenset(prompt_id for prompt_id, _ in order[:num]), frozenset(worded))


def shown(group: Group) -> list[Candidate]:
    """The candidates that there are, in an order as good as chance: the first are probed."""
    there = [one for one in group.candidates if one.error is None]
    return sorted(there, key=lambda one: content_id(_DRAW, one.candidate_id))


def _unseen(
    judge: Judge, prompt: Prompt, chosen: Sequence[Candidate], other: Group | None
) -> list[Probe]:
    """Each candidate against nothing to see, and against the media of another prompt.

    The media of a question are taken from the prompt, all at once; any other from the candidates.
    """
    if asked_about := prompt.media_of("question"):
        return _unasked(judge, prompt, asked_about, chosen, other)
    strangers = [one for one in other.candidates if one.error is None] if other else []
    asked: list[tuple[ProbeKind, int, Candidate]] = []
    for at, candidate in enumerate(chosen):
        if candidate.media is None:
            continue
        name = f"{candidate.candidate_id} blank"
        grey = blank(candidate.media)
        unseen = replace(candidate, candidate_id=name, media=grey, measures=None)
        asked.append(("blank", at, unseen))
        if strangers:
            asked.append(("swapped", at, strangers[at % len(strangers)]))
    if not asked:
        return []
    scores = _scores(judge, prompt, [*chosen, *[one for _, _, one in asked]])
    return [
        Probe(
            prompt.prompt_id,
            chosen[at].candidate_id,
            kind,
            shift=scores[len(chosen) + row] - scores[at],
        )
        for row, (kind, at, _) in enumerate(asked)
    ]


def _unasked(
    judge: Judge,
    prompt: Prompt,
    media: Sequence[Media],
    chosen: Sequence[Candidate],
    other: Group | None,
) -> list[Probe]:
    """The same answers to the same question about nothing, and about the media of another."""
    shown: list[tuple[ProbeKind, list[Media]]] = [("blank", list(map(blank, media)))]
    strangers = other.prompt.media_of("question") if other else ()
    if strangers:
        shown.append(("swapped", [strangers[at % len(strangers)] for at in range(len(media))]))
    own = _scores(judge, prompt, chosen)
    return [
        Probe(prompt.prompt_id, candidate.candidate_id, kind, shift=after - before)
        for kind, instead in shown
        for candidate, before, after in zip(
            chosen, own, _scores(judge, prompt.showing(instead), chosen), strict=True
        )
    ]


def _twins(judge: Judge, prompt: Prompt, chosen: Sequence[Candidate], twins: Twins) -> list[Probe]:
    """The same media under the twin prompt."""
    twin = twins.twin_prompt(prompt)
    if twin is None or not chosen:
        return []
    other, side = twin
    own, under = (_scores(judge, one, chosen) for one in (prompt, other))
    return [
        Probe(
            prompt.prompt_id,
            candidate.candidate_id,
            "twin",
            twins.name,
            side,
            -side * (after - before),
        )
        for candidate, before, after in zip(chosen, own, under, strict=True)
    ]


def _scores(judge: Judge, prompt: Prompt, candidates: Sequence[Candidate]) -> list[float]:
    """Scores of one sitting; NaN where unreadable."""
    found = judge.sit(prompt, candidates).scores()
    return [one.value if is_scored(one) else math.nan for one in found]


def _both(first: int, second: int) -> tuple[Match, Match]:
    return (first, second), (second, first)


def _swap(text: str, swaps: Mapping[str, str]) -> tuple[str, int]:
    """The text with whole words swapped, a capital kept, and how many there were."""
    if not swaps:
        return text, 0
    lower = {word.lower(): twin for word, twin in swaps.items()}
    longest_first = sorted(lower, key=len, reverse=True)
    words = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def change(found: re.Match[str]) -> str:
        twin = lower[found[0].lower()]
        return twin[:1].upper() + twin[1:] if found[0][:1].isupper() else twin

    return words.subn(change, text)
