"""Each shipped specification asks in its repository's words, to the token, or says why not."""

from tests.judges.specifications import figures


def test_our_prompts_are_the_published_ones_or_a_reason_is_given() -> None:
    found = figures()
    assert found["different_without_one"] == []
    assert (found["prompts"], found["equal"], found["different_with_a_reason"]) == (56, 55, 1)
