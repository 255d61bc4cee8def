"""What happened in a run, one JSON object a line: `ROOT/logs/TIME-RUN.jsonl`.

    {"time": "2026-01-02T03:04:05.678+00:00", "run": "3f…", "event": "row_invalid",
     "stage": "groups@1", "in": "judge", "row": "9a…", "error": "…"}

Events: run_started, run_ended; remote_code_trusted (of a checkpoint, by the recipe); stage_started,
stage_complete, stage_found (complete already), stage_failed; progress (of rows, or of the steps of
a training); row_invalid; worker_lost (a worker died and its block, or its training, was taken up
again); load_hung (a model; its worker starts anew); row_given_up (it hung, or workers died of it);
retry (of invalid rows); training_resumed, early_stopping_look. A row's id is that of its prompt; of
labels and of pairs their own. The lines of a driver that is killed are there up to its last moment
on a local disk; in an object store, which cannot append, up to the last `_PUBLISH_S`.
Left out: what libraries say.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actors.storage import explained, local_path
from schemas.places import LOGS, Place
from schemas.recipe_file import without_credentials

_LOGGER = logging.getLogger("preference_factory.run")
_LOGGER.setLevel(logging.INFO)
_LOGGER.propagate = False
_LOGGER.addHandler(logging.NullHandler())
_PUBLISH_S = 30.0


def note(event: str, *, at: float | None = None, **fields: Any) -> None:
    """Write an event to the log of the run, where one is open.

    Args:
        event: its name.
        at: seconds of the clock; now where not given.
        fields: plain values; others are written as text.
    """
    _LOGGER.info(event, extra={"fields": fields, "at": at})


class _Lines(logging.Handler):
    """Lines in a local file, which is copied to its place where that is elsewhere."""

    def __init__(self, file: Path, target: Place, run: str) -> None:
        super().__init__()
        self.path, self.target, self.run = file, target, run
        self.file = file.open("a", encoding="utf-8")
        self.published = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        given = vars(record)["at"]
        moment = record.created if given is None else given
        line = {
            "time": datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds"),
            "run": self.run,
            "event": record.getMessage(),
            **vars(record)["fields"],
        }
        self.file.write(without_credentials(json.dumps(line, default=str)) + "\n")
        self.file.flush()
        if time.monotonic() - self.published > _PUBLISH_S:
            self.publish()

    def publish(self) -> None:
        self.published = time.monotonic()
        if local_path(self.target) is None:
            with explained(self.target):
                self.target.write_bytes(self.path.read_bytes())

    def close(self) -> None:
        self.file.close()
        self.publish()
        super().close()


def new_log(root: Place) -> Place:
    """Where the log of a run that begins now belongs."""
    return root / LOGS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}.jsonl"


@contextmanager
def run_log(target: Place, **fields: Any) -> Iterator[None]:
    """Keep the events of a run, whatever ends it.

    Args:
        target: from `new_log`.
        fields: of the run's first event.
    """
    run = target.name.removesuffix(".jsonl").rpartition("-")[2]
    with tempfile.TemporaryDirectory() as directory:
        local = local_path(target) or Path(directory) / target.name
        local.parent.mkdir(parents=True, exist_ok=True)
        lines = _Lines(local, target, run)
        _LOGGER.addHandler(lines)
        note("run_started", **fields)
        try:
            yield
        except BaseException as error:
            note("run_ended", error=f"{type(error).__name__}: {error}")
            raise
        else:
            note("run_ended", error=None)
        finally:
            _LOGGER.removeHandler(lines)
            lines.close()
