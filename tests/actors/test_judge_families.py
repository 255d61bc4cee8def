"""Families of judges, taken through the whole table from tiny checkpoints: a few that need nothing
more than is installed. `python -m tests.benchmarks.judges families` takes all, and `make compat`
those that need more.
"""

from pathlib import Path

import pytest

from tests.judges.families import CELLS, JOBS, take_through, take_through_jobs
from tests.judges.holding import CLOSE
from tests.tiny.families import JUDGES

#: One on the fast path; and on the plain one, one whose pictures see all of themselves, and one
#: that sees its whole prompt at once.
FAST, PLAIN, WHOLE = "llava", "gemma3", "paligemma"


@pytest.mark.slow
@pytest.mark.parametrize("family", [FAST, PLAIN, WHOLE])
def test_a_family_judges_as_its_stock_code_and_is_trained_and_loaded_again(
    family: str, tmp_path: Path
) -> None:
    row = take_through(JUDGES[family], tmp_path)
    expected = dict.fromkeys(CELLS, "yes")
    of_clips = dict.fromkeys(("judge clips", "judge answers on clips"), "yes, as pictures in a row")
    assert row.cells == expected | of_clips
    assert 0 < row.distance <= CLOSE


@pytest.mark.slow
def test_what_jobs_write_is_what_the_judge_says_here(tmp_path: Path, local_ray: None) -> None:
    for family in (FAST, PLAIN):
        assert take_through_jobs(JUDGES[family], tmp_path) == dict.fromkeys(JOBS, "yes")


def test_a_family_whose_processor_cannot_be_built_says_what_it_needs(tmp_path: Path) -> None:
    judge = JUDGES["smolvlm"]
    if not judge.lacking():
        pytest.skip("torchvision and num2words are installed")
    row = take_through(judge, tmp_path)
    assert set(row.cells.values()) == {f"needs {' and '.join(judge.lacking())}"}
