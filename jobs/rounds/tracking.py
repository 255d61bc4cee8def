"""Runs in MLflow: one for each round, and nested ones for its stages. Models: `registry.py`.

A killed job that is started again must not leave a second run of the same work. So a run is known
by its tags (`factory.recipe`, `factory.root`, `factory.round`, `factory.stage`), not by an id that
died with the process: whoever enters a stage gets the run that this stage already has, opened
again, with `factory.attempts` counted up. Everything is logged in a form in which saying it twice
leaves one record. A stage that is entered with another fingerprint than its run has is other work:
the old run stays as it is, marked `factory.superseded_by`.

One process writes at a time; that is the job's duty, not checked here. Runs of a process that was
killed outright stay RUNNING until the job is started again. Only the client with explicit run ids
is used: the fluent interface keeps a global active run, which threads and workers would share.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from actors.storage import StorageError, local_copy, local_path, place
from jobs.rounds.lineage import directory_of
from schemas import manifest as manifests
from schemas.manifest import Manifest, Parent
from schemas.places import Place
from schemas.recipe import Recipe
from schemas.recipe_file import without_credentials
from schemas.results import curve_values

# MLflow's limits on one request: metrics, and params or tags.
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_MAX_TAG = 5000  # characters; the store's own limit is 8000

_NOT_IN_A_KEY = re.compile(r"[^\w\-./: ]")


def tracking_uri(recipe: Recipe) -> str:
    """Where a recipe is tracked: as it says, or a SQLite file in its root; in `runs/NAME` where
    the root is no local directory, since a database needs one.
    """
    local = local_path(recipe.root) or Path("runs", recipe.name)
    return recipe.tracking_uri or database_uri(local / DATABASE)


#: The database of MLflow in a root.
DATABASE = "mlflow.db"
_SQLITE = "sqlite:///"


def database_uri(file: Path) -> str:
    """A SQLite file as MLflow is told of it: `?` begins a query in a URI, and `%` a character."""
    return _SQLITE + str(file.absolute()).replace("%", "%25").replace("?", "%3F")


def database_file(uri: str) -> Path | None:
    """The file of such a URI; None of another kind of store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(unquote(uri.removeprefix(_SQLITE).partition("?")[0]))


def public_settings(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as plain values, without credentials that its URIs may carry."""
    text = json.dumps(recipe.model_dump(mode="json"))
    plain: dict[str, Any] = json.loads(without_credentials(text))
    return plain


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted keys and text; lists become JSON."""
    flat: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}{_NOT_IN_A_KEY.sub('_', str(key))}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return flat


