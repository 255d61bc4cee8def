"""Noise fitted to judges of which it is known, and to groups that cannot tell it."""

from dataclasses import replace
from pathlib import Path

import pytest

from factory.judging.calibration import Calibration, TaskCalibration, Temperature
from factory.ranking import Bracket, FittedNoise, Noise, NoiseError, RoundRobin, Scale, fit_noise
from schemas.rows import Group
from tests.truth.judged import TASK, World, draws, judged, labelled

WORLD = World()
SCALES = {TASK: WORLD.scale}
FIELDS = ("quality_sd", "score_sd", "duel_sd", "item_sd", "logits_per_share")
START = Noise().on(WORLD.scale)


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return judged(WORLD, draws(WORLD, 200, seed=0), Bracket(2, START))


def test_scores_against_duels_tell_spread_and_noise(groups: list[Group]) -> None:
    found = fit_noise(groups, scales=SCALES).task(TASK)
    assert (found.num_groups, found.is_fitted, found.is_by_labels, found.why) == (
        *(200, True, False, ""),
    )
    truth, noise = WORLD.noise, found.noise
    # Within three standard errors, which are said beside it.
    for name in ("score_sd", "duel_sd"):
        ratio = getattr(noise, name) / getattr(truth, name)
        assert 1 / (1 + 3 * found.errors[name]) < ratio < 1 + 3 * found.errors[name]
    assert noise.seen_sd == pytest.approx(truth.seen_sd, rel=0.2)
    assert noise.logits_per_share == pytest.approx(truth.logits_per_share, rel=0.15)


def test_the_unit_of_the_scale_changes_nothing(groups: list[Group]) -> None:
    wide = [
        replace(
            one, scores=tuple(replace(each, value=25 * (each.value - 1)) for each in one.scores)
        )
        for one in groups
    ]
    one, other = (
        fit_noise(some, scales={TASK: scale}).task(TASK).noise
        for some, scale in ((groups, WORLD.scale), (wide, Scale.of(0, 100)))
    )
    for name in FIELDS:
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-4)


def test_labels_tell_the_error_that_score_and_duels_share(groups: list[Group]) -> None:
    """Of a judge that errs by as much as quality spreads, and of one that does not."""
    found = []
    for item_sd in (0.05, 1.0):
        world = replace(WORLD, item_sd=item_sd)
        own = judged(world, draws(world, 100, seed=1), Bracket(2, START))
        labels = labelled(world, draws(world, 600, seed=2, size=2))
        noise = fit_noise(own, labels=labels, scales=SCALES).task(TASK)
        assert noise.is_by_labels
        assert noise.num_labels == 600
        found.append(noise.noise.item_sd / noise.noise.quality_sd)
    assert found[0] < 0.5 < 0.7 < found[1] < 1.4


def test_scores_at_the_ends_of_their_scale_are_no_narrow_spread() -> None:
    world = replace(WORLD, share=0.4)
    own = judged(world, draws(world, 200, seed=0), Bracket(2, START))
    ends = [each.value in (1.0, 5.0) for one in own for each in one.scores]
    assert sum(ends) > 0.25 * len(ends)
    noise = fit_noise(own, scales=SCALES).task(TASK).noise
    assert noise.seen_sd == pytest.approx(world.noise.seen_sd, rel=0.2)


def test_verdicts_that_are_all_sure_are_read_as_words(groups: list[Group]) -> None:
    words = [
        replace(
            one,
            duels=tuple(
                replace(
                    each,
                    p_first=float(each.preference == "first"),
                    p_second=float(each.preference == "second"),
                    p_tie=float(each.preference == "tie"),
                )
                for each in one.duels
            ),
        )
        for one in groups[:40]
    ]
    found = fit_noise(words, scales=SCALES).task(TASK).noise
    assert found.fusion == "davidson"
    assert found.p_tie < 0.1  # there are none
    assert found.seen_sd == pytest.approx(WORLD.noise.seen_sd, rel=0.4)
    assert fit_noise(groups[:40], scales=SCALES).task(TASK).noise.fusion == "least_squares"
    # A temperature makes no measurements of them.
    mild = Calibration({TASK: TaskCalibration(pairs=Temperature(3.0))})
    mapped = [
        replace(one, duels=tuple(mild.duel(TASK, each) for each in one.duels)) for one in words
    ]
    assert max(each.p_first for one in mapped for each in one.duels) < 0.9
    assert fit_noise(mapped, scales=SCALES).task(TASK).noise.fusion == "davidson"


