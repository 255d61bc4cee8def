"""Counts over all pairs, whole and by slice."""

from factory.curation.survey import MAX_VALUES, Survey, reasons_of
from schemas.results import Slice


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
