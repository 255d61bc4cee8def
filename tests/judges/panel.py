"""What a panel's pair is worth against that of its better member alone.

    python -m tests.judges.panel

**Sandbox.** Two shipped judges of different bases: `weights/judge`, which was trained on
labels from `weights/base`, and `weights/base4`, which was pretrained apart from it and is
asked as it is. They judge pictures that are drawn with a generator's faults
(`factory.sandbox.imperfect`; no generator runs). The oracle's preferences on a third of the
prompts, called labels here, fit the panel and say which member is the better one; everything
is reported on the other prompts.

**Simulated.** Two members of known quality, noise and error correlation; not models.

margin: points of the oracle (1 to 5), or true standard deviations where simulated, of the
chosen side less those of the rejected one. precision: share of pairs whose chosen side is
truly better, its ties counting against. duels_right: share of all duels, both orders
together, whose side is the better one, where the truth is no tie. Pairs are those of the
bracket; differences are paired by prompt, and intervals clustered by it.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from actors.refs import JudgeRef
from factory.judging.panel import (
    Scale,
    TaskWeights,
    dissent,
    fit,
    fused_duel,
    fused_score,
)
from factory.media.pictures import encode_png
from factory.ranking import Bracket, Noise, Strategy
from factory.ranking.matchups import is_right, matchup
from factory.sandbox.drawing import CONTENT_DEFECTS, spoil_scene
from factory.sandbox.imperfect import imperfect
from factory.sandbox.oracle import ORACLE_TIE, measure_png
from factory.sandbox.world import Scene, caption, sample_scene
from factory.statistics.intervals import Array, Interval, bootstrap_of_sums, clustered_bootstrap
from schemas.rows import Candidate, Duel, Group, Media, Opinion, Preference, Prompt
from tests.factory.simulated import SimulatedJudge, candidates_of, constants, play

WEIGHTS = "factory/sandbox/weights"
MEMBERS = {"judge": f"{WEIGHTS}/judge", "base4": f"{WEIGHTS}/base4"}
FIT_EVERY = 3  # every third prompt fits the panel
PANEL = "panel@0"
#: Simulated members, in standard deviations of quality: METHOD's noise, of which the item's part is
#: what two members may share.
SCORE_SD, DUEL_SD, ITEM_SD = 0.8, 0.5, 0.6


@dataclass(frozen=True)
class Case:
    """One prompt: what each member says of its candidates, all duels played, and what is true."""

    groups: tuple[Group, ...]
    points: tuple[float, ...]
    tie: float

    def preference(self, first: int, second: int) -> Preference:
        """What people would say who see as the oracle does."""
        lead = self.points[first] - self.points[second]
        if abs(lead) < self.tie:
            return "tie"
        return "first" if lead > 0 else "second"


@dataclass(frozen=True)
class Result:
    """Of one prompt's pair, `dissent` the share of members against it; and of all its duels, both
    orders together, those that are right of those of which the truth is no tie.
    """

    margin: float
    is_right: float
    dissent: float
    num_right: int
    num_told: int


def sandbox_cases(num_prompts: int, num_candidates: int, seed: int = 0) -> list[Case]:
    """Both shipped judges on pictures with a generator's faults."""
    rng = random.Random(seed)
    judges = [JudgeRef(path, f"{name}@0").load() for name, path in MEMBERS.items()]
    cases = []
    for number in range(num_prompts):
        scene = sample_scene(rng)
        prompt = Prompt.of(caption(scene))
        pictures = [_picture(scene, rng) for _ in range(num_candidates)]
        candidates = tuple(
            Candidate(f"{number}-{index}", "drawn@0", index, Media(data, 32, 32))
            for index, data in enumerate(pictures)
        )
        matches = list(itertools.permutations(range(num_candidates), 2))
        groups = []
        for judge in judges:
            sitting = judge.sit(prompt, candidates)
            scores, duels = sitting.scores(), sitting.duels(matches)
            groups.append(Group(prompt, candidates, tuple(scores), tuple(duels)))
        points = tuple(1 + 4 * measure_png(data, prompt.text).quality for data in pictures)
        cases.append(Case(tuple(groups), points, 4 * ORACLE_TIE))
    return cases


def _picture(scene: Scene, rng: random.Random) -> bytes:
    """A picture with a generator's faults, of half of which something in it is wrong."""
    shown = spoil_scene(scene, rng.choice(CONTENT_DEFECTS), rng) if rng.random() < 0.5 else scene
    return encode_png(imperfect(shown, rng))


