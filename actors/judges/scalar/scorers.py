"""From a caption and what is seen to a reward model's own numbers: one class for each kind.

Each does what its publisher's code does, line for line where that decides a number; the
specification names that code and its commit. What differs on purpose: norms and heads are computed
in float32 whatever the model's precision, and a caption is read once for all of its pictures.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from actors.judges.scalar import pixels
from factory.judging.scalar import ScalarSpecification
from factory.judging.specification import SpecificationError
from factory.media.clips import Frames

#: What is missing where the extra is not installed.
HINT = "pip install 'preference-factory[scalar]'"


class UnreadableCaptionError(ValueError):
    """A caption that this model cannot be shown as it was trained to be; says why.

    is_attempt: whether that is this installation's fault (`actors.memory.is_attempt`).
    """

    def __init__(self, message: str, *, is_attempt: bool = False) -> None:
        super().__init__(message)
        self.is_attempt = is_attempt


class Scorer(Protocol):
    """One reward model, loaded."""

    def num_tokens(self, caption: str) -> tuple[int, int]:
        """How many tokens of a caption the model reads, and how many are beyond its limit.

        Raises:
            UnreadableCaptionError: it cannot be read.
        """

    def outputs(self, caption: str, seen: Sequence[Frames]) -> Tensor:
        """The model's numbers [N, outputs] of pictures [1, H, W, 3] or clips [T, H, W, 3].

        Raises:
            UnreadableCaptionError: the caption cannot be read.
        """


def scorer_of(directory: str, model: Any, specification: ScalarSpecification) -> Scorer:
    """The scorer of a loaded model.

    Raises:
        SpecificationError: its tokenizer or processor is missing.
    """
    kinds: dict[str, Any] = {
        "clip": ClipScorer,
        "blip": ImageRewardScorer,
        "qwen2_vl": RegressionScorer,
    }
    scorer: Scorer = kinds[specification.kind](directory, model, specification)
    return scorer


class ClipScorer:
    """The cosine of caption and picture, or that times the model's scale (PickScore, HPSv2)."""

    def __init__(self, directory: str, model: Any, specification: ScalarSpecification) -> None:
        self.model = model
        self.specification = specification
        self.tokenizer = _tokenizer(directory)
        self.side = int(model.config.vision_config.image_size)
        self._process = _image_processor(directory) if specification.fit == "processor" else None

    def num_tokens(self, caption: str) -> tuple[int, int]:
        return _counted(self.tokenizer, self._said(caption), self.specification.max_tokens)

    def outputs(self, caption: str, seen: Sequence[Frames]) -> Tensor:
        tokens = self.tokenizer(
            self._said(caption),
            truncation=True,
            max_length=self.specification.max_tokens,
            return_tensors="pt",
        )
        device = self.model.device
        said = self.model.get_text_features(
            input_ids=tokens["input_ids"].to(device),
            attention_mask=tokens["attention_mask"].to(device),
        ).pooler_output
        values = self._pixel_values(seen).to(device, self.model.dtype)
        shown = self.model.get_image_features(pixel_values=values).pooler_output
        cosines = F.normalize(shown.float(), dim=-1) @ F.normalize(said.float(), dim=-1).T
        if self.specification.is_scaled:
            cosines = cosines * self.model.logit_scale.float().exp()
        return cosines

    def _said(self, caption: str) -> str:
        return cleaned(caption) if self.specification.is_cleaned else caption

    def _pixel_values(self, seen: Sequence[Frames]) -> Tensor:
        pictures = [frames[0] for frames in seen]
        if self._process is None:
            return pixels.padded(pictures, self.side)
        shown = [Image.fromarray(picture) for picture in pictures]
        made: Tensor = self._process(shown, return_tensors="pt")["pixel_values"]
        return made


class ImageRewardScorer:
    """BLIP's first token under a stack of linear layers (ImageReward)."""

    def __init__(self, directory: str, model: Any, specification: ScalarSpecification) -> None:
        self.model = model
        self.specification = specification
        self.tokenizer = _tokenizer(directory)
        self.side = int(model.config.vision_config.image_size)

    def num_tokens(self, caption: str) -> tuple[int, int]:
        return _counted(self.tokenizer, caption, self.specification.max_tokens)

    def outputs(self, caption: str, seen: Sequence[Frames]) -> Tensor:
        tokens = self.tokenizer(
            caption,
            padding="max_length",
            truncation=True,
            max_length=self.specification.max_tokens,
            return_tensors="pt",
        )
        device = self.model.device
        values = pixels.cropped([frames[0] for frames in seen], self.side)
        numbers: Tensor = self.model(
            input_ids=tokens["input_ids"].to(device).expand(len(seen), -1),
            attention_mask=tokens["attention_mask"].to(device).expand(len(seen), -1),
            pixel_values=values.to(device, self.model.dtype),
        )
        return numbers


