"""What a run says of itself: its log, and how far it is."""

import json
from pathlib import Path

import pytest

from actors.tally import StageTally
from jobs.session.progress import State
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
        "generate": StageTally(num_rows=80, num_failed=4, began=100.0),
        "judge": StageTally(num_rows=40, num_failed=2, began=110.0),
    }
    state = State.of(240, stages, now=120.0)
    assert (state.rate, state.left_s) == (2.0, 100.0)
    assert str(state) == "40 of 240 rows, 2.00 rows/s, 1 min 40 s left, 15.0% invalid"
    assert str(State(240)) == "0 of 240 rows, 0.00 rows/s, ? left, 0.0% invalid"
    assert State.of(10, {}, 5.0).figures()["left_s"] is None
