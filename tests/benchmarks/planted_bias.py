"""The bias audit and its correction on judges whose biases are known, because they were planted.

    python -m tests.benchmarks.planted_bias [--runs 40] [--prompts 320] [--probed 96] [--done FILE]

Of what is truly so of pictures, and of judges that were fitted to labels; what a correction does to
kept pairs, of words across pictures, motion and length too, is `tests.truth.bias`.

Pictures of the sandbox are drawn, edited and measured once; every run draws its prompts from that
pool and has a judge of its own, with noise of its own. All judges here are simulated, in two ways:

injected: the sandbox oracle with noise and with a bias added to its scores and duels
    (`factory.sandbox.planted_judge`). Audited with labels of unbiased simulated annotators.
inherited: the bias is planted in simulated annotators, and the judge is a logistic regression that
    is fitted to their labels, on what the oracle measures and on the attributes of the pictures. It
    is no vision-language model: one of those for each run would take days. Audited with held-out
    labels of the same biased annotators, which is the harder case: beyond them the judge has no
    excess.

A size is what the bias adds for one standard deviation of the attribute within a prompt (or for the
first slot, for the word), in standard deviations of true quality within a prompt: 0.2, 0.5
and 0.8 (Cohen's small, medium and large).

found: share of runs in which the planted bias is flagged, with its sign.
accused: share of clean judges, or of judges of clean annotators, of which anything is flagged.
false alarms: share of those accused of something that is not so. A judge of clean annotators leans
    by what it learnt wrongly from its few labels, and its weights are known: what it gives for one
    standard deviation of an attribute beyond what the truth gives, over every edit of every picture
    of the pool, is its true lean. An accusation is right where that is beyond the margin of the
    audit. For injected clean judges no accusation is right.
removed: share of the judge's slope beyond the truth, on candidates of prompts that were not
    audited, that the correction takes away; of position, of the lean to the first slot of single
    verdicts that averaging both orders takes away.
accuracy cost: before minus after the correction, on pairs of those prompts whose sides differ by
    less than a quarter of a standard deviation in the planted attribute (of clean judges: all).

Both ways with 40 judges of each kind and size are 1280 runs of about half a second of one core,
once the pool is measured. With `--done` every finished run is a line of a file, and the same
command goes on where it was stopped; lines of other prompts or probes are passed over. The figures
of the whole stand in one JSON line at the end.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from factory.bias.correction import Correction
from factory.bias.edits import EDITS, Edit, edit_candidate, edit_pixels
from factory.bias.estimate import attribute_sds, bias_profile
from factory.bias.figure import Relevance
from factory.bias.observation import (
    Attributes,
    LabelObservation,
    Observation,
    measure_candidate,
    measure_media,
    observe,
)
from factory.bias.power import SIZES
from factory.bias.probes import Probe, Prober, Twins, sample_prompts, shown
from factory.bias.profile import BiasProfile
from factory.media.pictures import ATTRIBUTES, encode_png
from factory.protocols import Judge
from factory.ranking.matchups import log_odds, matchup
from factory.sandbox.annotators import USUAL, Annotator, see_picture
from factory.sandbox.drawing import CONTENT_DEFECTS, draw, spoil_scene
from factory.sandbox.oracle import Measurement, measure_png
from factory.sandbox.oracle_judge import NAME as ORACLE
from factory.sandbox.planted_judge import PlantedJudge
from factory.sandbox.world import caption, sample_scene
from schemas.rows import Candidate, Duel, Group, Media, Prompt, Score, seed_of

INJECTED = ("position", *ATTRIBUTES, "word")
INHERITED = ATTRIBUTES
WAYS = {"injected": INJECTED, "inherited": INHERITED}
CLEAN = "none"
PROBED = (*ATTRIBUTES, "overlay text")
NUM_CANDIDATES = 4
NUM_LABELS = 150  # pairwise, held out
NUM_TRAINED = 600  # pairwise, that an inheriting judge is fitted to
WORDS = Twins("red and blue", {"red": "blue"})
ALIKE = 0.25  # standard deviations
Noise = np.random.Generator


# ------------------------------------------------------------------------ what is shared by runs


@cache
def measured(data: bytes, text: str) -> Measurement:
    return measure_png(data, text)


@cache
def quality_of(data: bytes, text: str) -> float:
    return measured(data, text).quality


seen_by_people = cache(see_picture)


@cache
def look_at(data: bytes) -> Attributes:
    return measure_media(Media(data, 0, 0))


def look_at_candidate(candidate: Candidate) -> Attributes:
    return look_at(candidate.media.data) if candidate.media else measure_candidate(candidate)


@cache
def edited(candidate: Candidate, edit: Edit, dose: float) -> Candidate | None:
    return edit_candidate(candidate, edit, dose)


class CachedOracle:
    """The sandbox oracle's scores; each picture is measured once for all runs."""

    name = ORACLE

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> CachedSitting:
        return CachedSitting(prompt, candidates)


