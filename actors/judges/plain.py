"""The plain path: any image-text-to-text model through its own processor and forward pass.

A prompt is text with the marks of its media, as the model's own chat template writes it (`turns`);
the model's own processor makes tensors of prompts and joins them into batches, however many tiles
each picture has; and the model's own forward pass runs them whole. Nothing is shared between
prompts and nothing is known of the family, so it is slow and right, and what the fast path is held
against.

Tokens of an answer stand behind the prompt's own tokens, and rows are padded behind them: what is
behind changes nothing of what is before, in any model that writes from left to right. Text is
written by transformers' own generation, from rows of one length, so that nothing needs padding at
all.

A clip is shown as a video where the stock processor has a video half, and else as its frames, each
a picture; where that half is there and could not be built here, clips are refused
(`PlainFormat.clips`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from actors.answering import SeededSampling
from actors.judges.decoder import Written
from actors.judges.heads import Head
from actors.judges.kinds import MEDIA_FIRST
from actors.judges.looks import Look
from actors.judges.prompts import Answers
from actors.judges.sampling import Chance
from actors.judges.turns import Kind as MediumKind
from actors.judges.turns import Place
from actors.memory import is_attempt, reason
from actors.processors import missing_for_clips, to_install
from factory.judging.specification import (
    JudgeSpecification,
    Kind,
    SpecificationError,
    TaskSpecification,
)

_log = logging.getLogger(__name__)
Logits = npt.NDArray[np.floating]
#: A medium and whether it is shown as a clip.
Shown = tuple[Look, bool]
#: What processors give beside what their models take.
_NOT_INPUTS = {
    "labels",  # PaliGemma's, for training on a suffix
    "offset_mapping",
    "special_tokens_mask",
    "text_replacement_offsets",
    "video_metadata",
}
#: Of each token of an answer in what processors say of tokens: attended to, and of no special kind.
#: PaliGemma's kinds are prefix (0), which sees all of itself, and suffix (1).
_OF_ANSWERS = {("attention_mask", None): 1, ("token_type_ids", "paligemma"): 1}
#: How far logits may move, as a share of the largest, before prompts count as changing each other.
_SAME, _SAME_IN_HALF = 1e-3, 0.05


@dataclass(frozen=True, eq=False)
class PlainText:
    """A prompt before the model's processor.

    text: with the marks of its media.
    media: in the order of their marks.
    form: what made it.
    said: the beginning of an answer behind it.
    """

    text: str
    media: tuple[Shown, ...]
    form: PlainFormat
    said: tuple[int, ...] = ()

    def followed_by(self, ids: Sequence[int]) -> PlainText:
        """The prompt with the beginning of an answer behind it."""
        return replace(self, said=(*self.said, *ids))

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """Its tokens, those that stand for media among them."""
        made = self.form.tensors([self])
        row = made["input_ids"][0][made["attention_mask"][0].bool()]
        return (*row.tolist(), *self.said)


class PlainFormat(Answers):
    """Prompts of one specification for one model's own processor.

    clips: how a clip is shown: as a `video`, or as its `frames`; `refused` where the half of the
        processor that reads clips could not be built.
    """

    def __init__(self, specification: JudgeSpecification, processor: Any, config: Any) -> None:
        """Args:
        specification: how each task is put.
        processor: the model's own.
        config: the model's.

        Raises:
            SpecificationError: it has no chat template and none can do without.
        """
        self.kind = str(config.model_type)
        self._has_own_form = self.kind in MEDIA_FIRST and not processor.chat_template
        super().__init__(specification, processor)
        if self.tokenizer.pad_token_id is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        has_video = getattr(processor, "video_processor", None) is not None
        self.clips: Literal["video", "frames", "refused"] = (
            "video" if has_video and getattr(processor, "video_token", None) else "frames"
        )
        self._lacking = missing_for_clips(self.kind) if not has_video else []
        if self._lacking:
            self.clips = "refused"
        if self.clips == "frames" and any(one.startswith("video") for one in specification.tasks):
            _log.info("%s: clips are shown as their frames, each a picture", self.kind)
        self._marks: dict[MediumKind, str] = {
            "image": str(getattr(processor, "image_token", None) or ""),
            "video": str(getattr(processor, "video_token", None) or ""),
        }

    @property
    def _has_template(self) -> bool:
        return not self._has_own_form

    def point(
        self,
        task: TaskSpecification,
        prompt: str,
        media: Sequence[Shown | list[Shown]],
        answers: Sequence[str] = (),
        source: Sequence[Shown] = (),
    ) -> PlainText:
        """The pointwise prompt; arguments as of `PromptFormat.point`."""
        return self._text(task, "score", prompt, media, answers, source)

    def pair(
        self,
        task: TaskSpecification,
        prompt: str,
        media: Sequence[Shown | list[Shown]],
        answers: Sequence[str] = (),
        source: Sequence[Shown] = (),
    ) -> PlainText:
        """The pairwise prompt; arguments as of `PromptFormat.pair`."""
        return self._text(task, "duel", prompt, media, answers, source)

    def _text(
        self,
        task: TaskSpecification,
        kind: Kind,
        prompt: str,
        media: Sequence[Shown | list[Shown]],
        answers: Sequence[str],
        source: Sequence[Shown],
    ) -> PlainText:
        parts: list[str | Place] = []
        shown: list[Shown] = []
        for part in self.parts(task, kind, prompt, media, answers, source):
            if isinstance(part, str):
                parts.append(part)
                continue
            shown.append(part)
            look, is_clip = part
            if is_clip and self.clips == "refused":
                raise SpecificationError(
                    f"a model of type {self.kind!r} judges pictures here, and for clips needs "
                    f"{' and '.join(self._lacking)}: {to_install(self._lacking)}"
                )
            if is_clip and self.clips == "video":
                parts.append(Place("video", self._marks["video"]))
            else:
                parts += [Place("image", self._marks["image"])] * len(look.frames)
        return PlainText(self.turns.write(parts, task.system.get(kind, "")), tuple(shown), self)

    def asked(self, look: Look, words: str) -> PlainText:
        """A prompt of a picture and a text, to see whether a model runs."""
        place = Place("image", self._marks["image"])
        return PlainText(self.turns.write([place, words]), ((look, False),), self)

    def tensors(self, texts: Sequence[PlainText]) -> dict[str, Any]:
        """What the processor makes of prompts as one batch, padded on the right.

        Raises:
            Exception: whatever the processor raises of what it does not take.
        """
        pictures, clips = [], []
        for text in texts:
            pictures.append(
                [one for look, is_clip in text.media for one in self._pictures(look, is_clip)]
            )
            clips.append(
                [look for look, is_clip in text.media if is_clip and self.clips == "video"]
            )
        given: dict[str, Any] = {}
        if any(pictures):
            given["images"] = pictures
        if any(clips):
            given["videos"] = [[look.frames for look in row] for row in clips]
            given["do_sample_frames"] = False
            given["video_metadata"] = [_metadata(look) for row in clips for look in row]
        if len(texts) > 1:
            given |= {"padding": True, "padding_side": "right"}
        made = self.processor(
            text=[text.text for text in texts],
            return_tensors="pt",
            # As `apply_chat_template` does: a template that writes the BOS needs no second one.
            add_special_tokens=not self.is_begun(texts[0].text),
            **given,
        )
        tensors = {name: value for name, value in made.items() if name not in _NOT_INPUTS}
        if "attention_mask" not in tensors:
            tensors["attention_mask"] = torch.ones_like(tensors["input_ids"])
        return tensors

    def _pictures(self, look: Look, is_clip: bool) -> list[Image.Image]:
        if is_clip and self.clips == "video":
            return []
        return [Image.fromarray(frame) for frame in look.frames]

    def followed(
        self, made: Mapping[str, Any], answers: Sequence[Sequence[int]]
    ) -> tuple[dict[str, Any], list[int]]:
        """A batch with an answer's tokens behind the prompt of each row.

        Args:
            made: by `tensors`, of B prompts.
            answers: token ids behind each of them.

        Returns:
            the batch, padded on the right, and of each row how many tokens its prompt has.

        Raises:
            SpecificationError: the family tells positions of tokens itself, in a way that is not
                known here.
        """
        ids, mask = made["input_ids"], made["attention_mask"].bool()
        starts = mask.sum(dim=1).tolist()
        length = max(start + len(one) for start, one in zip(starts, answers, strict=True))
        longer = dict(made)
        for name, value in made.items():
            if not isinstance(value, Tensor) or value.shape[:2] != ids.shape or name[:5] == "pixel":
                continue
            if name == "position_ids":
                raise SpecificationError(
                    f"{self.kind}: its processor counts the positions of tokens, and those of an "
                    "answer are not known here"
                )
            rows = []
            for row, (kept, answer) in enumerate(zip(mask, answers, strict=True)):
                prompt = value[row][kept]
                more = self._of_answer(name, prompt, answer)
                rows.append(_padded(torch.cat([prompt, more]), length, self._pad(name)))
            longer[name] = torch.stack(rows)
        return longer, starts

    def _of_answer(self, name: str, prompt: Tensor, answer: Sequence[int]) -> Tensor:
        """What a tensor of one entry a token says of an answer's tokens."""
        if name == "input_ids":
            return torch.tensor(answer, dtype=prompt.dtype)
        if prompt.dim() > 1:  # which pictures each token sees: those of the prompt's last one
            return prompt[-1:].expand(len(answer), *prompt.shape[1:])
        value = _OF_ANSWERS.get((name, None), _OF_ANSWERS.get((name, self.kind), 0))
        return prompt.new_full((len(answer),), value)

    def _pad(self, name: str) -> int:
        return int(self.tokenizer.pad_token_id or 0) if name == "input_ids" else 0


