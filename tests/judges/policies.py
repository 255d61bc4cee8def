"""Each family as a policy, from a tiny random checkpoint: questions about pictures of different
numbers of tiles, and about two, are answered, aligned in one micro-batch and asked again of what
was saved, each held against transformers' own processor and forward pass.

    python -m tests.judges.policies [FAMILY …]

A cell of the table is the largest distance from the stock log-probabilities (of an answer's tokens)
or logits (of the first token that is drawn), or why not.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from actors.answering import JOINED
from actors.generators import AnswerGenerator, load_generator
from actors.processors import ProcessorError
from actors.trainers.answers import AnswerDPO, AnswerDPOLearner
from actors.trainers.batches import Shard, in_order
from factory.alignment.losses import Objective
from factory.media.pictures import encode_png
from schemas.arrow import pairs_to_table
from schemas.recipe import Answering, GeneratorSpec, Lora
from schemas.rows import Candidate, Media, Pair, Part, Prompt
from tests.judges.stock import Stock, followed
from tests.tiny.families import JUDGES

CPU = torch.device("cpu")
ANSWERS = ("a red circle", "large blue")
WORDS = "{media}{prompt}"  # of a family without a chat template
SIZES = [(24, 24), (24, 60), (70, 30)]  # one tile, two, more


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


# ----------------------------------------------------------------------------------- one family


def learner_of(path: str, lora: Lora | None = None) -> AnswerDPOLearner:
    """A learner of a family's checkpoint that has asked its untouched model about all pairs."""
    task = AnswerDPO(path, Objective(0.1), asking(path), lora=lora)
    learner = task.build(CPU, torch.float32)
    learner.module.train()
    rows = pairs_to_table(pairs())
    learner.prepare(learner.module, in_order({"pairs": Shard([rows], "pair_id")}, 4))
    return learner


def distance_of_alignment(learner: AnswerDPOLearner, stock: Stock) -> float:
    """The largest between the reference's log-probabilities of one micro-batch of all pairs and
    those of the stock model, token by token.
    """
    batch = learner.collate({"pairs": pairs_to_table(pairs())})
    ids = [learner.format.answer_ids(one) for one in ANSWERS]
    distances = []
    for row, found in enumerate(batch.ref_logp.double()):
        side, at = divmod(row, len(QUESTIONS))
        wanted = stock_log_p(stock, QUESTIONS[at], ids[side])
        distances.append((found[: len(wanted)] - wanted).abs().max().item())
    return max(distances)


def take_a_step(learner: AnswerDPOLearner) -> tuple[float, float]:
    """The loss before and after a step by which it would fall by 0.005 if it were straight: some
    random models are steep.
    """
    batch = learner.collate({"pairs": pairs_to_table(pairs())})
    loss, _ = learner.loss(learner.module, batch)
    loss.backward()
    moved = [one for one in learner.module.parameters() if one.grad is not None]
    slope = sum(float((one.grad**2).sum()) for one in moved if one.grad is not None)
    torch.optim.SGD(moved, lr=0.005 / slope).step()
    with torch.no_grad():
        after, _ = learner.loss(learner.module, batch)
    return loss.item(), after.item()


def distance_of_drawing(generator: AnswerGenerator, stock: Stock) -> float:
    """The largest between the logits from which first tokens are drawn, three answers in a batch,
    and the stock model's.
    """
    distances = []
    for shown in (QUESTIONS[1], QUESTIONS[3]):
        with listening(generator) as heard:
            generator.generate(prompt(*shown), [1, 2, 3])
        wanted = stock.logits([*map(Image.fromarray, shown), "what colour"])[0]
        distances += [(one - wanted).abs().max().item() for one in torch.cat(heard)]
    return max(distances)


def figures(families: Sequence[str] = ()) -> dict[str, object]:
    """The table of all families, or of some model types."""
    return {JUDGES[one].name: _row(one) for one in families or JUDGES}


def _row(family: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path, trained = Path(folder) / family, Path(folder) / "trained" / family
        for one in (path, trained):
            one.mkdir(parents=True)
        JUDGES[family].save(path)
        spec = GeneratorSpec(path=str(path), answering=asking(str(path), max_new_tokens=2))
        try:
            generator = load_generator(str(path), "policy@0", spec)
        except ProcessorError as error:
            return {"refused": str(error).replace(folder, "…")}
        assert isinstance(generator, AnswerGenerator)
        stock = Stock(str(path))
        learner = learner_of(str(path))
        row: dict[str, object] = {
            "draw": distance_of_drawing(generator, stock),
            "align": distance_of_alignment(learner, stock),
            "rows in one batch": family in JOINED,
        }
        before, after = take_a_step(learner)
        learner.save(trained)
        again = learner_of(str(trained))
        row["loss, one step"] = [before, after]
        row["reload"] = distance_of_alignment(again, Stock(str(trained)))
        return row


if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1:]), indent=2))
