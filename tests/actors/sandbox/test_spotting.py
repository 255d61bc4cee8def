"""What the base's vision tower is to spot."""

from __future__ import annotations

import math
import random

import pytest
import torch

from actors.sandbox import gallery
from actors.sandbox.spotting import GRID, NUM_TOLD, Spotter, spots
from factory.sandbox.world import SHAPES


@pytest.fixture(scope="module")
def series() -> list[gallery.Series]:
    return list(gallery.drawn(6, seed=6))


def test_each_thing_is_told_in_the_patch_of_its_centre(series: list[gallery.Series]) -> None:
    picture, sight = series[0].pictures[0], series[0].sights[0]
    alone = gallery.Series(series[0].stated, (picture,), (sight,))
    batch = spots([alone], 16, random.Random(0))
    assert {tuple(batch[name].shape[1:]) for name in ("things", "told")} == {(16,), (16, NUM_TOLD)}
    seen = {True: sight, False: sight.mirror()}
    as_it_is = torch.from_numpy(picture.copy())
    for pixels, things, told in zip(batch["pixels"], batch["things"], batch["told"], strict=True):
        blobs = seen[torch.equal(pixels, as_it_is)].blobs
        assert things.sum() == len(blobs)  # none of them share a patch
        for blob in blobs:
            patch = int(GRID * blob.y) * GRID + int(GRID * blob.x)
            assert things[patch] == 1
            fits = told[patch, : len(SHAPES)].tolist()
            assert fits == pytest.approx([blob.fits[shape] for shape in SHAPES])
            extent, *colour, x, y = told[patch, len(SHAPES) :].tolist()
            assert math.exp(extent) == pytest.approx(blob.extent)
            assert [127.5 * (one + 1) for one in colour] == pytest.approx(blob.colour, abs=1e-2)
            assert (patch % GRID + x) / GRID == pytest.approx(blob.x, abs=1e-5)
            assert (patch // GRID + y) / GRID == pytest.approx(blob.y, abs=1e-5)


def test_to_tell_nothing_of_a_patch_without_a_thing_costs_nothing(
    series: list[gallery.Series],
) -> None:
    torch.manual_seed(0)
    batch = spots(series, 8, random.Random(0))
    features = torch.randn(8, GRID * GRID, 12, requires_grad=True)
    spotter = Spotter(12)
    loss, share = spotter.loss(features, batch)
    assert 0 <= share <= 1
    other = batch | {"told": torch.where(batch["things"][..., None] > 0, batch["told"], 9.0)}
    torch.testing.assert_close(spotter.loss(features, other)[0], loss)
    changed = batch | {"told": batch["told"] + 0.1}
    assert spotter.loss(features, changed)[0] != loss


def test_what_was_spotted_right_has_the_least_loss(series: list[gallery.Series]) -> None:
    """A head that is given what is to be told, and passes it on."""
    batch = spots(series, 8, random.Random(1))
    best = torch.nn.functional.one_hot(batch["told"][..., : len(SHAPES)].argmax(-1), len(SHAPES))
    right = torch.cat([200 * batch["things"][..., None] - 100, 100.0 * best, batch["told"]], dim=-1)
    spotter = Spotter(right.shape[-1])
    with torch.no_grad():
        spotter.head.weight.copy_(torch.eye(right.shape[-1]))
        spotter.head.bias.zero_()
    loss, share = spotter.loss(right, batch)
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    assert share == 1
