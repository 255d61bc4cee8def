"""The sandbox base vision-language model: a small LLaVA, pretrained from scratch on drawn scenes.

It learns three things, none of them from a preference: to *describe* a picture, to *answer* a
question about it, and to *check* a caption against one or two pictures. The first two know what was
drawn; the third goes by what the oracle sees, element by element (`gallery`). Checking is the dense
task that makes a judge learnable at this size: after every word of the caption the model predicts
whether that word is true of the picture, after the caption a grade for how many were wrong, and
after two pictures which of them is closer. The judge is fine-tuned from this base
(`jobs.train_judge`), as real judges are from real base models.

Left out: clips. The tokenizer knows their words; the base has seen none.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from factory.judging.specification import DEFAULT, JudgeSpecification, TaskSpecification
from factory.sandbox.drawing import CONTENT_DEFECTS, Pixels, spoil_scene
from factory.sandbox.gallery import SIDE, Series, imperfect
from factory.sandbox.oracle import Measurement, compare
from factory.sandbox.questions import ask
from factory.sandbox.tokenizer import EOS, IMAGE, build_tokenizer
from factory.sandbox.world import caption, sample_scene

PATCH = 8
TOKENS_PER_IMAGE = (SIDE // PATCH) ** 2
MAX_CONTEXT = 256
_WIDTH = 128
_IGNORED = -100
#: Share of the checked captions that had an element changed: a caption that no one meant to draw.
_RESTATED = 0.25
#: Two pictures whose numbers of wrong elements differ by less are equally close to the caption.
_CLOSE = 0.5

Log = Callable[[str], None]


#: How this base is asked to judge: in the words that it knows from checking, so that fine-tuning on
#: preferences has to change its taste and not its language. Saved beside the weights.
SPECIFICATION = JudgeSpecification(
    {
        "image_generation": TaskSpecification(
            pointwise="image 1 : {media} caption : {prompt} . check :",
            pairwise="image 1 : {media} caption : {prompt} . check : "
            "image 2 : {media} caption : {prompt} . check : closer :",
            scale=(1, 2, 3, 4, 5),
            answers=dict(DEFAULT.task("image_generation").answers),
        )
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
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """An untrained LLaVA of 1.4 million parameters: a 4-layer ViT and a 4-layer decoder."""
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=_WIDTH,
                intermediate_size=2 * _WIDTH,
                num_hidden_layers=4,
                num_attention_heads=4,
                image_size=SIDE,
                patch_size=PATCH,
                projection_dim=_WIDTH,
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
            vision_feature_select_strategy="default",
            tie_word_embeddings=True,
        )
    )


class Document:
    """One training text under construction: token ids, and what each position should predict."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.ids: list[int] = [tokenizer.bos_token_id]
        self.targets: list[int] = [_IGNORED]
        self.pictures: list[Pixels] = []

    def say(self, text: str) -> None:
        """Append text that is given, not predicted."""
        ids = self._tokenizer(text, add_special_tokens=False).input_ids
        self.ids += ids
        self.targets += [_IGNORED] * len(ids)

    def show(self, picture: Pixels) -> None:
        self.say(IMAGE * TOKENS_PER_IMAGE)
        self.pictures.append(picture)

    def expect(self, word: str) -> None:
        """The last position so far should predict `word`, whatever text follows it."""
        self.targets[-1] = self._tokenizer.convert_tokens_to_ids(word)

    def answer(self, text: str) -> None:
        """Append text that is predicted token by token."""
        for token in self._tokenizer(text, add_special_tokens=False).input_ids:
            self.targets[-1] = token
            self.ids.append(token)
            self.targets.append(_IGNORED)


def _check(document: Document, seen: Measurement) -> float:
    """Append the caption that was measured, expecting a yes or no after each of its elements;
    returns how many are wrong, half-wrong ones by their share.
    """
    stated = seen.stated

    def word(text: str, right: float) -> None:
        document.say(text)
        document.expect("yes" if right >= 0.5 else "no")

    for index, (thing, found) in enumerate(zip(stated.things, seen.things, strict=True)):
        if index > 0 and stated.relation is not None:
            word(stated.relation, found.place)
        elif index > 0:
            document.say("and")
        document.say("a")
        word(thing.size, found.size)
        word(thing.colour, found.colour)
        word(thing.shape, found.shape)
        if thing.place is not None:
            document.say("in the" if thing.place == "center" else "at the")
            word(thing.place, found.place)
    document.say("on a")
    word(stated.background, seen.background)
    document.say("background")
    word(".", float(seen.num_extra == 0))
    document.say("check :")
    document.expect(str(grade(seen.num_wrong)))
    return seen.num_wrong


