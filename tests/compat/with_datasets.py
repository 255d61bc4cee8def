"""Hugging Face `datasets` opens an export and shows its pictures.

python tests/compat/with_datasets.py EXPORT
"""

from __future__ import annotations

import sys


def load(out: str) -> str:
    """Open it, look at its pictures, and say what was seen."""
    import datasets
    from PIL import Image

    table = datasets.load_dataset(out, split="train")
    shown = [row for row in table if row["chosen_image"] is not None]
    for row in shown:
        for side in ("chosen_image", "rejected_image"):
            assert isinstance(row[side], Image.Image), row[side]
            assert row[side].size == (16, 16), row[side].size
            row[side].load()
    answers = [row for row in table if row["chosen"] is not None]
    assert shown
    assert all(isinstance(row["images"][0], Image.Image) for row in answers)
    streamed = sum(1 for _ in datasets.load_dataset(out, split="train", streaming=True))
    assert streamed == len(table)
    return (
        f"datasets {datasets.__version__}: {len(table)} rows, {len(shown)} with both pictures "
        f"shown, {len(answers)} of answers"
    )


if __name__ == "__main__":
    print(load(sys.argv[1]))