class StageRun:
    """The run of a stage, or of a whole round: a client and a run id."""

    def __init__(self, client: Any, run_id: str, root: Place) -> None:
        self.client = client
        self.run_id = run_id
        self._root = root

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Log a section of the recipe.

        Params cannot change. A key that an earlier attempt logged with another value keeps that
        value, and the tag `factory.params_changed` says what it is now.
        """
        from mlflow.entities import Param

        logged = self.client.get_run(self.run_id).data.params
        wanted = {key: value for key, value in flatten(settings).items() if key}
        new = [Param(key, value) for key, value in wanted.items() if key not in logged]
        for start in range(0, len(new), _PARAMS_PER_BATCH):
            self.client.log_batch(self.run_id, params=new[start : start + _PARAMS_PER_BATCH])
        changed = [
            f"{key}: {logged[key]} -> {value}"
            for key, value in wanted.items()
            # a value may have been cut to the store's limit
            if key in logged and not value.startswith(logged[key])
        ]
        if changed:
            self.set_tags({"factory.params_changed": "\n".join(changed)})

    def log_metrics(self, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log single figures. What is already logged with the same value is left alone."""
        from mlflow.entities import Metric

        logged = self.client.get_run(self.run_id).data.metrics
        now = _milliseconds()
        new = [
            Metric(key, float(value), now, step)
            for key, value in _finite(metrics).items()
            if logged.get(key) != value
        ]
        self._log(new)

    def log_curve(self, points: Sequence[Mapping[str, Any]]) -> None:
        """Log a curve: points `{"step": 10, "loss": 0.3, …}`, or with the values in "metrics".

        The time of a point is the start of the run and not the clock, so the same point logged by
        a second attempt is the same record.
        """
        from mlflow.entities import Metric

        start = self.client.get_run(self.run_id).info.start_time
        self._log(
            [
                Metric(key, float(value), start, int(point["step"]))
                for point in points
                for key, value in _finite(curve_values(point)).items()
            ]
        )

    def _log(self, metrics: Sequence[Any]) -> None:
        for at in range(0, len(metrics), _METRICS_PER_BATCH):
            self.client.log_batch(self.run_id, metrics=metrics[at : at + _METRICS_PER_BATCH])

    def log_dataset(self, manifest: Manifest, directory: Place) -> None:
        """Log what the stage made, with its parents, as data sets named by their addresses."""
        made = _dataset_input(manifest.address, manifest.digest, directory, "made")
        self.client.log_inputs(self.run_id, [made, *map(self._parent_input, manifest.parents)])
        self.set_tags({"factory.address": manifest.address, "factory.digest": manifest.digest})
        self.log_artifact(directory / manifests.FILE)

    def _parent_input(self, parent: Parent) -> Any:
        source = directory_of(self._root, parent.address) or place_or_none(parent.address)
        # A name whose place only the recipe knows is nowhere to be found.
        is_here = source is not None and source.exists()
        return _dataset_input(
            parent.address, parent.digest, source if is_here else None, parent.role
        )

    def log_artifact(self, path: Place, folder: str | None = None) -> None:
        self.client.log_artifact(self.run_id, str(local_copy(path)), folder)

    def log_artifacts(self, directory: Place, folder: str | None = None) -> None:
        self.client.log_artifacts(self.run_id, str(local_copy(directory)), folder)

    def log_text(self, text: str, file: str) -> None:
        self.client.log_text(self.run_id, text, file)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(
            self.run_id, tags=[RunTag(key, value[:_MAX_TAG]) for key, value in tags.items()]
        )