@dataclass(frozen=True)
class CachedSitting:
    prompt: Prompt
    candidates: Sequence[Candidate]

    def scores(self) -> list[Score]:
        return [
            Score(one.candidate_id, ORACLE, 1 + 4 * quality(one, self.prompt), 0.0)
            for one in self.candidates
        ]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        raise NotImplementedError("a planted judge makes duels of its own scores")


def quality(candidate: Candidate, prompt: Prompt) -> float:
    assert candidate.media is not None
    return quality_of(candidate.media.data, prompt.text)


def draw_pool(num: int, seed: int = 0) -> list[Group]:
    """Prompts with candidates that err in content by chance, and wander in tone by chance."""
    groups: list[Group] = []
    rng = random.Random(seed)
    while len(groups) < num:
        scene = sample_scene(rng)
        prompt = Prompt.of(caption(scene))
        candidates = []
        for index in range(NUM_CANDIDATES):
            shown = scene
            for _ in range(rng.choice((0, 1, 1, 2))):
                shown = spoil_scene(shown, rng.choice(CONTENT_DEFECTS), rng)
            pixels = draw(shown, rng)
            for name in ATTRIBUTES:
                pixels = edit_pixels(pixels, name, rng.uniform(-1, 1))
            side = pixels.shape[0]
            media = Media(encode_png(pixels), side, side)
            candidates.append(Candidate(f"{prompt.prompt_id} {index}", "drawn@0", index, media))
        groups.append(Group(prompt, tuple(candidates)))
    return groups


# ---------------------------------------------------------------------------------------- judges


@dataclass(frozen=True)
class Scale:
    """The units of planted biases: standard deviations within a prompt, over the pool.

    sds: of each attribute.
    points: of true quality, on the judge's scale.
    """

    sds: Mapping[str, float]
    points: float

    @classmethod
    def of(cls, pool: Sequence[Group]) -> Scale:
        seen = [observe(group, look_at_candidate) for group in pool]
        spread = [
            np.var([4 * quality(one, group.prompt) for one in group.candidates], ddof=1)
            for group in pool
        ]
        return cls(attribute_sds(seen, (), ATTRIBUTES), float(np.sqrt(np.mean(spread))))


