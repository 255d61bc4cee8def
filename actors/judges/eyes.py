"""Media into visual tokens, once each: one class for each family of vision-language models.

Pictures and frames go through the image processor alone. The stock video processors need
torchvision, and all that they add is to sample frames and to resize them; sampling is done by time
in `factory.media.clips`. LLaVA-OneVision shows a picture that is alone in its prompt with tiles,
and several pictures whole: so it was trained, and so its stock processor does it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from actors.judges.looks import Look
from actors.judges.turns import Kind
from factory.judging.specification import SpecificationError

#: A medium and whether it is shown as a clip.
Shown = tuple[Look, bool]
#: Frames in one pass of the vision tower.
_FRAMES_AT_ONCE = 64
#: Towers whose every token is a patch; the others have one more, for the whole picture.
_WITHOUT_CLASS_TOKEN = {"segformer", "siglip_vision_model"}


@dataclass(frozen=True)
class Seen:
    """One medium as the language model gets it.

    ids: the tokens that stand for it in a prompt; K of them are placeholders.
    features: visual tokens, [K, D].
    grid: its patches in time, height and width, where positions depend on them.
    seconds: time from one patch to the next.
    """

    ids: tuple[int, ...]
    features: Tensor
    grid: Tensor | None = None
    seconds: float = 0.0


class Eyes(Protocol):
    """The vision side of one family of models."""

    @property
    def placeholders(self) -> tuple[int, ...]:
        """Tokens whose embeddings the visual tokens replace."""

    @property
    def tiles_alone(self) -> bool:
        """Whether a picture that is alone in its prompt is shown otherwise than one of several."""

    def told(self, shown: Shown) -> tuple[Kind, int]:
        """What the chat template is told of a medium: what it is, and of how many pictures."""

    def encode(self, looks: Sequence[Look], is_video: bool, is_alone: bool = False) -> list[Seen]:
        """Visual tokens of each medium, as a prompt shows it alone or among others."""

    def positions(self, ids: Sequence[int], media: Sequence[Seen]) -> Tensor:
        """Position ids of a prompt: [axes, T]; one axis for text, three where space counts."""

    def tokens(self, shown: Shown, is_alone: bool = False) -> tuple[int, ...]:
        """The tokens that stand for a medium in a prompt: those of `encode`, without its work."""

    def inputs(self, rows: Sequence[Sequence[Shown]]) -> dict[str, Tensor]:
        """What the model's own forward pass takes of the media of each prompt, in the order of
        their placeholders; for training, where gradients go through the vision tower.
        """

    def marks(self, ids: Tensor) -> dict[str, Tensor]:
        """What the model's own forward pass takes of token ids [B, T] beside themselves."""


