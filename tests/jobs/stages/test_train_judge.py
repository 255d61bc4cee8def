"""What `train_judge` does around the training: what it refuses, fits, reports on and gates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.judging.fitting import part
from factory.judging.specification import DEFAULT, JudgeSpecification
from jobs.datasets.files import write_table
from jobs.pipelines.judge_training import check_points, check_shown, fit_calibration
from jobs.pipelines.opinions import (
    OPINIONS_FILE,
    heldout_opinions,
    hold_against_gates,
    write_opinions,
)
from jobs.rounds.workspace import InputError, Round
from jobs.stages.train_judge import _count, _is_scored
from schemas import results
from schemas.arrow import labels_to_table
from schemas.recipe import Calibrate, Recipe
from schemas.rows import Duel, Label, Media, Opinion, Part, Prompt, Score

PICTURE = Media(b"x", 1, 1)


def opinions(num: int, sharpness: float = 3.0, seed: int = 0) -> list[Opinion]:
    """A judge whose log-odds are too large, on pairs of as many prompts; and points."""
    rng = np.random.default_rng(seed)
    found = []
    for n in range(num):
        true = float(rng.normal()) * 1.5
        preference = "first" if rng.random() < 1 / (1 + np.exp(-true)) else "second"
        p = float(1 / (1 + np.exp(-true * sharpness)))
        duels = (
            Duel("0", "1", "judge@1", p, 1 - p, 0.0),
            Duel("1", "0", "judge@1", 1 - p, p, 0.0),
        )
        task = "image_generation"
        found.append(
            Opinion(f"l{n}", f"p{n}", task, {}, "judge@1", preference, None, (), duels)  # type: ignore[arg-type]
        )
        score = Score("0", "judge@1", float(3 + true / 4), 0.5)
        points = int(np.clip(round(3 + true), 1, 5))
        found.append(Opinion(f"s{n}", f"p{n}", task, {}, "judge@1", None, points, (score,)))
    return found


def test_points_off_the_judges_scale_are_refused_before_training(tmp_path: Path) -> None:
    labels = [Label(f"l{n}", Prompt.of("p"), "ann", PICTURE, points=n) for n in (1, 5, 87)]
    path = tmp_path / "labels.parquet"
    pq.write_table(labels_to_table(labels), path)
    with pytest.raises(InputError, match=r"1 label\(s\) of image_generation have points off .* 87"):
        check_points([path], DEFAULT)
    pq.write_table(labels_to_table(labels[:2]), path)
    check_points([path], DEFAULT)
    assert _count([path, path]) == {"labels": 4, "train": 4, "heldout": 0}


def test_edits_are_refused_before_a_judge_is_trained_that_has_no_words_for_them(
    tmp_path: Path,
) -> None:
    edit = Prompt.of_parts([Part("source", media=PICTURE), Part("user", "redder")])
    labels = [
        Label(f"l{n}", one, "ann", PICTURE, points=3)
        for n, one in enumerate([Prompt.of("p"), edit])
    ]
    path = tmp_path / "labels.parquet"
    write_table(path, labels_to_table(labels))
    check_shown([path], DEFAULT)
    wordless = {name: replace(task, source="") for name, task in DEFAULT.tasks.items()}
    with pytest.raises(InputError, match=r"1 label\(s\) of image_generation are about edits"):
        check_shown([path], JudgeSpecification(wordless))
    sound = Prompt.of_parts([Part("sound", media=PICTURE), Part("user", "louder")])
    write_table(path, labels_to_table([Label("l", sound, "ann", PICTURE, points=3)]))
    with pytest.raises(InputError, match="label's prompt: role 'sound' is not yet"):
        check_shown([path], DEFAULT)
    write_table(path, labels_to_table(labels).drop_columns(["prompt_parts"]))
    check_shown([path], JudgeSpecification(wordless))


def test_media_too_narrow_to_be_shown_are_refused_before_training(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    narrow = Media(b"", 2010, 8)
    write_table(path, labels_to_table([Label("l", Prompt.of("p"), "ann", narrow, points=3)]))
    with pytest.raises(InputError, match="a label is of a medium of 2010 × 8 pixels"):
        check_shown([path], DEFAULT)


def test_what_is_reported_on_was_not_fitted_on() -> None:
    found = opinions(400)
    calibration, rest = fit_calibration(found, Calibrate())
    assert calibration is not None
    fitted = calibration.tasks["image_generation"]
    assert fitted.num_pairs + len([one for one in rest if one.preference]) == 400
    assert all(part(one, 0.5) == "report" for one in rest)
    assert fitted.pairs is not None
    assert fitted.scores is not None
    # Prompts stay whole: a pair and the points of its prompt are on one side.
    assert len(rest) == 2 * len({one.prompt_id for one in rest})
    other, _ = fit_calibration([one for one in found if one not in rest], Calibrate())
    assert other == calibration


def test_without_a_share_there_is_no_calibration() -> None:
    found = opinions(10)
    calibration, rest = fit_calibration(found, Calibrate(fit_share=0.0))
    assert calibration is None
    assert rest == found


def test_labelled_pairs_are_scored_where_the_judge_scores() -> None:
    assert _is_scored(DEFAULT)
    first = next(iter(DEFAULT.tasks))
    only = replace(DEFAULT.tasks[first], pointwise="")
    assert not _is_scored(replace(DEFAULT, tasks={**DEFAULT.tasks, first: only}))


def test_gates_look_at_all_heldout_labels(recipe: Recipe) -> None:
    at = Round(recipe, 1)
    accuracy, flips = hold_against_gates(opinions(300), at)
    assert (accuracy.gate, accuracy.is_passed, accuracy.subject) == (
        "min_judge_accuracy",
        True,
        "judge@1",
    )
    assert (flips.value, flips.is_passed) == (0.0, True)
    none, _ = hold_against_gates([], at)
    assert not none.is_passed
    assert none.message == "accuracy could not be measured"


def test_opinions_lie_beside_the_weights(recipe: Recipe) -> None:
    at = Round(recipe, 1)
    with pytest.raises(InputError, match=r"opinions\.parquet: no such file; `python -m"):
        heldout_opinions(at)
    at.directory("judge").mkdir(parents=True)
    found = opinions(3)
    write_opinions(at.directory("judge") / OPINIONS_FILE, found)
    assert heldout_opinions(at) == found
    assert results.read(at.directory("judge") / results.AGREEMENT, results.JudgeReport) is None
