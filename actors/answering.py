"""Questions about media, and their answers, in one answering model's terms.

The model's own processor makes the tensors: by its chat template where it has one, else around the
recipe's words. A clip is shown as frames, evenly over its time, each as a picture: any model that
takes several pictures can then see it, and no video processor is needed. A dialogue, and pictures
between words, take a chat template: the recipe's words have one place for all media, before or
after one text.

Questions are put one by one and joined to batches as the processors of the families in `JOINED`
join them: pictures of fewer tiles are filled up with tiles of zeros, which these models leave out.
Any other family is asked, and trained, row by row.

Each answer's chance comes from a seed of its own, so what is answered depends on question, seed and
weights alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from actors.harmless import Harmless
from factory.generator_kinds import takes_of_questions
from factory.media.clips import decode_clip, decode_still
from factory.prompt_parts import check_needs, needs_of, turns
from schemas.recipe import Answering
from schemas.rows import Media, Part, Prompt


class QuestionFormat:
    """How questions are put to one model, and what ends its answers."""

    def __init__(self, processor: Any, spec: Answering) -> None:
        """Read what the processor offers.

        Raises:
            ValueError: no chat template and no `question` in the recipe, or an end of more than one
                token.
        """
        self.processor, self.spec = processor, spec
        self.tokenizer = processor.tokenizer
        self.is_chat = spec.question is None
        if self.is_chat and not getattr(processor, "chat_template", None):
            raise ValueError(
                "the model has no chat template: say in generator.answering.question how it is "
                "asked, as 'image : {media} question : {prompt} answer :'"
            )
        self._harmless = Harmless(processor, processor.chat_template if self.is_chat else None)
        self.end_id = self._end()
        #: What an answer's tokens are in the tensors that tell kinds of tokens apart; 0 elsewhere.
        self.kinds = _KINDS_OF_ANSWERS.get(type(processor).__name__, {})

    def _end(self) -> int:
        if self.spec.answer_end is None:
            of_turn = self._end_of_turn() if self.is_chat else None
            return int(self.tokenizer.eos_token_id) if of_turn is None else of_turn
        ids = self.tokenizer(self.spec.answer_end, add_special_tokens=False).input_ids
        if len(ids) != 1:
            raise ValueError(
                f"generator.answering.answer_end: {self.spec.answer_end!r} is {len(ids)} tokens to "
                "this model, not one"
            )
        return int(ids[0])

    def _end_of_turn(self) -> int | None:
        """The token that the chat template writes behind what the assistant said: Gemma's is not
        the one that its tokenizer calls the end. None where it writes none.
        """
        said = [
            {"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in (("user", "ask"), ("assistant", _SAID))
        ]
        try:
            text = self.processor.apply_chat_template(said, tokenize=False)
        except Exception:  # of a template that takes no such dialogue, in whichever words
            return None
        behind = text.rpartition(_SAID)[2].lstrip(" ")
        ids = self.tokenizer(behind, add_special_tokens=False).input_ids
        return int(ids[0]) if ids and ids[0] in self._harmless.ids else None

    def question(self, prompt: Prompt) -> dict[str, Tensor]:
        """What the model takes for a question, a batch of one, up to where its answer begins.

        The model's special tokens are taken out of what is said: no question can forge a picture
        or the end of a turn.

        Raises:
            MediaError: a medium cannot be read.
            PartsError: it has parts for which the model's words have no place.
            ValueError: it is about no medium.
        """
        media = prompt.media_of("question")
        if not media:
            raise ValueError("a question about no picture or clip")
        takes = takes_of_questions(self.spec)
        check_needs(needs_of(prompt), takes, "generator.answering.question")
        if self.is_chat:
            made = self.processor.apply_chat_template(
                [
                    {
                        "role": turn.speaker,
                        "content": [one for part in turn.parts for one in self._content(part)],
                    }
                    for turn in turns(prompt)
                ],
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
            )
        else:
            pictures = [picture for one in media for picture in self._pictures(one)]
            words = str(self.spec.question)
            is_clip = any(one.num_frames > 1 for one in media)
            if is_clip and self.spec.clip_question is not None:
                words = self.spec.clip_question
            before, media_slot, after = words.partition("{media}")
            shown = self._placeholder * len(pictures) if media_slot else ""
            text = self._harmless(prompt.text)
            asked = (before + shown + after).replace("{prompt}", text)
            made = self.processor(images=[pictures], text=[asked], return_tensors="pt")
        question = {name: value for name, value in made.items() if name != "labels"}
        _check_followed(question)
        return question

    @property
    def _placeholder(self) -> str:
        """What stands for a picture in words: of Gemma 3 the token that begins one."""
        token = "boi_token" if type(self.processor).__name__ == "Gemma3Processor" else "image_token"
        return str(getattr(self.processor, token))

    def _content(self, part: Part) -> list[dict[str, Any]]:
        """A part as a chat template takes it: a text, or a picture for each frame."""
        if part.media is None:
            return [{"type": "text", "text": self._harmless(part.text or "")}]
        return [{"type": "image", "image": one} for one in self._pictures(part.media)]

    def answer_ids(self, answer: str, *, is_ended: bool = True) -> list[int]:
        """Token ids of an answer and of its end, where it came to one."""
        ids = self.tokenizer(self._harmless(answer), add_special_tokens=False).input_ids
        return [*ids, self.end_id] if is_ended else list(ids)

    def read(self, ids: list[int]) -> tuple[str, bool]:
        """What generated tokens say up to the end, and whether they come to one."""
        is_ended = self.end_id in ids
        said = ids[: ids.index(self.end_id)] if is_ended else ids
        return str(self.tokenizer.decode(said, skip_special_tokens=True)).strip(), is_ended

    def _pictures(self, media: Media) -> list[Image.Image]:
        if media.num_frames == 1:
            return [Image.fromarray(decode_still(media.data))]
        return [Image.fromarray(frame) for frame in decode_clip(media.data, self.spec.num_frames)]


#: What the assistant says where only the end of its turn is looked for.
_SAID = "it says so"
#: PaliGemma sees all of a question at once and an answer word by word, by the kind 1 (its processor
#: and `create_masks` of transformers' modeling_paligemma.py).
_KINDS_OF_ANSWERS = {"PaliGemmaProcessor": {"token_type_ids": 1}}
#: Families whose questions are joined to one batch, by `model_type`: pictures one after the other;
#: the tensors named are of as many tiles, or pictures, as the row with the most has, and zeros
#: beyond. So do their processors in a batch, and their models leave zeros out: LLaVA-NeXT's and
#: LLaVA-OneVision's by the sizes of the pictures, Idefics 3 and SmolVLM by the zeros themselves.
JOINED: dict[str, tuple[str, ...]] = {
    "gemma3": (),
    "idefics3": ("pixel_values", "pixel_attention_mask"),
    "internvl": (),
    "llava": (),
    "llava_next": ("pixel_values",),
    "llava_onevision": ("pixel_values",),
    "paligemma": (),
    "qwen2_5_vl": (),
    "qwen2_vl": (),
    "qwen3_5": (),
    "qwen3_vl": (),
    "smolvlm": ("pixel_values", "pixel_attention_mask"),
}


def _check_followed(question: Mapping[str, Tensor]) -> None:
    """Refuse what could not be made longer by an answer."""
    length = question["input_ids"].shape[1]
    strange = [name for name, one in question.items() if one.ndim > 2 and one.shape[1] == length]
    if strange:
        raise ValueError(
            f"the model takes {', '.join(strange)}, of more than one number for each token: how an "
            "answer goes on there is not known here"
        )


def with_answer(
    question: Mapping[str, Tensor], answer: list[int], kinds: Mapping[str, int] | None = None
) -> dict[str, Tensor]:
    """A question's tensors with the answer's tokens behind it: attended to, and of the kinds given.

    Tensors of one entry a token are known by their shape, so any model's are carried along.
    """
    kinds = {"attention_mask": 1, **(kinds or {})}
    ids = question["input_ids"]
    longer = {}
    for name, value in question.items():
        if value.shape == ids.shape:
            if name == "input_ids":
                more = torch.tensor([answer], dtype=value.dtype)
            else:
                more = value.new_full((1, len(answer)), kinds.get(name, 0))
            value = torch.cat([value, more], dim=1)
        longer[name] = value
    return longer


def join(rows: Sequence[dict[str, Tensor]], pad: int, family: str) -> dict[str, Tensor]:
    """Batches of one as one batch, padded on the right; media one after the other.

    Args:
        rows: what the model takes, of one text each.
        pad: the token that fills up shorter texts.
        family: the model's type, one of `JOINED` where there are several rows.
    """
    if len(rows) == 1:
        return dict(rows[0])
    joined = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        if first.shape == rows[0]["input_ids"].shape:
            values = _widened(values, pad if name == "input_ids" else 0)
        elif name in JOINED[family]:
            values = _widened(values, 0)
        joined[name] = torch.cat(values)
    return joined


def _widened(values: Sequence[Tensor], fill: int) -> list[Tensor]:
    """Each as large as the largest in every axis but the first, filled up at the end."""
    sizes = [max(axis) for axis in zip(*(value.shape[1:] for value in values), strict=True)]
    widened = []
    for value in values:
        whole = value.new_full((len(value), *sizes), fill)
        whole[tuple(slice(0, size) for size in value.shape)] = value
        widened.append(whole)
    return widened


@contextmanager
def logits_where(model: Any, asked: Tensor) -> Iterator[None]:
    """Within, the model computes logits only where they are asked for: `taken` reads them. What a
    step needs of memory then grows with the answers, not with the questions.

    Args:
        model: of transformers, whose head takes hidden states [B, T, D].
        asked: [B, T], where.
    """

    def chosen(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (given[0][asked][None], *given[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(chosen)
    try:
        yield
    finally:
        handle.remove()


def sampled_answers(
    model: Any,
    asked: QuestionFormat,
    prompt: Prompt,
    seeds: Sequence[int],
    *,
    is_shared: bool = False,
) -> list[tuple[str, bool]]:
    """One answer to a question for each seed, and whether it came to an end.

    Args:
        model: a transformers model that generates, in evaluation mode.
        asked: how questions are put to it.
        prompt: the question.
        seeds: of the answers.
        is_shared: the weights lie on several processes, all of which ask this now; none stops
            before the last one has its answer.

    Raises:
        MediaError, PartsError, ValueError: as of `QuestionFormat.question`.
    """
    made = asked.question(prompt)
    question = {
        name: value.to(model.device, model.dtype if value.is_floating_point() else value.dtype)
        for name, value in made.items()
    }
    together = len(seeds) if model.config.model_type in JOINED else 1
    answers = []
    for start in range(0, len(seeds), together):
        some = seeds[start : start + together]
        answers += _generated(model, asked, question, some, is_shared=is_shared)
    return answers


def _generated(
    model: Any,
    asked: QuestionFormat,
    question: Mapping[str, Tensor],
    seeds: Sequence[int],
    *,
    is_shared: bool,
) -> list[tuple[str, bool]]:
    """An answer for each seed, in one batch, and whether it came to an end."""
    answers = model.generate(
        **question,
        logits_processor=[SeededSampling(seeds, asked.spec.temperature, asked.spec.top_p)],
        do_sample=True,  # among the one token that is left by then; it lets a question repeat
        num_return_sequences=len(seeds),
        num_beams=1,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        repetition_penalty=1.0,
        max_new_tokens=asked.spec.max_new_tokens,
        eos_token_id=asked.end_id,
        pad_token_id=asked.end_id,
        synced_gpus=is_shared,
    )
    start = question["input_ids"].shape[1]
    return [asked.read(row) for row in answers[:, start:].tolist()]


class SeededSampling:
    """Draws each row's next token by the row's own seed, and leaves no other possible.

    transformers draws a whole batch from one stream, so a row's answer would depend on the rows
    beside it.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        # On the CPU: the same seed then means the same draws on any device.
        self._streams = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self._temperature, self._top_p = temperature, top_p

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        p = (scores.float() / self._temperature).softmax(-1).cpu()  # B V
        ranked, order = p.sort(dim=-1, descending=True)
        # A token stays as long as those above it leave something of top_p: the first always does.
        ranked[ranked.cumsum(-1) - ranked >= self._top_p] = 0.0
        left = torch.full_like(scores, -torch.inf)
        for row, stream in enumerate(self._streams):
            drawn = torch.multinomial(ranked[row], 1, generator=stream)
            left[row, order[row, drawn].to(left.device)] = 0.0
        return left
