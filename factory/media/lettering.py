"""How much of a picture is written upon: watermarks, captions, prices.

Nothing is read. A line of letters is a band of strokes, thin and of strong contrast to what is
beside them, with calm above and below. Strokes are what closing or opening along the rows fills or
wipes out (top-hat transforms, a usual first step of text localisation); a band is where they are
dense and no longer so a third of the picture further up and down. So noise, grass and railings
count for next to nothing, and neither do the edges of large things. Vertical lines of letters, very
small ones (below a fiftieth of the width) and letters upon railings are not seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy
from PIL import Image

_SIDE = 256  # px to which larger pictures are shrunk first
_STROKE = 48  # strokes are thinner than about two of so many parts of the width
_FAINT = 0.06  # contrast that counts for nothing
_CLEAR = 0.12  # contrast of a stroke
_BAND = (32, 4)  # parts of the height and of the width over which strokes are counted
_DENSE = 0.25  # share of strokes in a band, beyond what is above or below it
_CALM = 3  # a band is lower than so many parts of the height


def lettering(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean contrast of letters over pictures, 0 to 1: an opaque line across one is about 0.02.

    Args:
        light: luma, 0 to 1, of one picture [H, W] or of several of one shape [..., H, W].

    Returns:
        A number of each, [...]: those that each would have alone, to the last bit.
    """
    *several, height, width = light.shape
    light = _small(light.reshape(-1, height, width))
    height, width = light.shape[-2:]
    thin = max(3, 2 * round(width / _STROKE) + 1)  # odd
    filled = _lowest(_highest(light, thin), thin) - light
    wiped = light - _highest(_lowest(light, thin), thin)
    strokes = np.maximum(filled, wiped)
    is_clear = strokes > _CLEAR
    found = np.zeros(len(light))
    has_any = is_clear.any(axis=(-2, -1))
    if has_any.any():
        found[has_any] = _in_bands(strokes[has_any], is_clear[has_any])
    return found.reshape(several)[()]


def _in_bands(
    strokes: npt.NDArray[np.float64], is_clear: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Mean contrast of the strokes that stand in bands, of pictures [N, H, W]."""
    num, height, width = strokes.shape
    window = (1, max(3, round(height / _BAND[0])), max(5, round(width / _BAND[1])))
    dense = scipy.ndimage.uniform_filter(is_clear.astype(np.float64), size=window, mode="constant")
    tall = max(3, round(height / _CALM))
    # Of an even number of rows the second window lies one row further up, as an opening's does.
    around = _highest(_lowest(dense, tall, axis=-2), tall, axis=-2, origin=tall % 2 - 1)
    is_band = dense - around > _DENSE
    letters = (np.maximum(strokes - _FAINT, 0) * is_band).reshape(num, -1)
    return np.asarray(letters.mean(axis=-1))


# Closing and opening are these two one after the other; scipy's own, for any number of axes, cost
# twice as much on a small picture.


def _lowest(values: npt.NDArray[np.float64], size: int, **how: int) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = scipy.ndimage.minimum_filter1d(
        values, size, mode="nearest", **how
    )
    return found


def _highest(values: npt.NDArray[np.float64], size: int, **how: int) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = scipy.ndimage.maximum_filter1d(
        values, size, mode="nearest", **how
    )
    return found


def _small(light: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Pictures [N, H, W], their longer side 256 px at most."""
    height, width = light.shape[-2:]
    factor = _SIDE / max(height, width)
    if factor >= 1:
        return light
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    images = (Image.fromarray(one.astype(np.float32)) for one in light)
    shrunk = [np.asarray(one.resize(size, Image.Resampling.BOX)) for one in images]
    return np.array(shrunk, dtype=np.float64)
