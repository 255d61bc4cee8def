"""The rule of identity held against what an old commit made: its artifacts, settings and ids.

tests/fixtures/d5e4ef4 holds a root of that commit, the recipes that it shipped, and what it took
for the identity of each of their stages. Nothing here writes to it.
"""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import pytest

from actors.drawing import candidate_ids
from factory.candidates import candidate_seeds
from jobs.rounds import lifecycle
from jobs.rounds.lifecycle import Blueprint, Started
from jobs.rounds.workspace import InputError, Round
from jobs.stages import align
from jobs.stages.base import Stage, blueprint_of, find_complete
from schemas import manifest
from schemas.artifacts import KINDS, kind_named
from schemas.identity import FirstDefault
from schemas.recipe import Align, GeneratorSpec
from schemas.recipe_file import load
from schemas.rows import Prompt

FIXTURE = Path(__file__).resolve().parents[2] / "fixtures" / "d5e4ef4"
IDENTITIES: dict[str, Any] = json.loads((FIXTURE / "identities.json").read_text())
STAGES = [  # that made something in the fixture; agreement is made by a tool
    kind.name
    for kind in KINDS
    if kind.name not in ("agreement", "stability", "candidates", "export", "judge_card")
]


@pytest.fixture(autouse=True)
def _within_the_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FIXTURE)  # its recipes name paths as they were then


def stage_of(kind: str) -> Stage:
    stage: Stage = import_module(f"jobs.stages.{kind_named(kind).job}").STAGE
    return stage


def with_other_settings(at: Round, kind: str, old: dict[str, Any]) -> list[str]:
    """How what the stage would make differs from what was begun with these settings."""
    wanted = Blueprint(at.directory(kind), kind, stage_of(kind).settings(at), ())
    return wanted.differences(Started(old["fingerprint"], old["settings"]))


# ------------------------------------------------------------------------------------- recipes

#: Without constants of its own a recipe's noise is fitted now, and was a constant in points: pairs
#: that were made so are told from those that would be made.
THIN_NOW = "objections.min_margin: 0.3 -> None"  # a share of the scale, where it is not given
FITTED_NOW = [
    "rank.duel_sd: 0.5 -> None",
    "rank.fusion: 'least_squares' -> None",
    "rank.logits_per_point: 2.0 -> None",
    "rank.p_tie: 0.2 -> None",
    "rank.score_sd: 0.5 -> None",
]


@pytest.mark.parametrize("name", sorted(IDENTITIES))
def test_an_old_recipe_asks_for_the_work_that_it_asked_for(name: str) -> None:
    old = IDENTITIES[name]
    at = Round(load(name), old["round"])
    assert at.seed == old["seed"]
    assert len(old["stages"]) > 7
    for kind, stage in old["stages"].items():
        is_fitted = kind == "pairs" and not at.recipe.curate.rank.is_in_points
        is_thin = at.recipe.curate.objections.min_margin is None
        wanted = [*([THIN_NOW] if is_thin else []), *FITTED_NOW] if is_fitted else []
        assert sorted(with_other_settings(at, kind, stage)) == wanted, kind


@pytest.mark.parametrize("name", sorted(IDENTITIES))
def test_an_old_recipes_candidates_keep_their_seeds_and_ids(name: str) -> None:
    at = Round(load(name), IDENTITIES[name]["round"])
    specs = {f"{one.name}@0": one for one in (at.recipe.generator, *at.recipe.produce.also)}
    assert IDENTITIES[name]["drawn"]
    for old in IDENTITIES[name]["drawn"]:
        prompt, spec = Prompt.of(old["text"], old["task"]), specs[old["generator"]]
        seeds = candidate_seeds(prompt, spec.name, at.seed, len(old["seeds"]))
        assert seeds == old["seeds"]
        assert candidate_ids(old["generator"], spec, prompt, seeds) == old["candidates"]


@pytest.mark.parametrize(
    ("kind", "override", "difference"),
    [
        ("labels", "labels.num_candidates=4", "num_candidates: 3 -> 4"),
        ("judge", "train_judge.score_weight=0.5", "train_judge.score_weight: 0.0 -> 0.5"),
        ("groups", "generator.guidance_scale=5", "generator.guidance_scale: 2.0 -> 5.0"),
        ("profile", "audit.min_share=0.5", "min_share: "),
        ("pairs", "curate.objections.min_margin=9", "objections.min_margin: "),
        ("generator", "align.num_workers=2", "align.num_workers: 1 -> 2"),
        ("evaluation", "evaluate.images_per_prompt=3", "evaluate.images_per_prompt: 2 -> 3"),
        ("human_audit", "human_audit.num_resamples=51", "num_resamples: 50 -> 51"),
        ("local_judge", "localise.lora=null", "localise.lora: "),
        ("light_judge", "distil.vision_layers=1", "distil.vision_layers: None -> 1"),
    ],
)
def test_a_real_difference_is_said_by_its_key(kind: str, override: str, difference: str) -> None:
    at = Round(load("recipe.yaml", [override]), 2)
    (line,) = with_other_settings(at, kind, IDENTITIES["recipe.yaml"]["stages"][kind])
    assert line.startswith(difference)


