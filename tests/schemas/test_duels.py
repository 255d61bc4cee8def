"""What a duel says, from either side."""

import math

import pytest

from schemas.rows import Duel, Preference


@pytest.mark.parametrize(
    ("p_first", "p_second", "p_tie", "preference"),
    [
        (0.5, 0.3, 0.2, "first"),
        (0.3, 0.5, 0.2, "second"),
        (0.3, 0.2, 0.5, "tie"),
        (0.4, 0.4, 0.2, "tie"),  # an exact draw
        (0.4, 0.2, 0.4, "tie"),
        (0.2, 0.4, 0.4, "tie"),
    ],
)
def test_the_most_probable_outcome_is_preferred(
    p_first: float, p_second: float, p_tie: float, preference: Preference
) -> None:
    duel = Duel("a", "b", "j", p_first, p_second, p_tie)
    assert duel.preference == preference
    other = {"first": "second", "second": "first", "tie": "tie"}
    assert duel.swap().preference == other[preference]
    assert duel.swap().swap() == duel


def test_an_unreadable_duel_stays_so_from_the_other_side() -> None:
    duel = Duel("a", "b", "j", math.nan, math.nan, math.nan, "no verdict")
    assert (duel.swap().first_id, duel.swap().second_id) == ("b", "a")
    assert duel.swap().error == "no verdict"
