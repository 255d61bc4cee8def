"""Does the precision that an audit sample estimates cover the truth as often as it says?

    python -m tests.benchmarks.audit_sample [--prompts 1500] [--audits 200] [--size 300]

The truth is the sandbox oracle, which looks at every kept pair. Pictures are drawn scenes with
drawn-in faults; the judge is *simulated* (the oracle's quality through noise, of which its scores
and its duels share a part, so it is surer than it should be), and so are the auditors, who say of
each pair what the oracle says. Each audit draws its own sample with another seed.

coverage: share of audits whose 95 % interval holds the precision of all kept pairs.
coverage_low, coverage_high: its own 95 % interval (Wilson), since 200 audits are no more than that.
half_width: mean half width of the intervals; half_width_even: with equal probabilities.
coverage_slices: the same for the precision of each slice (by the number of things in the caption).
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator

import numpy as np

from factory.curation.curator import Curator
from factory.curation.pairing import Pairing
from factory.filters import objections_of
from factory.human_audit.estimate import weighted_share, wilson
from factory.human_audit.sampling import doubts, draw, inclusion
from factory.media.pictures import encode_png
from factory.ranking import Bracket, Noise, Scale
from factory.sandbox.drawing import CONTENT_DEFECTS, spoil_scene
from factory.sandbox.drawing import draw as draw_scene
from factory.sandbox.oracle import Measurement, measure, prefer
from factory.sandbox.world import caption, sample_scene
from schemas.recipe import Objections
from schemas.rows import Candidate, Duel, Group, Media, Pair, Prompt, Score, content_id

_NUM_CANDIDATES = 8
_SIDE = 32
_NOISE = 0.25  # of the simulated judge, on the oracle's scale of 0 to 1
_USUAL = Noise().on(Scale.of(1.0, 5.0))  # as a run plans before noise is fitted


def simulate_group(number: int) -> tuple[Group, dict[str, Measurement]]:
    """A prompt with drawn candidates, the oracle's measurements, and a simulated judge's scores."""
    rng = random.Random(number)
    stated = sample_scene(rng)
    text = caption(stated)
    prompt = Prompt.of(text, tags={"things": str(len(stated.things))})
    candidates, scores, seen = [], [], {}
    found = {}
    for index in range(_NUM_CANDIDATES):
        shown = stated
        for _ in range(rng.choice((0, 1, 1, 2))):
            shown = spoil_scene(shown, rng.choice(CONTENT_DEFECTS), rng)
        pixels = draw_scene(shown, random.Random(index), _SIDE)
        name = content_id(prompt.prompt_id, index)
        media = Media(encode_png(pixels), _SIDE, _SIDE)
        candidates.append(Candidate(name, "drawn@0", index, media))
        found[name] = measure(pixels, text)
        seen[name] = 1 + 4 * (found[name].quality + rng.gauss(0, _NOISE / 2))
        scores.append(Score(name, "simulated@0", seen[name] + rng.gauss(0, 2 * _NOISE), 0.5))
    duels: list[Duel] = []
    while matches := Bracket(2, _USUAL).plan(scores, duels):
        for i, j in matches:
            one, other = candidates[i].candidate_id, candidates[j].candidate_id
            logit = 2 * (seen[one] - seen[other]) + rng.gauss(0, 1)
            p = 1 / (1 + np.exp(-logit))
            duels.append(Duel(one, other, "simulated@0", 0.9 * p, 0.9 * (1 - p), 0.1))
    return Group(prompt, tuple(candidates), tuple(scores), tuple(duels)), found


def kept_pairs(num_prompts: int) -> Iterator[tuple[Pair, bool]]:
    """Kept pairs, and whether the oracle prefers the chosen side; a tie counts against."""
    curator = Curator(
        Bracket(2, _USUAL), objections_of(Objections(min_margin=0.3)), Pairing(max_pairs=3)
    )
    for number in range(num_prompts):
        group, found = simulate_group(number)
        for pair in curator(group):
            if pair.verdict == "kept":
                sides = found[pair.chosen.candidate_id], found[pair.rejected.candidate_id]
                yield pair, prefer(*sides) == "first"


def main() -> None:
    """Print the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="coverage of the audit sample's intervals")
    parser.add_argument("--prompts", type=int, default=1500)
    parser.add_argument("--audits", type=int, default=200)
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--even-share", type=float, default=0.5)
    given = parser.parse_args()
    population = list(kept_pairs(given.prompts))
    pairs = [pair for pair, _ in population]
    truth = np.array([is_right for _, is_right in population], dtype=np.float64)
    doubt = doubts(
        *(
            np.array([getattr(pair, name) for pair in pairs])
            for name in ("margin", "margin_sd", "p_chosen", "score_margin", "is_flipped")
        )
    )
    ids = np.array([int(pair.pair_id, 16) for pair in pairs], dtype=np.uint64)
    names = sorted({pair.prompt.tags["things"] for pair in pairs})
    slices = np.array([names.index(pair.prompt.tags["things"]) for pair in pairs])
    p = inclusion(doubt, slices, given.size, given.even_share)
    even = np.full(len(p), given.size / len(p))

    covered, widths, sizes, by_slice = [], [], [], []
    even_covered, even_widths = [], []
    for seed in range(given.audits):
        looked = draw(ids, slices, p, seed)
        sizes.append(len(looked))
        found = weighted_share(truth[looked], p[looked])
        covered.append(found.low <= truth.mean() <= found.high)
        widths.append((found.high - found.low) / 2)
        for code in range(len(names)):
            mine = looked[slices[looked] == code]
            one = weighted_share(truth[mine], p[mine])
            by_slice.append(one.low <= truth[slices == code].mean() <= one.high)
        looked = draw(ids, np.zeros_like(slices), even, seed)
        found = weighted_share(truth[looked], even[looked])
        even_covered.append(found.low <= truth.mean() <= found.high)
        even_widths.append((found.high - found.low) / 2)
    coverage = wilson(float(np.mean(covered)), len(covered))
    figures = {
        "kept_pairs": len(pairs),
        "oracle_precision": round(float(truth.mean()), 4),
        "audits": given.audits,
        "sample_size": int(np.mean(sizes)),
        "coverage": coverage.value,
        "coverage_low": round(coverage.low, 3),
        "coverage_high": round(coverage.high, 3),
        "coverage_slices": round(float(np.mean(by_slice)), 3),
        "half_width": round(float(np.mean(widths)), 4),
        "coverage_even": float(np.mean(even_covered)),
        "half_width_even": round(float(np.mean(even_widths)), 4),
        "doubt_of_wrong_pairs": round(float(doubt[truth == 0].mean()), 3),
        "doubt_of_right_pairs": round(float(doubt[truth == 1].mean()), 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
