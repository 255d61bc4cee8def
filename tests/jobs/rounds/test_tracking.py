"""Against a real SQLite store: what a killed job leaves, and what its next start makes of it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.rounds.registry import Registry, RegistryError
from jobs.rounds.tracking import (
    Tracker,
    database_file,
    flatten,
    public_settings,
    tracking_uri,
)
from schemas import manifest
from schemas.manifest import Manifest, Parent
from schemas.recipe import Recipe

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store with its tables: making them takes seconds, copying the file does not."""
    root = tmp_path_factory.mktemp("store")
    Tracker("first", root)
    return root / "mlflow.db"


@pytest.fixture
def root(tmp_path, empty_store):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    return tmp_path


@pytest.fixture
def tracker(root):
    return Tracker("laptop", root)


@pytest.fixture
def registry(tracker):
    return Registry.of(tracker)


def runs(tracker: Tracker) -> list:
    return list(tracker.client.search_runs([tracker.experiment_id]))


def run_of(tracker: Tracker, stage: str):
    (found,) = [one for one in runs(tracker) if one.data.tags["factory.stage"] == stage]
    return found


def artifact(root: Path, address: str, folder: str = "data", parents=(), digest="") -> Manifest:
    directory = root / folder / address
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "rows.bin").write_bytes(b"x" * 1000)
    made = Manifest(
        address,
        address.partition("@")[0],
        "fingerprint",
        digest or manifest.digest_files(directory),
        tuple(parents),
        {},
    )
    (directory / manifest.FILE).write_bytes(manifest.to_bytes(made))
    return made


# ------------------------------------------------------------------------------------- runs


def test_stages_are_nested_in_their_round(tracker):
    with tracker.round(1), tracker.stage(1, "labels"), tracker.stage(1, "judge"):
        pass
    with tracker.round(2), tracker.stage(2, "labels"):
        pass
    by_name = {run.info.run_name: run for run in runs(tracker)}
    assert sorted(by_name) == ["judge-1", "labels-1", "labels-2", "round-1", "round-2"]
    for name in ("labels-1", "judge-1"):
        parent = by_name[name].data.tags["mlflow.parentRunId"]
        assert parent == by_name["round-1"].info.run_id
    assert by_name["labels-2"].data.tags["mlflow.parentRunId"] == by_name["round-2"].info.run_id
    assert {run.info.status for run in runs(tracker)} == {"FINISHED"}
    assert by_name["labels-1"].data.metrics["wall_seconds"] >= 0


def test_a_recipe_is_tracked_where_it_says_or_else_in_its_root(tmp_path):
    plain = Recipe.model_validate({"name": "remote", "root": str(tmp_path)})
    assert tracking_uri(plain) == f"sqlite:///{tmp_path}/mlflow.db"
    far = plain.model_copy(update={"root": "s3://bucket/loop"})
    assert tracking_uri(far) == f"sqlite:///{Path.cwd()}/runs/remote/mlflow.db"
    assert tracking_uri(plain.model_copy(update={"tracking_uri": "http://host"})) == "http://host"


def test_a_stage_alone_gets_its_round(tracker):
    before = time.time()
    with tracker.stage(3, "groups") as run:
        run.log_metrics({"rows": 3})
    (point,) = tracker.client.get_metric_history(run_of(tracker, "groups").info.run_id, "rows")
    assert before - 1 < point.timestamp / 1000 < time.time() + 1
    assert {run.info.run_name for run in runs(tracker)} == {"groups-3", "round-3"}


def test_a_failed_stage_is_taken_up_again(root, tracker):
    def fail():
        with tracker.stage(1, "groups") as run:
            run.log_metrics({"rows": 3})
            raise ValueError("no such file at s3://user:secret@host/x")

    with pytest.raises(ValueError, match="no such"):
        fail()
    failed = run_of(tracker, "groups")
    assert failed.info.status == run_of(tracker, "round").info.status == "FAILED"
    assert "ValueError: no such file" in failed.data.tags["factory.error"]
    assert "secret" not in failed.data.tags["factory.error"]

    with Tracker("laptop", root).stage(1, "groups") as again:
        again.log_metrics({"rows": 4})
    finished = run_of(tracker, "groups")
    assert finished.info.run_id == failed.info.run_id == again.run_id
    assert finished.info.status == run_of(tracker, "round").info.status == "FINISHED"
    assert finished.data.metrics["rows"] == 4
    assert finished.data.tags["factory.attempts"] == "2"
    assert not finished.data.tags["factory.error"]
    assert len(runs(tracker)) == 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_stage_is_killed(tracker, stop):
    with pytest.raises(stop), tracker.stage(1, "groups"):
        raise stop
    assert run_of(tracker, "groups").info.status == "KILLED"
    assert run_of(tracker, "round").info.status == "KILLED"


