"""Published layouts become what they say, and damaged ones labels or errors of our own."""

import pytest

from factory.labels.registry import FORMATS
from tests.doors.importers import mutate, outcomes, tear

NUM_MUTATIONS = 60


def test_every_format_has_its_layouts():
    table = outcomes()
    assert {one["format"] for one in table} == set(FORMATS)
    said = {(one["format"], one["layout"]): one["outcome"] for one in table}
    assert said[("hpd", "v3")] == "first, weight 0.95; second"
    assert said[("evalmuse", "processed")] == "4.33 points"
    assert said[("videogen-rewardbench", "VideoAlign training")] == "first, vq first, mq tie"
    assert said[("vl-rewardbench", "benchmark")] == "first; second"
    assert said[("llava-critic", "captions")] == "85 points"
    assert said[("unified-reward", "clip points")] == "6 points, visual quality 7.0"
    assert said[("unified-reward", "2.0 pairs")].startswith("second, alignment second")
    assert said[("unified-reward", "Think")] == "second"
    faults = {layout for layout, outcome in said.items() if "fault" in outcome}
    torn = {("hpd", "v2 test"), ("image-reward", "ImageRewardDB")}
    no_verdict, no_task = ("llava-critic", "others"), ("mmrb2", "of no task")
    assert faults == {*torn, no_verdict, no_task}
    assert said[("mmrb2", "built")] == "first; first"
    assert said[("mmrb2", "Parquet")] == "second"
    assert not [one for one in table if one["outcome"].startswith("other")]


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_rows_end_in_labels_or_in_our_own_errors(name):
    counts = mutate(FORMATS[name], NUM_MUTATIONS)
    assert counts["mutated"] == NUM_MUTATIONS
    assert counts["faults"] > 0
    assert counts["other"] == 0, counts


def test_damaged_files_end_in_rows_or_in_our_own_errors():
    counts = tear(NUM_MUTATIONS)
    assert set(counts) <= {"rows", "none", "message"}, counts
    assert counts["message"] > 0
