"""Each family of judges, taken through: loaded, asked about pictures, clips and answers on either,
trained whole and with adapters, loaded again by us and by transformers alone, and named as the
judge of `evaluate_judge` and `produce`, from a tiny random checkpoint.

    python -m tests.judges.families [FAMILY …]

A cell of the table is "yes", or why not. "Yes" for judging means that the log-probabilities of all
verdicts, and the scores, are those of a stock forward pass (`tests.judges.stock`) to 1e-5 in
float32; for loading again, that what is loaded answers as what was trained; for a job, that it
writes what the judge says in this process. A family that has a fast path is judged by both paths.
An answer that is neither right nor refused is WRONG.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from actors.judges import TransformersJudge
from actors.trainers.judge import JudgeTask
from factory.judging.specification import JudgeSpecification, SpecificationError
from factory.media.clips import decode_clip
from jobs.session.ray_session import ray_session
from schemas.arrow import labels_to_table
from schemas.recipe import Lora
from schemas.rows import Candidate, Label, Media, Prompt, Task
from tests.judges import in_jobs
from tests.judges.holding import (
    ANSWERED,
    ANSWERS,
    ASKED,
    CAPTION,
    PICTURES,
    QUESTION,
    SAID,
    SEEN,
    Holding,
    WrongError,
    answers,
    candidates,
    clip,
    content,
    still,
)
from tests.judges.stock import Clip, Content, Stock
from tests.tiny.checkpoints import TinyJudge
from tests.tiny.families import JUDGES

#: What is tried in this process, and what by the jobs.
CELLS = (
    *("load", "judge pictures", "judge clips", "judge answers on pictures"),
    *("judge answers on clips", "train whole", "reload by us", "reload by stock code"),
    *("train adapters", "reload adapters by us", "reload adapters by stock code"),
)
JOBS = ("evaluate_judge", "produce")
_FRAMES = 4


@dataclass
class Row:
    """What became of one family.

    cells: "yes" or why not, by the name of the cell.
    distance: the largest distance from a stock forward pass that was met.
    """

    cells: dict[str, str] = field(default_factory=dict)
    distance: float = 0.0


def figures(families: Sequence[str] = ()) -> dict[str, object]:
    """The table, the largest distance of each family from its stock forward pass, and what became
    of all other types of the mapping (`tests.judges.sweep`).

    Args:
        families: model types; all where empty, and all other types with them.
    """
    import transformers

    from tests.judges.sweep import sweep

    rows: dict[str, Row] = {}
    for family in families or JUDGES:
        with tempfile.TemporaryDirectory() as folder:
            rows[JUDGES[family].name] = take_through(JUDGES[family], Path(folder))
        print(f"{family}: {rows[JUDGES[family].name].cells}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder, ray_session(in_jobs.recipe(Path(folder))):
        for family in families or JUDGES:
            cells = take_through_jobs(JUDGES[family], Path(folder))
            rows[JUDGES[family].name].cells |= cells
            print(f"{family}: {cells}", file=sys.stderr, flush=True)
    others = {} if families else {"other types of the mapping": sweep()}
    return {
        "transformers": transformers.__version__,
        "table": {name: row.cells for name, row in rows.items()},
        "largest distance from stock": {name: row.distance for name, row in rows.items()},
        "not in transformers": ["LLaVA-OneVision-1.5 brings code of its own"],
        **others,
    }


def take_through(judge: TinyJudge, folder: Path) -> Row:
    """One family's row; its checkpoints are made in an empty folder."""
    base = folder / "base"
    base.mkdir()
    judge.save(base)
    passage = Passage(judge, base)
    loads = _outcome(folder, passage.load)
    if loads != "yes":
        wanted = [package for package in judge.lacking() if package in loads.lower()]
        # One missing package is named at a time; the reader wants to know them all.
        return Row(dict.fromkeys(CELLS, _needs(judge) if wanted else loads))
    whole, adapted = folder / "whole", folder / "adapted"
    checks: dict[str, Callable[[], str]] = {
        "judge pictures": passage.judge_pictures,
        "judge clips": passage.judge_clips,
        "judge answers on pictures": passage.judge_answers_on_pictures,
        "judge answers on clips": passage.judge_answers_on_clips,
        "train whole": lambda: passage.train(whole, None),
        "reload by us": lambda: passage.reload_by_us(whole),
        "reload by stock code": lambda: passage.reload_by_stock(whole),
        "train adapters": lambda: passage.train(adapted, Lora(rank=4, alpha=8)),
        "reload adapters by us": lambda: passage.reload_by_us(adapted),
        "reload adapters by stock code": lambda: passage.reload_by_stock(adapted),
    }
    cells = {name: _outcome(folder, check) for name, check in checks.items()}
    return Row({"load": loads, **cells}, passage.holding.distance)


