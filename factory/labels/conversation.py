"""LLaVA-style conversations that put a question to a judge: what was asked, and what it answered.

The human turn holds an instruction and, in square brackets, the parts ("Text Caption: […]",
"Question: […]", "Answer 1: […]", "The first response: […]"); the other turn holds the verdict or
the score, often with a reason. Instructions differ between sets and releases; the names of the
parts are few. What matches none of them is an error and never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from factory.labels.draft import Draft, Scale
from factory.labels.record import Record
from schemas.rows import Media, Preference, Prompt, Task

_NAMES = {
    "caption": r"Text Caption|Caption|Text Prompt",
    "question": r"Question|Query",
    "first": r"Answer 1|Response 1|The first response|The first answer",
    "second": r"Answer 2|Response 2|The second response|The second answer",
    "only": r"The LMM response|The response|Answer|Response",
}
#: "Name: [", at the start of a line; formatting marks around the name are allowed.
_PART = re.compile(
    r"(?:^|\n)[ \t*#>\-]*(?:"
    + "|".join(f"(?P<{part}>{names})" for part, names in _NAMES.items())
    + r")[ \t*]*:[ \t*]*",
    re.IGNORECASE,
)
#: Only an instruction to compare names a second medium.
_ASKS_FOR_PAIR = re.compile(r"\b(?:image|video)\s*2\b|\btwo\b[^.\n]*\b(?:images|videos)\b", re.I)
_SIDE = r"(?:the\s+)?(?:image|video|answer|response)\s*"
_VERDICTS: dict[Preference, re.Pattern[str]] = {
    "first": re.compile(
        rf"\b(?:{_SIDE}(?:1|A)|(?:the\s+)?first\s+(?:image|video|answer|response))"
        r"\s+is\s+(?:slightly\s+|much\s+)?better\b(?:\s+than[^.\n]*)?\.?",
        re.IGNORECASE,
    ),
    "second": re.compile(
        rf"\b(?:{_SIDE}(?:2|B)|(?:the\s+)?second\s+(?:image|video|answer|response))"
        r"\s+is\s+(?:slightly\s+|much\s+)?better\b(?:\s+than[^.\n]*)?\.?",
        re.IGNORECASE,
    ),
    "tie": re.compile(
        r"\b(?:both|the two|two)\s+(?:images|videos|answers|responses)\s+are\s+"
        r"(?:equally\s+(?:good|bad)|equal|of equal quality)\b\.?",
        re.IGNORECASE,
    ),
}
_SCORE = re.compile(
    r"(?:final|overall)?\s*score\W{1,6}(?P<number>\d+(?:\.\d+)?)(?:\s*/\s*\d+)?", re.IGNORECASE
)
_BARE = re.compile(r"\s*(?P<number>\d+(?:\.\d+)?)\s*(?:\n|$)")


@dataclass(frozen=True)
class Form:
    """What one set's conversations are like.

    name: of the set.
    annotator: who judged.
    scales: of the scores, by task.
    """

    name: str
    annotator: str
    scales: Mapping[Task, Scale]


def parse(record: Record, form: Form) -> Iterator[Draft]:
    """The one label of a conversation."""
    asked, answered = _turns(record)
    parts = _parts(asked)
    media = record.row.get("images")
    if media is None:
        media = [record.value("image", "video", "images", "videos")[1]]
    if isinstance(media, str | bytes | Mapping):
        media = [media]
    if not isinstance(media, Sequence) or not media:
        raise record.fault("images", f"is {media!r:.40}, not one medium or more")
    media = list(media)
    is_question = "question" in parts
    if not is_question and "caption" not in parts:
        raise record.fault("conversations", "ask about neither a 'Text Caption' nor a 'Question'")
    is_pair = "first" in parts if is_question else _ASKS_FOR_PAIR.search(asked) is not None
    wanted = 2 if is_pair and not is_question else 1
    is_video = _is_clip(media[0]) or (len(media) > wanted and "video" in asked.lower())
    task: Task
    if is_question:
        task = "video_understanding" if is_video else "image_understanding"
    else:
        task = "video_generation" if is_video else "image_generation"
    shown = _shown(record, media, wanted, is_video=is_video)
    preference, rating, why = _opinion(record, answered, is_pair=is_pair)
    prompt = Prompt.of(
        parts["question"] if is_question else parts["caption"],
        task,
        tags={"source": form.name},
        media=shown[0] if is_question else None,
    )
    scale = form.scales.get(task)
    if rating is not None and scale is not None:
        rating = record.as_number("conversations", rating, *scale)
    first, second = _answers(record, parts, is_pair=is_pair) if is_question else (None, None)
    yield Draft(
        prompt,
        form.annotator,
        first=None if is_question else shown[0],
        second=shown[1] if not is_question and is_pair else None,
        first_answer=first,
        second_answer=second,
        preference=preference,
        rating=rating,
        scale=scale,
        justification=why,
    )


def _shown(record: Record, media: list[Any], num: int, *, is_video: bool) -> list[Media]:
    """One medium a side; a clip may come as its frames, as many of each side."""
    if len(media) == num:
        return [record.as_medium("images", one, is_video=is_video) for one in media]
    if not is_video or len(media) % num:
        raise record.fault("images", f"has {len(media)} media, and this needs {num}")
    size = len(media) // num
    return [record.as_clip("images", media[at * size : (at + 1) * size]) for at in range(num)]


def _is_clip(value: object) -> bool:
    name = value.get("path") if isinstance(value, Mapping) else value
    return isinstance(name, str) and name.lower().endswith((".mp4", ".m4v", ".mov"))


def _turns(record: Record) -> tuple[str, str]:
    """What the human said, and what the model answered."""
    said: dict[str, str] = {}
    for turn in record.items("conversations"):
        if not isinstance(turn, Mapping) or not isinstance(turn.get("value"), str):
            raise record.fault("conversations", "holds a turn without a text 'value'")
        role = {"human": "human", "user": "human", "gpt": "gpt", "assistant": "gpt"}.get(
            str(turn.get("from"))
        )
        if role is not None:
            said.setdefault(role, turn["value"].replace("<image>", "").strip())
    for role in ("human", "gpt"):
        if not said.get(role):
            raise record.fault("conversations", f"has no turn from {role!r}")
    return said["human"], said["gpt"]


def _parts(text: str) -> dict[str, str]:
    """The named parts of an instruction; where a name comes twice (an example first), the last."""
    found: dict[str, str] = {}
    marks = list(_PART.finditer(text))
    for mark, after in zip(marks, [*marks, None][1:], strict=True):
        body = text[mark.end() : after.start() if after else len(text)]
        value = re.sub(r"\s*ASSISTANT:\s*$", "", body).strip()
        if value.startswith("["):
            value = value[1 : value.rfind("]")] if "]" in value else value[1:]
        if mark.lastgroup and value.strip():
            found[mark.lastgroup] = value.strip()
    return found


def _answers(record: Record, parts: Mapping[str, str], *, is_pair: bool) -> tuple[str, str | None]:
    names = ("first", "second") if is_pair else ("only",)
    for name in names:
        if name not in parts:
            raise record.fault("conversations", f"quote no answer under {_NAMES[name]!r}")
    return parts[names[0]], parts["second"] if is_pair else None


def _opinion(
    record: Record, answered: str, *, is_pair: bool
) -> tuple[Preference | None, float | None, str]:
    """Verdict or score of an answer, and what else it says."""
    if is_pair:
        found = {
            preference: matches
            for preference, pattern in _VERDICTS.items()
            if (matches := list(pattern.finditer(answered)))
        }
        if len(found) != 1:
            what = "gives no verdict" if not found else "contradicts itself"
            raise record.fault("conversations", f"{what}: {answered!r:.120}")
        (preference, matches), *_ = found.items()
        return preference, None, _without(answered, matches[-1])
    scores = list(_SCORE.finditer(answered)) or list(filter(None, [_BARE.match(answered)]))
    if not scores:
        raise record.fault("conversations", f"give no score: {answered!r:.120}")
    return None, float(scores[-1]["number"]), _without(answered, scores[-1])


def _without(text: str, match: re.Match[str]) -> str:
    """The reason: what is left when the verdict and its heading are taken away."""
    rest = f"{text[: match.start()].rstrip()}\n{text[match.end() :].strip()}".strip()
    return re.sub(r"(?:^|\n)\W*overall judge?ment\W*$", "", rest, flags=re.IGNORECASE).strip()
