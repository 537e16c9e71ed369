"""A browser without a screen, spoken to over pipes in the protocol of its developer tools."""

import base64
import fcntl
import json
import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

_PROGRAM = "chromium"
_FLAGS = (
    *("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage"),
    # Tests run as root, where it has no sandbox; it opens files of the test only.
    *("--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_ANSWER_S = 120.0
# The program reads from the first of these and writes to the second; ours are kept out of their way.
_COMMANDS, _ANSWERS, _OUT_OF_THE_WAY = 3, 4, 10

Message = dict[str, Any]


class Browser:
    """A running browser with one page."""

    def __init__(self, program: subprocess.Popen[bytes], commands: IO[bytes], answers: IO[bytes]) -> None:
        self._program = program
        self._commands = commands
        self._answers = answers
        self._unread = b""
        self._number = 0
        self._session = ""
        self._events: deque[Message] = deque()
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        self._call("Page.setLifecycleEventsEnabled", enabled=True)

    def open(self, file: Path, *, scheme: Literal["light", "dark"] = "light", width: int = 1280) -> "Shown":
        """Open a file and wait until it is loaded, with its scripts run."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)
        preference = {"name": "prefers-color-scheme", "value": scheme}
        self._call("Emulation.setEmulatedMedia", features=[preference])
        self._load("about:blank")
        return Shown(self, self._load(file.as_uri()))

    def evaluate(self, expression: str) -> Any:
        """What an expression is on the page; a promise is waited for."""
        answer = self._call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            timeout=_ANSWER_S * 1000,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def events(self) -> list[Message]:
        """What was told since the last time, all that comes before an answer to be had now included."""
        self.evaluate("new Promise(requestAnimationFrame)")
        told = list(self._events)
        self._events.clear()
        return told

    def _call(self, method: str, **params: Any) -> Message:
        self._number += 1
        call = {"id": self._number, "method": method, "params": params}
        if self._session:
            call["sessionId"] = self._session
        self._commands.write(json.dumps(call).encode() + b"\0")
        self._commands.flush()
        for message in self._messages():
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._events.append(message)
        raise AssertionError(f"the browser ended at {method}: {self._program.poll()}")

    def _load(self, url: str) -> list[Message]:
        """Go there; everything told until it is loaded."""
        self._events.clear()
        # The page and its window tell on ways of their own: what was loaded may be told before the answer, and what was
        # there before may be told of after it.
        loader = self._call("Page.navigate", url=url)["loaderId"]
        if not any(_is_loaded(message, loader) for message in self._events):
            for message in self._messages():
                self._events.append(message)
                if _is_loaded(message, loader):
                    break
            else:
                raise AssertionError(f"the browser ended before {url} was loaded: {self._program.poll()}")
        told = list(self._events)
        self._events.clear()
        return told

    def _messages(self) -> Iterator[Message]:
        until = time.monotonic() + _ANSWER_S
        while True:
            while b"\0" in self._unread:
                message, _, self._unread = self._unread.partition(b"\0")
                yield json.loads(message)
            ready, _, _ = select.select([self._answers], [], [], max(until - time.monotonic(), 0))
            assert ready, f"the browser did not answer within {_ANSWER_S:.0f} s"
            piece = os.read(self._answers.fileno(), 1 << 20)
            if not piece:
                return
            self._unread += piece


class Shown:
    """A file that the browser shows."""

    def __init__(self, browser: Browser, told: list[Message]) -> None:
        self._browser = browser
        self._told = told

    def evaluate(self, expression: str) -> Any:
        """What an expression is on the page; a promise is waited for."""
        return self._browser.evaluate(expression)

    def text(self, selector: str) -> list[str]:
        """The visible text of each element that is selected."""
        return list(
            self.evaluate(f"Array.from(document.querySelectorAll({json.dumps(selector)}), e => e.innerText)")
        )

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        return self._browser.screenshot()

    def troubles(self) -> list[str]:
        """Errors on the console, and exceptions that nothing caught."""
        return [json.dumps(message["params"]) for message in self._all() if _is_trouble(message)]

    def requests(self) -> list[str]:
        """What was asked for over a network: the file itself and what is inside it are not."""
        urls = [
            str(message["params"]["request"]["url"])
            for message in self._all()
            if message.get("method") == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith(("file:", "data:", "blob:"))]

    def _all(self) -> list[Message]:
        self._told += self._browser.events()
        return self._told


def _is_loaded(message: Message, loader: str) -> bool:
    told = message.get("params", {})
    return (message.get("method"), told.get("name"), told.get("loaderId")) == (
        "Page.lifecycleEvent",
        "load",
        loader,
    )


def _is_trouble(message: Message) -> bool:
    params = message.get("params", {})
    match message.get("method"):
        case "Runtime.exceptionThrown":
            return True
        case "Runtime.consoleAPICalled":
            return str(params["type"]) in {"error", "assert"}
        case "Log.entryAdded":
            return str(params["entry"]["level"]) == "error"
        case _:
            return False


def _out_of_the_way(end: int) -> int:
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
    os.close(end)
    return moved


@contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """Start a browser that keeps what it keeps in `home`; it ends with the block."""
    commands_in, commands_out = map(_out_of_the_way, os.pipe())
    answers_in, answers_out = map(_out_of_the_way, os.pipe())
    start = f'exec "$@" {_COMMANDS}<&{commands_in} {_ANSWERS}>&{answers_out}'
    with (home / "log").open("wb") as log:
        program = subprocess.Popen(
            ["bash", "-c", start, "bash", _PROGRAM, *_FLAGS, f"--user-data-dir={home / 'profile'}"],
            pass_fds=(commands_in, answers_out),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(home)},
        )
    for end in (commands_in, answers_out):
        os.close(end)
    with os.fdopen(commands_out, "wb") as commands, os.fdopen(answers_in, "rb", buffering=0) as answers:
        try:
            yield Browser(program, commands, answers)
        finally:
            program.kill()
            program.wait()
