"""Counts over all pairs, whole and by slice."""

from factory.curation.survey import MAX_VALUES, Survey, count_groups, count_table, reasons_of
from schemas.arrow import groups_to_table
from schemas.results import Slice
from schemas.rows import Candidate, Group, Media, Prompt
from tests.factory.simulated import duel, score, unreadable


def test_counts_by_verdict_reason_and_slice():
    survey = Survey()
    survey.add("kept", (), {"region": "north"})
    survey.add("rejected", ("thin margin: 0.1", "unsafe: chosen: 0.9"), {"region": "north"})
    survey.add("rejected", ("thin margin: 0.2",), {"region": "south"})
    survey.add("invalid", ("no group: out of memory",), {})
    assert survey.counts() == {"pairs": 4, "kept": 1, "rejected": 2, "invalid": 1}
    assert survey.reasons == {"thin margin": 2, "unsafe": 1, "no group": 1}
    verdicts = {"kept": 1, "rejected": 1, "invalid": 0}
    north = Slice("region", "north", 2, verdicts, {"thin margin": 1, "unsafe": 1})
    assert survey.slices()[0] == north
    assert [one.value for one in survey.slices()] == ["north", "south"]


def test_a_tag_with_very_many_values_is_no_slice():
    survey = Survey()
    for index in range(1000):
        survey.add("kept", (), {"file": str(index), "region": "north"})
    assert [(one.tag, one.num_pairs) for one in survey.slices()] == [("region", 1000)]
    assert survey.counts()["kept"] == 1000


def test_as_many_values_as_a_slice_may_have_are_slices():
    survey = Survey()
    for index in range(2 * MAX_VALUES):
        survey.add("kept", (), {"region": str(index % MAX_VALUES)})
    assert [one.num_pairs for one in survey.slices()] == [2] * MAX_VALUES
    survey.add("kept", (), {"region": "one more"})
    assert survey.slices() == ()


def test_a_reason_counts_once_a_pair():
    assert reasons_of(["unsafe: chosen", "unsafe: rejected", "thin margin: 0"]) == [
        "thin margin",
        "unsafe",
    ]


def test_weights_say_what_the_kept_pairs_are_worth():
    survey = Survey()
    assert survey.num_effective == 0
    for weight in (1.0, 1.0, 0.5):
        survey.add("kept", (), {}, weight)
    survey.add("rejected", (), {}, 1.0)
    assert survey.num_effective == 2.5**2 / 2.25


def test_groups_are_counted_with_what_is_invalid_in_them():
    media = Media(b"a picture", 8, 8)
    away = Media(None, 8, 8, path="media/ab/cd")  # a large one, which lies beside its row
    drawn = tuple(Candidate(name, "g@0", 0, one) for name, one in (("a", media), ("b", away)))
    failed = Candidate("c", "g@0", 1, error="out of memory")
    scores = tuple(score(one, 3.0) for one in "ab")
    duels = (duel("a", "b", 1.0), duel("b", "a", 0.0), unreadable("b", "a"))
    groups = [
        Group(Prompt.of("one"), (*drawn, failed), scores, duels),
        Group(Prompt.of("two"), drawn, scores[:1]),
        Group(Prompt.of("three"), (), error="no judge", failed_stage="judge"),
    ]
    counts = {
        "groups": 3,
        "candidates": 5,
        "duels": 3,
        "invalid": 2,
        "invalid_candidates": 1,
        "invalid_duels": 1,
        "invalid_candidates/g": 1,
    }
    assert count_groups(groups) == count_table(groups_to_table(groups)) == counts
