"""`fit` on a real Ray with real worker processes, on a model of a few numbers."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from actors.tally import TallyHandle
from actors.trainers.engine import FitResult, fit
from schemas.recipe import Training


class Line:
    """A learner that fits y = 2x + 1 with a noisy input."""

    def __init__(self, task: "LineTask") -> None:
        torch.manual_seed(0)
        self.task = task
        self.module = nn.Linear(1, 1)
        self.num_batches = 0

    def collate(self, rows):
        self.num_batches += 1
        if self.task.dies_once is not None and self.num_batches == 8:
            marker = Path(self.task.dies_once)
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        x = torch.tensor(rows["rows"].column("x").to_pylist()).unsqueeze(1)
        return x + 0.01 * torch.randn_like(x)

    def loss(self, model, batch):
        return (model(batch) - (2 * batch + 1)).pow(2).mean(), {"rows": torch.tensor(len(batch))}

    def save(self, directory: Path) -> None:
        directory.mkdir()
        save_file(self.module.state_dict(), directory / "line.safetensors")


@dataclass(frozen=True)
class LineTask:
    dies_once: str | None = None

    @property
    def shares(self):
        return {"rows": 1.0}

    @property
    def key(self):
        return "id"

    def build(self, device, dtype):
        return Line(self)


@dataclass(frozen=True)
class AppendTo:
    """Writes each point's step to a file; it runs in another process than the test."""

    path: str

    def __call__(self, point):
        with open(self.path, "a") as file:
            file.write(f"{point['step']:g} ")


def training(**changes):
    wanted = {"num_steps": 12, "batch_size": 4, "learning_rate": 0.1, "log_every": 3}
    return Training.model_validate({**wanted, **changes})


def rows():
    import ray.data

    table = pa.table({"id": [f"r{i:02d}" for i in range(16)], "x": [i / 16 for i in range(16)]})
    return ray.data.from_arrow([table.slice(8), table.slice(0, 8)])


def run(directory: Path, task: LineTask, plan: Training, **settings):
    result = fit(
        task,
        plan,
        {"rows": rows()},
        output=directory / "model",
        run_name="line@1",
        storage_path=directory / "storage",
        seed=3,
        **settings,
    )
    return result, load_file(result.directory / "line.safetensors")


@dataclass(frozen=True)
class Undisturbed:
    """A run whose workers nothing happened to; only its driver was killed at the very end.

    wanted: the weights that the workers left.
    seen: the steps of the points that came from the workers.
    again: the steps of those that came when the driver was started again.
    result, weights: of that second start.
    left: what is in the storage after it.
    """

    wanted: dict[str, torch.Tensor]
    seen: str
    again: str
    result: FitResult
    weights: dict[str, torch.Tensor]
    left: list[Path]


@pytest.fixture(scope="module")
def undisturbed(local_ray, tmp_path_factory):
    def killed(*_, **__):
        raise KeyboardInterrupt

    directory = tmp_path_factory.mktemp("undisturbed")
    seen, again = directory / "seen", directory / "again"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shutil.copytree", killed)
        with pytest.raises(KeyboardInterrupt):
            run(directory, LineTask(), training(), on_report=AppendTo(str(seen)))
    (checkpoint,) = (directory / "storage").glob("*/checkpoint_*/model/line.safetensors")
    wanted = load_file(checkpoint)
    again.touch()
    result, weights = run(directory, LineTask(), training(), on_report=AppendTo(str(again)))
    left = list((directory / "storage").iterdir())
    return Undisturbed(wanted, seen.read_text(), again.read_text(), result, weights, left)


def test_a_killed_worker_resumes_and_ends_with_the_same_weights(undisturbed, tmp_path):
    points = undisturbed.result.points
    assert [point["step"] for point in points] == [3, 6, 9, 12]
    assert points[-1]["loss"] < 0.5 * points[0]["loss"]
    assert points[0]["rows"] == 4
    assert undisturbed.seen == "3 6 9 12 "
    assert undisturbed.left == []  # the run left nothing but the model

    marker, tally = tmp_path / "died", TallyHandle()
    resumed, weights = run(
        tmp_path, LineTask(str(marker)), training(), checkpoint_every=3, tally=tally
    )
    assert marker.exists()
    _, events, told = tally.drain(60.0)
    assert [event["event"] for event in events] == ["worker_lost", "training_resumed"]
    assert events[1]["step"] in (3, 6)  # the report of the second may not have come through
    assert (told.step, told.loss) == (12, points[-1]["loss"])
    assert resumed.points == points
    wanted = undisturbed.wanted
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)


@pytest.mark.slow
def test_a_driver_killed_at_the_very_end_finds_the_model(undisturbed):
    assert undisturbed.again == ""  # nothing was trained again
    wanted, weights = undisturbed.wanted, undisturbed.weights
    assert all(torch.equal(weights[name], wanted[name]) for name in wanted)
    assert [point["step"] for point in undisturbed.result.points] == [3, 6, 9, 12]


@pytest.mark.slow
def test_two_workers_train_one_model(local_ray, tmp_path):
    plan = training(num_workers=2, zero_stage=2, accumulation_steps=2, num_steps=6)
    result, weights = run(tmp_path, LineTask(), plan)
    assert result.points[-1]["loss"] < result.points[0]["loss"]
    assert result.points[0]["rows"] == 1  # of a micro-batch
    assert set(weights) == {"weight", "bias"}


@pytest.mark.slow
def test_rows_kept_out_end_a_run_and_are_not_learned_from(local_ray, tmp_path):
    import ray.data

    other = pa.table({"id": ["k0", "k1", "k2"], "x": [-1.0, -2.0, -3.0]})
    plan = training(num_steps=40, early_stopping={"every": 4, "patience": 1})
    kept_out = {"rows": ray.data.from_arrow([other])}
    result, _ = run(tmp_path, LineTask(), plan, kept_out=kept_out)
    looks = [point["validation_loss"] for point in result.points if "validation_loss" in point]
    assert len(looks) >= 2
    assert looks[:-1] == sorted(looks[:-1], reverse=True)
    assert result.points[-1]["step"] == 40 or looks[-1] >= looks[-2]
    assert {point["rows"] for point in result.points} == {4}  # of training, not of looks


def test_what_cannot_work_is_refused_before_anything_starts(local_ray, tmp_path):
    with pytest.raises(ValueError, match="not a multiple"):
        run(tmp_path, LineTask(), training(num_workers=3))
    with pytest.raises(ValueError, match="go together"):
        run(tmp_path, LineTask(), training(), kept_out={"rows": rows()})
    with pytest.raises(ValueError, match="the task reads"):
        fit(
            LineTask(),
            training(),
            {"pairs": rows()},
            output=tmp_path,
            run_name="line",
            storage_path=tmp_path,
            seed=0,
        )
