"""Label rows that people bring while the loop goes on."""

import sys
import types
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.datasets.parts import Settled
from jobs.datasets.reading import read_table
from jobs.pipelines.groups import Throughput
from jobs.rounds.lifecycle import complete
from jobs.rounds.workspace import InputError, Round
from jobs.stages import label
from jobs.stages.base import blueprint_of
from jobs.stages.label import STAGE
from schemas import manifest
from schemas.arrow import labels_from_table, labels_to_table
from schemas.columns import LABELS
from schemas.manifest import Manifest
from schemas.recipe import Recipe
from schemas.recipe_file import load
from schemas.rows import Candidate, Group, Label, Media, Prompt

PICTURE = Media(b"x", 1, 1)


def put(path: Path, *ids: str, annotator: str = "ann") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [Label(one, Prompt.of(one), annotator, PICTURE, points=3) for one in ids]
    pq.write_table(labels_to_table(rows), path)


@pytest.fixture
def rounds(recipe: Recipe, tmp_path: Path) -> list[Round]:
    put(tmp_path / "given.parquet", "a", "b")
    (tmp_path / "inbox").mkdir()
    plain = recipe.model_dump()
    plain["labels"] = {
        "path": str(tmp_path / "given.parquet"),
        "inbox": str(tmp_path / "inbox"),
    }
    made = Recipe.model_validate(plain)
    return [Round(made, number) for number in (1, 2, 3)]


def make(at: Round) -> Manifest:
    """As `run_stage` does it, without a tracker."""
    directory = at.directory("labels")
    directory.mkdir(parents=True)
    blueprint = blueprint_of(STAGE, at)
    found = STAGE.make(at, directory, None)  # type: ignore[arg-type]
    made = Manifest(
        at.address("labels"),
        "labels",
        blueprint.fingerprint,
        str(found.digest),
        (*blueprint.parents, *found.parents),
        blueprint.spelled,
        dict(found.counts),
        files=found.files,
    )
    complete(directory, made)
    return made


def ids(at: Round) -> list[str]:
    return [one.label_id for one in labels_from_table(read_table(at.directory("labels"), LABELS))]


def test_each_round_takes_in_what_is_new(rounds, tmp_path):
    inbox = tmp_path / "inbox"
    first = make(rounds[0])
    assert ids(rounds[0]) == ["a", "b"]
    assert first.counts == {"labels": 2, "pairs": 0, "points": 2, "inbox": 0}

    put(inbox / "monday.parquet", "c", "b")  # b is known already
    put(inbox / "late" / "part.parquet", "d")
    (inbox / "late" / manifest.FILE).write_bytes(
        manifest.to_bytes(Manifest("late@1", "labels", "f", "dd", (), {}))
    )
    put(inbox / "unfinished" / "part.parquet", "e")  # no manifest yet
    (inbox / "notes.txt").write_text("not labels")
    second = make(rounds[1])
    assert ids(rounds[1]) == ["d", "c"]
    assert second.counts["inbox"] == 2
    assert [one.role for one in second.parents] == ["labels", "inbox", "inbox"]
    assert second.parents[1].digest == "dd"

    third = make(rounds[2])
    assert ids(rounds[2]) == []
    assert third.counts == {"labels": 0, "pairs": 0, "points": 0, "inbox": 0}


def test_what_comes_later_does_not_contradict_a_finished_round(rounds, tmp_path):
    made = make(rounds[0])
    put(tmp_path / "inbox" / "monday.parquet", "c")
    at = rounds[0]
    assert blueprint_of(STAGE, at).differences(made) == []


def test_an_inbox_that_cannot_be_used_is_named_before_work(rounds, tmp_path):
    (tmp_path / "inbox" / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"labels\.inbox: .*bad\.parquet: cannot be read"):
        STAGE.plan(rounds[0])
    (tmp_path / "inbox" / "bad.parquet").unlink()
    (tmp_path / "inbox").rmdir()
    with pytest.raises(InputError, match=r"labels\.inbox: .*inbox: no such directory"):
        STAGE.plan(rounds[0])


class FakePeople:
    """Somebody's own simulator: gives every candidate three points, and knows nothing of cups."""

    def __init__(self, labels, seed):
        self.signature = f"{'simulated:' if seed == 0 else ''}fake of {labels.num_candidates}"

    def check(self, path, prompts):
        for prompt in prompts:
            if "cup" in prompt.text:
                raise ValueError(f"{path}: {prompt.text!r}: no cups")

    def __call__(self, group):
        return [
            Label(one.candidate_id, group.prompt, self.signature, one.media, points=3)
            for one in group.candidates
        ]


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    """A function of overrides: a round whose labels somebody's own simulator gives."""
    module = types.ModuleType("someones_people")
    module.FakePeople = FakePeople
    monkeypatch.setitem(sys.modules, "someones_people", module)
    (tmp_path / "prompts.txt").write_text("a dog\n")
    group = Group(Prompt.of("a dog"), (Candidate("c", "g@0", 1, PICTURE),))
    settled = Settled((), "", {})
    monkeypatch.setattr(label, "run_pipeline", lambda *given, **more: (Throughput(), settled))
    monkeypatch.setattr(label, "read_groups", lambda *given: [group])

    def made(*overrides):
        own = [f"root={tmp_path / 'run'}", f"labels.prompts={tmp_path / 'prompts.txt'}"]
        own += ["labels.simulator=someones_people:FakePeople"]
        return Round(load("jobs/recipes/laptop.yaml", [*own, *overrides]), 1)

    return made


def test_somebodys_own_simulator_labels_what_was_drawn(simulated):
    at = simulated("labels.num_candidates=2")
    assert STAGE.plan(at).rows == "1 prompts x 2 candidates, simulated labels"
    assert make(at).settings["simulator"] == "someones_people:FakePeople"
    (made,) = labels_from_table(read_table(at.directory("labels"), LABELS))
    assert (made.label_id, made.annotator, made.points) == ("c", "simulated:fake of 2", 3)


def test_a_simulator_that_signs_as_a_person_is_refused(simulated):
    with pytest.raises(InputError, match=r"signs its labels 'fake of 4': what no person said"):
        make(simulated("seed=1"))


def test_a_simulator_says_before_any_work_what_it_does_not_know(simulated, tmp_path):
    (tmp_path / "prompts.txt").write_text("a dog\na cup\n")
    with pytest.raises(InputError, match=r"labels\.simulator: .*prompts\.txt: 'a cup': no cups"):
        STAGE.plan(simulated())
    with pytest.raises(InputError, match=r"labels\.simulator: .*row 1: not a sandbox caption"):
        STAGE.plan(simulated("labels.simulator=sandbox"))
