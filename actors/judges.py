"""A transformers vision-language reward model as a judge.

Each candidate's picture goes through the vision tower once; its score and all its duels reuse the
features. All scores of a prompt are one batch, and so are all duels of one plan, split only where
`max_batch` (for memory) asks for it: what a batch holds depends on the prompt alone, never on which
other prompts share the worker, so the same rows give the same bits on the same machine.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from factory.judging.specification import JudgeSpecification, TaskSpecification
from factory.judging.verdicts import VerdictTree, expected_score
from factory.media import MediaError, decode
from schemas.rows import Candidate, Duel, Prompt, Score

_SLOT = re.compile(r"\{(media|prompt|answer)\}")
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class PromptFormat:
    """A judge specification in one model's terms: prompts as token ids, answers as branches."""

    def __init__(self, specification: JudgeSpecification, processor: Any) -> None:
        self.specification = specification
        self.processor = processor
        self.tokenizer = processor.tokenizer

    def prompt_ids(
        self,
        template: str,
        prompt: str,
        media_tokens: Sequence[int],
        answers: Sequence[str] = (),
    ) -> list[int]:
        """Token ids of a prompt with `media_tokens[i]` placeholders for its i-th medium.

        What fills a slot is tokenised apart from the template, so no caption and no answer can
        forge a placeholder.
        """
        image_token = self.processor.image_token_id
        ids: list[int] = []
        if self.tokenizer.bos_token_id is not None:
            ids.append(self.tokenizer.bos_token_id)
        sizes, texts = iter(media_tokens), iter(answers)
        for index, part in enumerate(_SLOT.split(template)):
            if index % 2 == 0:
                ids += self._ids(part)
            elif part == "media":
                ids += [image_token] * next(sizes)
            else:
                text = prompt if part == "prompt" else next(texts)
                ids += [i for i in self._ids(text) if i != image_token]
        return ids

    def answer_ids(self, answer: str) -> list[int]:
        return self._ids(answer)

    def verdict_tree(self, task: TaskSpecification) -> VerdictTree:
        return VerdictTree.of({key: self._ids(text) for key, text in task.answers.items()})

    def scale_tokens(self, task: TaskSpecification) -> list[int]:
        """The token of each number of the scale.

        Raises:
            ValueError: a number is more than one token to this tokenizer.
        """
        tokens = [self._ids(f"{value:g}") for value in task.scale]
        if any(len(token) != 1 for token in tokens):
            raise ValueError(f"the scale {task.scale} is not one token a number for this model")
        return [token[0] for token in tokens]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)