def take_through_jobs(judge: TinyJudge, folder: Path) -> dict[str, str]:
    """One family's cells of `JOBS`, in a Ray that is there; `folder` is shared by all families."""
    base = folder / judge.family
    base.mkdir()
    judge.save(base)
    asked = specification(judge)
    asked.save(base)
    labels = _labels("heldout")
    ours: TransformersJudge | None = None
    with suppress(SpecificationError):  # the plan is to say so as well, and is asked below
        ours = TransformersJudge(str(base), "judge@0")
    jobs: dict[str, Callable[[], str]] = {
        "evaluate_judge": lambda: in_jobs.evaluate(ours, base, labels),
        "produce": lambda: in_jobs.produce(ours, base),
    }
    cells = {name: _outcome(folder, job) for name, job in jobs.items()}
    if ours is None and all(
        package in said for said in cells.values() for package in judge.lacking()
    ):
        return dict.fromkeys(JOBS, _needs(judge))
    return cells


def specification(judge: TinyJudge) -> JudgeSpecification:
    """How a family is asked: in a user's turn, about pictures, about clips of 4 frames, and about
    answers to questions about either.
    """
    return JudgeSpecification(
        {
            "image_generation": QUESTION,
            "video_generation": replace(QUESTION, num_frames=_FRAMES),
            "image_understanding": ANSWERED,
            "video_understanding": replace(ANSWERED, num_frames=_FRAMES),
        },
        is_chat=judge.has_template,
    )


