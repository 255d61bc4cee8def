"""A recipe holds what its jobs read and nothing else. A job says what it misses.

The sections are those of the laptop recipe, and of the root that d5e4ef4 made.
"""

import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import evaluate_judge, judge, loop, rollback
from jobs.pages.collect import write_report
from jobs.rounds.history import as_text
from jobs.rounds.workspace import Round
from jobs.stages.base import find_complete, print_plan
from schemas.recipe import Recipe
from schemas.section import MissingSectionError

LAPTOP: dict[str, Any] = yaml.safe_load(Path("jobs/recipes/laptop.yaml").read_text())
FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "d5e4ef4"

TRAINED = {"num_steps": 1, "batch_size": 4, "learning_rate": 1e-4}
#: All that may be left out, as laptop.yaml has it, or else in short.
ALL: dict[str, Any] = {
    "generator": LAPTOP["generator"],
    "judge": LAPTOP["judge"],
    "labels": {"prompts": LAPTOP["labels"]["prompts"]},
    "train_judge": TRAINED,
    "produce": {"prompts": LAPTOP["produce"]["prompts"]},
    "align": TRAINED,
    "evaluate": {"prompts": LAPTOP["evaluate"]["prompts"]},
    "distil": TRAINED,
}
NEEDS: dict[str, set[str]] = {
    "label": {"labels", "generator"},  # simulated ones
    "train_judge": {"judge", "train_judge"},
    "produce": {"generator", "judge", "produce"},
    "audit": {"judge"},
    "curate": set(),
    "align": {"generator", "align"},
    "evaluate": {"generator", "judge", "evaluate"},
    "distil": {"judge", "distil", "labels"},
    "localise": {"judge", "train_judge", "localise", "labels"},
    "human_audit": set(),
}


@pytest.fixture
def plain(tmp_path: Path) -> dict[str, Any]:
    """All that a recipe of every job holds, but for files that are made here."""
    (tmp_path / "sheet.csv").write_text("pair_id,annotator,answer\n")
    labels = FIXTURE / "inbox" / "given@1"
    return {
        "name": "little",
        "root": str(tmp_path / "run"),
        "num_cpus": 8,
        "localise": {"name": "judge-north", "labels": str(labels), **TRAINED},
        "human_audit": {"sheets": [str(tmp_path / "sheet.csv")]},
        **ALL,
    }


def with_only(plain: dict[str, Any], sections: set[str]) -> Recipe:
    left = {"name", "root", "num_cpus", "human_audit", *sections}
    return Recipe.model_validate({key: plain[key] for key in left})


@pytest.mark.parametrize("job", sorted(NEEDS))
def test_a_stage_is_planned_by_what_it_reads_alone(
    job: str, plain: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    print_plan(with_only(plain, NEEDS[job]), [job])
    assert f"  {job} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("job", "section"), [(job, section) for job in NEEDS for section in sorted(NEEDS[job])]
)
def test_a_section_that_is_missing_is_named_with_how_it_is_written(
    job: str, section: str, plain: dict[str, Any]
) -> None:
    with pytest.raises(MissingSectionError) as caught:
        print_plan(with_only(plain, NEEDS[job] - {section}), [job])
    first, line, *others = str(caught.value).splitlines()
    assert first == f"missing in the recipe for jobs.{job}; add"
    assert others == []
    yaml_line, _, why = line.partition("  # ")
    assert why
    added = yaml.safe_load(yaml_line)
    assert set(added) == {section}
    Recipe.model_validate({"name": "n", "root": "r", **added})  # it can be written so


def test_the_loop_names_all_that_is_missing_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"name": "little", "root": str(tmp_path / "run")}))
    assert loop.main(["--recipe", str(recipe), "--dry-run"]) == 2
    first, *lines = capsys.readouterr().err.splitlines()
    readers = ["produce", "audit"]  # the other stages are left out with their sections
    assert first == (
        f"error: missing in the recipe for {', '.join(f'jobs.{one}' for one in readers)}; add"
    )
    assert [line.split(":")[0].strip() for line in lines] == [*("generator", "judge", "produce")]


