"""A stub of an S3 server, in this process: objects in a dictionary, signatures unread, and the
faults of servers that speak only a part of the protocol. What must hold on a real server is tested
on one (`server.py`).
"""

import hashlib
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "stub"
_CHECKSUMS = ("x-amz-sdk-checksum-algorithm", "x-amz-trailer", "x-amz-checksum-")
#: What a server of roles answers, as it stands here for one.
_ROLE = """<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>AKROLE</AccessKeyId>
<SecretAccessKey>s</SecretAccessKey><SessionToken>token</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


@dataclass
class Stub:
    """Serves on a free loopback port.

    obeys: whether it looks at If-None-Match and If-Match; where not, it takes every put.
    refuses: whether it answers a put with a condition by 501, as some gateways do.
    md5: whether an ETag is the MD5 of the bytes; else it is a name of its own for each put.
    knows_its_tags: whether it takes an ETag back as it gave it.
    takes_checksums: whether it takes the checksums of newer clients; else it answers 400.
    requests: (method, path with query, headers in lower case) of each request.
    """

    obeys: bool = True
    refuses: bool = False
    md5: bool = True
    knows_its_tags: bool = True
    takes_checksums: bool = True
    objects: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    lock: Any = field(default_factory=threading.RLock)
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKSTUB",
            "AWS_SECRET_ACCESS_KEY": "not-a-secret",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, key: str, data: bytes) -> str:
        tag = hashlib.md5(data, usedforsecurity=False).hexdigest() if self.md5 else uuid.uuid4().hex
        self.objects[key] = (data, f'"{tag}"')
        return f'"{tag}"'

    def is_refused(self, key: str, headers: dict[str, str]) -> int | None:
        """The status with which a put is refused, if it is."""
        wanted, unwanted = headers.get("if-match"), headers.get("if-none-match")
        if self.refuses and (wanted or unwanted):
            return 501
        if not self.takes_checksums and any(name.startswith(_CHECKSUMS) for name in headers):
            return 400
        if not self.obeys:
            return None
        tag = self.objects.get(key, (b"", None))[1]
        is_right = tag == wanted and self.knows_its_tags
        return 412 if (unwanted and tag is not None) or (wanted and not is_right) else None


@contextmanager
def serving(**faults: bool) -> Iterator[Stub]:
    """A stub with these faults, for the time of a test."""
    stub = Stub(**faults)

    class Handler(_Handler):
        owner = stub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: Stub
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self._body(headers)
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query, True).items()}
        bucket, _, key = unquote(url.path).removeprefix("/").partition("/")
        with self.owner.lock:
            self.owner.requests.append((self.command, self.path, headers))
            if b"Action=AssumeRole" in body:
                self._answer(200, _ROLE.encode())
            elif bucket != BUCKET:
                self._fail(404, "NoSuchBucket")
            elif not key:
                self._answer_bucket(query, body)
            else:
                getattr(self, f"_{self.command.lower()}")(key, query, headers, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def _answer_bucket(self, query: dict[str, str], body: bytes) -> None:
        if "delete" in query:
            for key in re.findall(r"<Key>(.*?)</Key>", body.decode(), re.DOTALL):
                self.owner.objects.pop(key.replace("&lt;", "<").replace("&amp;", "&"), None)
            return self._answer(200, b"<DeleteResult/>")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        keys, folders = [], set()
        for key in sorted(self.owner.objects):
            rest = key.removeprefix(prefix)
            if key.startswith(prefix) and delimiter and delimiter in rest:
                folders.add(prefix + rest.partition(delimiter)[0] + delimiter)
            elif key.startswith(prefix):
                keys.append(key)
        told = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.owner.objects[key][0])}</Size>"
            f"<LastModified>2026-12-01T00:00:00.000Z</LastModified></Contents>"
            for key in keys
        ) + "".join(
            f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>" for one in folders
        )
        self._answer(
            200,
            f"<ListBucketResult><KeyCount>{len(keys) + len(folders)}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{told}</ListBucketResult>".encode(),
        )

    def _get(self, key: str, query: Any, headers: dict[str, str], body: bytes) -> None:
        if key not in self.owner.objects:
            return self._fail(404, "NoSuchKey")
        data, tag = self.owner.objects[key]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        more = {"ETag": tag, "Last-Modified": "Tue, 01 Dec 2026 00:00:00 GMT"}
        if asked is None:
            return self._answer(200, data, more)
        start, end = int(asked[1]), min(int(asked[2] or len(data)), len(data) - 1)
        more["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        return self._answer(206, data[start : end + 1], more)

    _head = _get

    def _put(self, key: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> None:
        status = self.owner.is_refused(key, headers)
        if status is not None:
            return self._fail(
                status,
                {400: "InvalidArgument", 501: "NotImplemented"}.get(status, "PreconditionFailed"),
            )
        if "uploadId" in query:
            self.owner.parts[query["uploadId"]][int(query["partNumber"])] = body
            return self._answer(200, b"", {"ETag": f'"{len(body)}"'})
        source = headers.get("x-amz-copy-source")
        if source is not None:
            body = self.owner.objects[unquote(source).removeprefix("/").partition("/")[2]][0]
            tag = self.owner.put(key, body)
            return self._answer(
                200, f"<CopyObjectResult><ETag>{tag}</ETag></CopyObjectResult>".encode()
            )
        return self._answer(200, b"", {"ETag": self.owner.put(key, body)})

    def _post(self, key: str, query: dict[str, str], headers: Any, body: bytes) -> None:
        if "uploads" in query:
            name = uuid.uuid4().hex
            self.owner.parts[name] = {}
            told = f"<Bucket>{BUCKET}</Bucket><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
            kind = "InitiateMultipartUploadResult"
        else:
            parts = self.owner.parts.pop(query["uploadId"])
            tag = self.owner.put(key, b"".join(parts[number] for number in sorted(parts)))
            told, kind = (
                f"<Key>{escape(key)}</Key><ETag>{tag}</ETag>",
                "CompleteMultipartUploadResult",
            )
        self._answer(200, f"<{kind}>{told}</{kind}>".encode())

    def _delete(self, key: str, query: Any, headers: Any, body: bytes) -> None:
        self.owner.objects.pop(key, None)
        self._answer(204, b"")

    def _body(self, headers: dict[str, str]) -> bytes:
        data = self.rfile.read(int(headers.get("content-length") or 0))
        if "chunked" in headers.get("transfer-encoding", ""):
            data = b"".join(iter(self._chunk, b""))
        if "aws-chunked" not in headers.get("content-encoding", ""):
            return data
        plain = b""
        while data:
            size, _, data = data.partition(b"\r\n")
            length = int(size.partition(b";")[0] or b"0", 16)
            if length == 0:
                break
            plain, data = plain + data[:length], data[length + 2 :]
        return plain

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        data = self.rfile.read(size)
        self.rfile.readline()
        return data

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>stub</Message></Error>".encode())

    def _answer(self, status: int, data: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass
