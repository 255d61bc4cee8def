"""A headless Chromium for tests of pages, driven through its debugging pipe; no package is needed.

Left out: everything but going to a page, typing, asking it things, and killing the browser.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: The program, or an empty string where there is none.
CHROMIUM = next(filter(None, map(shutil.which, _NAMES)), "")
_TIMEOUT_S = 120.0


def wait_until(is_true: Callable[[], bool], what: str) -> None:
    """Look again and again, for a while."""
    end = time.monotonic() + _TIMEOUT_S
    while not is_true():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: is not so")
        time.sleep(0.02)


class Browser:
    """One browser with one page.

    Args:
        profile: directory in which it keeps what pages give it to keep.
        downloads: directory for the files that pages save.
    """

    def __init__(self, profile: Path, downloads: Path) -> None:
        from_us, self._to_browser = os.pipe()
        self._from_browser, to_us = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        command = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        flags = ["--headless=new", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        flags += ["--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            ["bash", "-c", command, CHROMIUM, *flags],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(from_us)
        os.close(to_us)
        self._number, self._read, self._session = 0, b"", ""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
        self._session = attached["sessionId"]

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def reload(self) -> None:
        self._call("Page.reload")

    def back(self) -> None:
        self.ask("history.back()")

    def type(self, text: str) -> None:
        """Type a text where the focus is; a line feed is the key Enter."""
        for piece in text.splitlines(keepends=True):
            self._call("Input.insertText", text=piece.rstrip("\n"))
            if piece.endswith("\n"):
                key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
                self._call("Input.dispatchKeyEvent", type="keyDown", **key)
                self._call("Input.dispatchKeyEvent", type="keyUp", **key)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page.

        Raises:
            LookupError: it has none there, or the page is just going.
        """
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise LookupError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression is true, whatever pages come and go meanwhile."""

        def is_true() -> bool:
            with suppress(LookupError):
                return bool(self.ask(expression))
            return False

        wait_until(is_true, expression)

    def kill(self) -> None:
        """As a crash would: nothing is said to it."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._to_browser)
        os.close(self._from_browser)

    def _call(self, method: str, **params: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise LookupError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._from_browser], [], [], _TIMEOUT_S)
            data = os.read(self._from_browser, 2**16) if ready else b""
            if not data:
                raise ConnectionError("the browser does not answer")
            self._read += data
        first, _, self._read = self._read.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        return message
