"""What a judge card is made on: pictures of a folder, groups that were drawn, or what code makes.

    FOLDER with a table (metadata.csv …)    captions and pictures, or questions and answers, by row
    FOLDER of pictures alone                their file names are their captions
    groups@N, candidates@N                  prompts with their candidates; judgements are not read
    package.module:name                     a function without arguments, which returns groups

Of each task a number of prompts is taken, chosen by their ids alone: as good as chance, and the
same each time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from actors.storage import place
from factory.bias.probes import shown
from factory.brought.candidates import RowReader
from factory.brought.cells import RowFault
from factory.candidates import BROUGHT
from factory.judge_card.sets import CardSet
from factory.keys import output_digest
from factory.labels.streams import BrokenRow
from factory.media.clips import describe
from factory.media.pictures import MediaError
from factory.plugins import PluginError, load
from jobs.datasets.brought import Table, find_table
from jobs.datasets.reading import data_files, find_rows, stream
from jobs.rounds.workspace import InputError
from schemas.arrow import groups_from_table
from schemas.columns import GROUPS
from schemas.places import Place
from schemas.plugins import is_plugin, spelled_out
from schemas.recipe import Candidates
from schemas.rows import Candidate, Group, Prompt, Task, content_id

#: The argument that names groups, and the word for those of the sandbox.
GROUPS_KEY, SANDBOX = "--groups", "sandbox"
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_CLIPS = (".mp4",)
#: How tables call what a card needs, the likeliest first.
_NAMES = {
    "prompt": ("prompt", "caption", "text", "question", "instruction"),
    "media": ("media", "file_name", "image", "video", "picture", "file", "path"),
}
_MIN_PROMPTS = 2


def card_set(
    pictures: str | None, groups: Sequence[str], columns: Mapping[str, str], num: int
) -> CardSet:
    """The set that a command line names; the sandbox's where it names none.

    Args:
        pictures: a folder, or a table.
        groups: data sets, or `package.module:name`.
        columns: which of the table's columns hold what, where their names do not say so.
        num: prompts of each task, at most.

    Raises:
        InputError: there is none, it cannot be read, or it holds fewer than two prompts.
    """
    notes: list[str] = []
    if pictures is not None:
        name = pictures
        found = _of_folder(pictures, columns, notes)
    else:
        names = tuple(groups) or (SANDBOX,)
        name = ", ".join(names)
        found = [one for source in names for one in _of_groups(source, num)]
    chosen = _chosen(_joined(found), num)
    if not chosen:
        raise InputError(
            f"{'--pictures' if pictures is not None else GROUPS_KEY}: {name}: holds fewer than "
            f"{_MIN_PROMPTS} prompts of one task with something to show; the judge is asked about "
            "each beside another's"
        )
    return CardSet(name, tuple(chosen), tuple(notes))


def _chosen(groups: Iterable[Group], num: int) -> list[Group]:
    by_task: dict[Task, list[Group]] = {}
    for one in groups:
        if shown(one):
            by_task.setdefault(one.prompt.task, []).append(one)
    found = []
    for some in by_task.values():
        if len(some) >= _MIN_PROMPTS:
            found += sorted(some, key=lambda one: content_id("card", one.prompt.prompt_id))[:num]
    return found


def _joined(groups: Iterable[Group]) -> list[Group]:
    """One group for each prompt, with all its candidates, each once."""
    found: dict[str, Group] = {}
    for one in groups:
        there = found.get(one.prompt.prompt_id)
        known = {} if there is None else {each.candidate_id: each for each in there.candidates}
        known |= {each.candidate_id: each for each in one.candidates if each.error is None}
        found[one.prompt.prompt_id] = Group(one.prompt, tuple(known.values()))
    return list(found.values())


# --- groups --------------------------------------------------------------------------------------


def _of_groups(source: str, num: int) -> list[Group]:
    if is_plugin(spelled_out(source, GROUPS_KEY)):
        return _of_code(source)
    directory = place(source)
    if not directory.is_dir() or not data_files(directory):
        raise InputError(
            f"{GROUPS_KEY}: {source}: no data set of groups, nor package.module:name of what makes "
            f"groups, nor {SANDBOX!r}"
        )
    wanted = _some_of(directory, num)
    return groups_from_table(find_rows(directory, "prompt_id", wanted, GROUPS, media="inline"))


def _of_code(source: str) -> list[Group]:
    try:
        made = load(source, GROUPS_KEY)()
    except PluginError:
        raise
    except Exception as error:  # of anybody's code
        raise InputError(f"{GROUPS_KEY}: {source!r}: fails: {error!r}") from error
    if not isinstance(made, list) or not all(isinstance(one, Group) for one in made):
        raise InputError(f"{GROUPS_KEY}: {source!r}: is to return a list of groups (schemas.rows)")
    return made


def _some_of(directory: Place, num: int) -> list[str]:
    """Ids of some prompts of each task, twice as many as wanted: some have nothing to show."""
    by_task: dict[str, set[str]] = {}
    for table in stream(directory, ["prompt_id", "task"]):
        for prompt_id, task in zip(*(table.column(at).to_pylist() for at in range(2)), strict=True):
            by_task.setdefault(task, set()).add(prompt_id)
    return [
        one
        for some in by_task.values()
        for one in sorted(some, key=lambda one: content_id("card", one))[: 2 * num]
    ]


# --- a folder of pictures ------------------------------------------------------------------------


def _of_folder(folder: str, columns: Mapping[str, str], notes: list[str]) -> list[Group]:
    where = place(folder)
    if not where.is_dir() and not where.is_file():
        raise InputError(f"--pictures: {folder}: no such folder or table")
    try:
        table = find_table(Candidates(path=folder), "--pictures")
    except InputError:
        if where.is_file() or columns or not isinstance(where, Path):
            raise
        return _of_names(where, notes)
    return _of_table(table, columns, notes)


def _of_table(table: Table, columns: Mapping[str, str], notes: list[str]) -> list[Group]:
    named = _columns(table, columns)
    reader = RowReader(named)
    found: list[Group] = []
    faults: list[str] = []
    for piece in table.pieces([one.partition(".")[0] for one in table.columns()]):
        read = partial(table.folder.medium, piece.file)
        for where, number, row in table.rows(piece, table.columns()):
            if isinstance(row, BrokenRow):
                faults.append(f"{where}: row {number}: {row.reason}")
                continue
            try:
                found.append(reader(row, read))
            except RowFault as fault:
                faults.append(f"{where}: row {number}: {fault}")
    errors = [each.error for one in found for each in one.candidates if each.error is not None]
    if not any(shown(one) for one in found):
        why = (*faults, *errors, "it holds no rows")[0]
        raise InputError(f"--pictures: no row of {table} can be used: {why}")
    if faults or errors:
        notes.append(
            f"{len(faults) + len(errors)} rows or media of {table} could not be used; the first: "
            f"{(*faults, *errors)[0]}"
        )
    return found


def _columns(table: Table, given: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Which column holds what: as the command line says, or as it is called."""
    there = table.columns()
    for key, column in given.items():
        if column.partition(".")[0] not in there:
            raise InputError(
                f"--map: {key}={column}: {table} has no such column; there are: {', '.join(there)}"
            )
    named: dict[str, str | list[str]] = dict(given)
    for key, likely in _NAMES.items():
        if key not in named and key not in there:
            for name in likely:
                if name in there and name not in named.values():
                    named[key] = name
                    break
    if "prompt" not in named and "prompt" not in there:
        raise InputError(
            f"--pictures: {table} has no column that is called like a caption; say which is one, "
            f"as --map prompt=COLUMN; there are: {', '.join(there)}"
        )
    return named


