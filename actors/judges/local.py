"""A transformers vision-language reward model as a judge.

Each medium goes through the vision tower once; a candidate's score and all its duels reuse its
visual tokens, and prompts that begin alike share that beginning (`decoder`). What a batch holds
depends on the prompt alone, never on which other prompts share the worker, so the same rows give
the same bits on the same machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from actors.judges.decoder import Decoder
from actors.judges.eyes import Seen, eyes_of, load_processor
from actors.judges.looks import Look, look_at
from actors.judges.prompts import Medium, PromptFormat, Text
from factory.judging.specification import JudgeSpecification, find
from factory.judging.text import UnreadableError, parse_score, parse_verdict
from factory.judging.verdicts import PREFERENCES, AnswerTree, expected_score
from schemas.rows import Candidate, Duel, Preference, Prompt, Score

_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
#: What is fetched of a hub repository: no code, no pickled weights.
_FILES = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
Read = TypeVar("Read")
Match = tuple[int, int]


class TransformersJudge:
    """A LLaVA, LLaVA-OneVision or Qwen2.5-VL judge: weights, processor and specification."""

    def __init__(
        self,
        path: str,
        name: str,
        precision: str = "fp32",
        specification: JudgeSpecification | str | None = None,
        batch_size: int = 64,
    ) -> None:
        """Load a judge.

        Args:
            path: a model directory or a hub name.
            name: `name@version`.
            precision: fp32, fp16 or bf16.
            specification: one, or the name of a shipped one or a JSON file; the model's own
                `judge.json` where not given.
            batch_size: prompts in one forward pass.

        Raises:
            SpecificationError: no specification, or a model that cannot be read by it.
        """
        from transformers import AutoModelForImageTextToText

        path = local_directory(path)
        if not isinstance(specification, JudgeSpecification):
            specification = find(path, specification)
        self.name = name
        self.batch_size = batch_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=_DTYPES[precision], use_safetensors=True
        )
        self.model.eval().requires_grad_(False).to(self.device)
        self.format = PromptFormat(specification, load_processor(path, self.model.config))
        self.eyes = eyes_of(self.model, self.format.processor)

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> TransformersSitting:
        return TransformersSitting(self, prompt, candidates)

    @torch.inference_mode()
    def encode(self, looks: Sequence[Look], is_video: bool = False) -> list[Seen]:
        """Visual tokens of each medium."""
        return self.eyes.encode(looks, is_video)

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end an answer."""
        config = self.model.generation_config.eos_token_id
        given = config if isinstance(config, list) else [config]
        own = self.format.tokenizer.eos_token_id
        return tuple(one for one in (*given, own) if one is not None)


