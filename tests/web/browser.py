"""A headless Chromium driven over WebDriver (W3C): just what the tests of the page say and look at."""

import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.running_service import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
MISSING = None if CHROMIUM and CHROMEDRIVER else "needs chromium and chromedriver on the path"

START_LIMIT_S = 120.0
COMMAND_LIMIT_S = 120.0
WAIT_LIMIT_S = 120.0

ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",
)
"""No traffic of its own; surfaces are drawn in software, for a machine of tests has no graphics card."""


class Browser:
    """One window."""

    def __init__(self, driver_url: str, profile: str) -> None:
        self._http = httpx.Client(base_url=driver_url, timeout=COMMAND_LIMIT_S)
        options = {"binary": CHROMIUM, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        session = self._command("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{session['sessionId']}"

    def open(self, url: str) -> None:
        self._command("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the JavaScript ``script`` returns."""
        return self._command("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """Return the text a person sees at ``selector``; empty where nothing is shown."""
        seen = "const e = document.querySelector(arguments[0]); return e?.checkVisibility() ? e.innerText : ''"
        return str(self.run(seen, selector))

    def wait(self, condition: str, *arguments: Any, limit_s: float = WAIT_LIMIT_S) -> Any:
        """Return the value of the JavaScript expression ``condition`` as soon as it is truthy."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if value := self.run(f"return {condition}", *arguments):
                return value
            time.sleep(0.05)
        body = self.run("return document.body.innerText.slice(0, 2000)")
        raise AssertionError(f"not within {limit_s:g} s: {condition} {arguments}\nthe page says:\n{body}")

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click()", selector)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is, one after the other; special ones by their WebDriver code."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._command(
            "POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]}
        )

    def emulate(self, command: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and return its result."""
        return self._command("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        self.emulate(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    def prefer(self, scheme: str, *, motion: str = "no-preference") -> None:
        """Be a system set to ``dark`` or ``light``, with ``motion`` "reduce" for one without movement."""
        wanted = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in wanted.items()]
        self.emulate("Emulation.setEmulatedMedia", features=features)

    def console_errors(self) -> list[str]:
        """Return what was logged as an error since the last call."""
        entries = self._command("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._command("GET", f"{self._session}/screenshot")))

    def close(self) -> None:
        self._command("DELETE", self._session)
        self._http.close()

    def _command(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body if method == "POST" else None)
        value = answer.json()["value"]
        assert answer.is_success, f"{method} {path}: {value['error']}: {value['message']}"
        return value


@contextmanager
def browser() -> Iterator[Browser]:
    """Give a browser with a profile of its own; whatever happens, it and its driver end with the block."""
    assert CHROMEDRIVER is not None
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(
            [CHROMEDRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, driver)
            window = Browser(url, profile)
            try:
                yield window
            finally:
                window.close()
        finally:
            driver.terminate()
            driver.wait()


def _wait_for(url: str, driver: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            pass
        assert driver.poll() is None, "chromedriver ended at once"
        time.sleep(0.05)
    raise AssertionError(f"chromedriver is not ready after {START_LIMIT_S:g} s")
