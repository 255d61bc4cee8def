"""UnifiedReward: conversations on which a judge is tuned, in the form of LLaVA's training script.

Pairs give pairwise questions, whose answer is the verdict; groups give pointwise ones, an answer
for each candidate that was scored, with the points moved from the judge's scale to the
checkpoint's. The words are those of the shipped specification `unifiedreward-llava-onevision`,
with the caption, question and answers in square brackets, as UnifiedReward's own sets have them.
Sides are randomised by the pair's id.

`LazySupervisedDataset` of LLaVA's `train.py` takes one clip a row (`video`) and takes more than two
`images` for the frames of one clip, so two clips are shown as their frames, and a question about
more than two pictures does not fit. It joins paths with `image_folder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from factory.exports.record import (
    Frames,
    Options,
    Record,
    Unfit,
    has_mark,
    is_chosen_first,
    misfit,
    more_than_caption,
    number,
    output,
    shown_media,
    words,
)
from factory.judging.specification import PUBLISHED, JudgeSpecification, TaskSpecification
from schemas.rows import UNDERSTANDING, Candidate, Group, Media, Pair, Prompt, Task

NAME = "unified-reward"
LOADS = (
    "--data_path data.yaml, which says: "
    "datasets: [{{json_path: {out}/{split}/….json, image_folder: {out}}}]"
)
_TASKS: tuple[Task, ...] = (
    "image_generation",
    "video_generation",
    "image_understanding",
    "video_understanding",
)
_SPECIFICATION = JudgeSpecification.load(PUBLISHED / "unifiedreward-llava-onevision.json")
_MARK = "<image>"
_SLOT = re.compile(r"\{(\w+)\}")


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pairwise question."""
    unfit = misfit(pair, _TASKS) or _unasked(pair.prompt)
    if unfit is not None:
        return unfit
    if _is_marked(pair.prompt, (pair.chosen, pair.rejected)):
        return has_mark(_MARK, "prompt or an answer")
    task = _SPECIFICATION.task(pair.prompt.task)
    is_first = is_chosen_first(pair)
    sides = (pair.chosen, pair.rejected) if is_first else (pair.rejected, pair.chosen)
    asked = _filled(task.pairwise, pair.prompt, sides)
    verdict = task.answers["first" if is_first else "second"]
    return [
        _conversation(pair.pair_id, asked, verdict, _shown(pair.prompt, sides, task))
        | {"prompt_id": pair.prompt.prompt_id, "judge": pair.judge, "weight": pair.weight}
    ]


def project_group(group: Group, options: Options) -> list[Record] | Unfit:
    """A pointwise question for each candidate that was scored."""
    prompt = group.prompt
    if (unfit := _unasked(prompt)) is not None:
        return unfit
    if options.scale is None:
        return Unfit("no scale", "say with --scale LOW:HIGH on which scale the judge's points are")
    candidates = {one.candidate_id: one for one in group.candidates}
    task = _SPECIFICATION.task(prompt.task)
    asked = _without_dimensions(task)
    records = []
    for score in group.scores:
        candidate = candidates.get(score.candidate_id)
        value = number(score.value)
        if candidate is None or score.error is not None or value is None:
            continue
        if output(prompt, candidate) is None:
            continue
        if _is_marked(prompt, (candidate,)):
            return has_mark(_MARK, "prompt or an answer")
        low, high = options.scale
        if not low <= value <= high:
            return Unfit("points off the scale", f"{value:g} is not on {low:g}:{high:g}")
        points = task.scale[0] + (value - low) / (high - low) * (task.scale[-1] - task.scale[0])
        told = task.score.format(score=f"{points:.2f}".rstrip("0").rstrip("."))
        sides = (candidate,)
        question = _filled(asked, prompt, sides)
        records.append(
            _conversation(score.candidate_id, question, told, _shown(prompt, sides, task))
            | {"prompt_id": prompt.prompt_id, "judge": score.judge, "weight": None}
        )
    return records or Unfit("no score", "no candidate of the group was scored")


def _unasked(prompt: Prompt) -> Unfit | None:
    """Why the form cannot ask about a prompt."""
    if prompt.task not in UNDERSTANDING:
        return more_than_caption(prompt)
    num, most = len(shown_media(prompt)), 1 if prompt.task.startswith("video") else 2
    if num > most:
        return Unfit("too many media", f"a question about {num}: the loader takes {most} a row")
    return None


def _is_marked(prompt: Prompt, sides: Sequence[Candidate]) -> bool:
    """Whether somebody's words hold a mark, which would stand for a medium that is not there."""
    return any(_MARK in text for text in (words(prompt), *(one.answer or "" for one in sides)))


def _filled(template: str, prompt: Prompt, sides: Sequence[Candidate]) -> str:
    """A template with its slots filled: a mark for each medium, and what is said in brackets."""
    num_media = len(shown_media(prompt)) if prompt.task in UNDERSTANDING else 1
    answers: Iterator[str | None] = iter([side.answer for side in sides])

    def slot(match: re.Match[str]) -> str:
        if match[1] == "media":
            return _MARK * num_media
        return f"[{words(prompt) if match[1] == 'prompt' else next(answers)}]"

    return _SLOT.sub(slot, template)


def _without_dimensions(task: TaskSpecification) -> str:
    """The pointwise question without the lines that ask for single dimensions, which no score of
    ours answers.
    """
    labels = tuple(one.label for one in task.dimensions)
    lines = task.pointwise.split("\n")
    return "\n".join(line for line in lines if not labels or not line.startswith(labels))


def _shown(prompt: Prompt, sides: Sequence[Candidate], task: TaskSpecification) -> Record:
    if prompt.task in UNDERSTANDING:
        media: list[Media] = shown_media(prompt)
    else:
        media = [side.media for side in sides if side.media is not None]
    if not prompt.task.startswith("video"):
        return {"images": media}
    if len(media) == 1:
        return {"video": media[0]}
    return {"images": [Frames(one, task.num_frames) for one in media]}


def _conversation(id_: str, asked: str, answered: str, shown: Record) -> Record:
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]
    return {"id": id_, "conversations": turns, **shown}
