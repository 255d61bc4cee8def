"""Judges: a transformers vision-language reward model, and an endpoint that answers in text.

`prompts` turns a specification into tokens, `eyes` turns media into visual tokens, `decoder` runs
the language model and shares prefixes, `looks` and `sitting` say what can be judged and mark what
cannot; `local` and `endpoint` are the two judges.
"""

from actors.judges.local import TransformersJudge
from actors.judges.prompts import PromptFormat

__all__ = ["PromptFormat", "TransformersJudge"]
