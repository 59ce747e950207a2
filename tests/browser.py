"""A headless Chromium that tests look at pages with, through its DevTools protocol over a pipe."""

import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--disable-gpu",
    "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--force-color-profile=srgb", "--hide-scrollbars", "--force-device-scale-factor=1",
)  # fmt: skip
PATIENCE = 60.0

# The browser reads commands from descriptor 3 and answers on 4. The two may be in each other's place before.
AT_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for place, end in enumerate(ends, start=3):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def find_browser() -> str | None:
    """Return the browser that ANAM_BROWSER names, or else the first on the path."""
    return os.environ.get("ANAM_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


def required_browser() -> str:
    """Return the browser, or leave the test out; with ANAM_REQUIRE_BROWSER=1 its absence is a failure."""
    found = find_browser()
    if found is None or sys.platform == "win32":
        reason = "no Chromium on the path, nor in ANAM_BROWSER" if found is None else "its pipes need file descriptors 3 and 4"
        if os.environ.get("ANAM_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Browser:
    """A running browser."""

    def __init__(self, command: int, answers: int) -> None:
        self._command = command
        self._messages: Queue[dict[str, Any] | None] = Queue()
        self._events: list[dict[str, Any]] = []
        self._last = 0
        threading.Thread(target=self._listen, args=(answers,), daemon=True).start()

    def call(self, method: str, session: str | None = None, /, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._command, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(PATIENCE)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._events.append(answer)

    def events(self, session: str) -> list[dict[str, Any]]:
        """Return what a session has reported up to now."""
        while not self._messages.empty():
            self._events.append(self._next(1))
        return [event for event in self._events if event.get("sessionId") == session]

    def _next(self, patience: float) -> dict[str, Any]:
        try:
            message = self._messages.get(timeout=patience)
        except Empty:
            raise AssertionError("the browser does not answer") from None
        if message is None:
            raise AssertionError("the browser has ended")
        return message

    def _listen(self, answers: int) -> None:
        rest = b""
        while chunk := os.read(answers, 1 << 16):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in messages:
                self._messages.put(json.loads(message))
        self._messages.put(None)


class Tab:
    """A page in the browser."""

    def __init__(self, browser: Browser, width: int, height: int, *, dark: bool = False) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def call(self, method: str, /, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a page and wait until it has been drawn."""
        address = path.as_uri() + (f"#{fragment}" if fragment else "")
        self.call("Page.navigate", url=address)
        self.wait_for(f"document.readyState === 'complete' && location.protocol === {json.dumps('file:')}")
        self.settle()

    def settle(self) -> None:
        """Wait until what was changed has been drawn."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.run(condition):
            assert time.monotonic() < end, condition
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def type(self, selector: str, text: str) -> None:
        """Put a text into a field, letter by letter."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)
        self.settle()

    def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key)
        self.settle()

    def press_in(self, selector: str, key: str) -> None:
        """Press a key with an element in focus."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.press(key)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        self.settle()

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="none" if kind == "mouseMoved" else "left", clickCount=1)

    def screenshot(self) -> bytes:
        """Return what can be seen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
        """Return the errors and warnings on the console, the exceptions, and what the page asked to be loaded."""
        told = []
        for event in self._browser.events(self._session):
            method, parameters = event["method"], event["params"]
            if method in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
                told.append(json.dumps(parameters))
            if method == "Network.requestWillBeSent" and parameters["type"] != "Document":
                told.append(f"loads {parameters['request']['url']}")
        return told


@contextmanager
def running(profile: Path) -> Iterator[Callable[..., Tab]]:
    """Start a browser with a profile of its own; gives what opens a tab of some width and height."""
    program = required_browser()
    to_browser, commands = os.pipe()
    answers, from_browser = os.pipe()

    command = [program, *FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        [sys.executable, "-c", AT_3_AND_4, str(to_browser), str(from_browser), *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=(to_browser, from_browser), start_new_session=True,
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    try:
        browser = Browser(commands, answers)
        yield lambda width=1280, height=800, **options: Tab(browser, width, height, **options)
        browser.call("Browser.close")
        process.wait(PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(commands)
