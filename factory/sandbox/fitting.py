"""Fitting the sandbox's four shapes to a blob of one colour.

Each shape is laid where it has the blob's area and centre of mass, which neither blur nor noise
moves much, and intersection over union tells how well it fits. Templates come from the function
that draws scenes, at several degrees of softness, so that a blurred square is still a square.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from factory.sandbox.drawing import draw_shape
from factory.sandbox.world import SHAPES

GRID = 32  # px of the side of a picture when it is measured
_CELL = 4  # templates are placed and sized in steps of 1 / _CELL px
_WINDOW = 34  # px of the square that a template is drawn in
_MAX_EXTENT = 26  # px of the largest template: a share of 0.8
#: Softness (px) of the templates that a blob is compared with.
_SOFTNESS = (0.0, 0.7, 1.2)
#: A blob that covers more than this somewhere, however soft it is, shows its full colour there.
_FULL = 0.97
_ROUNDS = 3

Floats = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
_STEPS = np.arange(GRID, dtype=np.float32) + 0.5  # centres of pixels
_SQUARE = ndimage.generate_binary_structure(2, 2)


@dataclass(frozen=True)
class Fit:
    """One shape fitted to one blob, in px of a 32-px picture.

    overlap: intersection over union of the blob and the shape's best template.
    extent: longer side of that template.
    x, y: its centre, y downwards.
    area: what the blob covers.
    contrast: the blob's colour minus the background's, RGB levels.
    """

    overlap: float
    extent: float
    x: float
    y: float
    area: float
    contrast: Floats


def coverage_of(difference: Floats, contrast: Floats) -> Floats:
    """How much of each pixel a blob of this contrast covers, 0 to 1.

    Args:
        difference: the picture minus its background, [..., 3].
        contrast: the blob's colour minus the background's, [3].
    """
    strength = max(1.0, float(contrast @ contrast))
    return np.asarray(np.clip(difference @ contrast / strength, 0.0, 1.0))


def fit_shapes(difference: Floats, mask: Mask, others: Mask, contrast: Floats) -> dict[str, Fit]:
    """Fit every shape to one blob.

    Args:
        difference: the picture minus its background, [32, 32, 3].
        mask: the blob's pixels, [32, 32].
        others: those of other blobs; what is under them is unknown and not compared.
        contrast: the blob's colour minus the background's, a first estimate.
    """
    hidden = ndimage.binary_dilation(others, _SQUARE) & ~mask if others.any() else others
    support = ndimage.binary_dilation(mask, _SQUARE, iterations=2) & ~hidden
    return {shape: _fit(shape, difference, support, hidden, contrast) for shape in SHAPES}


def _fit(shape: str, difference: Floats, support: Mask, hidden: Mask, contrast: Floats) -> Fit:
    """Fit one shape.

    A soft blob may nowhere reach its full colour. Where that can be, its colour is estimated again
    as if it were this shape and soft, and the shape is fitted once more with it.
    """
    found = []
    for _ in range(_ROUNDS):
        coverage = np.rint(255 * coverage_of(difference, contrast) * support).astype(np.uint8)
        area, extent, x, y = _place(shape, coverage)
        templates = _laid(shape, extent, x, y) * ~hidden
        both = np.minimum(coverage, templates).sum(axis=(1, 2), dtype=np.int32)
        either = np.maximum(coverage, templates).sum(axis=(1, 2), dtype=np.int32)
        overlap = float((both / either).max())
        found.append(Fit(overlap, extent / _CELL, x, y, area, contrast))
        weight = templates[-1] * support / np.float32(255)
        if weight.max() > _FULL:
            break
        mixed = np.tensordot(weight, difference, 2)
        contrast = (mixed / max(1.0, float((weight**2).sum()))).astype(np.float32)
    return max(found, key=lambda fit: fit.overlap)


def _place(shape: str, coverage: Levels) -> tuple[float, int, float, float]:
    """The area (px²) of `coverage`, and the extent (1 / _CELL px) and centre (px) that give `shape`
    that area and the same centre of mass.
    """
    across = coverage.sum(axis=0, dtype=np.float32) / 255
    down = coverage.sum(axis=1, dtype=np.float32) / 255
    area = float(across.sum())
    areas, below = _geometry()[shape]
    extent = min(int(np.searchsorted(areas, area)), len(areas) - 1)
    middle_x, middle_y = float(across @ _STEPS) / area, float(down @ _STEPS) / area
    return area, extent, middle_x, middle_y - float(below[extent])


def _laid(shape: str, extent: int, x: float, y: float) -> Levels:
    """Templates of one shape at their place in the picture: [K, 32, 32]."""
    column, row = round(x), round(y)
    shift_x, shift_y = round((x - column) * _CELL), round((y - row) * _CELL)
    window = _templates(shape, extent, shift_x, shift_y)
    top, left = row - _WINDOW // 2, column - _WINDOW // 2
    rows, columns = _overlap(top), _overlap(left)
    picture = np.zeros((len(window), GRID, GRID), dtype=np.uint8)
    picture[:, rows, columns] = window[
        :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]
    return picture


def _overlap(start: int) -> slice:
    """The part of the picture that a window from `start` covers, along one axis."""
    return slice(max(0, start), max(0, min(GRID, start + _WINDOW)))


@lru_cache(maxsize=8192)  # of 3.5 KB
def _templates(shape: str, extent: int, x: int, y: int) -> Levels:
    """One shape's coverage, 0 to 255, at every softness: [K, _WINDOW, _WINDOW].

    Its extent, and the offset of its centre from the window's middle, are in 1 / _CELL px.
    """
    large = _WINDOW * _CELL
    image = Image.new("L", (large, large))
    draw_shape(ImageDraw.Draw(image), shape, large / 2 + x, large / 2 + y, extent, 255)
    small = image.resize((_WINDOW, _WINDOW), Image.Resampling.BOX)
    sharp = np.asarray(small)
    return np.stack([ndimage.gaussian_filter(sharp, px) if px else sharp for px in _SOFTNESS])


@lru_cache(maxsize=1)
def _geometry() -> dict[str, tuple[Floats, Floats]]:
    """For each shape its area (px²) and how far (px) its centre of mass lies below its centre, at
    every extent of 0, 1, 2, … / _CELL px: as `draw_shape` really draws it.
    """
    found = {}
    below = np.arange(_WINDOW, dtype=np.float32)[:, None] + 0.5 - _WINDOW / 2
    for shape in SHAPES:
        drawn = [
            _templates(shape, extent, 0, 0)[0] / np.float32(255)
            for extent in range(_MAX_EXTENT * _CELL + 1)
        ]
        areas = np.array([template.sum() for template in drawn], dtype=np.float32)
        moments = np.array([(template * below).sum() for template in drawn], dtype=np.float32)
        found[shape] = areas, (moments / np.maximum(areas, 1e-3)).astype(np.float32)
    return found
