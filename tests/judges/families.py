"""Each family of judges, taken through: loaded, asked about pictures and clips, trained whole and
with adapters, and loaded again by us and by transformers alone, from a tiny random checkpoint.

    python -m tests.judges.families [FAMILY …]

A cell of the table is "yes", or why not. "Yes" for judging means that the log-probabilities of
every verdict and score are those of a stock forward pass (`tests.judges.stock`) to 1e-5, in
float32; for loading again, that what is loaded answers as what was trained.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from actors.judges import TransformersJudge
from actors.trainers.judge import JudgeTask
from factory.judging.specification import JudgeSpecification, TaskSpecification
from factory.media.clips import decode_clip, encode_clip
from factory.media.pictures import decode, encode_png
from schemas.arrow import labels_to_table
from schemas.recipe import Lora
from schemas.rows import Candidate, Label, Media, Prompt
from tests.judges.stock import Clip, Content, Stock
from tests.tiny.checkpoints import TinyJudge
from tests.tiny.families import JUDGES

#: How far a log-probability may be from that of a stock forward pass in float32.
CLOSE = 1e-5
CELLS = (
    *("load", "judge pictures", "judge clips", "train whole", "train adapters"),
    *("reload by us", "reload by stock code"),
)
_ANSWERS = {
    "first": "Picture 1 is better",
    "second": "Picture 2 is better",
    "tie": "Both are equally good",
}
_TASK = TaskSpecification(
    pointwise="Picture 1: {media} caption: {prompt}. final score:",
    pairwise="Picture 1: {media} Picture 2: {media} caption: {prompt}. better:",
    scale=(1, 2, 3, 4, 5),
    answers=_ANSWERS,  # type: ignore[arg-type]
)
_SCORES = [f"{number:g}" for number in _TASK.scale]
_CAPTION = "a red circle"
_FRAMES = 4


class FaultError(AssertionError):
    """A cell that is neither a yes nor a refusal: the wrong answer."""


@dataclass
class Row:
    """What became of one family.

    cells: "yes" or why not, by the name of the cell.
    distance: the largest distance from a stock forward pass that was met, in log-probability.
    """

    cells: dict[str, str] = field(default_factory=dict)
    distance: float = 0.0


def figures(families: Sequence[str] = ()) -> dict[str, object]:
    """The table, and the distances of all that was compared.

    Args:
        families: model types; all where empty.
    """
    import transformers

    table: dict[str, object] = {}
    distances: dict[str, float] = {}
    for family in families or JUDGES:
        judge = JUDGES[family]
        with tempfile.TemporaryDirectory() as folder:
            row = take_through(judge, Path(folder))
        table[judge.name] = row.cells
        distances[judge.name] = row.distance
    return {
        "transformers": transformers.__version__,
        "table": table,
        "largest distance from stock": distances,
        "not in transformers": ["LLaVA-OneVision-1.5: it brings code of its own"],
    }


def take_through(judge: TinyJudge, folder: Path) -> Row:
    """One family's row; its checkpoints are made in a folder of its own."""
    base = folder / "base"
    base.mkdir(parents=True)
    judge.save(base)
    taken = _Taken(judge, base)
    row = Row()
    row.cells["load"] = _outcome(taken.load)
    if row.cells["load"] != "yes":
        return Row(dict.fromkeys(CELLS, row.cells["load"]))
    row.cells["judge pictures"] = _outcome(taken.judge_pictures)
    row.cells["judge clips"] = _outcome(taken.judge_clips)
    for name, lora in (("whole", None), ("adapters", Lora(rank=4, alpha=8))):
        row.cells[f"train {name}"] = _outcome(lambda to=folder / name, by=lora: taken.train(to, by))
    trained = folder / "whole"
    row.cells["reload by us"] = _outcome(lambda: taken.reload_by_us(trained))
    row.cells["reload by stock code"] = _outcome(lambda: taken.reload_by_stock(trained))
    row.distance = taken.distance
    return row


def specification(judge: TinyJudge) -> JudgeSpecification:
    """How a family is asked here: in a user's turn, about pictures and about clips of 4 frames."""
    tasks = {"image_generation": _TASK, "video_generation": replace(_TASK, num_frames=_FRAMES)}
    return JudgeSpecification(tasks, is_chat=judge.has_template)  # type: ignore[arg-type]