class PlainPath:
    """Runs prompts of any sitting by the model's own forward pass: as `Decoder`.

    num_passes: forward passes so far; of a text that is written one for each of its tokens.
    """

    def __init__(self, model: Any, form: PlainFormat, max_batch: int) -> None:
        self.model = model
        self.form = form
        self.max_batch = max_batch
        self.num_passes = 0
        self.head = Head(model)
        self._plain_generation()

    def check(self, path: str) -> None:
        """See that the model runs at all, that it looks at pictures, and that prompts of unlike
        length and size change nothing of each other; where they do, each is run alone.

        Raises:
            SpecificationError: it does not run, or gives the same for any picture.
        """
        pixels = np.random.default_rng(0).integers(0, 256, (1, 84, 56, 3), dtype=np.uint8)
        blank = Look(np.zeros((1, 56, 56, 3), dtype=np.uint8))
        texts = [
            self.form.asked(look, words)
            for look, words in (
                (blank, "good"),
                (Look(pixels), "good"),
                (Look(pixels), "a bad one"),
            )
        ]
        try:
            alone = np.stack([self.logits([text])[0, 0] for text in texts])
        except Exception as error:
            if is_attempt(error):
                raise
            raise SpecificationError(
                f"{path}: a model of type {self.form.kind!r} does not run on a picture and a text, "
                f"so it is no judge here: {reason(error)}"
            ) from error
        if np.array_equal(alone[0], alone[1]):
            raise SpecificationError(
                f"{path}: a model of type {self.form.kind!r} gives the same for any picture: it "
                "does not look at it"
            )
        if self.max_batch > 1:
            together = np.concatenate([self.logits(texts[::2]), self.logits(texts[1:])])[:, 0]
            apart = np.abs(together - alone[[0, 2, 1, 2]]).max()
            share = _SAME if self.model.dtype == torch.float32 else _SAME_IN_HALF
            if apart > share * np.abs(alone).max():
                _log.warning(
                    "%s: prompts of a batch change each other (by %.2g): each is run alone",
                    path,
                    apart,
                )
                self.max_batch = 1
        self.num_passes = 0

    def _plain_generation(self) -> None:
        """Let generation take the most probable word, whatever else the checkpoint's configuration
        asks of those who chat with it.
        """
        from transformers import GenerationConfig

        known = self.model.generation_config
        kept = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        self.model.generation_config = GenerationConfig(
            **{name: getattr(known, name, None) for name in kept}
        )

    @torch.inference_mode()
    def logits(self, texts: Sequence[PlainText], chain: Sequence[int] = ()) -> Logits:
        """Logits after each prompt and after each token of `chain` that follows it.

        Returns:
            [B, len(chain) + 1, V], as float32.
        """
        parts = []
        for start in range(0, len(texts), self.max_batch):
            some = texts[start : start + self.max_batch]
            answers = [[*text.said, *chain] for text in some]
            made = self.form.tensors(some)
            self._note(some, made)
            tensors, starts = self.form.followed(made, answers)
            ends = [at + len(text.said) for at, text in zip(starts, some, strict=True)]
            at = torch.tensor([[end - 1 + step for step in range(len(chain) + 1)] for end in ends])
            self.num_passes += 1
            with self.head.asked(at):
                logits = self.model(**self._placed(tensors), use_cache=False).logits
            if self.head.module is None:
                logits = torch.take_along_dim(logits, at.to(logits.device)[..., None], dim=1)
            parts.append(logits.float().cpu())
        return np.asarray(torch.cat(parts).numpy())

    @torch.inference_mode()
    def generate(
        self,
        texts: Sequence[PlainText],
        max_tokens: int,
        stops: Sequence[int],
        chance: Chance | None = None,
    ) -> list[Written]:
        """What the model writes after each prompt: the most probable token each time, or as
        `chance` draws.
        """
        written: dict[int, Written] = {}
        for start in range(0, len(texts), self.max_batch):
            rows = range(start, min(start + self.max_batch, len(texts)))
            made = self.form.tensors([texts[row] for row in rows])
            self._note([texts[row] for row in rows], made)
            of_length: dict[int, list[int]] = {}
            for row in rows:
                of_length.setdefault(len(texts[row].ids), []).append(row)
            for alike in of_length.values():
                some = [texts[row] for row in alike]
                batch = made if len(of_length) == 1 else self.form.tensors(some)
                drawing = chance.of(alike) if chance else None
                said = self._write(some, batch, max_tokens, stops, drawing)
                written |= dict(zip(alike, said, strict=True))
        return [written[row] for row in range(len(texts))]

    def _write(
        self,
        texts: Sequence[PlainText],
        made: Mapping[str, Any],
        max_tokens: int,
        stops: Sequence[int],
        drawing: SeededSampling | None,
    ) -> list[Written]:
        """The same of prompts of one length, of which the processor made a batch."""
        tensors, _ = self.form.followed(made, [text.said for text in texts])
        with self.head.asked():
            output = self.model.generate(
                **self._placed(tensors),
                # Of what is drawn, one token is left by then.
                logits_processor=[drawing] if drawing else [],
                do_sample=False,
                max_new_tokens=max_tokens,
                eos_token_id=list(stops) or None,
                pad_token_id=stops[0] if stops else 0,
                output_logits=True,
                return_dict_in_generate=True,
            )
        num = len(output.logits)
        self.num_passes += num
        taken = output.sequences[:, -num:, None]
        log_p = torch.stack([one.float().log_softmax(-1) for one in output.logits], dim=1)
        chances = log_p.gather(-1, taken.to(log_p.device))[..., 0].exp()
        written = []
        for ids, p in zip(output.sequences[:, -num:].tolist(), chances.tolist(), strict=True):
            stop = next((at for at, one in enumerate(ids) if one in set(stops)), None)
            least = min(p if stop is None else p[: stop + 1], default=1.0)
            written.append(Written(ids[:stop], stop is None, least))
        return written

    def _placed(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Where the model is, and pixels in its precision."""
        return placed(tensors, self.model.device, self.model.dtype)

    def _note(self, texts: Sequence[PlainText], made: Mapping[str, Any]) -> None:
        """Let each prompt know its tokens, now that they were made."""
        for text, row, mask in zip(texts, made["input_ids"], made["attention_mask"], strict=True):
            text.__dict__.setdefault("ids", (*row[mask.bool()].tolist(), *text.said))


def placed(tensors: Mapping[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """A batch on a device, its pixels in a precision. Numbers of media, as the seconds between a
    clip's frames, stay as they are.
    """
    made = {}
    for name, value in tensors.items():
        if isinstance(value, Tensor):
            is_pixels = value.is_floating_point() and value.dim() > 1
            value = value.to(device, dtype if is_pixels else value.dtype)
        made[name] = value
    return made


def _padded(row: Tensor, length: int, value: int) -> Tensor:
    padding = row.new_full((length - len(row), *row.shape[1:]), value)
    return torch.cat([row, padding])


def _metadata(look: Look) -> Any:
    """When a clip's frames are, for processors that write it into the prompt or into positions."""
    from transformers.video_utils import VideoMetadata

    num = len(look.frames)
    return VideoMetadata(
        total_num_frames=num,
        fps=1.0 / look.seconds if look.seconds else None,
        frames_indices=list(range(num)),
        duration=num * look.seconds or None,
    )
