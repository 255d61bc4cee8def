"""What can be seen in a sandbox picture: its background, its blobs, and how clean it is.

This is the half of the oracle that looks at pixels and knows no caption. Blobs are found against
the background's colour, taken apart where two colours touch, and fitted with every shape.
Everything but cleanliness is measured at 32 px: larger pictures are averaged down, so one set of
constants serves every side. Distances between colours are Euclidean in RGB, 0 to 441.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from factory.media.pictures import MediaError
from factory.sandbox.drawing import Pixels
from factory.sandbox.fitting import GRID, Fit, Floats, Mask, coverage_of, fit_shapes
from factory.sandbox.world import COLOURS

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
#: Residual (root mean square, levels) at which cleanliness has fallen to 1/e.
_CLEAN_SCALE = 20.0
_EDGE_WEIGHT = 0.7

Labels = npt.NDArray[np.int32]  # 32 32: the blob of each pixel, 0 for the background
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

    @property
    def shape(self) -> str:
        """The shape that fits best."""
        return max(self.fits, key=lambda one: self.fits[one])

    def mirror(self) -> Blob:
        """The same with left and right exchanged; every shape is its own mirror image."""
        return replace(self, x=1.0 - self.x)


@dataclass(frozen=True)
class Sight:
    """All that can be seen of one picture; `clean` is 1 for flat colours and sharp edges."""

    background: tuple[float, float, float]
    blobs: tuple[Blob, ...]
    clean: float

    def mirror(self) -> Sight:
        """What is seen when left and right are exchanged."""
        return replace(self, blobs=tuple(one.mirror() for one in self.blobs))


def look(pixels: Pixels) -> Sight:
    """See what is in uint8 pixels [H, W, 3], square and a multiple of 32 px.

    Raises:
        MediaError: `pixels` has another shape or type.
    """
    side = pixels.shape[0]
    if pixels.dtype != np.uint8 or pixels.shape != (side, side, 3) or side % GRID or not side:
        raise MediaError(
            f"expected uint8 [S, S, 3] with S a multiple of {GRID}, got "
            f"{pixels.dtype} {list(pixels.shape)}"
        )
    native = pixels.astype(np.float32)
    scale = side // GRID
    image = native.reshape(GRID, scale, GRID, scale, 3).mean(axis=(1, 3)) if scale > 1 else native
    background = _background(image)
    if _noise(image) > _NOISY:
        image = ndimage.gaussian_filter(image, (_SMOOTHING, _SMOOTHING, 0))
    field = _even(image, background)
    difference = image - field
    labels, contrasts = _segment(difference, background)
    blobs = []
    for at, contrast in enumerate(contrasts, start=1):
        mask = labels == at
        fits = fit_shapes(difference, mask, (labels > 0) & ~mask, contrast)
        blobs.append(_blob(fits, field[mask].mean(axis=0)))
    return Sight(_rgb(background), tuple(blobs), _cleanliness(native, labels))


def _blob(fits: dict[str, Fit], behind: Floats) -> Blob:
    best = max(fits.values(), key=lambda fit: fit.overlap)
    return Blob(
        _rgb(behind + best.contrast),
        {shape: fit.overlap for shape, fit in fits.items()},
        best.extent / GRID,
        best.x / GRID,
        best.y / GRID,
        best.area / GRID**2,
    )


def _length(colours: Floats) -> Floats:
    """Euclidean length over the last axis; several times faster than `np.linalg.norm` here."""
    return np.asarray(np.sqrt(np.einsum("...c,...c->...", colours, colours)))


def _rgb(colour: Floats) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in colour)
    return red, green, blue


def _background(image: Floats) -> Floats:
    """The colour of the frame, made precise by all pixels close to it."""
    frame = np.concatenate(
        [image[:2], image[-2:], image[2:-2, :2].swapaxes(0, 1), image[2:-2, -2:].swapaxes(0, 1)],
        axis=1,
    ).reshape(-1, 3)
    guess = np.median(frame, axis=0)
    near = image[_length(image - guess) < _FOREGROUND]
    return np.asarray(near.mean(axis=0) if len(near) else guess, dtype=np.float32)


def _even(image: Floats, background: Floats) -> Floats:
    """The background at every pixel: flat, or in a blotchy picture a field that follows it."""
    field = np.broadcast_to(background, image.shape).astype(np.float32)
    error = _length(image - field)
    near = error < _FOREGROUND
    if not near.any() or error.mean(where=near) < _UNEVEN:
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
    return np.asarray(
        ndimage.gaussian_filter(difference * where[..., None], spread) / (weight + 0.05)
    )


def _noise(image: Floats) -> float:
    """Standard deviation of pixel noise, from the median step between neighbours."""
    return float(np.median(np.abs(np.diff(image, axis=1)))) / (0.6745 * 2**0.5)


# --- finding blobs -------------------------------------------------------------------------------


def _segment(difference: Floats, background: Floats) -> tuple[Labels, list[Floats]]:
    """Label each pixel [32, 32] with its blob, 0 for the background; contrasts of 1, 2, …"""
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
            solid = part & (coverage_of(difference, contrast) > 0.5)
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


# --- cleanliness ---------------------------------------------------------------------------------


def _cleanliness(native: Floats, labels: Labels) -> float:
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


def _window_range(labels: Labels, size: int) -> Labels:
    """Largest minus smallest label around each pixel; what lies outside the picture differs."""
    largest = ndimage.maximum_filter(labels, size, mode="constant", cval=-1)
    smallest = ndimage.minimum_filter(labels, size, mode="constant", cval=-1)
    return np.asarray(largest - smallest)
