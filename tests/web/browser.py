"""A real headless Chromium, spoken to over its debugging pipe: JSON messages, each ended by a zero byte."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
SECONDS = 30


class Left(Exception):
    """The page went to another address before it could answer."""


class Tab:
    """One page that is open."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out, self._rest, self._number, self._session = into, out, b"", 0, ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")

    def _ask(self, method: str, **given: Any) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": given}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._into, json.dumps(asked).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                piece = os.read(self._out, 1 << 16)
                assert piece, "the browser ended"
                self._rest += piece
            whole, _, self._rest = self._rest.partition(b"\0")
            message = json.loads(whole)
            if message.get("id") == self._number:
                if "navigated" in str(message.get("error")):
                    raise Left
                assert "error" not in message, message
                return dict(message["result"])

    def open(self, address: str) -> None:
        """Goes there."""
        self._ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        given = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in given, given
        return given["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression once it is true; while a page loads there may be none."""
        deadline = time.monotonic() + SECONDS
        while True:
            with suppress(Left):
                found = self.run(
                    f"(() => {{ try {{ const it = {script}; return it instanceof Node || it }} catch (e) {{}} }})()"
                )
                if found:
                    return found
            assert time.monotonic() < deadline, (script, self.run("document.documentElement.outerHTML"))
            time.sleep(0.1)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """The screen, and whether the user likes it dark."""
        self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[feature])

    def picture(self, path: Path) -> None:
        """What the screen shows."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """A browser with a profile in this folder, ended at the end."""
    theirs, into = os.pipe()
    out, ours = os.pipe()

    def pipes() -> None:
        high = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in (theirs, ours)]
        for at, one in enumerate(high, 3):  # where a browser looks for them
            os.dup2(one, at)

    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--remote-debugging-pipe", f"--user-data-dir={folder}"]
    with open(folder / "browser.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=(3, 4), preexec_fn=pipes)
    os.close(theirs)
    os.close(ours)
    try:
        yield Tab(into, out)
    finally:
        os.close(into)  # the end of its pipe ends the browser
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(out)
