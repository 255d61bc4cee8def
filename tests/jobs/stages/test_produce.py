"""What a set of groups depends on: changing anything else must not ask for judging again."""

import pytest

from jobs.pipelines.drawing import generators_of
from jobs.pipelines.groups import pool_cpus, pool_gpus
from jobs.rounds.workspace import Round
from jobs.stages.produce import STAGE
from schemas.identity import identity
from schemas.recipe_file import load
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
