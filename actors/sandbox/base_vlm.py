"""The sandbox base vision-language model: a small LLaVA, pretrained from scratch on drawn scenes.

It learns what a verdict is made of, and nothing of it from a preference: to see, describe, answer,
check, follow and recite (`documents`). The judge is fine-tuned from this base (`jobs.train_judge`),
as real judges are from real base models.

A clip is its frames in a row, each through the vision tower as a picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import (
    CLIPImageProcessorPil,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SegformerConfig,
)

from actors.sandbox.document import IGNORED, PATCH
from actors.sandbox.documents import FOLLOWING, REASON, STEADY, WATCHING
from actors.sandbox.lessons import KIND_WEIGHTS, MIX, Batch, Lessons
from actors.sandbox.spotting import Spotter
from actors.sandbox.tokenizer import IMAGE, build_tokenizer
from factory.judging.specification import DEFAULT, JudgeSpecification, TaskSpecification
from factory.sandbox.imperfect import SIDE
from schemas.rows import Task

MAX_CONTEXT = 512
_WIDTH = 128
#: The least probability of each token of a justification that is given: of media, whose faults are
#: seen less well than an answer's, it has to be higher.
_SURE: dict[Task, float] = {
    "image_generation": 0.7,
    "video_generation": 0.7,
    "image_understanding": 0.5,
    "video_understanding": 0.5,
}
_LOG_EVERY = 50
_LOGGED = (*MIX, "spots")

Log = Callable[[str], None]


def _asked(task: Task, before: str, side: str) -> TaskSpecification:
    """A specification from what is said before the first side, and a side with # for its number."""
    one, two = (side.replace("#", number) for number in "12")
    return replace(
        DEFAULT.task(task),
        pointwise=f"{before}{one}",
        pairwise=f"{before}{one} {two} closer :",
        reason=REASON,
        reason_confidence=_SURE[task],
        source="",  # it has never seen an edit
    )


#: How this base is asked to judge: in the words that it knows from checking, so that fine-tuning on
#: preferences has to change its taste and not its language. Saved beside the weights.
SPECIFICATION = JudgeSpecification(
    {
        "image_generation": _asked(
            "image_generation", "", "image # : {media} caption : {prompt} . clean : check :"
        ),
        "video_generation": _asked(
            "video_generation",
            "",
            "video # : {media} caption : {prompt} . "
            + " ".join((*WATCHING, STEADY))
            + " direction : dynamic degree : clean : consistency : check :",
        ),
        "image_understanding": _asked(
            "image_understanding",
            "image : {media} question : {prompt} ",
            "answer # : {answer} . check :",
        ),
        "video_understanding": _asked(
            "video_understanding",
            "video : {media} " + " ".join(FOLLOWING) + " moving : question : {prompt} ",
            "answer # : {answer} . check :",
        ),
    }
)


def build_processor() -> LlavaProcessor:
    """The stock LLaVA processor for 32-px pictures; runs without torchvision."""
    return LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"height": SIDE, "width": SIDE},
            do_center_crop=False,
            image_mean=[0.5, 0.5, 0.5],
            image_std=[0.5, 0.5, 0.5],
        ),
        tokenizer=build_tokenizer(MAX_CONTEXT, closed=False),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token=IMAGE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """An untrained LLaVA of 2 million parameters: a SegFormer that halves the picture three times,
    and a 4-layer decoder.
    """
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=SegformerConfig(
                num_encoder_blocks=3,
                depths=[2, 3, 3],
                patch_sizes=[5, 3, 3],
                strides=[2, 2, 2],
                hidden_sizes=[48, 96, _WIDTH],
                num_attention_heads=[2, 4, 4],
                sr_ratios=[4, 2, 1],
                mlp_ratios=[2, 2, 2],
                drop_path_rate=0.0,
                reshape_last_stage=False,
                # What LLaVA asks of any tower; a SegFormer has no such knobs.
                hidden_size=_WIDTH,
                image_size=SIDE,
                patch_size=PATCH,
            ),
            text_config=LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=_WIDTH,
                intermediate_size=5 * _WIDTH // 2,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=4,
                max_position_embeddings=MAX_CONTEXT,
                # The usual 0.02 is meant for wide models; at this width it leaves attention so
                # flat that the model answers from the text alone for thousands of steps.
                initializer_range=0.06,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
                tie_word_embeddings=True,
            ),
            image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
            tie_word_embeddings=True,
        )
    )
    _initialise(model.model.vision_tower)
    return model


def _initialise(tower: nn.Module) -> None:
    """Draw a tower's weights by their fan-in. The library's 0.02 for all of them nearly silences a
    convolution of each channel by itself: from it, the tower learned half as fast.
    """
    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)


