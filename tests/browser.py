"""A real browser for tests of pages: headless Chromium, told what to do over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REASON = "no Chromium on the PATH (Debian: apt-get install chromium)"
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0")


class Browser:
    """One tab. ``errors`` collects what its console says and what pages throw, ``asked`` what they load."""

    def __init__(self, folder: Path) -> None:
        import aiohttp

        folder.mkdir(parents=True, exist_ok=True)
        self.errors: list[str] = []
        self.asked: list[str] = []
        self._loop, self._number = asyncio.new_event_loop(), 0
        with (folder / "log").open("wb") as log:
            command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        port = self._port(folder / "log")

        async def connect():
            self._http = aiohttp.ClientSession()
            async with self._http.get(f"http://127.0.0.1:{port}/json") as answer:
                tabs = json.loads(await answer.text())
            address = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            self._socket = await self._http.ws_connect(address, max_msg_size=0)

        self._loop.run_until_complete(connect())
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _port(self, log: Path) -> str:
        for _ in range(600):
            if found := re.search(
                r"DevTools listening on ws://[^:]+:(\d+)/", log.read_text(errors="replace")
            ):
                return found[1]
            time.sleep(0.1)
        raise RuntimeError(f"Chromium did not start: {log.read_text(errors='replace')[-2000:]}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._loop.run_until_complete(self._http.close())
        self._loop.close()

    def call(self, method: str, **params):
        """The result of a command; events that come before it are noted."""
        self._number += 1

        async def answered():
            await self._socket.send_str(json.dumps({"id": self._number, "method": method, "params": params}))
            while True:
                message = json.loads((await self._socket.receive(timeout=60)).data)
                if message.get("id") == self._number:
                    return message
                self._note(message.get("method"), message.get("params", {}))

        message = self._loop.run_until_complete(answered())
        assert "error" not in message, message
        return message["result"]

    def _note(self, event: str, params: dict) -> None:
        if event == "Runtime.exceptionThrown":
            thrown = params["exceptionDetails"]
            self.errors.append(thrown.get("exception", {}).get("description") or thrown["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(params["args"])[:600])
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])

    def open(self, page: Path, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page and wait until it says that it is ready (``data-ready`` of its root)."""
        self.size(width, height)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.call("Page.navigate", url=page.absolute().as_uri())
        self.wait("document.readyState === 'complete' && 'ready' in document.documentElement.dataset")

    def size(self, width: int, height: int) -> None:
        options = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **options)

    def wait(self, condition: str, most: float = 60.0) -> None:
        for _ in range(int(most / 0.05)):
            if self.js(f"Boolean({condition})"):
                return
            time.sleep(0.05)
        raise AssertionError(f"never true: {condition}; {self.errors}")

    def js(self, code: str):
        """The value of an expression."""
        found = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def point(self, x: float, y: float, kind: str = "mouseMoved") -> None:
        pressed = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **pressed)

    def key(self, key: str, code: int) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path, whole: bool = False) -> None:
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