@dataclass(frozen=True)
class World:
    """What all runs share.

    pool: every prompt with its candidates.
    scale: the units of planted biases.
    strangers: another group for each prompt.
    features: least-squares response of what the `LinearJudge` sees to one standard deviation of
        each attribute, over the edits of the whole pool [attributes, features].
    truth: the same of true quality, in points [attributes].
    """

    pool: Sequence[Group]
    scale: Scale
    strangers: Mapping[str, Group]
    features: np.ndarray
    truth: np.ndarray

    @classmethod
    def of(cls, pool: Sequence[Group]) -> World:
        scale = Scale.of(pool)
        strangers = {one.prompt.prompt_id: pool[at - 1] for at, one in enumerate(pool)}
        doses = [(name, dose) for name in PROBED for dose in EDITS[name].doses]
        x, y = [], []
        for group in pool:
            for candidate in shown(group)[: Prober().num_candidates]:
                before, was = features_of(candidate, group.prompt), look_at_candidate(candidate)
                for name, dose in doses:
                    changed = edited(candidate, EDITS[name], dose)
                    assert changed is not None
                    look = look_at_candidate(changed)
                    x.append(
                        [(look[one] - was[one]) / scale.sds[one] for one in ATTRIBUTES]
                        + [abs(dose) * (name == other) for other in PROBED]
                    )
                    better = 4 * (quality(changed, group.prompt) - quality(candidate, group.prompt))
                    y.append([*(features_of(changed, group.prompt) - before), better])
        slopes = np.linalg.lstsq(np.array(x), np.array(y))[0][: len(ATTRIBUTES)]
        return cls(pool, scale, strangers, slopes[:, :-1], slopes[:, -1])

    def leans(self, judge: Judge) -> dict[str, float]:
        """Points that a judge of clean annotators gives for one standard deviation of each
        attribute beyond what the truth gives; of any other judge nothing is known.
        """
        if not isinstance(judge, LinearJudge):
            return {}
        found = self.features @ np.array(judge.weights) / judge.logits_per_point - self.truth
        return dict(zip(ATTRIBUTES, found.tolist(), strict=True))


def origin(candidate: Candidate) -> str:
    """The candidate that this one is an edit of: its id with the name of the edit after it."""
    return " ".join(candidate.candidate_id.split(" ")[:2])


def injected_judge(kind: str, size: float, scale: Scale, seed: int) -> PlantedJudge:
    points = size * scale.points
    clean = PlantedJudge(
        CachedOracle(), seed=seed, measure=lambda media: look_at(media.data), origin=origin
    )
    if kind == "position":
        return replace(clean, position=points)
    if kind == "word":
        return replace(clean, words={"blue": points})
    if kind in scale.sds:
        return replace(clean, likings={kind: points / scale.sds[kind]})
    return clean


def annotator(kind: str, size: float, scale: Scale, seed: int) -> Annotator:
    """A simulated annotator with a planted liking, in units of its own."""
    weight = size * scale.points / 4
    biases = {kind: weight * USUAL[kind][1] / scale.sds[kind]} if kind in scale.sds else {}
    return Annotator("planted", biases=biases, seed=seed)


@dataclass(frozen=True)
class LinearJudge:
    """A judge that was fitted to labels: quality is linear in what the oracle measures and in the
    attributes. Simulated, since it borrows the oracle's eyes.

    weights: log-odds of a duel for one unit of each feature.
    logits_per_point: log-odds for one point, so that its scores are on the 1-5 scale.
    """

    weights: tuple[float, ...]
    logits_per_point: float
    name: str = "simulated:linear@0"

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> LinearSitting:
        features = np.array([features_of(one, prompt) for one in candidates])
        return LinearSitting(self, candidates, features @ np.array(self.weights))


@dataclass(frozen=True)
class LinearSitting:
    """Scores in points, and duels as sure of themselves as those of a `PlantedJudge`."""

    judge: LinearJudge
    candidates: Sequence[Candidate]
    logits: np.ndarray

    def scores(self) -> list[Score]:
        points = 1 + self.logits / self.judge.logits_per_point
        return [
            Score(one.candidate_id, self.judge.name, float(value), 0.0)
            for one, value in zip(self.candidates, points, strict=True)
        ]

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        found = []
        for i, j in matches:
            lead = (self.logits[i] - self.logits[j]) / self.judge.logits_per_point
            p = float(expit(PlantedJudge.logits_per_point * lead))
            ids = self.candidates[i].candidate_id, self.candidates[j].candidate_id
            found.append(Duel(*ids, self.judge.name, 0.9 * p, 0.9 * (1 - p), 0.1))
        return found


def features_of(candidate: Candidate, prompt: Prompt) -> np.ndarray:
    """What the judge sees: alignment, cleanliness, and the attributes in the annotators' units."""
    assert candidate.media is not None
    return _features(candidate.media.data, prompt.text)