class TransformersSitting:
    """One prompt's candidates before a `TransformersJudge`."""

    def __init__(
        self, judge: TransformersJudge, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        self.judge = judge
        self.prompt = prompt
        self.candidates = candidates
        self.task = judge.format.specification.task(prompt.task)
        looks, self.sides = look_at(prompt, candidates, self.task.num_frames)
        seen = judge.encode(looks, prompt.task.startswith("video")) if looks else []
        self._media = [Medium(index, one.ids) for index, one in enumerate(seen)]
        self._decoder = Decoder(judge.model, judge.eyes, seen, judge.batch_size)

    def scores(self) -> list[Score]:
        playable = [index for index, side in enumerate(self.sides) if side.error is None]
        texts = [self._point(index) for index in playable]
        read = self._scores_by_logits if self.task.reading == "logits" else self._scores_by_text
        found = dict(zip(playable, read(texts) if texts else [], strict=True))
        scores = []
        for index, candidate in enumerate(self.candidates):
            value, spread, error = found.get(index, (math.nan, math.nan, None))
            error = self.sides[index].error or error
            if error is None and not math.isfinite(value):
                error = "the judge's score is not a finite number"
            scores.append(Score(candidate.candidate_id, self.judge.name, value, spread, error))
        return scores

    def duels(self, matches: Sequence[Match]) -> list[Duel]:
        playable = [match for match in matches if self._error(match) is None]
        texts = [self._pair(*match) for match in playable]
        read = self._duels_by_logits if self.task.reading == "logits" else self._duels_by_text
        found = dict(zip(playable, read(texts) if texts else [], strict=True))
        duels = []
        for match in matches:
            p, error = found.get(match, ((math.nan,) * 3, None))
            error = self._error(match) or error
            if error is None and not np.isfinite(p).all():
                error = "the judge's verdict is not a finite number"
                p = (math.nan,) * 3
            first, second = (self.candidates[index].candidate_id for index in match)
            p_first, p_second, p_tie = map(float, p)
            duels.append(Duel(first, second, self.judge.name, p_first, p_second, p_tie, error))
        return duels

    def _error(self, match: Match) -> str | None:
        return next((self.sides[at].error for at in match if self.sides[at].error), None)

    def _point(self, index: int) -> Text:
        side = self.sides[index]
        assert side.look is not None
        medium = self._media[side.look]
        return self.judge.format.point(self.task, self.prompt.text, medium, side.answer)

    def _pair(self, first: int, second: int) -> Text:
        sides = self.sides[first], self.sides[second]
        answers = [side.answer for side in sides if side.answer is not None]
        shown = [side.look for side in (sides[:1] if answers else sides) if side.look is not None]
        media = [self._media[look] for look in shown]
        return self.judge.format.pair(self.task, self.prompt.text, media, answers)

    def _scores_by_logits(self, texts: Sequence[Text]) -> list[tuple[float, float, None]]:
        tree = self.judge.format.score_tree(self.task)
        means, spreads = expected_score(self._probabilities(tree, texts), self.task.scale)
        return [(float(mean), float(sd), None) for mean, sd in zip(means, spreads, strict=True)]

    def _duels_by_logits(self, texts: Sequence[Text]) -> list[tuple[tuple[float, ...], None]]:
        tree = self.judge.format.verdict_tree(self.task)
        return [(tuple(p), None) for p in self._probabilities(tree, texts)]

    def _probabilities(self, tree: AnswerTree[Any], texts: Sequence[Text]) -> Any:
        return tree.probabilities([self._decoder.logits(texts, chain) for chain in tree.chains])

    def _scores_by_text(self, texts: Sequence[Text]) -> list[tuple[float, float, str | None]]:
        def read(text: str, is_cut: bool) -> float:
            return parse_score(text, self.task, is_cut=is_cut)

        return [
            (math.nan, math.nan, error) if value is None else (value, 0.0, None)
            for value, error in self._written(texts, read)
        ]

    def _duels_by_text(self, texts: Sequence[Text]) -> list[tuple[tuple[float, ...], str | None]]:
        def read(text: str, is_cut: bool) -> Preference:
            return parse_verdict(text, self.task.answers, is_cut=is_cut)

        return [
            ((math.nan,) * 3, error)
            if verdict is None
            else (tuple(float(verdict == one) for one in PREFERENCES), None)
            for verdict, error in self._written(texts, read)
        ]

    def _written(
        self, texts: Sequence[Text], read: Callable[[str, bool], Read]
    ) -> list[tuple[Read | None, str | None]]:
        """What is read from what the model writes after each prompt, or why nothing is."""
        found: list[tuple[Read | None, str | None]] = []
        for ids, is_cut in self._decoder.generate(texts, self.task.max_tokens, self.judge.stops):
            try:
                found.append((read(self.judge.format.read(ids), is_cut), None))
            except UnreadableError as error:
                found.append((None, f"unreadable: {error}"))
        return found


def local_directory(path: str) -> str:
    """A model's directory: the path itself, or where a hub repository has been fetched to."""
    if Path(path).is_dir():
        return path
    from huggingface_hub import snapshot_download

    return str(snapshot_download(path, allow_patterns=_FILES))
