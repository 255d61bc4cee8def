"""Bad input ends in one clear message, with exit code 2, before Ray or a model is loaded."""

import os
from pathlib import Path

import pytest
import yaml

from jobs import loop, produce
from jobs.stages.run import STAGES

LAPTOP = "jobs/recipes/laptop.yaml"


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a large red cross in the center on a white background\n")
    return path


@pytest.fixture(autouse=True)
def _ray_stays_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether Ray runs already does not matter (other tests share one): no job may start it."""
    import ray

    def init(*args: object, **settings: object) -> None:
        pytest.fail("the job started Ray")

    monkeypatch.setattr(ray, "init", init)


def refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, *overrides: str, recipe: str = LAPTOP
) -> str:
    """Run the loop without `--dry-run`; the message that it ends in."""
    given = ["--recipe", recipe, f"root={tmp_path / 'out'}", *overrides]
    assert loop.main(given) == 2
    assert not (tmp_path / "out").exists()
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    return message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("produce.bogus=1", "produce.bogus: unknown key"),
        ("align.beta=strong", "align.beta: "),
        ("produce.prompts=absent.txt", "absent.txt: no such prompts file"),
        ("generator.path=absent/model/here", "generator.path: no model at 'absent/model/here'"),
        ("generator.path=factory/sandbox", "generator.path: factory/sandbox is a directory but no"),
        ("judge.path=./absent", "judge.path: no model at './absent'"),
        ("judge.path=someone/some-vlm", "HF_HUB_OFFLINE=1 forbids the hub"),
        ("judge.specification=absent.json", "judge.specification: absent.json: missing"),
        (
            "evaluate.endpoint={url: 'http://h/v1', model: m, specification: x}",
            "evaluate.endpoint.specification: x/judge.json: no such file",
        ),
        (
            "evaluate.endpoint={url: 'http://h/v1', model: m, "
            "specification: unifiedreward-qwen2.5-vl, key_variable: NO_SUCH_KEY}",
            "evaluate.endpoint: the environment has no NO_SUCH_KEY",
        ),
        ("evaluate.endpoint={url: 'ftp://h', model: m, specification: x}", "evaluate.endpoint.url"),
        ("num_cpus=3", "num_cpus: jobs.label needs 5 logical CPUs, the recipe gives 3"),
        ("produce.generators.size=9", "make the pools smaller"),
        ("labels.path=absent.parquet", "labels.path: absent.parquet: no such file"),
        ("labels.path=pyproject.toml", "labels.path: pyproject.toml: cannot be read as Parquet"),
        ("evaluate.prompts=jobs/recipes/prompts/produce.txt", "held-out prompts must be new"),
    ],
)
def test_a_bad_value_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, override: str, message: str
) -> None:
    assert message in refused(capsys, tmp_path, override)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("\n", "row 2: 'prompt' is empty"),
        ("a large red cross in the center on a white background\n", "row 2: duplicate of row 1"),
    ],
)
def test_a_bad_row_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, prompts: Path, line: str, message: str
) -> None:
    with prompts.open("a") as file:
        file.write(line)
    found = refused(capsys, tmp_path, f"produce.prompts={prompts}")
    assert f"{prompts}: {message}" in found


@pytest.mark.parametrize(
    ("recipe", "key", "lacks", "made_by"),
    [
        ("answers", "labels.prompts", "absent/label.parquet", "questions --out absent`"),
        ("video", "generator.path", "runs/absent/clips", "clips --out runs/absent/clips`"),
    ],
)
def test_what_the_sandbox_does_not_ship_comes_with_the_command_that_makes_it(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    recipe: str,
    key: str,
    lacks: str,
    made_by: str,
) -> None:
    file = f"jobs/recipes/{recipe}.yaml"
    found = refused(capsys, tmp_path, f"{key}={lacks}", recipe=file)
    assert f"{key}: " in found
    assert lacks in found
    assert f"python -m jobs.sandbox {made_by}" in found
    # Without the oracle it may be anybody's recipe.
    found = refused(capsys, tmp_path, f"{key}={lacks}", "evaluate.oracle=none", recipe=file)
    assert lacks in found
    assert "sandbox" not in found


def test_a_row_of_the_wrong_type_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "x"}\n{"prompt": 7}\n')
    found = refused(capsys, tmp_path, f"produce.prompts={path}")
    assert f"{path}: row 2: 'prompt' is int, not text" in found


def test_the_oracle_refuses_captions_that_it_cannot_read(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a dog on a skateboard\n")
    found = refused(capsys, tmp_path, f"evaluate.prompts={path}")
    assert "row 1: not a sandbox caption: 'a dog on a skateboard'" in found


def test_an_unwritable_output_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    given = ["--recipe", LAPTOP, f"root={tmp_path / 'file' / 'out'}"]
    assert loop.main(given) == 2
    assert "is a file, not a directory" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable to root")
def test_a_read_only_output_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert loop.main(["--recipe", LAPTOP, f"root={tmp_path / 'out'}"]) == 2
    assert "is not writable" in capsys.readouterr().err


def test_a_missing_stage_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert produce.main(["--recipe", LAPTOP, f"root={tmp_path / 'out'}"]) == 2
    assert "judge@1 is not complete; run `python -m jobs.train_judge`" in capsys.readouterr().err


def test_a_round_that_is_not_in_the_recipe_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert produce.main(["--round", "2", "--recipe", LAPTOP, f"root={tmp_path / 'out'}"]) == 2
    assert "--round 2: the recipe has num_rounds: 1" in capsys.readouterr().err


def test_a_dry_run_prints_the_plan_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert loop.main(["--dry-run", "--recipe", LAPTOP, f"root={tmp_path / 'out'}"]) == 0
    plan = capsys.readouterr().out
    for stage in STAGES:
        assert f"  {stage} " in plan
    assert "610 prompts x 8 candidates" in plan
    assert not (tmp_path / "out").exists()


def test_the_shipped_recipes_are_plain_yaml() -> None:
    recipes = list(Path("jobs/recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        assert isinstance(yaml.safe_load(path.read_text()), dict)
