"""Judges: a transformers vision-language reward model, and an endpoint that answers in text.

`turns` and `prompts` make a specification into a prompt of the model's own. On the fast path `eyes`
turns media into visual tokens and `decoder` runs the language model and shares prefixes; on the
plain path the model's processor and forward pass do all (`plain`). `formats` chooses the path, and
`heads` reads the language model's head. `looks` and `sitting` say what can be judged and mark what
cannot; `local` and `endpoint` are the two judges.
"""

from actors.judges.local import TransformersJudge
from actors.judges.prompts import PromptFormat

__all__ = ["PromptFormat", "TransformersJudge"]
