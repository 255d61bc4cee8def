"""What shares our environment is loaded in each run of the tests; `make compat` has the others."""

from pathlib import Path

import pytest

from tests.compat import with_datasets, with_diffusion_dpo, with_trl
from tests.compat.__main__ import WEIGHTS
from tests.compat.samples import sample


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def test_datasets_shows_the_pictures_of_an_export(tmp_path: Path) -> None:
    assert "6 with both pictures shown" in with_datasets.load(str(sample(tmp_path, "datasets")))


def test_a_row_of_pick_a_pic_is_read_as_diffusion_dpo_does(tmp_path: Path) -> None:
    assert "6 rows" in with_diffusion_dpo.load(str(sample(tmp_path, "pick-a-pic")))


@pytest.mark.slow
def test_the_dpo_trainer_of_trl_takes_a_step(tmp_path: Path) -> None:
    assert "a step on 6 pairs" in with_trl.train(str(sample(tmp_path, "trl")), str(WEIGHTS))
