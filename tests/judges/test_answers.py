"""Answers of judges in ten forms: read rightly, or invalid."""

from tests.judges.answers import figures


def test_answers_are_read_rightly_or_not_at_all() -> None:
    found = figures(num_each=20, num_fuzzed=300)
    assert found["wrong"] == []
    assert found["right"] == found["answers"] == 200
    assert found["faults"] == []
    assert found["fuzzed_read"]
    assert found["fuzzed_invalid"]
