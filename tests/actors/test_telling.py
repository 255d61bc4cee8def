"""What a training's worker tells, how often, and that it costs the training nothing."""

from typing import Any

import pytest

from actors.tally import TrainingTally, _Tally
from actors.trainers import telling
from actors.trainers.telling import Teller


class StubMethod:
    """Calls a method of the tally as Ray would, at once."""

    def __init__(self, method: Any) -> None:
        self.remote = method


class StubHandle:
    """A tally in this process, in place of an actor."""

    def __init__(self, tally: _Tally) -> None:
        self.tally = tally
        self.actor = self

    def __getattr__(self, name: str) -> StubMethod:
        return StubMethod(getattr(self.tally, name))


class StubClock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StubClock:
    clock = StubClock()
    monkeypatch.setattr(telling, "time", clock)
    return clock


def test_steps_are_told_once_a_second_and_timed_after_the_first(clock: StubClock) -> None:
    tally = _Tally(1.0)
    teller = Teller(StubHandle(tally))  # type: ignore[arg-type]
    teller.doing("loading")
    assert tally.drain()[2] == TrainingTally("loading")
    clock.now += 50.0
    teller.begin(0)
    asked = []
    for step in range(1, 9):
        clock.now += 20.0 if step == 1 else 0.25  # the first compiles
        teller.step(step, lambda step=step: asked.append(step) or step / 10)
    assert asked == [1, 5]  # and the device is waited for no more often
    assert tally.drain()[2] == TrainingTally("", 5, 0.5, 4, 1.0)
    teller.point({"step": 8.0, "loss": 0.75}, 0)  # always
    teller.doing("writing the model")
    assert tally.drain()[1:] == ([], TrainingTally("writing the model", 8, 0.75, 7, 1.75))


def test_a_worker_that_replaces_another_goes_on_and_looks_are_told(clock: StubClock) -> None:
    tally = _Tally(1.0)
    handle: Any = StubHandle(tally)
    Teller(handle).begin(0)
    assert tally.drain()[1] == []
    again = Teller(handle)
    again.doing("loading")
    again.begin(6)
    again.point({"step": 7.0, "loss": 1.0, "validation_loss": 2.0}, 1)
    lost, resumed, look = tally.drain()[1]
    assert (lost["event"], lost["in"], lost["times"]) == ("worker_lost", "train", 1)
    assert (resumed["event"], resumed["step"]) == ("training_resumed", 6)
    assert look["event"] == "early_stopping_look"
    assert (look["step"], look["validation_loss"], look["num_worse"]) == (7, 2.0, 1)


def test_a_tally_that_cannot_be_told_costs_nothing() -> None:
    class StubBrokenHandle:
        """A tally whose actor is gone."""

        @property
        def actor(self) -> Any:
            raise RuntimeError("the actor is dead")

    for handle in (None, StubBrokenHandle()):
        teller = Teller(handle)  # type: ignore[arg-type]
        teller.doing("loading")
        teller.begin(3)
        teller.step(4, lambda: 1.0)
        teller.point({"step": 5.0, "loss": 1.0}, 0)
