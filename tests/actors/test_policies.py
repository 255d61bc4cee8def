"""Each family as a policy: answers are drawn, aligned on pictures of different numbers of tiles in
one micro-batch, and loaded again, each held against transformers' own processor and forward pass.

The weights are random and tiny (`tests.tiny.families`): what is compared is arithmetic.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from actors.checkpoints import load_whole
from actors.generators import AnswerGenerator, load_generator
from actors.trainers.answers import AnswerDPO
from actors.trainers.batches import Shard, in_order
from factory.alignment.losses import Objective
from factory.media.pictures import encode_png
from jobs.rounds.checks import check_generator
from jobs.rounds.workspace import InputError
from schemas.arrow import pairs_to_table
from schemas.recipe import Answering, GeneratorSpec, Lora, Recipe
from schemas.rows import Candidate, Media, Pair, Part, Prompt
from tests.judges.stock import Stock, followed
from tests.tiny.families import JUDGES

CPU = torch.device("cpu")
FAMILIES = [one for one in JUDGES if "num2words" not in JUDGES[one].needs]
WORDS = "{media}{prompt}"  # of a family without a chat template
SIZES = [(24, 24), (24, 60), (70, 30)]  # one tile, two, more


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp(request.param) / request.param
    directory.mkdir()
    JUDGES[request.param].save(directory)
    return str(directory)


def asking(path: str, **more: object) -> Answering:
    has_template = JUDGES[Path(path).name].has_template
    return Answering.model_validate({"question": None if has_template else WORDS, **more})


def pixels(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def prompt(*pictures: np.ndarray) -> Prompt:
    parts = [
        Part("question", media=Media(encode_png(one), one.shape[1], one.shape[0]))
        for one in pictures
    ]
    return Prompt.of_parts([*parts, Part("user", "what colour")], "image_understanding")


QUESTIONS = [
    *[[pixels(at, *size)] for at, size in enumerate(SIZES)],
    [pixels(7, 24, 40), pixels(8, 60, 24)],
]


def pairs() -> list[Pair]:
    """Three questions about a picture of another number of tiles each, and one about two."""
    base = Pair(
        "pair",
        prompt(*QUESTIONS[0]),
        Candidate("c", "p@0", 1, answer="a red circle"),
        Candidate("r", "p@0", 2, answer="large blue"),
        "judge@1",
        *(1.0, 0.2, 1.0, 0.8, False, "kept"),
    )
    return [
        replace(base, pair_id=f"pair-{at}", prompt=prompt(*shown))
        for at, shown in enumerate(QUESTIONS)
    ]


def stock_log_p(stock: Stock, shown: list[np.ndarray], answer: list[int]) -> torch.Tensor:
    """Of an answer's tokens, by the stock processor and one forward pass without padding."""
    content = [*map(Image.fromarray, shown), "what colour"]
    inputs = followed(stock.inputs(content), answer, stock.model.config.model_type)
    with torch.no_grad():
        logits = stock.model(**inputs).logits[0, -len(answer) - 1 : -1]
    return logits.double().log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]


