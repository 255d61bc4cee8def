"""verl-omni's own loader reads an export, from a checkout of its repository.

    python tests/compat/with_verl_omni.py EXPORT CHECKOUT

`verl` is not installed for it: of that the loader takes one function, which collates tensors and is
not called here. Where the checkout's loader wants latents and embeddings, which an export does not
have, zeros are added to a copy and that is told.
"""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import types
from pathlib import Path

_LOADER = "verl_omni/utils/dataset/offline_dpo_dataset.py"


class _Words:
    """A tokenizer: a token for each word, and no chat template, as CLIP's has none."""

    pad_token_id = 0
    eos_token_id = 1

    def __call__(self, text, **_):
        import torch

        return {"input_ids": torch.tensor([[2 + len(word) for word in text.split()]])}


def load(out: str, checkout: str) -> str:
    """Read each row by the loader and look where its paths lead."""
    import pandas as pd
    from omegaconf import OmegaConf

    loader = _module(Path(checkout))
    (file,) = Path(out, "train").glob("*.parquet")
    settings = OmegaConf.create({"max_prompt_length": 8})
    note = "as it is"
    try:
        rows = loader.OfflineDPODataset(str(file), _Words(), config=settings)
    except ValueError as error:
        if "missing required columns" not in str(error):
            raise
        note = f"with zeros for what it wants beside ({str(error).partition(': ')[2]})"
        table = pd.read_parquet(file)
        for name in ("img_win_latents", "img_lose_latents", "prompt_embeds"):
            table[name] = [_zeros()] * len(table)
        for name in ("prompt_embeds_mask", "pooled_prompt_embeds"):
            table[name] = [_zeros()] * len(table)
        copy = file.with_name("with-tensors.parquet.copy")
        table.to_parquet(copy)
        try:
            rows = loader.OfflineDPODataset(str(copy), _Words(), config=settings)
        finally:
            copy.unlink()
    for row in (rows[at] for at in range(len(rows))):
        assert row["win_score"] >= row["lose_score"]
        assert row["raw_prompt"] == row["extra_info"]["raw_prompt"] != ""
        assert len(row["uid"]) == 16, row["uid"]  # the pair's own id, and no random one
        assert row["prompts"][-1] != 0
        assert Path(row["img_win"]).read_bytes() != Path(row["img_lose"]).read_bytes()
    assert len(rows)
    commit = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return f"verl-omni at {commit}: {len(rows)} rows, {note}"


def _zeros() -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(torch.zeros(2, 2), buffer)
    return buffer.getvalue()


def _module(checkout: Path) -> types.ModuleType:
    if importlib.util.find_spec("verl") is None:
        for name in ("verl", "verl.utils", "verl.utils.dataset", "verl.utils.dataset.rl_dataset"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["verl.utils.dataset.rl_dataset"].collate_fn = None  # type: ignore[attr-defined]
    spec = importlib.util.spec_from_file_location("offline_dpo_dataset", checkout / _LOADER)
    assert spec is not None and spec.loader is not None  # noqa: PT018
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    print(load(*sys.argv[1:3]))