@pytest.mark.parametrize(
    ("kind", "override"),
    [
        ("labels", "generator.path=elsewhere"),
        ("judge", "train_judge.log_every=3"),
        ("groups", "produce.judges={size: 3}"),
        ("groups", "criteria.named.0.weight=3"),
        ("pairs", "evaluate.prompts=elsewhere.txt"),
        ("generator", "align.cache_gb=0"),
        ("evaluation", "evaluate.heldout_judge.max_batch=1"),
        ("human_audit", "human_audit.sheets=[elsewhere.csv]"),
        ("local_judge", "localise.cpus_per_worker=2"),
    ],
)
def test_a_place_or_a_resource_is_none(kind: str, override: str) -> None:
    key, _, value = override.partition("=")
    if ".named." in key:  # of a list, which overrides give whole
        recipe = load("recipe.yaml")
        named = [one.model_copy(update={"weight": value}) for one in recipe.criteria.named]
        criteria = recipe.criteria.model_copy(update={"named": named})
        at = Round(recipe.model_copy(update={"criteria": criteria}), 2)
    else:
        at = Round(load("recipe.yaml", [override]), 2)
    assert with_other_settings(at, kind, IDENTITIES["recipe.yaml"]["stages"][kind]) == []


# ---------------------------------------------------------------------------------------- root


@pytest.fixture
def at() -> Round:
    return Round(load("recipe.yaml"), 1)


@pytest.mark.parametrize(
    ("number", "kind"), [*((1, kind) for kind in STAGES), (2, "labels"), (2, "judge")]
)
def test_what_was_complete_is_found_complete(at: Round, number: int, kind: str) -> None:
    round_ = Round(at.recipe, number)
    made = find_complete(stage_of(kind), round_)
    assert made is not None
    assert made == manifest.read(round_.directory(kind))


def test_what_was_begun_is_known_by_the_name_that_it_was_begun_under(at: Round) -> None:
    blueprint = blueprint_of(stage_of("groups"), Round(at.recipe, 2))
    begun = json.loads((blueprint.directory / ".started.json").read_text())
    assert lifecycle.known_as(blueprint) == begun["fingerprint"] != blueprint.fingerprint
    assert lifecycle.begin(blueprint, resumes=True) == Started(**begun)


def test_other_inputs_are_told_from_other_settings(at: Round) -> None:
    blueprint = blueprint_of(stage_of("pairs"), at)
    first, *others = blueprint.parents
    changed = replace(blueprint, parents=(replace(first, digest="0" * 16), *others))
    with pytest.raises(InputError, match="pairs@1 was made with another recipe:\n  its inputs"):
        lifecycle.find(changed)
    without = replace(blueprint, parents=blueprint.parents[:-1])
    with pytest.raises(InputError, match="its inputs have changed"):
        lifecycle.find(without)


class Align2(Align):
    """`align` as it may become: with a knob more, and another default."""

    noise: float = 0.5
    sft_weight: Annotated[float, FirstDefault(0.0)] = 10.0
    full_margin: Annotated[float, FirstDefault(2.0)] = 3.0


class Settings2(align.Settings):
    align: Align2


def test_an_old_artifact_outlives_new_knobs_and_new_defaults(at: Round) -> None:
    blueprint = blueprint_of(stage_of("generator"), at)
    now = at.recipe.align.model_dump(exclude_unset=True)
    settings = dict(blueprint.settings)

    def with_align(**more: Any) -> Blueprint:
        again = Settings2(**{**settings, "align": Align2(**{**now, **more})})
        return replace(blueprint, settings=again)

    assert lifecycle.find(with_align(full_margin=2.0)) is not None
    with pytest.raises(InputError, match=r"recipe:\n  align\.full_margin: 2\.0 -> 3\.0\n"):
        lifecycle.find(with_align())
    with pytest.raises(InputError, match=r"recipe:\n  align\.noise: 0\.5 -> 0\.25\n"):
        lifecycle.find(with_align(full_margin=2.0, noise=0.25))


def test_a_new_knob_of_a_generator_changes_no_id_until_it_is_turned(at: Round) -> None:
    class Spec2(GeneratorSpec):
        shift: float = 1.0

    given = at.recipe.generator.model_dump()
    prompt = Prompt.of("a red circle")
    old = candidate_ids("sketch@0", at.recipe.generator, prompt, [1])
    assert candidate_ids("sketch@0", Spec2(**given), prompt, [1]) == old
    assert candidate_ids("sketch@0", Spec2(**given, shift=2.0), prompt, [1]) != old