def test_what_is_aligned_is_what_the_stock_model_says(family: str, tmp_path: Path) -> None:
    """One micro-batch of all questions, whatever their tiles; then a step, and what it saved."""
    rows = pairs_to_table(pairs())
    task = AnswerDPO(family, Objective(0.1), asking(family))
    learner = task.build(CPU, torch.float32)
    learner.module.train()
    learner.prepare(learner.module, in_order({"pairs": Shard([rows], "pair_id")}, 4))
    batch = learner.collate({"pairs": rows})
    stock = Stock(family)
    answers = [learner.format.answer_ids(one) for one in ("a red circle", "large blue")]
    for row, found in enumerate(batch.ref_logp):
        side, at = divmod(row, len(QUESTIONS))
        wanted = stock_log_p(stock, QUESTIONS[at], answers[side])
        given = found[: len(wanted)].double()
        torch.testing.assert_close(given, wanted, rtol=1e-5, atol=2e-5, msg=f"row {row}")
    loss, scalars = learner.loss(learner.module, batch)
    assert abs(scalars["margin"]) < 1e-5  # nothing is preferred before the first step
    loss.backward()
    moved = [one for one in learner.module.parameters() if one.grad is not None]
    slope = sum(float((one.grad**2).sum()) for one in moved)
    # A step by which the loss would fall by 0.005 if it were straight: some models are steep.
    torch.optim.SGD(moved, lr=0.005 / slope).step()
    with torch.no_grad():
        after, _ = learner.loss(learner.module, batch)
    assert 0 < loss - after < 0.01
    learner.save(tmp_path)
    again = AnswerDPO(str(tmp_path), Objective(0.1), task.asking).build(CPU, torch.float32)
    trained = Stock(str(tmp_path))
    with torch.no_grad():
        logp = again._log_probabilities(again.module, *again._tensors(rows.to_pylist()))
    wanted = stock_log_p(trained, QUESTIONS[3], answers[0])
    torch.testing.assert_close(logp[3, : len(wanted)].double(), wanted, rtol=1e-5, atol=2e-5)
    assert (logp[3, : len(wanted)] - batch.ref_logp[3, : len(wanted)]).abs().max() > 1e-3


def test_adapters_reach_the_language_model_and_are_merged(family: str, tmp_path: Path) -> None:
    rows = pairs_to_table(pairs()[:1])
    task = AnswerDPO(family, Objective(0.1), asking(family), lora=Lora(rank=2, alpha=4))
    learner = task.build(CPU, torch.float32)
    learner.prepare(learner.module, in_order({"pairs": Shard([rows], "pair_id")}, 1))
    free = [one for one in learner.module.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(free, lr=1.0)
    for _ in range(2):  # the first step moves one half of each adapter alone
        optimizer.zero_grad()
        loss, _ = learner.loss(learner.module, learner.collate({"pairs": rows}))
        loss.backward()
        optimizer.step()
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
    stock = Stock(family)
    for shown in (QUESTIONS[1], QUESTIONS[3]):
        with listening(generator) as heard:
            together = generator.generate(prompt(*shown), [1, 2, 3])
            alone = [generator.generate(prompt(*shown), [seed])[0] for seed in (1, 2, 3)]
        assert [one.answer for one in together] == [one.answer for one in alone]
        content = [*map(Image.fromarray, shown), "what colour"]
        wanted = stock.logits(content)[0]
        for logits in torch.cat(heard):
            torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


@contextmanager
def listening(generator: AnswerGenerator) -> Iterator[list[torch.Tensor]]:
    """Within, the logits [B, V] of the first token of each batch that is generated."""
    heard: list[torch.Tensor] = []
    generate = generator.model.generate

    def told(**given: object) -> torch.Tensor:
        made = generate(**given, output_logits=True, return_dict_in_generate=True)
        heard.append(made.logits[0])
        return made.sequences

    generator.model.generate = told
    yield heard
    generator.model.generate = generate


def test_a_policy_of_each_family_passes_the_plan(family: str) -> None:
    spec = GeneratorSpec(path=family, answering=asking(family))
    recipe = Recipe.model_validate({"name": "r", "root": "nowhere", "generator": dict(spec)})
    check_generator(spec, recipe, is_trained=True)


def test_a_package_that_a_processor_takes_is_named_at_the_plan(tmp_path: Path) -> None:
    JUDGES["smolvlm"].save(tmp_path)
    spec = GeneratorSpec(path=str(tmp_path))
    recipe = Recipe.model_validate({"name": "r", "root": "nowhere", "generator": dict(spec)})
    with pytest.raises(InputError, match=r"generator\.path: .*takes num2words: pip install num2"):
        check_generator(spec, recipe)
