"""Row types: content ids, swapping, and the round trip through Arrow."""

import math
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas import arrow, columns, digests, media_columns
from schemas.rows import (
    Candidate,
    Dimension,
    Drawn,
    Duel,
    Group,
    Label,
    Measures,
    Media,
    MediaAwayError,
    Opinion,
    Origin,
    Pair,
    Part,
    Prompt,
    Reply,
    Sample,
    Score,
    content_id,
    seed_of,
)
from tests.old_root import FIXTURE

PROMPT = Prompt.of("a red circle", tags={"style": "plain", "region": "north"})
MEDIA = Media(b"\x89PNG", 32, 32)
CANDIDATE = Candidate("c1", "generator@0", 7, MEDIA)
GROUPS_OF_VERSION_1 = FIXTURE / "root/data/groups@1/rows-b770b6954d344115.parquet"


def test_ids_depend_on_content_and_not_on_tags() -> None:
    assert Prompt.of("a red circle").prompt_id == PROMPT.prompt_id
    assert Prompt.of("a red circle", "video_generation").prompt_id != PROMPT.prompt_id
    assert content_id("a", 1) != content_id("a", "1")
    assert len(content_id("a")) == 16


def test_a_group_has_failures_wherever_one_stands() -> None:
    whole = Group(PROMPT, (CANDIDATE,), (Score("c1", "j", 3.0, 0.1),))
    assert not whole.has_failures
    broken = replace(CANDIDATE, error="out of memory")
    unread = Score("c1", "j", math.nan, math.nan, "no number")
    duel = Duel("c1", "c2", "j", math.nan, math.nan, math.nan, "no verdict")
    for failed in (
        replace(whole, error="out of memory"),
        replace(whole, candidates=(broken,)),
        replace(whole, scores=(unread,)),
        replace(whole, duels=(duel,)),
    ):
        assert failed.has_failures


def test_seeds_fit_a_signed_64_bit_column() -> None:
    seeds = [seed_of("prompt", index) for index in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_swapping_a_duel_twice_changes_nothing() -> None:
    duel = Duel("a", "b", "judge@1", 0.7, 0.2, 0.1)
    assert duel.swap() != duel
    assert duel.swap().swap() == duel
    assert (duel.preference, duel.swap().preference) == ("first", "second")


@pytest.mark.parametrize(
    ("p_first", "p_second", "p_tie"), [(0.2, 0.2, 0.6), (0.4, 0.4, 0.2), (0.3, 0.35, 0.35)]
)
def test_a_tie_never_picks_the_first(p_first: float, p_second: float, p_tie: float) -> None:
    assert Duel("a", "b", "judge@1", p_first, p_second, p_tie).preference == "tie"


def test_swapping_a_label_keeps_who_was_preferred() -> None:
    other = Media(b"other", 32, 32)
    label = Label("l", PROMPT, "ann", MEDIA, other, "first")
    swapped = label.swap()
    assert (swapped.first, swapped.second, swapped.preference) == (other, MEDIA, "second")
    points = Label("p", PROMPT, "ann", MEDIA, points=4)
    assert points.swap() == points


def test_a_question_belongs_to_its_media_and_its_sides_are_answers() -> None:
    question = Prompt.of("what colour ?", "image_understanding", media=MEDIA)
    assert question.prompt_id != Prompt.of("what colour ?", "image_understanding").prompt_id
    assert Prompt.of(question.text, question.task, media=MEDIA) == question
    pair = Label("l", question, "ann", None, None, "first", first_answer="red", second_answer="no")
    points = Label("p", question, "ann", None, points=4, first_answer="red")
    assert arrow.labels_from_table(arrow.labels_to_table([pair, points])) == [pair, points]
    assert [side.answer for side in pair.sides()] == ["red", "no"]
    assert [side.answer for side in pair.swap().sides()] == ["no", "red"]
    assert pair.swap().preference == "second"
    assert [side.answer for side in points.sides()] == ["red"]
    group = Group(question, (Candidate("c", "vlm@0", 1, answer="red"),))
    assert arrow.groups_from_table(arrow.groups_to_table([group])) == [group]
    empty = arrow.labels_to_table([Label("l", question, "ann", MEDIA, points=3)])
    with pytest.raises(columns.SchemaError, match="first_answer"):
        arrow.labels_from_table(empty)


def test_a_table_from_before_there_were_questions_is_still_read() -> None:
    label = Label("l", PROMPT, "ann", MEDIA, points=3)
    now = arrow.labels_to_table([label])
    old = now.drop_columns([name for name in columns.OPTIONAL if name in now.column_names])
    columns.check_schema(old.schema, columns.LABELS, "labels.parquet")
    assert arrow.labels_from_table(old) == [label]


def test_groups_of_version_1_get_the_fields_that_came_later() -> None:
    old = pq.read_table(GROUPS_OF_VERSION_1)
    assert columns.version_of(old.schema) == 1
    columns.check_schema(old.schema, columns.GROUPS, "old.parquet")
    new = columns.upgraded(old, columns.GROUPS)
    assert new.schema.equals(columns.GROUPS, check_metadata=True)
    groups = arrow.groups_from_table(new)
    assert groups == arrow.groups_from_table(old)
    assert all(one.measures is None for group in groups for one in group.candidates)
    assert digests.add_up_rows(new) == digests.add_up_rows(old)


def test_fields_in_another_order_are_no_older_version() -> None:
    found = pa.schema(
        [
            field.with_type(pa.struct(list(field.type)[::-1]))
            if field.name == "prompt_media"
            else field
            for field in columns.PROMPTS
        ]
    )
    with pytest.raises(columns.SchemaError, match="column 'prompt_media' is struct"):
        columns.check_schema(found, columns.PROMPTS, "x.parquet")


RECORDED = Group(
    Prompt(
        *("p" * 16, "and now?", "image_understanding", {"key": "drawn"}),
        parts=(
            Part("question", media=MEDIA),
            Part("user", "a red circle?"),
            Part("user", "and now?"),
        ),
        origin=Origin("a camera", "CC-BY-4.0", "given"),
    ),
    (
        replace(
            CANDIDATE,
            drawn=Drawn("k", "a red circle", "w", "diffusers", "fp32", "png", adapters=("a@1",)),
            measures=Measures("d", 3, brightness=0.5, signature=2**64 - 1, is_blank=False),
        ),
        Candidate("c2", "generator@0", 8, error="no answer in time", is_attempt=True),
    ),
    (Score("c1", "judge@1", 3.5, 0.4),),
    replies=(
        Reply(
            "k",
            "judge@1",
            "c1",
            None,
            "colours",
            (3.5, 0.4),
            logprobs={"1": -0.5},
            seconds=0.1,
            breakdown={"hue": 2.5},
        ),
        Reply(None, "judge@1", "c1", "c2", error="lost", is_attempt=True, text="I think"),
        Reply(
            None,
            "judge@1",
            "c1",
            "c2",
            numbers=(0.5, 0.5, 0.0),
            text="Image 1",
            dimensions=(Dimension("style", "first", 0.75, 0.25),),
            samples=(Sample("Image 1"), Sample("Image", is_cut=True)),
        ),
    ),
)


def test_the_record_of_a_row_survives_arrow() -> None:
    table = arrow.groups_to_table([RECORDED, Group(PROMPT, ()), RECORDED])
    assert arrow.groups_from_table(table)[::2] == [RECORDED, RECORDED]
    # Of a table of several pieces, and of a part of one.
    pieces = pa.concat_tables([table.slice(2), table.slice(1, 1), table])
    assert arrow.groups_from_table(pieces.slice(1, 3))[1:] == [RECORDED, Group(PROMPT, ())]


def test_what_a_duel_says_of_single_aspects_survives_arrow_and_counts() -> None:
    said = (Dimension("style", "first", 0.75, 0.25), Dimension("light", "tie"))
    duel = Duel("c1", "c2", "judge@1", 1.0, 0.0, 0.0)
    groups = [replace(RECORDED, duels=(one,)) for one in (duel, replace(duel, dimensions=said))]
    assert arrow.groups_from_table(arrow.groups_to_table(groups)) == groups
    plain, more = (digests.digest_rows([arrow.groups_to_table([group])]) for group in groups)
    assert plain != more
    assert groups[1].duels[0].swap().dimensions[0] == Dimension("style", "second", 0.25, 0.75)


def test_a_digest_is_of_what_a_row_says_and_not_of_how_it_was_made() -> None:
    def digest(group: Group) -> str:
        return digests.digest_rows([arrow.groups_to_table([group])])

    chosen, failed = RECORDED.candidates
    bare = replace(chosen, drawn=None, measures=None), replace(failed, is_attempt=False)
    assert digest(replace(RECORDED, replies=(), candidates=bare)) == digest(RECORDED)
    prompt = RECORDED.prompt
    for other in (
        replace(prompt, origin=None),
        replace(prompt, tags={"seed": "drawn"}),
        replace(prompt, parts=prompt.parts[::-1]),
    ):
        assert digest(replace(RECORDED, prompt=other)) != digest(RECORDED)


def test_a_medium_of_which_only_the_reference_was_read_says_where_it_lies() -> None:
    away = replace(MEDIA, stored=None, path="media/ab.tar")
    group = Group(PROMPT, (replace(CANDIDATE, media=away),))
    (read,) = arrow.groups_from_table(arrow.groups_to_table([group]))
    assert read == group
    assert read.candidates[0].media is not None
    with pytest.raises(MediaAwayError, match=r"media/ab\.tar"):
        _ = read.candidates[0].media.data


def test_groups_survive_arrow() -> None:
    broken = Candidate("c2", "generator@0", 8, error="RuntimeError: no")
    group = Group(
        PROMPT,
        (CANDIDATE, broken),
        (Score("c1", "judge@1", 3.5, 0.4),),
        (Duel("c1", "c2", "judge@1", 0.7, 0.2, 0.1),),
        None,
    )
    empty = Group(Prompt.of("another"), ())
    assert arrow.groups_from_table(arrow.groups_to_table([group, empty])) == [group, empty]


def test_scores_from_before_there_were_criteria_are_read(tmp_path: Path) -> None:
    group = Group(PROMPT, (CANDIDATE,), (Score("c1", "judge@1", 3.5, 0.4),))
    table = arrow.groups_to_table([group])
    rows = table.column("scores").to_pylist()
    old = pa.list_(pa.struct([field for field in columns.SCORE if field.name != "breakdown"]))
    for one in (one for row in rows for one in row):
        del one["breakdown"]
    at = table.schema.get_field_index("scores")
    pq.write_table(table.set_column(at, "scores", pa.array(rows, old)), tmp_path / "0.parquet")
    for schema in (None, columns.GROUPS):
        read = pq.read_table(tmp_path / "0.parquet", schema=schema)
        assert arrow.groups_from_table(read) == [group]


def test_an_unreadable_score_stays_nan() -> None:
    group = Group(PROMPT, (CANDIDATE,), (Score("c1", "judge@1", math.nan, math.nan, "broken"),))
    score = arrow.groups_from_table(arrow.groups_to_table([group]))[0].scores[0]
    assert math.isnan(score.value)
    assert score.error == "broken"


def test_pairs_and_labels_survive_arrow() -> None:
    pair = Pair(
        "p",
        PROMPT,
        CANDIDATE,
        CANDIDATE,
        "judge@1",
        1.0,
        0.2,
        0.9,
        0.8,
        False,
        "rejected",
        ("thin margin: 0.1",),
    )
    assert arrow.pairs_from_table(arrow.pairs_to_table([pair])) == [pair]
    labels = [
        Label("l", PROMPT, "simulated:ann", MEDIA, MEDIA, "tie", None, "alike", "heldout"),
        Label("m", PROMPT, "simulated:ann", MEDIA, points=3),
        Label(
            *("n", PROMPT, "ann", MEDIA, MEDIA, "second"),
            dimensions=(Dimension("motion", "tie"), Dimension("quality", "second", 2.5, 4.0)),
            weight=0.25,
        ),
    ]
    assert arrow.labels_from_table(arrow.labels_to_table(labels)) == labels


def test_labels_of_version_2_whose_points_were_whole_numbers_are_the_same_rows() -> None:
    label = Label("m", PROMPT, "ann", MEDIA, points=3)
    now = arrow.labels_to_table([label])
    old = now.drop_columns(["dimensions", "weight"])
    old = old.set_column(
        old.schema.get_field_index("points"), "points", now.column("points").cast(pa.int32())
    )
    columns.check_schema(old.schema, columns.LABELS, "labels.parquet")
    assert arrow.labels_from_table(columns.upgraded(old, columns.LABELS)) == [label]
    assert digests.digest_rows([old]) == digests.digest_rows([now])
    finer = arrow.labels_to_table([replace(label, points=3.5)])
    weighed = arrow.labels_to_table([replace(label, weight=0.5)])
    assert len({digests.digest_rows([one]) for one in (now, finer, weighed)}) == 3


def test_a_digest_of_rows_does_not_depend_on_order_or_files() -> None:
    groups = [Group(Prompt.of(str(index)), (CANDIDATE,)) for index in range(5)]
    whole = digests.digest_rows([arrow.groups_to_table(groups)])
    split = digests.digest_rows(
        [arrow.groups_to_table(groups[3:]), arrow.groups_to_table(groups[:3][::-1])]
    )
    fewer = digests.digest_rows([arrow.groups_to_table(groups[1:])])
    assert whole == split
    assert whole != fewer


def test_a_wrong_table_is_refused_by_name() -> None:
    with pytest.raises(columns.SchemaError, match=r"x\.parquet: column 'prompt_id' is missing"):
        columns.check_schema(pa.schema([("prompt", pa.string())]), columns.PROMPTS, "x.parquet")
    wrong = columns.PROMPTS.set(1, pa.field("prompt", pa.int64()))
    with pytest.raises(columns.SchemaError, match="column 'prompt' is int64, not string"):
        columns.check_schema(wrong, columns.PROMPTS, "x.parquet")


def test_rows_say_their_version_and_newer_ones_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    pq.write_table(arrow.labels_to_table([Label("l", PROMPT, "ann", MEDIA, points=3)]), file)
    now = pq.read_schema(file)
    assert columns.version_of(now) == columns.VERSION
    old = now.remove_metadata()  # as older code wrote
    columns.check_schema(old, columns.LABELS, "old.parquet")
    newer = now.with_metadata({b"preference-factory.version": b"%d" % (columns.VERSION + 1)})
    with pytest.raises(columns.SchemaError, match=r"new\.parquet: its rows are of version 4, and"):
        columns.check_schema(newer, columns.LABELS, "new.parquet")


def test_opinions_survive_arrow() -> None:
    opinion = Opinion(
        *("l", PROMPT.prompt_id, "image_generation", {"style": "plain"}, "judge@1", "tie", None),
        scores=(Score("0", "judge@1", 3.5, 0.4),),
        duels=(Duel("0", "1", "judge@1", 0.7, 0.2, 0.1),),
    )
    broken = Opinion(
        *("m", "p", "video_generation", {}, "judge@1", None, 3), error="RuntimeError: no"
    )
    assert arrow.opinions_from_table(arrow.opinions_to_table([opinion, broken])) == [
        opinion,
        broken,
    ]


def test_media_is_found_and_changed_however_deep_and_in_slices() -> None:
    groups = [
        Group(Prompt.of("none"), ()),
        Group(Prompt.of("two"), (CANDIDATE, Candidate("x", "g@0", 1, error="no"))),
        Group(Prompt.of("one"), (Candidate("y", "g@0", 1, Media(b"other", 1, 1)),)),
    ]
    whole = arrow.groups_to_table(groups)

    def upper(images: pa.StructArray) -> pa.StructArray:
        rows = [one and {**one, "bytes": one["bytes"].upper()} for one in images.to_pylist()]
        return pa.array(rows, columns.IMAGE)

    for table, wanted in ((whole, [b"\x89PNG", b"other"]), (whole.slice(2), [b"other"])):
        found = [one for array in media_columns.media_arrays(table) for one in array.to_pylist()]
        assert [one["bytes"] for one in found if one and one["bytes"]] == wanted
        changed = arrow.groups_from_table(media_columns.map_media(table, upper))
        media = [one.media for group in changed for one in group.candidates if one.media]
        assert [one.data for one in media] == [data.upper() for data in wanted]
        assert media_columns.map_media(table, lambda images: images).equals(table)


def test_the_tables_say_where_their_pictures_are_in_hugging_face_terms() -> None:
    """As `datasets` writes it; `load_dataset("parquet", …)` decodes exactly this type."""
    import json

    for schema, path in (
        (columns.GROUPS, ("candidates", "feature", "media", "image")),
        (columns.PAIRS, ("chosen", "media", "image")),
        (columns.LABELS, ("first", "image")),
    ):
        found = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        assert list(found) == schema.names
        for step in path:
            found = found[step]
        assert found == {"_type": "Image"}
    assert pa.struct([("bytes", pa.binary()), ("path", pa.string())]) == columns.IMAGE
