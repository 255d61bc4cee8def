"""Prompts of several parts: which there may be, what they ask of a model, and a dialogue in words.

    question a.png, user "what is this ?", assistant "a cube", question b.png, user "and this ?"

Whoever takes a prompt says what it can take beside a text and the one medium that the text is
about (`Need`); what it cannot is refused by name, at the plan where it is known by then and again
by the worker. Nothing leaves a part out. Left out: how parts look to one model, which its own chat
template or its judge's specification says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from schemas.rows import UNDERSTANDING, Media, Part, Prompt, Role, Task

#: What a prompt may ask for beside a text, and a medium before it.
Need = Literal["turns", "order", "media", "source", "start", "sources", "others"]
_IN_WORDS: dict[Need, str] = {
    "turns": "a dialogue of several turns",
    "order": "words before or between the media of a question",
    "media": "several pictures or clips in a question",
    "source": "a source picture",
    "start": "a source picture that a clip starts from",
    "sources": "several sources, or a clip as the source",
    "others": "parts of a role that has no place in the task, or that nothing here knows yet",
}
#: All that a question can ask for.
QUESTIONS: frozenset[Need] = frozenset({"turns", "order", "media"})

_TURNS = ("user", "assistant")
_WORKING: tuple[Role, ...] = ("user", "assistant", "question", "source")
Speaker = Literal["user", "assistant"]


class PartsError(ValueError):
    """Parts of which no prompt can be made, or that a model does not take; says which and why."""


@dataclass(frozen=True)
class Turn:
    """What one side says and shows before the other one speaks; media are the user's."""

    speaker: Speaker
    parts: tuple[Part, ...]


def turns(prompt: Prompt) -> list[Turn]:
    """The turns of a prompt, in order: one for each change of speaker."""
    by_speaker = groupby(prompt.in_full, key=_speaker)
    return [Turn(speaker, tuple(parts)) for speaker, parts in by_speaker]


def _speaker(part: Part) -> Speaker:
    return "assistant" if part.role == "assistant" else "user"


def in_words(prompt: Prompt) -> str:
    """What is said in a prompt, as one text.

    One turn is told as it is. Of several, each begins a line with its speaker, as "user: …", and
    where words come before a medium of the question its place is marked, as "[image 2]".
    """
    if not prompt.parts:
        return prompt.text
    spoken, needs = turns(prompt), needs_of(prompt)
    kind = "video" if prompt.task.startswith("video") else "image"
    lines, num_media = [], 0
    for turn in spoken:
        words = []
        for part in turn.parts:
            if part.text is not None:
                words.append(part.text)
            elif part.role == "question" and "order" in needs:
                num_media += 1
                words.append(f"[{kind} {num_media}]")
        said = " ".join(words)
        lines.append(f"{turn.speaker}: {said}" if len(spoken) > 1 else said)
    return "\n".join(lines)


def needs_of(prompt: Prompt) -> frozenset[Need]:
    """What a prompt asks for beside a text, and a medium before it."""
    if not prompt.parts:
        return frozenset()
    needs: set[Need] = set()
    if len(turns(prompt)) > 1:
        needs.add("turns")
    roles = [part.role for part in prompt.parts if part.role in (*_TURNS, "question")]
    num = roles.count("question")
    if roles[:num] != ["question"] * num:
        needs.add("order")
    if num > 1:
        needs.add("media")
    sources = prompt.media_of("source")
    if sources:
        is_picture = len(sources) == 1 and not _is_clip(sources[0])
        of_picture: Need = "source" if prompt.task == "image_generation" else "start"
        needs.add(of_picture if is_picture else "sources")
    if any(part.role not in (*_TURNS, _medium_of(prompt.task)) for part in prompt.parts):
        needs.add("others")
    return frozenset(needs)


def check_needs(needs: Iterable[Need], takes: Collection[Need], who: str) -> None:
    """Refuse what a model would have to leave out.

    Raises:
        PartsError: names what it does not take.
    """
    lacking = [_IN_WORDS[one] for one in _IN_WORDS if one in set(needs) - set(takes)]
    if lacking:
        raise PartsError(f"{who} does not take {', nor '.join(lacking)}")


def declared(maker: object) -> frozenset[Need]:
    """What a generator or judge of somebody's own takes: `takes` of the class or function that a
    recipe names. One that says nothing may know of texts alone, and would leave the rest out.
    """
    return frozenset(getattr(maker, "takes", ()))


def check_parts(parts: Sequence[Part], task: Task) -> None:
    """Refuse parts that no prompt can have, and roles that nothing here makes anything of.

    Raises:
        PartsError: names the part, counted from one, and says what is wrong with it.
    """
    for number, part in enumerate(parts, start=1):
        fault = _fault(part, task)
        if fault is not None:
            raise PartsError(f"part {number}: {fault}")
    said = [part.role for part in parts if part.role in _TURNS]
    if not said or said[-1] != "user":
        raise PartsError("the last to speak is to be the user: it is what is answered or drawn")
    if said[0] != "user":
        raise PartsError("the assistant speaks before any turn of the user")
    if task in UNDERSTANDING and not any(part.role == "question" for part in parts):
        raise PartsError(f"no part is of role 'question': {task} asks about a picture or clip")


def role_fault(role: object) -> str | None:
    """Why nothing here makes anything of a part of this role; None where something does."""
    if role not in get_args(Role):
        return f"unknown role {role!r:.80}; known: {', '.join(get_args(Role))}"
    if role not in _WORKING:
        return (
            f"role {role!r} is not yet drawn from or judged by anything here; these are: "
            f"{', '.join(_WORKING)}"
        )
    return None


def _fault(part: Part, task: Task) -> str | None:
    if fault := role_fault(part.role):
        return fault
    if part.role in _TURNS:
        if part.media is not None:
            return f"a turn of role {part.role!r} is a text; give its medium a part of its own"
        return None if (part.text or "").strip() else f"a turn of role {part.role!r} is empty"
    if part.text is not None:
        return f"a part of role {part.role!r} is a medium; give its text a part of its own"
    if part.media is None:
        return f"a part of role {part.role!r} has no medium"
    wanted = _medium_of(task)
    if part.role != wanted:
        return f"role {part.role!r} has no place in {task}, whose media are of role {wanted!r}"
    if task.startswith("image") and part.media.num_frames > 1:
        return f"is a clip, and {task} is about pictures"
    if task == "video_understanding" and not _is_clip(part.media):
        return f"is a picture, and {task} is about clips"
    return None


def _medium_of(task: Task) -> Role:
    """The role of the media that a prompt of a task may have."""
    return "question" if task in UNDERSTANDING else "source"


def _is_clip(media: Media) -> bool:
    return media.num_frames > 1 or media.fps > 0
