"""Pick-a-Pic, the form in which Diffusion-DPO's own script reads pairs of pictures.

`caption`, the encoded pictures `jpg_0` and `jpg_1` (any format that Pillow opens), and `label_0`:
1 where the first is better, 0 where the second is. `train.py` of Diffusion-DPO opens `jpg_0` as
bytes, so the column is plain binary and not described as a picture. Sides are randomised by the
pair's id: a model that is trained on the place would learn it otherwise.
"""

from __future__ import annotations

import pyarrow as pa

from factory.exports.columns import PROVENANCE
from factory.exports.record import (
    Options,
    Raw,
    Record,
    Unfit,
    is_chosen_first,
    misfit,
    more_than_caption,
    provenance,
)
from schemas.rows import Pair

NAME = "pick-a-pic"
LOADS = (
    "accelerate launch train.py --train_method dpo --dataset_name={out} --split={split} "
    "--caption_column=caption"
)
SCHEMA = pa.schema(
    [
        ("caption", pa.string()),
        ("jpg_0", pa.binary()),
        ("jpg_1", pa.binary()),
        ("label_0", pa.float64()),
        ("label_1", pa.float64()),
        ("has_label", pa.bool_()),
        ("are_different", pa.bool_()),
        ("image_0_uid", pa.string()),
        ("image_1_uid", pa.string()),
        ("best_image_uid", pa.string()),
        ("model_0", pa.string()),
        ("model_1", pa.string()),
        *PROVENANCE,
    ]
)


def project(pair: Pair, options: Options) -> list[Record] | Unfit:
    """One pair of pictures."""
    unfit = misfit(pair, ("image_generation",)) or more_than_caption(pair.prompt)
    if unfit is not None:
        return unfit
    is_first = is_chosen_first(pair)
    sides = (pair.chosen, pair.rejected) if is_first else (pair.rejected, pair.chosen)
    assert sides[0].media is not None and sides[1].media is not None  # noqa: PT018, as misfit asks
    return [
        {
            "caption": pair.prompt.text,
            "jpg_0": Raw(sides[0].media),
            "jpg_1": Raw(sides[1].media),
            "label_0": float(is_first),
            "label_1": float(not is_first),
            "has_label": True,
            "are_different": True,
            "image_0_uid": sides[0].candidate_id,
            "image_1_uid": sides[1].candidate_id,
            "best_image_uid": pair.chosen.candidate_id,
            "model_0": sides[0].generator,
            "model_1": sides[1].generator,
            **provenance(pair),
        }
    ]