def test_what_groups_cannot_tell_is_a_default_and_said(groups: list[Group]) -> None:
    alike = [
        replace(one, scores=tuple(replace(each, value=3.0) for each in one.scores))
        for one in groups
    ]
    single = [replace(one, scores=one.scores[:1], duels=()) for one in groups]
    for some, why in (
        (groups[:10], "10 group(s) of two or more"),
        (alike, "all candidates have the same score"),
        (single, "0 group(s) of two or more"),
        ([], "nothing was fitted"),
    ):
        found = fit_noise(some, scales=SCALES).task(TASK)
        assert not found.is_fitted
        assert why in found.why
        for name in FIELDS:
            assert getattr(found.noise, name) == getattr(Noise(), name)
    unmet = fit_noise([replace(one, duels=()) for one in groups], scales=SCALES).task(TASK)
    assert unmet.is_fitted
    assert "to tell noise from spread" in unmet.why
    assert unmet.noise.score_sd / unmet.noise.seen_sd == pytest.approx(
        Noise().score_sd / Noise().seen_sd
    )


def test_duels_alone_have_no_points() -> None:
    world = replace(WORLD, position=0.0)
    drawn = draws(world, 60, seed=0, size=5)
    alone = [replace(one, scores=()) for one in judged(world, drawn, RoundRobin(START))]
    found = fit_noise(alone).task(TASK)
    assert "no scores" in found.why
    noise = found.noise
    assert noise.logits_per_share == Noise().logits_per_share
    assert noise.duel_sd / noise.seen_sd == pytest.approx(0.5 / 1.044, rel=0.25)


def test_labels_stand_for_groups_where_there_are_none() -> None:
    found = fit_noise([], labels=labelled(WORLD, draws(WORLD, 100, 4, size=2)), scales=SCALES)
    one = found.task(TASK)
    assert one.is_fitted
    assert "no groups" in one.why


def test_labels_that_were_only_compared_tell_no_share_of_the_scale() -> None:
    """A judge that uses a fortieth of its scale: by duels alone nothing shows it."""
    pairs = labelled(replace(WORLD, share=1 / 40), draws(WORLD, 200, 4, size=2))
    scored = fit_noise([], labels=pairs, scales=SCALES).task(TASK)
    assert scored.tells_scores
    assert scored.noise.quality_sd == pytest.approx(1 / 40, rel=0.4)
    compared = fit_noise([], labels=[replace(one, scores=()) for one in pairs], scales=SCALES)
    assert compared.task(TASK).is_fitted
    assert not compared.task(TASK).tells_scores
    assert compared.task(TASK).noise.quality_sd > 4 / 40


def test_noise_comes_back_from_its_file(groups: list[Group], tmp_path: Path) -> None:
    found = fit_noise(groups[:50], scales=SCALES)
    path = tmp_path / "noise.json"
    assert FittedNoise.load(path) is None
    found.save(path)
    again = FittedNoise.load(path)
    assert again is not None
    assert again.judge == found.judge
    assert again.task(TASK).noise.on(WORLD.scale) == found.task(TASK).noise
    assert again.task(TASK).errors == found.task(TASK).errors
    path.write_text('{"tasks": {"weather": {}}}')
    with pytest.raises(NoiseError, match=r"noise\.json: not the noise of a judge"):
        FittedNoise.load(path)
    with pytest.raises(ValueError, match="duel_sd is to be above 0"):
        Noise(duel_sd=0.0)