def answer_losses(
    model: LlavaForConditionalGeneration, batch: Batch
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the N positions that have a target: the cross-entropy, whether it is predicted right (the
    likelier of two being right), and its document's row.
    """
    pixel_values = _pixel_values(batch)
    hidden = model.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        pixel_values=pixel_values if len(pixel_values) else None,
        use_cache=False,
    ).last_hidden_state
    rows, columns = (batch["targets"] != IGNORED).nonzero(as_tuple=True)
    logits = model.lm_head(hidden[rows, columns])
    targets, others = (batch[name][rows, columns] for name in ("targets", "others"))
    shares = batch["shares"][rows, columns]
    losses = shares * F.cross_entropy(logits, targets, reduction="none")
    losses = losses + (1.0 - shares) * F.cross_entropy(logits, others, reduction="none")
    return losses, (logits.argmax(-1) == targets).float(), rows


@dataclass(frozen=True)
class Pretraining:
    """How the base is pretrained.

    num_steps: optimiser steps.
    learning_rate: at its peak.
    seed: of the weights.
    num_workers: processes that make documents; in this one where 0.
    device: of the training.
    save_every: steps after which the model is saved, so that a run that is stopped leaves one.
    """

    num_steps: int
    learning_rate: float = 1e-3
    seed: int = 0
    num_workers: int = 0
    device: str = "cpu"
    save_every: int = 500


def pretrain_base(
    processor: LlavaProcessor,
    lessons: Lessons,
    pretraining: Pretraining,
    start_from: str | None = None,
    log: Log = print,
    save: Callable[[LlavaForConditionalGeneration], None] | None = None,
) -> LlavaForConditionalGeneration:
    """Pretrain the base; in several processes of a torch.distributed group, with the mean of their
    gradients.

    Args:
        processor: of `build_processor`.
        lessons: what is learned from in each step; in each process its own.
        pretraining: how.
        start_from: directory of an earlier base, to go on from; from scratch where not given.
        log: gets a line every 50 steps: of each kind of document, and of spotting, its loss and
            the share of predicted tokens, or of shapes, that are right.
        save: called with the model as it is, every `save_every` steps.
    """
    torch.manual_seed(pretraining.seed)
    model = build_model(processor.tokenizer)
    if start_from is not None:
        _go_on_from(model, start_from)
    spotter = Spotter(_WIDTH)
    device = torch.device(pretraining.device)
    both = nn.ModuleList([model, spotter]).to(device)
    optimizer = torch.optim.AdamW(
        both.parameters(), lr=pretraining.learning_rate, betas=(0.9, 0.98), weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, pretraining.learning_rate, total_steps=pretraining.num_steps, pct_start=0.04
    )
    loader = DataLoader(lessons, batch_size=None, num_workers=pretraining.num_workers)
    sums = torch.zeros(len(_LOGGED), 2, device=device)
    for step, lesson in enumerate(itertools.islice(loader, pretraining.num_steps), start=1):
        optimizer.zero_grad()
        for batch in lesson.texts:
            sums[:-1] += _read(model, {name: one.to(device) for name, one in batch.items()})
        sums[-1] += _spot(
            model, spotter, {name: one.to(device) for name, one in lesson.spots.items()}
        )
        _average_gradients(both)
        nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % _LOG_EVERY == 0:
            of_each = zip(_LOGGED, (sums / _LOG_EVERY).tolist(), strict=True)
            log(
                f"base step {step} "
                + " ".join(f"{kind} {loss:.3f} ({right:.1%})" for kind, (loss, right) in of_each)
            )
            sums.zero_()
        if save is not None and step % pretraining.save_every == 0:
            save(model)
    return model.eval().cpu()


def _read(model: LlavaForConditionalGeneration, batch: Batch) -> Tensor:
    """Add the gradients of one batch of texts; the losses and the shares of right tokens of each
    kind of document, each over all targets of its kind in the step, [kinds, 2].
    """
    losses, right, rows = answer_losses(model, batch)
    weights, kinds = batch["weights"][rows], batch["kinds"][rows]
    counts = torch.tensor([KIND_WEIGHTS.get(kind, 1.0) for kind in MIX], device=losses.device)
    (counts[kinds] * weights * losses).sum().backward()
    found = torch.stack([losses.detach(), right], dim=1) * weights[:, None]
    return found.new_zeros(len(MIX), 2).index_add_(0, kinds, found)


def _spot(model: LlavaForConditionalGeneration, spotter: Spotter, batch: Batch) -> Tensor:
    """Add the gradients of spotting; its loss, and the share of shapes that are known, [2]."""
    features = model.model.vision_tower(pixel_values=_pixel_values(batch)).last_hidden_state
    loss, right = spotter.loss(features, batch)
    loss.backward()
    return torch.stack([loss.detach(), right])


def _average_gradients(module: nn.Module) -> None:
    if not dist.is_initialized():
        return
    for parameter in module.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


def _pixel_values(batch: Batch) -> Tensor:
    """Pixels as the vision tower takes them, [P, 3, S, S] of -1 to 1."""
    return batch["pixels"].permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _go_on_from(model: LlavaForConditionalGeneration, directory: str) -> None:
    earlier = LlavaForConditionalGeneration.from_pretrained(
        directory, dtype=torch.float32, use_safetensors=True
    )
    try:
        model.load_state_dict(earlier.state_dict())
    except RuntimeError as error:
        raise ValueError(f"{directory}: no earlier base of the same shape: {error}") from None
