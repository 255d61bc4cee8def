"""DPO of a vision-language model that answers questions about pictures and clips.

    question and medium -> chosen answer, rejected answer -> log-probabilities of their tokens alone

What the reference says is computed once for each pair, before the first step, by the untouched
model itself: no second copy of the weights, and no second forward pass in a step. Dropout is off,
so that policy and reference differ by nothing but training.

Left out: sharing a question's computation between its two answers. Of a dialogue only the answer to
its last turn is trained; what the assistant said before is part of the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from actors.answering import (
    JOINED,
    QuestionFormat,
    join,
    logits_where,
    sampled_answers,
    with_answer,
)
from actors.checkpoints import load_whole
from actors.processors import copy_small_files, load_processor
from actors.storage import local_model
from actors.trainers.adapters import add_adapters, merge_adapters, save_adapters
from actors.trainers.cache import Cache
from actors.trainers.learning import Forward
from actors.trust import trusted
from factory.alignment.losses import (
    Objective,
    answer_dpo,
    answer_token_log_probabilities,
    kl_of_answers,
)
from factory.alignment.weighting import ALIKE, Weighting
from schemas.arrow import prompt_from_row
from schemas.recipe import Answering, Lora
from schemas.rows import Prompt

_IGNORED = -100
_SIDES = ("chosen", "rejected")
#: The attention's projections in the language model; the vision tower keeps its own.
_TARGETS = r"(?!.*(vision|visual)).*\.(q|k|v|o)_proj"


@dataclass(frozen=True)
class AnswerDPO:
    """Rows of `schemas.arrow.PAIRS` whose sides are answers -> an aligned vision-language model.

    policy: directory or hub name of a transformers image-text-to-text model.
    objective: the member of the DPO family.
    asking: how questions are put to it.
    weighting: how much each pair counts.
    lora: the adapters; all weights are trained where not given.
    gradient_checkpointing: compute activations again in the backward pass.
    cache_gb: memory for the tensors of questions.
    trust_remote_code: run the code that comes with the policy.
    revision: commit of a policy that is a hub's; its main branch where not given.
    """

    policy: str
    objective: Objective
    asking: Answering
    weighting: Weighting = ALIKE
    lora: Lora | None = None
    gradient_checkpointing: bool = False
    cache_gb: float = 4.0
    trust_remote_code: bool = False
    revision: str | None = None

    @property
    def shares(self) -> Mapping[str, float]:
        return {"pairs": 1.0}

    @property
    def key(self) -> str:
        return "pair_id"

    def build(self, device: torch.device, dtype: torch.dtype) -> AnswerDPOLearner:
        return AnswerDPOLearner(self, device, dtype)


@dataclass(frozen=True)
class Batch:
    """2B texts, padded on the right, all chosen before all rejected.

    inputs: what the model takes, some texts at a time: ids, mask [b, T], media. All 2B at once
        where the family's questions can be joined, else one each.
    starts: [2B], the position of each that predicts the first token of its answer.
    targets: [2B, K], the tokens of the answers, -100 beyond.
    ref_logp: [2B, K], of these tokens under the reference; zero beyond.
    drawn_ref_logp: the same with its logits divided by the temperature of the candidates.
    weights: of the pairs, [B].
    """

    inputs: list[dict[str, Tensor]]
    starts: Tensor
    targets: Tensor
    ref_logp: Tensor
    drawn_ref_logp: Tensor
    weights: Tensor


class AnswerDPOLearner:
    """The policy on one worker, and what it said before the first step."""

    def __init__(self, task: AnswerDPO, device: torch.device, dtype: torch.dtype) -> None:
        self.task, self.device, self.dtype = task, device, dtype
        self._policy = local_model(task.policy)
        trust = trusted(task.policy, task.trust_remote_code)
        processor = load_processor(self._policy, task.revision, trust_remote_code=trust)
        self.format = QuestionFormat(processor, task.asking)
        self._model: Any = load_whole(
            self._policy,
            torch.float32,
            device,
            revision=task.revision,
            allow_missing=task.asking.allow_missing,
            trust_remote_code=trust,
        )
        if task.lora is not None:
            add_adapters(self._model, task.lora, _TARGETS)
        if task.gradient_checkpointing:
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        for one in self._model.modules():
            if isinstance(one, nn.Dropout):
                one.p = 0.0
            elif hasattr(one, "attention_dropout"):
                one.attention_dropout = 0.0
        self._cache = Cache(int(task.cache_gb * 1e9))
        self._answers: dict[tuple[str, str], list[int]] = {}  # tokens of each pair's sides
        # [2, K] each: as the model says it, and at the temperature of the candidates.
        self._ref_logp: dict[tuple[str, str], Tensor] = {}

    @property
    def module(self) -> nn.Module:
        module: nn.Module = self._model
        return module

    # ------------------------------------------------------------------------------------- rows

    @torch.no_grad()
    def prepare(self, model: Forward, rows: Iterable[Mapping[str, pa.Table]]) -> None:
        for part in rows:
            table = part["pairs"].to_pylist()
            inputs, starts, targets = self._tensors(table)
            both = self._log_probabilities(model, inputs, starts, targets)
            found = torch.stack(both, dim=1).cpu()  # 2B 2 K
            keys = [(row["pair_id"], side) for side in _SIDES for row in table]
            for key, logp, asked in zip(keys, found, targets.cpu() != _IGNORED, strict=True):
                self._ref_logp[key] = logp[:, asked].clone()

    def collate(self, rows: Mapping[str, pa.Table]) -> Batch:
        table = rows["pairs"].to_pylist()
        inputs, starts, targets = self._tensors(table)
        known = [self._ref_logp[row["pair_id"], side] for side in _SIDES for row in table]
        ref_logp = torch.zeros(2, *targets.shape)
        ref_logp[:, targets.cpu() != _IGNORED] = torch.cat(known, dim=1)  # as the mask reads
        weights = [
            row["weight"] * self.task.weighting(row["margin"], row["margin_sd"]) for row in table
        ]
        return Batch(
            inputs,
            starts,
            targets,
            ref_logp[0].to(self.device),
            ref_logp[1].to(self.device),
            torch.tensor(weights, device=self.device),
        )

    def _tensors(
        self, table: list[dict[str, Any]]
    ) -> tuple[list[dict[str, Tensor]], Tensor, Tensor]:
        """What the model takes, where it predicts the answers, and their tokens."""
        texts, answers, starts = [], [], []
        questions = [self._cache.get(row["pair_id"], partial(self._question, row)) for row in table]
        for side in _SIDES:
            for row, question in zip(table, questions, strict=True):
                answers.append(self._answer(row, side))
                starts.append(question["input_ids"].shape[1])
                texts.append(with_answer(question, answers[-1], self.format.kinds))
        targets = torch.full((len(texts), max(map(len, answers))), _IGNORED)
        for row_targets, answer in zip(targets, answers, strict=True):
            row_targets[: len(answer)] = torch.tensor(answer)
        family = self._model.config.model_type
        together = len(texts) if family in JOINED else 1
        joined = [
            join(texts[first : first + together], self._pad, family)
            for first in range(0, len(texts), together)
        ]
        inputs = [
            {
                name: one.to(self.device, self.dtype if one.is_floating_point() else one.dtype)
                for name, one in some.items()
            }
            for some in joined
        ]
        # The token before each answer token predicts it.
        return inputs, torch.tensor(starts, device=self.device) - 1, targets.to(self.device)

    def _question(self, row: Mapping[str, Any]) -> dict[str, Tensor]:
        """A pair's question as tensors; made once and kept."""
        try:
            return self.format.question(prompt_from_row(row))
        except ValueError as error:
            raise ValueError(f"pair {row['pair_id']}: {error}") from error

    def _answer(self, row: Mapping[str, Any], side: str) -> list[int]:
        """The tokens of a side's answer; made once and kept."""
        key = (row["pair_id"], side)
        if key not in self._answers:
            answer = row[side]["answer"]
            if answer is None:
                raise ValueError(f"pair {row['pair_id']} has a side without an answer")
            is_ended = row[side].get("error") is None  # else one that was cut
            self._answers[key] = self.format.answer_ids(answer, is_ended=is_ended)
        return self._answers[key]

    @property
    def _pad(self) -> int:
        pad = self.format.tokenizer.pad_token_id
        return self.format.end_id if pad is None else int(pad)

    # ------------------------------------------------------------------------------------- loss

    def _log_probabilities(
        self,
        model: Forward,
        inputs: Sequence[Mapping[str, Tensor]],
        starts: Tensor,
        targets: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Of each answer token, zero elsewhere, [2B, K]; and the same without gradient at the
        temperature of the candidates.
        """
        found, first = [], 0
        for some in inputs:
            rows = slice(first, first + len(some["input_ids"]))
            found.append(self._of_rows(model, some, starts[rows], targets[rows]))
            first = rows.stop
        plain, drawn = zip(*found, strict=True)
        return torch.cat(plain), torch.cat(drawn)

    def _of_rows(
        self, model: Forward, inputs: Mapping[str, Tensor], starts: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The same of one batch."""
        asked = targets != _IGNORED
        positions = torch.arange(inputs["input_ids"].shape[1], device=self.device)
        length = asked.sum(dim=1, keepdim=True)
        is_asked = (positions >= starts[:, None]) & (positions < starts[:, None] + length)
        with logits_where(self._model, is_asked):
            output = model(**inputs, use_cache=False)
        logits = output.logits  # 1 N V, of all answers one after the other
        if logits.shape[:2] == is_asked.shape:  # a family whose head is no module
            logits = logits[is_asked][None]
        none = torch.zeros(targets.shape, device=self.device)
        logp = answer_token_log_probabilities(logits, targets[asked][None])
        temperature, drawn = self.task.asking.temperature, logp.detach()
        if temperature != 1:
            drawn = answer_token_log_probabilities(
                logits.detach(), targets[asked][None], temperature=temperature
            )
        return none.masked_scatter(asked, logp), none.masked_scatter(asked, drawn)

    def loss(self, model: Forward, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The loss, and what to watch:

        accuracy, margin: of the implicit reward.
        shift_chosen, shift_rejected: by how many nats an answer is less likely to the policy than
            to the reference. DPO is content when both grow, if only the second grows faster.
        kl: estimate of the divergence from the reference, in nats an answer, of both at the
            temperature at which the candidates were drawn.
        """
        tokens, drawn = self._log_probabilities(model, batch.inputs, batch.starts, batch.targets)
        logp, ref_logp = tokens.sum(dim=1), batch.ref_logp.sum(dim=1)
        num_tokens = (batch.targets != _IGNORED).sum(dim=1)
        num_chosen, num_rejected = num_tokens.chunk(2)
        chosen, rejected = logp.chunk(2)
        ref_chosen, ref_rejected = ref_logp.chunk(2)
        found = answer_dpo(
            chosen,
            rejected,
            ref_chosen,
            ref_rejected,
            self.task.objective,
            num_chosen,
            num_rejected,
            batch.weights,
        )
        scalars = {
            "accuracy": found.accuracy,
            "margin": found.margin,
            "shift_chosen": (ref_chosen - chosen).detach().mean(),
            "shift_rejected": (ref_rejected - rejected).detach().mean(),
            "kl": kl_of_answers(drawn, batch.drawn_ref_logp, len(logp)),
        }
        return found.loss, scalars

    # ------------------------------------------------------------------------------------- looks

    @torch.no_grad()
    def answer(self, questions: Sequence[Prompt]) -> list[str | None]:
        """One answer to each question, sampled by the same seed at each call; None where it came to
        no end.
        """
        is_shared = any(hasattr(one, "ds_id") for one in self._model.parameters())  # ZeRO 3
        answers = []
        self._model.eval()
        try:
            for at, one in enumerate(questions):
                said = sampled_answers(self._model, self.format, one, [at], is_shared=is_shared)
                answers += [text if is_ended else None for text, is_ended in said]
        finally:
            self._model.train()
        return answers

    def save(self, directory: Path) -> None:
        """Model and processor for `from_pretrained`, with adapters added to the weights; these lie
        in `lora` too, for peft on top of the policy. The processor's files are the policy's.
        """
        if self.task.lora is not None:
            save_adapters(self._model, directory / "lora", self.task.policy)
            merge_adapters(self._model)
        self._model.save_pretrained(directory)
        copy_small_files(self._policy, directory, self.task.revision)
