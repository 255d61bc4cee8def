"""The endpoint judge against a stub server: a thread of this process that speaks the protocol.

`StubServer` is a stub: it answers by the brightness of the pictures that it is sent, or with
whatever a test puts into its queue, and understands nothing.
"""

import base64
import json
import math
import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import numpy as np
import pytest

from actors.group_workers import Judging
from actors.judges.endpoint import EndpointJudge
from actors.refs import EndpointRef
from actors.tally import Piece, TallyHandle
from factory.judging.specification import SpecificationError, find
from factory.media.clips import encode_clip
from factory.media.pictures import decode, encode_png
from factory.ranking import Bracket
from factory.ranking.matchups import matchup
from schemas.recipe import EndpointSpec
from schemas.rows import Candidate, Group, Media, Part, Prompt
from tests.stubs import Untallied

NAME = "unifiedreward-llava-onevision"
PROMPT = Prompt.of("a red circle {media} {answer}")


class StubServer(ThreadingHTTPServer):
    """Queued answers first: (status, headers, body). Then by brightness."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.queue: list[tuple[int, dict[str, str], bytes]] = []
        self.most_at_once = self.at_once = 0
        self.lock = threading.Lock()

    def start(self) -> None:
        # `shutdown` waits for a look at whether it was asked for.
        looking = {"poll_interval": 0.01}
        threading.Thread(target=self.serve_forever, kwargs=looking, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def say(self, text: str | None, reason: str = "stop", times: int = 1) -> None:
        self.queue += [(200, {}, completion(text, reason))] * times

    def answer(self, body: dict[str, Any]) -> str:
        shown = [
            decode(base64.b64decode(part["image_url"]["url"].partition(",")[2])).mean()
            for part in body["messages"][0]["content"]
            if part["type"] == "image_url"
        ]
        if len(shown) == 1:
            return f"Final Score: {1 + 4 * shown[0] / 255:.2f}"
        if shown[0] == shown[1]:
            return "Both images are equally good."
        first = 1 + int(shown[1] > shown[0])
        return f"Image {first} is better than Image {3 - first}."


class Handler(BaseHTTPRequestHandler):
    server: StubServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append({"path": self.path, **body})
            self.server.headers.append(dict(self.headers))
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
            queued = self.server.queue.pop(0) if self.server.queue else None
        status, headers, reply = queued or (200, {}, completion(self.server.answer(body)))
        time.sleep(0.005)  # long enough to meet others
        with self.server.lock:
            self.server.at_once -= 1
        if status == 0:  # hang up
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(reply))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        pass


def completion(text: str | None, reason: str = "stop") -> bytes:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return json.dumps({"choices": [choice]}).encode()


@contextmanager
def serving() -> Iterator[StubServer]:
    """A stub that answers for as long as it is needed."""
    stub = StubServer()
    stub.start()
    yield stub
    stub.shutdown()
    stub.server_close()


@pytest.fixture
def server() -> Iterator[StubServer]:
    with serving() as stub:
        yield stub


def judge(server: StubServer, pauses: list[float] | None = None, **spec: Any) -> EndpointJudge:
    given = {"url": server.url, "model": "m", "specification": NAME, "timeout_s": 5.0, **spec}
    waited = [] if pauses is None else pauses
    return EndpointJudge(EndpointSpec(**given).judge, pause=waited.append)


def candidates(*levels: int) -> list[Candidate]:
    return [
        Candidate(str(at), "g@0", 0, Media(encode_png(np.full((8, 8, 3), level, np.uint8)), 8, 8))
        for at, level in enumerate(levels)
    ]


def test_pictures_travel_as_data_urls_and_answers_are_read(server: StubServer) -> None:
    sitting = judge(server).sit(PROMPT, candidates(0, 255, 255))
    assert [score.value for score in sitting.scores()] == [1.0, 5.0, 5.0]
    duels = sitting.duels([(0, 1), (1, 0), (1, 2)])
    assert [duel.preference for duel in duels] == ["second", "first", "tie"]
    met = matchup(duels, "0", "1")
    assert met is not None
    assert (met.preference, met.is_flipped) == ("second", False)
    asked = server.requests[0]
    assert asked["path"] == "/v1/chat/completions"
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("m", 0, 256)
    content = server.requests[-1]["messages"][0]["content"]
    assert [part["type"] for part in content].count("image_url") == 2
    # what a caption says stays text
    assert any("a red circle {media} {answer}" in part.get("text", "") for part in content)
    assert not any("Authorization" in headers for headers in server.headers)


def test_clips_are_sent_as_frames_and_answers_as_text(server: StubServer) -> None:
    frames = np.stack([np.full((16, 16, 3), 20 * at, np.uint8) for at in range(12)])
    clip = Media(encode_clip(frames, 4), 16, 16, 12, 4.0)
    server.say("Final Score: 7.5")
    score = judge(server).sit(Prompt.of("x", "video_generation"), [
        Candidate("c", "g@0", 0, clip)
    ]).scores()[0]  # fmt: skip
    assert (score.value, score.error) == (7.5, None)
    content = server.requests[0]["messages"][0]["content"]
    assert [part["type"] for part in content].count("image_url") == 8

    question = Prompt.of("what ?", "image_understanding", media=candidates(9)[0].media)
    server.say("Overall Judgment: Answer 2 is better than Answer 1.")
    answers = [Candidate(one, "vlm@0", 0, answer=one) for one in ("red", "blue")]
    duel = judge(server).sit(question, answers).duels([(0, 1)])[0]
    assert duel.preference == "second"
    text = "".join(part.get("text", "") for part in server.requests[-1]["messages"][0]["content"])
    assert "Answer 1: red\nAnswer 2: blue" in text


def test_what_passes_is_tried_again_with_growing_pauses(server: StubServer) -> None:
    pauses: list[float] = []
    server.queue = [
        (500, {}, b"oops"),
        (429, {"Retry-After": "7"}, b""),
        (0, {}, b""),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b""),
    ]
    sitting = judge(server, pauses).sit(PROMPT, candidates(255))
    assert sitting.scores()[0].value == 5.0
    assert len(server.requests) == 5
    assert 0.25 <= pauses[0] <= 0.5
    assert pauses[1] == 7.0
    assert 1.0 <= pauses[2] <= 2.0
    assert 2.0 <= pauses[3] <= 4.0


@pytest.mark.parametrize(
    ("reply", "tries", "reason", "is_attempt"),
    [
        ((401, {}, b"bad key"), 1, "HTTP 401: bad key", True),
        ((404, {}, b""), 1, "HTTP 404", True),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), 1, "HTTP 302", True),
        ((400, {}, b"too long"), 1, "HTTP 400: too long", False),
        ((500, {}, b"down"), 3, "HTTP 500: down", True),
        ((0, {}, b""), 3, "RemoteDisconnected", True),
        ((200, {}, b"<html>"), 1, "no chat completion", True),
        ((200, {}, b'{"choices": []}'), 1, "no chat completion", True),
        ((200, {}, b'{"error": "x"}'), 1, "no chat completion", True),
        ((200, {}, completion(None)), 1, "unreadable: empty answer", False),
        ((200, {}, completion("", "content_filter")), 1, "filtered", False),
        ((200, {}, completion("I am sorry.")), 1, "unreadable: no number", False),
        ((200, {}, completion("Final Score: 3", "length")), 1, "unreadable: cut short", False),
        ((200, {}, completion("Final Score: 9")), 1, "unreadable: 9 is not on the scale", False),
    ],
)
def test_what_fails_for_good_is_invalid_and_no_number(
    server: StubServer,
    reply: tuple[int, dict[str, str], bytes],
    tries: int,
    reason: str,
    is_attempt: bool,
) -> None:
    server.queue = [reply] * tries
    score = judge(server, num_retries=2).sit(PROMPT, candidates(255)).scores()[0]
    assert math.isnan(score.value)
    assert reason in str(score.error)
    assert len(server.requests) == tries
    assert score.reply is not None
    assert score.reply.is_attempt is is_attempt  # and then it will be asked again
    assert score.reply.request is not None
    assert (score.reply.text is not None) == reason.startswith("unreadable")


def test_what_is_said_is_kept_with_what_it_cost(server: StubServer) -> None:
    body = json.loads(completion("Final Score: 4\nI like red."))
    used = {"usage": {"prompt_tokens": 90, "completion_tokens": 8}}
    server.queue = [(200, {}, json.dumps({**body, **used}).encode())]
    first, other = judge(server, concurrency=1).sit(PROMPT, candidates(255, 255)).scores()
    assert first.reply is not None
    assert other.reply is not None
    assert (first.reply.text, first.reply.num_read, first.reply.num_written) == (
        "Final Score: 4\nI like red.",
        90,
        8,
    )
    assert first.reply.numbers == (first.value, first.spread) == (4.0, 0.0)
    assert first.reply.request == other.reply.request  # the same picture
    assert other.reply.num_read is None  # this server does not say
    assert (first.reply.seconds or 0) > 0
    # No server gives its logits, whatever a specification says of weights of one's own.
    assert {one.reading for one in judge(server).specification.tasks.values()} == {"text"}


def test_one_failure_leaves_the_others_alone(server: StubServer) -> None:
    server.queue = [(400, {}, b"too long")]
    duels = judge(server, concurrency=1).sit(PROMPT, candidates(0, 255)).duels([(0, 1), (1, 0)])
    assert "HTTP 400: too long" in str(duels[0].error)
    assert math.isnan(duels[0].p_first)
    assert (duels[1].error, duels[1].preference) == (None, "first")
    assert matchup(duels, "0", "1") is None


def test_a_server_that_is_silent_or_absent_times_out(server: StubServer) -> None:
    gone = judge(server, num_retries=1)
    server.shutdown()  # accepts no more: the connection waits in the queue
    spec = replace_timeout(gone, 0.2)
    score = spec.sit(PROMPT, candidates(255)).scores()[0]
    assert "endpoint: " in str(score.error)
    assert "time" in str(score.error).lower()
    assert score.reply is not None
    assert score.reply.is_attempt
    server.start()


def replace_timeout(judge: EndpointJudge, seconds: float) -> EndpointJudge:
    asked = judge.asked.model_copy(update={"timeout_s": seconds})
    spec = judge.spec.model_copy(update={"endpoint": asked})
    return EndpointJudge(spec, pause=lambda _: None)


def test_requests_at_a_time_are_limited(server: StubServer) -> None:
    sitting = judge(server, concurrency=3).sit(PROMPT, candidates(*range(0, 240, 10)))
    scores = [score.value for score in sitting.scores()]
    assert scores == sorted(scores)  # answers come back to those who asked
    assert 2 <= server.most_at_once <= 3


def test_the_key_comes_from_the_environment_and_appears_nowhere(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STUB_KEY", raising=False)
    with pytest.raises(SpecificationError, match="no STUB_KEY"):
        judge(server, key_variable="STUB_KEY")
    monkeypatch.setenv("STUB_KEY", "sesame")
    asking = judge(server, key_variable="STUB_KEY", num_retries=0)
    server.queue = [(500, {}, b"down")]
    score = asking.sit(PROMPT, candidates(255)).scores()[0]
    assert server.headers[0]["Authorization"] == "Bearer sesame"
    assert "sesame" not in f"{score} {asking.spec}"


def test_a_stage_of_the_pipeline_asks_it_as_any_judge(server: StubServer) -> None:
    spec = EndpointSpec(url=server.url, model="m", specification=NAME, name="outside")
    ref = EndpointRef(spec.judge, "outside@0")
    stage = Judging(
        [pickle.loads(pickle.dumps(ref))],
        Bracket(1),
        cast("TallyHandle", Untallied()),
        lambda table: table,
    )
    judged = stage.judge(Group(PROMPT, tuple(candidates(0, 90, 255))), Piece("judge"))
    assert judged.error is None
    assert {score.judge for score in judged.scores} == {ref.address} == {"outside@0"}
    met = matchup(judged.duels, "2", "0")
    assert met is not None
    assert met.preference == "first"


def test_broken_media_are_not_asked_about(server: StubServer) -> None:
    broken = [*candidates(1), Candidate("x", "g@0", 0, Media(b"broken", 1, 1))]
    sitting = judge(server).sit(PROMPT, broken)
    assert [score.error is None for score in sitting.scores()] == [True, False]
    assert sitting.duels([(0, 1)])[0].error is not None
    assert len(server.requests) == 1
    (seen,) = sitting.scores([1])
    assert seen.reply is not None
    assert (seen.reply.error, seen.reply.request, seen.reply.is_attempt) == (
        seen.error,
        None,
        False,
    )
    assert len(server.requests) == 1


def test_a_task_without_a_specification_is_refused(server: StubServer) -> None:
    only = find("", NAME)
    only = replace(only, tasks={"image_generation": only.task("image_generation")})
    asking = EndpointJudge(judge(server).spec, specification=only)
    with pytest.raises(SpecificationError, match="video_generation"):
        asking.sit(Prompt.of("x", "video_generation"), [])


def test_a_dialogue_and_an_edit_are_put_with_all_their_media(server: StubServer) -> None:
    def medium(grey: int) -> Media:
        return Media(encode_png(np.full((8, 8, 3), grey, np.uint8)), 8, 8)

    specification = find("", NAME)
    edits = replace(specification.tasks["image_generation"], source="Before: {source}")
    tasks = {**specification.tasks, "image_generation": edits}
    asked = replace(specification, tasks=tasks)
    asking = EndpointJudge(judge(server).spec, specification=asked)
    edit = Prompt.of_parts([Part("source", media=medium(9)), Part("user", "brighter")])
    server.say("Final Score: 2")
    assert asking.sit(edit, candidates(70)).scores()[0].value == 2.0
    dialogue = Prompt.of_parts(
        [
            Part("question", media=medium(1)),
            Part("user", "a ?"),
            Part("assistant", "b"),
            Part("question", media=medium(2)),
            Part("user", "c ?"),
        ],
        "image_understanding",
    )
    server.say("Answer 1 is better.")
    sides = [Candidate(str(at), "g@0", 0, answer=f"answer {at}") for at in range(2)]
    (duel,) = asking.sit(dialogue, sides).duels([(0, 1)])
    assert duel.preference == "first"
    levels, words = [], []
    for request in server.requests:
        content = request["messages"][0]["content"]
        urls = [one["image_url"]["url"] for one in content if one["type"] == "image_url"]
        levels.append([int(decode(base64.b64decode(url.partition(",")[2])).mean()) for url in urls])
        words.append(" ".join(one["text"] for one in content if one["type"] == "text"))
    assert levels == [[9, 70], [1, 2]]
    assert words[0].startswith("Before:")
    assert "user: [image 1] a ?\nassistant: b\nuser: [image 2] c ?" in words[1]
    with pytest.raises(SpecificationError, match="does not take a source picture"):
        judge(server).sit(edit, candidates(70))
