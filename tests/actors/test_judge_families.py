"""Families of judges, taken through the whole table from tiny checkpoints: a few that need nothing
more than is installed. `python -m tests.judges.families` takes all, `make compat` those that do.
"""

from pathlib import Path

import pytest

from tests.judges.families import CELLS, take_through
from tests.judges.holding import CLOSE
from tests.tiny.families import JUDGES

#: One that sees tiles, one that sees its whole prompt at once, and one whose pictures see all of
#: themselves.
CHEAP = ("idefics3", "paligemma", "gemma3")


@pytest.mark.slow
@pytest.mark.parametrize("family", CHEAP)
def test_a_family_judges_as_its_stock_code_and_is_trained_and_loaded_again(
    family: str, tmp_path: Path
) -> None:
    row = take_through(JUDGES[family], tmp_path)
    expected = dict.fromkeys(CELLS, "yes")
    assert row.cells == {**expected, "judge clips": "yes, as pictures in a row"}
    assert 0 < row.distance <= CLOSE


def test_a_family_whose_processor_cannot_be_built_says_what_it_needs(tmp_path: Path) -> None:
    judge = JUDGES["qwen3_vl"]
    if not judge.lacking():
        pytest.skip("torchvision is installed")
    row = take_through(judge, tmp_path)
    assert set(row.cells.values()) == {"needs torchvision"}
