"""How often and how much pictures and clips go wrong: by the shares that are stated."""

import random
from collections import Counter

import numpy as np
import pytest

from factory.sandbox import imperfect
from factory.sandbox.imperfect import CLIP_FRAMES, SIDE
from factory.sandbox.world import sample_scene

NUM = 2000


class Calls:
    """Stands for what draws and spoils, and keeps what it was asked for."""

    def __init__(self, monkeypatch):
        self.counts = Counter()
        self.doses = {"warp": [], "spoil": []}
        self.seeds = []
        clip = np.zeros((CLIP_FRAMES, 2, 2, 3), np.uint8)
        for name, made in (
            ("draw", lambda scene, rng, side: self.drawn(scene, side)),
            ("draw_clip", lambda scene, rng, side, num, defect=None: self.clip(clip, defect)),
            ("rebind_scene", lambda scene, rng: self.count("rebind", scene)),
            ("spoil_scene", lambda scene, defect, rng: self.count("spoil", scene)),
            ("spoil_motion", lambda scene, defect, rng: self.count("motion", scene)),
            ("warp_pixels", lambda pixels, rng, dose: self.dose("warp", pixels, dose, rng)),
            ("spoil_pixels", lambda pixels, kind, rng, dose: self.dose("spoil", pixels, dose, rng)),
        ):
            monkeypatch.setattr(imperfect, name, made)

    def count(self, name, scene):
        self.counts[name] += 1
        return scene

    def drawn(self, scene, side):
        assert side == SIDE
        self.counts["draw"] += 1
        return np.full((2, 2, 3), 50 if self.counts["draw"] == 1 else 250, np.uint8)

    def clip(self, frames, defect):
        self.counts["unsteady"] += defect is not None
        return frames

    def dose(self, name, pixels, dose, rng):
        self.doses[name].append(dose)
        self.seeds.append(rng.random())
        return pixels

    def share(self, name):
        return len(self.doses[name]) / NUM


@pytest.fixture
def calls(monkeypatch):
    return Calls(monkeypatch)


def scene_of(num):
    """Some scene of so many things."""
    scenes = (sample_scene(random.Random(seed)) for seed in range(99))
    return next(scene for scene in scenes if len(scene.things) == num)


LONE, PAIR = scene_of(1), scene_of(2)


def errors(calls, make, times=NUM):
    """(share of {number of content errors}, share of them that are binding errors)."""
    numbers, num_bindings = Counter(), 0
    for seed in range(times):
        calls.counts.clear()
        assert make(random.Random(seed)) is not None
        numbers[calls.counts["spoil"] + calls.counts["rebind"]] += 1
        num_bindings += calls.counts["rebind"]
    total = sum(number * num for number, num in numbers.items())
    return {number: num / times for number, num in numbers.items()}, num_bindings / total


def test_scenes_have_up_to_four_errors_of_which_half_bind_wrongly(calls):
    shares, bindings = errors(calls, lambda rng: imperfect._spoiled(PAIR, rng))
    wanted = {0: 0.28, 1: 0.32, 2: 0.2, 3: 0.12, 4: 0.08}
    assert shares == pytest.approx(wanted, abs=0.025)
    assert bindings == pytest.approx(0.5, abs=0.03)
    assert errors(calls, lambda rng: imperfect._spoiled(LONE, rng), 200)[1] == 0.0


def test_clips_have_up_to_three(calls):
    shares, bindings = errors(calls, lambda rng: imperfect.imperfect_clip(PAIR, rng))
    assert shares == pytest.approx({0: 0.4, 1: 0.35, 2: 0.17, 3: 0.08}, abs=0.025)
    assert bindings == pytest.approx(0.5, abs=0.03)
    assert errors(calls, lambda rng: imperfect.imperfect_clip(LONE, rng), 200)[1] == 0.0


def spread(doses):
    return min(doses), max(doses)


def test_pictures_melt_with_a_twin_then_are_lumpy_or_soiled(calls):
    num_twins, shares = 0, []
    for seed in range(NUM):
        calls.counts.clear()
        made = imperfect.imperfect(PAIR, random.Random(seed))
        assert made.dtype == np.uint8
        num_twins += calls.counts["draw"] == 2
        if calls.counts["draw"] == 1:
            assert made.mean() == 50
        else:  # the twin's share
            shares.append((made.mean() - 50) / 200)
        assert calls.counts["spoil"] == calls.counts["draw"] - 1
    assert num_twins / NUM == pytest.approx(0.5, abs=0.03)
    assert spread(shares) == pytest.approx((0.05, 0.5), abs=0.01)
    assert calls.share("warp") == pytest.approx(0.7, abs=0.03)
    assert spread(calls.doses["warp"]) == pytest.approx((0.2, 1.5), abs=0.02)
    assert calls.share("spoil") == pytest.approx(0.5, abs=0.03)
    assert spread(calls.doses["spoil"]) == pytest.approx((0.1, 0.9), abs=0.02)


@pytest.mark.parametrize("unsteady", [0.3, 0.8])
def test_clips_move_wrongly_or_are_unsteady_and_all_frames_suffer_alike(calls, unsteady):
    for seed in range(NUM):
        imperfect.imperfect_clip(LONE, random.Random(seed), unsteady)
    assert calls.counts["motion"] / NUM == pytest.approx(0.5, abs=0.03)
    assert calls.counts["unsteady"] / NUM == pytest.approx(unsteady, abs=0.03)
    check_frames(calls, {"warp": (0.5, 0.2, 1.2), "spoil": (0.4, 0.1, 0.9)})


def test_what_is_asked_about_is_a_little_lumpy_or_soiled_and_never_wrong(calls):
    for seed in range(NUM):
        imperfect.plain_clip(LONE, random.Random(seed))
    assert calls.counts == {"unsteady": 0}
    check_frames(calls, {"warp": (0.4, 0.2, 0.7), "spoil": (0.3, 0.1, 0.6)})
    num = len(calls.seeds)
    assert imperfect.plain(LONE, random.Random(0)).shape == (2, 2, 3)
    assert len(calls.seeds) - num <= 2  # of one frame


def check_frames(calls, wanted):
    """{what: (share of clips, least dose, largest dose)}; all frames of a clip by one seed."""
    for name, (share, low, high) in wanted.items():
        assert calls.share(name) / CLIP_FRAMES == pytest.approx(share, abs=0.03)
        assert spread(calls.doses[name]) == pytest.approx((low, high), abs=0.02)
    assert len(set(calls.seeds)) == len(calls.seeds) / CLIP_FRAMES


@pytest.mark.parametrize(
    ("make", "moving", "levels"),
    [
        (imperfect.imperfect, False, [57.48, 132.17, 38.06, 38.84, 217.06, 125.34]),
        (imperfect.imperfect_clip, True, [212.4, 242.82, 36.99, 34.69, 223.7, 232.75]),
        (imperfect.plain, False, [59.27, 132.17, 38.79, 41.76, 217.41, 124.57]),
        (imperfect.plain_clip, True, [216.34, 133.21, 37.95, 37.2, 221.8, 233.46]),
    ],
)
def test_a_seed_draws_what_it_drew_when_the_shipped_weights_learned_from_it(make, moving, levels):
    """Mean levels of a few drawings: what moves them has to be meant."""
    found = []
    for seed in range(6):
        rng = random.Random(seed)
        found.append(make(sample_scene(rng, moving=moving), rng).mean())
    assert found == pytest.approx(levels, abs=0.05)
