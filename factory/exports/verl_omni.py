"""verl-omni: offline DPO of generators, in its layout by picture paths.

`prompt`, `img_win` and `img_lose` (paths relative to the table, which the loader resolves where it
is given one file alone; hence a split is one file), `win_score` and `lose_score` of which the first
may not be lower, `uid`, and `extra_info.raw_prompt`, which is the text that its text encoders see.
The scores are the judge's margin and 0: pairs know how far apart their sides are and not where they
stand. As merged, the loader also wants latents and text embeddings, computed by the model that is
trained (`prepare_offline_dpo.py` writes both): those are added to this layout by what encodes, and
are not here.
"""

from __future__ import annotations

import pyarrow as pa

from factory.exports.columns import PROVENANCE
from factory.exports.record import (
    Options,
    Record,
    Unfit,
    misfit,
    more_than_caption,
    number,
    provenance,
)
from schemas.rows import Pair

NAME = "verl-omni"
LOADS = (
    "data.custom_cls.name=OfflineDPODataset data.train_files={out}/{split}/*.parquet "
    "algorithm.sample_source=offline"
)
_INFO = pa.struct(
    [
        ("raw_prompt", pa.string()),
        ("raw_negative_prompt", pa.string()),
        ("win_seed", pa.int64()),
        ("lose_seed", pa.int64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("uid", pa.string()),
        ("data_source", pa.string()),
        ("prompt", pa.string()),
        ("negative_prompt", pa.string()),
        ("img_win", pa.string()),
        ("img_lose", pa.string()),
        ("win_score", pa.float64()),
        ("lose_score", pa.float64()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        ("extra_info", _INFO),
        *PROVENANCE,
    ]
)


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pair of pictures."""
    unfit = misfit(pair, ("image_generation",)) or more_than_caption(pair.prompt)
    if unfit is not None:
        return unfit
    margin = number(pair.margin)
    if margin is None or margin < 0:
        return Unfit("margin below 0", f"{margin}: the loader refuses a win_score < lose_score")
    drawn = pair.chosen.drawn
    negative = (drawn.negative_prompt if drawn is not None else None) or ""
    return [
        {
            "uid": pair.pair_id,
            "data_source": "preference-factory",
            "prompt": pair.prompt.text,
            "negative_prompt": negative,
            "img_win": pair.chosen.media,
            "img_lose": pair.rejected.media,
            "win_score": margin,
            "lose_score": 0.0,
            "reward_model": {"style": "model", "ground_truth": pair.prompt.text},
            "extra_info": {
                "raw_prompt": pair.prompt.text,
                "raw_negative_prompt": negative,
                "win_seed": pair.chosen.seed,
                "lose_seed": pair.rejected.seed,
            },
            **provenance(pair),
        }
    ]
