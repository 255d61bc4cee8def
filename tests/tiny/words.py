"""Small tokenizers of the two kinds that families of judges have, made without a download.

Their pieces are learned from the few words that judges are asked in, so that a prompt is short and
an answer is several tokens, as with the published ones. Digits stay single, as Qwen's and Gemma's
are. What nobody taught them is spelt in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

_LESSON = (
    "image video picture caption question answer source final score overall judgment is better "
    "than Image Video Answer Both images videos answers are equally good the first second user "
    "assistant system You are a helpful assistant You judge a red circle what colour large blue"
)
#: Pieces beside bytes and special tokens.
_PIECES = 120
#: How Qwen2's tokenizer parts a text (transformers, `models/qwen2/tokenization_qwen2.py`).
_QWEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level(special: Sequence[str], plain: Sequence[str] = (), bos: str = "") -> Tokenizer:
    """The kind of Qwen, Llama 3 and SmolLM: pieces of bytes.

    Args:
        special: tokens that a text may not spell.
        plain: added tokens that it may, as Qwen3's <think>.
        bos: one of the special tokens, put before every text.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + _PIECES, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([_LESSON], trainer)
    _add(tokenizer, special, plain)
    _begin_with(tokenizer, bos)
    return tokenizer


def sentence_pieces(
    first: Sequence[str], special: Sequence[str] = (), *, bos: str, prefix_space: bool
) -> Tokenizer:
    """The kind of Gemma (`prefix_space` off) and of Llama 2 and Mistral (on): pieces of characters,
    a space being "▁", and bytes for what is in none.

    Args:
        first: special tokens with the lowest ids; "<unk>" is one.
        special: further ones, with the highest.
        bos: one of `first`, put before every text.
        prefix_space: whether a text is read as if a space stood before it.
    """
    marked = _LESSON.replace(" ", " ▁")
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=_PIECES, show_progress=False)
    trained.train_from_iterator([marked], trainer)
    learned = trained.get_vocab()
    pieces = [
        *first,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *sorted(learned, key=lambda piece: learned[piece]),
        *(sign for sign in "0123456789.:,▁{}\n" if sign not in learned),
    ]
    model = models.BPE(
        vocab={piece: number for number, piece in enumerate(pieces)},
        merges=_merges(trained),
        unk_token="<unk>",
        byte_fallback=True,
        fuse_unk=True,
    )
    tokenizer = Tokenizer(model)
    blank = decoders.Replace("▁", " ")
    spelt = [blank, decoders.ByteFallback(), decoders.Fuse()]
    if prefix_space:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tokenizer.decoder = decoders.Sequence([*spelt, decoders.Strip(" ", 1, 0)])
    else:
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence(spelt)
    _add(tokenizer, [*first, *special], ())
    _begin_with(tokenizer, bos)
    return tokenizer


def _merges(trained: Tokenizer) -> list[tuple[str, str]]:
    merges = json.loads(trained.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges]


def _add(tokenizer: Tokenizer, special: Sequence[str], plain: Sequence[str]) -> None:
    tokenizer.add_special_tokens([AddedToken(one, normalized=False) for one in special])
    tokenizer.add_tokens([AddedToken(one, normalized=False) for one in plain])


def _begin_with(tokenizer: Tokenizer, bos: str) -> None:
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A $B:1",
            special_tokens=[(bos, tokenizer.token_to_id(bos))],
        )
