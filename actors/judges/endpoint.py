"""A model behind an OpenAI-compatible endpoint (vLLM, SGLang, `transformers serve`) as a judge.

It is asked in the words of a judge specification, sees pictures and frames as data URLs, and its
answers are read from text. A request that fails is tried again with longer and longer pauses, and
what fails for good is marked invalid. The key comes from an environment variable that the recipe
names, goes to the given host alone (redirects are refused), and appears in no message. Left out:
log-probabilities, which servers return in forms of their own.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from actors.judges.looks import Look
from actors.judges.sitting import Match, ReadSitting, Response
from factory.judging.specification import JudgeSpecification, Kind, SpecificationError, find
from factory.judging.votes import seeds_of
from factory.media.pictures import encode_png
from factory.prompt_parts import in_words
from schemas.recipe import JudgeSpec
from schemas.rows import Candidate, Prompt, Sample

_SLOT = re.compile(r"\{(media|prompt|answer|source)\}")
#: What may pass by itself: time-outs, conflicts, too many requests, and faults of the server.
_PASSING = (408, 409, 425, 429)
#: What refuses this one request, and would do so again.
_REFUSED = (400, 413, 414, 415, 422)
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_LARGEST_REPLY = 4_000_000  # bytes
_SEED_BITS = 32  # servers take seeds of 31 bits, of our 63


class EndpointError(RuntimeError):
    """A request that failed for good; says how, without the key.

    is_attempt: whether that says nothing of the judge (`actors.memory.is_attempt`): it was not
        reached, or not let near. What the server refuses to answer it refuses every time.
    """

    def __init__(self, message: str, *, is_attempt: bool) -> None:
        super().__init__(message)
        self.is_attempt = is_attempt


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: object) -> None:
        return None


class EndpointJudge:
    """A judge behind an endpoint."""

    def __init__(
        self,
        spec: JudgeSpec,
        name: str | None = None,
        specification: JudgeSpecification | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Nothing is requested before the first sitting.

        Args:
            spec: where it is, which model is asked there, and how patiently.
            name: `name@version`; version 0 of the name in `spec` where not given.
            specification: how it is asked; the one that `spec` names where not given.
            pause: waits some seconds.

        Raises:
            SpecificationError: no specification, or no key in the environment.
        """
        assert spec.endpoint is not None  # as the section's validation asks for
        self.spec = spec
        self.asked = spec.endpoint
        self.name = name or f"{spec.name}@0"
        self.specification = (specification or find("", spec.specification)).in_text()
        if self.specification.turn:
            raise SpecificationError(
                f"endpoint {spec.name!r}: its specification writes `turn` itself, and a server "
                "writes turns by its own chat template: serve the model with one that writes the "
                "same, and ask by a copy of the specification without `turn`"
            )
        self._pause = pause
        self._headers = {"Content-Type": "application/json"}
        if self.asked.key_variable is not None:
            key = os.environ.get(self.asked.key_variable)
            if not key:
                raise SpecificationError(
                    f"endpoint {spec.name!r}: the environment has no {self.asked.key_variable}"
                )
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = urllib.request.build_opener(_NoRedirects)

    def sit(self, prompt: Prompt, candidates: Sequence[Candidate]) -> EndpointSitting:
        return EndpointSitting(self, prompt, candidates)

    def ask(self, asked: Mapping[str, Any]) -> Response:
        """What is answered to one body; a failure is a response with an `error`."""
        body = json.dumps(asked).encode()
        request = _digest(body)
        try:
            return replace(_response(self._post(body)), request=request)
        except EndpointError as error:
            said = f"endpoint: {error}"
            return Response(error=said, is_attempt=error.is_attempt, request=request)

    def body(
        self, content: list[dict[str, Any]], max_tokens: int, system: str = ""
    ) -> dict[str, Any]:
        """The JSON that is sent for one user's turn, after the system's where there is one."""
        before = [{"role": "system", "content": system}] if system else []
        return {
            "model": self.asked.model,
            "messages": [*before, {"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": max_tokens,
        }

    def _post(self, body: bytes) -> bytes:
        """Send until it succeeds, fails for good, or has been tried often enough.

        Raises:
            EndpointError: no answer after all tries.
        """
        url = self.spec.path.rstrip("/") + "/chat/completions"
        is_refused = False
        for attempt in range(self.asked.num_retries + 1):
            request = urllib.request.Request(url, body, self._headers, method="POST")
            wait = 0.0
            try:
                with self._opener.open(request, timeout=self.asked.timeout_s) as response:
                    data: bytes = response.read(_LARGEST_REPLY + 1)
                if len(data) > _LARGEST_REPLY:
                    raise EndpointError(
                        f"a reply of more than {_LARGEST_REPLY} bytes", is_attempt=True
                    )
                return data
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read(300).decode("utf-8", "replace")
                failure = f"HTTP {error.code}: {said}".strip(": ")
                if error.code not in _PASSING and error.code < 500:
                    is_refused = error.code in _REFUSED
                    break
                wait = _seconds(error.headers.get("Retry-After"))
            except (OSError, http.client.HTTPException) as error:
                failure = f"{type(error).__name__}: {error}"
            if attempt < self.asked.num_retries:
                backoff = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0)
                self._pause(min(max(wait, backoff), _LONGEST_PAUSE_S))
        raise EndpointError(failure[:300], is_attempt=not is_refused)


class EndpointSitting(ReadSitting):
    """One prompt's candidates before an `EndpointJudge`; each medium is encoded once."""

    def __init__(
        self, judge: EndpointJudge, prompt: Prompt, candidates: Sequence[Candidate]
    ) -> None:
        super().__init__(judge.name, judge.specification.task(prompt.task), prompt, candidates)
        self.judge = judge
        self._parts = [_parts(look) for look in self.looks]

    def ask_scores(self, indices: Sequence[int]) -> list[Response]:
        return self._ask([self.bodies("score", (index,)) for index in indices])

    def ask_duels(self, matches: Sequence[Match]) -> list[Response]:
        return self._ask([self.bodies("duel", match) for match in matches])

    def bodies(self, kind: Kind, sides: Sequence[int]) -> list[dict[str, Any]]:
        """What is sent for one question: one body, or one for each answer that is drawn, with a
        seed that is a function of what is asked.
        """
        task = self.task
        content = self.content(task.template(kind), sides)
        body = self.judge.body(content, task.max_tokens, task.system.get(kind, ""))
        if not task.temperature:
            return [body]
        seeds = seeds_of(_digest(json.dumps(body).encode()), task.num_samples)
        drawn = {"temperature": task.temperature, "top_p": task.top_p}
        return [{**body, **drawn, "seed": seed >> _SEED_BITS} for seed in seeds]

    def content(self, template: str, sides: Sequence[int]) -> list[dict[str, Any]]:
        """The user's turn: text and pictures, in the template's order."""
        _, answers, source = self.shown(sides)
        media, texts = iter(self.places(sides)), iter(answers)
        content: list[dict[str, Any]] = []
        words = ""
        for index, part in enumerate(_SLOT.split(template)):
            if index % 2 == 0:
                words += part
            elif part in ("media", "source"):
                slot = source if part == "source" else next(media)
                content += _text(words)
                content += self._pictures(slot)
                words = ""
            else:
                words += in_words(self.prompt) if part == "prompt" else next(texts)
        return content + _text(words)

    def _pictures(self, slot: Sequence[int]) -> list[dict[str, Any]]:
        """The pictures of one place, and what stands between them."""
        shown = [one for look in slot for one in self._parts[look]]
        between = _text(self.task.between)
        content = shown[:1]
        for one in shown[1:]:
            content += [*between, one]
        return content

    def _ask(self, questions: Sequence[list[dict[str, Any]]]) -> list[Response]:
        """What is answered to each question, of several answers all of them."""
        every = [body for bodies in questions for body in bodies]
        with ThreadPoolExecutor(self.judge.asked.concurrency) as pool:
            said = iter(list(pool.map(self.judge.ask, every)))
        return [_together([next(said) for _ in bodies]) for bodies in questions]


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def _together(answers: Sequence[Response]) -> Response:
    """Several answers as one response; where one of them failed, all are asked for again."""
    failed = next((one for one in answers if one.error is not None), None)
    if len(answers) == 1 or failed is not None:
        return failed or answers[0]
    counts = [one.num_written for one in answers if one.num_written is not None]
    samples = tuple(Sample(one.text or "", one.is_cut) for one in answers)
    return replace(answers[0], samples=samples, num_written=sum(counts) if counts else None)


def _response(reply: bytes) -> Response:
    """What a chat completion says.

    Raises:
        EndpointError: it is none, or the server kept the answer back.
    """
    try:
        whole = json.loads(reply)
        choice = whole["choices"][0]
        text, reason = choice["message"]["content"], choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError):
        raise EndpointError("the reply is no chat completion", is_attempt=True) from None
    if text is not None and not isinstance(text, str):
        raise EndpointError("the reply's content is not text", is_attempt=True)
    if reason == "content_filter":
        raise EndpointError("the answer was filtered by the server", is_attempt=False)
    num_read, num_written = (_count(whole, f"{kind}_tokens") for kind in ("prompt", "completion"))
    return Response(text or "", reason == "length", num_read=num_read, num_written=num_written)


def _count(reply: dict[str, Any], name: str) -> int | None:
    """A number of tokens, where the server says it."""
    usage = reply.get("usage")
    count = usage.get(name) if isinstance(usage, dict) else None
    return count if isinstance(count, int) else None


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