def simulated_cases(
    num_prompts: int, num_candidates: int, correlation: float, seed: int = 0
) -> list[Case]:
    """Two simulated members of equal noise, whose errors about a candidate are correlated."""
    rng = np.random.default_rng(seed)
    judges = [SimulatedJudge(rng, score_sd=SCORE_SD, duel_sd=DUEL_SD) for _ in range(2)]
    matches = list(itertools.permutations(range(num_candidates), 2))
    cases = []
    for number in range(num_prompts):
        quality = rng.standard_normal(num_candidates)
        shared = rng.standard_normal(num_candidates)
        prompt = Prompt.of(f"prompt {number}")
        candidates = candidates_of(prompt, num_candidates)
        ids = [one.candidate_id for one in candidates]
        groups = []
        for index, judge in enumerate(judges):
            own = rng.standard_normal(num_candidates)
            error = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own
            seen = quality + ITEM_SD * error
            name = f"simulated-{index}@0"
            groups.append(
                Group(
                    prompt,
                    candidates,
                    tuple(replace(one, judge=name) for one in judge.scores(ids, seen)),
                    tuple(replace(one, judge=name) for one in judge.duels(ids, seen, matches)),
                )
            )
        cases.append(Case(tuple(groups), tuple(quality.tolist()), 1e-9))
    return cases


def opinions(cases: Sequence[Case]) -> dict[str, list[Opinion]]:
    """What each member makes of every pair of candidates, beside what is true of it."""
    found: dict[str, list[Opinion]] = {}
    for case in cases:
        for group in case.groups:
            name = group.scores[0].judge.partition("@")[0]
            ids = [one.candidate_id for one in group.scores]
            told = {(one.first_id, one.second_id): one for one in group.duels}
            for i, j in itertools.combinations(range(len(ids)), 2):
                sides = [
                    replace(group.scores[at], candidate_id=str(n)) for n, at in ((0, i), (1, j))
                ]
                both = [
                    _named(told[ids[i], ids[j]], "0", "1"),
                    _named(told[ids[j], ids[i]], "1", "0"),
                ]
                found.setdefault(name, []).append(
                    Opinion(
                        *(f"{group.prompt.prompt_id} {i} {j}", group.prompt.prompt_id),
                        *("image_generation", {}, group.scores[0].judge, case.preference(i, j)),
                        *(None, tuple(sides), tuple(both)),
                    )
                )
    return found


def _named(duel: Duel, first: str, second: str) -> Duel:
    return replace(duel, first_id=first, second_id=second)


def fused(case: Case, weights: TaskWeights, scales: Sequence[Scale]) -> Group:
    """What the panel says."""
    scores = zip(*(one.scores for one in case.groups), strict=True)
    duels = zip(*(one.duels for one in case.groups), strict=True)
    return replace(
        case.groups[0],
        scores=tuple(fused_score(one, PANEL, weights, scales, scales[0]) for one in scores),
        duels=tuple(fused_duel(one, PANEL, weights) for one in duels),
        member_scores=tuple(one for group in case.groups for one in group.scores),
        member_duels=tuple(one for group in case.groups for one in group.duels),
    )


def result(strategy: Strategy, group: Group, case: Case) -> Result:
    """The bracket's pair, its duels looked up among all that were played."""
    ids = [one.candidate_id for one in group.scores]
    told = {(one.first_id, one.second_id): one for one in group.duels}
    duels, _ = play(
        strategy, group.scores, lambda matches: [told[ids[i], ids[j]] for i, j in matches]
    )
    order = strategy.order(group.scores, duels)
    best, worst = order.ranking[0], order.ranking[-1]
    lead = case.points[best] - case.points[worst]
    against = dissent(group, ids[best], ids[worst])
    right = []
    for i, j in itertools.combinations(range(len(ids)), 2):
        met = matchup([told[ids[i], ids[j]], told[ids[j], ids[i]]], ids[i], ids[j])
        if case.preference(i, j) != "tie" and met is not None:
            right.append(is_right(met, case.preference(i, j)))
    return Result(
        lead,
        float(lead >= case.tie),
        0.0 if against is None else against,
        sum(right),
        len(right),
    )


def noise_of(cases: Sequence[Case], index: int) -> Noise:
    """By what the bracket reckons, from one judge's scores and duels: the log-odds of a point, by
    least squares, and half of the spread of scores as noise. The same rule for all, so that nobody
    is ranked with care and another without.
    """
    leads, logits, values = [], [], []
    for case in cases:
        group = case.groups[index]
        value = {one.candidate_id: one.value for one in group.scores}
        values += [np.std(list(value.values()))]
        for one in group.duels:
            leads.append(value[one.first_id] - value[one.second_id])
            odds = np.log((one.p_first + one.p_tie / 2) / (one.p_second + one.p_tie / 2))
            logits.append(float(np.clip(odds, -6, 6)))
    per_point = max(float(np.dot(leads, logits) / max(np.dot(leads, leads), 1e-9)), 0.1)
    sd = max(float(np.mean(values)) / 2, 1e-3)
    return constants(sd, sd, per_point)