class Passage:
    """One family on its way through the table. Each method is a cell, and says "yes"; what it
    raises is why not.
    """

    def __init__(self, judge: TinyJudge, base: Path) -> None:
        self.judge = judge
        self.base = base
        self.holding = Holding()
        self._trained: dict[Path, list[float]] = {}

    def load(self) -> str:
        self._judges()
        return "yes"

    def judge_pictures(self) -> str:
        stock = self._stock(self.base)
        for ours in self._judges():
            _seen(self.holding.hold(ours, stock, Prompt.of(CAPTION), PICTURES))
        return "yes"

    def judge_clips(self) -> str:
        """A family with no place for a clip is shown its frames, one picture after the other."""
        media = [clip(seed) for seed in range(3)]
        prompt = Prompt.of(CAPTION, "video_generation")
        if self._lacks_stock_clips():
            return self._unheld(prompt, candidates(media))
        stock = self._stock(self.base)
        rows = [self._shown(one) for one in media]
        for ours in self._judges():
            _seen(self.holding.hold(ours, stock, prompt, media, rows))
        return self._as_clips()

    def judge_answers_on_pictures(self) -> str:
        stock = self._stock(self.base)
        for ours in self._judges():
            _seen(self._held(ours, stock, "image_understanding", PICTURES))
        return "yes"

    def judge_answers_on_clips(self) -> str:
        media = [clip(seed) for seed in range(2)]
        if self._lacks_stock_clips():
            return self._unheld(_question(media[0], "video_understanding"), answers())
        stock = self._stock(self.base)
        for ours in self._judges():
            _seen(self._held(ours, stock, "video_understanding", media))
        return self._as_clips()

    def _held(
        self, ours: TransformersJudge, stock: Stock, task: Task, media: Sequence[Media]
    ) -> float:
        """How far the score of the same answer moves with what the question is about."""
        of_first = [
            self.holding.hold_answers(ours, stock, _question(one, task), self._shown(one))[0]
            for one in media
        ]
        return max(of_first) - min(of_first)

    def _shown(self, one: Media) -> Content:
        """A medium as a user of stock code shows it."""
        if one.num_frames == 1:
            return [still(one)]
        frames = decode_clip(one.data, _FRAMES)
        if not self.judge.takes_clips:
            return [Image.fromarray(frame) for frame in frames]
        return [Clip(frames, one.num_frames / (one.fps or 1.0) / _FRAMES)]

    def _lacks_stock_clips(self) -> bool:
        """Whether clips are judged here, and no stock forward pass of one can be had."""
        return self.judge.takes_clips and bool(self.judge.lacking())

    def _unheld(self, prompt: Prompt, sides: Sequence[Candidate]) -> str:
        """Only the fast path judges clips without the stock processor's half for them."""
        ours, *_ = self._judges()
        try:
            duels = ours.sit(prompt, sides).duels([(0, 1), (1, 0)])
        except SpecificationError as error:
            if ours.eyes is None and all(one in str(error) for one in self.judge.lacking()):
                return _needs(self.judge)
            raise
        if faults := [duel.error for duel in duels if duel.error is not None]:
            raise ValueError(faults[0])
        if ours.eyes is None:
            raise WrongError("a clip is judged by a processor that cannot read it")
        return f"yes, but a stock forward to hold it against {_needs(self.judge)}"

    def _as_clips(self) -> str:
        return "yes" if self.judge.takes_clips else "yes, as pictures in a row"

    def train(self, to: Path, lora: Lora | None) -> str:
        """Two steps on pairs and scores, of pictures and of answers. What was trained is saved, and
        its answers kept.
        """
        task = JudgeTask(str(self.base), specification(self.judge), 0.5, lora=lora)
        learner = task.build(torch.device("cpu"), torch.float32)
        stock = self._stock(self.base)
        before = self._answers(stock)
        batch = learner.collate({"labels": labels_to_table(_labels())})
        weights = [one for one in learner.module.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=3e-3)
        learner.module.train()
        for _ in range(2):
            loss, _ = learner.loss(learner.module, batch)
            if not math.isfinite(loss.item()):
                raise WrongError(f"the loss is {loss.item()}")
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        learner.module.eval()
        to.mkdir()
        learner.save(to)
        stock.model = learner.module
        self._trained[to] = self._answers(stock)
        if max(abs(a - b) for a, b in zip(before, self._trained[to], strict=True)) < 1e-3:
            raise WrongError("two steps change no answer")
        return "yes"

    def reload_by_us(self, path: Path) -> str:
        judge = TransformersJudge(str(path), "judge@1")
        of_pictures = judge.sit(Prompt.of(CAPTION), candidates(PICTURES))
        of_answers = judge.sit(_question(PICTURES[0]), answers())
        found = []
        for sitting in (of_pictures, of_answers):
            (duel,) = sitting.duels([(0, 1)])
            if duel.error is not None:
                raise WrongError(duel.error)
            found += [math.log(p) for p in (duel.p_first, duel.p_second, duel.p_tie)]
        self.holding.met(found, self._of(path), "verdicts of what was loaded again")
        return "yes"

    def reload_by_stock(self, path: Path) -> str:
        found = self._answers(self._stock(path))
        self.holding.met(found, self._of(path), "verdicts of what was loaded again")
        return "yes"

    def _judges(self) -> list[TransformersJudge]:
        """By the path that its family takes; by the plain one too where that is another."""
        asked = specification(self.judge)
        first = TransformersJudge(str(self.base), "judge@0", specification=asked)
        if first.eyes is None:
            return [first]
        return [first, TransformersJudge(str(self.base), "j@0", specification=asked, run="plain")]

    def _stock(self, path: Path) -> Stock:
        return Stock(str(path), shows_first=self.judge.shows_first)

    def _of(self, path: Path) -> list[float]:
        if path not in self._trained:
            raise ValueError("nothing was trained")
        return self._trained[path]

    def _answers(self, stock: Stock) -> list[float]:
        """Of the first two pictures, and of two answers to a question about the first."""
        sides = [[still(one)] for one in PICTURES[:2]]
        asked = content(ANSWERED.pairwise, sides[:1], SAID)
        of_answers = [ANSWERED.answers[one] for one in ("first", "second", "tie")]
        return [
            *stock.log_p(content(QUESTION.pairwise, sides), ANSWERS),
            *stock.log_p(asked, of_answers),
        ]


def _seen(spread: float) -> None:
    if spread < SEEN:
        raise WrongError(f"whatever is shown, the score is the same to {spread:.2g}")


def _needs(judge: TinyJudge) -> str:
    return f"needs {' and '.join(judge.lacking())}"


def _outcome(folder: Path, check: Callable[[], str]) -> str:
    try:
        return check()
    except WrongError as error:
        return f"WRONG: {error}"
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return said.replace(str(folder), "PATH")[:300]


def _question(media: Media, task: Task = "image_understanding") -> Prompt:
    return Prompt.of(ASKED, task, media=media)


def _labels(split: Literal["train", "heldout"] = "train") -> list[Label]:
    """A pair and points of pictures, and the same of answers to a question about one."""
    prompt, (one, other, _) = Prompt.of(CAPTION), PICTURES
    asked = _question(one)
    first, second = SAID
    by = "simulated:a"
    return [
        Label("pair", prompt, by, one, other, preference="first", split=split),
        Label("point", prompt, by, one, points=4.0, split=split),
        Label(
            *("pair of answers", asked, by, None, None, "second"),
            split=split,
            first_answer=first,
            second_answer=second,
        ),
        Label(
            *("point of an answer", asked, by, None),
            points=2.0,
            split=split,
            first_answer=second,
        ),
    ]


if __name__ == "__main__":
    print(json.dumps(figures(sys.argv[1:]), indent=2))
