"""What a set of groups depends on: changing anything else must not ask for judging again."""

import pytest

from jobs.stages.produce import STAGE
from jobs.workspace import Round
from schemas.recipe import load


@pytest.mark.parametrize(
    ("overrides", "rank"),
    [
        ([], {"strategy": "bracket", "bracket_size": 2}),
        (["curate.rank.ring_degree=4"], {"strategy": "bracket", "bracket_size": 2}),
        (["curate.pairing=near_miss"], {"strategy": "bracket", "bracket_size": 2}),
        (
            ["curate.rank.strategy=ring", "curate.rank.ring_degree=4"],
            {"strategy": "ring", "ring_degree": 4},
        ),
        (["curate.rank.strategy=paper", "judge.max_batch=1"], {"strategy": "paper"}),
    ],
)
def test_only_what_decides_the_duels_is_a_setting_of_groups(
    overrides: list[str], rank: dict[str, object]
) -> None:
    settings = STAGE.settings(Round(load("jobs/recipes/laptop.yaml", overrides), 1))
    assert settings["rank"] == rank
    assert "max_batch" not in str(settings)
