"""A light judge as one ONNX file, for inspection near the line: no GPU and no training libraries.

The file holds everything from token ids and pixels to the logits after the prompt: `export` writes
it beside the judge's weights, `quantise` a copy with weights of eight bits, and `OnnxJudge` runs
either with onnxruntime. Such a judge only scores; its duels follow from its scores
(`factory.judging.by_scores`), and it gives no reasons. LLaVA judges alone are exported: the other
families' positions and tiles are computed outside of their forward pass.

Needs the packages of the extra `onnx`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from actors.judges.eyes import LlavaEyes, Shown
from actors.judges.local import TransformersJudge, logprobs_of
from actors.judges.prompts import Answers, Medium, PromptFormat, Text
from actors.judges.sitting import Match, ReadSitting, Response
from actors.processors import load_parts
from factory.judging.by_scores import RulesError
from factory.judging.specification import JudgeSpecification, SpecificationError, TaskSpecification
from factory.prompt_parts import in_words
from schemas.rows import Candidate, Prompt

FILE = "judge.onnx"
QUANTISED = "judge.int8.onnx"
_OPSET = 18
#: What is missing where the extra is not installed.
HINT = "needs onnx and onnxruntime; pip install 'preference-factory[onnx]'"


class Scorer(nn.Module):
    """The forward pass of a LLaVA judge as functions of tensors alone.

    input_ids, attention_mask: [B, T], padded on the right.
    pixel_values: all pictures and frames in the order of their placeholders, [P, 3, H, W].
    Returns the logits after each row's last token, [B, V].
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.tower = model.model.vision_tower
        self.projector = model.model.multi_modal_projector
        self.language = model.model.language_model
        self.head = model.lm_head
        self.layer = model.config.vision_feature_layer
        self.skips_class = model.config.vision_feature_select_strategy == "default"
        self.image = int(model.config.image_token_id)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor) -> Tensor:
        seen = self.tower(pixel_values, output_hidden_states=True).hidden_states[self.layer]
        visual = self.projector(seen[:, 1:] if self.skips_class else seen).flatten(0, 1)
        is_visual = input_ids == self.image
        place = (is_visual.flatten().long().cumsum(0) - 1).clamp(min=0)
        words = self.language.embed_tokens(input_ids)
        embedded = torch.where(is_visual[..., None], visual[place].view_as(words), words)
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        sees = (positions[..., None] >= positions[:, None])[:, None]  # 1 1 T T
        sees = sees & (attention_mask[:, None, None, :] > 0)
        mask = torch.zeros(sees.shape, dtype=words.dtype).masked_fill(~sees, -1e9)
        states = self.language(
            inputs_embeds=embedded, attention_mask=mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        last = (attention_mask.sum(dim=1) - 1)[:, None, None].expand(-1, -1, states.shape[2])
        logits: Tensor = self.head(states.gather(1, last)[:, 0])
        return logits


def export(directory: Path) -> Path:
    """Write `judge.onnx` into the directory of a light judge, and return its path.

    Raises:
        SpecificationError: a package is missing, or this judge cannot be had as one file.
    """
    check_packages()
    kind = json.loads((directory / "config.json").read_text())["model_type"]
    if kind != "llava":
        raise SpecificationError(
            f"{directory}: a judge of model type {kind!r} cannot be exported to ONNX; only 'llava' "
            "can"
        )
    judge = TransformersJudge(str(directory), "exported@0")
    for task in judge.format.specification.tasks.values():
        check_scale(judge.format, task)
    model = judge.model.float().cpu()
    model.set_attn_implementation("eager")
    config = model.config
    side = int(config.vision_config.image_size)
    each = LlavaEyes(model, judge.format.processor).tokens_each
    num, length = 2, each + 3  # two rows of a picture each: a dimension of one would be taken fixed
    ids = torch.zeros(num, length, dtype=torch.long)
    ids[:, 1 : 1 + each] = int(config.image_token_id)
    example = (ids, torch.ones_like(ids), torch.zeros(num, 3, side, side))
    path = directory / FILE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own future
        torch.onnx.export(
            Scorer(model).eval(),
            example,
            str(path),
            input_names=["input_ids", "attention_mask", "pixel_values"],
            output_names=["logits"],
            dynamic_axes={
                "input_ids": {0: "rows", 1: "tokens"},
                "attention_mask": {0: "rows", 1: "tokens"},
                "pixel_values": {0: "pictures"},
                "logits": {0: "rows"},
            },
            opset_version=_OPSET,
            dynamo=False,
        )
    return path


def quantise(path: Path) -> Path:
    """Write a copy whose weights have eight bits, beside an exported judge; returns its path."""
    check_packages()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantised = path.with_name(QUANTISED)
    quantize_dynamic(path, quantised, weight_type=QuantType.QInt8)
    return quantised


def check_packages() -> None:
    """Raises SpecificationError where the extra is not installed."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise SpecificationError(f"ONNX: {error}; {HINT}") from None
    del onnx, onnxruntime


def check_scale(form: Answers, task: TaskSpecification) -> None:
    """Raises SpecificationError where a score cannot be read from the prompt's own logits."""
    tree = form.score_tree(task)
    if task.reading != "logits" or tree.chains != ((),) or tree.ends:
        raise SpecificationError(
            "an ONNX judge reads its score in one pass: reading 'logits', and a scale whose "
            "numbers are one token each"
        )


class OnnxJudge:
    """A judge in an ONNX file, whose tokenizer, specification and rules lie beside it."""

    def __init__(
        self,
        path: Path,
        name: str,
        specification: JudgeSpecification | None = None,
        num_threads: int = 1,
    ) -> None:
        """Load a judge.

        Args:
            path: of the file.
            name: `name@version`.
            specification: the `judge.json` beside the file where not given.
            num_threads: of onnxruntime.

        Raises:
            SpecificationError: a package or a file is missing, or the judge cannot be read so.
        """
        try:
            import onnxruntime
        except ImportError as error:
            raise SpecificationError(f"{path}: {error}; {HINT}") from None
        from transformers import AutoConfig

        self.name = name
        specification = specification or JudgeSpecification.load(path.parent)
        config = AutoConfig.from_pretrained(path.parent, trust_remote_code=False)
        self.format = PromptFormat(specification, load_parts(str(path.parent), config))
        for task in specification.tasks.values():
            check_scale(self.format, task)
        # Its eyes only tell how many tokens stand for a picture: the file holds the tower.
        self.eyes = LlavaEyes(SimpleNamespace(config=config), self.format.processor)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = num_threads
        self.session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> OnnxSitting:
        return OnnxSitting(self, prompt, candidates)


class OnnxSitting(ReadSitting):
    """One prompt's candidates before an `OnnxJudge`: their scores in one batch."""

    def __init__(self, judge: OnnxJudge, prompt: Prompt, candidates: Sequence[Candidate]) -> None:
        super().__init__(
            judge.name, judge.format.specification.task(prompt.task), prompt, candidates
        )
        self.judge = judge

    def ask_scores(self, indices: Sequence[int]) -> list[Response]:
        is_video = self.prompt.task.startswith("video")
        form, eyes = self.judge.format, self.judge.eyes
        texts: list[Text] = []
        shown: list[Shown] = []
        for index in indices:
            looks, answers, source = self.shown([index])
            seen = {at: (self.looks[at], is_video) for at in (*source, *looks)}
            shown += seen.values()
            media = {at: Medium(at, eyes.tokens(one), *eyes.told(one)) for at, one in seen.items()}
            texts.append(
                form.point(
                    self.task,
                    in_words(self.prompt),
                    [media[at] for at in looks],
                    answers,
                    [media[at] for at in source],
                )
            )
        length = max(len(text.ids) for text in texts)
        ids = np.zeros((len(texts), length), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        pixels = eyes.inputs([shown])["pixel_values"].numpy()
        (logits,) = self.judge.session.run(
            ["logits"], {"input_ids": ids, "attention_mask": mask, "pixel_values": pixels}
        )
        logprobs = logprobs_of(form.score_tree(self.task), [np.asarray(logits)[:, None]])
        return [
            Response(
                logprobs=one,
                request=self.request_digest(text.ids, (index,)),
                num_read=len(text.ids),
                num_written=0,
            )
            for index, text, one in zip(indices, texts, logprobs, strict=True)
        ]

    def ask_duels(self, matches: Sequence[Match]) -> list[Response]:
        raise RulesError(f"{self.name} only scores: its duels follow from its scores")
