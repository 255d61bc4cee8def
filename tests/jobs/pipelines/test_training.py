"""What the two training stages share."""

import pyarrow as pa

from jobs.pipelines.training import _part, stopping


def test_rows_are_kept_out_by_their_prompts_alone():
    ids = [f"p{number}" for number in range(400)]
    table = pa.table({"prompt_id": ids + ids[::-1], "row": range(800)})
    kept, learned = (_part(table, 0.25, is_kept_out) for is_kept_out in (True, False))
    assert kept.num_rows + learned.num_rows == 800
    assert set(kept["prompt_id"].to_pylist()).isdisjoint(learned["prompt_id"].to_pylist())
    assert 60 < len(set(kept["prompt_id"].to_pylist())) < 140
    more = _part(table, 0.5, True)
    assert set(kept["row"].to_pylist()) < set(more["row"].to_pylist())


def test_a_block_of_one_kind_of_rows_keeps_its_columns():
    table = pa.table({"prompt_id": pa.array([], pa.string()), "row": pa.array([], pa.int64())})
    assert _part(table, 0.5, True).schema == table.schema


def test_the_best_look_is_told():
    curves = [
        {"step": 2.0, "loss": 3.0, "validation_loss": 2.0},
        {"step": 3.0, "loss": 2.0},
        {"step": 4.0, "loss": 1.0, "validation_loss": 1.5},
        {"step": 6.0, "loss": 0.5, "validation_loss": 1.75},
    ]
    assert stopping(curves) == {"best_step": 4.0, "validation_loss": 1.5}
    assert stopping(curves[1:2]) == {}
