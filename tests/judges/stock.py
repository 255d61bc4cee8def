"""What transformers alone makes of a question to a checkpoint: its own processor, chat template and
forward pass, one prompt at a time, nothing kept and nothing of ours. Verdicts of the judge are held
against this.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Clip:
    """Frames [T, H, W, 3] and the seconds from one to the next."""

    frames: np.ndarray
    seconds: float


#: Of a user's turn, in order: words, pictures and clips.
Content = Sequence[str | Image.Image | Clip]


class Stock:
    """One checkpoint as a user of transformers would load it."""

    def __init__(self, path: str, *, shows_first: bool = False) -> None:
        """Load it.

        Args:
            path: its directory.
            shows_first: whether its chat template shows all media of a turn before its text. Where
                they are meant to stand in the text, a user then writes their tokens into it; where
                they lead the turn, the template does as it is meant to.
        """
        import transformers

        self.shows_first = shows_first
        self.processor = stock_processor(path)
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(
            path, dtype=torch.float32
        ).eval()

    def inputs(self, content: Content) -> dict[str, Tensor]:
        """What the model is called with, for one turn that asks for an answer."""
        pictures = [part for part in content if isinstance(part, Image.Image)]
        clips = [part for part in content if isinstance(part, Clip)]
        more: dict[str, Any] = {}
        if pictures:
            more["images"] = [pictures]
        if clips:
            more["videos"] = [[one.frames for one in clips]]
            more |= {"do_sample_frames": False, "video_metadata": [_metadata(one) for one in clips]}
        text = self.text(content)
        bos = self.processor.tokenizer.bos_token
        is_begun = bos is not None and text.startswith(bos)
        more["add_special_tokens"] = not is_begun  # as the processor's `apply_chat_template` does
        made = self.processor(text=[text], return_tensors="pt", **more)
        return as_inputs(made)

    def text(self, content: Content) -> str:
        """The prompt before its media are written out."""
        if self.processor.chat_template is None and self.processor.tokenizer.chat_template is None:
            words = "".join(part for part in content if isinstance(part, str))
            num = sum(not isinstance(part, str) for part in content)
            return str(self.processor.image_token) * num + words
        if self.shows_first and not _are_led(content):
            content = ["".join(self._mark(part) for part in content)]
        return str(
            self.processor.apply_chat_template(
                [{"role": "user", "content": [_part(part) for part in content]}],
                add_generation_prompt=True,
                tokenize=False,
            )
        )

    @torch.inference_mode()
    def logits(self, content: Content, then: Sequence[int] = ()) -> Tensor:
        """Logits [len(then) + 1, V] after the prompt and after each token that follows it."""
        inputs = followed(self.inputs(content), then, self.model.config.model_type)
        return self.model(**inputs).logits[0, -len(then) - 1 :]

    def log_p(self, content: Content, answers: Sequence[str]) -> list[float]:
        """Of each answer among all of them: the sum over its tokens up to the one that tells it
        from all others, each time among all words; normalised over the answers at the end.
        """
        tokenizer = self.processor.tokenizer
        ids = [tokenizer(one, add_special_tokens=False).input_ids for one in answers]
        totals = []
        for at, own in enumerate(ids):
            others = ids[:at] + ids[at + 1 :]
            size = 1 + max(_alike(own, other) for other in others)
            log_p = self.logits(content, own[: size - 1]).double().log_softmax(-1)
            totals.append(sum(float(log_p[place, own[place]]) for place in range(size)))
        return torch.tensor(totals).double().log_softmax(0).tolist()

    def _mark(self, part: str | Image.Image | Clip) -> str:
        if isinstance(part, str):
            return part
        is_clip = isinstance(part, Clip)
        return str(self.processor.video_token if is_clip else self.processor.image_token)


def stock_processor(path: str) -> Any:
    """The checkpoint's processor by transformers' own loader; where that asks for torchvision for
    the half that reads clips, the same class without that half.
    """
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    try:
        return transformers.AutoProcessor.from_pretrained(path)
    except ImportError as error:
        if "torchvision" not in str(error).lower():
            raise
    config = transformers.AutoConfig.from_pretrained(path)
    named = _processor_class(Path(path)) or PROCESSOR_MAPPING[type(config)].__name__
    whole = getattr(transformers, named)

    class WithoutClips(whole):  # type: ignore[misc, valid-type]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument is not None:
                super().check_argument_for_proper_class(argument_name, argument)

    loaders = {
        "tokenizer": transformers.AutoTokenizer,
        "image_processor": transformers.AutoImageProcessor,
        "feature_extractor": transformers.AutoFeatureExtractor,
    }
    parts = {
        name: loaders[name].from_pretrained(path) if name in loaders else None
        for name in whole.get_attributes()
    }
    settings = _read(Path(path) / "processor_config.json")
    told = {key: one for key, one in settings.items() if key not in (*parts, "processor_class")}
    return WithoutClips(**parts, chat_template=_template(Path(path)), **told)


def as_inputs(made: Mapping[str, Any]) -> dict[str, Any]:
    """What a processor made, as a user hands it to a model in float32: some processors make pixels
    in bfloat16.
    """
    return {
        name: one.float() if isinstance(one, Tensor) and one.is_floating_point() else one
        for name, one in made.items()
        if name != "labels"
    }


def followed(inputs: Mapping[str, Tensor], then: Sequence[int], family: str) -> dict[str, Tensor]:
    """The inputs of a prompt that goes on with these tokens of the model's own.

    What says of each token what it is says 0, "text", of them. PaliGemma's `token_type_ids` say 1
    of what the model answers, which alone is read from left to right
    (`models/paligemma/modeling_paligemma.py`, `_update_model_kwargs_for_generation`).
    """
    made = dict(inputs)
    if not then:
        return made
    written = torch.tensor([list(then)])
    fills = {
        "attention_mask": 1,
        "token_type_ids": 1 if family == "paligemma" else 0,
        "mm_token_type_ids": 0,
    }
    made["input_ids"] = torch.cat([made["input_ids"], written], dim=1)
    for name, fill in fills.items():
        if name in made:
            end = torch.full_like(written, fill, dtype=made[name].dtype)
            made[name] = torch.cat([made[name], end], dim=1)
    if "cross_attention_mask" in made:  # Llama 3.2: which pictures each token sees, as the last one
        last = made["cross_attention_mask"][:, -1:]
        made["cross_attention_mask"] = torch.cat(
            [made["cross_attention_mask"], *[last] * len(then)], dim=1
        )
    return made


def _part(part: str | Image.Image | Clip) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "video" if isinstance(part, Clip) else "image"}


def _are_led(content: Content) -> bool:
    """Whether no medium stands behind a text."""
    texts = [isinstance(part, str) for part in content]
    return texts == sorted(texts)


def _metadata(clip: Clip) -> dict[str, Any]:
    num = len(clip.frames)
    return {
        "total_num_frames": num,
        "fps": 1.0 / clip.seconds,
        "duration": num * clip.seconds,
        "frames_indices": list(range(num)),
        "height": clip.frames.shape[1],
        "width": clip.frames.shape[2],
    }


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens in which two answers begin alike."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _processor_class(path: Path) -> str | None:
    for name in ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json"):
        if found := _read(path / name).get("processor_class"):
            return str(found)
    return None


def _template(path: Path) -> str | None:
    if (path / "chat_template.jinja").is_file():
        return (path / "chat_template.jinja").read_text(encoding="utf-8")
    for name in ("chat_template.json", "tokenizer_config.json"):
        if found := _read(path / name).get("chat_template"):
            return str(found)
    return None


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