class LlavaEyes:
    """LLaVA: equally many tokens for each picture, and for each frame of a clip."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model = model
        self.processor = processor
        self.image = int(processor.image_token_id)

    @property
    def placeholders(self) -> tuple[int, ...]:
        return (self.image,)

    @property
    def tiles_alone(self) -> bool:
        return False

    def told(self, shown: Shown) -> tuple[Kind, int]:
        return "image", len(shown[0].frames)

    def encode(self, looks: Sequence[Look], is_video: bool, is_alone: bool = False) -> list[Seen]:
        frames = pictures(looks)
        features: list[Tensor] = []
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            pixels = self._pixel_values(frames[start : start + _FRAMES_AT_ONCE])
            pixels = pixels.to(self.model.device, self.model.dtype)
            features += self.model.get_image_features(pixel_values=pixels).pooler_output
        seen, left = [], iter(features)
        for look in looks:
            tokens = torch.cat(list(itertools.islice(left, len(look.frames))))
            seen.append(Seen((self.image,) * len(tokens), tokens))
        return seen

    def positions(self, ids: Sequence[int], media: Sequence[Seen]) -> Tensor:
        return torch.arange(len(ids))[None]

    def tokens(self, shown: Shown, is_alone: bool = False) -> tuple[int, ...]:
        look, _ = shown
        return (self.image,) * (self.tokens_each * len(look.frames))

    @property
    def tokens_each(self) -> int:
        """Tokens of one picture: its patches, and the class token where the tower has one and it is
        not dropped.
        """
        vision = self.model.config.vision_config
        patches = (int(vision.image_size) // int(vision.patch_size)) ** 2
        is_whole = self.model.config.vision_feature_select_strategy == "full"
        return patches + int(is_whole and vision.model_type not in _WITHOUT_CLASS_TOKEN)

    def inputs(self, rows: Sequence[Sequence[Shown]]) -> dict[str, Tensor]:
        looks = [look for row in rows for look, _ in row]
        return {"pixel_values": self._pixel_values(pictures(looks))}

    def _pixel_values(self, frames: list[Image.Image]) -> Tensor:
        """Pixels as the vision tower takes them, [M, 3, H, W]."""
        process = self.processor.image_processor
        size = process.size
        # Resizing a picture to the size that it has changes no bit of it, and costs a light judge
        # more than a tenth of its time.
        has_size = {(size.get("width"), size.get("height"))} == {one.size for one in frames}
        more = {"do_resize": False} if has_size else {}
        made: Tensor = process(frames, return_tensors="pt", **more)["pixel_values"]
        return made

    def marks(self, ids: Tensor) -> dict[str, Tensor]:
        return {}


class LlavaOnevisionEyes(LlavaEyes):
    """LLaVA-OneVision: a row's end after each picture; the frames of a clip pooled two by two."""

    def __init__(self, model: Any, processor: Any) -> None:
        super().__init__(model, processor)
        self.video = int(model.config.video_token_id)

    @property
    def placeholders(self) -> tuple[int, ...]:
        return (self.image, self.video)

    @property
    def tiles_alone(self) -> bool:
        return True

    def told(self, shown: Shown) -> tuple[Kind, int]:
        return ("video" if shown[1] else "image"), 1

    def encode(self, looks: Sequence[Look], is_video: bool, is_alone: bool = False) -> list[Seen]:
        if is_video:
            return [self._clip(look) for look in looks]
        if is_alone:
            return [self._tiled(look) for look in looks]
        pixels, sizes = self._pixels(pictures(looks))
        features = self.model.get_image_features(
            pixel_values=pixels,
            image_sizes=sizes,
            # Two or more pictures in a prompt are shown whole, without tiles.
            batch_num_images=torch.tensor([max(2, len(looks))]),
        ).pooler_output
        return [Seen((self.image,) * len(one), one) for one in features]

    def _tiled(self, look: Look) -> Seen:
        made = self._processed([pictures([look])])
        features = self.model.get_image_features(**made).pooler_output[0]
        return Seen((self.image,) * len(features), features)

    def _clip(self, look: Look) -> Seen:
        pixels, _ = self._pixels(pictures([look]))
        features = self.model.get_video_features(
            pixel_values_videos=pixels.transpose(0, 1)  # [1, T, C, H, W]
        ).pooler_output[0]
        return Seen((self.video,) * len(features), features)

    def tokens(self, shown: Shown, is_alone: bool = False) -> tuple[int, ...]:
        look, is_video = shown
        vision = self.model.config.vision_config
        side = int(vision.image_size) // int(vision.patch_size)
        if is_video:
            return (self.video,) * (len(look.frames) * math.ceil(side / 2) ** 2 + 1)
        return (self.image,) * (self._num_tiled(look) if is_alone else side**2 + 1)

    def _num_tiled(self, look: Look) -> int:
        """Visual tokens of a picture with tiles, as the model packs them, without pixels."""
        from transformers.models.llava_onevision.modeling_llava_onevision import (
            image_size_to_num_patches,
        )

        config = self.model.config
        side = int(config.vision_config.image_size) // int(config.vision_config.patch_size)
        size = look.frames.shape[1:3]
        num = image_size_to_num_patches(
            list(size), config.image_grid_pinpoints, config.vision_config.image_size
        )
        packed, _ = self.model.model.pack_image_features(
            [torch.empty(num, side**2, 1, device="meta")],
            torch.tensor([size]),
            image_newline=torch.empty(1, device="meta"),
            vision_aspect_ratio=config.vision_aspect_ratio,
        )
        return len(packed[0])

    def inputs(self, rows: Sequence[Sequence[Shown]]) -> dict[str, Tensor]:
        stills = [[look for look, is_video in row if not is_video] for row in rows]
        clips = [look for row in rows for look, is_video in row if is_video]
        made: dict[str, Tensor] = {}
        if any(stills):
            made |= self._processed([pictures(row) for row in stills if row])
        if clips:
            lengths = sorted({len(look.frames) for look in clips})
            if len(lengths) > 1:
                raise SpecificationError(
                    f"clips of {lengths} frames in one batch: this family takes clips of one "
                    "length, so give the tasks the same num_frames in the specification"
                )
            shots = [self._pixels(pictures([look]))[0].transpose(0, 1) for look in clips]
            made["pixel_values_videos"] = torch.cat(shots)  # [N, T, C, H, W]
        return made

    def _processed(self, rows: Sequence[list[Image.Image]]) -> dict[str, Tensor]:
        """Pixels [M, tiles, C, H, W] of the pictures of each prompt, their sizes [M, 2], and how
        many each prompt has: one alone gets tiles.
        """
        made = self.processor.image_processor([*rows], return_tensors="pt")
        sizes, counts = made["image_sizes"], torch.tensor([len(row) for row in rows])
        pixels = made["pixel_values"].to(self.model.device, self.model.dtype)
        return {"pixel_values": pixels, "image_sizes": sizes, "batch_num_images": counts}

    def _pixels(self, frames: list[Image.Image]) -> tuple[Tensor, Tensor]:
        """Pixels of whole pictures [M, 1, C, H, W] and their sizes [M, 2]."""
        num = len(frames)
        batch = frames if num > 1 else frames * 2  # one alone would be tiled
        made = self.processor.image_processor([batch], return_tensors="pt")
        pixels = made["pixel_values"][:num].to(self.model.device, self.model.dtype)
        return pixels, made["image_sizes"][:num]


