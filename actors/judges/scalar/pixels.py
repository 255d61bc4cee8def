"""Pictures and frames at the size that a reward model takes, as its publisher's code brings them
there. Each function says whose code it follows; which one is used is in the specification.

Such details are small and not innocent: a cut one pixel beside, or a picture that is cropped where
the publisher pads it, gives another number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from factory.media.clips import Frames
from factory.media.pictures import Pixels

#: CLIP's mean and standard deviation of red, green and blue.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
#: Frames come in twos, and there are four at least (KwaiVGI/VideoAlign, vision_process.py).
_FRAME_FACTOR, _FEWEST, _MOST = 2, 4, 768


def padded(pictures: Sequence[Pixels], side: int) -> Tensor:
    """Pictures [H, W, 3] scaled so that the longer side fits, and filled up with black on both ends
    of the other: [N, 3, side, side], normalised.

    After tgxs002/HPSv2 at 866735ec, hpsv2/src/open_clip/transform.py (`ResizeMaxSize`), with
    torchvision's resize of tensors as it has been since 0.17 (antialiased; before, it was not). A
    picture whose longer side fits already is not filled up there, and then fails; here it is.
    """
    made = []
    for picture in pictures:
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
        scale = side / max(pixels.shape[1:])
        if scale != 1.0:
            size = [round(length * scale) for length in pixels.shape[1:]]
            pixels = _bicubic(pixels[None], size)[0]
        down, across = (side - length for length in pixels.shape[1:])
        ends = (across // 2, across - across // 2, down // 2, down - down // 2)
        made.append(F.pad(pixels, ends))
    return _normalised(torch.stack(made))


def cropped(pictures: Sequence[Pixels], side: int) -> Tensor:
    """The middle of pictures [H, W, 3] whose shorter side is scaled to fit: [N, 3, side, side],
    normalised.

    After THUDM/ImageReward at c1392c6d, ImageReward/ImageReward.py (`_transform`), which is
    torchvision's resize and centre crop of a Pillow picture.
    """
    made = []
    for picture in pictures:
        image = Image.fromarray(picture)
        shorter, longer = sorted(image.size)
        scaled = (side, int(side * longer / shorter))
        size = scaled if image.width <= image.height else scaled[::-1]
        image = image.resize(size, Image.Resampling.BICUBIC)
        left, top = (round((length - side) / 2.0) for length in image.size)
        image = image.crop((left, top, left + side, top + side))
        made.append(torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255)
    return _normalised(torch.stack(made))


def scaled_picture(picture: Pixels, factor: int, limits: tuple[int, int]) -> Image.Image:
    """A picture at the size of `smart_size`, by Pillow's bicubic filter.

    After `fetch_image` of MizzenAI/HPSv3's hpsv3/dataset/utils.py, which is qwen-vl-utils'.
    """
    height, width = smart_size(picture.shape[0], picture.shape[1], factor, limits)
    return Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)


def scaled_frames(frames: Frames, factor: int, limits: tuple[int, int]) -> list[Image.Image]:
    """Frames at the size of `smart_size`, by torch's antialiased bicubic filter, in whole numbers.

    After KwaiVGI/VideoAlign at 219ab9db, vision_process.py (`fetch_video`), with torchvision's
    resize of tensors.
    """
    size = smart_size(frames.shape[1], frames.shape[2], factor, limits)
    pixels = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2).float()
    resized = pixels if list(size) == list(pixels.shape[2:]) else _bicubic(pixels, size)
    whole = resized.clamp(0, 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(frame) for frame in whole]


def smart_size(height: int, width: int, factor: int, limits: tuple[int, int]) -> tuple[int, int]:
    """Height and width as multiples of a factor, near to the given ones and of the same ratio, with
    pixels within the limits. Rounding takes from them where both are the same number.

    After `smart_resize` of qwen-vl-utils, as both publishers copied it; that of transformers
    differs from it for sides shorter than half the factor.
    """
    least, most = limits
    high, wide = (max(factor, round(length / factor) * factor) for length in (height, width))
    if high * wide > most:
        shrink = math.sqrt(height * width / most)
        high, wide = (math.floor(one / shrink / factor) * factor for one in (height, width))
    elif high * wide < least:
        grow = math.sqrt(least / (height * width))
        high, wide = (math.ceil(one * grow / factor) * factor for one in (height, width))
    if not high or not wide:
        raise ValueError(f"{width} × {height} pixels cannot be scaled to {most} at most")
    return high, wide


def chosen_frames(num_frames: int, clip_fps: float, fps: float) -> list[int]:
    """The places of the frames that are shown of a clip: evenly from the first to the last, an even
    number, so many a second.

    After KwaiVGI/VideoAlign at 219ab9db, vision_process.py (`smart_nframes`, sample_type uniform).

    Raises:
        ValueError: the clip has fewer than two frames.
    """
    most = min(_MOST, num_frames) // _FRAME_FACTOR * _FRAME_FACTOR
    wanted = min(max(num_frames / clip_fps * fps, _FEWEST), most)
    num = min(round(wanted / _FRAME_FACTOR) * _FRAME_FACTOR, num_frames)
    if num < _FRAME_FACTOR:
        raise ValueError(f"a clip of {num_frames} frame(s), where two are the least")
    places: list[int] = torch.linspace(0, num_frames - 1, num).round().long().tolist()
    return places


def _bicubic(pixels: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(pixels, list(size), mode="bicubic", align_corners=False, antialias=True)


def _normalised(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(one)[None, :, None, None] for one in (MEAN, STD))
    return (pixels - mean) / std
