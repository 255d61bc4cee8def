"""Recipes: every fault is named with its key, and the shipped ones are valid."""

from pathlib import Path

import pytest
import yaml

from schemas.recipe_file import load
from schemas.section import RecipeError

LAPTOP = Path("jobs/recipes/laptop.yaml")


def test_the_shipped_recipe_is_valid_and_its_files_are_there() -> None:
    recipe = load(LAPTOP)
    for path in (recipe.produce.prompts, recipe.evaluate.prompts, recipe.labels.prompts):
        assert path is not None
        assert Path(path).is_file()


def test_overrides_reach_any_depth_and_keep_their_type() -> None:
    recipe = load(LAPTOP, ["seed=7", "curate.objections.min_margin=0.25", "name=other"])
    assert (recipe.seed, recipe.curate.objections.min_margin, recipe.name) == (7, 0.25, "other")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "produce.num_candidate=4",
            r"produce\.num_candidate: unknown key; known here: prompts, num_candidates",
        ),
        ("bogus=1", "bogus: unknown key; known here: name, seed"),
        ("seed=many", r"seed: .*integer.*given: 'many'"),
        ("produce.num_candidates=1", r"produce\.num_candidates: .*greater than or equal to 2"),
        ("align.beta=.nan", r"align\.beta: .*finite"),
        ("gates.min_win_rate=1.5", r"gates\.min_win_rate: .*less than or equal to 1"),
        ("curate.rank.ring_degree=3", r"curate\.rank\.ring_degree: .*multiple of 2"),
        ("curate.rank.p_tie=1", r"curate\.rank\.p_tie: .*less than 1"),
        ("name=Bad/Name", "name: .*match pattern"),
        ("train_judge.zero_stage=4", r"train_judge\.zero_stage: "),
        ("labels.prompts=null", "labels: give 'path'"),
        ("seed", "an override is written key.path=value"),
        ("seed.x=1", "'seed' is a value, not a section"),
    ],
)
def test_a_bad_value_is_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(LAPTOP, [override])


@pytest.mark.parametrize("user", ["produce.is_calibrated", "curate.objections.abstain"])
def test_what_needs_a_calibration_asks_for_one(user: str) -> None:
    load(LAPTOP, [f"{user}=true"])
    with pytest.raises(RecipeError, match=f"{user}: there is no calibration with"):
        load(LAPTOP, [f"{user}=true", "train_judge.calibration.fit_share=0"])


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        load(LAPTOP, ["seed=x", "bogus=1"])
    assert "2 fault(s)" in str(caught.value)
    assert "seed" in str(caught.value)
    assert "bogus" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- 1", "a mapping of keys, not list"), ("", "not NoneType")],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load(path)
    with pytest.raises(RecipeError, match="no such recipe file"):
        load(tmp_path / "absent.yaml")


def test_a_recipe_survives_being_stored(tmp_path: Path) -> None:
    recipe = load(LAPTOP, ["seed=3"])
    stored = tmp_path / "resolved.yaml"
    stored.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    assert load(stored) == recipe
