"""Recipes: every fault is named with its key, and the shipped ones are valid."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.recipe import Criteria, Curate, Distil, Pool, Recipe, Training
from schemas.recipe_file import load, without_credentials
from schemas.section import RecipeError, Section

LAPTOP = Path("jobs/recipes/laptop.yaml")
TRAINING = {"num_steps": 1, "batch_size": 1, "learning_rate": 1e-4}
STOPPING = {"every": 1}
RANDOM = {"rank": {"strategy": "random"}}
FIT, NORTH = {"name": "fit", "text": "x"}, {"where": {"region": "north"}}


def test_the_shipped_recipe_is_valid_and_its_files_are_there() -> None:
    recipe = load(LAPTOP)
    for path in (recipe.produce.prompts, recipe.evaluate.prompts, recipe.labels.prompts):
        assert path is not None
        assert Path(path).is_file()


def test_overrides_reach_any_depth_and_keep_their_type() -> None:
    recipe = load(LAPTOP, ["seed=7", "curate.objections.min_margin=0.25", "name=other"])
    assert (recipe.seed, recipe.curate.objections.min_margin, recipe.name) == (7, 0.25, "other")


def test_gates_that_are_gone_or_in_other_units_are_translated_or_refused() -> None:
    former = ["gates.min_selection_ratio=0", "gates.max_attribute_drift=6"]
    assert load(LAPTOP, former).gates.max_twin_drift == 2.0
    assert load(LAPTOP).gates.max_twin_drift == 1.0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "produce.num_candidate=4",
            r"produce\.num_candidate: unknown key; known here: prompts, num_candidates",
        ),
        (
            "gates.min_selection_ratio=0.8",
            "min_selection_ratio: max_slice_gap_share has taken its place",
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


@pytest.mark.parametrize(
    ("section", "allowed", "refused"),
    [
        (Pool, {"size": 2, "max_size": 2}, {"size": 2, "max_size": 1}),
        (Training, {"ema_decay": 0.9}, {"ema_decay": 0.9, "early_stopping": STOPPING}),
        (Training, {"early_stopping": STOPPING}, {"ema_decay": 0.9, "early_stopping": STOPPING}),
        (Training, {"offload": True, "zero_stage": 1}, {"offload": True, "zero_stage": 0}),
        (Training, {"zero_stage": 0}, {"offload": True, "zero_stage": 0}),
        (Curate, RANDOM, {**RANDOM, "pairing": "near_miss"}),
        (Curate, {"pairing": "near_miss"}, {**RANDOM, "pairing": "all_above_margin"}),
        (Criteria, {"named": [FIT, {**FIT, **NORTH}]}, {"named": [FIT, FIT]}),
        (
            Criteria,
            {"overall_weight": 0, "named": [FIT]},
            {"overall_weight": 0, "named": [{**FIT, "weight": 0}]},
        ),
        (Criteria, {"named": [FIT]}, {"named": [{**FIT, "name": "overall"}]}),
    ],
)
def test_knobs_that_exclude_each_other_do_so_only_together(
    section: type[Section], allowed: dict[str, Any], refused: dict[str, Any]
) -> None:
    always = TRAINING if section is Training else {}
    section.model_validate({**always, **allowed})
    with pytest.raises(ValueError, match="Value error"):
        section.model_validate({**always, **refused})


@pytest.mark.parametrize("weight", ["score_weight", "verdict_weight"])
def test_a_light_judge_learns_scores_or_verdicts(weight: str) -> None:
    light = {**TRAINING, "name": "light"}
    Distil.model_validate({**light, weight: 0})
    with pytest.raises(ValueError, match="both 0: nothing would be learned"):
        Distil.model_validate({**light, "score_weight": 0, "verdict_weight": 0})


def test_a_pool_says_how_many_there_can_be() -> None:
    assert (Pool(size=2).most, Pool(size=2).span) == (2, "2")
    assert (Pool(size=2, max_size=5).most, Pool(size=2, max_size=5).span) == (5, "2 to 5")


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


def told(overrides: list[str]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(LAPTOP, overrides)
    return str(caught.value).splitlines()


def test_a_fault_says_what_was_given_unless_nothing_was() -> None:
    assert told(["seed=x"])[1:] == [
        "  seed: Input should be a valid integer, unable to parse string as an integer (given: 'x')"
    ]
    assert told(["train_judge.early_stopping={}"])[1:] == [
        "  train_judge.early_stopping.every: Field required"
    ]


def test_an_unknown_key_is_answered_with_those_that_are_known() -> None:
    assert told(["bogus=1"])[1:] == [
        f"  bogus: unknown key; known here: {', '.join(Recipe.model_fields)}"
    ]
    (line,) = told(["storage.aws_secret=x"])[1:]
    assert line.startswith("  storage.aws_secret: unknown key; known here: endpoint, region")
    assert line.endswith("; credentials stay in the environment (AWS_PROFILE, AWS_ACCESS_KEY_ID …)")


def test_a_password_in_a_value_is_not_repeated() -> None:
    assert without_credentials("s3://me:pass@host/x, s3://host/y") == "s3://***@host/x, s3://host/y"
    (line,) = told(["seed=https://me:pass@host"])[1:]
    assert "pass" not in line
    assert "https://***@host" in line


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
