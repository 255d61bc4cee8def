"""The training loop without Ray: batches, rates, DeepSpeed in one process, resuming."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from torch import nn

from actors.trainers import zero
from actors.trainers.batches import Batches, Shard, draw, split_batch
from actors.trainers.loop import FitPlan, Progress, train_steps
from schemas.recipe import Training


def training(**changes: object) -> Training:
    wanted = {"num_steps": 12, "batch_size": 8, "learning_rate": 0.05, "log_every": 4}
    return Training.model_validate({**wanted, **changes})


# ----------------------------------------------------------------------------------------- batches


def table(ids: list[str]) -> pa.Table:
    return pa.table({"id": ids, "x": [float(int(one[1:])) for one in ids]})


def test_a_shard_is_in_key_order_however_its_blocks_arrive():
    blocks = [table(["r3", "r0"]), table([]).cast(table(["r0"]).schema), table(["r2", "r1"])]
    for order in (blocks, blocks[::-1]):
        shard = Shard(order, "id")
        assert len(shard) == 4
        assert shard.rows([0, 1, 3, 3]).column("id").to_pylist() == ["r0", "r1", "r3", "r3"]


def test_every_row_is_drawn_once_an_epoch_and_epochs_differ():
    drawn = [number for batch in range(10) for number in draw(7, 3, batch, seed=1)]
    epochs = [drawn[start : start + 7] for start in (0, 7, 14, 21)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 4
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert drawn != [number for batch in range(10) for number in draw(7, 3, batch, seed=2)]


def test_batches_larger_than_the_data_repeat_rows():
    assert sorted(draw(3, 7, 0, seed=0)[:6]) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("size", "shares", "expected"),
    [
        (8, {"pairs": 1.0}, {"pairs": 8}),
        (8, {"pairs": 0.7, "points": 0.3}, {"pairs": 6, "points": 2}),
        (10, {"pairs": 0.7, "points": 0.3}, {"pairs": 7, "points": 3}),
        (3, {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, {"a": 1, "b": 1, "c": 1}),
        (4, {"pairs": 1.0, "points": 0.0}, {"pairs": 4}),
    ],
)
def test_a_batch_is_split_into_whole_rows(size, shares, expected):
    assert split_batch(size, shares) == expected


@pytest.mark.parametrize(
    ("size", "shares", "words"),
    [(1, {"pairs": 0.7, "points": 0.3}, "'points'"), (8, {"pairs": 0.7}, "sum to 0.7")],
)
def test_shares_that_cannot_be_kept_are_refused(size, shares, words):
    with pytest.raises(ValueError, match=words):
        split_batch(size, shares)


def test_a_worker_without_rows_says_so():
    with pytest.raises(ValueError, match="no rows of 'pairs'"):
        Batches({"pairs": Shard([], "id")}, {"pairs": 1.0}, 4, seed=0)


# ----------------------------------------------------------------------------------- configuration


def test_the_rate_warms_up_and_decays_to_zero():
    plan = training(num_steps=110, warmup_steps=10, learning_rate=1.0)
    rates = [zero.learning_rate(plan, step) for step in range(110)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.001
    constant = training(num_steps=20, warmup_steps=2, is_cosine=False, learning_rate=1.0)
    assert {zero.learning_rate(constant, step) for step in range(2, 20)} == {1.0}


def test_a_batch_that_does_not_divide_is_refused():
    assert zero.micro_batch_size(training(num_workers=2, accumulation_steps=2)) == 2
    with pytest.raises(ValueError, match="not a multiple"):
        zero.micro_batch_size(training(num_workers=3))


# ------------------------------------------------------------------------------ one process, no Ray


class Line:
    """A learner that fits y = 2x + 1 with a noisy input."""

    def __init__(self, noise: float = 0.01) -> None:
        torch.manual_seed(0)
        self.noise = noise
        self.module = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))
        self.module[1].bias.requires_grad_(False)  # frozen within the module
        self.dtype = torch.float32

    def collate(self, rows: dict[str, pa.Table]) -> torch.Tensor:
        x = torch.tensor(rows["rows"].column("x").to_pylist()).unsqueeze(1) / 16
        return x + self.noise * torch.randn_like(x)

    def loss(self, model, batch):
        error = (model(batch.to(self.dtype)).float() - (2 * batch + 1)).pow(2).mean()
        return error, {"largest": batch.max()}

    def save(self, directory: Path) -> None:
        raise AssertionError("the loop does not save")


@dataclass(frozen=True)
class LineTask:
    noise: float = 0.01

    @property
    def shares(self) -> dict[str, float]:
        return {"rows": 1.0}

    @property
    def key(self) -> str:
        return "id"

    def build(self, device: torch.device, dtype: torch.dtype) -> Line:
        learner = Line(self.noise)
        learner.dtype = dtype
        return learner


def run(
    plan_training: Training,
    progress: Progress | None = None,
    resume: Path | None = None,
    stop: int | None = None,
    save_to: Path | None = None,
    seed: int = 0,
    task=LineTask(),
    kept_out=(),
):
    plan = FitPlan(task, plan_training, seed, checkpoint_every=6)
    learner = plan.task.build(torch.device("cpu"), zero.DTYPES[plan_training.precision])
    engine = zero.ZeroEngine(learner.module, plan_training)
    shard = Shard([table([f"r{number:02d}" for number in range(16)])], "id")
    batches = Batches({"rows": shard}, {"rows": 1.0}, zero.micro_batch_size(plan_training), seed)
    progress = progress or Progress()
    if resume is not None:
        engine.load(resume)
    for _ in train_steps(engine, learner, batches, plan, progress, 0, kept_out):
        if progress.step == stop:
            engine.save(save_to)
            progress.write(save_to)
            break
    engine.restore_full_weights(is_saver=True)
    return progress, [one.clone() for one in learner.module.parameters()]


def plain(plan_training: Training, seed: int = 0):
    """The same run in a loop of plain PyTorch."""
    learner = Line()
    decay = plan_training.ema_decay
    seen: list[list[torch.Tensor]] = []  # the weights after each step
    free = [one for one in learner.module.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(free, weight_decay=0.0)
    shard = Shard([table([f"r{number:02d}" for number in range(16)])], "id")
    batches = Batches({"rows": shard}, {"rows": 1.0}, plan_training.batch_size, seed)
    from schemas.rows import seed_of

    for step in range(plan_training.num_steps):
        optimizer.param_groups[0]["lr"] = zero.learning_rate(plan_training, step)
        torch.manual_seed(seed_of("noise", seed, 0, step))
        loss, _ = learner.loss(learner.module, learner.collate(batches[step]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(free, plan_training.gradient_clipping)
        optimizer.step()
        seen.append([one.detach().clone() for one in learner.module.parameters()])
    # Those of all steps, each counting `decay` times as much as the next; not those before.
    parts = torch.tensor([decay ** (len(seen) - 1 - step) for step in range(len(seen))])
    return [
        torch.einsum("s,s...->...", parts / parts.sum(), torch.stack(one))
        for one in zip(*seen, strict=True)
    ]


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("ema_decay", [0.0, 0.8])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_run_matches_plain_pytorch_at_every_stage(zero_stage, ema_decay):
    plan = training(
        zero_stage=zero_stage, gradient_clipping=0.5, warmup_steps=3, ema_decay=ema_decay
    )
    progress, weights = run(plan)
    assert [point["step"] for point in progress.points] == [4, 6, 8, 12]
    assert progress.points[-1]["loss"] < 0.5 * progress.points[0]["loss"]
    assert {"grad_norm", "learning_rate", "largest"} <= set(progress.points[0])
    for ours, theirs in zip(weights, plain(plan), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("process_group")
def test_weights_that_a_step_does_not_use_move_alike_with_and_without_sharding():
    moved = []
    for zero_stage in (0, 1):
        module = nn.ModuleDict({name: nn.Linear(1, 1, bias=False) for name in ("used", "left")})
        for one in module.parameters():
            nn.init.ones_(one)
        engine = zero.ZeroEngine(module, training(zero_stage=zero_stage))
        engine.backward(module["used"].weight.sum() + module["left"].weight.sum())
        engine.step(0.1)
        engine.backward(module["used"].weight.sum())
        engine.step(0.1)
        moved.append([one.item() for one in module.parameters()])
    assert moved[0] == pytest.approx(moved[1])
    assert moved[0][1] < 0.85  # beyond the 0.9 of one step: Adam's average goes on


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_an_optimiser_on_the_host_takes_the_same_steps(zero_stage, tmp_path):
    plan = training(zero_stage=zero_stage, offload=True, ema_decay=0.8)
    undisturbed, weights = run(plan)
    for ours, theirs in zip(weights, plain(plan), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    run(plan, stop=6, save_to=tmp_path)
    resumed, again = run(plan, progress=Progress.read(tmp_path), resume=tmp_path)
    assert resumed.points == undisturbed.points
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(again, weights, strict=True))


def test_offloading_needs_a_stage_that_has_something_to_move():
    with pytest.raises(ValueError, match="offload needs zero_stage 1"):
        training(offload=True)


@pytest.mark.usefixtures("process_group")
def test_micro_batches_add_up_to_a_batch():
    task = LineTask(noise=0.0)
    _, whole = run(training(), task=task)
    progress, parts = run(training(accumulation_steps=4), task=task)
    assert progress.points[-1]["step"] == 12
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("process_group")
def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    (first, one), (second, other) = run(training()), run(training())
    assert first.points == second.points
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(one, other, strict=True))
    third, _ = run(training(), seed=1)
    assert third.points != first.points


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize(("zero_stage", "ema_decay"), [(0, 0.0), (0, 0.8), (2, 0.8)])
def test_a_resumed_run_is_the_undisturbed_run(zero_stage, ema_decay, tmp_path):
    plan = training(zero_stage=zero_stage, ema_decay=ema_decay)
    undisturbed, wanted = run(plan)
    run(plan, stop=6, save_to=tmp_path)
    stopped = Progress.read(tmp_path)
    assert stopped.step == 6
    resumed, weights = run(plan, progress=stopped, resume=tmp_path)
    assert resumed.points == undisturbed.points
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights, wanted, strict=True))


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_bf16_run_keeps_changes_that_bf16_cannot_tell_apart(zero_stage):
    plan = training(precision="bf16", zero_stage=zero_stage, learning_rate=1e-6, num_steps=4)
    _, weights = run(plan)
    for trained, before in zip(weights, Line().module.parameters(), strict=True):
        assert trained.dtype == torch.float32
        moved = (trained - before).abs()
        assert moved.max() < 1e-5
        assert moved.min() > 1e-8 if before.requires_grad else moved.max() == 0


@pytest.mark.usefixtures("process_group")
def test_a_run_that_diverges_stops():
    with pytest.raises(FloatingPointError, match="diverged"):
        run(training(learning_rate=1e30, gradient_clipping=1e30))


# ----------------------------------------------------------------------------------- early stopping

#: The line passes y = 3 at x = 2 on its way to y = 5: learned well at first, and then ever worse.
_OTHER_LINE = 2.0


class TwoLines(Line):
    """Rows from x = 2 on, which no batch of training has, are on another line: y = 3."""

    def loss(self, model, batch):
        wanted = torch.where(batch > 1.5, torch.full_like(batch, 3.0), 2 * batch + 1)
        return (model(batch) - wanted).pow(2).mean(), {}


@dataclass(frozen=True)
class TwoLinesTask(LineTask):
    def build(self, device: torch.device, dtype: torch.dtype) -> Line:
        return TwoLines(self.noise)


def looks() -> list[dict[str, pa.Table]]:
    shard = Shard([table([f"r{number}" for number in (32, 33, 34, 35, 36)])], "id")
    return Batches({"rows": shard}, {"rows": 1.0}, 4, seed=0).one_epoch()


def stopping(**changes) -> Training:
    wanted = {"num_steps": 60, "is_cosine": False, "learning_rate": 0.02}
    return training(**{**wanted, **changes}, early_stopping={"every": 3, "patience": 2})


def test_an_epoch_has_every_row_of_every_data_set():
    shards = {
        "many": Shard([table([f"r{number:02d}" for number in range(7)])], "id"),
        "few": Shard([table(["r0", "r1"])], "id"),
    }
    seen = Batches(shards, {"many": 0.5, "few": 0.5}, 4, seed=0).one_epoch()
    assert len(seen) == 4
    for name, num in (("many", 7), ("few", 2)):
        assert len({one for part in seen for one in part[name]["id"].to_pylist()}) == num


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_a_run_stops_when_rows_kept_out_get_worse_and_keeps_the_best_weights(zero_stage):
    task = TwoLinesTask()
    progress, weights = run(stopping(zero_stage=zero_stage), task=task, kept_out=looks())
    seen = {
        int(point["step"]): point["validation_loss"]
        for point in progress.points
        if "validation_loss" in point
    }
    best = min(seen, key=seen.__getitem__)
    assert list(seen) == list(range(3, best + 7, 3))  # two looks after the best, and no more
    assert 3 < best < 50
    assert progress.best_loss == seen[best]
    plan = training(num_steps=best, is_cosine=False, learning_rate=0.02, zero_stage=zero_stage)
    _, wanted = run(plan, task=task)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights, wanted, strict=True))


@pytest.mark.usefixtures("process_group")
def test_a_run_that_gets_no_worse_goes_to_its_end():
    same_line = [{"rows": table(["r1", "r9"])}]
    progress, weights = run(stopping(num_steps=12), kept_out=same_line)
    seen = [one["validation_loss"] for one in progress.points if "validation_loss" in one]
    assert progress.step == 12
    assert seen == sorted(seen, reverse=True)
    _, wanted = run(stopping(num_steps=12).model_copy(update={"early_stopping": None}))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights, wanted, strict=True))


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("stop", [6, 12, 18])
def test_a_resumed_run_stops_where_the_undisturbed_run_stops(stop, tmp_path):
    task = TwoLinesTask()
    undisturbed, wanted = run(stopping(), task=task, kept_out=looks())
    assert undisturbed.step >= 18
    run(stopping(), task=task, kept_out=looks(), stop=stop, save_to=tmp_path)
    resumed, weights = run(
        stopping(),
        progress=Progress.read(tmp_path),
        resume=tmp_path,
        task=task,
        kept_out=looks(),
    )
    assert resumed.points == undisturbed.points
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(weights, wanted, strict=True))


def test_the_best_weights_or_their_average_are_kept_and_not_both():
    with pytest.raises(ValueError, match="choose one"):
        stopping(ema_decay=0.9)