class TransformersJudge:
    """A LLaVA-class judge: its weights, its processor and its specification.

    max_batch: most rows in one forward pass of the model.
    num_forwards, num_batches: scores and duels asked for so far, and the passes that they took.
    """

    def __init__(self, path: str, name: str, precision: str = "fp32", max_batch: int = 64) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.name = name
        self.max_batch = max_batch
        self.num_forwards = self.num_batches = 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.format = PromptFormat(
            JudgeSpecification.load(Path(path)), AutoProcessor.from_pretrained(path)
        )
        self.model = AutoModelForImageTextToText.from_pretrained(
            path, dtype=_DTYPES[precision], use_safetensors=True
        )
        self.model.eval().requires_grad_(False).to(self.device)

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> TransformersSitting:
        return TransformersSitting(self, prompt, candidates)

    @torch.inference_mode()
    def encode(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Visual tokens of each picture: [N, T, D]."""
        features: list[Tensor] = []
        for part in _parts(len(pictures), self.max_batch):
            pixels = self.format.processor.image_processor(
                list(pictures[part]), return_tensors="pt"
            )
            pixel_values = pixels["pixel_values"].to(self.device, self.model.dtype)
            features += self.model.get_image_features(pixel_values=pixel_values).pooler_output
        return torch.stack(features)

    @torch.inference_mode()
    def logits(self, ids: list[list[int]], features: Tensor, num_last: int) -> Any:
        """Logits of the last `num_last` positions [B, num_last, V] as a numpy array.

        Args:
            ids: B rows of equally many token ids.
            features: visual tokens in the order of their placeholders, [M, T, D]; equally many
                media in each row.
            num_last: positions at the end, the last of which is the last token of the row.
        """
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        media_each = len(features) // len(ids)
        found = []
        for part in _parts(len(ids), self.max_batch):
            input_ids = torch.tensor(ids[part], device=self.device)
            shown = features[part.start * media_each : part.stop * media_each]
            output = self.model(
                input_ids=input_ids,
                attention_mask=torch.ones_like(input_ids),
                mm_encoder_outputs={"image": BaseModelOutputWithPooling(pooler_output=list(shown))},
                logits_to_keep=num_last,
                use_cache=False,
            )
            found.append(output.logits.float().cpu().numpy())
            self.num_batches += 1
        self.num_forwards += len(ids)
        return np.concatenate(found)


class TransformersSitting:
    """One prompt's candidates before a `TransformersJudge`."""

    def __init__(
        self, judge: TransformersJudge, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        self.judge = judge
        self.prompt = prompt
        self.candidates = candidates
        self.task = judge.format.specification.task(prompt.task)
        self.errors: list[str | None] = []
        pictures: list[Image.Image] = []
        self._row: dict[int, int] = {}  # index of a readable candidate -> its row of features
        for index, candidate in enumerate(candidates):
            picture, error = _picture(candidate)
            self.errors.append(error)
            if picture is not None:
                self._row[index] = len(pictures)
                pictures.append(picture)
        self._features = judge.encode(pictures) if pictures else torch.empty(0, 0, 0)

    @cached_property
    def _tokens_each(self) -> int:
        return int(self._features.shape[1])

    def scores(self) -> list[Score]:
        found: dict[int, tuple[float, float]] = {}
        if self._row:
            ids = self.judge.format.prompt_ids(
                self.task.pointwise, self.prompt.text, [self._tokens_each]
            )
            logits = self.judge.logits([ids] * len(self._row), self._features, num_last=1)[:, 0]
            tokens = self.judge.format.scale_tokens(self.task)
            means, spreads = expected_score(logits, tokens, self.task.scale)
            found = {
                index: (float(means[row]), float(spreads[row])) for index, row in self._row.items()
            }
        scores = []
        for index, candidate in enumerate(self.candidates):
            value, spread = found.get(index, (math.nan, math.nan))
            error = self.errors[index]
            if error is None and not math.isfinite(value):
                error = "the judge's score is not a finite number"
            scores.append(Score(candidate.candidate_id, self.judge.name, value, spread, error))
        return scores

    def duels(self, matches: Sequence[tuple[int, int]]) -> list[Duel]:
        playable = [match for match in matches if all(index in self._row for index in match)]
        found: dict[tuple[int, int], Any] = {}
        if playable:
            form = self.judge.format
            tree = form.verdict_tree(self.task)
            ids = form.prompt_ids(self.task.pairwise, self.prompt.text, [self._tokens_each] * 2)
            rows = [self._row[index] for match in playable for index in match]
            logits = self.judge.logits(
                [[*ids, *tree.chain]] * len(playable),
                self._features[rows],
                num_last=len(tree.chain) + 1,
            )
            found = dict(zip(playable, tree.probabilities(logits), strict=True))
        return [self._duel(match, found.get(match)) for match in matches]

    def _duel(self, match: tuple[int, int], p: Any) -> Duel:
        first, second = (self.candidates[index].candidate_id for index in match)
        error = next((self.errors[index] for index in match if self.errors[index]), None)
        if p is None or not np.isfinite(p).all():
            error = error or "the judge's verdict is not a finite number"
            return Duel(first, second, self.judge.name, math.nan, math.nan, math.nan, error)
        return Duel(first, second, self.judge.name, float(p[0]), float(p[1]), float(p[2]))


def _parts(num_rows: int, max_batch: int) -> list[slice]:
    """As few slices as `max_batch` allows, of nearly equal size."""
    num_parts = math.ceil(num_rows / max_batch)
    edges = [round(part * num_rows / num_parts) for part in range(num_parts + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def _picture(candidate: Candidate) -> tuple[Image.Image | None, str | None]:
    """The candidate's picture, or why there is none."""
    if candidate.error is not None:
        return None, f"not generated: {candidate.error}"
    if candidate.media is None:
        return None, "no media"
    try:
        return Image.fromarray(decode(candidate.media.data)), None
    except MediaError as error:
        return None, f"broken media: {error}"
