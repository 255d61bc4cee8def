"""What can be seen in a sandbox picture: its background, its blobs, and how clean it is.

This is the half of the oracle that looks at pixels and knows no caption. Blobs are found against
the background's colour, taken apart where two colours touch, and fitted with every shape by area
and centre of mass, which neither blur nor noise moves much. Everything but cleanliness is measured
at 32 px: larger pictures are averaged down, so one set of constants serves every side. Distances
between colours are Euclidean in RGB, 0 to 441.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from factory.sandbox.drawing import Pixels, draw_shape
from factory.sandbox.world import COLOURS, SHAPES

GRID = 32
_CELL = 4  # templates are placed and sized in steps of 1 / _CELL px
_WINDOW = 2 * GRID + 2  # px of the square that a template is drawn in
_MAX_EXTENT = 26  # px of the largest template: a share of 0.8

#: A pixel further than this from the background belongs to a blob (or to noise).
_FOREGROUND = 38.0
#: A blob nearer than this to the background must look more like a known colour than like it.
_FAINT = 75.0
#: Blobs of fewer px are specks: they soil the picture and are no things. A small triangle has 28.
_MIN_AREA = 9
_MIN_CORE = 8  # px that are left of a thing when its rim is taken away
#: Two parts of a blob are two things when neither is a mix of the other and the background.
_SPLIT = 24.0
_MIN_SPLIT_AREA = 6
#: Noise (standard deviation of a pixel) from which a picture is smoothed before it is looked at.
_NOISY = 4.0
_SMOOTHING = 0.7  # px
#: Mean distance of the smoothed background from its colour from which it counts as uneven.
_UNEVEN = 7.0
_EVENING = 2.5  # px over which an uneven background is followed
_EVENING_ROUNDS = 3
#: Softness (px) of the templates that a blob is compared with.
_SOFTNESS = (0.0, 0.7, 1.2)
#: Residual (root mean square, levels) at which cleanliness has fallen to 1/e.
_CLEAN_SCALE = 20.0
_EDGE_WEIGHT = 0.7

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)
_CROSS = ndimage.generate_binary_structure(2, 1)
_SQUARE = ndimage.generate_binary_structure(2, 2)


@dataclass(frozen=True)
class Blob:
    """One thing that can be seen.

    colour: its flat colour, RGB levels.
    fits: for each shape, the intersection over union with the best template of that shape.
    extent: longer side of the best template, as a share of the picture's side.
    x, y: its centre, as shares of the picture's side, y downwards.
    area: what it covers, as a share of the picture.
    """

    colour: tuple[float, float, float]
    fits: dict[str, float]
    extent: float
    x: float
    y: float
    area: float


@dataclass(frozen=True)
class Sight:
    background: tuple[float, float, float]
    blobs: tuple[Blob, ...]
    clean: float


def look(pixels: Pixels) -> Sight:
    """See what is in uint8 pixels [H, W, 3], square and a multiple of 32 px.

    Raises:
        ValueError: `pixels` has another shape or type.
    """
    side = pixels.shape[0]
    if pixels.dtype != np.uint8 or pixels.shape != (side, side, 3) or side % GRID or not side:
        raise ValueError(f"expected uint8 [S, S, 3] with S a multiple of {GRID}, got "
                         f"{pixels.dtype} {list(pixels.shape)}")
    native = pixels.astype(np.float32)
    scale = side // GRID
    image = native.reshape(GRID, scale, GRID, scale, 3).mean(axis=(1, 3)) if scale > 1 else native
    background = _background(image)
    if _noise(image) > _NOISY:
        image = ndimage.gaussian_filter(image, (_SMOOTHING, _SMOOTHING, 0))
    field = _even(image, background)
    difference = image - field
    labels, contrasts = _segment(difference, background)
    blobs = [
        _fit(difference, labels, at, contrast, field)
        for at, contrast in enumerate(contrasts, start=1)
    ]
    clean = _cleanliness(native, labels)
    return Sight(_rgb(background), tuple(blobs), clean)


def _length(colours: Floats) -> Floats:
    """Euclidean length over the last axis; several times faster than `np.linalg.norm` here."""
    return np.sqrt(np.einsum("...c,...c->...", colours, colours))


def _rgb(colour: Floats) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in colour)
    return red, green, blue


def _background(image: Floats) -> Floats:
    """The colour of the frame, made precise by all pixels close to it."""
    frame = np.concatenate([image[:2], image[-2:], image[2:-2, :2].swapaxes(0, 1),
                            image[2:-2, -2:].swapaxes(0, 1)], axis=1).reshape(-1, 3)
    guess = np.median(frame, axis=0)
    near = image[_length(image - guess) < _FOREGROUND]
    return np.asarray(near.mean(axis=0) if len(near) else guess, dtype=np.float32)


def _even(image: Floats, background: Floats) -> Floats:
    """The background at every pixel: flat, or in a blotchy picture a field that follows it."""
    field = np.broadcast_to(background, image.shape).astype(np.float32)
    error = _length(image - field)
    near = error < _FOREGROUND
    if error.mean(where=near) < _UNEVEN:
        return field
    calm = ndimage.binary_erosion(near, _SQUARE, iterations=2, border_value=1)
    if not calm.any() or _length(_smooth(image - field, calm)).mean(where=calm) < _UNEVEN:
        return field  # noisy, but level
    for _ in range(_EVENING_ROUNDS):
        field += _smooth(image - field, _length(image - field) < _FOREGROUND)
    return field


def _smooth(difference: Floats, where: Mask) -> Floats:
    """`difference` averaged over the pixels `where` nearby, falling to 0 where there are none."""
    spread = (_EVENING, _EVENING, 0)
    weight = ndimage.gaussian_filter(where[..., None].astype(np.float32), spread)
    return np.asarray(ndimage.gaussian_filter(difference * where[..., None], spread) / (weight + 0.05))


def _noise(image: Floats) -> float:
    """Standard deviation of pixel noise, from the median step between neighbours."""
    return float(np.median(np.abs(np.diff(image, axis=1)))) / (0.6745 * 2**0.5)


# --- finding blobs -------------------------------------------------------------------------------


def _segment(difference: Floats, background: Floats) -> tuple[npt.NDArray[np.int32], list[Floats]]:
    """Label each pixel with its blob, 0 for the background: labels [32, 32], contrasts of 1, 2, …"""
    foreground = _length(difference) > _FOREGROUND
    labels = np.zeros((GRID, GRID), dtype=np.int32)
    contrasts: list[Floats] = []
    regions, num_regions = ndimage.label(foreground, _CROSS)
    for region in range(1, num_regions + 1):
        whole = regions == region
        if whole.sum() < _MIN_AREA:
            continue
        for part in _parts(difference, background, whole, depth=2):
            contrast = _contrast(difference[part])
            solid = part & (_coverage(difference, contrast) > 0.5)
            for mask in _pieces(solid):
                contrast = _contrast(difference[mask])
                if _is_thing(contrast, background):
                    contrasts.append(contrast)
                    labels[mask] = len(contrasts)
    return labels, contrasts


def _pieces(solid: Mask) -> list[Mask]:
    """The connected pieces of one colour; two that hang together by a thread are two."""
    cores, num_cores = ndimage.label(ndimage.binary_erosion(solid, _CROSS), _CROSS)
    sizes = np.bincount(cores.ravel(), minlength=num_cores + 1)
    cores[sizes[cores] < _MIN_CORE] = 0
    pieces, num_pieces = ndimage.label(solid, _CROSS)
    found = []
    for piece in range(1, num_pieces + 1):
        mask = pieces == piece
        inside = [core for core in np.unique(cores[mask]) if core]
        if len(inside) > 1:
            rows, columns = ndimage.distance_transform_edt(
                ~mask | (cores == 0), return_distances=False, return_indices=True
            )
            found += [mask & (cores[rows, columns] == core) for core in inside]
        else:
            found.append(mask)
    return [mask for mask in found if mask.sum() >= _MIN_AREA]


def _contrast(differences: Floats) -> Floats:
    """Colour of a blob minus the background, from its pixels' differences [P, 3].

    The strongest pixels are asked, since the others may be mixed with the background.
    """
    strength = _length(differences)
    high = np.partition(strength, len(strength) * 9 // 10)[len(strength) * 9 // 10]
    return np.asarray(differences[strength >= 0.85 * high].mean(axis=0))


def _coverage(difference: Floats, contrast: Floats) -> Floats:
    """How much of each pixel a blob covers, 0 to 1, by projection on its contrast."""
    return np.clip(difference @ contrast / float(contrast @ contrast), 0.0, 1.0)


def _is_thing(contrast: Floats, background: Floats) -> bool:
    """Whether a blob is more than a shade of the background."""
    from_background = float(_length(contrast))
    from_palette = float(_length(_PALETTE - background - contrast).min())
    return from_background > _FAINT or from_palette < from_background


def _parts(difference: Floats, background: Floats, region: Mask, depth: int) -> list[Mask]:
    """Split a region where two colours touch; a region of one colour comes back whole."""
    points = difference[region]  # P 3
    inner = difference[region & ndimage.binary_erosion(region, _CROSS, border_value=1)]
    if depth == 0 or len(inner) < 2 * _MIN_SPLIT_AREA:
        return [region]
    first = inner[_length(inner).argmax()]
    off_axis = _off_axis(inner, first)
    if off_axis.max() < _SPLIT:
        return [region]
    second = inner[off_axis.argmax()]
    for _ in range(3):
        is_second = _off_axis(inner, second) < _off_axis(inner, first)
        if min(is_second.sum(), (~is_second).sum()) < _MIN_SPLIT_AREA:
            return [region]
        first, second = _contrast(inner[~is_second]), _contrast(inner[is_second])
    is_mix = min(_off_axis(first, second), _off_axis(second, first)) < _SPLIT
    if is_mix or _named(background + first) == _named(background + second):
        return [region]
    part = np.zeros_like(region)
    part[region] = _off_axis(points, second) < _off_axis(points, first)
    halves = part, region & ~part
    return [finer for half in halves for finer in _parts(difference, background, half, depth - 1)]


def _named(colour: Floats) -> int:
    """Index of the nearest known colour."""
    return int(_length(_PALETTE - colour).argmin())


def _off_axis(points: Floats, axis: Floats) -> Floats:
    """Distance of points [..., 3] from the mixes of the background (the origin) and `axis`."""
    share = np.clip(points @ axis / float(axis @ axis), 0.0, 1.0)
    return _length(points - share[..., None] * axis)


# --- fitting shapes ------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _templates(shape: str, extent: int, x: int, y: int) -> Floats:
    """One shape's coverage at every softness: [K, _WINDOW, _WINDOW].

    Its extent, and the offset of its centre from the window's middle, are in 1 / _CELL px.
    """
    large = _WINDOW * _CELL
    image = Image.new("L", (large, large))
    draw_shape(ImageDraw.Draw(image), shape, large / 2 + x, large / 2 + y, extent, 255)
    small = image.resize((_WINDOW, _WINDOW), Image.Resampling.BOX)
    sharp = np.asarray(small, dtype=np.float32) / 255.0
    return np.stack([ndimage.gaussian_filter(sharp, px) if px else sharp for px in _SOFTNESS])


@lru_cache(maxsize=1)
def _geometry() -> dict[str, tuple[Floats, Floats]]:
    """For each shape its area (px²) and how far (px) its centre of mass lies below its centre, at
    every extent of 0, 1, 2, … / _CELL px: as `draw_shape` really draws it.
    """
    found = {}
    below = np.arange(_WINDOW, dtype=np.float32)[:, None] + 0.5 - _WINDOW / 2
    for shape in SHAPES:
        drawn = [_templates(shape, extent, 0, 0)[0] for extent in range(_MAX_EXTENT * _CELL + 1)]
        areas = np.array([template.sum() for template in drawn], dtype=np.float32)
        moments = np.array([(template * below).sum() for template in drawn], dtype=np.float32)
        found[shape] = areas, moments / np.maximum(areas, 1e-3)
    return found


def _fit(
    difference: Floats, labels: npt.NDArray[np.int32], at: int, contrast: Floats, field: Floats
) -> Blob:
    """Fit every shape to the blob labelled `at`.

    A soft blob may nowhere reach its full colour, so that is estimated again from the best fit,
    and the shapes are fitted once more with it.
    """
    mask = labels == at
    support = ndimage.binary_dilation(mask, _SQUARE, iterations=2)
    hidden = np.zeros_like(mask)
    if labels[support].max() > at or labels[support & ~mask].any():
        hidden = ndimage.binary_dilation((labels > 0) & ~mask, _SQUARE) & ~mask
        support &= ~hidden
    for _ in range(2):
        coverage = _coverage(difference, contrast) * support
        places = _places(coverage)
        templates = np.stack([_laid(shape, *place) for shape, place in places.items()])
        templates *= ~hidden
        both = np.minimum(coverage, templates).sum(axis=(2, 3))
        either = np.maximum(coverage, templates).sum(axis=(2, 3))
        fits = both / either  # one row for each shape, one column for each softness
        best, softness = np.unravel_index(fits.argmax(), fits.shape)
        weight = templates[best, softness] * support
        if weight.max() > 0.97:
            break
        contrast = np.tensordot(weight, difference, 2) / float((weight**2).sum())
    extent, x, y = places[SHAPES[best]]
    return Blob(
        _rgb(field[mask].mean(axis=0) + contrast),
        {shape: float(fit) for shape, fit in zip(SHAPES, fits.max(axis=1), strict=True)},
        extent / _CELL / GRID,
        x / GRID,
        y / GRID,
        float(coverage.sum()) / GRID**2,
    )


def _places(coverage: Floats) -> dict[str, tuple[int, float, float]]:
    """For each shape the extent (1 / _CELL px) and centre (px) that give it the area and centre of
    mass of `coverage`.
    """
    steps = np.arange(GRID, dtype=np.float32) + 0.5
    across, down = coverage.sum(axis=0), coverage.sum(axis=1)
    area = float(across.sum())
    x, y = float(across @ steps) / area, float(down @ steps) / area
    places = {}
    for shape, (areas, below) in _geometry().items():
        extent = min(int(np.searchsorted(areas, area)), len(areas) - 1)
        places[shape] = extent, x, y - float(below[extent])
    return places


def _laid(shape: str, extent: int, x: float, y: float) -> Floats:
    """Templates of one shape at their place in the picture: [K, 32, 32]."""
    column, row = round(x), round(y)
    shift_x, shift_y = round((x - column) * _CELL), round((y - row) * _CELL)
    top, left = _WINDOW // 2 - row, _WINDOW // 2 - column
    window = _templates(shape, extent, shift_x, shift_y)
    return window[:, top : top + GRID, left : left + GRID]


# --- cleanliness ---------------------------------------------------------------------------------


def _cleanliness(native: Floats, labels: npt.NDArray[np.int32]) -> float:
    """1 where every area is one flat colour, falling with what deviates from it.

    Pixels within 1 px (of 32) of an edge are left out: a sharp edge is mixed there too. Of the
    rest, those near an edge count once more on their own, since blur shows only there.
    """
    scale = len(native) // GRID
    inner = _window_range(labels, 3) == 0
    near = _window_range(labels, 7) > 0
    if not inner.any():
        return 0.0
    cells = native.reshape(GRID, scale, GRID, scale, 3).swapaxes(1, 2)[inner]  # P s s 3
    areas = labels[inner]
    means = cells.mean(axis=(1, 2))  # P 3
    num = np.maximum(np.bincount(areas), 1)
    flat = np.stack([np.bincount(areas, means[:, c]) / num for c in range(3)], axis=-1)
    square = ((cells - flat[areas][:, None, None]) ** 2).mean(axis=(1, 2, 3))
    by_edges = np.sort(square[near[inner]])
    by_edges = by_edges[: len(by_edges) * 9 // 10]  # sharp tips and corners differ too
    residual = float(np.sqrt(square.mean()))
    if len(by_edges):
        residual = max(residual, _EDGE_WEIGHT * float(np.sqrt(by_edges.mean())))
    return float(np.exp(-residual / _CLEAN_SCALE))


def _window_range(labels: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int32]:
    """Largest minus smallest label around each pixel; what lies outside the picture differs."""
    largest = ndimage.maximum_filter(labels, size, mode="constant", cval=-1)
    smallest = ndimage.minimum_filter(labels, size, mode="constant", cval=-1)
    return np.asarray(largest - smallest)
