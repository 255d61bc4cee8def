"""The life of an artifact without a round: found, begun, made, completed, raced for, abandoned."""

import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from jobs.rounds import lifecycle
from jobs.rounds.lifecycle import Blueprint, LostRaceError, Outcome
from jobs.rounds.made_with import joined
from jobs.rounds.workspace import InputError
from schemas import manifest
from schemas.manifest import Parent
from schemas.section import Section


class Settings(Section):
    share: float


@pytest.fixture
def blueprint(tmp_path: Path) -> Blueprint:
    parents = (Parent("source", "train.json", "1111"),)
    return Blueprint(tmp_path / "texts@1", "labels", Settings(share=0.2), parents)


def work(blueprint: Blueprint, text: str = "text") -> Outcome:
    (blueprint.directory / "rows.txt").write_text(text)
    return Outcome({"rows": 3})


def fail(blueprint: Blueprint) -> Outcome:
    work(blueprint, "half")
    raise RuntimeError("no more disk")


def other(blueprint: Blueprint) -> Blueprint:
    return replace(blueprint, settings=Settings(share=0.5))


def test_what_is_made_is_found_again_and_no_other_work_is_taken_for_it(
    blueprint: Blueprint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lifecycle.find(blueprint) is None
    made = lifecycle.make(blueprint, lambda: work(blueprint))
    assert (made.address, made.kind, made.counts) == ("texts@1", "labels", {"rows": 3})
    assert made.digest == manifest.digest_files(blueprint.directory)
    assert made.made_with["torch"] == version("torch")
    assert made.made_with["device"]
    older = json.loads(manifest.to_bytes(made))
    del older["made_with"]
    assert manifest.of_bytes(json.dumps(older).encode(), "m") == replace(made, made_with={})
    assert "texts@1: complete in 0 s (rows 3)" in capsys.readouterr().out
    assert lifecycle.find(blueprint) == made
    with pytest.raises(InputError, match=r"texts@1 was made with another recipe:\n  share: 0\.2"):
        lifecycle.find(other(blueprint))
    with pytest.raises(InputError, match="its inputs have changed"):
        lifecycle.find(replace(blueprint, parents=()))


def test_a_message_says_what_to_change_where_no_recipe_is(blueprint: Blueprint) -> None:
    by_hand = replace(blueprint, source="command line", place_key="--out")
    lifecycle.make(by_hand, lambda: work(by_hand))
    with pytest.raises(InputError) as caught:
        lifecycle.find(other(by_hand))
    assert "made with another command line" in str(caught.value)
    assert "Use another --out, or remove what lies there" in str(caught.value)


def test_only_unfinished_work_of_the_same_blueprint_is_resumed(blueprint: Blueprint) -> None:
    with pytest.raises(RuntimeError):
        lifecycle.make(blueprint, lambda: fail(blueprint), resumes=True)
    assert (blueprint.directory / "rows.txt").read_text() == "half"
    with pytest.raises(InputError, match=r"unfinished texts@1 .*another recipe:\n  share: 0\.2"):
        lifecycle.make(other(blueprint), lambda: work(blueprint), resumes=True)
    assert lifecycle.make(other(blueprint), lambda: work(blueprint)).settings == {"share": 0.5}


def test_a_failed_run_that_keeps_nothing_leaves_no_directory(blueprint: Blueprint) -> None:
    with pytest.raises(RuntimeError, match="no more disk"):
        lifecycle.make(blueprint, lambda: fail(blueprint), keeps=False)
    assert not blueprint.directory.exists()


def test_work_of_another_driver_and_what_is_complete_below_stay(blueprint: Blueprint) -> None:
    def taken_over() -> Outcome:
        lifecycle.begin(other(blueprint), resumes=False)
        return fail(blueprint)

    def after_a_part() -> Outcome:
        below = replace(blueprint, directory=blueprint.directory / "part@1")
        lifecycle.make(below, lambda: work(below))
        return fail(blueprint)

    for failing in (taken_over, after_a_part):
        with pytest.raises(RuntimeError):
            lifecycle.make(blueprint, failing, keeps=False)
        assert blueprint.directory.is_dir()
    assert manifest.read(blueprint.directory / "part@1") is not None


@pytest.mark.parametrize("fails", [False, True])
def test_of_two_drivers_the_first_has_made_it(blueprint: Blueprint, fails: bool) -> None:
    def overtaken() -> Outcome:
        lifecycle.make(blueprint, lambda: work(blueprint))
        return fail(blueprint) if fails else work(blueprint)

    with pytest.raises(LostRaceError, match=r"another driver \(.*\) completed texts@1 first"):
        lifecycle.make(blueprint, overtaken, keeps=False)
    assert lifecycle.find(blueprint) is not None


def test_finishing_clears_what_the_manifest_does_not_name(blueprint: Blueprint) -> None:
    def named() -> Outcome:
        for name in ("part-0.parquet", "part-1.parquet"):
            (blueprint.directory / name).write_bytes(b"rows")
        return Outcome(digest="1234", files=("part-0.parquet",))

    made = lifecycle.make(blueprint, named)
    assert not lifecycle.is_finished(blueprint.directory)
    lifecycle.finish(blueprint.directory, made)
    assert lifecycle.is_finished(blueprint.directory)
    assert [one.name for one in blueprint.directory.glob("*.parquet")] == ["part-0.parquet"]
    again = lifecycle.remake(made, blueprint.directory, Outcome({"rows": 1}, digest="5678"))
    assert (again.digest, again.fingerprint) == ("5678", made.fingerprint)
    assert not lifecycle.is_finished(blueprint.directory)  # to be recorded anew
    with pytest.raises(LostRaceError):
        lifecycle.remake(made, blueprint.directory, Outcome())


def test_somebody_elses_files_are_left_alone(blueprint: Blueprint) -> None:
    lifecycle.check_free(blueprint, "import")
    blueprint.directory.mkdir()
    lifecycle.check_free(blueprint, "import")
    (blueprint.directory / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match=r"texts@1: holds files that are no import"):
        lifecycle.check_free(blueprint, "import")
    lifecycle.begin(blueprint, resumes=False)
    lifecycle.check_free(blueprint, "import")


def test_what_was_begun_is_noted_before_the_first_byte(blueprint: Blueprint) -> None:
    seen = []

    def look() -> Outcome:
        files = [one for one in blueprint.directory.iterdir() if one.is_file()]
        seen.extend(json.loads(one.read_text()) for one in files)
        return Outcome()

    lifecycle.make(blueprint, look)
    assert seen == [{"fingerprint": blueprint.fingerprint, "settings": {"share": 0.2}}]


def test_what_was_made_in_two_sittings_says_both() -> None:
    before = {"torch": "2.1", "device": "A100"}
    now = {"torch": "2.1", "device": "H100", "diffusers": "0.9"}
    assert joined(before, now) == {
        "torch": "2.1",
        "device": "A100 and H100",
        "diffusers": "0.9",
    }