def test_a_killed_process_leaves_no_second_run(root, tracker):
    code = f"""
import os, signal
from pathlib import Path
from jobs.rounds.tracking import Tracker
with Tracker("laptop", Path({str(root)!r})).stage(1, "groups") as run:
    run.log_params({{"size": 1}})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    died = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=120)
    assert died.returncode == -9
    assert {run.info.status for run in runs(tracker)} == {"RUNNING"}
    with tracker.round(1), tracker.stage(1, "groups") as run:
        run.log_params({"size": 1})
    assert len(runs(tracker)) == 2
    assert {run.info.status for run in runs(tracker)} == {"FINISHED"}


def test_other_work_under_the_same_name_supersedes(tracker):
    with tracker.stage(1, "groups", "aaaa") as old:
        old.log_params({"size": 1})
    with tracker.stage(1, "groups", "bbbb") as new:
        new.log_params({"size": 2})
    with tracker.stage(1, "groups", "bbbb") as again:
        pass
    assert old.run_id != new.run_id == again.run_id
    tags = tracker.client.get_run(old.run_id).data.tags
    assert tags["factory.superseded_by"] == new.run_id


def test_another_root_is_other_work(tmp_path, tracker):
    with tracker.stage(1, "groups") as one:
        pass
    elsewhere = Tracker("laptop", tmp_path / "it's another", tracker.uri)
    with elsewhere.stage(1, "groups") as two:
        pass
    with elsewhere.stage(1, "groups") as again:
        pass
    assert one.run_id != two.run_id == again.run_id


def test_a_deleted_experiment_comes_back(root, tracker):
    tracker.client.delete_experiment(tracker.experiment_id)
    assert Tracker("laptop", root).experiment_id == tracker.experiment_id


# ------------------------------------------------------------------------------ what is logged


def test_params_are_flat_and_a_change_is_noted(tracker):
    with tracker.stage(1, "groups") as run:
        run.log_params({"pool": {"size": 2}, "names": ["a", "b"], "none": None, "empty": {}})
    assert run_of(tracker, "groups").data.params == {
        "pool.size": "2",
        "names": '["a", "b"]',
        "none": "null",
        "empty": "{}",
    }
    with tracker.stage(1, "groups") as run:
        run.log_params({"pool": {"size": 3}, "names": ["a", "b"], "new": "x" * 7000})
        run.log_params({"new": "x" * 7000})
    logged = run_of(tracker, "groups").data
    assert logged.params["pool.size"] == "2"
    assert logged.tags["factory.params_changed"] == "pool.size: 2 -> 3"


def test_many_params(tracker):
    with tracker.stage(1, "groups") as run:
        run.log_params({f"key {i}": i for i in range(250)})
    assert len(run_of(tracker, "groups").data.params) == 250


def test_a_curve_twice_is_one_curve(tracker):
    curve = [{"step": step, "loss": 1 / (1 + step), "rate": 0.1} for step in range(1200)]
    for _ in range(2):
        with tracker.stage(1, "judge") as run:
            run.log_curve(curve)
    history = tracker.client.get_metric_history(run.run_id, "loss")
    assert [point.step for point in sorted(history, key=lambda point: point.step)] == list(
        range(1200)
    )
    assert run_of(tracker, "judge").data.metrics["loss"] == 1 / 1200


def test_a_curve_may_group_its_metrics(tracker):
    with tracker.stage(1, "judge") as run:
        run.log_curve([{"step": 5, "metrics": {"loss": 2.0, "not measured": None}}])
    (point,) = tracker.client.get_metric_history(run.run_id, "loss")
    assert (point.step, point.value) == (5, 2.0)


def test_metrics_are_logged_once_and_not_measured_is_left_out(tracker):
    for _ in range(2):
        with tracker.stage(1, "profile") as run:
            run.log_metrics({"win rate, by oracle": 0.5, "nothing": float("nan"), "none": None})
    logged = run_of(tracker, "profile").data.metrics
    assert logged["win rate_ by oracle"] == 0.5
    assert not {"nothing", "none"} & set(logged)
    assert len(tracker.client.get_metric_history(run.run_id, "win rate_ by oracle")) == 1


def test_data_sets_carry_address_digest_and_role(root, tracker):
    judge = artifact(root, "judge@1", "models")
    parents = [
        Parent("prompts", "prompts/train.txt", "feed"),
        Parent("judge", judge.address, judge.digest),
        Parent(
            "generator", "generator@0", "some/repository-with-a-name-longer-than-the-store-likes"
        ),
    ]
    groups = artifact(root, "groups@1", parents=parents)
    for _ in range(2):
        with tracker.stage(1, "groups") as run:
            run.log_dataset(groups, root / "data" / "groups@1")
    logged = run_of(tracker, "groups")
    found = {
        one.dataset.name: (one.dataset.digest, one.tags[0].value)
        for one in logged.inputs.dataset_inputs
    }
    assert len(logged.inputs.dataset_inputs) == len(found) == 4
    assert found["groups@1"] == (groups.digest, "made")
    assert found["judge@1"] == (judge.digest, "judge")
    assert found["prompts/train.txt"] == ("feed", "prompts")
    by_name = {
        one.dataset.name: json.loads(one.dataset.source) for one in logged.inputs.dataset_inputs
    }
    assert by_name["judge@1"]["uri"].endswith("/models/judge@1")
    assert logged.data.tags["factory.digest"] == groups.digest
    copied = Path(tracker.client.download_artifacts(run.run_id, manifest.FILE))
    assert manifest.read(copied.parent) == groups


# --------------------------------------------------------------------------------------- models


def test_models_are_registered_once_and_found_by_alias(root, tracker, registry):
    made = artifact(root, "generator@1", "models", [Parent("pairs", "pairs@1", "cafe")])
    directory = root / "models" / "generator@1"
    name = registry.model_name("generator")
    assert name == "laptop-generator"
    assert registry.alias(name, "champion") is None
    versions = []
    for _ in range(2):
        with tracker.stage(1, "generator") as run:
            versions.append(registry.register_model(made, directory, run=run, alias="challenger"))
    assert versions == ["1", "1"]
    assert registry.alias(name, "challenger") == "generator@1"
    assert registry.alias(name, "champion") is None
    version = tracker.client.get_model_version(name, "1")
    assert version.tags["factory.digest"] == made.digest
    assert json.loads(version.tags["factory.parents"])[0]["address"] == "pairs@1"
    assert version.tags["factory.stored"] == "copied"
    assert {item.path for item in tracker.client.list_artifacts(run.run_id, "model")} == {
        "model/rows.bin",
        "model/manifest.json",
    }


def test_an_alias_moves(root, tracker, registry):
    for number in (1, 2):
        made = artifact(root, f"judge@{number}", "models")
        registry.register_model(made, root / "models" / f"judge@{number}")
    name = registry.model_name("judge")
    for number in (1, 2, 1):
        registry.set_alias(name, "champion", f"judge@{number}")
        assert registry.alias(name, "champion") == f"judge@{number}"
    with pytest.raises(RegistryError, match="no version for 'judge@3'"):
        registry.set_alias(name, "champion", "judge@3")


@pytest.mark.parametrize("path", ["some/hub-model", "."])
def test_a_given_model_can_be_champion(registry, path):
    for _ in range(2):
        assert registry.register_given("generator", "generator@0", "beef", path) == "1"
    registry.set_alias("laptop-generator", "champion", "generator@0")
    assert registry.alias("laptop-generator", "champion") == "generator@0"


def test_a_large_model_stays_where_it_is(root, tracker, registry):
    made = artifact(root, "judge@1", "models")
    with tracker.stage(1, "judge") as run:
        registry.register_model(made, root / "models" / "judge@1", run=run, max_copied_bytes=10)
    version = tracker.client.get_model_version("laptop-judge", "1")
    assert version.tags["factory.stored"] == "in place"
    assert version.source == (root / "models" / "judge@1").as_uri()
    paths = [item.path for item in tracker.client.list_artifacts(run.run_id, "model")]
    assert paths == ["model/manifest.json"]


def test_a_model_made_again_is_a_new_version(root, tracker, registry):
    directory = root / "models" / "judge@1"
    for digest, expected in (("aaaa", "1"), ("bbbb", "2"), ("aaaa", "1")):
        made = artifact(root, "judge@1", "models", digest=digest)
        assert registry.register_model(made, directory) == expected


# -------------------------------------------------------------------------------------- settings


def test_credentials_are_never_shown():
    recipe = Recipe.model_validate(
        {
            "name": "remote",
            "root": "runs/x",
            "tracking_uri": "postgresql://user:secret@host/db",
            "generator": {"path": "g"},
            "judge": {"path": "j"},
            "labels": {"prompts": "a.txt"},
            "train_judge": {"num_steps": 1, "batch_size": 1, "learning_rate": 1},
            "produce": {"prompts": "b.txt"},
            "align": {"num_steps": 1, "batch_size": 1, "learning_rate": 1},
            "evaluate": {"prompts": "c.txt"},
        }
    )
    shown = flatten(public_settings(recipe))
    assert shown["tracking_uri"] == "postgresql://***@host/db"
    assert shown["train_judge.learning_rate"] == "1.0"
    assert not any("secret" in value for value in shown.values())


def test_telemetry_is_off(tracker):
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


# --------------------------------------------------------------------------------- odd places


def test_a_root_of_odd_characters_holds_all_that_is_tracked(tmp_path, empty_store):
    root = tmp_path / "a?b%20c#d é;x=1 %"
    root.mkdir()
    (root / "mlflow.db").write_bytes(empty_store.read_bytes())
    recipe = Recipe.model_construct(name="laptop", root=str(root), tracking_uri=None)
    assert database_file(tracking_uri(recipe)) == root / "mlflow.db"
    tracker = Tracker.of(recipe)
    made = artifact(root, "judge@1", "models")
    with tracker.round(1), tracker.stage(1, "judge") as run:
        run.log_dataset(made, root / "models" / "judge@1")
        run.log_text("text", "note.txt")
        Registry.of(tracker).register_model(made, root / "models" / "judge@1", run=run)
    assert len(list((root / "mlartifacts").rglob("note.txt"))) == 1
    local = tracker.client.download_artifacts(run.run_id, "model/rows.bin", str(tmp_path))
    assert Path(local).read_bytes() == b"x" * 1000
    assert run_of(tracker, "judge").inputs.dataset_inputs[0].dataset.name == "judge@1"
    # Nothing beside it: MLflow takes the URI for a path here and there.
    assert sorted(path.name for path in tmp_path.iterdir()) == [root.name, "rows.bin"]
