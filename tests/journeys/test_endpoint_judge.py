"""A judge behind an endpoint in every place: it judges the round, is audited, and is measured on
labels. The server is a stub that likes what is bright; what it was asked is counted.
"""

from pathlib import Path

import pytest

from jobs import evaluate_judge, loop
from jobs.datasets.reading import read_groups, read_table
from jobs.rounds.workspace import Round
from schemas import results
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.recipe_file import load
from tests.actors.test_endpoint import StubServer

RECIPE = "jobs/recipes/own-candidates.yaml"
LABELS = "tests/fixtures/d5e4ef4/inbox/given@1"


def test_an_endpoint_judges_is_audited_and_measured(
    local_ray: None, server: StubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = (
        f"judge={{path: '{server.url}', endpoint: {{model: m, num_retries: 0}}, revision: '1', "
        "specification: unifiedreward-llava-onevision}"
    )
    words = [judge, "produce.judges={size: 1, num_cpus: 1, num_gpus: 1}", "audit.num_groups=2"]
    words += ["audit.num_resamples=50", "audit.edits=[brightness]", "num_cpus=4"]
    small = [f"root={tmp_path / 'run'}", *words]
    assert loop.main(["--recipe", RECIPE, *small]) == 0
    assert f"judge@0 as it is ({server.url}, raw verdicts)" in capsys.readouterr().out
    at = Round(load(RECIPE, small), 1)
    groups = read_groups(at.directory("groups"))
    assert {one.judge for group in groups for one in group.scores} == {"judge@0"}
    replies = [one for group in groups for one in group.replies]
    assert len({one.key for one in replies}) == len(replies) > 0
    assert all(one.text for one in replies)
    assert len(pairs_from_table(read_table(at.directory("pairs"), PAIRS))) > 0
    profile = results.read(at.directory("profile") / results.PROFILE, results.Profile)
    assert profile is not None
    judged_by = {one for one in at.need("groups").parents if one.role == "judge"}
    assert {one.digest for one in judged_by} == {f"{server.url.partition('://')[2]} m@1"}

    # What was said is not asked for again, by a root of its own.
    before = len(server.requests)
    again = [f"root={tmp_path / 'again'}", *words, f"produce.reuse=[{at.directory('groups')}]"]
    assert loop.main(["--recipe", RECIPE, *again, "audit.num_groups=0"]) == 0
    assert len(server.requests) == before
    taken = read_groups(Round(load(RECIPE, again), 1).directory("groups"))
    assert [one.scores for one in taken] == [one.scores for one in groups]

    out = tmp_path / "measured@1"
    given = ["--recipe", RECIPE, "--format", "labels", "--file", LABELS, "--out", str(out)]
    assert evaluate_judge.main([*given, "--judge", server.url, *small]) == 0
    measured = results.read(out / results.AGREEMENT, results.JudgeReport)
    assert measured is not None
    assert len(server.requests) > before
    # The same judge under its name is the same work.
    assert evaluate_judge.main([*given, "--judge", "judge@0", *small]) == 0
    assert "complete already" in capsys.readouterr().out