def grade(num_wrong: float) -> int:
    """Five grades of fit, from the number of wrong elements: 0, 1, 2, 3 to 4, more."""
    return 5 - sum(num_wrong >= limit for limit in (0.5, 1.5, 2.5, 4.5))


def checking_document(
    tokenizer: PreTrainedTokenizerFast, gallery: Sequence[Series], rng: random.Random
) -> Document:
    """Two pictures of one caption, each checked word by word, then which is closer to it."""
    series = rng.choice(gallery)
    if rng.random() < 0.5:
        series = series.mirror()
    stated = series.stated
    if rng.random() < _RESTATED:  # another caption for the same pictures
        stated = spoil_scene(stated, rng.choice(CONTENT_DEFECTS), rng)
    document = Document(tokenizer)
    wrong = []
    for number, at in enumerate(rng.sample(range(len(series.pictures)), 2), start=1):
        document.say(f"image {number} :")
        document.show(series.pictures[at])
        document.say("caption :")
        wrong.append(_check(document, compare(stated, series.sights[at])))
    document.say("closer :")
    if abs(wrong[0] - wrong[1]) < _CLOSE:
        document.answer("both")
    else:
        document.answer(f"image {1 if wrong[0] < wrong[1] else 2}")
    return document


def telling_document(tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Document:
    """One drawn picture, a question about it with its right answer, then its description."""
    document = Document(tokenizer)
    scene = sample_scene(rng)
    document.say("image :")
    document.show(imperfect(scene, rng))
    question = ask(scene, rng)
    document.say(f"question : {question.text} answer :")
    document.answer(f"{question.answers[0].text} .")
    document.say("describe :")
    document.answer(caption(scene) + " " + EOS)
    return document


def collate(documents: list[Document], pad: int) -> dict[str, Tensor]:
    """Pad documents on the right: ids, mask and targets [B, T]; pictures [P, 3, H, W]."""
    length = max(len(document.ids) for document in documents)
    shape = (len(documents), length)
    ids = torch.full(shape, pad)
    targets = torch.full(shape, _IGNORED)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, document in enumerate(documents):
        size = len(document.ids)
        ids[row, :size] = torch.tensor(document.ids)
        targets[row, :size] = torch.tensor(document.targets)
        mask[row, :size] = 1
    pictures = np.stack([picture for document in documents for picture in document.pictures])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return {"input_ids": ids, "attention_mask": mask, "targets": targets, "pixel_values": pixels}


def answer_loss(
    model: LlavaForConditionalGeneration, batch: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Cross-entropy at the positions that have a target, and the share of them predicted right."""
    hidden = model.model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        pixel_values=batch["pixel_values"],
        use_cache=False,
    ).last_hidden_state
    asked = batch["targets"] != _IGNORED
    logits = model.lm_head(hidden[asked])
    targets = batch["targets"][asked]
    right = (logits.argmax(-1) == targets).float().mean()
    return F.cross_entropy(logits, targets), right


def pretrain_base(
    gallery: Sequence[Series],
    num_steps: int,
    batch_size: int,
    seed: int,
    log: Log = print,
    save: Callable[[LlavaForConditionalGeneration, LlavaProcessor], None] | None = None,
    save_every: int = 500,
    start_from: str | None = None,
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """Pretrain the base; each step sees `batch_size` documents of either kind.

    Args:
        gallery: pictures to check captions against.
        num_steps: optimiser steps.
        batch_size: documents of either kind in a step.
        seed: of weights and documents.
        log: gets a line every 50 steps.
        save: called every `save_every` steps, so that a run that is stopped leaves a model.
        save_every: steps.
        start_from: directory of an earlier base, to go on from; from scratch where not given.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    processor = build_processor()
    tokenizer = processor.tokenizer
    model = build_model(tokenizer)
    if start_from is not None:
        model = LlavaForConditionalGeneration.from_pretrained(start_from, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, total_steps=num_steps, pct_start=0.04
    )
    for step in range(num_steps):
        optimizer.zero_grad()
        shares = []
        for documents in (
            [checking_document(tokenizer, gallery, rng) for _ in range(batch_size)],
            [telling_document(tokenizer, rng) for _ in range(batch_size)],
        ):
            loss, right = answer_loss(model, collate(documents, tokenizer.pad_token_id))
            loss.backward()
            shares.append((loss.item(), right.item()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            (check, check_right), (tell, tell_right) = shares
            log(
                f"base step {step} checking {check:.3f} ({check_right:.1%} right) "
                f"telling {tell:.3f} ({tell_right:.1%} right)"
            )
        if save is not None and (step + 1) % save_every == 0:
            save(model, processor)
    return model.eval(), processor
