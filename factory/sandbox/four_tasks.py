"""Simulated labels of the four tasks: pictures, clips, and answers about either.

Stands where people's labels would come from when a judge of more than pictures is trained or
measured. Clips and the media that are asked about are drawn, with defects and wrong answers of
known kind; pictures come from the caller, who has a generator. A prompt that asks a question
carries the scene in its tag `scene`, so that any answer can be checked later.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from factory.media.clips import encode_clip
from factory.media.pictures import encode_png
from factory.sandbox.annotators import Annotator, Seen, see_answer, see_clip, see_picture
from factory.sandbox.imperfect import CLIP_FRAMES, SIDE, imperfect_clip, plain, plain_clip
from factory.sandbox.questions import QuestionError, ask, facts
from factory.sandbox.world import CaptionError, caption, parse, sample_scene
from schemas.rows import UNDERSTANDING, Label, Media, Prompt, Task, content_id, seed_of

#: Frames a second of drawn clips.
FPS = 8.0
#: The tag of a question's prompt that holds the caption of the scene.
SCENE = "scene"
_PARTS = "it is of several parts, and the sandbox has no dialogues, edits or questions about two"


class ForeignPromptError(ValueError):
    """A prompt, or a candidate for it, of which the sandbox does not know what is true."""


@dataclass(frozen=True)
class Side:
    """One candidate: a medium or an answer."""

    media: Media | None = None
    answer: str | None = None


def see(prompt: Prompt, side: Side) -> Seen:
    """What the oracle makes of one candidate of a sandbox prompt.

    Raises:
        MediaError: the medium is broken.
        ForeignPromptError, CaptionError, QuestionError: the prompt is not the sandbox's, or the
            side is of another task.
    """
    if prompt.parts:
        raise ForeignPromptError(f"prompt {prompt.prompt_id}: {_PARTS}")
    if prompt.task in UNDERSTANDING:
        if side.answer is None or SCENE not in prompt.tags:
            raise ForeignPromptError(f"prompt {prompt.prompt_id}: no answer, or no tag {SCENE!r}")
        return see_answer(parse(prompt.tags[SCENE]), prompt.text, side.answer)
    if side.media is None:
        raise ForeignPromptError(f"prompt {prompt.prompt_id}: no medium")
    if prompt.task == "video_generation":
        return see_clip(side.media.data, CLIP_FRAMES, prompt.text)
    return see_picture(side.media.data, prompt.text)


def drawn_cases(
    task: Task, num_prompts: int, num_sides: int, seed: int
) -> Iterator[tuple[Prompt, list[Side]]]:
    """Prompts of a task other than image generation, each with candidates of known quality."""
    for number in range(num_prompts):
        rng = random.Random(seed_of("case", task, seed, number))
        scene = sample_scene(rng, moving=task.startswith("video"))
        if task == "video_generation":
            clips = [imperfect_clip(scene, rng) for _ in range(num_sides)]
            yield Prompt.of(caption(scene), task), [Side(_clip(frames)) for frames in clips]
        elif task in UNDERSTANDING:
            is_clip = task == "video_understanding"
            media = _clip(plain_clip(scene, rng)) if is_clip else _picture(plain(scene, rng))
            question = ask(scene, rng, num_sides)
            # The order in which answers are made tells how right they are.
            answers = rng.sample(question.answers, len(question.answers))
            prompt = Prompt.of(question.text, task, {SCENE: caption(scene)}, media)
            yield prompt, [Side(answer=answer.text) for answer in answers]
        else:
            raise ValueError(f"{task}: its candidates are a generator's and not drawn here")


def _picture(pixels: Any) -> Media:
    return Media(encode_png(pixels), SIDE, SIDE)


def _clip(frames: Any) -> Media:
    return Media(encode_clip(frames, FPS), SIDE, SIDE, len(frames), FPS)


def simulated_labels(
    prompt: Prompt,
    sides: Sequence[Side],
    annotators: Sequence[Annotator],
    num_pairs: int,
    split: Any,
    seed: int,
) -> list[Label]:
    """Labels of some pairs of a prompt's candidates, and points for each of them.

    Which pairs, and who looks at which, depend on prompt and seed alone.
    """
    rng = random.Random(seed_of("labels", prompt.prompt_id, seed))
    seen = [see(prompt, side) for side in sides]
    pairs = list(itertools.permutations(range(len(sides)), 2))
    made: list[Label] = []
    for first, second in rng.sample(pairs, min(num_pairs, len(pairs))):
        annotator = rng.choice(annotators)
        key = content_id(
            "label", prompt.prompt_id, seen[first].digest, seen[second].digest, annotator.full_name
        )
        preference, why = annotator.prefer(seen[first], seen[second], key)
        made.append(
            Label(
                key,
                prompt,
                annotator.full_name,
                sides[first].media,
                sides[second].media,
                preference,
                justification=why,
                split=split,
                first_answer=sides[first].answer,
                second_answer=sides[second].answer,
            )
        )
    for side, one in zip(sides, seen, strict=True):
        annotator = rng.choice(annotators)
        key = content_id("points", prompt.prompt_id, one.digest, annotator.full_name)
        points, why = annotator.rate(one, key)
        made.append(
            Label(
                key,
                prompt,
                annotator.full_name,
                side.media,
                points=points,
                justification=why,
                split=split,
                first_answer=side.answer,
            )
        )
    return made


def check_prompts(path: str, prompts: Iterable[Prompt]) -> None:
    """Refuse prompts about which neither the oracle nor an annotator could say anything.

    Args:
        path: of their file, for the message.
        prompts: in the order of its rows.

    Raises:
        ForeignPromptError: neither a caption of the sandbox nor a question about one of its scenes.
    """
    for number, prompt in enumerate(prompts, start=1):
        try:
            if prompt.parts:
                raise QuestionError(_PARTS)
            if prompt.task not in UNDERSTANDING:
                parse(prompt.text)
            elif SCENE not in prompt.tags:
                raise QuestionError(f"no tag {SCENE!r}, the caption of what is asked about")
            else:
                facts(parse(prompt.tags[SCENE]), prompt.text)
        except (CaptionError, QuestionError) as error:
            raise ForeignPromptError(
                f"{path}: row {number}: {error}; the sandbox knows what is true of its own prompts "
                "only"
            ) from None
