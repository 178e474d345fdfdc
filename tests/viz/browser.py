"""Pages opened in a real browser, without a window; tests skip where there is none."""

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (Debian's package `chromium`)"
)
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage"
PATIENCE = 120  # seconds of a browser, which may start beside much else
WATCH = """
window.errors = []; onerror = message => { errors.push(message) };
document.addEventListener('securitypolicyviolation', event => errors.push(event.blockedURI));
"""


class Look(NamedTuple):
    """How a page is looked at: the scheme that is preferred, "screen" or "print", page pixels."""

    dark: bool = False
    media: str = "screen"
    width: int = 1280


DESK = Look()
PHONE = Look(width=390)


def driven(page: str, script: str, folder) -> dict:
    """What the body of a JavaScript function returns, run in the page once it is loaded.

    The errors of the page's own scripts, and what its policy refused, come as "errors".
    """
    return seen(page, script, folder, [DESK])[0]


def seen(page: str, script: str, folder, looks: Sequence[Look]) -> list[dict]:
    """As `driven`, of a page that is opened anew in each look."""
    path = folder / "driven.html"
    path.write_text(page)
    found = []
    with _tab(folder) as (ask, loaded):
        ask("Page.enable")
        ask("Page.setLifecycleEventsEnabled", enabled=True)
        ask("Page.addScriptToEvaluateOnNewDocument", source=WATCH)
        for look in looks:
            scheme = {"name": "prefers-color-scheme", "value": "dark" if look.dark else "light"}
            ask("Emulation.setEmulatedMedia", media=look.media, features=[scheme])
            size = {"width": look.width, "height": 844, "deviceScaleFactor": 1}
            ask("Emulation.setDeviceMetricsOverride", **size, mobile=look == PHONE)
            loaded(ask("Page.navigate", url=path.as_uri())["loaderId"])
            body = f"({{...(() => {{ {script} }})(), errors}})"
            done = ask("Runtime.evaluate", expression=body, returnByValue=True)
            assert "exceptionDetails" not in done, done
            found.append(done["result"]["value"])
    return found


@contextlib.contextmanager
def _tab(folder) -> Iterator[tuple[Callable[..., Any], Callable[[str], None]]]:
    """A tab of a new browser: `ask(method, **parameters)` of its DevTools, and `loaded(loader)`.

    The protocol is JSON that ends in a zero byte, on the browser's files 3 and 4: here its
    standard input and output.
    """
    flags = [*FLAGS.split(), "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}"]
    with (folder / "chromium.log").open("w") as log:
        browser = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 3<&0 4>&1 >&2', "sh", CHROMIUM, *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    timer = threading.Timer(PATIENCE, browser.kill)
    timer.start()
    session: dict[str, str] = {}
    asked, rest, ready = 0, b"", set()

    def heard() -> dict:
        nonlocal rest
        while b"\0" not in rest:
            more = browser.stdout.read1()
            assert more, (folder / "chromium.log").read_text()[-2000:]
            rest += more
        text, _, rest = rest.partition(b"\0")
        message = json.loads(text)
        if message.get("method") == "Page.lifecycleEvent" and message["params"]["name"] == "load":
            ready.add(message["params"]["loaderId"])
        return message

    def ask(method: str, **parameters: Any) -> Any:
        nonlocal asked
        asked += 1
        question = {"id": asked, "method": method, "params": parameters, **session}
        browser.stdin.write(json.dumps(question).encode() + b"\0")
        browser.stdin.flush()
        while (message := heard()).get("id") != asked:
            pass
        assert "error" not in message, message
        return message["result"]

    def loaded(loader: str) -> None:
        while loader not in ready:
            heard()

    try:
        tab = ask("Target.createTarget", url="about:blank")["targetId"]
        session["sessionId"] = ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        yield ask, loaded
    finally:
        timer.cancel()
        browser.kill()
        browser.communicate()
