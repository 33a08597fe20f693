"""Headless Chromium for the tests of pages, and names that would run in a careless page."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

MARKER = "window.marker=(window.marker||0)+1"
HOSTILE = [
    f"<script>{MARKER}</script>",
    f"</script><script>{MARKER}</script>",
    f'"><img src=x onerror="{MARKER}">',
    f"'><svg onload='{MARKER}'>",
    f"javascript:{MARKER}",
    f'<iframe srcdoc="<script>parent.{MARKER}</script>"></iframe>',
    f"${{{MARKER}}}{{{{data}}}}",
    f"</title><script>{MARKER}</script><!--",
]
SECONDS = 300


class Browser:
    """Chromium with one page, spoken to in the DevTools protocol over its two pipes."""

    def __init__(self, commands: int, answers: BinaryIO) -> None:
        self.commands = commands
        self.answers = answers
        self.events: list[dict[str, Any]] = []
        self.number = 0
        self.session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self.receive()).get("id") != self.number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def receive(self) -> dict[str, Any]:
        message = bytearray()
        while (letter := self.answers.read(1)) != b"\0":
            assert letter, "the browser has ended"
            message += letter
        return json.loads(message)

    def open(self, url: str) -> None:
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive())

    def resize(self, width: int) -> None:
        """Show pages as a window, or below 600 pixels as a phone, of this width does."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=800, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def dark(self, wanted: bool) -> None:
        """Say that the reader prefers dark pages, or light ones."""
        value = "dark" if wanted else "light"
        features = [{"name": "prefers-color-scheme", "value": value}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def press(self, key: str) -> None:
        """Press a key where the focus is."""
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        code = {"windowsVirtualKeyCode": 13} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text, **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **code)

    def click(self, x: float, y: float) -> None:
        """Press and leave the left button of the mouse."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )  # fmt: skip

    def frame(self) -> None:
        """Wait until the pending drawing is done."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def faults(self) -> list[str]:
        """What axe-core calls serious or critical about the page as it is; skips without axe."""
        package = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
        self.run(Path(package.__path__[0], "axe.min.js").read_text(encoding="utf-8") + ";0")
        found = self.run("axe.run().then((r) => JSON.stringify([r.violations, r.passes.length]))")
        violations, passes = json.loads(found)
        assert passes > 10  # it did look
        return [
            f"{fault['id']}: {fault['help']}: {[node['target'] for node in fault['nodes']][:3]}"
            for fault in violations
            if fault["impact"] in ("serious", "critical")
        ]

    def run(self, script: str) -> Any:
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def seen(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    program = program or shutil.which("google-chrome")
    if program is None:
        pytest.skip("Chromium is not on this machine")
    command_end, commands = os.pipe()
    answers, answer_end = os.pipe()
    arguments = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={profile}", "--remote-debugging-pipe",
        # No name resolves and the proxy that everything must take does not exist.
        "--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9",
    ]  # fmt: skip
    pipes = f'exec "$@" 3<&{command_end} 4>&{answer_end}'
    process = subprocess.Popen(
        ["timeout", str(SECONDS), "bash", "-c", pipes, "bash", *arguments],
        pass_fds=(command_end, answer_end),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    os.close(command_end)
    os.close(answer_end)
    with os.fdopen(answers, "rb") as told:
        try:
            yield Browser(commands, told)
        finally:
            os.close(commands)  # Chromium ends when its pipe does
            process.terminate()
            process.wait(timeout=60)
