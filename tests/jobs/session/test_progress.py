"""Stages that only look at rows say how far they are, as those do that make them."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.pipelines.bias import observe_groups, probe_judge
from jobs.pipelines.opinions import judge_labels, judges_on_labels
from jobs.rounds.workspace import Round
from jobs.session.run_log import run_log
from schemas.arrow import groups_to_table, labels_to_table
from schemas.recipe_file import load
from schemas.rows import Group, Label, Prompt
from tests.stubs import Ref, StubGenerator, StubJudge

pytestmark = pytest.mark.slow  # Ray


def group(number: int) -> Group:
    prompt = Prompt.of(f"prompt {number}")
    candidates = StubGenerator().generate(prompt, [number, number + 1, number + 2])
    sitting = StubJudge().sit(prompt, candidates)
    duels = sitting.duels([(0, 1), (1, 0)])
    return Group(prompt, tuple(candidates), tuple(sitting.scores()), tuple(duels))


def test_auditing_and_measuring_say_how_far_they_are(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.session.progress._LINE_S", 0.0)  # at every look
    monkeypatch.setattr("jobs.pipelines.bias.judge_ref", lambda at: Ref(StubJudge()))
    only = ["audit.num_groups=6", "audit.edits=[brightness]"]
    at = Round(load("jobs/recipes/laptop.yaml", [f"root={tmp_path}", *only]), 1)
    groups = [group(number) for number in range(5)]
    failed = Group(Prompt.of("failed"), (), error="out of memory")
    at.directory("groups").mkdir(parents=True)
    pq.write_table(groups_to_table([*groups, failed]), at.directory("groups") / "a.parquet")
    labels = [
        Label(
            f"label {one.prompt.text}",
            one.prompt if number else Prompt.of("judge fails"),
            "ann",
            one.candidates[0].media,
            one.candidates[1].media,
            "first",
            split="train" if number == 4 else "heldout",
        )
        for number, one in enumerate(groups)
    ]
    file = tmp_path / "labels.parquet"
    pq.write_table(labels_to_table(labels), file)
    with run_log(tmp_path / "log.jsonl"):
        assert len(observe_groups(at)) == 6
        assert len({one.prompt_id for one in probe_judge(at)}) == 5
        opinions = judge_labels(Ref(StubJudge()), [file], at.recipe.produce, "heldout")
    assert [one.error is None for one in opinions] == [False, True, True, True]
    two = ["label prompt 2", "label prompt 3"]
    other = Ref(StubJudge(name="other@0"))
    some = judges_on_labels([Ref(StubJudge()), other], [file], at.recipe.produce, only=two)
    assert some["stubjudge@1"] == opinions[2:]
    assert [(one.label_id, one.judge) for one in some["other@0"]] == [(n, "other@0") for n in two]
    said = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    last = {
        (one["stage"], one.get("in")): (one["rows"], one["of"], one["invalid"])
        for one in said
        if one["event"] == "progress"
    }
    assert last == {
        ("profile@1", "observe"): (6, 6, 1),
        ("profile@1", "probe"): (6, 6, 1),
        ("labels before stubjudge@1", None): (4, 4, 1),
    }
    invalid = [(one["in"], one["row"]) for one in said if one["event"] == "row_invalid"]
    assert invalid == [
        ("observe", failed.prompt.prompt_id),
        ("probe", failed.prompt.prompt_id),
        ("opinions", "label prompt 0"),
    ]
