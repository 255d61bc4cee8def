"""A model behind an OpenAI-compatible endpoint (vLLM, SGLang, `transformers serve`) as a judge.

It is asked in the words of a judge specification, sees pictures and frames as data URLs, and its
answers are read from text. A request that fails is tried again with longer and longer pauses, and
what fails for good is marked invalid. The key comes from an environment variable that the recipe
names, goes to the given host alone (redirects are refused), and appears in no message. Left out:
log-probabilities, which servers return in forms of their own.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from actors.judges.looks import Look
from actors.judges.sitting import Found, Match, ReadSitting
from factory.judging.specification import JudgeSpecification, SpecificationError, find
from factory.media.pictures import encode_png
from factory.prompt_parts import in_words
from schemas.recipe import EndpointSpec
from schemas.rows import Candidate, Prompt

_SLOT = re.compile(r"\{(media|prompt|answer|source)\}")
#: What may pass by itself: time-outs, conflicts, too many requests, and faults of the server.
_PASSING = (408, 409, 425, 429)
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LARGEST_REPLY = 4_000_000  # bytes


class EndpointError(RuntimeError):
    """A request that failed for good; says how, without the key."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


class EndpointJudge:
    """A judge behind an endpoint."""

    def __init__(
        self,
        spec: EndpointSpec,
        specification: JudgeSpecification | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is requested before the first sitting.

        Args:
            spec: where it is and how patiently it is asked.
            specification: how it is asked; the one that `spec` names where not given.
            pause: waits some seconds.

        Raises:
            SpecificationError: no specification, or no key in the environment.
        """
        self.spec = spec
        self.name = f"{spec.name}@0"
        self.specification = specification or find("", spec.specification)
        self._pause = pause
        self._headers = {"Content-Type": "application/json"}
        if spec.key_variable is not None:
            key = os.environ.get(spec.key_variable)
            if not key:
                raise SpecificationError(
                    f"endpoint {spec.name!r}: the environment has no {spec.key_variable}"
                )
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> EndpointSitting:
        return EndpointSitting(self, prompt, candidates)

    def ask(self, content: list[dict[str, Any]], max_tokens: int) -> tuple[str, bool]:
        """The answer to one user's turn, and whether its length limit cut it.

        Raises:
            EndpointError: no answer after all tries, or one that is no chat completion.
        """
        body = {
            "model": self.spec.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        reply = self._post(json.dumps(body).encode())
        try:
            choice = json.loads(reply)["choices"][0]
            text, reason = choice["message"]["content"], choice.get("finish_reason")
        except (ValueError, LookupError, TypeError, AttributeError):
            raise EndpointError("the reply is no chat completion") from None
        if text is not None and not isinstance(text, str):
            raise EndpointError("the reply's content is not text")
        if reason == "content_filter":
            raise EndpointError("the answer was filtered by the server")
        return text or "", reason == "length"

    def _post(self, body: bytes) -> bytes:
        """Send until it succeeds, fails for good, or has been tried often enough."""
        url = self.spec.url.rstrip("/") + "/chat/completions"
        for attempt in range(self.spec.num_retries + 1):
            request = urllib.request.Request(url, body, self._headers, method="POST")
            wait = 0.0
            try:
                with self._opener.open(request, timeout=self.spec.timeout_s) as response:
                    data: bytes = response.read(_LARGEST_REPLY + 1)
                if len(data) > _LARGEST_REPLY:
                    raise EndpointError(f"a reply of more than {_LARGEST_REPLY} bytes")
                return data
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read(300).decode("utf-8", "replace")
                failure = f"HTTP {error.code}: {said}".strip(": ")
                if error.code not in _PASSING and error.code < 500:
                    break
                wait = _seconds(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException) as error:
                failure = f"{type(error).__name__}: {error}"
            if attempt < self.spec.num_retries:
                backoff = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)
                self._pause(min(max(wait, backoff), _LONGEST_PAUSE_S))
        raise EndpointError(failure[:300])


class EndpointSitting(ReadSitting):
    """One prompt's candidates before an `EndpointJudge`; each medium is encoded once."""

    def __init__(
        self, judge: EndpointJudge, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        super().__init__(judge.name, judge.specification.task(prompt.task), prompt, candidates)
        self.judge = judge
        self._parts = [_parts(look) for look in self.looks]

    def read_scores(self, indices: Sequence[int]) -> list[Found]:
        asked = [self._content(self.task.pointwise, [index]) for index in indices]
        return self._read(asked, self.score_in)

    def read_duels(self, matches: Sequence[Match]) -> list[Found]:
        asked = [self._content(self.task.pairwise, match) for match in matches]
        return self._read(asked, self.verdict_in)

    def _content(self, template: str, sides: Sequence[int]) -> list[dict[str, Any]]:
        """The user's turn: text and pictures, in the template's order."""
        looks, answers, source = self.shown(sides)
        media, texts = iter(looks), iter(answers)
        content: list[dict[str, Any]] = []
        words = ""
        for index, part in enumerate(_SLOT.split(template)):
            if index % 2 == 0:
                words += part
            elif part in ("media", "source"):
                slot = source if part == "source" else looks if answers else [next(media)]
                content += _text(words)
                content += [shown for look in slot for shown in self._parts[look]]
                words = ""
            else:
                words += in_words(self.prompt) if part == "prompt" else next(texts)
        return content + _text(words)

    def _read(
        self, asked: Sequence[list[dict[str, Any]]], read: Callable[[str, bool], Found]
    ) -> list[Found]:
        def one(content: list[dict[str, Any]]) -> Found:
            try:
                return read(*self.judge.ask(content, self.task.max_tokens))
            except EndpointError as error:
                return (), f"endpoint: {error}"

        with ThreadPoolExecutor(self.judge.spec.concurrency) as pool:
            return list(pool.map(one, asked))


def _text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}] if words.strip() else []


def _parts(look: Look) -> list[dict[str, Any]]:
    """A picture, or each frame of a clip, as a data URL."""
    urls = (base64.b64encode(encode_png(frame)).decode() for frame in look.frames)
    return [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{one}"}} for one in urls
    ]


def _seconds(retry_after: str | None) -> float:
    """A `Retry-After` in seconds; its other form, a date, is left to the back-off."""
    try:
        return float(retry_after or 0.0)
    except ValueError:
        return 0.0