class RegressionScorer:
    """Numbers at tokens of a question about a picture or a clip (HPSv3, VideoAlign)."""

    def __init__(self, directory: str, model: Any, specification: ScalarSpecification) -> None:
        self.model = model
        self.specification = specification
        self.tokenizer = _tokenizer(directory)
        process = _image_processor(directory)
        self.patch, self.merge = int(process.patch_size), int(process.merge_size)
        self.depth = int(process.temporal_patch_size)
        self.mean, self.std = (torch.tensor(one) for one in (process.image_mean, process.image_std))
        self.is_video = "video_generation" in specification.tasks
        config = model.config
        self.pad = int(config.video_token_id if self.is_video else config.image_token_id)
        self.tokens = [_token(self.tokenizer, token, directory) for token in specification.tokens]

    def num_tokens(self, caption: str) -> tuple[int, int]:
        return len(self._ids(caption)), 0

    def outputs(self, caption: str, seen: Sequence[Frames]) -> Tensor:
        asked = self._ids(caption)
        media = [self._patches(frames) for frames in seen]
        rows = [self._shown(asked, grid) for _, grid in media]
        length = max(map(len, rows))
        ids = torch.zeros(len(rows), length, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(row)], mask[at, : len(row)] = torch.tensor(row), 1
        places = torch.tensor([[row.index(token) for token in self.tokens] for row in rows])
        names = ("pixel_values", "image_grid_thw")
        if self.is_video:
            names = ("pixel_values_videos", "video_grid_thw")
        made = (torch.cat([one for one, _ in media]), torch.stack([grid for _, grid in media]))
        device = self.model.device
        numbers = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            places=places.to(device),
            **{name: one.to(device) for name, one in zip(names, made, strict=True)},
        )
        if len(self.tokens) == 1:
            return numbers[:, 0]
        if numbers.shape[2] == 1:
            return numbers[:, :, 0]
        return numbers.diagonal(dim1=1, dim2=2)

    def _ids(self, caption: str) -> list[int]:
        """The whole turn with one placeholder for the medium."""
        words = self.specification.template.replace("{prompt}", caption)
        kind = "video" if self.is_video else "image"
        content = [{"type": kind, kind: ""}, {"type": "text", "text": words}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        ids: list[int] = self.tokenizer(text)["input_ids"]
        for token in (self.pad, *self.tokens):
            if ids.count(token) != 1:
                name = self.tokenizer.convert_ids_to_tokens(token)
                raise UnreadableCaptionError(
                    f"{name} stands {ids.count(token)} times in what the model is to read, and "
                    "must once: the caption holds it, or the chat template shows no medium"
                )
        return ids

    def _shown(self, ids: list[int], grid: Tensor) -> list[int]:
        place, num = ids.index(self.pad), int(grid.prod()) // self.merge**2
        return [*ids[:place], *[self.pad] * num, *ids[place + 1 :]]

    def _patches(self, frames: Frames) -> tuple[Tensor, Tensor]:
        """Patches [T H W, C depth P P] in the order of Qwen2-VL, and their grid (T, H, W). A
        picture is repeated in time, and so is the last of an odd number of frames.
        """
        limits = (self.specification.min_pixels, self.specification.max_pixels)
        factor = self.patch * self.merge
        if self.is_video:
            scaled = pixels.scaled_frames(frames, factor, limits)
        else:
            scaled = [pixels.scaled_picture(frames[0], factor, limits)]
        scaled += [scaled[-1]] * (-len(scaled) % self.depth)
        shown = torch.stack([torch.from_numpy(np.array(one)) for one in scaled])  # T H W C
        shown = (shown.float() / 255 - self.mean) / self.std
        num, height, width, channels = shown.shape
        grid = (num // self.depth, height // self.patch, width // self.patch)
        split = shown.permute(0, 3, 1, 2).reshape(
            grid[0],
            self.depth,
            channels,
            *(grid[1] // self.merge, self.merge, self.patch),
            *(grid[2] // self.merge, self.merge, self.patch),
        )
        patches = split.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(grid[0] * grid[1] * grid[2], -1)
        return patches, torch.tensor(grid)


def cleaned(caption: str) -> str:
    """A caption as open_clip repairs it before it is read.

    After tgxs002/HPSv2 at 866735ec, hpsv2/src/open_clip/tokenizer.py (`basic_clean`): ftfy, then
    entities of HTML twice. Of plain ASCII all that ftfy does is to resolve entities too, where no
    tag is; so only other captions need it.

    Raises:
        UnreadableCaptionError: ftfy is needed and not installed.
    """
    if not (caption.isascii() and "".join(caption.split()).isprintable()):
        try:
            from ftfy import fix_text
        except ImportError:
            raise UnreadableCaptionError(
                "the caption has characters beyond ASCII, which the published code repairs by ftfy "
                f"before it reads them: {HINT}",
                is_attempt=True,
            ) from None
        caption = fix_text(caption)
    elif "<" not in caption:
        caption = html.unescape(caption)
    return html.unescape(html.unescape(caption)).strip()


def _counted(tokenizer: Any, caption: str, most: int | None) -> tuple[int, int]:
    num = len(tokenizer(caption)["input_ids"])
    return (num, 0) if most is None else (min(num, most), max(num - most, 0))


def _token(tokenizer: Any, token: str, directory: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    if found is None or found == tokenizer.unk_token_id:
        raise SpecificationError(
            f"{directory}: its tokenizer lacks {token}, at which the model's numbers are read; "
            "convert the checkpoint (python -m jobs.convert), which adds it"
        )
    return int(found)


def _tokenizer(directory: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except (ImportError, ValueError, OSError) as error:
        raise SpecificationError(f"{directory}: no tokenizer: {error}") from error
    if not tokenizer.chat_template:
        plain, wrapped = (Path(directory) / f"chat_template.{end}" for end in ("jinja", "json"))
        if plain.is_file():
            tokenizer.chat_template = plain.read_text(encoding="utf-8")
        elif wrapped.is_file():
            tokenizer.chat_template = json.loads(wrapped.read_text("utf-8"))["chat_template"]
    return tokenizer


def _image_processor(directory: str) -> Any:
    from transformers import AutoImageProcessor

    try:
        # The publishers' own, Pillow's: with torchvision installed another would be taken, and
        # the same picture would have another score.
        return AutoImageProcessor.from_pretrained(directory, backend="pil", trust_remote_code=False)
    except (ImportError, ValueError, OSError) as error:
        raise SpecificationError(
            f"{directory}: no image processor: {error}. A reward model is shown pictures as it was "
            "trained to be: bring the preprocessor_config.json of its base along"
        ) from error
