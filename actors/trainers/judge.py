"""Fine-tuning a vision-language model into a judge: what is trained, for the loop in `engine`.

A label becomes the judge's own prompt followed by the tokens that decide its answer, and the loss
is their cross-entropy. The rest of the sentence ("… is better than Image 2.") says nothing more:
six tokens of form drown the one or two that a small judge has to learn. A pairwise label is shown
in both orders at once: first and second are then equally often right, so no position can be learned
from the labels, and the recipe may ask that the two orders agree (`factory.losses`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import torch
from PIL import Image
from torch import Tensor, nn

from actors.judges import PromptFormat
from actors.storage import local_model
from actors.trainers.learning import Model
from factory.judging.specification import JudgeSpecification
from factory.losses import (
    answer_cross_entropy,
    answer_log_probability,
    order_consistency,
)
from schemas.arrow import labels_from_table
from schemas.rows import Label

_IGNORED = -100


@dataclass(frozen=True)
class JudgeTask:
    """Train the model at `base` to answer as `specification` says.

    Reads data sets `pairs` and `points`, both of label rows.
    """

    base: str
    specification: JudgeSpecification
    pair_share: float
    label_smoothing: float = 0.0
    order_consistency: float = 0.0

    @property
    def shares(self) -> Mapping[str, float]:
        shares = {"pairs": self.pair_share, "points": 1.0 - self.pair_share}
        return {name: share for name, share in shares.items() if share > 0}

    @property
    def key(self) -> str:
        return "label_id"

    def build(self, device: torch.device, dtype: torch.dtype) -> JudgeLearner:
        return JudgeLearner(self, device, dtype)


@dataclass(frozen=True)
class Batch:
    """B texts, padded on the right: P pairs as they are, the same P swapped, then points.

    num_pairs: P.
    input_ids, attention_mask: [B, T].
    targets: [B, T], the token that each position should predict; -100 outside of answers.
    pixel_values: [M, C, H, W], the pictures in the order of their placeholders.
    """

    num_pairs: int
    input_ids: Tensor
    attention_mask: Tensor
    targets: Tensor
    pixel_values: Tensor


class JudgeLearner:
    """The judge's weights on one worker."""

    def __init__(self, task: JudgeTask, device: torch.device, dtype: torch.dtype) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.task = task
        self.device = device
        base = local_model(task.base)
        self.format = PromptFormat(task.specification, AutoProcessor.from_pretrained(base))
        self._model = AutoModelForImageTextToText.from_pretrained(
            base, dtype=torch.float32, use_safetensors=True
        ).to(device)
        self._dtype = dtype
        vision = self._model.config.vision_config
        self._tokens_per_image = (vision.image_size // vision.patch_size) ** 2

    @property
    def module(self) -> nn.Module:
        return self._model

    def collate(self, rows: Mapping[str, pa.Table]) -> Batch:
        labels = [label for table in rows.values() for label in labels_from_table(table)]
        pairs = [label for label in labels if label.preference is not None]
        points = [label for label in labels if label.preference is None]
        shown = [*pairs, *(label.swap() for label in pairs), *points]
        return self._tensors(len(pairs), [self.example(label) for label in shown], _pictures(shown))

    def example(self, label: Label) -> tuple[list[int], list[int]]:
        """Token ids of prompt and answer, and the target of each position."""
        task = self.format.specification.task(label.prompt.task)
        if label.preference is not None:
            template = task.pairwise
            answer_ids = list(self.format.verdict_tree(task).tokens[label.preference])
        else:
            template = task.pointwise
            answer_ids = self.format.answer_ids(str(label.points))
        sizes = [self._tokens_per_image] * (1 if label.second is None else 2)
        prompt = self.format.prompt_ids(template, label.prompt.text, sizes)
        # The token before each answer token predicts it, so targets are one place ahead.
        ids = [*prompt, *answer_ids]
        targets = [_IGNORED] * (len(prompt) - 1) + answer_ids + [_IGNORED]
        return ids, targets

    def _tensors(
        self,
        num_pairs: int,
        examples: Sequence[tuple[list[int], list[int]]],
        pictures: list[Image.Image],
    ) -> Batch:
        shape = (len(examples), max(len(ids) for ids, _ in examples))
        pad = self.format.tokenizer.pad_token_id
        input_ids = torch.full(shape, pad)
        targets = torch.full(shape, _IGNORED)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, (ids, wanted) in enumerate(examples):
            input_ids[row, : len(ids)] = torch.tensor(ids)
            targets[row, : len(ids)] = torch.tensor(wanted)
            mask[row, : len(ids)] = 1
        pixels = self.format.processor.image_processor(pictures, return_tensors="pt")
        return Batch(
            num_pairs,
            input_ids.to(self.device),
            mask.to(self.device),
            targets.to(self.device),
            pixels["pixel_values"].to(self.device, self._dtype),
        )

    def loss(self, model: Model, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        logits = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            pixel_values=batch.pixel_values,
            use_cache=False,
        ).logits
        loss = answer_cross_entropy(
            logits, batch.targets, label_smoothing=self.task.label_smoothing
        )
        asked = batch.targets != _IGNORED
        right = (logits.argmax(-1) == batch.targets)[asked].float().mean()
        scalars = {"token_accuracy": right.detach()}
        if batch.num_pairs:
            pairs = slice(0, 2 * batch.num_pairs)
            shown, swapped = answer_log_probability(logits[pairs], batch.targets[pairs]).chunk(2)
            gap = order_consistency(shown, swapped)
            loss = loss + self.task.order_consistency * gap
            scalars["order_gap"] = gap.detach()
        return loss, scalars

    def save(self, directory: Path) -> None:
        self._model.save_pretrained(directory)
        self.format.processor.save_pretrained(directory)
        self.task.specification.save(directory)


def _pictures(labels: Sequence[Label]) -> list[Image.Image]:
    media = [one for label in labels for one in (label.first, label.second) if one is not None]
    return [Image.open(io.BytesIO(one.data)).convert("RGB") for one in media]
