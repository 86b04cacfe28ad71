"""A headless Chromium, driven by pipe through its own protocol: https://chromedevtools.github.io/devtools-protocol/."""

import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.waiting import until

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PATIENCE = 120.0  # seconds for an answer: a busy machine, and a page of half a megabyte
# No sandbox: root has none, and the pages are our own. Nothing is asked of the network.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"),
    *("--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files", "--remote-debugging-pipe"),
)


def found() -> str | None:
    """A Chromium of this machine."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A window of a given width; `troubles` are what went wrong in it since it was last asked."""

    def __init__(self, to: int, back: int):
        self._to, self._back, self._numbers = to, back, itertools.count(1)
        self._buffer, self._events = b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    _session: str | None = None

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command; its result. AssertionError for one that is refused."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == number:
                assert "result" in told, (method, parameters, told)
                return told["result"]
            self._events.append(told)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            assert select.select([self._back], [], [], max(0.0, deadline - time.monotonic()))[0], "no answer"
            more = os.read(self._back, 1 << 20)
            assert more, "the browser ended"
            self._buffer += more
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def width(self, columns: int, rows: int) -> None:
        """The window's size, in CSS pixels, as a telephone has it."""
        size = {"width": columns, "height": rows, "deviceScaleFactor": 1, "mobile": True}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def open(self, address: str) -> None:
        """Go to an address, and wait until all of it is there."""
        self._events.clear()
        told = self.ask("Page.navigate", url=address)
        assert "errorText" not in told, (address, told)
        if "loaderId" in told:  # else only the fragment is another one
            self._until("Page.loadEventFired")

    def _until(self, event: str) -> None:
        seen = 0
        while not any(told.get("method") == event for told in self._events[seen:]):
            seen = len(self._events)
            self._events.append(self._next())

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, (script, told)
        return told["result"].get("value")

    def until(self, script: str) -> None:
        """Wait until an expression of JavaScript holds, also while one page gives way to another."""
        until(lambda: self.run(script), lambda: f"{script}: {self.run('location.href')}")

    def click(self, element: str) -> None:
        """Click in the middle of what JavaScript names, as a hand would: whatever lies there gets it."""
        place = self.run(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center', inline: 'center'}}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        at = {"x": place[0], "y": place[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, **at)

    def troubles(self) -> list[str]:
        """Errors of scripts and of the console, and files that did not come, since the page was opened."""
        found = []
        for told in self._events:
            about = told.get("params", {})
            if told.get("method") == "Runtime.exceptionThrown":
                found.append(about["exceptionDetails"]["text"])
            elif told.get("method") == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
                found.append(" ".join(str(part.get("value")) for part in about["args"]))
            elif told.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
                found.append(f"{about['entry']['text']} {about['entry'].get('url', '')}")
            elif told.get("method") == "Network.loadingFailed" and not about.get("canceled"):
                found.append(f"{about['type']}: {about['errorText']}")
        return found


@contextlib.contextmanager
def opened(binary: str, folder: Path) -> Iterator[Page]:
    """A browser with one page; what it keeps lies in `folder`."""
    read, to = os.pipe()
    back, write = os.pipe()

    def wire() -> None:  # the protocol is on descriptors 3 and 4
        ends = os.dup(read), os.dup(write)
        ends = [os.dup(end) if end in (3, 4) else end for end in ends]
        os.dup2(ends[0], 3)
        os.dup2(ends[1], 4)

    with open(folder / "browser.log", "wb") as log:
        process = subprocess.Popen(
            [binary, *OPTIONS, f"--user-data-dir={folder / 'profile'}"],
            preexec_fn=wire,
            close_fds=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
            start_new_session=True,
        )
    os.close(read)
    os.close(write)
    try:
        yield Page(to, back)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(to)
        os.close(back)
