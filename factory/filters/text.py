"""Texts compared: normal forms, overlapping pieces, and a hash under which like texts are near.

Left out: meaning. Two answers that say the same in other words are different here, and two that
differ in one number are alike.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

import numpy as np

_WORDS = re.compile(r"\w+")
_HASH_BITS = 64


def words(text: str) -> list[str]:
    """The words of a text, whatever its case, punctuation and Unicode form (NFKC)."""
    return _WORDS.findall(unicodedata.normalize("NFKC", text).casefold())


def normalised(text: str) -> str:
    """The words with single spaces between them."""
    return " ".join(words(text))


def word_grams(text: str, size: int) -> list[int]:
    """A 64-bit hash of every run of `size` words, in order; none where the text is shorter."""
    found = words(text)
    return [text_key(" ".join(found[at : at + size])) for at in range(len(found) - size + 1)]


def similarity(first: str, second: str, size: int = 3) -> float:
    """Jaccard similarity of the sets of character runs of `size` in the normal forms, 0 to 1.

    Two texts without a word in them are alike where they are equal.
    """
    one, other = _runs(normalised(first), size), _runs(normalised(second), size)
    if not one or not other:
        return float(first.strip() == second.strip())
    return len(one & other) / len(one | other)


def text_hash(text: str) -> int:
    """A 64-bit hash of which like texts share most bits (SimHash, Charikar 2002).

    Each bit is the majority of that bit in the hashes of the text's runs of three characters.
    """
    runs = sorted(_runs(normalised(text), 3))
    if not runs:
        return text_key(text)
    hashes = np.array([_run_key(run) for run in runs], dtype=">u8").view(np.uint8)
    bits = np.unpackbits(hashes.reshape(len(runs), 8), axis=1)
    majority = 2 * bits.sum(axis=0, dtype=np.int64) > len(runs)
    return int.from_bytes(np.packbits(majority).tobytes(), "big")


def _runs(text: str, size: int) -> set[str]:
    return {text[at : at + size] for at in range(max(len(text) - size + 1, 1))} - {""}


@lru_cache(maxsize=2**16)
def _run_key(run: str) -> int:
    return text_key(run)


def text_key(text: str) -> int:
    """A 64-bit hash of which equal texts share all bits and others half."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
