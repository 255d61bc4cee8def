"""What a judge card is made on: folders with and without a table, code, groups."""

import csv
import random
from pathlib import Path

import pytest

from factory.media.pictures import encode_png
from factory.sandbox.drawing import draw
from factory.sandbox.world import parse, sample_captions
from jobs.pipelines.card_sets import card_set
from jobs.rounds.workspace import InputError

CAPTIONS = sample_captions(4, seed=5)
TABLES = "jobs/recipes/tables"


def picture(caption: str, seed: int = 1) -> bytes:
    return encode_png(draw(parse(caption), random.Random(seed)))


def test_the_sandbox_serves_where_nothing_is_given() -> None:
    found = card_set(None, (), {}, 3)
    assert found.num_prompts() == {
        "image_generation": 3,
        "video_generation": 3,
        "image_understanding": 3,
    }
    assert all(own.prompt.task == other.prompt.task for own, other in found.asked())
    assert all(own is not other for own, other in found.asked())
    assert found.digest() == card_set(None, (), {}, 3).digest()
    assert found.digest() != card_set(None, (), {}, 2).digest()


def test_the_pictures_of_a_table_are_known_by_their_captions() -> None:
    found = card_set(TABLES, (), {}, 96)
    with Path(TABLES, "metadata.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {one.prompt.text for one in found.groups} == {row["caption"] for row in rows}
    assert sum(len(one.candidates) for one in found.groups) == len(rows)
    assert found.notes == ()


def test_without_a_table_names_are_captions_and_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "a red-circle_01.png").write_bytes(picture(CAPTIONS[0]))
    (tmp_path / "a red-circle_02.png").write_bytes(picture(CAPTIONS[0], 2))
    (tmp_path / "blue square.png").write_bytes(picture(CAPTIONS[1]))
    (tmp_path / "0017.png").write_bytes(picture(CAPTIONS[2]))
    (tmp_path / "broken thing.png").write_bytes(b"no picture")
    found = card_set(str(tmp_path), (), {}, 96)
    told = {one.prompt.text: len(one.candidates) for one in found.groups}
    assert told == {"a red circle": 2, "blue square": 1}
    assert "names of the files" in found.notes[0]
    assert "2 files could not be used" in found.notes[1]


def test_columns_with_other_names_are_asked_for(tmp_path: Path) -> None:
    for at, caption in enumerate(CAPTIONS):
        (tmp_path / f"{at}.png").write_bytes(picture(caption))
    rows = [("it_says", "shot"), *((one, f"{at}.png") for at, one in enumerate(CAPTIONS))]
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    with pytest.raises(InputError, match=r"say which is one, as --map prompt=COLUMN.*it_says"):
        card_set(str(tmp_path), (), {}, 96)
    with pytest.raises(InputError, match="no such column; there are: it_says, shot"):
        card_set(str(tmp_path), (), {"prompt": "caption"}, 96)
    found = card_set(str(tmp_path), (), {"prompt": "it_says", "media": "shot"}, 3)
    assert found.num_prompts() == {"image_generation": 3}


@pytest.mark.parametrize(
    ("pictures", "groups", "message"),
    [
        ("no/such/folder", (), "--pictures: no/such/folder: no such folder"),
        (None, ("no/groups@1",), "--groups: no/groups@1: no data set of groups"),
        (None, ("factory.sandbox.card_set:_pictures",), "fails: TypeError"),
        (None, ("factory.sandbox.world:Scene.",), "no data set of groups"),
    ],
)
def test_a_set_that_cannot_be_had_is_refused_by_name(
    pictures: str | None, groups: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        card_set(pictures, groups, {}, 4)


def test_one_picture_is_too_few(tmp_path: Path) -> None:
    (tmp_path / "a red circle.png").write_bytes(picture(CAPTIONS[0]))
    with pytest.raises(InputError, match="holds fewer than 2 prompts"):
        card_set(str(tmp_path), (), {}, 96)