class Tracker:
    """The experiment of a recipe: its rounds and their stages."""

    def __init__(self, name: str, root: Place, uri: str | None = None) -> None:
        """Open the experiment `name`, and create it where it is not there yet.

        Args:
            name: of the recipe.
            root: the recipe's root; SQLite and artifacts go there unless `uri` says otherwise.
            uri: of an MLflow server or database.
        """
        # Nothing but the given store is spoken to. Set before mlflow is loaded, which reads it.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        self.name = name
        self.root = root.absolute()
        self.uri = uri or database_uri(Path(str(self.root / DATABASE)))
        self._database = database_file(self.uri)
        if self._database is not None:
            self._database.parent.mkdir(parents=True, exist_ok=True)
        self.client = MlflowClient(self.uri, self.uri)
        self.experiment_id = self._open_experiment()
        self._clear_misread()
        self._rounds: dict[int, StageRun] = {}  # those that are open in this process

    @classmethod
    def of(cls, recipe: Recipe) -> Tracker:
        return cls(recipe.name, place(recipe.root), tracking_uri(recipe))

    def _open_experiment(self) -> str:
        found = self.client.get_experiment_by_name(self.name)
        if found is None:
            # A server decides itself where artifacts go; with a bare database nobody else does.
            is_served = self.uri.startswith(("http://", "https://", "databricks"))
            near = Path(str(self.root)) if self._database is None else self._database.parent
            location = None if is_served else (near.absolute() / "mlartifacts").as_uri()
            created: str = self.client.create_experiment(self.name, artifact_location=location)
            return created
        if found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        opened: str = found.experiment_id
        return opened

    def _clear_misread(self) -> None:
        """Remove the empty folders that MLflow makes where it takes a URI for a path."""
        misread = Path(self.uri.removeprefix(_SQLITE)).parent
        if self._database is not None and misread != self._database.parent:
            self.client.search_registered_models(
                max_results=1
            )  # opens its store, as runs do theirs
            for folder in (misread, *misread.parents):
                try:
                    folder.rmdir()
                except OSError:  # not empty, or not there
                    break

    @contextmanager
    def round(self, number: int) -> Iterator[StageRun]:
        """The run of a round. Stages entered inside are nested in it."""
        run_id = self._open_run(number, "round", {}, f"round-{number}")
        run = StageRun(self.client, run_id, self.root)
        self._rounds[number] = run
        try:
            with self._watched(run):
                yield run
        finally:
            del self._rounds[number]

    @contextmanager
    def stage(self, round: int, name: str, fingerprint: str = "") -> Iterator[StageRun]:
        """The run of one stage of a round, which is opened for it where it is not open.

        It ends FINISHED, FAILED by an error, or KILLED by an interrupt, with `wall_seconds`.

        Args:
            round: its number.
            name: of the stage.
            fingerprint: of what the stage will make; a run with another one is superseded.
        """
        if round not in self._rounds:
            with self.round(round), self.stage(round, name, fingerprint) as alone:
                yield alone
            return
        tags = {"mlflow.parentRunId": self._rounds[round].run_id}
        if fingerprint:
            tags["factory.fingerprint"] = fingerprint
        run_id = self._open_run(round, name, tags, f"{name}-{round}")
        run = StageRun(self.client, run_id, self.root)
        with self._watched(run):
            yield run

    def _open_run(self, round: int, stage: str, tags: Mapping[str, str], title: str) -> str:
        known_by = {
            "factory.recipe": self.name,
            "factory.root": str(self.root),
            "factory.round": str(round),
            "factory.stage": stage,
        }
        found = self._find_run(known_by)
        old = found.data.tags.get("factory.fingerprint") if found is not None else None
        new = tags.get("factory.fingerprint")
        if found is not None and (not new or not old or new == old):
            run_id: str = found.info.run_id
            attempts = int(found.data.tags.get("factory.attempts", "1")) + 1
            self.client.update_run(run_id, status="RUNNING")
            again = {**tags, "factory.attempts": str(attempts), "factory.error": ""}
            StageRun(self.client, run_id, self.root).set_tags(again)
            return run_id
        created = self.client.create_run(
            self.experiment_id,
            tags={**known_by, **tags, "factory.attempts": "1"},
            run_name=title,
        )
        run_id = created.info.run_id
        if found is not None:
            self.client.set_tag(found.info.run_id, "factory.superseded_by", run_id)
            if found.info.status == "RUNNING":
                self.client.set_terminated(found.info.run_id, "KILLED")
        return run_id

    def _find_run(self, known_by: Mapping[str, str]) -> Any | None:
        # The root may hold any character, so it is compared here and not quoted into the filter.
        clauses = [f"tags.`{key}` = '{known_by[key]}'" for key in known_by if key != "factory.root"]
        for run in self.client.search_runs([self.experiment_id], " and ".join(clauses)):
            has_root = run.data.tags.get("factory.root") == known_by["factory.root"]
            if has_root and "factory.superseded_by" not in run.data.tags:
                return run
        return None

    @contextmanager
    def _watched(self, run: StageRun) -> Iterator[None]:
        """End the run with the status that the block deserves."""
        began = time.monotonic()
        status = "KILLED"  # what BaseException means here: an interrupt, or an exit
        try:
            yield
            status = "FINISHED"
        except Exception as error:
            status = "FAILED"
            reason = without_credentials(f"{type(error).__name__}: {error}")
            run.set_tags({"factory.error": reason[:500]})
            raise
        finally:
            run.log_metrics({"wall_seconds": round(time.monotonic() - began, 1)})
            self.client.set_terminated(run.run_id, status)


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Keys that MLflow accepts, without what was not measured: NaN would be shown as 0."""
    return {
        _NOT_IN_A_KEY.sub("_", key): value
        for key, value in metrics.items()
        if value is not None and math.isfinite(value)
    }


def _dataset_input(address: str, digest: str, source: Place | None, role: str) -> Any:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    if source is None:
        resolved = CodeDatasetSource({"factory.address": address})
    else:
        with warnings.catch_warnings():
            # Local paths always match two resolvers of the same class.
            warnings.filterwarnings("ignore", message="The specified dataset source can be")
            resolved = resolve_dataset_source(str(source.absolute()))
    # 36 characters is the store's limit; a parent's digest may be something longer than ours.
    dataset = MetaDataset(resolved, name=address[:500], digest=digest[:36])
    return DatasetInput(
        dataset._to_mlflow_entity(), [InputTag("mlflow.data.context", role[:500] or "input")]
    )


def place_or_none(path: str) -> Place | None:
    """The place that a path names; None for an address of a kind that is not read."""
    try:
        return place(path)
    except StorageError:
        return None


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
