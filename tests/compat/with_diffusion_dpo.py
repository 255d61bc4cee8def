"""The way in which Diffusion-DPO's `train.py` reads its rows: `load_dataset`, bytes, label.

    python tests/compat/with_diffusion_dpo.py EXPORT

The script itself trains as it is imported and needs a GPU, so what it does to a row is done here.
"""

from __future__ import annotations

import io
import sys


def load(out: str) -> str:
    """Open the pictures as the script does, and say what was seen."""
    import datasets
    from PIL import Image

    table = datasets.load_dataset(out, None, cache_dir=None, data_dir=None)["train"]
    first = 0
    for row in table:
        for column in ("jpg_0", "jpg_1"):
            assert Image.open(io.BytesIO(row[column])).convert("RGB").size == (16, 16)
        assert row["label_0"] in (0, 1)
        assert isinstance(row["caption"], str)
        first += int(row["label_0"])
    return f"datasets {datasets.__version__}: {len(table)} rows, the first side better in {first}"


if __name__ == "__main__":
    print(load(sys.argv[1]))
