"""Shapes fitted to blobs that were drawn: the right one fits, at its size and place."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from factory.sandbox.drawing import draw_shape
from factory.sandbox.fitting import GRID, coverage_of, fit_shapes
from factory.sandbox.world import SHAPES

CONTRAST = np.array([120.0, -60.0, 30.0], np.float32)
NOTHING = np.zeros((GRID, GRID), np.bool_)


def covered(shape, extent, x, y, softness=0.0):
    """How much of each pixel a shape covers: drawn eight times too large."""
    image = Image.new("L", (8 * GRID, 8 * GRID))
    draw_shape(ImageDraw.Draw(image), shape, 8 * x, 8 * y, 8 * extent, 255)
    sharp = np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX), np.float32) / 255
    return ndimage.gaussian_filter(sharp, softness) if softness else sharp


def fitted(coverage, others=NOTHING, contrast=CONTRAST):
    difference = coverage[..., None] * CONTRAST
    return fit_shapes(difference, (coverage > 0.5) & ~others, others, contrast)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("extent", "x", "y"), [(7.0, 9.0, 21.0), (12.5, 16.3, 14.8), (20.0, 15.0, 17.0)]
)
def test_the_shape_that_was_drawn_fits_best(shape, extent, x, y):
    coverage = covered(shape, extent, x, y)
    found = fitted(coverage)
    own = found[shape]
    assert max(found, key=lambda one: found[one].overlap) == shape
    assert own.overlap > 0.93
    assert own.extent == pytest.approx(extent, abs=0.4)
    assert (own.x, own.y) == pytest.approx((x, y), abs=0.25)
    assert own.area == pytest.approx(coverage.sum(), rel=0.02)
    assert own.contrast == pytest.approx(CONTRAST)


def test_the_largest_template_is_26_px():
    for extent, wanted in ((26.0, 26.0), (30.0, 26.0)):
        assert fitted(covered("square", extent, 16.0, 16.0))["square"].extent == wanted


@pytest.mark.parametrize("shape", SHAPES)
def test_a_blurred_shape_is_still_itself_and_shows_its_full_colour(shape):
    """A blur hides the colour of what is small; it is estimated again from the soft template."""
    coverage = covered(shape, 6.0, 16.0, 16.0, softness=1.2)
    found = fitted(coverage, contrast=CONTRAST * coverage.max())
    assert found[shape].overlap == max(one.overlap for one in found.values())
    assert found[shape].contrast == pytest.approx(CONTRAST, rel=0.15)


def test_what_lies_under_another_blob_is_not_compared():
    """Of a square whose right third is hidden, what can be seen fits a square."""
    coverage = covered("square", 12.0, 16.0, 16.0)
    others = NOTHING.copy()
    others[:, 19:] = True
    hidden = np.where(others, 0, coverage)
    told, alone = fitted(hidden, others)["square"], fitted(hidden)["square"]
    assert told.overlap > alone.overlap


def test_coverage_is_along_the_contrast_and_within_bounds():
    shares = np.array([0.0, 0.25, 1.0, 1.7, -0.4], np.float32)
    found = coverage_of(shares[:, None] * CONTRAST, CONTRAST)
    assert found == pytest.approx([0.0, 0.25, 1.0, 1.0, 0.0], abs=1e-6)
    across = np.array([60.0, 120.0, 0.0], np.float32)  # as far from the blob as from nothing
    assert coverage_of(across, CONTRAST) == pytest.approx(0.0)
    assert coverage_of(across, np.zeros(3, np.float32)) == 0.0  # no colour at all
