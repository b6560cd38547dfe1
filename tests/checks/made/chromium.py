"""What does a browser make of a page? Headless Chromium over its debugging pipe, with nothing but the standard library.

Commands and events are JSON messages that end with NUL: written to the browser's descriptor 3, read from its 4.
https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# The browser's ends of the pipes are put in place by the shell: 3 to read from, 4 to write to.
START = 'exec "$0" "$@" 3<&{read} 4>&{write}'
SILENCE = 120  # seconds: longer than any answer takes on a busy machine


class Size(NamedTuple):
    width: int
    height: int
    scale: float = 1.0


class Seen(NamedTuple):
    """What a page did while it was opened."""

    requests: list[str]
    """Addresses asked for, but for the page itself."""
    complaints: list[str]
    """Errors and warnings of the console, refusals by the page's policy among them."""


class Browser:
    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._rest, self._number = write, read, b"", 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to the page."""
        return self.call(method, self._session, **parameters)

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def open(self, page: Path, size: Size, dark: bool) -> Seen:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=scheme)
        metrics = {"width": size.width, "height": size.height, "deviceScaleFactor": size.scale}
        self.ask("Emulation.setDeviceMetricsOverride", mobile=size.width < 600, **metrics)
        self.events.clear()
        address = page.resolve().as_uri()
        self.ask("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self._seen(address)

    def value(self, expression: str) -> Any:
        """What the expression is worth on the page, once it is settled."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.ask("Runtime.evaluate", **asked)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def picture(self, whole: bool = False) -> bytes:
        """A PNG of what is in view, or of the whole page."""
        return base64.b64decode(self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def _seen(self, address: str) -> Seen:
        requests, complaints = [], []
        for event in self.events:
            method, values = event.get("method"), event.get("params", {})
            if method == "Network.requestWillBeSent" and values["request"]["url"] != address:
                requests.append(values["request"]["url"])
            elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
                complaints.append(values["entry"]["text"])
            elif method == "Runtime.exceptionThrown" or (
                method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert")
            ):
                complaints.append(json.dumps(values)[:400])
        return Seen(requests, complaints)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], SILENCE)[0]:
                raise RuntimeError(f"the browser said nothing for {SILENCE} seconds")
            part = os.read(self._read, 2**20)
            if not part:
                raise RuntimeError("the browser closed its pipe")
            self._rest += part
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@contextmanager
def browser(program: str, profile: Path) -> Iterator[Browser]:
    """A browser with a new profile, ended with the block."""
    from_us, our_write = os.pipe()
    our_read, to_us = os.pipe()
    start = START.format(read=from_us, write=to_us)
    command = ["bash", "-c", start, program, *FLAGS, f"--user-data-dir={profile}"]
    process = subprocess.Popen(command, pass_fds=(from_us, to_us), stderr=subprocess.DEVNULL)
    os.close(from_us)
    os.close(to_us)
    try:
        yield Browser(our_write, our_read)
    finally:
        os.close(our_write)  # the browser ends where its pipe does
        os.close(our_read)
        process.terminate()
        process.wait(20)