@cache
def _features(data: bytes, text: str) -> np.ndarray:
    found, look = measured(data, text), look_at(data)
    return np.array(
        [found.alignment, found.clean, *(look[name] / USUAL[name][1] for name in ATTRIBUTES)]
    )


def fitted_judge(labels: Sequence[tuple[Group, int, int, str]]) -> LinearJudge:
    """A logistic regression on pairs; a tie is half a win of each."""
    x = np.array(
        [
            np.subtract(*(features_of(group.candidates[at], group.prompt) for at in (i, j)))
            for group, i, j, _ in labels
        ]
    )
    y = np.array([{"first": 1.0, "second": 0.0, "tie": 0.5}[told] for *_, told in labels])

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = x @ w
        value = float((np.logaddexp(0, z) - y * z).sum() + 0.005 * w @ w)
        return value, x.T @ (expit(z) - y) + 0.01 * w

    weights = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    # One point is a quarter of the way from the worst alignment to the best, as for the oracle.
    return LinearJudge(tuple(weights.tolist()), float(weights[0]) / (4 * 0.9))


# ---------------------------------------------------------------------------------------- a run


@dataclass(frozen=True)
class Run:
    """What one judge's audit and correction came to."""

    flagged: tuple[tuple[str, str, str, float], ...]  # kind, name, measure, value
    leans: Mapping[str, float]  # true ones, of a judge of clean annotators
    before: float
    after: float
    accuracy_before: float
    accuracy_after: float
    cpu_s: float = 0.0


def judged(judge: Judge, group: Group) -> Group:
    """The group with scores, and with duels of neighbours in both orders."""
    sitting = judge.sit(group.prompt, group.candidates)
    matches = [
        match for i in range(0, len(group.candidates), 2) for match in ((i, i + 1), (i + 1, i))
    ]
    return replace(group, scores=tuple(sitting.scores()), duels=tuple(sitting.duels(matches)))


def labelled(
    groups: Sequence[Group], person: Annotator, num: int, rng: Noise, purpose: str
) -> list[tuple[Group, int, int, str]]:
    """Pairs of the groups' candidates with the annotator's preference."""
    found = []
    for at in rng.integers(0, len(groups), num):
        group = groups[at]
        i, j = (int(one) for one in rng.choice(len(group.candidates), 2, replace=False))
        first, second = group.candidates[i].media, group.candidates[j].media
        assert first is not None
        assert second is not None
        sides = (seen_by_people(one.data, group.prompt.text) for one in (first, second))
        told, _ = person.prefer(*sides, f"{purpose} {len(found)}")
        found.append((group, i, j, told))
    return found


def audit(
    judge: Judge,
    groups: Sequence[Group],
    labels: Sequence[tuple[Group, int, int, str]],
    strangers: Mapping[str, Group],
    num: int,
) -> BiasProfile:
    """As `jobs.audit` does it: groups, labels and probes to a profile.

    Whose media is shown in place of a group's own is the same in every run: one measurement less.
    """
    prober = Prober(PROBED, twins=(WORDS,), edit=edited, measure=look_at_candidate)
    prompts = [(one.prompt.prompt_id, one.prompt.text) for one in groups]
    sample = sample_prompts(prompts, num, ())
    worded = sample_prompts(prompts, 2 * len(prompts), (WORDS,)).words
    probes: list[Probe] = []
    for group in groups:
        if group.prompt.prompt_id in sample.media:
            probes += prober.media(judge, group, strangers[group.prompt.prompt_id])
        if group.prompt.prompt_id in worded:
            probes += prober.words(judge, group)
    seen = [observe(judged(judge, group), look_at_candidate) for group in groups]
    told = []
    for group, i, j, preference in labels:
        sides = (group.candidates[i], group.candidates[j])
        duels = judge.sit(group.prompt, sides).duels([(0, 1), (1, 0)])
        met = matchup(duels, *(one.candidate_id for one in sides))
        looks = [look_at_candidate(one) for one in sides]
        told.append(LabelObservation(group.prompt.prompt_id, preference, met, *looks))
    return bias_profile(seen, told, (), probes, num_resamples=2)