class _Taken:
    """One family on its way through the cells; each method is a cell, and says "yes" or a word
    more. What it raises is why not.
    """

    def __init__(self, judge: TinyJudge, base: Path) -> None:
        self.judge = judge
        self.base = base
        self.distance = 0.0
        self._answers: dict[Path, list[float]] = {}

    def load(self) -> str:
        _ours(self.judge, self.base)
        return "yes"

    def judge_pictures(self) -> str:
        stock = self._stock(self.base)
        prompt = Prompt.of(_CAPTION)
        media = [_picture(0, 40, 40), _picture(1, 40, 60), _picture(2, 24, 56)]
        shown = [Image.fromarray(decode(one.data)) for one in media]
        self._hold(_ours(self.judge, self.base), stock, prompt, media, [[one] for one in shown])
        return "yes"

    def judge_clips(self) -> str:
        """Where the family's template has no place for a clip, either it is refused, or its frames
        are shown as pictures, one after the other.
        """
        prompt = Prompt.of(_CAPTION, "video_generation")
        media = [_clip(seed) for seed in range(3)]
        ours = _ours(self.judge, self.base)
        stock = self._stock(self.base)
        frames = [decode_clip(one.data, _FRAMES) for one in media]
        if self.judge.takes_clips:
            seconds = media[0].num_frames / media[0].fps / _FRAMES
            self._hold(ours, stock, prompt, media, [[Clip(one, seconds)] for one in frames])
            return "yes"
        pictures = [[Image.fromarray(frame) for frame in one] for one in frames]
        self._hold(ours, stock, prompt, media, pictures)
        return "yes, as pictures in a row"

    def train(self, to: Path, lora: Lora | None) -> str:
        """Two steps on a pair and a score; what was trained is saved, and its answers kept."""
        task = JudgeTask(str(self.base), specification(self.judge), 0.5, lora=lora)
        learner = task.build(torch.device("cpu"), torch.float32)
        before = self._stock_answers(self._stock(self.base))
        batch = learner.collate({"labels": labels_to_table(_labels())})
        weights = [one for one in learner.module.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=3e-3)
        learner.module.train()
        for _ in range(2):
            loss, _ = learner.loss(learner.module, batch)
            if not math.isfinite(float(loss)):
                raise FaultError(f"a loss of {float(loss)}")
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        learner.module.eval()
        to.mkdir()
        learner.save(to)
        stock = self._stock(self.base)
        stock.model = learner.module
        self._answers[to] = self._stock_answers(stock)
        if _apart(before, self._answers[to]) < 1e-3:
            raise FaultError("two steps change no answer")
        return "yes"

    def reload_by_us(self, path: Path) -> str:
        judge = TransformersJudge(str(path), "judge@1")
        duel = judge.sit(Prompt.of(_CAPTION), _candidates(_PAIR)).duels([(0, 1)])[0]
        if duel.error is not None:
            raise FaultError(duel.error)
        self._close([math.log(p) for p in (duel.p_first, duel.p_second, duel.p_tie)], path)
        return "yes"

    def reload_by_stock(self, path: Path) -> str:
        self._close(self._stock_answers(self._stock(path)), path)
        return "yes"

    def _close(self, answers: Sequence[float], path: Path) -> None:
        if path not in self._answers:
            raise FaultError("nothing was trained")
        self._met(_apart(answers, self._answers[path]), "answers otherwise than what was trained")

    def _stock(self, path: Path) -> Stock:
        return Stock(str(path), shows_first=self.judge.shows_first)

    def _stock_answers(self, stock: Stock) -> list[float]:
        pictures = [[Image.fromarray(decode(one.data))] for one in _PAIR]
        return stock.log_p(self._content(_TASK.pairwise, pictures), list(_ANSWERS.values()))

    def _hold(
        self,
        ours: TransformersJudge,
        stock: Stock,
        prompt: Prompt,
        media: Sequence[Media],
        shown: Sequence[Content],
    ) -> None:
        """Hold all scores and some duels of candidates against stock forward passes.

        Args:
            media: of each candidate.
            shown: what a stock user shows of each.
        """
        sitting = ours.sit(prompt, _candidates(media))
        for score, side in zip(sitting.scores(), shown, strict=True):
            if score.error is not None:
                raise ValueError(score.error)
            log_p = stock.log_p(self._content(_TASK.pointwise, [side]), _SCORES)
            mean = sum(math.exp(one) * n for one, n in zip(log_p, _TASK.scale, strict=True))
            self._met(abs(score.value - mean) / mean, "scores otherwise than the stock forward")
        matches = [(0, 1), (1, 0), (2, 0)]
        for match, duel in zip(matches, sitting.duels(matches), strict=True):
            content = self._content(_TASK.pairwise, [shown[index] for index in match])
            log_p = stock.log_p(content, list(_ANSWERS.values()))
            found = [math.log(p) for p in (duel.p_first, duel.p_second, duel.p_tie)]
            self._met(_apart(found, log_p), "judges otherwise than the stock forward")

    def _met(self, distance: float, fault: str) -> None:
        self.distance = max(self.distance, distance)
        if not distance <= CLOSE:
            raise FaultError(f"{fault}, by {distance:.2g}")

    def _content(self, template: str, sides: Sequence[Content]) -> list[Any]:
        """A user's turn: the words of a template, and each side's media in their places."""
        made: list[Any] = []
        left = iter(sides)
        words = template.replace("{prompt}", _CAPTION).split("{media}")
        for number, text in enumerate(words):
            made += [text] if number == 0 else [*next(left), text]
        return made


def _ours(judge: TinyJudge, base: Path) -> TransformersJudge:
    return TransformersJudge(str(base), "judge@0", specification=specification(judge))


def _outcome(check: Callable[[], str]) -> str:
    try:
        return check()
    except FaultError as error:
        return f"WRONG: {error}"
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        return text[:300]


def _apart(one: Sequence[float], other: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _picture(seed: int, height: int, width: int) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Media(encode_png(pixels), width, height)


def _clip(seed: int) -> Media:
    shape = (9, 40, 40, 3)
    frames = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Media(encode_clip(frames, 4), 40, 40, 9, 4.0)


#: What is asked about before and after training.
_PAIR = (_picture(0, 40, 40), _picture(1, 40, 60))


def _candidates(media: Sequence[Media]) -> list[Candidate]:
    return [Candidate(str(at), "generator@0", 0, one) for at, one in enumerate(media)]


def _labels() -> list[Label]:
    prompt = Prompt.of(_CAPTION)
    return [
        Label("pair", prompt, "simulated:a", *_PAIR, preference="first"),
        Label("point", prompt, "simulated:a", _PAIR[0], points=4.0),
    ]


if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1:]), indent=2))
