"""Groups read for what was measured of them: without their media, or with those of older rows."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.media_store import MediaStore, media_store
from factory.bias.observation import observe
from factory.media.measures import measures_of
from jobs.datasets.files import file_batches, parquet, write_table
from jobs.datasets.measured import MeasuredGroups, num_unmeasured, stretches, with_measures
from jobs.datasets.reading import read_groups, sources_of
from jobs.pipelines.bias import _OBSERVED
from schemas.arrow import groups_from_table, groups_to_table
from schemas.rows import Candidate, Duel, Group, MediaAwayError, Prompt, Score
from tests.factory.some_pairs import media, picture

OLD = Path("tests/fixtures/d5e4ef4/root/data/groups@1")


def group(number: int, *, is_measured: bool) -> Group:
    prompt = Prompt.of(f"prompt {number}", tags={"region": "north"})
    ids = [f"{number}{side}" for side in "abc"]
    drawn = [Candidate(ids[at], "g@1", at, media(picture(number + at))) for at in range(2)]
    drawn = [replace(one, measures=measures_of(one) if is_measured else None) for one in drawn]
    failed = Candidate(ids[2], "g@1", 2, error="out of memory")
    scores = tuple(Score(one, "judge@1", 3.0 + at, 0.4) for at, one in enumerate(ids[:2]))
    duel = Duel(ids[0], ids[1], "judge@1", 0.7, 0.2, 0.1)
    return Group(prompt, (*drawn, failed), scores, (duel, duel.swap()))


@pytest.mark.parametrize("is_measured", [True, False])
def test_an_observation_is_the_same_from_columns_and_from_pixels(tmp_path, is_measured):
    groups = [group(number, is_measured=is_measured) for number in range(7)]
    directory = tmp_path / "data" / "groups@1"
    directory.mkdir(parents=True)
    table = media_store(directory, 0).put_out(groups_to_table(groups))
    write_table(directory / "part-0.parquet", table, row_group_size=3)
    (stretch,) = stretches(sources_of(directory))
    rows = MeasuredGroups(replace(stretch, left_out=(4,)), _OBSERVED)
    seen = [observe(one) for some in rows for one in some]
    assert seen == [observe(one) for one in groups if one is not groups[4]]
    assert rows.num_measured == (0 if is_measured else 12)


def test_rows_of_the_first_version_are_measured():
    (stretch, *_) = stretches(sources_of(OLD))
    rows = MeasuredGroups(stretch)
    measured = [one for some in rows for one in some]
    there = [one for group in measured for one in group.candidates if one.error is None]
    assert rows.num_measured == len(there) > 0
    assert all(one.media.stored is None and one.measures.digest for one in there)
    known = {one.prompt.prompt_id: one for one in read_groups(OLD)}
    assert [observe(one) for one in measured] == [
        observe(known[one.prompt.prompt_id]) for one in measured
    ]


def test_stretches_hold_every_row_once(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.datasets.measured._ROWS_OF_A_TASK", 4)
    path = tmp_path / "some.parquet"
    groups = [group(number, is_measured=True) for number in range(11)]
    write_table(path, groups_to_table(groups), row_group_size=3)
    pieces = list(stretches([(path, np.array([0, 5, 7]))]))
    assert [(one.row_groups, one.left_out) for one in pieces] == [
        ((0, 1), (0, 5)),
        ((2, 3), (1,)),
    ]
    read = [one.prompt for piece in pieces for some in MeasuredGroups(piece) for one in some]
    assert read == [one.prompt for at, one in enumerate(groups) if at not in (0, 5, 7)]


class Counting(io.FileIO):
    """A file that knows how many bytes were read of it."""

    num_read = 0

    def read(self, size=-1):
        data = super().read(size)
        self.num_read += len(data)
        return data


def test_the_bytes_of_media_in_rows_are_not_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    whole = replace(
        group(0, is_measured=True), candidates=(Candidate("a", "g@1", 0, media(noise)),)
    )
    write_table(tmp_path / "0.parquet", groups_to_table([whole]))
    size = (tmp_path / "0.parquet").stat().st_size
    for has_bytes in (True, False):
        with Counting(tmp_path / "0.parquet") as source:
            file = parquet(source, tmp_path)
            (batch,) = file_batches(file, 10, has_bytes=has_bytes)
            assert (source.num_read > size / 2) == has_bytes
            assert (
                batch.schema.field("candidates").type == file.schema_arrow.field("candidates").type
            )
    (read,) = read_groups(tmp_path, media="none")
    (candidate,) = read.candidates
    assert (candidate.media.width, candidate.media.height) == (300, 300)
    with pytest.raises(MediaAwayError):
        _ = candidate.media.data


def test_media_are_measured_where_they_lie_and_let_go(tmp_path):
    old = group(0, is_measured=False)
    store = MediaStore(str(tmp_path), 0)
    groups = [old, group(1, is_measured=True), replace(old, error="no judge", scores=())]
    table = store.put_out(groups_to_table(groups))
    away = groups_from_table(table)
    found = with_measures(away, store)
    assert [num_unmeasured(one) for one in found] == [0, 0, 2]  # a failed group has no pairs
    assert [one.measures for one in found[0].candidates] == list(map(measures_of, old.candidates))
    assert [one.media for one in found[0].candidates] == [one.media for one in away[0].candidates]
