"""Distilling a judge into a lighter one: fewer layers, and one look at each candidate.

    a group's scores and duels by the teacher -> the student's scores of all its candidates

The student begins as the teacher with some of its layers left out (Sanh et al. 2019, arXiv
1910.01108, section 3). It is taught to give each candidate the teacher's expected score, and so
that the differences of its scores, by Rao & Kupper's model, say what the teacher's duels say: what
the teacher knows by comparing goes into one number a candidate.

Left out: the teacher's reasons, and its hidden states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from actors.trainers.judge import Batch as Texts
from actors.trainers.judge import JudgeLearner, JudgeTask
from actors.trainers.learning import Forward
from factory.alignment.losses import expected_points, score_regression, soft_bradley_terry_with_ties
from factory.judging import by_scores
from factory.judging.by_scores import RaoKupper, met_with_scores
from factory.judging.specification import JudgeSpecification
from schemas.arrow import groups_from_table
from schemas.rows import Candidate, Group, Label, Task


@dataclass(frozen=True)
class DistilTask:
    """Train a light judge from the `teacher`, on rows of `schemas.arrow.GROUPS` that it judged.

    text_layers, vision_layers: layers that are kept; all where None.
    rules: what the teacher's score differences say of its duels, for each task.
    score_weight: of the squared error of scores, as a share of the scale.
    verdict_weight: of the divergence from the teacher's verdicts, in nats.
    trust_remote_code: run the code that comes with the teacher.
    revision: commit of a teacher in a hub's repository.
    allow_missing: patterns of names of tensors that the teacher may lack.
    """

    teacher: str
    specification: JudgeSpecification
    rules: Mapping[Task, RaoKupper]
    text_layers: int | None = None
    vision_layers: int | None = None
    score_weight: float = 1.0
    verdict_weight: float = 1.0
    trust_remote_code: bool = False
    revision: str | None = None
    allow_missing: tuple[str, ...] = ()

    @property
    def shares(self) -> Mapping[str, float]:
        return {"groups": 1.0}

    @property
    def key(self) -> str:
        return "prompt_id"

    def build(self, device: torch.device, dtype: torch.dtype) -> DistilLearner:
        return DistilLearner(self, device, dtype)


@dataclass(frozen=True)
class Batch:
    """The scored candidates of some groups, and the matchups among them.

    texts: their pointwise prompts, C of them.
    scores: the teacher's, [C].
    sides: [M, 2], which candidates met.
    rules: those of the tasks that there are, and which of the M matchups are of each, [M].
    verdicts: the teacher's probabilities of first, second and tie, [M, 3].
    """

    texts: Texts
    scores: Tensor
    sides: Tensor
    rules: Sequence[tuple[RaoKupper, Tensor]]
    verdicts: Tensor


class DistilLearner:
    """The student's weights on one worker."""

    def __init__(self, task: DistilTask, device: torch.device, dtype: torch.dtype) -> None:
        self.task = task
        self._device = device
        self._judge = JudgeLearner(
            JudgeTask(
                task.teacher,
                task.specification,
                pair_share=0.0,
                trust_remote_code=task.trust_remote_code,
                revision=task.revision,
                allow_missing=task.allow_missing,
            ),
            device,
            dtype,
        )
        keep_layers(self._judge.module, task.text_layers, task.vision_layers)

    @property
    def module(self) -> nn.Module:
        return self._judge.module

    def collate(self, rows: Mapping[str, pa.Table]) -> Batch:
        labels: list[Label] = []
        scores: list[float] = []
        sides: list[tuple[int, int]] = []
        verdicts: list[tuple[float, float, float]] = []
        tasks: list[Task] = []
        for group in groups_from_table(rows["groups"]):
            known = {one.candidate_id: one.value for one in group.scores if one.error is None}
            place = {}
            for candidate in group.candidates:
                if candidate.candidate_id in known:
                    place[candidate.candidate_id] = len(labels)
                    labels.append(self._label(group, candidate, known[candidate.candidate_id]))
                    scores.append(known[candidate.candidate_id])
            for met, _ in met_with_scores(group.scores, group.duels):
                sides.append((place[met.first_id], place[met.second_id]))
                verdicts.append((met.p_first, met.p_second, met.p_tie))
                tasks.append(group.prompt.task)
        return Batch(
            self._judge.batch(labels),
            torch.tensor(scores, device=self._device),
            torch.tensor(sides, dtype=torch.long, device=self._device).reshape(-1, 2),
            [
                (rule, torch.tensor([one == task for one in tasks], device=self._device))
                for task, rule in self.task.rules.items()
                if task in tasks
            ],
            torch.tensor(verdicts, device=self._device).reshape(-1, 3),
        )

    def _label(self, group: Group, candidate: Candidate, score: float) -> Label:
        """A candidate as a label that a judge is trained on; what it says is not read."""
        task = self.task.specification.task(group.prompt.task)
        nearest = min(task.scale, key=lambda one: abs(one - score))
        return Label(
            candidate.candidate_id,
            group.prompt,
            group.prompt.prompt_id,
            candidate.media,
            points=int(nearest),
            first_answer=candidate.answer,
        )

    def loss(self, model: Forward, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum, its two parts, and the share of the teacher's verdicts that the student
        gives too, ties left out.
        """
        texts = batch.texts
        logits = self._judge.logits(model, texts)
        log_p = texts.at_answers().scores.log_probability(logits)
        score = score_regression(log_p, texts.scale, batch.scores)
        expected = expected_points(log_p, texts.scale)
        difference = expected[batch.sides[:, 0]] - expected[batch.sides[:, 1]]
        verdict = logits.new_zeros(())
        for rule, is_in in batch.rules:
            verdict = verdict + is_in.float().mean() * soft_bradley_terry_with_ties(
                rule.slope * difference[is_in], batch.verdicts[is_in], rule.tie_odds
            )
        leads = batch.verdicts[:, 0] - batch.verdicts[:, 1]
        agrees = (leads.sign() == difference.detach().sign()).float()
        return self.task.score_weight * score + self.task.verdict_weight * verdict, {
            "loss_score": score.detach(),
            "loss_verdict": verdict.detach(),
            "agreement": agrees.mean() if len(agrees) else logits.new_zeros(()),
        }

    def save(self, directory: Path) -> None:
        self._judge.save(directory)
        by_scores.save(self.task.rules, directory)


def keep_layers(model: Any, text_layers: int | None, vision_layers: int | None) -> None:
    """Leave out layers of a loaded judge, in place: the first and last stay, and what is kept lies
    evenly between them.

    Raises:
        ValueError: more are to be kept than there are.
    """
    language = model.get_decoder()
    text = model.config.get_text_config()
    language.layers, kept = _thinned(language.layers, text_layers, "text_layers")
    for index, layer in enumerate(language.layers):
        layer.self_attn.layer_idx = index  # its place in the cache
    text.num_hidden_layers = len(kept)
    if getattr(text, "layer_types", None):
        text.layer_types = [text.layer_types[at] for at in kept]
    if vision_layers is not None:
        encoder = getattr(getattr(model.model, "vision_tower", None), "encoder", None)
        if encoder is None:
            kind = model.config.vision_config.model_type
            raise ValueError(f"vision_layers: a {kind} tower keeps all its layers; leave it out")
        encoder.layers, kept = _thinned(encoder.layers, vision_layers, "vision_layers")
        model.config.vision_config.num_hidden_layers = len(kept)


def _thinned(layers: nn.ModuleList, num: int | None, knob: str) -> tuple[nn.ModuleList, list[int]]:
    """`num` of the layers, and which those are."""
    if num is None:
        return layers, list(range(len(layers)))
    if not 1 <= num <= len(layers):
        raise ValueError(f"{knob}: {num} of {len(layers)} layers cannot be kept")
    if num == 1:
        kept = [0]
    else:
        kept = [round(at * (len(layers) - 1) / (num - 1)) for at in range(num)]
    return nn.ModuleList(layers[at] for at in kept), kept
