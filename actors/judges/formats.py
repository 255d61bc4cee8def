"""How a judge's prompts are written: the format of its path. It is made of small files alone, so
what cannot be asked is refused before any weights are loaded.
"""

from __future__ import annotations

from typing import Literal

from actors.judges.eyes import has_eyes
from actors.judges.plain import PlainFormat
from actors.judges.prompts import PromptFormat
from actors.processors import load_parts, load_processor
from factory.judging.specification import JudgeSpecification

#: How a model is run: `auto` takes the fast path where its family has one.
Run = Literal["auto", "fast", "plain"]


def format_of(
    path: str,
    specification: JudgeSpecification,
    run: Run = "auto",
    *,
    trust_remote_code: bool = False,
) -> PromptFormat | PlainFormat:
    """The format of the fast path, or of the plain one.

    Args:
        path: directory of a model that can judge.
        specification: how each task is put.
        run: the path that is taken.
        trust_remote_code: run the code that comes with the checkpoint.

    Raises:
        SpecificationError: a processor that cannot be built here, or no chat template for a
            specification that asks by one.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    if run == "plain" or (run == "auto" and not has_eyes(path)):
        stock = load_processor(path, trust_remote_code=trust_remote_code)
        return PlainFormat(specification, stock, config)
    processor = load_parts(path, config, trust_remote_code=trust_remote_code)
    return PromptFormat(specification, processor)
