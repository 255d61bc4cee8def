"""What earlier runs have of some prompts: found in any of several sources, and only what may be
taken.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.media_pack import whereabouts
from actors.media_store import MediaStore, without_bytes
from factory.ids import numbers_of
from jobs.datasets.at_hand import DRAWN, AtHand, Source, SourceError
from jobs.datasets.files import write_table
from jobs.rounds.lifecycle import clear
from schemas.arrow import groups_to_table
from schemas.columns import SchemaError
from schemas.manifest import Manifest, Parent, to_bytes
from schemas.rows import Candidate, Drawn, Group, Media, Prompt, Reply, Score

PROMPTS = [Prompt.of(f"a thing {number}") for number in range(40)]
WEIGHTS = Parent("generator", "sketch@0", "weights")


def drawn(key: str | None) -> Drawn:
    return Drawn(key, "a thing", "w", "Pipeline, drawing 1", "fp32", "png")


def candidate(name: str, key: str | None, **more: object) -> Candidate:
    return replace(
        Candidate(name, "sketch@0", 1, Media(name.encode() * 100, 8, 8), drawn=drawn(key)), **more
    )


def write(root: Path, groups: list[Group], name: str = "rows-0.parquet", rows: int = 7) -> Path:
    """A data set in small row groups, its media beside it."""
    directory = root / "data" / "groups@1"
    directory.mkdir(parents=True, exist_ok=True)
    table = MediaStore(str(root), 10).put_out(groups_to_table(groups))
    write_table(directory / name, without_bytes(table), rows)
    return directory


def finished(directory: Path, generator: Parent = WEIGHTS) -> None:
    made = Manifest("groups@1", "groups", "f", "d", (generator,), {}, files=("rows-0.parquet",))
    (directory / "manifest.json").write_bytes(to_bytes(made))


def at_hand(root: Path, *sources: Source) -> AtHand:
    return AtHand(sources, numbers_of(one.prompt_id for one in PROMPTS), MediaStore(str(root), 10))


def test_rows_of_several_sources_are_brought_together_and_their_media_come_along(
    tmp_path: Path,
) -> None:
    first = write(
        tmp_path / "a",
        [Group(one, (candidate(f"a{n}", f"a{n}"),)) for n, one in enumerate(PROMPTS)],
    )
    second = write(
        tmp_path / "b",
        [Group(one, (candidate(f"b{n}", f"b{n}"),)) for n, one in enumerate(PROMPTS[30:], 30)][
            ::-1
        ],
    )
    found = at_hand(tmp_path / "c", Source.of(first), Source.of(second))
    assert len(found) == 40
    wanted = [PROMPTS[2], Prompt.of("another"), PROMPTS[39], PROMPTS[31]]
    filled = found.groups([Group(one, ()) for one in wanted])
    assert [one.prompt for one in filled] == wanted
    names = [[one.candidate_id for one in group.candidates] for group in filled]
    assert names == [["a2"], [], ["a39", "b39"], ["a31", "b31"]]
    store = MediaStore(str(tmp_path / "c"), 10)
    brought = store.bring_in(groups_to_table(filled)).column("candidates").to_pylist()
    assert [one["media"]["image"]["bytes"] for row in brought for one in row] == [
        name.encode() * 100 for row in names for name in row
    ]


def test_of_a_prompt_that_is_not_wanted_nothing_is_found(tmp_path: Path) -> None:
    source = Source.of(write(tmp_path / "a", [Group(Prompt.of("another"), ())]))
    found = at_hand(tmp_path / "c", source)
    assert len(found) == 0
    assert found.groups([Group(PROMPTS[0], ())]) == [Group(PROMPTS[0], ())]


def reply(key: str | None, **more: object) -> Reply:
    return replace(Reply(key, "judge@1", "a", numbers=(3.0, 0.1)), **more)


MIXED = Group(
    PROMPTS[0],
    (
        candidate("keyed", "k"),
        candidate("nobody's", None),
        candidate("late", "l", media=None, error="no answer in time", is_attempt=True),
        candidate("cut", "c", media=None, error="the answer does not end"),
    ),
    (Score("keyed", "judge@1", 3.0, 0.1),),
    error="the judge died",
    failed_stage="judge",
    replies=(
        reply("r"),
        reply(None),
        reply("lost", numbers=(), error="lost", is_attempt=True),
        reply("odd", numbers=(), error="unreadable: ?"),
    ),
)


@pytest.mark.parametrize(
    ("is_own", "candidates", "replies"),
    [
        (False, ["keyed", "cut"], ["r", "odd"]),
        (True, ["keyed", "nobody's", "cut"], ["r", None, "odd"]),
    ],
)
def test_attempts_are_never_taken_and_what_has_no_key_only_from_the_same_work(
    tmp_path: Path, is_own: bool, candidates: list[str], replies: list[str | None]
) -> None:
    name = f"{DRAWN}-1.parquet" if is_own else "rows-0.parquet"
    directory = write(tmp_path / "a", [MIXED], name)
    source = Source.own(directory) if is_own else Source.of(directory)
    (group,) = at_hand(tmp_path / "a", source).groups([Group(PROMPTS[0], ())])
    assert [one.candidate_id for one in group.candidates] == candidates
    assert [one.key for one in group.replies] == replies
    assert (group.scores, group.error, group.failed_stage) == ((), None, None)


def test_rows_from_before_there_were_keys_are_taken_where_the_same_weights_made_them(
    tmp_path: Path,
) -> None:
    old = replace(candidate("old", None), drawn=None)
    directory = write(tmp_path / "a", [Group(PROMPTS[0], (old,))])
    finished(directory)
    for generators, names in (
        ([], []),
        ([replace(WEIGHTS, digest="others")], []),
        ([WEIGHTS], ["old"]),
        ([WEIGHTS, replace(WEIGHTS, digest="others")], ["old"]),
    ):
        source = Source.of(directory, generators)
        (group,) = at_hand(tmp_path / "a", source).groups([Group(PROMPTS[0], ())])
        assert [one.candidate_id for one in group.candidates] == names


def test_a_torn_file_of_a_killed_run_is_passed_over_and_a_foreign_one_refused(
    tmp_path: Path,
) -> None:
    directory = write(tmp_path / "a", [MIXED], f"{DRAWN}-1.parquet")
    whole = (directory / f"{DRAWN}-1.parquet").read_bytes()
    (directory / f"{DRAWN}-2.parquet").write_bytes(whole[:-30])
    assert len(at_hand(tmp_path / "a", Source.own(directory))) == 1
    ids = pa.array([PROMPTS[0].prompt_id])
    write_table(directory / "part-1.parquet", pa.table({"prompt_id": ids, "x": ids}))
    foreign = Source(directory, (directory / "part-1.parquet",))
    with pytest.raises(SchemaError, match=r"part-1\.parquet: column 'prompt' is missing"):
        at_hand(tmp_path / "a", foreign)


def test_a_source_that_another_run_completes_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    rows = [Group(one, (candidate(f"a{n}", f"a{n}"),)) for n, one in enumerate(PROMPTS)]
    directory = write(tmp_path / "a", rows[:20], "part-1.parquet")
    write(tmp_path / "a", rows[20:], f"{DRAWN}-1.parquet")
    own = Source.own(tmp_path / "c" / "data" / "groups@1")
    found = at_hand(tmp_path / "c", own, Source.of(directory))
    assert len(found.groups([Group(PROMPTS[0], ())])[0].candidates) == 1
    write(tmp_path / "a", rows)
    finished(directory)
    clear(directory, ["rows-0.parquet"])
    (group,) = found.groups([Group(PROMPTS[30], ())])
    assert [one.candidate_id for one in group.candidates] == ["a30"]
    clear(directory, [])
    (directory / "manifest.json").unlink()
    with pytest.raises(SourceError, match="groups@1: its rows were taken away"):
        found.groups([Group(PROMPTS[10], ())])


def test_what_was_drawn_here_and_whose_media_are_gone_is_not_at_hand(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "a", [Group(PROMPTS[0], (candidate("a", "a"),))], f"{DRAWN}-1.parquet")
    directory = write(
        tmp_path / "a", [Group(PROMPTS[1], (candidate("b", "b"),))], f"{DRAWN}-2.parquet"
    )
    both = [Group(one, ()) for one in PROMPTS[:2]]
    whole = at_hand(tmp_path / "a", Source.own(directory)).groups(both)
    assert [len(group.candidates) for group in whole] == [1, 1]
    media = whole[0].candidates[0].media
    assert media is not None
    where = whereabouts(media.path or "")
    assert where is not None
    (tmp_path / "a" / where.file).unlink()
    filled = at_hand(tmp_path / "a", Source.own(directory)).groups(both)
    assert [[one.candidate_id for one in group.candidates] for group in filled] == [[], ["b"]]
    assert f"of prompt {PROMPTS[0].prompt_id} are no longer there" in caplog.text


def test_what_is_no_id_is_refused_with_the_file(tmp_path: Path) -> None:
    odd = replace(PROMPTS[0], prompt_id="number one")
    directory = write(tmp_path / "a", [Group(odd, ())])
    with pytest.raises(SchemaError, match=r"rows-0\.parquet: 'number one' is no id"):
        at_hand(tmp_path / "a", Source.of(directory))


def test_many_rows_are_found_whatever_their_order(tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(len(PROMPTS))
    rows = [Group(PROMPTS[n], (candidate(f"a{n}", f"a{n}"),)) for n in order]
    found = at_hand(tmp_path / "a", Source.of(write(tmp_path / "a", rows)))
    filled = found.groups([Group(one, ()) for one in PROMPTS])
    assert [group.candidates[0].candidate_id for group in filled] == [f"a{n}" for n in range(40)]
