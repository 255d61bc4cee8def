"""S3 and what speaks its protocol, under `s3://bucket/key`.

Arrow's file system reads and writes; botocore does what it cannot: conditional puts. Both reach the
server in the same way (`s3_connection.py`), which the environment names (`AWS_ENDPOINT_URL_S3`,
`AWS_REGION`, `AWS_PROFILE` and what that profile says), and into which `configure` puts what the
recipe says, so that Ray's workers and MLflow hear the same. Credentials come from botocore's usual
chain on each machine; they are in no recipe and travel nowhere.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from actors.storage.backend import StorageError
from actors.storage.objects import ObjectPath, ObjectStore
from actors.storage.s3_connection import NAMES, connection
from schemas.recipe import Storage

_DENIED = ("ACCESS_DENIED", "AccessDenied", "INVALID_ACCESS_KEY", "InvalidAccessKeyId")
_SIGNED = ("SIGNATURE", "SignatureDoesNotMatch", "ExpiredToken", "HTTP status 403", "(403)")
_UNKNOWN = ("HTTP status 400", "(400)", "HTTP status 501", "(501)", "checksum", "STREAMING-")
#: Servers and buckets whose conditional puts this process has tried.
_EXCLUSIVE: set[tuple[str, str]] = set()


class S3(ObjectStore):
    """Buckets of the server that the environment names; AWS where it names none."""

    scheme = "s3"
    environment = (*NAMES, "AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")

    def filesystem(self) -> Any:
        return filesystem()

    def write_new(self, path: str, data: bytes) -> None:
        self._put(self.place(path), data, IfNoneMatch="*")

    def replace(self, path: str, old: bytes, new: bytes) -> None:
        target = self.place(path)
        with self._told(target):
            # As the server gives it: what an ETag is made of is its own matter.
            found = connection().client.get_object(Bucket=target.bucket, Key=target.key)
            read = found["Body"].read()
        if read not in (old, new):  # new: a put whose answer was lost
            raise FileExistsError(f"{target}: has changed")
        self._put(target, new, IfMatch=found["ETag"])

    def check_exclusive(self, path: str) -> None:
        place = self.place(path)
        bucket = (connection().server, place.bucket)
        if bucket in _EXCLUSIVE:
            return
        probe = place / f".probe-{uuid.uuid4().hex}"
        try:
            self._probe(probe)
        finally:
            probe.unlink(missing_ok=True)
        _EXCLUSIVE.add(bucket)

    def _probe(self, probe: ObjectPath) -> None:
        asks = (
            "two drivers could both complete one artifact; use a server that has conditional puts"
        )
        self.write_new(probe.path, b"first")
        if not self._is_refused(probe, IfNoneMatch="*"):
            raise StorageError(f"{connection().server} ignores If-None-Match: {asks}")
        try:
            self.replace(probe.path, b"first", b"second")
        except FileExistsError:
            raise StorageError(
                f"{connection().server} does not know its own ETag in If-Match: no file could ever "
                "be replaced there; use a server that has conditional puts"
            ) from None
        if not self._is_refused(probe, IfMatch=f'"{uuid.uuid4().hex}"'):
            raise StorageError(f"{connection().server} ignores If-Match: {asks}")

    def _is_refused(self, probe: ObjectPath, **condition: str) -> bool:
        try:
            self._put(probe, uuid.uuid4().bytes, **condition)
        except FileExistsError:
            return True
        return False

    def shared_environment(self) -> dict[str, str]:
        given = super().shared_environment()
        try:
            return given | connection().settings
        except StorageError:  # told to whoever reads or writes
            return given

    def configure(self, settings: Storage) -> None:
        given = {
            "AWS_ENDPOINT_URL_S3": settings.endpoint,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "AWS_PROFILE": settings.profile,
            "AWS_REQUEST_CHECKSUM_CALCULATION": settings.checksums,
            "AWS_RESPONSE_CHECKSUM_VALIDATION": settings.checksums,
        }
        os.environ.update({key: value for key, value in given.items() if value is not None})
        if os.environ.get("AWS_REGION"):  # botocore, so s3fs, reads the other name alone
            os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"]
        for key, beats in (
            ("AWS_ENDPOINT_URL_S3", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"),
            ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
        ):
            if given[key] is not None:
                os.environ.pop(beats, None)

    def advice(self, text: str) -> str:
        server = connection().server
        if any(word in text for word in (*_DENIED, *_SIGNED)):
            return (
                f"{server} refuses the credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, in the environment"
            )
        if "NO_SUCH_BUCKET" in text or "NoSuchBucket" in text or "bucket does not exist" in text:
            return f"{server} has no such bucket; make it first"
        if "NETWORK_CONNECTION" in text or "curlCode" in text:
            return f"no answer from {server}; is storage.endpoint (or AWS_ENDPOINT_URL_S3) right?"
        if any(word in text for word in _UNKNOWN):
            return (
                f"{text}; if {server} is older than the checksums of newer clients, set "
                "storage.checksums: when_required"
            )
        return text

    def _put(self, target: ObjectPath, data: bytes, **condition: str) -> None:
        """Put where the condition holds.

        Raises:
            FileExistsError: it does not, and there are other bytes.
        """
        from botocore.exceptions import ClientError

        with self._told(target):
            try:
                connection().client.put_object(
                    Bucket=target.bucket, Key=target.key, Body=data, **condition
                )
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                is_gone = status == 404 and "IfMatch" in condition
                if status not in (409, 412) and not is_gone:
                    raise
                # A put whose answer was lost is sent again and then finds itself.
                if is_gone or target.read_bytes() != data:
                    raise FileExistsError(f"{target}: is there already") from None

    @contextmanager
    def _told(self, target: ObjectPath) -> Iterator[None]:
        """Turn what botocore says about a place into one sentence with advice."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise FileNotFoundError(str(target)) from None
            if status == 501:
                raise StorageError(
                    f"{target}: {connection().server} has no conditional puts ({error}), without "
                    "which two drivers could both complete one artifact; use a server that has them"
                ) from None
            raise StorageError(f"{target}: {self.advice(f'{error} ({status})')}") from None
        except BotoCoreError as error:
            raise StorageError(f"{target}: {self.advice(f'NETWORK_CONNECTION {error}')}") from None


@lru_cache(maxsize=1)
def filesystem() -> Any:
    """Arrow's S3 file system as the environment describes it. It pickles without credentials."""
    from pyarrow.fs import PyFileSystem

    from actors.storage.s3_files import Files

    return PyFileSystem(Files())
