"""Which held-out labels a witness is asked about, and that it is asked once."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.pipelines import witnesses
from jobs.pipelines.witnesses import chosen_labels, known_opinions, plan_notes
from jobs.rounds.workspace import Round
from schemas.arrow import labels_to_table
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Label, Media, Opinion, Prompt

TASK = "image_generation"


@dataclass(frozen=True)
class Ref:
    address: str


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Six labels that tell something of a picture, and one each that does not."""
    media = Media(b"png", 8, 8)

    def label(name: str, task: str = TASK, said: str | None = "first", split: str = "heldout"):
        prompt = Prompt.of(f"prompt {name}", task)
        points = None if said else 3.0
        return Label(name, prompt, "ann", media, media, said, points, split=split)

    rows = [label(f"label {at}") for at in range(6)]
    rows += [label("train", split="train"), label("tie", said="tie"), label("points", said=None)]
    rows += [label("clip", "video_generation")]
    pq.write_table(labels_to_table(rows), tmp_path / "labels.parquet")
    return tmp_path / "labels.parquet"


def test_labels_that_prefer_a_side_are_drawn_whatever_their_order(file: Path) -> None:
    every = chosen_labels([file], {TASK}, 100)
    assert every == [f"label {at}" for at in range(6)]
    some = chosen_labels([file], {TASK}, 3)
    assert len(some) == 3
    assert set(chosen_labels([file], {TASK}, 2)) < set(some) < set(every)
    assert "clip" in chosen_labels([file], {TASK, "video_generation"}, 100)


def test_witnesses_are_asked_once(
    recipe: Recipe, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(refs, files, settings, split, only):
        asked.append(([ref.address for ref in refs], split, tuple(only)))
        return {
            ref.address: [Opinion(one, "p", TASK, {}, ref.address, "first", None) for one in only]
            for ref in refs
        }

    monkeypatch.setattr(witnesses, "judges_on_labels", ask)
    monkeypatch.setattr(witnesses, "label_files_so_far", lambda at: [file])
    refs, at = [Ref("w@0"), Ref("oracle@0")], Round(recipe, 1)
    assert known_opinions(at, refs, {TASK}, tmp_path) == {}  # there are no labels
    assert known_opinions(at, [], {TASK}, tmp_path) == {}
    monkeypatch.setattr(witnesses, "was_labelled", lambda at: True)
    found = known_opinions(at, refs, {TASK}, tmp_path)
    labels = tuple(f"label {one}" for one in range(6))
    assert asked == [(["w@0", "oracle@0"], "heldout", labels)]
    assert {by: len(said) for by, said in found.items()} == {"judge@1": 0, "w@0": 6, "oracle@0": 6}
    assert known_opinions(at, refs, {TASK}, tmp_path) == found
    assert len(asked) == 1  # the rest is read again
    assert known_opinions(at, [*refs, Ref("new@0")], {TASK}, tmp_path).keys() > found.keys()
    assert asked[1:] == [(["new@0"], "heldout", labels)]


def test_the_plan_says_what_cannot_be_known(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = Round(load("jobs/recipes/laptop.yaml", [f"root={tmp_path / 'run'}"]), 1)
    monkeypatch.setattr(witnesses, "is_labelled", lambda at: False)
    assert "without labels nothing is known" in plan_notes(at, 240, {TASK})[0]
    monkeypatch.setattr(witnesses, "is_labelled", lambda at: True)
    monkeypatch.setattr(witnesses, "was_labelled", lambda at: True)
    monkeypatch.setattr(witnesses, "label_files_so_far", lambda at: [file])
    assert "by 240 prompts, 6 held-out labels" in plan_notes(at, 240, {TASK})[0]
    monkeypatch.setattr(witnesses, "label_files_so_far", lambda at: [])
    assert "no held-out label prefers a side" in plan_notes(at, 240, {TASK})[0]
