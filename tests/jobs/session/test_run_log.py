"""What a run says of itself: its log, and how far it is."""

import json
from pathlib import Path

import pytest

from actors.tally import StepTally, TrainingTally
from jobs.session.progress import State, Steps, sentence
from jobs.session.run_log import new_log, note, run_log
from schemas.places import Place


def work(target: Place) -> None:
    with run_log(target, recipe="laptop"):
        note("row_invalid", at=0.0, stage="groups@1", row="x", error="s3 at http://me:pw@host\n")
        note("other", where=target)
        raise ValueError("broken")


def test_events_are_lines_of_one_run_and_hold_no_credentials(tmp_path: Path) -> None:
    note("before")  # with no log open, nothing happens
    target = new_log(tmp_path)
    with pytest.raises(ValueError, match="broken"):
        work(target)
    note("after")
    lines = [json.loads(line) for line in Path(str(target)).read_text().splitlines()]
    assert [one["event"] for one in lines] == ["run_started", "row_invalid", "other", "run_ended"]
    assert len({one["run"] for one in lines}) == 1
    assert lines[0]["recipe"] == "laptop"
    assert lines[1]["time"] == "1970-01-01T00:00:00.000+00:00"
    assert lines[1]["error"] == "s3 at http://***@host\n"
    assert lines[2]["where"] == str(target)
    assert lines[3]["error"] == "ValueError: broken"


def test_progress_counts_what_the_last_stage_has_done() -> None:
    stages = {
        "generate": StepTally(num_rows=80, num_failed=4, began=100.0),
        "judge": StepTally(num_rows=40, num_failed=2, began=110.0),
    }
    state = State.of(240, stages, now=120.0)
    assert (state.rate, state.left_s) == (2.0, 100.0)
    assert str(state) == "40 of 240 rows, 2.00 rows/s, 1 min 40 s left, 15.0% invalid"
    assert str(State(240)) == "0 of 240 rows, 0.00 rows/s, ? left, 0.0% invalid"
    assert State.of(10, {}, 5.0).figures()["left_s"] is None


def test_a_training_says_what_it_does_its_step_its_loss_and_the_time_left() -> None:
    waiting = Steps(720, TrainingTally("waiting for 1 worker(s)"))
    assert str(waiting) == "waiting for 1 worker(s)"
    assert str(Steps(720, TrainingTally(step=180))) == "step 180 of 720"
    first = Steps(720, TrainingTally(step=1, loss=2.0))
    assert str(first) == "step 1 of 720, loss 2, ? left"
    known = Steps(720, TrainingTally("", 40, 1.23449999, 20, 10.0))
    assert known.left_s == 340.0
    assert str(known) == "step 40 of 720, loss 1.234, 5 min 40 s left"
    assert known.figures() == {"step": 40, "of": 720, "loss": 1.2345, "left_s": 340}
    last = Steps(720, TrainingTally("writing the model", 720, 0.5, 700, 350.0))
    assert str(last) == "step 720 of 720, loss 0.5; writing the model"
    # A line is due where one of these follows another.
    turns = [state.turn for state in (waiting, first, known, last)]
    assert turns == ["waiting for 1 worker(s)", "first steps", "steps", "writing the model"]


def test_events_of_a_training_that_a_person_wants_to_see_are_sentences() -> None:
    assert sentence({"event": "training_resumed", "step": 180}) == "goes on after step 180"
    look = {"event": "early_stopping_look", "step": 20, "validation_loss": 0.70837843}
    lowest = "step 20: loss 0.7084 on rows kept out, the lowest so far"
    assert sentence({**look, "num_worse": 0}) == lowest
    worse = "step 20: loss 0.7084 on rows kept out, 2 look(s) since the lowest"
    assert sentence({**look, "num_worse": 2}) == worse
    assert sentence({"event": "worker_lost", "in": "train"}) is None
