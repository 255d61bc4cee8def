"""What a step of the base is made of: documents in the mix, drawn from a gallery that grows."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info
from transformers import PreTrainedTokenizerFast

from actors.sandbox.document import IGNORED, BlindDocument, Document
from actors.sandbox.documents import (
    answering_document,
    checking_document,
    motion_document,
    reciting_document,
    seeing_document,
    telling_document,
)
from actors.sandbox.gallery import ClipSeries, Series, drawn, drawn_clips, generated
from actors.sandbox.spotting import spots
from factory.sandbox.imperfect import SIDE
from schemas.rows import seed_of

#: What `collate` makes.
Batch = dict[str, Tensor]
#: Series of each kind of picture in a gallery at first, and those that a step of that size adds.
_FIRST_SERIES, _NEXT_SERIES = 24, 3


def collate(
    documents: Sequence[Document], pad: int, kinds: Sequence[int], weights: Sequence[float]
) -> Batch:
    """Pad documents on the right.

    Args:
        documents: B of them.
        pad: id of the padding token.
        kinds: what kind each of them is.
        weights: what each target of each of them counts in the loss.

    Returns:
        input_ids, attention_mask, targets, others, shares: [B, T]; pixels: uint8 [P, S, S, 3];
        kinds, weights: [B].
    """
    length = max(len(document.ids) for document in documents)
    shape = (len(documents), length)
    ids = torch.full(shape, pad)
    targets = torch.full(shape, IGNORED)
    others = torch.full(shape, IGNORED)
    shares = torch.ones(shape)
    mask = torch.zeros(shape, dtype=torch.long)
    for row, document in enumerate(documents):
        size = len(document.ids)
        ids[row, :size] = torch.tensor(document.ids)
        targets[row, :size] = torch.tensor(document.targets)
        others[row, :size] = torch.tensor(document.others)
        shares[row, :size] = torch.tensor(document.shares)
        mask[row, :size] = 1
    pictures = [picture for document in documents for picture in document.pictures]
    pixels = np.stack(pictures) if pictures else np.zeros((0, SIDE, SIDE, 3), dtype=np.uint8)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "targets": targets,
        "others": others,
        "shares": shares,
        "pixels": torch.from_numpy(pixels),
        "kinds": torch.tensor(kinds),
        "weights": torch.tensor(weights),
    }


#: Documents of each kind in a step, for a batch size of 24.
MIX = {
    "images": 13,
    "clips": 18,
    "motions": 4,
    "answers": 5,
    "tellings": 1,
    "sights": 10,
    "tracks": 8,
    "recitals": 6,
    "blind": 6,
}


#: What the mean loss of a kind counts, one where not given: checking is what verdicts are made of,
#: and of clips there is the most to check.
KIND_WEIGHTS = {"images": 1.5, "clips": 3.0}


#: Pictures in a step in which things are to be spotted, for that size too.
SPOTS = 96


def in_parts(documents: Mapping[str, Sequence[Document]], pad: int) -> list[Batch]:
    """The documents of one step in batches of alike length, so that little of them is padding.

    The weights of a kind sum to one over the step, so that its mean loss counts the same however
    many targets it has; how much that is, `KIND_WEIGHTS` says.
    """
    parts: dict[int, list[tuple[Document, int, float]]] = defaultdict(list)
    for kind, some in enumerate(documents.values()):
        num_targets = max(1, sum(document.num_targets for document in some))
        for document in some:
            # Those of up to 64 tokens are in one part, of up to 128 in the next, and so on.
            part = max(6, (len(document.ids) - 1).bit_length())
            parts[part].append((document, kind, 1.0 / num_targets))
    batches = []
    for rows in parts.values():
        some, kinds, weights = zip(*rows, strict=True)
        batches.append(collate(some, pad, kinds, weights))
    return batches


@dataclass(frozen=True)
class Lesson:
    """What the base learns from in one step: texts in batches (`in_parts`), and pictures in which
    its vision tower is to spot things (`spots`).
    """

    texts: list[Batch]
    spots: Batch


class Lessons(IterableDataset[Lesson]):
    """Endless lessons. Each process, and each worker of its `DataLoader`, has a gallery and
    documents of its own, and all of them together a gallery of the whole size, which grows as they
    go.

    Args:
        tokenizer: of the base.
        pipeline: a generator of pictures.
        captions: for it; a series of pictures each.
        gallery_size: number of series of drawn pictures; there are half as many of drawn clips.
        batch_size: scales the number of documents of each kind in a step (`MIX`).
        seed: of galleries and documents.
        rank, num_processes: of the training's processes, which one this is.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        pipeline: Any,
        captions: Sequence[str],
        gallery_size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        self.tokenizer = tokenizer
        self.pipeline = pipeline
        self.captions = captions
        self.gallery_size = gallery_size
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.num_processes = num_processes

    def __iter__(self) -> Iterator[Lesson]:
        info = get_worker_info()
        number, num_workers = (info.id, info.num_workers) if info else (0, 1)
        worker, num_workers = self.rank * num_workers + number, self.num_processes * num_workers
        size = self.gallery_size // num_workers
        of_generated = generated(
            self.pipeline,
            self.captions[worker::num_workers],
            seed_of("generated", self.seed, worker),
        )
        of_drawn = drawn(size, seed_of("pictures", self.seed, worker))
        of_clips = drawn_clips(size // 2, seed_of("clips", self.seed, worker))
        images: list[Series] = []
        clips: list[ClipSeries] = []
        rng = random.Random(seed_of("documents", self.seed, worker))
        makers = _makers(self.tokenizer, images, clips, rng)
        # A series takes longer to make than a document: learning begins with a few.
        growth = itertools.repeat(max(2, _NEXT_SERIES * self.batch_size // 24))
        for num in itertools.chain([_FIRST_SERIES], growth):
            images += itertools.islice(of_generated, num)
            images += itertools.islice(of_drawn, num)
            clips += itertools.islice(of_clips, num // 2)
            made = {
                kind: [makers[kind]() for _ in range(max(1, share * self.batch_size // 24))]
                for kind, share in MIX.items()
            }
            num_spots = max(1, SPOTS * self.batch_size // 24)
            yield Lesson(in_parts(made, self.tokenizer.pad_token_id), spots(images, num_spots, rng))


def _makers(
    tokenizer: PreTrainedTokenizerFast,
    images: Sequence[Series],
    clips: Sequence[ClipSeries],
    rng: random.Random,
) -> dict[str, Callable[[], Document]]:
    """How documents of each kind in `MIX` are made."""
    return {
        "images": lambda: checking_document(tokenizer, images, rng),
        "clips": lambda: checking_document(tokenizer, clips, rng),
        "motions": lambda: motion_document(tokenizer, rng),
        "answers": lambda: answering_document(tokenizer, rng),
        "tellings": lambda: telling_document(tokenizer, rng),
        "sights": lambda: seeing_document(tokenizer, images, rng),
        "tracks": lambda: seeing_document(tokenizer, clips, rng),
        "recitals": lambda: reciting_document(tokenizer, rng),
        "blind": lambda: checking_document(
            tokenizer, rng.choice((images, clips)), rng, BlindDocument
        ),
    }
