"""A panel of two judges, of weights and behind an endpoint, from its labels to the report."""

import json
from pathlib import Path

import pytest

from jobs import loop, panel, produce
from jobs.datasets.reading import read_groups, read_table
from jobs.rounds.workspace import Round
from schemas import results
from schemas.arrow import pairs_from_table
from schemas.columns import PAIRS
from schemas.recipe_file import load
from tests.actors.test_endpoint import StubServer

RECIPE = "jobs/recipes/own-candidates.yaml"
LABELS = "tests/fixtures/d5e4ef4/inbox/given@1"


def test_a_panel_judges_and_its_disagreement_is_told(
    local_ray: None, server: StubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = (
        "{path: factory/sandbox/weights/judge, name: own}, "
        f"{{path: '{server.url}', name: bright, endpoint: {{model: m, num_retries: 0}}, "
        "revision: '1', specification: unifiedreward-llava-onevision}"
    )
    words = [f"judge={{panel: [{members}], name: both}}", "audit.num_groups=0", "num_cpus=4"]
    words += ["audit.num_resamples=50", "curate.objections.min_margin=0"]
    small = [f"root={tmp_path / 'run'}", *words]
    file = tmp_path / "panel.json"
    given = ["--recipe", RECIPE, "--file", LABELS, "--out", str(file)]
    assert panel.main([*given, *small]) == 0
    said = capsys.readouterr().out
    assert "  own: right in " in said
    assert "  together: right in " in said
    assert json.loads(file.read_text())["members"] == ["own", "bright"]
    assert panel.main([*given, *small]) == 2
    assert "is there already" in capsys.readouterr().err

    small.append(f"judge.fusion={file}")
    server.queue = [(400, {}, b"too long")]  # one request that is refused for good
    assert loop.main(["--recipe", RECIPE, *small]) == 0
    said = capsys.readouterr().out
    assert f"both@0, a panel of own (factory/sandbox/weights/judge), bright ({server.url})" in said
    assert "both@0: panel: own@0 and bright@0 prefer different sides: " in said

    at = Round(load(RECIPE, small), 1)
    groups = read_groups(at.directory("groups"))
    assert {one.judge for group in groups for one in group.scores} == {"both@0"}
    for group in groups:
        assert {one.judge for one in group.member_scores} == {"own@0", "bright@0"}
        assert {one.judge for one in group.replies} == {"own@0", "bright@0"}
        assert len(group.member_scores) == 2 * len(group.scores)
        assert len(group.member_duels) == 2 * len(group.duels)
    errors = [one.error for group in groups for one in (*group.scores, *group.duels) if one.error]
    assert [error for error in errors if error.startswith("bright@0: endpoint: HTTP 400")]
    roles = [one.role for one in at.need("groups").parents]
    assert roles.count("member") == 2
    assert "fusion" in roles

    pairs = pairs_from_table(read_table(at.directory("pairs"), PAIRS))
    assert {pair.judge for pair in pairs} == {"both@0"}
    told = [pair for pair in pairs if pair.dissent is not None]
    assert told
    objected = [p for p in told if any(one.startswith("panel: ") for one in p.objections)]
    assert objected == [pair for pair in told if (pair.dissent or 0) > 0.4]
    profile = results.read(at.directory("profile") / results.PROFILE, results.Profile)
    assert profile is not None
    assert any(one.name.startswith("panel: own@0 and bright@0") for one in profile.estimates)
    assert "own@0 and bright@0 prefer different sides" in Path(str(at.report())).read_text()

    # Nobody is asked again by a root of its own; what failed for good stays as it is.
    before = len(server.requests)
    again = [f"root={tmp_path / 'again'}", *small[1:], f"produce.reuse=[{at.directory('groups')}]"]
    assert produce.main(["--recipe", RECIPE, *again]) == 0
    assert len(server.requests) == before
    taken = read_groups(Round(load(RECIPE, again), 1).directory("groups"))
    assert str([one.scores for one in taken]) == str([one.scores for one in groups])
