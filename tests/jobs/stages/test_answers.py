"""A model that answers, through the stages that meet its answers: labels, plans and contests."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from factory.evaluation import contest
from factory.evaluation.comparison import compare
from factory.prompts import PromptsFile
from factory.sandbox.oracle_judge import FULL, NAME
from jobs.datasets.reading import read_groups
from jobs.pipelines.groups import run_pipeline
from jobs.pipelines.models import generator_ref
from jobs.rounds.workspace import InputError, Round, champion
from jobs.stages import align, evaluate, label, produce
from jobs.tools.sandbox import write_questions
from schemas.arrow import labels_from_table
from schemas.recipe_file import load


@pytest.fixture
def at(tmp_path: Path) -> Round:
    overrides = [f"root={tmp_path / 'run'}", "labels.num_candidates=4"]
    overrides += [f"produce.{pool}={{size: 1, num_cpus: 0.5}}" for pool in ("generators", "judges")]
    for number, (key, num) in enumerate((("labels", 8), ("produce", 4), ("evaluate", 6))):
        path = tmp_path / f"{key}.parquet"
        write_questions(path, num, number)
        overrides.append(f"{key}.prompts={path}")
    return Round(load("jobs/recipes/answers.yaml", overrides), 1)


def test_every_stage_takes_a_model_that_answers(at: Round, tmp_path: Path) -> None:
    for stage in (label, produce, align, evaluate):
        assert stage.STAGE.plan(at).rows
    tasks = Counter(one.task for one in PromptsFile(tmp_path / "labels.parquet"))
    assert tasks == {"image_understanding": 4, "video_understanding": 4}


def test_the_oracle_refuses_questions_that_are_not_its_own(at: Round, tmp_path: Path) -> None:
    path = tmp_path / "evaluate.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["scene"]), path)
    with pytest.raises(InputError, match="row 1: no tag 'scene'"):
        evaluate.STAGE.plan(at)
    rows = table.to_pylist()
    rows[2]["prompt"] = "why is it so ?"
    pq.write_table(table.from_pylist(rows), path)
    with pytest.raises(InputError, match="row 3: not a sandbox question of this scene"):
        evaluate.STAGE.plan(at)


@pytest.mark.slow  # Ray
def test_sampled_answers_are_labelled_and_compared(
    local_ray: None, at: Round, tmp_path: Path
) -> None:
    directory = at.directory("labels")
    outcome = label.STAGE.make(at, directory, None)  # type: ignore[arg-type]
    made = list(labels_from_table(pq.read_table(directory / "labels.parquet")))
    assert outcome.counts["labels"] == len(made)
    assert {one.prompt.task for one in made} == {"image_understanding", "video_understanding"}
    assert outcome.counts["points"] >= 8
    for one in made:
        assert one.annotator.startswith("simulated:")
        assert one.first is None
        assert one.first_answer
        assert (one.second_answer is None) == (one.preference is None)
        assert one.second_answer != one.first_answer

    from actors.refs import PluginRef

    # The champion against itself under another name: other ids, equal seeds, equal answers.
    old = generator_ref(champion(at), at)
    new = replace(old, address="answerer@9")
    contests = tmp_path / "contests"
    _, settled = run_pipeline(
        PromptsFile(tmp_path / "evaluate.parquet"),
        contests,
        at.recipe,
        generators=[old, new],
        num_candidates=2,
        judges=[PluginRef("sandbox", "evaluate.oracle", NAME)],
        strategy=contest.Versus(2),
    )
    groups = read_groups(contests, settled.files)
    names = (old.address, new.address)
    found = compare(groups, [NAME], names, at.recipe, reference=(NAME, FULL))
    assert found.won.value == 0.5
    before, after, _ = found.evaluation.errors
    assert before.value == after.value
    assert before.num == 12 - before.num_invalid
