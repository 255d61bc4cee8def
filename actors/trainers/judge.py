"""Fine-tuning a vision-language model into a judge: what is trained, for the loop in `engine`.

A label becomes the judge's own prompt followed by the tokens that decide its answer, and the loss
is their cross-entropy. The rest of the sentence ("… is better than Image 2.") says nothing more:
six tokens of form drown the one or two that a small judge has to learn. Pairwise labels are shown
in a random order, so that first and second are equally often right: a judge must not learn a
position from its labels.
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
from actors.trainers.learning import Model
from factory.judging.specification import JudgeSpecification
from factory.losses import answer_cross_entropy
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
    """B labels as token ids, padded on the right.

    input_ids, attention_mask: [B, T].
    targets: [B, T], the token that each position should predict; -100 outside of answers.
    pixel_values: [P, C, H, W], the pictures in the order of their placeholders.
    """

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
        self.format = PromptFormat(task.specification, AutoProcessor.from_pretrained(task.base))
        self._model = AutoModelForImageTextToText.from_pretrained(
            task.base, dtype=torch.float32, use_safetensors=True
        ).to(device)
        self._dtype = dtype
        vision = self._model.config.vision_config
        self._tokens_per_image = (vision.image_size // vision.patch_size) ** 2

    @property
    def module(self) -> nn.Module:
        return self._model

    def collate(self, rows: Mapping[str, pa.Table]) -> Batch:
        labels = [label for table in rows.values() for label in labels_from_table(table)]
        swaps = torch.rand(len(labels)) < 0.5
        labels = [
            label.swap() if is_swapped else label
            for label, is_swapped in zip(labels, swaps.tolist(), strict=True)
        ]
        return self._tensors([self.example(label) for label in labels], _pictures(labels))

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
        self, examples: Sequence[tuple[list[int], list[int]]], pictures: list[Image.Image]
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
        return loss, {"token_accuracy": right.detach()}

    def save(self, directory: Path) -> None:
        self._model.save_pretrained(directory)
        self.format.processor.save_pretrained(directory)
        self.task.specification.save(directory)


def _pictures(labels: Sequence[Label]) -> list[Image.Image]:
    media = [one for label in labels for one in (label.first, label.second) if one is not None]
    return [Image.open(io.BytesIO(one.data)).convert("RGB") for one in media]
