"""From a table of one's own to a judge, by the commands of the page."""

import re
import shlex
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest

from jobs.datasets.labels import label_batches
from jobs.datasets.reading import data_files
from jobs.tools.sandbox import write_votes
from schemas import manifest
from schemas.arrow import labels_from_table
from schemas.recipe_file import load

PAGE = Path("docs/journeys/own-labels.md").read_text()
SMALL = ("train_judge.num_steps=2", "train_judge.batch_size=4", "gates.min_judge_accuracy=0")
LENIENT = "gates.max_flip_rate=1"


def commands(runs: Path) -> dict[str, list[str]]:
    """The page's commands by job, with another place than `runs`."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").replace("runs/", f"{runs}/").splitlines()
    split = [shlex.split(line) for line in lines]
    assert all(words[:2] == [".venv/bin/python", "-m"] for words in split)
    return {words[2].removeprefix("jobs."): words[3:] for words in split}


def run(job: str, arguments: list[str]) -> int:
    return int(import_module(f"jobs.{job}").main(arguments))


@pytest.mark.slow
def test_a_table_becomes_labels_that_a_judge_is_trained_on(
    tmp_path: Path, local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    page = commands(tmp_path)
    assert list(page) == ["sandbox", "import_labels", "label", "train_judge", "judge"]
    (tmp_path / "votes").mkdir()
    write_votes(tmp_path / "votes", 20, seed=0)  # the page's command writes more of them
    assert run("import_labels", [*page["import_labels"], "--heldout-share=0.3"]) == 0
    labels = [
        label
        for batch in label_batches(data_files(tmp_path / "votes@1"))
        for label in labels_from_table(batch)
    ]
    assert Counter(label.preference for label in labels)["tie"] == 2
    assert {label.annotator for label in labels} == {"simulated:ann", "simulated:ben"}
    made = manifest.read(tmp_path / "votes@1")
    assert made is not None
    assert made.settings["map"]["first"] == "image_a"
    assert made.settings["values"] == {"left": "first", "right": "second", "both": "tie"}

    places = [f"root={tmp_path / 'own-labels'}", f"labels.path={tmp_path / 'votes@1'}"]
    for job in ("label", "train_judge"):
        assert run(job, [*page[job], *places, *SMALL, LENIENT]) == 0
    judge = manifest.read(tmp_path / "own-labels" / "models" / "judge@1")
    assert judge is not None
    assert judge.counts["labels"] == 20
    capsys.readouterr()
    assert run("judge", [*page["judge"], *places]) == 0
    assert "000-a.png" in capsys.readouterr().out


def test_the_recipe_is_as_shipped() -> None:
    recipe = load("jobs/recipes/own-labels.yaml")
    assert recipe.labels.path == "runs/votes@1"
    assert recipe.train_judge.pair_share == 1