def slope_beyond_truth(seen: Sequence[Observation], truth: Mapping[str, float], name: str) -> float:
    """Points that the judge gives for one unit of an attribute beyond the oracle, in a prompt."""
    above = below = 0.0
    for one in seen:
        for i, j in itertools.combinations(one.scores, 2):
            x = one.attributes[i][name] - one.attributes[j][name]
            y = (one.scores[i] - truth[i]) - (one.scores[j] - truth[j])
            above, below = above + x * y, below + x * x
    return above / below


def lean_to_first(judge: PlantedJudge, groups: Sequence[Group]) -> tuple[float, float]:
    """Log-odds beyond those of the same judge without its position bias: what the side shown first
    gains in a single duel, and how far a matchup of both orders is off.
    """
    single, both = [], []
    for group in groups:
        biased, fair = (
            one.sit(group.prompt, group.candidates) for one in (judge, replace(judge, position=0.0))
        )
        for match in itertools.combinations(range(len(group.candidates)), 2):
            ids = [group.candidates[at].candidate_id for at in match]
            told, meant = (one.duels([match, match[::-1]]) for one in (biased, fair))
            single += [log_odds(a) - log_odds(b) for a, b in zip(told, meant, strict=True)]
            met, due = matchup(told, *ids), matchup(meant, *ids)
            assert met is not None
            assert due is not None
            both.append(abs(met.logit - due.logit))
    return float(np.mean(single)), float(np.mean(both))


def accuracy(
    seen: Sequence[Observation], truth: Mapping[str, float], name: str | None, sds: Attributes
) -> float:
    """Share of pairs that the scores order as the oracle does, of those that it tells apart."""
    hits = []
    for one in seen:
        for i, j in itertools.combinations(one.scores, 2):
            lead = truth[i] - truth[j]
            gap = one.attributes[i][name] - one.attributes[j][name] if name else 0.0
            if abs(lead) > 4 * 0.04 and (name is None or abs(gap) < ALIKE * sds[name]):
                hits.append((one.scores[i] > one.scores[j]) == (lead > 0))
    return float(np.mean(hits))


