"""Data sets of a hub, file by file at one commit: listed, and fetched where they are read.

    name, revision -> commit -> names of its files -> a local copy of one of them

Each machine fetches the files that it works on, and no others. Where the hub is out of reach, what
was fetched to this machine before is all that there is. Left out: code that comes with a data set,
which is never run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from actors.hub import UnknownCommitError, cache_of, resolve_commit, told


class HubDataError(ValueError):
    """A data set of a hub, or a file of one, that cannot be had."""


@dataclass(frozen=True)
class HubData:
    """A data set at one commit."""

    name: str
    commit: str

    @classmethod
    def of(cls, name: str, revision: str | None = None) -> HubData:
        """The data set as a branch, a tag or a commit has it; its main branch where None.

        Raises:
            HubDataError: neither the hub nor the cache of this machine knows a commit.
        """
        return cls(name, _commit_of(name, revision))

    def names(self) -> list[str]:
        """Its files, in order.

        Raises:
            HubDataError: the hub does not say.
        """
        return list(_names(self.name, self.commit))

    def local(self, file: str) -> Path:
        """A copy of one of its files on this machine.

        Raises:
            HubDataError: it cannot be fetched.
        """
        from huggingface_hub import hf_hub_download

        try:
            path = hf_hub_download(self.name, file, repo_type="dataset", revision=self.commit)
        except Exception as error:  # of whichever library carries the request
            raise HubDataError(f"{self.name}: {file} cannot be fetched: {told(error)}") from None
        return Path(path)


@cache
def _commit_of(name: str, revision: str | None) -> str:
    try:
        return resolve_commit("dataset", name, revision)
    except UnknownCommitError as error:
        why = str(error)
    raise HubDataError(
        f"{name} is no local file or directory, and of a hub's data set of this name no commit of "
        f"{revision or 'its main branch'} is known: {why}, and none was fetched to this machine. "
        "Check the name, or give the full commit as `revision`"
    )


@cache
def _names(name: str, commit: str) -> tuple[str, ...]:
    from huggingface_hub import HfApi, constants

    why = "HF_HUB_OFFLINE=1 forbids the hub"
    if not constants.HF_HUB_OFFLINE:
        try:
            listed = HfApi().list_repo_files(name, repo_type="dataset", revision=commit)
            return tuple(sorted(listed))
        except Exception as error:  # of whichever library carries the request
            why = told(error)
    here = cache_of("dataset", name) / "snapshots" / commit
    found = [one.relative_to(here).as_posix() for one in here.rglob("*") if one.is_file()]
    if not found:
        raise HubDataError(f"{name}: its files cannot be listed: {why}; none is on this machine")
    return tuple(sorted(found))
