"""Spotting: what the sandbox base's vision tower learns beside reading, as a detector does.

Each patch says whether the centre of a thing lies in it, and if so how well each shape fits that
thing, how large it is, what colour it has and where in the patch its centre is. A text has a few
words for all that, and reaches the tower through the whole decoder: from spotting alone a tower
sees in minutes what it takes hours to learn from texts.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from actors.sandbox.gallery import Series
from factory.sandbox.world import SHAPES

#: Patches along a side.
GRID = 4
#: Numbers that tell a thing: how well each shape fits it, the logarithm of its extent, its colour
#: (-1 to 1) and its place in the patch (0 to 1).
NUM_TOLD = len(SHAPES) + 1 + 3 + 2
#: Where an error of these stops to count as its square.
_BETA = 0.5
#: What it counts beside whether there is a thing, and which shape fits best.
_TOLD_WEIGHT = 4.0


def spots(images: Sequence[Series], num: int, rng: random.Random) -> dict[str, Tensor]:
    """Pictures and what is to be spotted in each.

    Returns:
        pixels: uint8 [num, S, S, 3]; things: [num, patches], 1 where a thing's centre lies; told:
        [num, patches, NUM_TOLD].
    """
    pixels = []
    things = np.zeros((num, GRID * GRID), dtype=np.float32)
    told = np.zeros((num, GRID * GRID, NUM_TOLD), dtype=np.float32)
    for row in range(num):
        series = rng.choice(images)
        at = rng.randrange(len(series.pictures))
        picture, sight = series.pictures[at], series.sights[at]
        if rng.random() < 0.5:
            picture, sight = picture[:, ::-1], sight.mirror()
        pixels.append(picture)
        for blob in sorted(sight.blobs, key=lambda one: one.area):  # the largest of two in a patch
            x, y = (min(GRID - 1e-3, max(0.0, GRID * share)) for share in (blob.x, blob.y))
            patch = int(y) * GRID + int(x)
            things[row, patch] = 1.0
            told[row, patch] = [
                *(blob.fits[shape] for shape in SHAPES),
                math.log(max(blob.extent, 1e-3)),
                *(level / 127.5 - 1.0 for level in blob.colour),
                x % 1.0,
                y % 1.0,
            ]
    return {
        "pixels": torch.from_numpy(np.stack(pixels)),
        "things": torch.from_numpy(things),
        "told": torch.from_numpy(told),
    }


class Spotter(nn.Module):
    """A head that reads from each patch's features, [P, patches, width], what is there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 1 + len(SHAPES) + NUM_TOLD)

    def loss(self, features: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """The loss, and the share of things of which the shape that fits best is known."""
        said = self.head(features)
        there = batch["things"] > 0
        told = batch["told"][there]
        shapes = said[there][:, 1 : 1 + len(SHAPES)]
        best = told[:, : len(SHAPES)].argmax(-1)
        loss = F.binary_cross_entropy_with_logits(said[..., 0], batch["things"])
        loss = loss + F.cross_entropy(shapes, best)
        off = F.smooth_l1_loss(said[there][:, 1 + len(SHAPES) :], told, beta=_BETA)
        return loss + _TOLD_WEIGHT * off, (shapes.argmax(-1) == best).float().mean()
