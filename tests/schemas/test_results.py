"""Curves of a training run as they are read from their file."""

import json
from pathlib import Path

import pytest

from schemas.results import ResultError, read_curves


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
