"""Which rows are given up: those at which workers die, and never those that only were there."""

import threading
import time
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext

import pytest

from actors.tally import Piece, StepTally, TallyHandle, _Orders, _Tally

BLOCK = ["a", "b", "c"]


def events(tally: _Tally) -> list[str]:
    return [one["event"] for one in tally.drain()[1]]


def test_a_block_whose_worker_dies_is_watched_and_its_deadly_row_given_up() -> None:
    tally = _Tally(0.5)
    assert not tally.begin("generate", BLOCK).is_watched
    for _ in range(2):  # dies; again, now watched; and again
        orders = tally.begin("generate", BLOCK)
        assert orders.is_watched
        assert not orders.given_up
        tally.enter("generate", "a", "a", "g@0")
        tally.enter("generate", "a", None, "g@0")
        tally.enter("generate", "a", "b", "g@0")
    orders = tally.begin("generate", BLOCK)
    assert list(orders.given_up) == [("b", "g@0")]
    assert "died 3 times, 2 of them at this row" in orders.given_up["b", "g@0"]
    assert events(tally) == ["worker_lost"] * 3 + ["row_given_up"]
    tally.add("generate", "a", StepTally(num_rows=3))
    # Made once more, as after the death of the machine that held the result.
    assert not tally.begin("generate", BLOCK).is_watched
    assert not tally.begin("judge", BLOCK).given_up


def test_workers_that_die_at_different_rows_or_between_them_condemn_none() -> None:
    tally = _Tally(0.5)
    tally.begin("generate", BLOCK)
    for row in BLOCK:
        assert not tally.begin("generate", BLOCK).given_up
        tally.enter("generate", "a", row, "g@0")
    tally.begin("generate", BLOCK)
    for _ in range(5):
        assert not tally.begin("generate", BLOCK).given_up
        tally.enter("generate", "a", "b", "g@0")
        tally.enter("generate", "a", None, "g@0")


def test_who_knows_of_no_death_does_not_wait_and_a_new_process_does() -> None:
    worker = TallyHandle.__new__(TallyHandle)
    worker._is_calm, tally = False, _Tally(0.5)
    begun: Future[_Orders] = Future()
    begun.set_result(tally.begin("judge", BLOCK))
    assert not worker._orders(begun).is_watched  # a new one, that has heard now
    later: Future[_Orders] = Future()
    assert not worker._orders(later).is_watched  # and goes on before it hears
    later.set_result(tally.begin("judge", BLOCK))
    assert worker._orders(later).is_watched  # of a block that killed another
    third: Future[_Orders] = Future()
    threading.Timer(0.05, lambda: third.set_result(tally.begin("judge", ["d"]))).start()
    assert not worker._orders(third).is_watched
    assert third.done()  # since it knows of a death, it has waited


def test_all_calls_about_a_row_have_one_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[float] = []

    def noted(
        seconds: float | None, report: object, spent_s: float
    ) -> AbstractContextManager[None]:
        spent.append(spent_s)
        return nullcontext()

    monkeypatch.setattr("actors.tally.time_limit", noted)
    piece = Piece("judge")
    for row in ("a", "b", "a"):
        with piece.watched(row, "j@1"):
            time.sleep(0.01)
    assert spent[:2] == [0.0, 0.0]
    assert 0.01 <= spent[2] < 1.0
    assert piece.numbers.model_s == 0.0  # nobody said that a model took any of it


def test_only_the_model_that_hung_is_given_up() -> None:
    tally = _Tally(0.5)
    tally.begin("generate", BLOCK)
    tally.give_up("generate", "b", "slow@0", "no answer")
    assert tally.begin("generate", BLOCK).given_up == {("b", "slow@0"): "no answer"}


def test_a_model_that_hangs_while_it_loads_is_tried_once_more() -> None:
    tally = _Tally(0.5)
    tally.load_hung("judge", "j@1", 60.0)
    assert tally.begin_load("judge", "j@1") is None
    assert tally.state()[0] is None
    tally.load_hung("generate", "j@1", 60.0)  # another stage's pool
    assert tally.begin_load("judge", "j@1") is None
    tally.load_hung("judge", "j@1", 60.0)
    why = tally.begin_load("judge", "j@1")
    assert why is not None
    assert "j@1 was not loaded within produce.load_timeout_s: 60 s, 2 times" in why
    assert tally.state()[0] == why  # the others begin no more rows
    assert tally.begin_load("generate", "g@0") is None  # and may load: they are still written
    assert events(tally) == ["load_hung"] * 3


def test_a_generator_that_always_fails_beside_another_ends_the_run_like_failed_rows() -> None:
    tally = _Tally(0.5)
    tally.add("generate", "a", StepTally(num_rows=20, lost={"ink": (16, "Row a: no weights")}))
    assert tally.state()[0] is None  # too few rows to say
    tally.add("generate", "b", StepTally(num_rows=20, lost={"ink": (4, "Row b: another")}))
    assert tally.state()[0] is None  # half of them is allowed
    tally.add("generate", "c", StepTally(num_rows=1, lost={"ink": (1, "Row c: another")}))
    why = tally.state()[0]
    assert why is not None
    assert why.startswith("ink made nothing of 21 of 41 rows in step 'generate', more than")
    assert why.endswith("allows. Row a: no weights")


def test_workers_that_replaced_others_are_not_counted_beside_them() -> None:
    one = StepTally(workers={"n:1": (0.0, 10.0), "n:2": (11.0, 20.0), "n:3": (5.0, 20.0)})
    assert one.num_workers == 2
