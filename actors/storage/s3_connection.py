"""How an S3 server is reached: asked of botocore once, and told to Arrow.

botocore and Arrow look for endpoint, region, credentials and the form of addresses by rules of
their own, and differ where a profile names them (`endpoint_url`, a `services` section, a role to
assume, an addressing style), or the environment a proxy. Data would then lie on one server and
manifests on another. So botocore's answers count, and Arrow gets them by argument; s3fs, by which
pandas and Hugging Face's datasets read, asks botocore itself.

Left out: how long credentials are good, and who may carry them (`s3_files.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from actors.storage.backend import StorageError

MAX_ATTEMPTS = 8  # of a request: with the SDK's back-off this outlasts a restart of the server
TIMEOUT_S = 30.0
_REGION, _CHECKSUMS = "us-east-1", "when_supported"  # where nothing is said

#: Variables of the environment that say how S3 is reached: endpoint, region twice, checksums of
#: what is written and of what is read.
NAMES = (
    *("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"),
)
_CHECKSUM_NAMES = frozenset(NAMES[3:])
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@dataclass
class Connection:
    """What botocore says of the environment, and what is made of it.

    client: botocore's, for S3.
    endpoint: of a server that is named; None for AWS.
    named_region: None where none is.
    """

    client: Any
    endpoint: str | None
    named_region: str | None
    _session: Any
    _arrow: dict[Any, Any] = field(default_factory=dict)

    @property
    def region(self) -> str:
        return self.named_region or _REGION

    @property
    def is_virtual(self) -> bool:
        """Whether a bucket is a part of the server's name, and not of the path."""
        style = (self.client.meta.config.s3 or {}).get("addressing_style")
        return style == "virtual" if self.endpoint is not None else style != "path"

    @property
    def server(self) -> str:
        """Its name, for messages."""
        return self.endpoint or "AWS"

    @property
    def settings(self) -> dict[str, str]:
        """Of this connection, as variables of the environment: what other machines must know, and
        nothing that they would do by themselves.
        """
        config = self.client.meta.config
        values = (
            *(self.endpoint, self.named_region, self.named_region),
            *(config.request_checksum_calculation, config.response_checksum_validation),
        )
        usual = (None, _CHECKSUMS)
        return {
            name: value for name, value in zip(NAMES, values, strict=True) if value not in usual
        }

    def arrow(self) -> Any:
        """Arrow's file system with the credentials of now.

        Raises:
            StorageError: there are none, or they cannot be had.
        """
        from botocore.exceptions import BotoCoreError

        try:
            found = self._session.get_credentials()
            now = found.get_frozen_credentials() if found is not None else None
        except BotoCoreError as error:  # a login that is over, a process that fails
            raise StorageError(f"no credentials for S3: {error}") from None
        if now is None:
            raise StorageError(
                "no credentials for S3: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, in the environment"
            )
        files = self._arrow.get(now)
        if files is None:
            files = self._made(now)
            self._arrow = {now: files}
        return files

    def _made(self, credentials: Any) -> Any:
        from botocore.utils import get_environ_proxies
        from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

        address = self.client.meta.endpoint_url
        endpoint = self.endpoint
        if endpoint is None and (not self.is_virtual or any(map(os.environ.get, _ENDPOINTS))):
            # Arrow has paths for servers that are named, and reads a name that botocore ignores.
            endpoint = address
        where: dict[str, Any] = {}
        if endpoint is not None:
            url = urlsplit(endpoint)
            server = f"{url.netloc}{url.path}".rstrip("/")
            where = {"scheme": url.scheme, "endpoint_override": server}
        proxy = get_environ_proxies(address).get(urlsplit(address).scheme)
        bundle = os.environ.get("AWS_CA_BUNDLE") or self._session.get_config_variable("ca_bundle")
        for name in _CHECKSUM_NAMES & self.settings.keys():  # which Arrow's SDK hears so alone
            os.environ[name] = self.settings[name]
        return S3FileSystem(
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            session_token=credentials.token,
            region=self.region,
            retry_strategy=AwsStandardS3RetryStrategy(max_attempts=MAX_ATTEMPTS),
            connect_timeout=TIMEOUT_S,
            request_timeout=TIMEOUT_S,
            force_virtual_addressing=self.is_virtual,
            tls_ca_file_path=bundle,
            proxy_options=proxy,
            **where,
        )


def connection() -> Connection:
    """The connection of this process, as its environment describes it now.

    Raises:
        StorageError: the profile is not known here, or cannot be read.
    """
    named = ((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))
    return _connected(os.getpid(), tuple(sorted(named)))


@lru_cache(maxsize=2)
def _connected(process: int, environment: tuple[tuple[str, str], ...]) -> Connection:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    retries = {"max_attempts": MAX_ATTEMPTS, "mode": "standard"}
    settings = Config(retries=retries, connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S)
    bare = Config(ignore_configured_endpoint_urls=True)
    try:
        session = get_session()
        # botocore itself reads AWS_DEFAULT_REGION alone.
        region = os.environ.get("AWS_REGION") or session.get_config_variable("region")
        where = {"region_name": region or _REGION}
        client = session.create_client("s3", config=settings, **where)
        default = session.create_client("s3", config=bare, **where)
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"S3: {error}; see storage.profile and AWS_PROFILE") from None
    is_named = client.meta.endpoint_url != default.meta.endpoint_url
    default.close()
    return Connection(client, client.meta.endpoint_url if is_named else None, region, session)
