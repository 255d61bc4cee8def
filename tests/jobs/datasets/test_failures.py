"""Failures are read from the errors of a data set, whatever else is in it."""

from dataclasses import replace
from pathlib import Path

import pytest

from factory.curation.survey import count_groups
from jobs.datasets.failures import say_failures
from jobs.datasets.files import write_table
from jobs.datasets.parts import Settled
from jobs.pipelines.drawing import count_candidates
from schemas.arrow import groups_to_table
from schemas.rows import Candidate, Group, Prompt, Score
from tests.stubs import StubGenerator


def group(text: str) -> Group:
    """Two candidates of one generator, of which a judge takes one, and two that never came."""
    prompt = Prompt.of(text)
    drawn = StubGenerator("sketch@1").generate(prompt, [1, 2])
    lost = [Candidate(f"{text}{n}", "ink@0", n, error=f"OSError: no file {n}") for n in range(2)]
    nan = float("nan")
    scores = (
        Score(drawn[0].candidate_id, "judge@1", 3.0, 0.1),
        Score(drawn[1].candidate_id, "judge@1", nan, nan, "not taken by the judge: 251"),
        *(Score(one.candidate_id, "judge@1", nan, nan, "not generated: x") for one in lost),
    )
    return Group(prompt, (*drawn, *lost), scores)


def test_a_generator_that_always_failed_is_told_with_its_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    groups = [group("a cup"), group("a pot")]
    counts = count_groups(groups)
    assert counts["invalid_candidates"] == counts["invalid_candidates/ink"] == 4
    assert "invalid_candidates/sketch" not in counts
    write_table(tmp_path / "part.parquet", groups_to_table(groups))
    # Beside the files that were settled lie parts of a killed run until the manifest is there.
    write_table(tmp_path / "part-0.parquet", groups_to_table(groups))
    (tmp_path / "part-torn.parquet").write_bytes(b"PAR1 and no more")
    say_failures(tmp_path, Settled(("part.parquet",), "", counts))
    assert capsys.readouterr().out.splitlines() == [
        "  ink: 4 of 4 came to nothing: 4 x OSError: no file #",
        "  judge: 2 of 4 came to nothing: 2 x not taken by the judge: #",
    ]
    assert count_candidates(groups_to_table(groups)) == {
        "prompts": 2,
        "candidates": 8,
        "invalid": 4,
        "invalid_candidates/ink": 4,
    }


def test_where_nothing_failed_nothing_is_said_or_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = replace(group("a cup"), candidates=(), scores=())
    made = Settled(("part.parquet",), "", count_groups([whole]) | {"invalid": 0})
    say_failures(tmp_path / "not there", made)
    assert capsys.readouterr().out == ""
