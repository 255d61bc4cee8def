"""A row of a brought table as a group: its prompt, and the candidates that it holds.

    row, columns -> Prompt, Candidate with id, key and measures

A candidate is known by its bytes, or its answer's, and its prompt, whoever drew it and wherever the
row stands. One whose medium cannot be read stays, with the reason as its error; a row of which no
prompt can be made has none, and its fault names the column.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, get_args

from factory.brought.cells import Cells, Columns, RowFault, items_of
from factory.candidates import BROUGHT
from factory.keys import brought_key
from factory.media.clips import describe
from factory.media.measures import all_measures
from factory.media.pictures import MediaError
from factory.media.shape import shape_fault
from factory.prompt_rows import PromptsError, check_words, prompt_of
from schemas.rows import (
    UNDERSTANDING,
    Candidate,
    Drawn,
    Group,
    Media,
    Origin,
    Prompt,
    Task,
    content_id,
)

#: From the name of a medium, as a row has it, to its bytes. Raises OSError.
ReadMedia = Callable[[str], bytes]

#: What each candidate of a row has a value of its own of.
PER_CANDIDATE = ("media", "answer", "generator", "seed")
_ORIGIN = ("source", "license", "consent")
_VERSIONED = re.compile(r".+@[0-9]+")
_MAX_SEED = 2**63 - 1
#: Where paths in a prompt's row would lead; none is left there, since media are read before.
_NOWHERE = PurePosixPath()


@dataclass(frozen=True)
class RowReader:
    """Makes a group of a row.

    columns: which of the table's hold what.
    task: of rows that have none of their own.
    """

    columns: Columns
    task: Task = "image_generation"

    def __call__(self, row: Mapping[str, Any], read: ReadMedia) -> Group:
        """The prompt and the candidates of a row.

        Raises:
            RowFault: no prompt, or no candidate, can be made of it.
        """
        cells = Cells(row, self.columns)
        prompt = self.prompt(cells, read)
        items = items_of(cells, PER_CANDIDATE)
        return Group(prompt, candidates_of(items, prompt, read))

    def prompt(self, cells: Cells, read: ReadMedia) -> Prompt:
        """The prompt of a row. Raises as `__call__`."""
        task: Any = cells.text("task") or self.task
        if task not in get_args(Task):
            known = ", ".join(get_args(Task))
            raise cells.fault("task", f"is {task!r:.40}, which is no task; known: {known}")
        text = cells.text("prompt")
        if text is None:
            raise cells.fault("prompt", "is missing or empty")
        row: dict[str, Any] = {"task": task, "tags": _tags(cells), **_origin_row(cells)}
        about = cells.value("source_media")
        if about is None:
            if task in UNDERSTANDING:
                raise cells.fault("source_media", f"is missing: {task} asks about its medium")
            row["prompt"] = text
        else:
            medium = {"bytes": media_bytes(cells, "source_media", about, read)}
            if task in UNDERSTANDING:
                row |= {"prompt": text, "media": medium}
            else:
                source = {"role": "source", "media": medium}
                row["parts"] = [source, {"role": "user", "text": text}]
        try:
            return prompt_of(row, "row", _NOWHERE)  # type: ignore[arg-type]
        except PromptsError as error:
            reason = str(error).removeprefix("row: ")
            key = _column_in(reason, cells)
            raise RowFault(key, reason.removeprefix("'prompt' ")) from None


def _column_in(reason: str, cells: Cells) -> str:
    """The column that a fault of the prompt's is about."""
    about = {"'media'": "source_media", "part ": "source_media", "tag": "tags"}
    for word, key in (*about.items(), *((f"'{one}'", one) for one in _ORIGIN)):
        if word in reason:
            return cells.name(key)
    return cells.name("prompt")


def candidates_of(items: Sequence[Cells], prompt: Prompt, read: ReadMedia) -> tuple[Candidate, ...]:
    """The candidates of a row, measured. Raises as `_candidate_of`."""
    candidates = [_candidate_of(one, prompt, read) for one in items]
    pairs = zip(candidates, all_measures(candidates), strict=True)
    return tuple(replace(one, measures=measures) for one, measures in pairs)


def _candidate_of(cells: Cells, prompt: Prompt, read: ReadMedia) -> Candidate:
    """One candidate; where its medium or answer cannot be used, with the reason as its error.

    Raises:
        RowFault: its seed is none.
    """
    key = "answer" if prompt.task in UNDERSTANDING else "media"
    generator, seed = _generator(cells), _seed(cells)
    value = cells.value(key)
    try:
        if key == "answer":
            return _answered(cells, prompt, generator, seed)
        data = media_bytes(cells, key, value, read)
    except RowFault as fault:
        known_by = value if isinstance(value, str) else None
        if isinstance(value, Mapping):
            known_by = value.get("path")
        return _failed(prompt, generator, seed, str(fault), ["not read", known_by])
    digest = hashlib.sha256(data).hexdigest()
    try:
        medium = replace(_described(data, prompt.task), origin=_origin(cells))
    except MediaError as error:
        return _failed(prompt, generator, seed, f"{cells.name(key)!r} {error}", digest)
    return Candidate(
        content_id("brought", prompt.prompt_id, digest),
        generator,
        seed,
        media=medium,
        drawn=_drawn(prompt, digest),
    )


