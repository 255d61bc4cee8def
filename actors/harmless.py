"""Texts of other people, without the tokens that only a template may write.

A caption or an answer that holds `<image>` or `<|im_end|>` would show a picture that is not there,
or end the user's turn and begin the judge's. Such tokens are cut out of it before it enters a
prompt, by their spelling and by what the tokenizer makes of what is left, until none is left.

What counts is what transformers itself calls control tokens (`_get_control_tokens`, 5.23): added
tokens that are special, or that the chat template writes; and all that the processor calls a token
of its own (`image_token`, `fake_image_token` …). An added token that is neither stays, as the
markup that Gemma's tokenizer knows: it is a word of the text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


class Harmless:
    """Takes control tokens out of texts, for one processor."""

    def __init__(self, processor: Any, template: str | None = None) -> None:
        """Read what the tokens are.

        Args:
            processor: with its `tokenizer`.
            template: the chat template in use, where there is one.
        """
        self._tokenizer = processor.tokenizer
        unknown = self._tokenizer.unk_token
        added = self._tokenizer.added_tokens_decoder
        spellings = {
            token.content
            for token in added.values()
            if token.special or (token.content in (template or "") and not token.content.isspace())
        }
        for owner in (processor, self._tokenizer):
            spellings |= {
                value
                for name, value in vars(owner).items()
                if name.endswith("_token") and isinstance(value, str) and value.strip()
            }
        spellings |= set(self._tokenizer.all_special_tokens)
        #: As they are spelt, longer ones first.
        self.tokens = sorted(spellings - {unknown, ""}, key=lambda one: (-len(one), one))
        #: Their ids; the unknown word's is that of any word that is not known.
        self.ids = {at for at, token in added.items() if token.content in spellings}
        self.ids |= {*self._tokenizer.all_special_ids}
        image = getattr(processor, "image_token_id", None)
        self.ids |= {image} if isinstance(image, int) else set()
        self.ids -= {self._tokenizer.unk_token_id}
        self._kept = lru_cache(maxsize=1024)(self._without)

    def __call__(self, text: str) -> str:
        """The text without them.

        Raises:
            ValueError: the tokenizer still makes one of it, and does not say of which letters.
        """
        return self._kept(text)

    def _without(self, text: str) -> str:
        left = self._unspelt(text)
        while spans := self._spans(left):
            for start, end in reversed(spans):
                left = left[:start] + left[end:]
            left = self._unspelt(left)
        return left

    def _unspelt(self, text: str) -> str:
        left = text
        while found := [token for token in self.tokens if token in left]:
            for token in found:
                left = left.replace(token, "")
        return left

    def _spans(self, text: str) -> list[tuple[int, int]]:
        """Where the tokenizer sees one all the same, as in `<IMAGE>` where it ignores case."""
        is_fast = bool(getattr(self._tokenizer, "is_fast", False))
        made = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=is_fast)
        places = [at for at, one in enumerate(made["input_ids"]) if one in self.ids]
        if not places:
            return []
        spans = [made["offset_mapping"][at] for at in places] if is_fast else []
        if not spans or any(end <= start for start, end in spans):
            raise ValueError(f"a text holds a token that only a template may write: {text[:80]!r}")
        return [(int(start), int(end)) for start, end in spans]
