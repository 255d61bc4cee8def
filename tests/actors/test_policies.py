"""Each family as a policy: answers are drawn, aligned on pictures of different numbers of tiles in
one micro-batch, and loaded again, each held against transformers' own processor and forward pass.

The weights are random and tiny (`tests.tiny.families`): what is compared is arithmetic.
"""

import json
from pathlib import Path

import pytest
import torch

from actors.answering import QuestionFormat
from actors.checkpoints import load_whole
from actors.generators import AnswerGenerator, load_generator
from actors.processors import load_processor
from jobs.rounds.checks import check_generator
from jobs.rounds.workspace import InputError
from schemas.arrow import pairs_to_table
from schemas.recipe import GeneratorSpec, Lora, Recipe
from tests.judges.policies import (
    QUESTIONS,
    asking,
    distance_of_alignment,
    distance_of_drawing,
    learner_of,
    pairs,
    prompt,
    take_a_step,
)
from tests.judges.stock import Stock
from tests.tiny.families import JUDGES

FAMILIES = [one for one in JUDGES if "num2words" not in JUDGES[one].needs]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp(request.param) / request.param
    directory.mkdir()
    JUDGES[request.param].save(directory)
    return str(directory)


def test_what_is_aligned_is_what_the_stock_model_says(family: str, tmp_path: Path) -> None:
    """One micro-batch of all questions, whatever their tiles; then a step, and what it saved."""
    learner = learner_of(family)
    assert distance_of_alignment(learner, Stock(family)) < 1e-5
    batch = learner.collate({"pairs": pairs_to_table(pairs())})
    _, scalars = learner.loss(learner.module, batch)
    assert abs(scalars["margin"]) < 1e-5  # nothing is preferred before the first step
    before, after = take_a_step(learner)
    assert 0 < before - after < 0.01
    trained = tmp_path / Path(family).name
    trained.mkdir()
    learner.save(trained)
    again = learner_of(str(trained))
    assert distance_of_alignment(again, Stock(str(trained))) < 1e-5
    moved = again.collate({"pairs": pairs_to_table(pairs())}).ref_logp - batch.ref_logp
    assert moved.abs().max() > 1e-3


def test_adapters_reach_the_language_model_and_are_merged(family: str, tmp_path: Path) -> None:
    learner = learner_of(family, Lora(rank=2, alpha=4))
    for _ in range(2):  # the first step moves one half of each adapter alone
        take_a_step(learner)
    learner.save(tmp_path)
    plain, merged = (load_whole(at, torch.float32).state_dict() for at in (family, str(tmp_path)))
    changed = {name for name, one in plain.items() if not torch.equal(one, merged[name])}
    assert changed
    assert all(name.endswith("_proj.weight") for name in changed)
    assert not any("vis" in name for name in changed)


def test_answers_are_drawn_from_their_own_pictures_and_seeds(family: str) -> None:
    """Three in a batch are those that are drawn alone, and the first token of each is drawn from
    what the stock model says, of two pictures too.
    """
    spec = GeneratorSpec(path=family, answering=asking(family, max_new_tokens=3))
    generator = load_generator(family, "policy@0", spec)
    assert isinstance(generator, AnswerGenerator)
    asked = prompt(*QUESTIONS[3])
    together = generator.generate(asked, [1, 2, 3])
    alone = [generator.generate(asked, [seed])[0] for seed in (1, 2, 3)]
    assert [one.answer for one in together] == [one.answer for one in alone]
    assert distance_of_drawing(generator, Stock(family)) < 1e-5


def test_an_answer_ends_where_the_published_configuration_says(family: str) -> None:
    """Gemma's turns do not end in the token that its tokenizer calls the end."""
    generation = json.loads((Path(family) / "generation_config.json").read_text())
    ends = generation["eos_token_id"]
    end = QuestionFormat(load_processor(family), asking(family)).end_id
    assert end == ends or end in ends


def test_a_policy_of_each_family_passes_the_plan(family: str) -> None:
    spec = GeneratorSpec(path=family, answering=asking(family))
    recipe = Recipe.model_validate({"name": "r", "root": "nowhere", "generator": dict(spec)})
    check_generator(spec, recipe, is_trained=True)


def test_a_package_that_a_processor_takes_is_named_at_the_plan(tmp_path: Path) -> None:
    JUDGES["smolvlm"].save(tmp_path)
    spec = GeneratorSpec(path=str(tmp_path))
    recipe = Recipe.model_validate({"name": "r", "root": "nowhere", "generator": dict(spec)})
    with pytest.raises(InputError, match=r"generator\.path: .*needs num2words: pip install num2"):
        check_generator(spec, recipe)
