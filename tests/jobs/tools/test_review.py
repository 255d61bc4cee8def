import os

import pytest

from jobs import review

RECIPE = """
name: laptop
root: {root}
generator: {{path: g}}
judge: {{path: j}}
labels: {{prompts: a.txt}}
train_judge: {{num_steps: 1, batch_size: 1, learning_rate: 1}}
produce: {{prompts: b.txt}}
align: {{num_steps: 1, batch_size: 1, learning_rate: 1}}
evaluate: {{prompts: c.txt}}
"""


@pytest.fixture
def recipe_file(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(root=tmp_path / "run"))
    return path


def test_reports_are_listed_in_the_order_of_the_rounds(recipe_file, tmp_path, capsys):
    reports = tmp_path / "run" / "reports"
    reports.mkdir(parents=True)
    for number in (10, 2, 1):
        (reports / f"round-{number}.html").touch()
    assert review.main(["--recipe", str(recipe_file), "--dry-run"]) == 0
    names = [line.rpartition("/")[2] for line in capsys.readouterr().out.split()]
    assert names == ["round-1.html", "round-2.html", "round-10.html"]


def test_nothing_made_yet(recipe_file, capsys):
    assert review.main(["--recipe", str(recipe_file)]) == 2
    told = capsys.readouterr()
    assert "no reports under" in told.out
    assert "nothing was tracked there yet" in told.err


def test_a_server_that_runs_elsewhere_is_named(recipe_file, capsys):
    uri = "tracking_uri=https://me:secret@tracking.example"
    assert review.main(["--recipe", str(recipe_file), uri]) == 0
    assert "https://***@tracking.example" in capsys.readouterr().out


def test_a_faulty_recipe(recipe_file, capsys):
    assert review.main(["--recipe", str(recipe_file), "nme=x"]) == 2
    assert "nme: unknown key" in capsys.readouterr().err


def test_the_server_listens_here_only_and_its_store_is_not_on_the_command_line(
    recipe_file, monkeypatch
):
    called = []
    monkeypatch.setattr("os.execve", lambda *arguments: called.append(arguments))
    uri = "tracking_uri=postgresql://me:secret@host/db"
    assert review.main(["--recipe", str(recipe_file), "--port", "5123", uri]) == 0
    ((_, command, environment),) = called
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == "5123"
    assert not any("secret" in word for word in command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@host/db"


def test_a_store_in_an_odd_folder_is_served_by_its_plain_name(recipe_file, tmp_path, monkeypatch):
    root = tmp_path / "a?b%20c"
    root.mkdir()
    (root / "mlflow.db").touch()
    called = []
    monkeypatch.setattr("os.execve", lambda *arguments: called.append((*arguments, os.getcwd())))
    monkeypatch.chdir(tmp_path)
    assert review.main(["--recipe", str(recipe_file), f"root={root}"]) == 0
    ((_, _, environment, directory),) = called
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "sqlite:///mlflow.db"
    assert directory == str(root)
