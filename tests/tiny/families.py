"""Tiny random checkpoints of judges, one of each family, in the on-disk form of the real one.

Their answers mean nothing. What is tested on them is that real checkpoints load, and are asked and
read as their stock code would do it. LLaVA-OneVision-1.5 is not among them: transformers 5.23 has
no class of it, and its repositories bring their own code (model type `llavaonevision1_5`).
"""

from __future__ import annotations

from tests.tiny import gemma, idefics, llava, qwen
from tests.tiny.checkpoints import TinyJudge

JUDGES: dict[str, TinyJudge] = {
    judge.family: judge for judge in (*qwen.JUDGES, *llava.JUDGES, *gemma.JUDGES, *idefics.JUDGES)
}
