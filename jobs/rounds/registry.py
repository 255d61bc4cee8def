"""Models in MLflow's registry, known by their addresses, and the aliases that point to them.

A model goes under the name of its recipe and kind, or of a line of its own. Registering it twice
finds the first version again. What is registered when, `promotion.py` decides.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.storage import local_path
from jobs.rounds.tracking import StageRun, Tracker, place_or_none
from schemas import manifest as manifests
from schemas.manifest import Manifest
from schemas.places import Place

#: Models up to this size are copied to the artifact store; larger ones are registered in place.
MAX_COPIED_BYTES = 100 * 1024**2


class RegistryError(ValueError):
    """A model or version that is not in the registry."""


class Registry:
    """The models of a recipe."""

    def __init__(self, client: Any, name: str) -> None:
        """Speak of the models whose names begin with `name`, through an MLflow client."""
        self.client = client
        self.name = name

    @classmethod
    def of(cls, tracker: Tracker) -> Registry:
        """The registry beside a tracker's runs."""
        return cls(tracker.client, tracker.name)

    def model_name(self, kind: str) -> str:
        """The name under which models of a kind (generator, judge) or of a line go."""
        return f"{self.name}-{kind}"

    def register_model(
        self,
        manifest: Manifest,
        directory: Place,
        *,
        run: StageRun | None = None,
        alias: str | None = None,
        line: str | None = None,
        max_copied_bytes: int = MAX_COPIED_BYTES,
    ) -> str:
        """Register a model and return its version; one that is registered already is found again.

        It goes under the name of its kind, or of a `line` of its own.

        With a run, the files go to its artifacts unless they are larger than `max_copied_bytes`.
        Otherwise the version points to the directory and only the manifest is copied.
        """
        name = self.model_name(line or manifest.kind)
        known = self._version(name, manifest.address, manifest.digest)
        if known is None:
            known = self._create_version(name, manifest, directory, run, max_copied_bytes)
        if alias is not None:
            self.client.set_registered_model_alias(name, alias, known)
        return known

    def register_given(self, kind: str, address: str, digest: str, path: str) -> str:
        """Register a model that the factory did not make, such as the one of version 0.

        Only its place is noted: a directory or a hub name.
        """
        name = self.model_name(kind)
        known = self._version(name, address, digest)
        if known is not None:
            return known
        given = place_or_none(path)
        is_here = given is not None and given.is_dir()
        source = given.absolute().as_uri() if given is not None and is_here else path
        tags = {
            "factory.address": address,
            "factory.digest": digest,
            "factory.stored": "in place",
        }
        return self._add_version(name, source, None, tags)

    def _create_version(
        self,
        name: str,
        manifest: Manifest,
        directory: Place,
        run: StageRun | None,
        max_copied_bytes: int,
    ) -> str:
        local = local_path(directory)
        is_small = local is not None and _num_bytes(local) <= max_copied_bytes
        is_copied = run is not None and is_small
        source = directory.absolute().as_uri()
        if run is not None and is_copied:
            run.log_artifacts(directory, "model")
            source = f"runs:/{run.run_id}/model"
        elif run is not None and (directory / manifests.FILE).is_file():
            run.log_artifact(directory / manifests.FILE, "model")
        tags = {
            "factory.address": manifest.address,
            "factory.digest": manifest.digest,
            "factory.fingerprint": manifest.fingerprint,
            "factory.parents": json.dumps([vars(parent) for parent in manifest.parents]),
            "factory.directory": str(directory.absolute()),
            "factory.stored": "copied" if is_copied else "in place",
        }
        return self._add_version(name, source, run.run_id if run is not None else None, tags)

    def _add_version(
        self, name: str, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> str:
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        created = self.client.create_model_version(name, source, run_id, tags=dict(tags))
        return str(created.version)

    def _version(self, name: str, address: str, digest: str | None = None) -> str | None:
        """The newest version with an address, and digest where given."""
        fitting = [
            int(one.version)
            for one in self.client.search_model_versions(f"name = '{name}'")
            if one.tags.get("factory.address") == address
            and digest in (None, one.tags.get("factory.digest"))
        ]
        return str(max(fitting)) if fitting else None

    def set_alias(self, name: str, alias: str, address: str) -> None:
        """Point an alias such as `champion` to the model at an address.

        Raises:
            RegistryError: no version of this model has that address.
        """
        version = self._version(name, address)
        if version is None:
            raise RegistryError(f"model {name!r} has no version for {address!r}: register it first")
        self.client.set_registered_model_alias(name, alias, version)

    def alias(self, name: str, alias: str) -> str | None:
        """The address to which an alias points, or None where there is no such alias."""
        for model in self.client.search_registered_models(f"name = '{name}'"):
            if alias in model.aliases:
                version = self.client.get_model_version(name, model.aliases[alias])
                address: str | None = version.tags.get("factory.address")
                return address
        return None


def _num_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
