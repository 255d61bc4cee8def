"""Results as they are written and read again, and curves of a training run."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.results import (
    Decision,
    Distillation,
    Estimate,
    Evaluation,
    Finding,
    HumanAudit,
    JudgeReport,
    JudgeSlice,
    Localisation,
    Profile,
    ReliabilityBin,
    ResultError,
    Rollback,
    Slice,
    read,
    read_curves,
    read_round,
    to_bytes,
    write,
)

BETTER = Estimate(
    "win rate", 0.6, 0.55, 0.65, 0.5, "share", 40, 2, "judge@1", "a note", kind="edit"
)
GAIN = replace(BETTER, corrected=replace(BETTER, value=None, low=None), is_flagged=True)
FINDING = Finding("min_win_rate", "policy@2", True, 0.5, 0.6, 0.55, None, "is above")
BIN = ReliabilityBin(0.75, 0.7, None, 0.9, 12)


def test_curves_are_read_by_metric(tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    assert read_curves(path) == {}
    points = [
        {"step": 1, "loss": 0.5, "rate": 1e-4},
        {"step": "2", "metrics": {"loss": 0.25, "reward": None}},
        {"step": 3, "loss": 0.125},
    ]
    path.write_text(json.dumps(points))
    assert read_curves(path) == {
        "loss": [(1, 0.5), (2, 0.25), (3, 0.125)],
        "rate": [(1, 1e-4)],
    }


@pytest.mark.parametrize("point", [{"loss": 1.0}, {"step": "x"}, {"step": 1, "loss": "high"}])
def test_a_point_that_is_none_is_named(tmp_path: Path, point: dict[str, object]) -> None:
    path = tmp_path / "curves.json"
    path.write_text(json.dumps([{"step": 1}, point]))
    with pytest.raises(ResultError, match=r"curves\.json: point 1: "):
        read_curves(path)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (Profile("judge@1", (GAIN,)), Profile),
        (
            Evaluation("b@2", "a@1", (GAIN,), (BETTER,), ("a cat",), ("a", "b"), slices=(BETTER,)),
            Evaluation,
        ),
        (HumanAudit("pairs@1", ("ann", "bo"), 300, 20, 3, (GAIN,), 1), HumanAudit),
        (Decision("keep", "b@2", "a@1", (FINDING,)), Decision),
        (Rollback("a@1", "b@2", "worse hands", "2026-01-01T00:00:00+00:00"), Rollback),
        (Localisation("local@1", "judge@1", "region=north", (GAIN,)), Localisation),
        (Distillation("light@1", "judge@1", (GAIN,)), Distillation),
        (JudgeReport("j@1", "l@1", (JudgeSlice("all", (GAIN,), (BIN,), ()),)), JudgeReport),
        ((FINDING, FINDING.about("judge@1")), tuple[Finding, ...]),
        ((Slice("style", "oil", 3, {"kept": 2}, {"blank": 1}),), tuple[Slice, ...]),
    ],
)
def test_what_is_written_is_read_again(tmp_path: Path, result: Any, kind: Any) -> None:
    path = tmp_path / "result.json"
    assert read(path, kind) is None
    write(path, result)
    assert read(path, kind) == result


def test_a_round_is_read_from_its_artifacts_folders(tmp_path: Path) -> None:
    for kind, file, result in (
        ("profile", "profile.json", Profile("judge@1", (GAIN,))),
        ("judge", "findings.json", (FINDING,)),
        ("evaluation", "findings.json", Decision("keep", "b@2", "a@1", (FINDING,))),
    ):
        (tmp_path / kind).mkdir()
        write(tmp_path / kind / file, result)
    found = read_round(lambda kind: tmp_path / kind)
    assert {name: one for name, one in found.items() if one is not None} == {
        "profile": Profile("judge@1", (GAIN,)),
        "judge_findings": (FINDING,),
        "decision": Decision("keep", "b@2", "a@1", (FINDING,)),
    }
    assert len(found) == 12


def test_what_was_not_measured_is_null() -> None:
    profile = Profile("j@1", (Estimate("drift", math.nan, -math.inf, 0.5, num=0),))
    (written,) = json.loads(to_bytes(profile), parse_constant=pytest.fail)["estimates"]
    assert [written[key] for key in ("value", "low", "high", "num")] == [None, None, 0.5, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "file: Invalid JSON"),
        ('{"judge": "j@1"}', "estimates: Field required"),
        ('{"judge": "j@1", "estimates": [{"name": 1, "value": 2}]}', r"estimates\.0\.name: "),
    ],
)
def test_a_result_that_cannot_be_used_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(ResultError, match=rf"profile\.json: {message}"):
        read(path, Profile)


@pytest.mark.parametrize(
    ("low", "high", "neutral", "is_clear"),
    [
        (0.1, 0.3, 0.0, True),
        (-0.3, -0.1, 0.0, True),
        (-0.1, 0.3, 0.0, False),
        (0.0, 0.3, 0.0, False),  # its bound on the neutral value is not beyond it
        (-0.3, 0.0, 0.0, False),
        (None, 0.3, 0.0, False),
        (0.1, None, 0.0, False),
        (0.1, 0.3, None, False),
    ],
)
def test_a_clear_estimate_leaves_out_the_neutral_value(
    low: float | None, high: float | None, neutral: float | None, is_clear: bool
) -> None:
    assert Estimate("x", 0.2, low, high, neutral).is_clear is is_clear