def compare(cases: Sequence[Case], scales: Sequence[Scale]) -> dict[str, object]:
    """Each member alone, and the panel with equal and with fitted weights."""
    fitting = [case for at, case in enumerate(cases) if at % FIT_EVERY == 0]
    held = [case for at, case in enumerate(cases) if at % FIT_EVERY]
    weights = fit(opinions(fitting))
    told = weights.task("image_generation")
    names = list(weights.members)
    runs = {name: [one.groups[at] for one in held] for at, name in enumerate(names)}
    noises = {name: noise_of(fitting, at) for at, name in enumerate(names)}
    for name, how in (("panel, alike", TaskWeights.alike(len(names))), ("panel, fitted", told)):
        runs[name] = [fused(one, how, scales) for one in held]
        panel = [replace(one, groups=(fused(one, how, scales),)) for one in fitting]
        noises[name] = noise_of(panel, 0)
    results = {
        name: [
            result(Bracket(2, noises[name]), group, case)
            for group, case in zip(groups, held, strict=True)
        ]
        for name, groups in runs.items()
    }
    on_fit = {
        name: np.mean(
            [result(Bracket(2, noises[name]), case.groups[at], case).margin for case in fitting]
        )
        for at, name in enumerate(names)
    }
    better = max(on_fit, key=on_fit.__getitem__)
    return {
        "prompts": len(held),
        "labelled_pairs": told.num_pairs,
        "weights": dict(zip(names, _rounded(told.shares), strict=True)),
        "error_correlation": _rounded(told.correlation[0])[1] if told.correlation else None,
        "better_member": better,
        "judges": {name: _measured(found) for name, found in results.items()},
        "against_the_better": {
            name: _differences(results[name], results[better])
            for name in ("panel, alike", "panel, fitted")
        },
        "panel, fitted, against": {
            name: _differences(results["panel, fitted"], results[name]) for name in names
        },
        "pairs_on_which_they_agree": _agreed(results["panel, fitted"]),
        "duels_right_of_the_panel": _by_agreement(held, runs["panel, fitted"]),
    }


def _measured(found: Sequence[Result]) -> dict[str, list[float]]:
    rows = [str(number) for number in range(len(found))]
    return {
        name: _shown(clustered_bootstrap([getattr(one, field) for one in found], rows))
        for name, field in (("margin", "margin"), ("precision", "is_right"))
    } | {"duels_right": _shown(bootstrap_of_sums(_counts(found), rows, _share))}


def _differences(one: Sequence[Result], other: Sequence[Result]) -> dict[str, list[float]]:
    rows = [str(number) for number in range(len(one))]
    pairs = list(zip(one, other, strict=True))
    margins = [a.margin - b.margin for a, b in pairs]
    ratio = np.array([[a.margin, b.margin] for a, b in pairs])

    def gain(sums: Array) -> Array:
        return sums[:, 0] / sums[:, 1] - 1.0

    return {
        "margin": _shown(clustered_bootstrap(margins, rows)),
        "margin_gained_share": _shown(bootstrap_of_sums(ratio, rows, gain)),
        "precision": _shown(clustered_bootstrap([a.is_right - b.is_right for a, b in pairs], rows)),
        "duels_right": _shown(
            bootstrap_of_sums(np.hstack([_counts(one), _counts(other)]), rows, _share_gained)
        ),
    }


def _counts(found: Sequence[Result]) -> Array:
    return np.array([[one.num_right, one.num_told] for one in found], dtype=np.float64)


def _share(sums: Array) -> Array:
    return sums[:, 0] / sums[:, 1]


def _share_gained(sums: Array) -> Array:
    return sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3]


def _agreed(found: Sequence[Result]) -> float:
    """The share of pairs on whose two sides no member differs."""
    return round(sum(one.dissent == 0 for one in found) / len(found), 4)


def _by_agreement(cases: Sequence[Case], groups: Sequence[Group]) -> dict[str, object]:
    """How often the panel's duels are right, where its members agree and where they do not."""
    rows: dict[str, tuple[list[float], list[str]]] = {"agree": ([], []), "differ": ([], [])}
    for number, (case, group) in enumerate(zip(cases, groups, strict=True)):
        ids = [one.candidate_id for one in group.scores]
        for i, j in itertools.combinations(range(len(ids)), 2):
            met, said = matchup(group.duels, ids[i], ids[j]), case.preference(i, j)
            if said == "tie" or met is None:
                continue
            values, prompts = rows["differ" if dissent(group, ids[i], ids[j]) == 0.5 else "agree"]
            values.append(float(is_right(met, said)))
            prompts.append(str(number))
    return {
        name: {"num": len(values), "right": _shown(clustered_bootstrap(values, prompts))}
        for name, (values, prompts) in rows.items()
    }


def _shown(found: Interval) -> list[float]:
    return [round(one, 4) for one in (found.value, found.low, found.high)]


def _rounded(values: Sequence[float] | Array) -> list[float]:
    return [round(float(one), 3) for one in values]


def figures(
    num_prompts: int = 240, num_candidates: int = 6, num_simulated: int = 1500
) -> dict[str, object]:
    """All of it, as plain JSON values: estimates are [value, low, high] at 95 %."""
    on_five = [Scale(1.0, 5.0)] * 2
    found: dict[str, object] = {
        "sandbox": compare(sandbox_cases(num_prompts, num_candidates), on_five)
    }
    for correlation in (0.0, 0.5):
        # Simulated scores lie on no scale: they are brought to one by what labels tell of them.
        cases = simulated_cases(num_simulated, 10, correlation)
        found[f"simulated, errors correlated {correlation:g}"] = compare(cases, [Scale(-3, 3)] * 2)
    return found


if __name__ == "__main__":
    print(json.dumps(figures(), indent=2))
