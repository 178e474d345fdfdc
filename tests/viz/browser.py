"""Pages opened in a real browser, without a window; tests skip where there is none."""

import html
import json
import re
import shutil
import subprocess

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium (Debian's package `chromium`)"
)


def driven(page: str, script: str, folder) -> dict:
    """What the body of a JavaScript function returns, run in the page once it is loaded.

    The errors of the page's own scripts, and what its policy refused, come as "errors".
    """
    watch = (
        "<script>window.errors = []; onerror = message => { errors.push(message) };"
        "document.addEventListener('securitypolicyviolation', e => errors.push(e.blockedURI));"
        "</script>"
    )
    run = (
        "<script>addEventListener('load', () => { let found; try { found = (() => {"
        + script
        + "})() } catch (error) { found = {}; errors.push(String(error)) }"
        "const out = document.createElement('pre'); out.id = 'found';"
        "out.textContent = JSON.stringify({...found, errors}); document.body.append(out) });"
        "</script>"
    )
    assert "<title>" in page and "</body>" in page
    path = folder / "driven.html"
    path.write_text(
        page.replace("<title>", watch + "<title>", 1).replace("</body>", run + "</body>")
    )
    done = subprocess.run(
        [*_command(folder), "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert text, done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(html.unescape(text[1]))


def _command(folder) -> list[str]:
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-dev-shm-usage"
    return [CHROMIUM, *flags.split(), f"--user-data-dir={folder / 'profile'}"]