class QwenEyes:
    """Qwen2-VL and Qwen2.5-VL: as many tokens as a picture has patches, with positions in space."""

    def __init__(self, model: Any, processor: Any) -> None:
        config = model.config
        self.model = model
        self.processor = processor
        self.image, self.video = int(config.image_token_id), int(config.video_token_id)
        self.start, self.end = int(config.vision_start_token_id), int(config.vision_end_token_id)
        vision = config.vision_config
        self.depth = int(vision.temporal_patch_size)
        self.merged = int(vision.spatial_merge_size) ** 2

    @property
    def placeholders(self) -> tuple[int, ...]:
        return (self.image, self.video)

    @property
    def tiles_alone(self) -> bool:
        return False

    def told(self, shown: Shown) -> tuple[Kind, int]:
        return ("video" if shown[1] else "image"), 1

    def encode(self, looks: Sequence[Look], is_video: bool, is_alone: bool = False) -> list[Seen]:
        made = [self._patches(look, is_video) for look in looks]
        features: list[Tensor] = []
        for start in range(0, len(made), _FRAMES_AT_ONCE):
            some = made[start : start + _FRAMES_AT_ONCE]
            features += self.model.get_image_features(
                pixel_values=torch.cat([patches for patches, _ in some]).to(self.model.device),
                image_grid_thw=torch.stack([grid for _, grid in some]).to(self.model.device),
            ).pooler_output
        token = self.video if is_video else self.image
        return [
            Seen(
                (self.start, *(token,) * len(one), self.end),
                one,
                grid,
                seconds=look.seconds * self.depth,
            )
            for look, one, (_, grid) in zip(looks, features, made, strict=True)
        ]

    def _patches(self, look: Look, is_video: bool) -> tuple[Tensor, Tensor]:
        """Patches [T H W, C depth P P] and their grid (T, H, W).

        The image processor repeats a picture `depth` times in time. A clip's patches hold `depth`
        frames each; its last frame is repeated where they do not come out even.
        """
        frames = pictures([look])
        if is_video:
            frames += [frames[-1]] * (-len(frames) % self.depth)
        made = self.processor.image_processor(frames, return_tensors="pt")
        patches, grids = made["pixel_values"], made["image_grid_thw"]
        if not is_video:
            return patches, grids[0]
        _, height, width = grids[0].tolist()
        num = len(frames) // self.depth
        channels = 3
        # [T, depth of frames, H W, C, depth of repeats, P P] -> the frames take the repeats' place
        split = patches.reshape(num, self.depth, height * width, channels, self.depth, -1)
        woven = split[:, :, :, :, 0].permute(0, 2, 3, 1, 4)
        return woven.reshape(num * height * width, -1), torch.tensor([num, height, width])

    def positions(self, ids: Sequence[int], media: Sequence[Seen]) -> Tensor:
        if not media:
            return torch.arange(len(ids))[None].expand(3, -1)
        kinds = self.marks(torch.tensor(ids))["mm_token_type_ids"]
        is_video = self.video in media[0].ids
        grids = torch.stack([one.grid for one in media if one.grid is not None])
        given: dict[str, Any] = {"image_grid_thw": grids}
        if is_video:
            given = {
                "video_grid_thw": grids,
                "second_per_grid_ts": torch.tensor([one.seconds for one in media]),
            }
        positions, _ = self.model.model.get_rope_index(
            input_ids=torch.tensor([list(ids)]), mm_token_type_ids=kinds[None], **given
        )
        return torch.as_tensor(positions[:, 0])

    def tokens(self, shown: Shown, is_alone: bool = False) -> tuple[int, ...]:
        _, grid = self._patches(*shown)
        token = self.video if shown[1] else self.image
        return (self.start, *(token,) * (int(grid.prod()) // self.merged), self.end)

    def inputs(self, rows: Sequence[Sequence[Shown]]) -> dict[str, Tensor]:
        shown = [one for row in rows for one in row]
        made: dict[str, Tensor] = {}
        for is_video, pixels, grids in (
            (False, "pixel_values", "image_grid_thw"),
            (True, "pixel_values_videos", "video_grid_thw"),
        ):
            looks = [look for look, one in shown if one == is_video]
            if looks:
                patches = [self._patches(look, is_video) for look in looks]
                made[pixels] = torch.cat([one for one, _ in patches])
                made[grids] = torch.stack([grid for _, grid in patches])
                if is_video:
                    steps = [look.seconds * self.depth for look in looks]
                    made["second_per_grid_ts"] = torch.tensor(steps)
        return made

    def marks(self, ids: Tensor) -> dict[str, Tensor]:
        return {"mm_token_type_ids": (ids == self.image) + 2 * (ids == self.video)}


#: Families by their `model_type`; every other takes the plain path.
FAMILIES: dict[str, Any] = {
    "llava": LlavaEyes,
    "llava_onevision": LlavaOnevisionEyes,
    "qwen2_vl": QwenEyes,
    "qwen2_5_vl": QwenEyes,
}


def has_eyes(path: str) -> bool:
    """Whether the model in a directory is of a family that is seen with eyes of ours."""
    told = json.loads((Path(path) / "config.json").read_bytes())
    return told["model_type"] in FAMILIES


def eyes_of(model: Any, processor: Any) -> Eyes:
    """The vision side of a loaded model."""
    eyes: Eyes = FAMILIES[model.config.model_type](model, processor)
    return eyes


def pictures(looks: Sequence[Look]) -> list[Image.Image]:
    """All frames of all media, one after the other."""
    return [Image.fromarray(frame) for look in looks for frame in look.frames]
