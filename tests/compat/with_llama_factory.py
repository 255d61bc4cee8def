"""LLaMA-Factory's own loader reads an export by its `dataset_info.json`.

python tests/compat/with_llama_factory.py EXPORT
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace


def load(out: str) -> str:
    """Load `preference_train` as its stage of pairs would, and open the pictures as it does."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):  # imported for sounds, of which there are none here
        sys.modules["torchaudio"] = ModuleType("torchaudio")
        sys.modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
    from importlib.metadata import version

    from llamafactory.data.loader import _get_merged_dataset
    from llamafactory.data.mm_plugin import get_mm_plugin
    from llamafactory.extras.misc import get_current_device  # noqa: F401, the package is whole

    data = SimpleNamespace(
        dataset_dir=out,
        media_dir=out,
        streaming=False,
        max_samples=None,
        preprocessing_num_workers=None,
        overwrite_cache=True,
        mix_strategy="concat",
    )
    model = SimpleNamespace(cache_dir=None, hf_hub_token=None)
    training = SimpleNamespace(local_process_index=0, dataloader_num_workers=0, seed=0)
    table = _get_merged_dataset(["preference_train"], model, data, training, stage="rm")
    plugin = get_mm_plugin("llava", image_token="<image>")
    for row in table:
        assert len(row["_prompt"]) % 2 == 1, row["_prompt"]
        assert [turn["role"] for turn in row["_response"]] == ["assistant", "assistant"]
        text = "".join(turn["content"] for turn in row["_prompt"])
        assert text.count("<image>") == len(row["_images"])
        opened = plugin._regularize_images(
            row["_images"], image_max_pixels=10**6, image_min_pixels=0
        )
        assert [image.size for image in opened["images"]] == [(16, 16)] * len(row["_images"])
    assert len(table)
    return f"LLaMA-Factory {version('llamafactory')}: {len(table)} rows as pairs, pictures opened"


if __name__ == "__main__":
    print(load(sys.argv[1]))
