"""What an evaluation says of its contests: which figure, by whom, over how many twins."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.evaluation.comparison import compare, grid, grid_columns
from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from schemas.recipe_file import load
from schemas.rows import Candidate, Duel, Group, Media, Prompt, Score, Task

JUDGE, ORACLE = "judge@1", "oracle@0"
NAMES = ("generator@1", "generator@2")
NUM = 12  # prompts, with two twins each


@pytest.fixture(scope="module")
def recipe():
    settings = {"num_resamples": 50, "min_slice_prompts": 4, "grid_prompts": 2}
    more = [f"evaluate.{key}={value}" for key, value in settings.items()]
    return load("jobs/recipes/laptop.yaml", [*more, "seed=3"])


def picture(seed: int, light: int = 0) -> Media:
    cells = np.random.default_rng(seed).integers(0, 156, (8, 8, 3), dtype=np.uint8)
    pixels = (cells + np.uint8(light)).repeat(4, axis=0).repeat(4, axis=1)
    return Media(encode_png(pixels), 32, 32)


def clip(level: int) -> Media:
    frames = np.full((4, 32, 32, 3), level, np.uint8)
    return Media(encode_clip(frames, 4.0), 32, 32, 4, 4.0)


def contest(number: int, is_better: bool, task: Task = "image_generation") -> Group:
    """Two twins, of which the challenger's are lighter. By the judge it always wins, and by the
    oracle where it is better; the judge could not read the first prompt's first twin, and the
    oracle could read one side of it alone.
    """
    tags = {"region": "north" if number % 3 else "south"}
    prompt = Prompt.of(f"prompt {number}", task, tags=tags)
    candidates = []
    for side, name in enumerate(NAMES):
        for seed in (0, 1):
            drawn = {"media": picture(2 * number + seed, 90 * side)}
            said = {"answer": f"{'a long ' * side}answer {seed} to {number}"}
            what = said if task == "image_understanding" else drawn
            candidates.append(Candidate(f"{number} {side} {seed}", name, seed, **what))
    scores, duels = [], []
    for seed in (0, 1):
        old, new = f"{number} 0 {seed}", f"{number} 1 {seed}"
        is_read = (number, seed) != (0, 0)
        points = math.nan if not is_read else 2.0
        scores += [Score(old, JUDGE, points, 0.5, None if is_read else "no number")]
        scores += [Score(new, JUDGE, 4.0, 0.5)]
        scores += [Score(old, ORACLE, 3.0, 0.0)]
        scores += [Score(new, ORACLE, 5.0 if is_better else 1.0, 0.0)] if is_read else []
        for judge, wins in ((JUDGE, True), (ORACLE, is_better)):
            if is_read:
                p = 0.9 if wins else 0.1
                duels += [Duel(new, old, judge, p, 1 - p, 0.0), Duel(old, new, judge, 1 - p, p, 0)]
    return Group(prompt, tuple(candidates), tuple(scores), tuple(duels))


def contests(task: Task = "image_generation") -> list[Group]:
    return [contest(number, number % 4 != 1, task) for number in range(NUM)]


def figures(estimates):
    return {
        (one.name, one.by, one.unit): (one.value, one.num, one.num_invalid) for one in estimates
    }


def test_gains_and_scores_are_told_by_judge_with_what_could_not_be_read(recipe):
    found = compare(contests(), (JUDGE, ORACLE), NAMES, recipe)
    told = found.evaluation
    assert (told.champion, told.challenger) == NAMES
    won = pytest.approx(17 / 23)
    assert figures(told.gains) == {
        ("win rate", JUDGE, "share"): (1.0, 23, 1),
        ("score gain", JUDGE, "points"): (2.0, 23, 1),
        ("win rate", ORACLE, "share"): (won, 23, 1),
        ("score gain", ORACLE, "points"): (pytest.approx(2 * 17 / 23 - 2 * 6 / 23), 23, 1),
    }
    assert found.won == told.gains[2]  # by the last judge
    assert found.won.low < 17 / 23 < found.won.high
    assert {(one.name, one.neutral) for one in told.gains} == {
        ("win rate", 0.5),
        ("score gain", 0.0),
    }
    assert figures(told.scores) == {
        ("score of generator@1", JUDGE, "points"): (2.0, 23, 1),
        ("score of generator@2", JUDGE, "points"): (4.0, 24, 0),
        ("score of generator@1", ORACLE, "points"): (3.0, 24, 0),
        ("score of generator@2", ORACLE, "points"): (pytest.approx((5 * 17 + 6) / 23), 23, 1),
    }


def test_hacking_is_told_of_all_prompts_and_win_rates_of_slices_too(recipe):
    found = compare(contests(), (JUDGE, ORACLE), NAMES, recipe)
    # Nothing is known of either, as there are no labels.
    by = f"{JUDGE} before {ORACLE}"
    assert figures(found.evaluation.leads) == {
        ("gain that no witness sees", by, "share of the judge's gain"): (None, 23, 1),
        ("accuracy on held-out labels", JUDGE, "share of labels"): (None, 0, 0),
        ("accuracy on held-out labels", ORACLE, "share of labels"): (None, 0, 0),
    }
    assert [one.note for one in found.evaluation.leads] == [
        "",
        "no measure: it was held against no labels",
        "no witness: it was held against no labels",
    ]
    # South: prompts 0, 3, 6, 9, of which 9 is worse by the oracle; north: 1, 5 of eight.
    assert figures(found.evaluation.slices) == {
        ("win rate, region = north", ORACLE, "share"): (0.75, 16, 0),
        ("win rate, region = south", ORACLE, "share"): (pytest.approx(5 / 7), 7, 1),
        ("win rate, region = north", JUDGE, "share"): (1.0, 16, 0),
        ("win rate, region = south", JUDGE, "share"): (1.0, 7, 1),
    }
    (claim,) = found.claims
    shares = claim.judge.won.value, claim.witnesses[0].won.value
    assert shares == (1.0, pytest.approx(17 / 23))
    alone = compare(contests(), (JUDGE,), NAMES, recipe)
    assert (alone.claims, alone.evaluation.leads) == ((), ())
    assert {one.by for one in alone.evaluation.slices} == {JUDGE}


def test_drift_is_told_since_the_start_too(recipe):
    groups = contests()
    start = {group.prompt.prompt_id: group.candidates[2:] for group in groups}  # as the new ones
    found = compare(groups, (JUDGE,), NAMES, recipe, ("base@0", start))
    assert set(found.drift) == {"brightness", "saturation", "contrast", "sharpness"}
    assert {one.value for one in found.drift.values()} == {0.0}
    units = {one.unit for one in found.evaluation.drift}
    assert units == {"sd of generator@1", "sd of base@0"}
    since = compare(groups, (JUDGE,), NAMES, recipe)
    assert since.drift["brightness"].low > 1.0
    assert {one.unit for one in since.evaluation.drift} == {"sd of generator@1"}
    assert {one.neutral for one in since.evaluation.drift} == {0.0}
    assert since.diversity is not None
    assert [(one.name, one.neutral, one.num) for one in since.evaluation.diversity] == [
        ("diversity of generator@1", None, NUM),
        ("diversity of generator@2", None, NUM),
        ("diversity kept", 1.0, NUM),
    ]


@pytest.mark.parametrize("task", ["image_generation", "image_understanding"])
def test_errors_are_those_of_answers_by_the_judge_that_knows(recipe, task):
    groups = contests(task)
    found = compare(groups, (JUDGE, ORACLE), NAMES, recipe, reference=(ORACLE, 5.0)).evaluation
    assert compare(groups, (JUDGE, ORACLE), NAMES, recipe).evaluation.errors == ()
    if task == "image_generation":
        assert found.errors == ()
        return
    assert figures(found.errors) == {
        ("error rate of generator@1", ORACLE, "share"): (1.0, 23, 1),
        ("error rate of generator@2", ORACLE, "share"): (pytest.approx(6 / 23), 23, 1),
        ("errors mended", ORACLE, "share of the champion's"): (pytest.approx(17 / 23), 23, 1),
    }
    assert [one.neutral for one in found.errors] == [None, None, 0.0]
    mixed = [*groups, contest(NUM, is_better=True)]
    told = compare(mixed, (JUDGE, ORACLE), NAMES, recipe, reference=(ORACLE, 5.0)).evaluation
    assert told.errors == ()


def test_one_output_a_prompt_has_no_diversity(recipe):
    groups = [Group(one.prompt, one.candidates[::2], one.scores, one.duels) for one in contests()]
    found = compare(groups, (JUDGE,), NAMES, recipe)
    assert (found.diversity, found.evaluation.diversity) == (None, ())
    assert found.evaluation.grid_prompts == ("prompt 0", "prompt 1")
    assert found.evaluation.grid_columns == NAMES


def cells(png: bytes, num_columns: int, num_rows: int) -> list[list[tuple[int, ...]]]:
    """The colour in the middle of each cell of a grid."""
    sheet = Image.open(io.BytesIO(png))
    step, left, top = 128 + 8, 2 * 128 + 8, 15 + 4 + 16
    assert sheet.size == (left + num_columns * step + 8, top + num_rows * step)
    return [
        [sheet.getpixel((left + x * step + 64, top + y * step + 32)) for x in range(num_columns)]
        for y in range(num_rows)
    ]


def shown(*sides: Media | None) -> Group:
    candidates = [
        Candidate(f"c{at}", "g@0", at, media, error=None if media else "failed")
        for at, media in enumerate(sides)
    ]
    return Group(Prompt.of("a prompt"), tuple(candidates))


def test_a_grid_shows_first_twins_side_by_side():
    dark, light = (
        Media(encode_png(np.full((32, 32, 3), level, np.uint8)), 32, 32) for level in (20, 200)
    )
    group = shown(dark, None, light, None)  # two twins, the second of which failed
    (row,) = cells(grid([group], NAMES), 2, 1)
    assert row == [(20,) * 3, (200,) * 3]
    assert grid([group], NAMES) == grid([group], ("champion", "challenger"))
    assert grid([shown(None, None)], NAMES) is None
    assert grid([], NAMES) is None
    (row,) = cells(grid([shown(None, light)], NAMES), 2, 1)
    assert row[0] not in ((20,) * 3, (200,) * 3)
    assert row[1] == (200,) * 3


def test_a_clip_is_shown_by_four_of_its_frames():
    still = Media(encode_png(np.full((32, 32, 3), 90, np.uint8)), 32, 32)
    assert grid_columns([shown(replace(clip(20), num_frames=2))], NAMES)[0] == "generator@1 1/4"
    broken = Media(clip(20).data[:60], 32, 32, 4, 4.0)
    groups = [shown(clip(20), clip(200)), shown(broken, still)]
    assert grid_columns(groups, NAMES) == [
        f"{name} {part}/4" for name in NAMES for part in range(1, 5)
    ]
    rows = cells(grid(groups, NAMES), 8, 2)
    assert [round(cell[0], -1) for cell in rows[0]] == [20] * 4 + [200] * 4
    empty = rows[1][0]
    assert rows[1] == [empty] * 4 + [(90,) * 3] + [empty] * 3