def _of_names(folder: Path, notes: list[str]) -> list[Group]:
    """Pictures and clips whose file names are their captions."""
    found, broken = [], []
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in (*_PICTURES, *_CLIPS) or not path.is_file():
            continue
        text = re.sub(r"\W*\d*$", "", re.sub(r"[_\-\s]+", " ", path.stem)).strip()
        if not text:
            broken.append(f"{path.name}: its name has no word")
            continue
        try:
            media = describe(path.read_bytes())
        except (OSError, MediaError) as error:
            broken.append(f"{path.name}: {error}")
            continue
        task: Task = "video_generation" if media.num_frames > 1 else "image_generation"
        prompt = Prompt.of(text, task)
        candidate = Candidate("", BROUGHT, 0, media)
        name = content_id("brought", prompt.prompt_id, output_digest(candidate))
        found.append(Group(prompt, (replace(candidate, candidate_id=name),)))
    if not found:
        why = broken[0] if broken else f"it holds no table and no {', '.join(_PICTURES + _CLIPS)}"
        raise InputError(f"--pictures: {folder}: {why}")
    notes.append(
        "The captions are the names of the files: what is told of right and wrong is worth as much "
        "as these names."
    )
    if broken:
        notes.append(f"{len(broken)} files could not be used; the first: {broken[0]}")
    return found
