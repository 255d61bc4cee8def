"""One table of kinds, and one owner of folder names."""

import ast
import importlib
from pathlib import Path

import pytest

from jobs.stages.run import STAGES
from schemas import artifacts, places

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    value for name, value in vars(places).items() if name.isupper() and isinstance(value, str)
}


def test_each_kind_is_made_by_a_job_that_there_is():
    for kind in artifacts.KINDS:
        module = kind.made_by.split()[2].replace(".", "/")  # python -m jobs.JOB …
        assert (ROOT / f"{module}.py").is_file(), kind
        assert artifacts.ADDRESS.fullmatch(f"{kind.name}@1"), kind  # else no lineage finds it
    names = [kind.name for kind in artifacts.KINDS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*STAGES, "draw", "human_audit", "localise", "distil"])
def test_a_stage_makes_the_kind_whose_job_it_is(name):
    stage = importlib.import_module(f"jobs.stages.{name}").STAGE
    assert artifacts.kind_named(stage.kind).job == name


def test_only_models_of_the_loop_have_an_alias_of_their_own():
    for kind in artifacts.KINDS:
        assert (kind.alias is not None) == (kind.is_model and kind.is_in_loop), kind


def spelled(path: Path) -> list[str]:
    """The names of a root's folders that a file writes out: whole, or as the start of a path."""
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.partition("/")[0] in FOLDERS
        and "\n" not in node.value
    ]


def test_no_file_but_their_owner_spells_a_folder_of_the_root():
    folders = {"data", "models", "media", "objects", "reports", "logs", "rollbacks", "cards"}
    folders.add("_training")
    assert folders == FOLDERS
    owner = ROOT / "schemas" / "places.py"
    assert len(spelled(owner)) == len(FOLDERS)
    files = [
        file
        for package in ("schemas", "factory", "actors", "jobs")
        for file in (ROOT / package).rglob("*.py")
    ]
    others = {file: spelled(file) for file in files if file != owner}
    # By themselves those of packs and models are also names of columns, here and in UltraFeedback.
    columns = {places.PACKS, places.MODELS}
    others = {file: [one for one in names if one not in columns] for file, names in others.items()}
    assert {file: names for file, names in others.items() if names} == {}
