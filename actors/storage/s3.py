"""S3 and what speaks its protocol, under `s3://bucket/key`.

Arrow's file system reads and writes; botocore does the one thing that it cannot: a conditional
put. Which server, region and profile: from the environment (`AWS_ENDPOINT_URL`, `AWS_REGION`,
`AWS_PROFILE`), into which `configure` puts what the recipe says, so that Arrow, botocore, Ray's
workers and MLflow all hear the same. Credentials come from the usual chain of the SDKs on each
machine; they are in no recipe and travel nowhere.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from actors.storage.backend import StorageError
from actors.storage.objects import ObjectStore
from schemas.recipe import Storage

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_MAX_ATTEMPTS = 8  # of a request: with the SDK's back-off this outlasts a restart of the server
_TIMEOUT_S = 30.0


class S3(ObjectStore):
    """Buckets of the server that the environment names; AWS where it names none."""

    scheme = "s3"
    environment = (*_ENDPOINTS, "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE")

    def filesystem(self) -> Any:
        return filesystem()

    def write_new(self, path: str, data: bytes) -> None:
        self._put(path, data, {"IfNoneMatch": "*"})

    def replace(self, path: str, old: bytes, new: bytes) -> None:
        # The ETag of an object put in one piece is the MD5 of its bytes.
        tag = hashlib.md5(old, usedforsecurity=False).hexdigest()
        self._put(path, new, {"IfMatch": f'"{tag}"'})

    def configure(self, settings: Storage) -> None:
        given = {
            "AWS_ENDPOINT_URL": settings.endpoint,
            "AWS_ENDPOINT_URL_S3": settings.endpoint,
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "AWS_PROFILE": settings.profile,
        }
        os.environ.update({key: value for key, value in given.items() if value is not None})
        filesystem.cache_clear()

    def advice(self, text: str) -> str:
        server = _endpoint() or "AWS"
        if any(
            word in text for word in ("ACCESS_DENIED", "INVALID_ACCESS_KEY", "SIGNATURE", "403")
        ):
            return (
                f"{server} refuses the credentials; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, in the environment"
            )
        if "NO_SUCH_BUCKET" in text or "bucket does not exist" in text:
            return f"{server} has no such bucket; make it first"
        if "NETWORK_CONNECTION" in text or "curlCode" in text:
            return f"no answer from {server}; is storage.endpoint (or AWS_ENDPOINT_URL) right?"
        return text

    def _put(self, path: str, data: bytes, condition: dict[str, str]) -> None:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.session import get_session

        settings = Config(
            retries={"max_attempts": _MAX_ATTEMPTS, "mode": "standard"}, connect_timeout=_TIMEOUT_S
        )
        client = get_session().create_client(
            "s3", config=settings, region_name=_region(), endpoint_url=_endpoint()
        )
        target = self.place(path)
        try:
            client.put_object(Bucket=target.bucket, Key=target.key, Body=data, **condition)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status not in (409, 412):
                raise StorageError(f"{target}: {self.advice(f'{status} {error}')}") from None
            # A put whose answer was lost is sent again and then finds itself.
            if target.read_bytes() != data:
                raise FileExistsError(f"{target}: is there already") from None
        except BotoCoreError as error:
            raise StorageError(f"{target}: {self.advice(f'NETWORK_CONNECTION {error}')}") from None
        finally:
            client.close()


@lru_cache(maxsize=1)
def filesystem() -> Any:
    """Arrow's S3 file system as the environment describes it. It pickles without credentials."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = _endpoint()
    where: dict[str, str] = {}
    if endpoint is not None:
        url = urlsplit(endpoint)
        where = {"scheme": url.scheme, "endpoint_override": url.netloc}
    return S3FileSystem(
        region=_region(),
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_MAX_ATTEMPTS),
        connect_timeout=_TIMEOUT_S,
        request_timeout=_TIMEOUT_S,
        **where,
    )


def _endpoint() -> str | None:
    return next((os.environ[key] for key in _ENDPOINTS if os.environ.get(key)), None)


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
