import math

import numpy as np
import pytest

from factory.evaluation.shift import diversity, drift
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from schemas.rows import Candidate, Media


def picture(level, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    pixels = np.clip(level + noise * rng.normal(size=(16, 16, 3)), 0, 255).astype(np.uint8)
    return Candidate(f"{level} {seed}", "g@0", seed, Media(encode_png(pixels), 16, 16))


def clip(levels):
    frames = np.stack([np.full((16, 16, 3), level, np.uint8) for level in levels])
    return Candidate("c", "g@0", 0, Media(encode_clip(frames, 8.0), 16, 16, len(levels), 8.0))


def answer(text, seed=0):
    return Candidate(f"{text} {seed}", "g@0", seed, answer=text)


def test_brighter_pictures_are_seen_with_sign_size_and_interval():
    rng = np.random.default_rng(1)
    levels = rng.normal(120, 20, 80)
    base = {f"p{at}": [picture(level)] for at, level in enumerate(levels)}
    new = {f"p{at}": [picture(level + 20)] for at, level in enumerate(levels)}
    found = drift(base, new, num_resamples=300)["brightness"]
    assert found.value == pytest.approx(20 / levels.std(ddof=1), rel=0.03)
    assert found.low < found.value < found.high
    same = drift(base, base, num_resamples=300)
    assert {one.value for one in same.values()} == {0.0}


def test_the_spread_is_that_of_one_prompt_s_outputs_where_it_is_known():
    """What prompts ask for differs much; a shift that is large beside the rest is seen."""
    levels = {f"p{at}": 40 + 2 * at for at in range(60)}
    base = {name: [picture(level - 5), picture(level + 5)] for name, level in levels.items()}
    new = {name: [picture(level + 5), picture(level + 15)] for name, level in levels.items()}
    found = drift(base, new, num_resamples=200)["brightness"]
    assert found.value == pytest.approx(10 / math.sqrt(50), rel=0.02)
    one_each = drift(*({k: v[:1] for k, v in side.items()} for side in (base, new)), 200)
    assert one_each["brightness"].value < 0.4


def test_what_does_not_vary_and_moves_is_infinitely_far():
    base = {f"p{at}": [picture(100)] * 2 for at in range(3)}
    found = drift(base, {name: [picture(90)] * 2 for name in base})
    assert found["brightness"].value == -math.inf
    assert drift(base, base)["brightness"].value == 0.0


def test_longer_answers_are_seen():
    base = {f"p{at}": [answer("red " * (3 + at % 3))] for at in range(30)}
    new = {f"p{at}": [answer("red " * (9 + at % 3))] for at in range(30)}
    found = drift(base, new, num_resamples=300)["length"]
    assert found.low > 2


def test_only_prompts_of_both_count():
    base = {"a": [picture(100)], "b": [picture(120)], "gone": [picture(255)]}
    new = {"a": [picture(100)], "b": [picture(120)], "other": [picture(0)]}
    assert drift(base, new)["brightness"].value == 0.0


def test_a_clip_that_begins_to_move_is_seen():
    base = {f"p{at}": [clip([100 + at] * 8)] for at in range(10)}
    new = {f"p{at}": [clip([at, at, 100, 100, at, at, 100, 100])] for at in range(10)}
    base["p0"] = [clip([0, 40] * 4)]  # or nothing would vary
    broken = Candidate("x", "g@0", 0, Media(b"....ftyp....", 16, 16, 8, 8.0))
    found = drift({**base, "x": [broken]}, {**new, "x": [broken]}, num_resamples=100)
    assert found["motion"].value > 1
    assert found["brightness"].value < 0


def test_the_same_picture_again_and_again_has_no_diversity():
    varied = {f"p{at}": [picture(120, seed, 60) for seed in range(3)] for at in range(6)}
    stuck = {f"p{at}": [picture(120, 0, 60)] * 3 for at in range(6)}
    found = diversity(varied, stuck)
    assert found is not None
    assert found.champion.value > 0.2
    assert (found.challenger.value, found.kept.value, found.num) == (0.0, 0.0, 6)
    same = diversity(varied, varied)
    assert same is not None
    assert same.kept.value == 1.0


def test_diversity_of_answers_is_what_their_texts_do_not_share():
    told = {"a": [answer("red"), answer("blue")], "b": [answer("red"), answer("red")]}
    found = diversity(told, told)
    assert found is not None
    assert found.champion.value == pytest.approx(0.5)


def test_one_output_a_prompt_has_no_diversity_to_speak_of():
    one = {"a": [picture(1)], "b": [picture(2)]}
    assert diversity(one, one) is None
    broken = Candidate("x", "g@0", 0, error="failed")
    found = diversity({"a": [picture(1), broken]}, {"a": [picture(1), picture(2)]})
    assert found is None


def test_what_was_not_drawn_has_no_drift():
    failed = {"a": [Candidate("x", "g@0", 0, error="failed")]}
    assert math.isnan(drift({"a": [picture(1), picture(9)]}, failed)["brightness"].value)
