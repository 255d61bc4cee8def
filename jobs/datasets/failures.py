"""Why candidates and scores of a data set did not come about, from its columns of errors alone."""

from __future__ import annotations

from collections.abc import Sequence

from factory.failures import Failures
from jobs.datasets.files import parquet
from jobs.datasets.parts import Settled
from jobs.datasets.reading import sources_of
from schemas.places import Place

_COLUMNS = (
    "candidates.list.element.generator",
    "candidates.list.element.error",
    "scores.list.element.judge",
    "scores.list.element.error",
    "error",
    "failed_stage",
)
_ROWS_AT_ONCE = 4096


def failures_in(directory: Place, files: Sequence[str] | None = None) -> Failures:
    """What failed in a data set of groups or candidates, by who was to make it.

    Args:
        directory: of the data set.
        files: names of its files, where it is not complete yet: beside them may lie others, of
            which some are torn.
    """
    failures = Failures()
    for path, _ in sources_of(directory, files):
        with path.open("rb") as opened:
            file = parquet(opened, path)
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(_COLUMNS)):
                for row in batch.to_pylist():
                    failures.add(row)
    return failures


def say_failures(directory: Place, made: Settled) -> None:
    """Print who failed at what, where a data set has anything that came to nothing.

    Args:
        directory: of the data set.
        made: its files and counts.
    """
    if any(num for name, num in made.counts.items() if name.startswith("invalid")):
        for sentence in failures_in(directory, made.files).sentences():
            print(f"  {sentence}", flush=True)
