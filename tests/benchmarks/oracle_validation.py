"""The oracle against drawn scenes whose defects are known.

    python -m tests.benchmarks.oracle_validation [--num 1000]

For each defect, at 32 and 64 px, `num` scenes are drawn twice from the same seed: clean, and with
the defect. Content defects are drawn into the scene and the oracle is asked which elements of the
caption are wrong; pixel defects are laid over the picture, from faint (dose 0.4) to plain (1.0).

exact: share of pictures of which the oracle finds wrong exactly what is wrong, and nothing else.
below: share of pictures with a lower quality than their clean twin.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from dataclasses import dataclass

from factory.sandbox.drawing import CONTENT_DEFECTS, PIXEL_DEFECTS, draw, spoil_pixels, spoil_scene
from factory.sandbox.oracle import Measurement, measure
from factory.sandbox.world import Differences, Scene, caption, differences, sample_scene

ELEMENTS = ("colour", "shape", "size", "place")
CLEAN = "none"
DEFECTS = (CLEAN, *CONTENT_DEFECTS, *PIXEL_DEFECTS)
SIDES = (32, 64)


@dataclass(frozen=True)
class Trial:
    """One drawn scene: what is wrong with it, what the oracle found, and what it found of the
    clean twin."""

    stated: Scene
    truth: Differences
    found: Measurement
    twin: Measurement

    @property
    def is_exact(self) -> bool:
        background = self.found.background < 0.5
        return (
            [wrong_elements(self.found, at) for at in range(len(self.stated.things))]
            == [set(self.truth.things[at]) for at in range(len(self.stated.things))]
            and background == self.truth.background
            and self.found.num_extra == self.truth.num_extra
        )

    @property
    def is_below(self) -> bool:
        return self.found.quality < self.twin.quality


def wrong_elements(found: Measurement, at: int) -> set[str]:
    """The elements that the oracle finds wrong at one thing.

    A wrong relation is wrong for both things; as in `differences` it is counted at the first.
    """
    thing = found.things[at]
    wrong = {name for name in ELEMENTS if getattr(thing, name) < 0.5}
    if found.stated.relation is not None and at > 0 and thing.presence >= 0.5:
        wrong.discard("place")
    return wrong


def run_trial(defect: str, side: int, seed: int) -> Trial:
    """Draw one scene with a defect and measure it."""
    rng = random.Random(seed)
    stated = sample_scene(rng)
    shown = spoil_scene(stated, defect, rng) if defect in CONTENT_DEFECTS else stated
    pixels = draw(shown, random.Random(seed), side)
    if defect in PIXEL_DEFECTS:
        pixels = spoil_pixels(pixels, defect, rng, dose=rng.uniform(0.4, 1.0))
    text = caption(stated)
    found = measure(pixels, text)
    twin = found if defect == CLEAN else measure(draw(stated, random.Random(seed), side), text)
    return Trial(stated, differences(stated, shown), found, twin)


def run_trials(defect: str, side: int, num: int, seed: int = 0) -> list[Trial]:
    """`num` trials; another `seed` gives other scenes."""
    return [run_trial(defect, side, 1_000_003 * seed + index) for index in range(num)]


def share(hits: list[bool]) -> float:
    return sum(hits) / len(hits)


def main() -> None:
    """Print the table, then the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="validate the oracle on drawn scenes")
    parser.add_argument("--num", type=int, default=1000, help="scenes per defect and side")
    num: int = parser.parse_args().num
    print("side  defect       exact   below   alignment   clean")
    by_kind: dict[str, list[Trial]] = {"clean": [], "content": [], "pixel": []}
    start = time.process_time()
    for side in SIDES:
        for defect in DEFECTS:
            trials = run_trials(defect, side, num)
            kind = "content" if defect in CONTENT_DEFECTS else "pixel"
            by_kind["clean" if defect == CLEAN else kind] += trials
            exact = share([trial.is_exact for trial in trials])
            below = share([trial.is_below for trial in trials])
            alignment = sum(trial.found.alignment for trial in trials) / num
            clean = sum(trial.found.clean for trial in trials) / num
            shown = "      –" if defect == CLEAN else f"{below:7.2%}"
            print(f"{side:4}  {defect:10} {exact:7.2%} {shown}   {alignment:9.3f}   {clean:5.3f}")
    seconds = time.process_time() - start
    figures = {
        "oracle_clean_exact": share([trial.is_exact for trial in by_kind["clean"]]),
        "oracle_content_exact": share([trial.is_exact for trial in by_kind["content"]]),
        "oracle_content_below_twin": share([trial.is_below for trial in by_kind["content"]]),
        "oracle_pixel_exact": share([trial.is_exact for trial in by_kind["pixel"]]),
        "oracle_pixel_below_twin": share([trial.is_below for trial in by_kind["pixel"]]),
        "oracle_pictures_per_cpu_second": round(2 * num * len(DEFECTS) * len(SIDES) / seconds),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
