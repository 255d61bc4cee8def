"""What a judge would be sent for one item, told without its weights: the exact prompt, its tokens,
where media stand and how many tokens they take, and how the answer would be read.

The model is built without values (on the meta device), so that its processor, configuration and
class say what they would say in earnest. Of an endpoint it is the JSON that would be posted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from actors.judges.endpoint import EndpointJudge
from actors.judges.eyes import Seen, eyes_of
from actors.judges.formats import format_of
from actors.judges.local import TransformersJudge
from actors.judges.looks import Look
from actors.judges.plain import PlainFormat, PlainPath
from actors.judges.sitting import Sides
from actors.trust import trusted
from factory.judging.specification import (
    JudgeSpecification,
    Kind,
    TaskSpecification,
    find,
    not_trained,
)
from factory.judging.verdicts import AnswerTree
from schemas.rows import Candidate, Prompt


@dataclass(frozen=True)
class Asked:
    """One question as it would be put.

    kind: points of one side, or which of two is better.
    text: the prompt, with the number of tokens where a medium stands.
    tokens: ids and what each stands for, in their order.
    places: of each run of tokens that stand for media, its first token and how many there are.
    answer: how the answer is read, a line each.
    error: why it would not be put.
    """

    kind: Kind
    text: str = ""
    tokens: tuple[tuple[int, str], ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    answer: tuple[str, ...] = ()
    error: str | None = None


class DryJudge(TransformersJudge):
    """A judge that is never asked: a model without values, and what it is sent."""

    def __init__(
        self,
        path: str,
        specification: JudgeSpecification | str | None = None,
        *,
        trust_remote_code: bool = False,
        revision: str | None = None,
    ) -> None:
        """Read processor and configuration; arguments as of `TransformersJudge`.

        Raises:
            SpecificationError: no specification, or a processor that cannot be built here.
        """
        from transformers import AutoConfig, AutoModelForImageTextToText

        trust = trusted(path, trust_remote_code)
        path = _small_files(path, revision, with_code=trust)
        if not isinstance(specification, JudgeSpecification):
            specification = find(path, specification)
        self.name, self.max_batch = "dry@0", 1
        self.num_forwards = self.num_batches = 0
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust)
        with torch.device("meta"):
            self.model = AutoModelForImageTextToText.from_config(config, trust_remote_code=trust)
        self.format = format_of(path, specification, trust_remote_code=trust)
        self.eyes, self.plain = None, None
        if isinstance(self.format, PlainFormat):
            self.plain = PlainPath(self.model, self.format, 1)
        else:
            self.eyes = eyes_of(self.model, self.format.processor)

    def encode(
        self, looks: Sequence[Look], is_video: bool = False, is_alone: bool = False
    ) -> list[Seen]:
        """The tokens that stand for each medium, and no features."""
        assert self.eyes is not None
        alone = {"is_alone": True} if is_alone else {}
        return [
            Seen(self.eyes.tokens((look, is_video), **alone), torch.empty(0, 0)) for look in looks
        ]

    def asked(self, prompt: Prompt, candidates: Sequence[Candidate]) -> list[Asked]:
        """The question about the first candidate, and that about the first two."""
        sitting = self.sit(prompt, candidates)
        task = sitting.task
        found = []
        for kind, sides in _questions(len(candidates)):
            if kind not in task.kinds:
                found.append(Asked(kind, error=f"not asked: {not_trained(prompt.task, kind)}"))
                continue
            error = next((sitting.sides[at].error for at in sides if sitting.sides[at].error), None)
            if error is not None:
                found.append(Asked(kind, error=error))
                continue
            put = sitting.point(sides[0]) if kind == "score" else sitting.pair((sides[0], sides[1]))
            found.append(self._told(kind, task, put.ids))
        return found

    def _told(self, kind: Kind, task: TaskSpecification, ids: Sequence[int]) -> Asked:
        words = self.format.tokenizer
        tokens = tuple((one, str(words.decode([one]))) for one in ids)
        places = tuple(self._places(ids))
        text, done = "", 0
        for start, num in places:  # whole texts: a letter may be of several tokens
            text += words.decode(list(ids[done:start])) + f"{tokens[start][1]} × {num} "
            done = start + num
        text += words.decode(list(ids[done:]))
        return Asked(kind, text, tokens, places, tuple(self._answer(kind, task)))

    def _places(self, ids: Sequence[int]) -> Iterator[tuple[int, int]]:
        marks = self._placeholders()
        at = 0
        for token, run in groupby(ids):
            num = len(list(run))
            if token in marks:
                yield at, num
            at += num

    def _placeholders(self) -> set[int]:
        if self.eyes is not None:
            return set(self.eyes.placeholders)
        owner = self.format.processor
        named = (getattr(owner, f"{name}_token_id", None) for name in ("image", "video"))
        return {one for one in named if isinstance(one, int)}

    def _answer(self, kind: Kind, task: TaskSpecification) -> Iterator[str]:
        if task.reading == "text":
            yield from read_as_text(kind, task)
            return
        tree: AnswerTree[Any] = (
            self.format.verdict_tree(task) if kind == "duel" else self.format.score_tree(task)
        )
        words = self.format.tokenizer
        yield f"read by logits, on {len(tree.chains)} chain(s) of tokens behind the prompt"
        for key, tokens in tree.tokens.items():
            spelt = " ".join(repr(words.decode([one])) for one in tokens)
            yield f"{key}: decided by {spelt}"


def read_as_text(kind: Kind, task: TaskSpecification) -> Iterator[str]:
    """How an answer in words is read, a line each."""
    drawn = "the most probable token each time"
    if task.temperature:
        drawn = f"{task.num_samples} answer(s) at temperature {task.temperature:g}"
    yield f"read from text of at most {task.max_tokens} tokens, {drawn}"
    where = {
        "any": "wherever it stands",
        "tags": "in answer tags alone",
        "json": "in a JSON object alone",
        "dimensions": "from the points for each dimension",
    }
    yield f"the answer counts {where[task.format]}"
    if kind == "duel":
        yield from (f"{side}: {sentence!r}" for side, sentence in task.answers.items())
    else:
        yield f"a number from {task.scale[0]:g} to {task.scale[-1]:g}"
        if task.overall == "given":
            yield f"as in {task.score!r}"
        else:
            yield "the weighted mean of the dimensions"
    for one in task.dimensions:
        yield f"dimension {one.key!r}: {one.label!r} from {one.low:g} to {one.high:g}"


def posted(
    judge: EndpointJudge, prompt: Prompt, candidates: Sequence[Candidate]
) -> list[tuple[Kind, str]]:
    """The JSON that would be posted to an endpoint, media elided."""
    sitting = judge.sit(prompt, candidates)
    found: list[tuple[Kind, str]] = []
    for kind, sides in _questions(len(candidates)):
        if kind not in sitting.task.kinds:
            found.append((kind, f"not asked: {not_trained(prompt.task, kind)}"))
            continue
        errors = [sitting.sides[at].error for at in sides if sitting.sides[at].error]
        if errors:
            found.append((kind, str(errors[0])))
            continue
        (body, *_) = sitting.bodies(kind, sides)
        found.append((kind, json.dumps(_elided(body), indent=2, ensure_ascii=False)))
    return found


def _questions(num: int) -> list[tuple[Kind, Sides]]:
    asked: list[tuple[Kind, Sides]] = [("score", (0,)), ("duel", (0, 1))]
    return asked[:num]


def _elided(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _elided(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_elided(one) for one in value]
    if isinstance(value, str) and value.startswith("data:"):
        head, _, data = value.partition(",")
        return f"{head},… ({len(data)} characters)"
    return value


def _small_files(path: str, revision: str | None, *, with_code: bool) -> str:
    """The directory of a model's files but its weights."""
    if Path(path).is_dir():
        return path
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.txt", "*.model", "*.jinja", *(["*.py"] if with_code else [])]
    return str(snapshot_download(path, revision=revision, allow_patterns=wanted))
