"""A proxy in front of an S3 server that misbehaves now and then, in a way that is chosen.

error: answers 500 in the server's place.
busy: answers 503 SlowDown in its place.
slow: hands the answer on a second or more later.
reset: breaks the connection, half of the time after the server has done what was asked.
silent: does not answer, for longer than our clients wait, and then breaks the connection.
"""

import contextlib
import http.client
import math
import random
import re
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

MODES = ("error", "busy", "slow", "reset", "silent")
SHARE = 0.2
_SILENT_S = 45.0
_BODY = '<?xml version="1.0"?><Error><Code>{}</Code><Message>planted</Message></Error>'


class S3Proxy:
    """Serves on a free loopback port until `close`.

    mode: one of `MODES`, or None to hand everything on.
    share: of the requests that are hit.
    pattern: a regular expression; where there is one, only writes are hit whose path fits.
    left: requests that may yet be hit.
    num_faults: requests that were hit so far.
    num_received, num_sent: bytes of bodies that clients sent and got.
    """

    def __init__(self, upstream: str, seed: int = 0, share: float = SHARE) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.mode: str | None = None
        self.share = share
        self.pattern = ""
        self.left = math.inf
        self.num_faults = 0
        self.num_received = self.num_sent = 0
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def draw(self, method: str, path: str) -> tuple[str | None, float]:
        """What becomes of a request, and a random number to do it by."""
        is_meant = not self.pattern or (
            method in ("PUT", "POST") and re.search(self.pattern, unquote(path)) is not None
        )
        with self._lock:
            may_be = self.mode is not None and is_meant and self.left > 0
            is_hit = may_be and self._rng.random() < self.share
            self.left -= is_hit
            self.num_faults += is_hit
            return (self.mode if is_hit else None), self._rng.random()

    def count(self, num_received: int, num_sent: int) -> None:
        """Count the bodies of a request and of its answer."""
        with self._lock:
            self.num_received += num_received
            self.num_sent += num_sent

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: S3Proxy
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self._body()
        fault, p = self.owner.draw(self.command, self.path)
        if fault in ("error", "busy"):
            status, code = (500, "InternalError") if fault == "error" else (503, "SlowDown")
            self._answer(status, [("Content-Type", "application/xml")], _BODY.format(code).encode())
            return
        if fault == "silent":
            time.sleep(_SILENT_S)
            self._reset()
            return
        if fault == "reset" and p < 0.5:
            self._reset()
            return
        status, headers, data = self._forward(body)
        self.owner.count(len(body), len(data))
        if fault == "reset":
            self._reset()
            return
        if fault == "slow":
            time.sleep(1.0 + 2.0 * p)
        self._answer(status, headers, data)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():  # trailers
                pass
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.owner.upstream, timeout=60)
        try:
            # The host header stays the client's: it is part of what it has signed.
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():
                if key.lower() not in ("connection", "expect", "transfer-encoding"):
                    upstream.putheader(key, value)
            if "Content-Length" not in self.headers and body:
                upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except OSError:
            return 503, [], b""
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        is_head = self.command == "HEAD"
        for key, value in headers:
            name = key.lower()
            if name in ("transfer-encoding", "connection") or (
                name == "content-length" and not is_head
            ):
                continue
            self.send_header(key, value)
        if not is_head:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not is_head:
            self.wfile.write(data)

    def _reset(self) -> None:
        """RST in place of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the client has gone, or we have hung up
            self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass
