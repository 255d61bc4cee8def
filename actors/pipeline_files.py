"""The small files of a model and the names of all of them, before any weights are loaded: in a
directory, in an object store, or in a hub's repository at one commit.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

from actors.storage import local_copy, local_path, place
from actors.weights import hub_commit
from factory.generator_kinds import MARKERS
from schemas.places import Place

#: What is fetched of a hub's repository: configurations and tokenizers.
_SMALL = ("*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class PipelineFiles:
    """What can be told of a model without its weights.

    directory: in which the small files lie.
    names: of all files, relative to it, with "/".
    """

    directory: Place
    names: tuple[str, ...]

    def read(self, name: str) -> dict[str, Any]:
        """A JSON object; empty where there is no such file, or something else in it."""
        path = self.directory / name
        if not path.is_file():
            return {}
        try:
            found = json.loads(path.read_text())
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def local(self, folder: str) -> Path:
        """A folder of small files on this machine."""
        return local_copy(self.directory / folder)

    def small(self) -> Path:
        """The small files beside each other, on this machine."""
        local = local_path(self.directory)
        if local is not None:
            return local
        copied = Path(tempfile.mkdtemp(prefix="small-files-"))
        for one in self.directory.glob("*"):
            if any(fnmatch(one.name, pattern) for pattern in _SMALL):
                (copied / one.name).write_bytes(one.read_bytes())
        return copied

    @property
    def class_name(self) -> str | None:
        """Of the pipeline; None of code that comes with it, or where it is no pipeline."""
        named = self.read(MARKERS["pipeline"]).get("_class_name")
        return named if isinstance(named, str) else None

    @property
    def components(self) -> dict[str, str]:
        """The classes of a pipeline's parts, by their names in it."""
        return {
            name: entry[1]
            for name, entry in self.read(MARKERS["pipeline"]).items()
            if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)
        }


def pipeline_files(path: str, revision: str | None = None) -> PipelineFiles | None:
    """The files at `path`.

    Args:
        path: a directory, an address in an object store, or a hub's name.
        revision: of a hub's name; its main branch where None.

    Returns:
        None where they cannot be looked at from here, as loading will say.
    """
    directory = place(path)
    if directory.is_dir():
        root = f"{directory}/"
        names = (str(one).removeprefix(root) for one in directory.rglob("*") if one.is_file())
        return PipelineFiles(directory, tuple(sorted(names)))
    commit = hub_commit(path, revision)
    return None if commit is None else _of_hub(path, commit)


@cache
def _of_hub(name: str, commit: str) -> PipelineFiles | None:
    from huggingface_hub import HfApi, constants, snapshot_download

    try:
        at = Path(snapshot_download(name, revision=commit, allow_patterns=list(_SMALL)))
        if constants.HF_HUB_OFFLINE:
            names = [str(one.relative_to(at)) for one in at.rglob("*") if one.is_file()]
        else:
            names = HfApi().list_repo_files(name, revision=commit)
    except Exception:  # of whichever library carries the request: loading will say it
        return None
    return PipelineFiles(at, tuple(sorted(names)))


def pipeline_class(files: PipelineFiles | None) -> type | None:
    """The class of a pipeline; None where it is none of diffusers' own, or cannot be looked at.
    Imports diffusers.
    """
    if files is None or files.class_name is None:
        return None
    import diffusers

    found = getattr(diffusers, files.class_name, None)
    return found if isinstance(found, type) else None


def small_parts_fault(files: PipelineFiles) -> str | None:
    """Why a pipeline's processors cannot be loaded here, as where a package is missing that they
    need: loading the pipeline would fail on every worker. Processors hold no weights.
    """
    for part, kind in files.components.items():
        if not kind.endswith(("Processor", "Extractor")) or f"{part}/config.json" in files.names:
            continue
        import transformers

        load = getattr(getattr(transformers, kind, None), "from_pretrained", None)
        if load is None:  # diffusers' own, or of a library that only the worker knows
            continue
        try:
            load(files.local(part))
        except Exception as error:  # of whichever library reads its files
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"its {part} ({kind}) cannot be loaded here: {' '.join(lines)[:300]}"
    return None
