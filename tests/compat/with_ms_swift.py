"""ms-swift's own loader reads an export, whole and as its template sees it.

python tests/compat/with_ms_swift.py EXPORT
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def load(out: str) -> str:
    """Load all files as `--dataset` would, with every fault an error."""
    os.environ["ROOT_IMAGE_DIR"] = out
    import swift
    from swift.dataset import load_dataset
    from swift.template.template_inputs import TemplateInputs
    from swift.template.vision_utils import load_image

    files = [str(path) for path in sorted(Path(out, "train").glob("*.parquet"))]
    table, _ = load_dataset(files, strict=True, use_hf=True)
    num_pictures = 0
    for row in table:
        said = TemplateInputs.from_dict({key: value for key, value in row.items() if value})
        assert said.rejected is not None
        for side in (said.chosen, said.rejected):
            text = "".join(message["content"] for message in side.messages)
            assert text.count("<image>") == len(side.images), (text, side.images)
            for shown in side.images:
                picture = load_image(shown["bytes"] or shown["path"])
                assert picture.size == (16, 16)
                num_pictures += 1
    assert num_pictures
    return f"ms-swift {swift.__version__}: {len(table)} rows, {num_pictures} pictures opened"


if __name__ == "__main__":
    print(load(sys.argv[1]))