def test_peoples_labels_need_no_generator(plain: dict[str, Any], tmp_path: Path) -> None:
    given = plain | {"labels": {"path": str(FIXTURE / "inbox" / "given@1")}}
    print_plan(with_only(given, {"labels"}), ["label"])


def test_what_is_only_looked_at_is_asked_for_where_it_is(plain: dict[str, Any]) -> None:
    looks = plain | {"align": {**TRAINED, "sample_every": 1}}
    print_plan(with_only(looks, {"generator", "align", "evaluate"}), ["align"])
    with pytest.raises(MissingSectionError, match=r"add\n  evaluate: \{prompts: FILE\}"):
        print_plan(with_only(looks, {"generator", "align"}), ["align"])


def test_to_read_what_is_not_there_is_the_same_error(plain: dict[str, Any]) -> None:
    recipe = with_only(plain, set())
    assert not recipe.has("align")
    with pytest.raises(
        MissingSectionError, match=r"missing in the recipe; add\n  align: \{num_steps"
    ):
        _ = recipe.align.num_steps
    with pytest.raises(MissingSectionError, match=r"add\n  produce: \{prompts: FILE\}"):
        _ = recipe.produce.prompts
    written = recipe.model_dump(mode="json")
    assert "align" not in written
    assert Recipe.model_validate(written) == recipe
    assert Recipe.model_validate({**written, "align": None}) == recipe  # as older recipes say it


def on(recipe: dict[str, Any], tmp_path: Path, *words: str) -> list[str]:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "little", "root": str(tmp_path / "run"), **recipe}))
    return ["--recipe", str(path), *words]


def test_a_judge_that_is_named_needs_no_section(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(LAPTOP["judge"]["path"])
    labels, picture = str(FIXTURE / "inbox" / "given@1"), str(FIXTURE / "given" / "0-0.png")
    asked = ["--dry-run", "--file", labels]
    assert evaluate_judge.main(on({}, tmp_path, *asked, "--judge", path)) == 0
    shown = ["--dry-run", "--image", picture, "--caption", "a red circle"]
    assert judge.main(on({}, tmp_path, *shown, "--judge", path)) == 0
    for main, words in ((evaluate_judge.main, asked), (judge.main, shown)):
        assert main(on({}, tmp_path, *words)) == 2
        assert "add\n  judge: {path: DIRECTORY_OR_HUB_NAME}" in capsys.readouterr().err


def test_a_rollback_needs_the_generator(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rollback.main(on({}, tmp_path, "--to", "generator@1", "--reason", "r", "--dry-run")) == 2
    assert "add\n  generator: {path: DIRECTORY_OR_HUB_NAME}" in capsys.readouterr().err


# --------------------------------------------------------------------- what was made is found


def old_recipe(sections: set[str]) -> Recipe:
    """That of the old root, with only these of the sections that may be left out."""
    plain = yaml.safe_load((FIXTURE / "recipe.yaml").read_text())
    dropped = {"generator", "judge", "labels", "train_judge", "localise", "distil", "align"}
    left = {key: value for key, value in plain.items() if key not in dropped - sections}
    for key in {"produce", "evaluate"} - sections:
        left[key] = {name: value for name, value in plain[key].items() if name != "prompts"}
    return Recipe.model_validate(left)


@pytest.mark.parametrize("job", sorted(NEEDS))
def test_what_was_made_by_a_whole_recipe_is_found_by_a_part(
    job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FIXTURE)
    # Pairs were also held against the evaluation prompts, which are not needed for it.
    extra = {"evaluate"} if job == "curate" else set()
    at = Round(old_recipe(NEEDS[job] | extra), 1)
    assert find_complete(import_module(f"jobs.stages.{job}").STAGE, at) is not None


def test_report_and_history_cope_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(FIXTURE, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    at = Round(old_recipe(set()), 1)
    page = Path(str(write_report(at))).read_text()
    assert "left out: no `align`" in page  # its generator goes by a name that is not said
    assert "Not complete" not in page
    assert "round 1: promote sketch@1 against sketch@0" in as_text(at.recipe)