def _answered(cells: Cells, prompt: Prompt, generator: str, seed: int) -> Candidate:
    answer = cells.text("answer")
    if answer is None:
        raise cells.fault("answer", "is missing or empty")
    try:
        check_words(answer, "it")
    except PromptsError as error:
        raise cells.fault("answer", f"cannot be used: {error}") from None
    digest = hashlib.sha256(answer.encode()).hexdigest()
    return Candidate(
        content_id("brought", prompt.prompt_id, digest),
        generator,
        seed,
        answer=answer,
        drawn=_drawn(prompt, digest),
    )


def _failed(prompt: Prompt, generator: str, seed: int, why: str, known_by: object) -> Candidate:
    drawn = replace(_drawn(prompt, ""), key=None)
    candidate_id = content_id("brought", prompt.prompt_id, known_by)
    return Candidate(candidate_id, generator, seed, error=why, drawn=drawn)


def _drawn(prompt: Prompt, digest: str) -> Drawn:
    return Drawn(
        key=brought_key(prompt, digest),
        prompt=prompt.text,
        weights=None,
        engine=BROUGHT,
        precision="not known",
        encoding="as it came",
    )


def _described(data: bytes, task: Task) -> Media:
    medium = describe(data)
    is_clip = medium.num_frames > 1 or medium.fps > 0
    # A clip of one frame is as good a picture as any.
    if not is_clip if task.startswith("video") else medium.num_frames > 1:
        found, wanted = ("a clip", "pictures") if is_clip else ("a picture", "clips")
        raise MediaError(f"is {found}, and {task} is about {wanted}")
    if fault := shape_fault(medium.width, medium.height):
        raise MediaError(f"is {fault}")
    return medium


def media_bytes(cells: Cells, key: str, value: Any, read: ReadMedia) -> bytes:
    """The bytes that a value holds, or that the file has which it names.

    Raises:
        RowFault: neither is there.
    """
    if isinstance(value, list | tuple) and len(value) == 1:
        (value,) = value
    if isinstance(value, Mapping):  # as Hugging Face data sets hold pictures
        value = value["bytes"] if value.get("bytes") is not None else value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if value is None or value in ("", b""):
        raise cells.fault(key, "is missing")
    if not isinstance(value, str):
        what = f"holds {len(value)} items" if isinstance(value, list | tuple) else "is neither"
        raise cells.fault(key, f"{what}: a medium is bytes, or the name of a file")
    try:
        return read(value)
    except OSError as error:
        raise cells.fault(key, f"names {value!r:.200}: {error.strerror or error}") from None


def _generator(cells: Cells) -> str:
    """Who drew it, as name@version: what a row calls it, or that nobody has said."""
    said = cells.value("generator")
    name = BROUGHT if said is None else str(said).strip() or BROUGHT
    return name if _VERSIONED.fullmatch(name) else f"{name}@0"


def _seed(cells: Cells) -> int:
    """Of the row; 0 where it says none."""
    value = cells.value("seed")
    if value is None or value == "":
        return 0
    try:
        seed = -1 if isinstance(value, bool | float) else int(value)
    except (TypeError, ValueError):
        seed = -1
    if not 0 <= seed <= _MAX_SEED:
        raise cells.fault("seed", f"is {value!r:.40}, not a whole number from 0 to 2^63 - 1")
    return seed


def _tags(cells: Cells) -> dict[str, str]:
    """A mapping in one column, or columns each of which is a tag."""
    names = cells.named("tags")
    tags: dict[str, str] = {}
    for name in names:
        value = Cells(cells.row, {"tags": name}).value("tags")
        if isinstance(value, Mapping):
            tags |= {str(key): str(one) for key, one in value.items() if one is not None}
        elif isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
            tags |= {str(one.get("key")): str(one.get("value")) for one in value}  # our own tables'
        elif isinstance(value, str | int | float):
            tags[name] = str(value)
        elif value is not None:
            raise RowFault(name, f"is {type(value).__name__}, neither a text nor a mapping")
    return tags


def _origin_row(cells: Cells) -> dict[str, str]:
    said = {name: cells.value(name) for name in _ORIGIN}
    return {name: one.strip() for name, one in said.items() if isinstance(one, str) and one.strip()}


def _origin(cells: Cells) -> Origin | None:
    said = _origin_row(cells)
    return Origin(**said) if said else None
