"""By what noise duels are planned before there are groups to order."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.storage import place
from factory.ids import to_text
from factory.prompts import PromptsFile
from factory.ranking import Bracket, Duels, FittedNoise, Noise, TaskNoise
from jobs.datasets.files import write_table
from jobs.pipelines.noise import noise_at
from jobs.pipelines.planning import pilot_of, planning, planning_again, told_planning
from jobs.pipelines.scales import lowest
from jobs.rounds.workspace import Round
from schemas.arrow import groups_to_table
from schemas.recipe_file import load
from tests.truth.judged import World, draws, judged

JUDGE = "factory/sandbox/weights/base"  # with no noise.json beside it


@pytest.fixture
def prompts(tmp_path: Path) -> PromptsFile:
    file = tmp_path / "prompts.txt"
    file.write_text("".join(f"prompt {number}\n" for number in range(300)))
    return PromptsFile(file)


def at(tmp_path: Path, *overrides: str) -> Round:
    given = [f"root={tmp_path}", f"judge.path={JUDGE}", "train_judge=null", "labels=null"]
    return Round(load("jobs/recipes/laptop.yaml", [*given, *overrides]), 1)


def test_the_lowest_ids_of_each_task_are_a_pilot_whatever_the_order() -> None:
    some = [(f"{number:05d}", "image_generation") for number in range(20_000)]
    other = [("b", "video_generation"), ("a", "video_generation")]
    wanted = {"image_generation": ["00000", "00001", "00002"], "video_generation": ["a", "b"]}
    assert lowest([*some, *other], 3) == lowest([*other, *reversed(some)], 3) == wanted


def test_what_a_pilot_tells_plans_the_others(tmp_path: Path, prompts: PromptsFile) -> None:
    given = at(tmp_path)
    pilot = pilot_of(given, prompts)
    assert pilot is not None
    assert [to_text(one) for one in pilot.ids] == sorted(prompts.ids())[:64]
    assert "64 of the prompts are a pilot" in told_planning(given, prompts)

    # A judge that uses a corner of its scale.
    drawn, world = draws(World(share=1 / 40), 300, seed=0), World(share=1 / 40)
    groups = judged(world, drawn, Bracket(2, Noise().on(world.scale)))
    directory = given.directory("groups")
    directory.mkdir(parents=True)
    write_table(place(str(directory)) / "part-0.parquet", groups_to_table(groups))
    usual, told = planning(given).of("image_generation"), pilot.planned().of("image_generation")
    assert isinstance(usual, Bracket)
    assert isinstance(told, Bracket)
    assert replace(usual.noise, scale=told.noise.scale) == replace(Noise(), scale=told.noise.scale)
    assert told.noise.quality_sd == pytest.approx(1 / 40, rel=0.5)
    again = planning_again(given).of("image_generation")
    assert isinstance(again, Bracket)
    assert again.noise.quality_sd == pytest.approx(1 / 40, rel=0.3)  # by all that is there

    # What a killed run left: a part that is torn, and a joined file of rows that parts hold too.
    write_table(place(str(directory)) / "rows-0.parquet", groups_to_table(groups))
    whole = (directory / "part-0.parquet").read_bytes()
    (directory / "part-torn.parquet").write_bytes(whole[:-20])
    assert pilot.planned().of("image_generation") == told


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("produce.pilot=0",), "planned by scale-free defaults of noise"),
        (("produce.pilot=76",), "300 prompts are too few for a pilot"),
        (("curate.rank.strategy=pointwise",), ""),
    ],
)
def test_there_is_none_where_it_decides_nothing_or_costs_too_much(
    tmp_path: Path, prompts: PromptsFile, overrides: tuple[str, ...], said: str
) -> None:
    given = at(tmp_path, *overrides)
    assert pilot_of(given, prompts) is None
    told = told_planning(given, prompts)
    assert told == said if not said else said in told


@pytest.mark.parametrize("is_scored", [True, False])
def test_noise_of_labels_that_were_only_compared_plans_nothing(
    tmp_path: Path, prompts: PromptsFile, monkeypatch: pytest.MonkeyPatch, is_scored: bool
) -> None:
    """It is in shares of no scale, so a pilot is asked all the same."""
    noise = Noise(quality_sd=0.02)
    known = TaskNoise(noise, {"score_sd": 0.1} if is_scored else {}, 100, 100, 100, is_fitted=True)
    kept = FittedNoise("judge@0", {"image_generation": known})
    monkeypatch.setattr("jobs.pipelines.planning.kept_noise", lambda at: kept)
    given = at(tmp_path)
    assert (pilot_of(given, prompts) is None) is is_scored
    assert ("noise.json" in told_planning(given, prompts)) is is_scored
    planned = planning(given).of("image_generation")
    assert isinstance(planned, Bracket)
    assert planned.noise.quality_sd == (noise if is_scored else Noise()).quality_sd


def test_where_nobody_gave_points_the_report_says_that_margins_have_no_unit(tmp_path: Path) -> None:
    world = World()
    groups = judged(world, draws(world, 40, seed=1), Duels(Noise().on(world.scale)))
    for strategy, is_told in (("duels", True), ("bracket", False)):
        given = at(tmp_path / strategy, f"curate.rank.strategy={strategy}")
        directory = given.directory("groups")
        directory.mkdir(parents=True)
        write_table(place(str(directory)) / "part-0.parquet", groups_to_table(groups))
        source = noise_at(given).sources["image_generation"]
        assert "fitted on 40 groups" in source
        assert ("the unit of margins is assumed" in source) == is_told
