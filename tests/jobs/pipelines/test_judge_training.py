"""What every training of a judge shares: how the judge is asked, and which labels it may learn."""

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from factory.judging.fitting import part
from factory.judging.specification import DEFAULT, FILE, JudgeSpecification, find
from jobs.pipelines.judge_training import (
    check_points,
    check_shares,
    fit_calibration,
    specification_of,
)
from jobs.rounds.workspace import InputError
from schemas.recipe import Calibrate, JudgeSpec, TrainJudge
from schemas.rows import Duel, Opinion

TASK = "image_generation"
OTHER = JudgeSpecification({TASK: replace(DEFAULT.task(TASK), num_frames=3)})


def test_a_judge_is_asked_as_the_recipe_says_or_its_base_or_else_as_by_default(tmp_path):
    bare, own = tmp_path / "bare", tmp_path / "own"
    bare.mkdir()
    own.mkdir()
    OTHER.save(own)
    assert specification_of(JudgeSpec(path=str(bare))) == DEFAULT
    assert specification_of(JudgeSpec(path=str(own))) == OTHER
    name = "unifiedreward-qwen2.5-vl"
    for path in (bare, own):
        told = specification_of(JudgeSpec(path=str(path), specification=name))
        assert told == find("anywhere", name)
    assert json.loads((own / FILE).read_text())  # is left as it was


def opinions(num):
    duels = [Duel("0", "1", "j", p, 1 - p, 0.0) for p in (0.8, 0.7, 0.9, 0.6)]
    return [
        Opinion(
            f"l{at}",
            f"p{at}",
            TASK,
            {},
            "j",
            "first" if at % 3 else "second",
            None,
            (),
            (duels[at % 4], duels[at % 4].swap()),
        )
        for at in range(num)
    ]


def test_a_calibration_is_reported_on_what_it_did_not_see():
    every = opinions(400)
    fitted, rest = fit_calibration(every, Calibrate(fit_share=0.5))
    assert fitted is not None
    assert fitted.tasks[TASK].pairs is not None
    assert rest == [one for one in every if part(one, 0.5) == "report"]
    assert 150 < len(rest) < 250
    assert fit_calibration(every, Calibrate(fit_share=0)) == (None, every)


def labels(path, points):
    rows = {"task": [TASK] * len(points), "points": pa.array(points, pa.float64())}
    pq.write_table(pa.table(rows), path)
    return path


@pytest.mark.parametrize("reading", ["logits", "text"])
@pytest.mark.parametrize(
    ("points", "fault"),
    [
        ([1, 2, 3.75, None, 5], None),
        (
            [0.5, 6, 5],
            "2 label(s) of image_generation have points off the judge's scale of 1 to 5, such as "
            "0.5",
        ),
    ],
)
def test_points_that_a_judge_cannot_say_are_refused(tmp_path, reading, points, fault):
    """Between two numbers of its scale they can be learned."""
    asked = replace(DEFAULT.task(TASK), scale=(1, 3, 5), reading=reading)
    files = [labels(tmp_path / "fit.parquet", [1, 5]), labels(tmp_path / "rows.parquet", points)]
    if fault is None:
        check_points(files, JudgeSpecification({TASK: asked}))
        return
    with pytest.raises(InputError) as caught:
        check_points(files, JudgeSpecification({TASK: asked}))
    assert str(caught.value).startswith(f"{tmp_path}/rows.parquet: {fault}; ")
    assert str(caught.value).endswith("import them with `--scale 1:5`")


def test_kinds_of_questions_without_words_are_not_trained() -> None:
    clips = find("", "videoscore2")
    section = TrainJudge(num_steps=1, batch_size=2, learning_rate=1e-3)
    with pytest.raises(InputError, match=r"pair_share: 0\.75: .*pairwise questions.*: set it to 0"):
        check_shares(clips, section)
    check_shares(clips, section.model_copy(update={"pair_share": 0.0}))
    pairs = find("", "unifiedreward-think")
    with pytest.raises(InputError, match=r"pointwise questions of image_generation: set it to 1"):
        check_shares(pairs, section)
    check_shares(pairs, section.model_copy(update={"pair_share": 1.0}))
