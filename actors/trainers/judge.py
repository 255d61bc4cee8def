"""Fine-tuning a vision-language model into a judge: what is trained, for the loop in `engine`.

A label becomes the judge's own prompt followed by the tokens that decide its answer, and their
cross-entropy is the first loss. The rest of the sentence ("… is better than Image 2.") says nothing
more: six tokens of form drown the one or two that a small judge has to learn. A pairwise label is
shown in both orders at once: first and second are then equally often right, so no position can be
learned from the labels, and the recipe may ask that the two orders agree. Bradley-Terry with ties
on the verdict's margin, regression on the expected score and the tokens of the justification may be
added, each with its weight (`factory.alignment.losses`).

Labels of several tasks are mixed in every batch, in given shares. What is trained is what judges:
any family, by the model's own forward pass, on the prompts that a `TransformersJudge` would be
shown. Its head is asked at the positions of answers alone: logits of all positions over the whole
vocabulary would be the largest tensor of a step.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from actors.judges.checkpoint import load_weights
from actors.judges.eyes import Shown, eyes_of
from actors.judges.formats import format_of
from actors.judges.heads import Head
from actors.judges.local import local_directory
from actors.judges.looks import Look, look_at, num_shown
from actors.judges.plain import PlainFormat, PlainText, placed
from actors.judges.prompts import Medium, PromptFormat, Text
from actors.processors import copy_small_files
from actors.storage import local_model
from actors.trainers.adapters import add_adapters, attention_layers, merge_adapters
from actors.trainers.learning import Forward
from actors.trust import trusted
from factory.alignment.losses import (
    answer_cross_entropy,
    answer_log_probability,
    bradley_terry_with_ties,
    order_consistency,
    score_regression,
    weighted_answer_cross_entropy,
)
from factory.judging.specification import JudgeSpecification, SpecificationError, TaskSpecification
from factory.judging.targets import answer_in_words
from factory.judging.verdicts import PREFERENCES, AnswerTree
from factory.prompt_parts import in_words
from schemas.arrow import labels_from_table
from schemas.recipe import Lora
from schemas.rows import UNDERSTANDING, Label, Task, draw_of

_log = logging.getLogger(__name__)
_IGNORED = -100


@dataclass(frozen=True)
class LossWeights:
    """What each loss counts in the sum; one of weight 0 is not computed, but for
    `answer` and `order`, which are watched in any case.

    answer: cross-entropy of the tokens that decide the answer.
    verdict: Bradley-Terry with ties on the margin of first over second.
    score: squared error of the expected score, as a share of the scale.
    order: disagreement of the two orders.
    justification: cross-entropy of the justification's tokens.
    """

    answer: float = 1.0
    verdict: float = 0.0
    score: float = 0.0
    order: float = 0.0
    justification: float = 0.0


@dataclass(frozen=True)
class JudgeTask:
    """Train the model at `base` to answer as `specification` says.

    Reads data sets of label rows: `pairs` and `points`; or where `task_shares` are given
    "TASK pairs" and "TASK points" of each task in it.
    """

    base: str
    specification: JudgeSpecification
    pair_share: float
    label_smoothing: float = 0.0
    weights: LossWeights = LossWeights()
    tie_odds: float = 5.0
    task_shares: Mapping[Task, float] = field(default_factory=dict)
    lora: Lora | None = None
    trust_remote_code: bool = False  # run the code that comes with `base`
    revision: str | None = None  # commit of a base that is a hub's
    allow_missing: tuple[str, ...] = ()  # patterns of names of tensors that `base` may lack

    @property
    def shares(self) -> Mapping[str, float]:
        kinds = {"pairs": self.pair_share, "points": 1.0 - self.pair_share}
        if not self.task_shares:
            return {kind: share for kind, share in kinds.items() if share > 0}
        total = sum(self.task_shares.values())
        return {
            f"{task} {kind}": share * of_task / total
            for task, of_task in self.task_shares.items()
            for kind, share in kinds.items()
            if share * of_task > 0
        }

    @property
    def key(self) -> str:
        return "label_id"

    def build(self, device: torch.device, dtype: torch.dtype) -> JudgeLearner:
        return JudgeLearner(self, device, dtype)


@dataclass(frozen=True)
class Example:
    """One label as the model sees it.

    ids: prompt, then the tokens that decide the answer, or the answer and its justification.
    targets: what each position should predict to answer; -100 elsewhere.
    reasons: what each position should predict to justify; -100 elsewhere.
    options: tokens that make each possible answer, from the position `last` on; verdicts in the
        order of `PREFERENCES`, scores as in the scale. None where they are not on one chain.
    last: position of the prompt's last token.
    above, share_above: of points between two numbers of the scale the targets of the upper one, and
        its share; `targets` are those of the lower one.
    """

    ids: list[int]
    targets: list[int]
    reasons: list[int]
    options: list[tuple[int, ...]] | None
    last: int
    above: list[int] | None = None
    share_above: float = 0.0


@dataclass(frozen=True)
class Options:
    """The possible answers of B texts, on one chain of at most D tokens each.

    last: [B], the position that predicts the first token.
    tokens: [B, O, D], padded with -100; an option of nothing else does not exist.
    """

    last: Tensor
    tokens: Tensor

    def log_probability(self, logits: Tensor) -> Tensor:
        """Log-probability of each option from logits [B, T, V], renormalised over them: [B, O]."""
        depth = torch.arange(self.tokens.shape[-1], device=logits.device)
        at = (self.last[:, None] + depth).clamp(max=logits.shape[1] - 1)  # B D
        rows = torch.arange(len(logits), device=logits.device)[:, None]
        log_p = logits[rows, at].float().log_softmax(dim=-1)  # B D V
        asked = self.tokens != _IGNORED
        taken = log_p.gather(-1, self.tokens.where(asked, 0).transpose(1, 2)).transpose(1, 2)
        total = (taken * asked).sum(dim=-1).masked_fill(~asked.any(dim=-1), float("-inf"))
        return total.log_softmax(dim=-1)


@dataclass(frozen=True)
class Batch:
    """B texts, padded on the right: P pairs as they are, the same P swapped, then points.

    num_pairs: P.
    input_ids, attention_mask: [B, T].
    targets, reasons: [B, T], see `Example`.
    media: what the model's forward pass takes beside, by the names of its arguments.
    verdicts: the three verdicts of each of the 2P.
    outcomes: [2P], index of the labelled verdict in `PREFERENCES`.
    scores: the numbers of each scale of the Q points.
    scale: [Q, S], the numbers, NaN where padded.
    points: [Q].
    weights: of the labels, [B]; None where all count the same.
    above, share_above: [B, T] and [B], see `Example`; None where all points are on their scale.
    """

    num_pairs: int
    input_ids: Tensor
    attention_mask: Tensor
    targets: Tensor
    reasons: Tensor
    media: Mapping[str, Tensor]
    verdicts: Options
    outcomes: Tensor
    scores: Options
    scale: Tensor
    points: Tensor
    weights: Tensor | None = None
    above: Tensor | None = None
    share_above: Tensor | None = None

    @cached_property
    def at(self) -> Tensor:
        """The positions of each row from which answers are predicted, as many for each: [B, n]."""
        last = torch.cat([self.verdicts.last, self.scores.last])
        said = (self.targets != _IGNORED) | (self.reasons != _IGNORED)
        places = torch.arange(self.targets.shape[1], device=last.device)
        ends = (places * said).amax(dim=1)
        deepest = max(self.verdicts.tokens.shape[-1], self.scores.tokens.shape[-1])
        num = max(int((ends - last).max()) + 1, deepest)
        return (last[:, None] + places[:num]).clamp(max=len(places) - 1)

    def at_answers(self) -> Batch:
        """The batch as logits at `at` see it: targets there, and options from the first of them.

        Positions beyond a row's end are its last one once more, and predict nothing.
        """
        at = self.at
        is_new = torch.diff(at, dim=1, prepend=at[:, :1] - 1) > 0

        def there(targets: Tensor) -> Tensor:
            return targets.gather(1, at).where(is_new, _IGNORED)

        return replace(
            self,
            targets=there(self.targets),
            reasons=there(self.reasons),
            above=None if self.above is None else there(self.above),
            verdicts=replace(self.verdicts, last=torch.zeros_like(self.verdicts.last)),
            scores=replace(self.scores, last=torch.zeros_like(self.scores.last)),
        )


@dataclass(frozen=True)
class _Wanted:
    """An answer in tokens.

    tree: of all answers that could be given.
    decides: the tokens that tell it from the others.
    sentence: it in full.
    above, share_above: see `Example`.
    is_in_words: whether it is all that the judge is to write (`factory.judging.targets`): no one
        place of it decides.
    """

    tree: AnswerTree[Any]
    decides: list[int]
    sentence: list[int]
    above: list[int] | None = None
    share_above: float = 0.0
    is_in_words: bool = False


def _is_on_one_chain(tree: AnswerTree[Any]) -> bool:
    """Whether the probability of each answer can be read from one text."""
    return len(tree.chains) == 1 and not tree.ends


class JudgeLearner:
    """The judge's weights on one worker."""

    def __init__(self, task: JudgeTask, device: torch.device, dtype: torch.dtype) -> None:
        self.task = task
        self.device = device
        trust = trusted(task.base, task.trust_remote_code)
        self._base = local_directory(local_model(task.base), task.revision, with_code=trust)
        self.format = format_of(self._base, task.specification, trust_remote_code=trust)
        self._model = load_weights(
            self._base,
            torch.float32,
            device,
            trust_remote_code=trust,
            allow_missing=task.allow_missing,
        )
        if isinstance(self.format, PromptFormat):
            self.eyes = eyes_of(self._model, self.format.processor)
        self._dtype = dtype
        self._examples: dict[tuple[str, bool], Example] = {}
        if task.lora is not None:
            add_adapters(self._model, task.lora, self._adapted(task.lora))
        self._head = Head(self._model)

    def _adapted(self, lora: Lora) -> list[str]:
        """The layers that get adapters where the recipe names none, which is told."""
        layers = [] if lora.targets else attention_layers(self._model)
        endings = sorted({one.rpartition(".")[2] for one in layers})
        if layers:
            _log.info("adapters in %d layers of attention: %s", len(layers), ", ".join(endings))
        return layers

    @property
    def module(self) -> nn.Module:
        return self._model

    # ------------------------------------------------------------------------------------- rows

    def collate(self, rows: Mapping[str, pa.Table]) -> Batch:
        return self.batch([label for table in rows.values() for label in labels_from_table(table)])

    def batch(self, labels: Sequence[Label]) -> Batch:
        """Labels as tensors: pairs first, in both orders, and then points."""
        pairs = [label for label in labels if label.preference is not None]
        points = [label for label in labels if label.preference is None]
        # A justification speaks of "image 1" and "image 2": it is true in the order written alone.
        swapped = [label.swap() for label in pairs]
        shown = [*pairs, *swapped, *points]
        of_pairs = [_looks(label, self._asked(label)) for label in pairs]
        of_points = [_looks(label, self._asked(label)) for label in points]
        looks = [one.shown for one in of_pairs]
        looks += [one.swapped for one in of_pairs]
        looks += [one.shown for one in of_points]
        prompts = [self._prompt(*one) for one in zip(shown, looks, strict=True)]
        given = self._made(
            prompts,
            [
                _as_shown(self._asked(label), label, one)
                for label, one in zip(shown, looks, strict=True)
            ],
        )
        examples = [
            self._kept(label, prompt, is_swapped=len(pairs) <= at < 2 * len(pairs))
            for at, (label, prompt) in enumerate(zip(shown, prompts, strict=True))
        ]
        return self._tensors(shown, len(pairs), examples, given)

    def _made(self, prompts: Sequence[Any], media: Sequence[Sequence[Shown]]) -> Mapping[str, Any]:
        """What the model takes of the prompts: on the plain path all of it, else that of media."""
        if isinstance(self.format, PlainFormat):
            return self.format.tensors(prompts)
        return self.eyes.inputs(media)

    def _kept(self, label: Label, prompt: Text | PlainText, *, is_swapped: bool) -> Example:
        """The label's tokens, which are made once: they are small, and the same in every epoch."""
        key = label.label_id, is_swapped
        if key not in self._examples:
            self._examples[key] = self._example(label, prompt, with_reason=not is_swapped)
        return self._examples[key]

    def _asked(self, label: Label) -> TaskSpecification:
        return self.format.specification.task(label.prompt.task).for_prompt(label.prompt)

    def example(self, label: Label, looks: Sequence[Look], *, with_reason: bool = True) -> Example:
        """A label as token ids and targets; the justification only where it is to be learned."""
        return self._example(label, self._prompt(label, looks), with_reason=with_reason)

    def _example(self, label: Label, asked: Text | PlainText, *, with_reason: bool) -> Example:
        task, form = self._asked(label), self.format
        wanted = self._wanted(label, task)
        tree, decides, sentence = wanted.tree, wanted.decides, wanted.sentence
        prompt = list(asked.ids)
        chain = list(tree.chains[0])
        has_options = _is_on_one_chain(tree) and not wanted.is_in_words
        told = self._justification(label, task) if with_reason else []
        if told and (not has_options or sentence[: len(chain)] == chain):
            answer = [*sentence, *form.answer_ids(task.reason)]
        else:
            # A tie does not pass the second branch, where the other two part: the chain does.
            told, answer = [], chain if has_options and len(chain) >= len(decides) else decides
        ids = [*prompt, *answer, *told]
        # The token before each answer token predicts it, so targets are one place ahead.
        last = len(prompt) - 1
        targets = [_IGNORED] * len(ids)
        targets[last : last + len(decides)] = decides
        reasons = [_IGNORED] * len(ids)
        if told:
            reasons[last + len(answer) : last + len(answer) + len(told)] = told
        options = None
        if has_options:
            keys: Sequence[Any] = PREFERENCES if label.preference is not None else task.scale
            options = [tree.tokens[one] for one in keys]
        if wanted.above is None:
            return Example(ids, targets, reasons, options, last)
        above = [_IGNORED] * len(ids)
        above[last : last + len(wanted.above)] = wanted.above
        return Example(ids, targets, reasons, options, last, above, wanted.share_above)

    def _wanted(self, label: Label, task: TaskSpecification) -> _Wanted:
        """The answer that a label asks for."""
        form = self.format
        if (told := answer_in_words(label, task)) is not None:
            tree = form.score_tree(task) if label.preference is None else form.verdict_tree(task)
            ids = [*form.answer_ids(told), form.tokenizer.eos_token_id]
            return _Wanted(tree, ids, ids, is_in_words=True)
        if label.preference is not None:
            verdicts = form.verdict_tree(task)
            sentence = form.answer_ids(task.answers[label.preference])
            return _Wanted(verdicts, list(verdicts.tokens[label.preference]), sentence)
        scores = form.score_tree(task)
        number, above, share = _on_scale(label, task)
        if above is not None and task.reading == "text":
            written = task.score.partition("{score}")[0] + f"{label.points:g}"
            sentence = form.answer_ids(task.score.replace("{score}", f"{label.points:g}"))
            return _Wanted(scores, form.answer_ids(written), sentence)
        if above is not None and not _is_on_one_chain(scores):
            # No one text goes on to both: of many such labels each is taken for one of the two, for
            # either as often as the mixture has it.
            number = above if draw_of("points", label.label_id) < share else number
            above = None
        sentence = form.answer_ids(task.score.replace("{score}", f"{number:g}"))
        decides = list(scores.tokens[number])
        if above is None:
            return _Wanted(scores, decides, sentence)
        return _Wanted(scores, decides, sentence, list(scores.tokens[above]), share)

    def _prompt(self, label: Label, looks: Sequence[Look]) -> Text | PlainText:
        """The prompt that the judge would be shown."""
        task, text = self._asked(label), in_words(label.prompt)
        shown: list[Any] = _as_shown(task, label, looks)
        if isinstance(self.format, PromptFormat):
            is_alone = len(shown) == 1 and self.eyes.tiles_alone
            shown = [
                Medium(at, self.eyes.tokens(one, is_alone), *self.eyes.told(one))
                for at, one in enumerate(shown)
            ]
        num = len(label.prompt.media_of("source"))  # they come first, as in `look_at`
        source, media = shown[:num], _places(task, label, shown[num:])
        answers = [one for one in (label.first_answer, label.second_answer) if one is not None]
        if label.preference is not None:
            return self.format.pair(task, text, media, answers, source)
        return self.format.point(task, text, media, answers, source)

    def _justification(self, label: Label, task: TaskSpecification) -> list[int]:
        """Tokens of the justification and the end of the text; none where it is not learned."""
        if not self.task.weights.justification or not task.reason or not label.justification:
            return []
        return [*self.format.answer_ids(label.justification), self.format.tokenizer.eos_token_id]

    def _tensors(
        self,
        labels: Sequence[Label],
        num_pairs: int,
        examples: Sequence[Example],
        given: Mapping[str, Any],
    ) -> Batch:
        length = max(len(one.ids) for one in examples)
        if isinstance(self.format, PlainFormat):
            answers = [one.ids[one.last + 1 :] for one in examples]
            tensors, _ = self.format.followed(given, answers)
        else:
            pad = self.format.tokenizer.pad_token_id
            ids = _padded([one.ids for one in examples], length, pad)
            mask = _padded([[1] * len(one.ids) for one in examples], length, 0)
            tensors = {"input_ids": ids, "attention_mask": mask, **given, **self.eyes.marks(ids)}
        tensors = placed(tensors, self.device, self._dtype)
        pairs, points = examples[: 2 * num_pairs], examples[2 * num_pairs :]
        scales = [self._asked(label).scale for label in labels[2 * num_pairs :]]
        widest = max(map(len, scales), default=1)
        padding = [float("nan")] * widest
        return Batch(
            num_pairs,
            tensors.pop("input_ids"),
            tensors.pop("attention_mask"),
            _padded([one.targets for one in examples], length, _IGNORED).to(self.device),
            _padded([one.reasons for one in examples], length, _IGNORED).to(self.device),
            tensors,
            self._options(pairs, len(PREFERENCES)),
            torch.tensor(
                [PREFERENCES.index(one.preference) for one in labels if one.preference is not None],
                dtype=torch.long,
            ).to(self.device),
            self._options(points, widest),
            torch.tensor([[*map(float, scale), *padding][:widest] for scale in scales]).to(
                self.device
            ),
            torch.tensor([float(one.points or 0) for one in labels if one.preference is None]).to(
                self.device
            ),
            self._weights(labels),
            *self._above(examples, length),
        )

    def _weights(self, labels: Sequence[Label]) -> Tensor | None:
        """[B]; None where no label has one."""
        if all(label.weight is None for label in labels):
            return None
        weights = [1.0 if label.weight is None else label.weight for label in labels]
        return torch.tensor(weights).to(self.device)

    def _above(
        self, examples: Sequence[Example], length: int
    ) -> tuple[Tensor | None, Tensor | None]:
        """Targets of the upper numbers and their shares; None where no points need them."""
        if all(one.above is None for one in examples):
            return None, None
        rows = [one.above or [_IGNORED] for one in examples]
        shares = torch.tensor([one.share_above for one in examples])
        return _padded(rows, length, _IGNORED).to(self.device), shares.to(self.device)

    def _options(self, examples: Sequence[Example], num: int) -> Options:
        """The possible answers of each example, `num` of them at most.

        Raises:
            SpecificationError: a loss needs them, and they are on several chains of tokens.
        """
        given = [example.options or [] for example in examples]
        if not all(given) and (self.task.weights.score or self.task.weights.verdict):
            raise SpecificationError(
                "the losses 'score' and 'verdict' need answers of one token each after what they "
                "have in common"
            )
        depth = max((len(tokens) for options in given for tokens in options), default=1)
        made = torch.full((len(examples), num, depth), _IGNORED)
        for row, options in enumerate(given):
            for option, tokens in enumerate(options):
                made[row, option, : len(tokens)] = torch.tensor(tokens)
        last = torch.tensor([example.last for example in examples], dtype=torch.long)
        return Options(last.to(self.device), made.to(self.device))

    # ------------------------------------------------------------------------------------- loss

    def logits(self, model: Forward, batch: Batch) -> Tensor:
        """Logits at the positions from which answers are predicted (`Batch.at`), [B, n, V]."""
        with self._head.asked(batch.at, is_wide=False):
            logits: Tensor = model(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                use_cache=False,
                **batch.media,
            ).logits
        if self._head.module is None:
            logits = torch.take_along_dim(logits, batch.at[..., None], dim=1)
        return logits

    def loss(self, model: Forward, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The weighted sum, and what to watch: each part, and the share of deciding tokens that
        are right.
        """
        logits, batch = self.logits(model, batch), batch.at_answers()
        weights = self.task.weights
        smoothing = self.task.label_smoothing
        asked = batch.targets != _IGNORED
        right = (logits.argmax(-1) == batch.targets)[asked].float().mean()
        parts = {"answer": _answer_loss(logits, batch, smoothing)}
        num = 2 * batch.num_pairs
        if batch.num_pairs:
            parts |= self._pair_losses(logits[:num], batch)
        if weights.score and len(batch.points):
            log_p = batch.scores.log_probability(logits[num:])
            of_points = None if batch.weights is None else batch.weights[num:]
            parts["score"] = score_regression(log_p, batch.scale, batch.points, of_points)
        if weights.justification:
            parts["justification"] = _reason_loss(logits, batch)
        loss = sum(
            (getattr(weights, name) * part for name, part in parts.items()), logits.new_zeros(())
        )
        watched = {
            "order_gap" if name == "order" else f"loss_{name}": part.detach()
            for name, part in parts.items()
        }
        return loss, {"token_accuracy": right.detach(), **watched}

    def _pair_losses(self, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        shown, swapped = answer_log_probability(logits, batch.targets[: 2 * batch.num_pairs]).chunk(
            2
        )
        parts = {"order": order_consistency(shown, swapped)}
        if self.task.weights.verdict:
            log_p = batch.verdicts.log_probability(logits)
            margin = log_p[:, 0] - log_p[:, 1]
            weights = None if batch.weights is None else batch.weights[: len(margin)]
            parts["verdict"] = bradley_terry_with_ties(
                margin, batch.outcomes, self.task.tie_odds, weights
            )
        return parts

    def save(self, directory: Path) -> None:
        if self.task.lora is not None:
            merge_adapters(self._model)
        self._model.save_pretrained(directory)
        copy_small_files(self._base, directory)
        self.task.specification.save(directory)


@dataclass(frozen=True)
class _Seen:
    """The media of a label, decoded once: in the order of its sides, and in the other."""

    shown: list[Look]
    swapped: list[Look]


def _looks(label: Label, task: TaskSpecification) -> _Seen:
    """The media of a label.

    Raises:
        ValueError: one cannot be read.
    """
    looks, sides = look_at(label.prompt, label.sides(), task)
    error = next((side.error for side in sides if side.error), None)
    if error is not None:
        raise ValueError(f"label {label.label_id}: {error}")
    if len(sides) == 1 or label.prompt.task in UNDERSTANDING:
        return _Seen(looks, looks)
    first, second = sides
    order = [*second.sources, *second.looks, *first.looks]
    return _Seen(looks, [looks[at] for at in order])


def _as_shown(task: TaskSpecification, label: Label, looks: Sequence[Look]) -> list[Shown]:
    is_video = label.prompt.task.startswith("video") and not task.is_pictures
    return [(look, is_video) for look in looks]


def _places(task: TaskSpecification, label: Label, media: list[Any]) -> list[list[Any]]:
    """The media of each `{media}`: all of a question, or those of each side, of which a clip that
    is shown as pictures has one for each frame.
    """
    if label.prompt.task in UNDERSTANDING:
        return [media]
    sides = [one.media for one in label.sides() if one.media is not None]
    if not task.is_pictures or not label.prompt.task.startswith("video"):
        return [[one] for one in media]
    num = num_shown(task, sides[0].num_frames, sides[0].fps)
    return [media[:num], media[num:]] if len(sides) > 1 else [media]


def _answer_loss(logits: Tensor, batch: Batch, smoothing: float) -> Tensor:
    if batch.weights is None and batch.above is None:
        return answer_cross_entropy(logits, batch.targets, label_smoothing=smoothing)
    weights = logits.new_ones(len(logits)) if batch.weights is None else batch.weights
    return weighted_answer_cross_entropy(
        *(logits, batch.targets, weights, batch.above, batch.share_above),
        label_smoothing=smoothing,
    )


def _reason_loss(logits: Tensor, batch: Batch) -> Tensor:
    if batch.weights is None:
        return answer_cross_entropy(logits, batch.reasons)
    return weighted_answer_cross_entropy(logits, batch.reasons, batch.weights)


def _on_scale(label: Label, task: TaskSpecification) -> tuple[float, float | None, float]:
    """What a label's points are on the judge's scale: a number; or of two that they lie between the
    lower, the upper, and the upper one's share. A judge that writes may write any number between.

    Raises:
        ValueError: they are on another scale than the judge's.
    """
    points, scale = label.points, task.scale
    if points is None or not scale[0] <= points <= scale[-1]:
        raise ValueError(
            f"label {label.label_id}: {points} points are not on the judge's scale "
            f"{list(scale)} of {label.prompt.task}"
        )
    lower = max(value for value in scale if value <= points)
    if lower == points:
        return lower, None, 0.0
    upper = min(value for value in scale if value > points)
    return lower, upper, (points - lower) / (upper - lower)


def _padded(rows: Sequence[list[int]], length: int, value: int) -> Tensor:
    return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows])
