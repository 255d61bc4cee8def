"""What can be measured of an output, from the bytes that are stored and from nothing else."""

from __future__ import annotations

import hashlib

from schemas.rows import Measures, Media


def measure(media: Media) -> Measures:
    """Digest and size of a picture's or clip's stored bytes."""
    return Measures(hashlib.sha256(media.data).hexdigest(), len(media.data))


def measure_answer(answer: str) -> Measures:
    """The same of an answer to a question, and its words."""
    data = answer.encode()
    return Measures(hashlib.sha256(data).hexdigest(), len(data), num_words=len(answer.split()))
