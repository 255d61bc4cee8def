"""What of a run's candidates is taken of those at hand."""

from dataclasses import replace

import pytest

from factory.candidates import take
from schemas.rows import Candidate, Drawn


def planned(number: int, key: str | None, candidate_id: str = "") -> Candidate:
    drawn = Drawn(key, "a", "w", "Pipeline, drawing 1", "fp32", "png")
    return Candidate(candidate_id, "sketch@1", number, drawn=drawn)


def test_what_has_a_key_is_taken_by_it_and_called_as_it_would_be_here() -> None:
    there = replace(planned(7, "k", "elsewhere"), generator="other@3", answer="a circle")
    taken = take([planned(1, "k", "here"), planned(2, "l", "there")], [there])
    assert taken == {1: replace(there, candidate_id="here", generator="sketch@1")}


def test_a_key_that_is_not_there_is_not_made_good_by_an_id() -> None:
    there = replace(planned(1, "k", "here"), answer="a circle")
    assert take([planned(1, "other weights", "here")], [there]) == {}


@pytest.mark.parametrize("is_old", [True, False])
def test_what_has_no_key_is_taken_by_its_id_or_by_generator_and_seed(is_old: bool) -> None:
    there = replace(planned(1, None, "here"), answer="a circle")
    there = replace(there, drawn=None) if is_old else there
    assert take([planned(1, None, "here")], [there]) == {1: there}
    assert take([planned(1, None, "there")], [there]) == {}
    assert take([planned(1, None)], [there]) == {1: there}
    assert take([planned(2, None)], [there]) == {}
    assert take([replace(planned(1, None), generator="sketch@2")], [there]) == {}


def test_of_two_the_first_is_taken_and_a_failed_attempt_never() -> None:
    first, second = (replace(planned(1, "k", name), answer=name) for name in ("a", "b"))
    late = replace(first, answer=None, error="no answer in time", is_attempt=True)
    assert take([planned(1, "k", "x")], [late, second, first])[1].answer == "b"
    assert take([planned(1, "k", "x")], [late]) == {}
    cut = replace(first, answer=None, error="the answer does not end")
    assert take([planned(1, "k", "x")], [cut])[1].error == cut.error