def run(way: str, kind: str, size: float, world: World, probed: int, number: int) -> Run:
    pool, scale = world.pool, world.scale
    began = time.process_time()
    rng = np.random.default_rng(seed_of("run", way, kind, size, number))
    order = rng.permutation(len(pool))
    # A half is audited; a quarter is what the judge is fitted to; the last quarter is held out.
    audited, trained_on, heldout_groups = (
        [pool[at] for at in part] for part in np.split(order, [len(pool) // 2, 3 * len(pool) // 4])
    )
    seed = int(rng.integers(2**31))
    judge: Judge
    if way == "injected":
        person = Annotator("clean", seed=seed)
        judge = injected_judge(kind, size, scale, seed)
    else:
        person = annotator(kind, size, scale, seed)
        judge = fitted_judge(labelled(trained_on, person, NUM_TRAINED, rng, "training"))
    told = labelled(audited, person, NUM_LABELS, rng, "audit")
    profile = audit(judge, audited, told, world.strangers, probed)
    flagged = tuple(
        (one.kind, one.name, one.measure, one.estimate.value) for one in profile.flagged()
    )
    correct = Correction.of(profile)
    scored = [
        replace(group, scores=tuple(judge.sit(group.prompt, group.candidates).scores()))
        for group in heldout_groups
    ]
    heldout = [observe(one, look_at_candidate) for one in scored]
    corrected = [observe(correct(one, look_at_candidate), look_at_candidate) for one in scored]
    truth = {
        one.candidate_id: 1 + 4 * quality(one, group.prompt)
        for group in heldout_groups
        for one in group.candidates
    }
    name = kind if kind in scale.sds else None
    if isinstance(judge, PlantedJudge) and kind == "position":
        before, after = lean_to_first(judge, heldout_groups)
    else:
        before, after = (
            slope_beyond_truth(one, truth, name) if name else np.nan for one in (heldout, corrected)
        )
    before_after = (accuracy(one, truth, name, scale.sds) for one in (heldout, corrected))
    seconds = time.process_time() - began
    return Run(flagged, world.leans(judge), before, after, *before_after, seconds)


def is_found(kind: str, run: Run) -> bool:
    """Whether the planted bias is flagged, with the sign that it was planted with."""
    name = {"position": "first slot", "word": WORDS.name}.get(kind, kind)
    return any(one == name and value > 0 for _, one, _, value in run.flagged)


def is_false_alarm(run: Run) -> bool:
    """Whether a judge without a planted bias is accused of anything that is not so."""
    margin = Relevance().points
    return any(
        name not in run.leans or not run.leans[name] * math.copysign(1, value) > margin
        for _, name, _, value in run.flagged
    )


@dataclass(frozen=True)
class Cell:
    """All runs of one way, kind and size."""

    way: str
    kind: str
    size: str
    runs: tuple[Run, ...]

    @property
    def found(self) -> float:
        return float(np.mean([is_found(self.kind, one) for one in self.runs]))

    @property
    def accused(self) -> float:
        """Share of judges of which anything is flagged."""
        return float(np.mean([bool(one.flagged) for one in self.runs]))

    @property
    def false_alarms(self) -> float:
        """Share of judges accused of what is not so."""
        return float(np.mean([is_false_alarm(one) for one in self.runs]))

    @property
    def leaning(self) -> float:
        """Share of judges with a true lean beyond the margin."""
        margin = Relevance().points
        return float(
            np.mean([any(abs(x) > margin for x in one.leans.values()) for one in self.runs])
        )

    @property
    def removed(self) -> float:
        """Share of the excess that the correction removes; what is left counts without its sign."""
        before = np.mean([abs(one.before) for one in self.runs])
        return float(1 - np.mean([abs(one.after) for one in self.runs]) / before)

    @property
    def cost(self) -> float:
        """Points of accuracy (per cent) that the correction costs."""
        lost = [one.accuracy_before - one.accuracy_after for one in self.runs]
        return 100 * float(np.mean(lost))


class Done:
    """Finished runs by what they were of, in a file of one JSON line each.

    Args:
        path: of the file; None for nowhere.
        settings: what else a run depends on; lines of others are passed over.
    """

    def __init__(self, path: Path | None, settings: Sequence[int]) -> None:
        self.path = path
        self.settings = list(settings)
        self.runs: dict[tuple[object, ...], Run] = {}
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        for line in lines:
            try:
                found = json.loads(line)
            except ValueError:  # the last line of a run that was killed
                continue
            if found["settings"] == self.settings:
                flagged = tuple(tuple(one) for one in found["run"]["flagged"])
                self.runs[tuple(found["of"])] = Run(**{**found["run"], "flagged": flagged})

    def add(self, of: tuple[object, ...], one: Run) -> None:
        self.runs[of] = one
        if self.path is not None:
            with self.path.open("a") as file:
                line = {"settings": self.settings, "of": of, "run": asdict(one)}
                file.write("\n" + json.dumps(line))  # after a torn line, too


_shared: list[World] = []  # of a worker process


def _run(way: str, kind: str, size: float, probed: int, number: int) -> Run:
    return run(way, kind, size, _shared[0], probed, number)


def _cell(
    workers: ProcessPoolExecutor | None,
    done: Done,
    way: str,
    kind: str,
    size: str,
    num: int,
    probed: int,
) -> Cell:
    """Make the runs of a cell that are not done, and print its line."""
    every = [(way, kind, size, number) for number in range(num)]
    left = [number for *_, number in every if (way, kind, size, number) not in done.runs]
    one = partial(_run, way, kind, SIZES.get(size, 0.0), probed)
    for number, found in zip(left, (workers.map if workers else map)(one, left), strict=True):
        done.add((way, kind, size, number), found)
    cell = Cell(way, kind, size, tuple(done.runs[of] for of in every))
    if kind == CLEAN:
        print(
            f"{way:9} clean judges accused {cell.accused:5.1%}, falsely {cell.false_alarms:5.1%}; "
            f"truly leaning {cell.leaning:5.1%}",
            flush=True,
        )
        for one in cell.runs:
            for accusation in one.flagged:
                lean = one.leans.get(accusation[1])
                truly = "" if lean is None else f", true lean {lean:+.3f} points per sd"
                print(f"    {' '.join(map(str, accusation[:3]))} {accusation[3]:+.3f}{truly}")
    else:
        print(
            f"{way:9} {kind:12} {size:6} found {cell.found:6.1%}  removed {cell.removed:6.1%}  "
            f"accuracy cost {cell.cost:+.2f} points",
            flush=True,
        )
    return cell


def figures_of(way: str, cells: Sequence[Cell]) -> dict[str, float]:
    """What is asked of one way, over its medium and large biases where nothing else is said."""
    (clean,) = (one for one in cells if one.way == way and one.kind == CLEAN)
    small = [one for one in cells if one.way == way and one.size == "small"]
    plain = [one for one in cells if one.way == way and one.size in ("medium", "large")]
    taken = [one for one in plain if np.isfinite(one.removed)]
    figures = {
        "found_least": min(one.found for one in plain),
        "found_mean": float(np.mean([one.found for one in plain])),
        "found_small_mean": float(np.mean([one.found for one in small])),
        "accused": clean.accused,
        "false_alarms": clean.false_alarms,
        "truly_leaning": clean.leaning,
        "removed_least": min(one.removed for one in taken),
        "removed_mean": float(np.mean([one.removed for one in taken])),
        "accuracy_cost_most": max(one.cost for one in plain),
        "accuracy_cost_mean": float(np.mean([one.cost for one in plain])),
        "accuracy_cost_clean": clean.cost,
    }
    for kind in dict.fromkeys(one.kind for one in taken):
        removed = [one.removed for one in taken if one.kind == kind]
        figures[f"removed_least_{kind}"] = min(removed)
        figures[f"removed_mean_{kind}"] = float(np.mean(removed))
    return figures


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="audit judges with planted biases")
    parser.add_argument("--runs", type=int, default=40, help="judges of each kind and size")
    parser.add_argument("--clean", type=int, default=40, help="clean judges of each way")
    parser.add_argument("--prompts", type=int, default=320, help="in the pool")
    parser.add_argument("--probed", type=int, default=96, help="prompts that an audit probes")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--done", type=Path, help="file of finished runs, to go on with")
    given = parser.parse_args()
    done = Done(given.done, (given.prompts, given.probed))
    began = time.process_time()
    world = World.of(draw_pool(given.prompts))
    print(f"simulated judges on {given.prompts} prompts x {NUM_CANDIDATES} drawn pictures")
    print(f"one sd of true quality within a prompt: {world.scale.points:.2f} points")
    truth = dict(zip(ATTRIBUTES, world.truth.round(3).tolist(), strict=True))
    print(f"true quality itself answers to the edits, in points per sd: {truth}", flush=True)
    _shared.append(world)
    drawing = (time.process_time() - began) / 60
    with ExitStack() as stack:
        workers = None
        if given.jobs > 1:  # each goes on with a copy of what is measured so far
            workers = stack.enter_context(ProcessPoolExecutor(given.jobs, get_context("fork")))
        cells = [
            _cell(workers, done, way, kind, size, given.runs if size else given.clean, given.probed)
            for way in given.ways
            for kind, size in [(CLEAN, ""), *itertools.product(WAYS[way], SIZES)]
        ]
    figures: dict[str, float] = {}
    for way in given.ways:
        figures |= {f"{way}_{name}": value for name, value in figures_of(way, cells).items()}
    figures["runs_each"], figures["clean_runs_each"] = given.runs, given.clean
    figures["cpu_minutes"] = drawing + sum(one.cpu_s / 60 for cell in cells for one in cell.runs)
    print(json.dumps({name: round(value, 4) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
