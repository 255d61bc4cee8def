"""Keys: what a candidate is drawn from and what a judge is asked, known before either is paid for.

    prompt, Drawn, seed            -> key of a candidate, the same for success and failure
    Asking, kind, prompt, sides    -> key of a reply

Two runs that come to the same key would pay for the same thing, so the second takes what the first
has. A key holds everything that could change what comes out, and nothing else: no name, no
address, no place, no number of a round. What is made of a reply afterwards (reading, calibration,
correction, weights of criteria) is in no key. Whose weights are not known has no key: nobody may
take it over.

Today's ids stay what they are, and go on deciding every order and every tie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from factory.media.clips import is_plain
from factory.media.pictures import MediaError
from schemas.rows import Candidate, Drawn, Media, Prompt

#: Versions of our own code between a request and a model: how noise is made of a seed, how a
#: template is filled, how media are scaled. Whoever changes what a model gets to see for the same
#: request adds 1; golden requests say when that is due (`tests/factory/test_keys.py`,
#: `tests/actors/test_generators.py`, `tests/actors/test_requests.py`).
DRAWING = 1
ASKING = 2  # whole prompts are tokenised, LLaVA-OneVision has tiles, heads are float32

Kind = Literal["score", "duel"]


@dataclass(frozen=True)
class Asking:
    """Who is asked, and how: all of a reply's key but the prompt and its sides.

    weights: digest of weights, processor and configuration, or a hub's name with its commit, or an
        endpoint's model with its revision; None where that is not known.
    precision: of the judge's arithmetic.
    score, duel: the asking part of the judge's specification for one task: template, frames,
        limits, and the answers where they are read by their tokens.
    """

    weights: str | None
    precision: str
    score: Mapping[str, Any] = field(default_factory=dict)
    duel: Mapping[str, Any] = field(default_factory=dict)


def key_of(*parts: object) -> str:
    """128 bits of a digest of JSON-serialisable parts, as 32 hexadecimal digits."""
    return _digest(_json(parts))


_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _keys(shared: Sequence[object], last: Iterable[object]) -> list[str]:
    """As `key_of` the shared parts and each last one; what is shared is serialised once."""
    head = _json(shared).removesuffix("]")
    return [_digest(f"{head},{_json(one)}]") for one in last]


def prompt_digest(prompt: Prompt) -> str:
    """Of all that a prompt shows to a model: text, media, parts in order; tags are not shown."""
    parts = [(part.role, part.text, _shown_digest(part.media)) for part in prompt.parts]
    return key_of("prompt", prompt.task, prompt.text, _shown_digest(prompt.media), parts)


def _media_digest(media: Media | None) -> str | None:
    return None if media is None else hashlib.sha256(media.data).hexdigest()


def _shown_digest(media: Media | None) -> str | None:
    """Of a prompt's medium as it is shown. What was shown lying, or without regard to what is
    transparent, until we looked at more than its pixels, has another digest from then on, and what
    was said of it is not taken over.
    """
    digest = _media_digest(media)
    if media is None or _was_shown_so(media.data):
        return digest
    return f"{digest} as it is meant to be seen"


def _was_shown_so(data: bytes) -> bool:
    try:
        return is_plain(data)
    except MediaError:  # nothing is shown of it, as ever
        return True


def output_digest(candidate: Candidate) -> str | None:
    """Of the bytes of a medium, or of an answer; None of a candidate that failed."""
    if candidate.error is not None:
        return None
    if candidate.measures is not None:
        return candidate.measures.digest
    if candidate.answer is not None:
        return hashlib.sha256(candidate.answer.encode()).hexdigest()
    return _media_digest(candidate.media)


def with_key(drawn: Drawn, prompt: Prompt, seed: int) -> Drawn:
    """What a candidate is drawn from, with its key; without one where the weights are not known."""
    return with_keys(drawn, prompt, [seed])[0]


def with_keys(drawn: Drawn, prompt: Prompt, seeds: Sequence[int]) -> list[Drawn]:
    """The same of the candidates of several seeds; the prompt is looked at once for all of them."""
    if drawn.weights is None:
        return [replace(drawn, key=None) for _ in seeds]
    digest = prompt_digest(prompt)
    said = {
        name: value for name, value in vars(drawn).items() if name not in ("key", "num_together")
    }
    keys = _keys(("candidate", DRAWING, digest, said), seeds)
    return [replace(drawn, key=key) for key in keys]


def brought_key(prompt: Prompt, digest: str) -> str:
    """The key of a candidate that nobody drew here: its prompt, and what it is.

    Args:
        prompt: of the candidate.
        digest: SHA-256 of its bytes, or of its answer's UTF-8.
    """
    return key_of("brought", prompt_digest(prompt), digest)


def reply_key(asking: Asking, kind: Kind, prompt: Prompt, sides: Sequence[Candidate]) -> str | None:
    """The key of what a judge says of one side, or of two in the order shown; None where judge or
    side cannot be told apart from another.

    Args:
        asking: of the prompt's task.
        kind: what is asked for.
        prompt: as it is put to the judge: with a criterion's sentence, where there is one.
        sides: as they are shown.
    """
    shown = [output_digest(side) for side in sides]
    return request_keys(asking, kind, prompt_digest(prompt), [shown])[0]


def request_keys(
    asking: Asking, kind: Kind, prompt: str, shown: Sequence[Sequence[str | None]]
) -> list[str | None]:
    """The same of several requests about one prompt, for whoever has the digests: of the prompt,
    and of what each request shows.
    """
    if asking.weights is None:
        return [None] * len(shown)
    how = asking.score if kind == "score" else asking.duel
    by = (asking.weights, asking.precision, dict(how))
    keys = _keys(("reply", ASKING, kind, by, prompt), map(list, shown))
    return [None if None in one else key for key, one in zip(keys, shown, strict=True)]
