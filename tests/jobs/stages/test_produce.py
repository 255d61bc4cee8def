"""What a set of groups depends on: changing anything else must not ask for judging again."""

from dataclasses import replace
from pathlib import Path

import pytest

from jobs import produce
from jobs.datasets.files import write_table
from jobs.pipelines.drawing import generators_of
from jobs.pipelines.groups import pool_cpus, pool_gpus
from jobs.rounds.workspace import InputError, Round
from jobs.stages import draw
from jobs.stages.base import blueprint_of
from jobs.stages.produce import STAGE, judging_alone
from schemas import manifest
from schemas.arrow import groups_to_table
from schemas.identity import identity
from schemas.manifest import Manifest
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Prompt
from schemas.section import RecipeError

LAPTOP = "jobs/recipes/laptop.yaml"


def test_a_pool_that_may_grow_is_planned_for_at_its_largest() -> None:
    pools = ["produce.generators={size: 1}", "produce.judges={size: 1, max_size: 4, num_gpus: 0.5}"]
    recipe = load(LAPTOP, pools)
    assert (pool_cpus(recipe), pool_gpus(recipe)) == (5.0, 2.0)
    assert "1 generator(s), 1 to 4 judge(s)" in STAGE.plan(Round(recipe, 1)).actors
    with pytest.raises(RecipeError, match="max_size: 2 is less than size: 3"):
        load(LAPTOP, ["produce.judges={size: 3, max_size: 2}"])


def test_generators_beside_the_champion_are_parents_and_settings() -> None:
    path = load(LAPTOP).generator.path
    other = f"{{path: {path}, name: other, num_inference_steps: 4}}"
    at = Round(load(LAPTOP, [f"produce.also=[{other}]"]), 1)
    refs = generators_of(at)
    assert [(one.name, one.address) for one in refs] == [
        ("generator", "generator@0"),
        ("other", "other@0"),
    ]
    assert [one["name"] for one in identity(STAGE.settings(at))["also"]] == ["other"]
    num = at.recipe.produce.num_candidates
    assert f"x {2 * num} candidates" in STAGE.plan(at).rows
    with pytest.raises(RecipeError, match="two generators are named 'generator'"):
        load(LAPTOP, [f"produce.also=[{{path: {path}}}]"])


@pytest.mark.parametrize(
    ("overrides", "rank"),
    [
        ([], {"strategy": "bracket", "bracket_size": 2}),
        (["curate.rank.ring_degree=4"], {"strategy": "bracket", "bracket_size": 2}),
        (["curate.pairing=near_miss"], {"strategy": "bracket", "bracket_size": 2}),
        (
            ["curate.rank.strategy=ring", "curate.rank.ring_degree=4"],
            {"strategy": "ring", "ring_degree": 4},
        ),
        (["curate.rank.strategy=paper", "judge.max_batch=1"], {"strategy": "paper"}),
    ],
)
def test_only_what_decides_the_duels_is_a_setting_of_groups(
    overrides: list[str], rank: dict[str, object]
) -> None:
    settings = identity(STAGE.settings(Round(load("jobs/recipes/laptop.yaml", overrides), 1)))
    assert settings["rank"] == rank
    assert "max_batch" not in str(settings)


def test_nobody_judges_alone_where_something_is_left_to_draw(tmp_path: Path) -> None:
    recipe = load(LAPTOP, [f"root={tmp_path}"])
    work = blueprint_of(draw.STAGE, Round(recipe, 1))
    work.directory.mkdir(parents=True)
    made = Manifest(
        *(work.address, "candidates", work.fingerprint, "d", tuple(work.parents), work.spelled),
        counts={"candidates": 2},
        files=("rows-0.parquet",),
    )
    (work.directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    late = Candidate("a", "generator@0", 1, error="no answer in time", is_attempt=True)
    cut = Candidate("b", "generator@0", 2, error="the answer does not end")

    def write(*candidates: Candidate) -> None:
        table = groups_to_table([Group(Prompt.of("a thing"), candidates)])
        write_table(work.directory / "rows-0.parquet", table)

    write(late, cut)
    with pytest.raises(InputError, match="1 of 2 candidates of candidates@1 failed by a time-out"):
        judging_alone(recipe, 1)
    write(replace(late, is_attempt=False), cut)
    pool = judging_alone(recipe, 1).produce.generators
    assert (pool.size, pool.num_gpus) == (1, 0)


def test_a_retry_is_of_both_halves(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        produce.main(["--only=draw", "--retry-invalid"])
    assert "--retry-invalid draws and judges" in capsys.readouterr().err
