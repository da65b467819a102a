"""A headless Chromium, driven over a pipe by the DevTools protocol."""

import json
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Browser:
    """One page of a browser."""

    def __init__(self, folder):
        read, self.write = os.pipe()
        self.read, write = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
        # The browser reads commands from descriptor 3 and answers on 4.
        command = (
            f'exec "{CHROMIUM}" {flags} --window-size=1280,900 --remote-debugging-pipe '
            f'--user-data-dir="{folder}" 3<&{read} 4>&{write}'
        )
        self.process = subprocess.Popen(
            ["bash", "-c", command],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(read)
        os.close(write)
        self.stream = os.fdopen(self.read, "rb")
        self.number, self.session, self.events = 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def _message(self):
        text = bytearray()
        while (byte := self.stream.read(1)) != b"\0":
            assert byte, "the browser has gone"
            text += byte
        return json.loads(text)

    def ask(self, method, **params):
        """Sends a command and waits for its answer; keeps events that come before it."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, method):
        """The next event of a kind."""
        while not any(event["method"] == method for event in self.events):
            self.events.append(self._message())
        return next(event for event in self.events if event["method"] == method)

    def open(self, path):
        """Opens a file and waits until it is loaded."""
        self.ask("Page.navigate", url=path.resolve().as_uri())
        self.wait("Page.loadEventFired")

    def look(self, width, height=900, scheme="light"):
        """Shows pages at a size, in light or dark colours."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.ask("Emulation.setEmulatedMedia", features=[feature])
        size = {"width": width, "height": height}
        self.ask("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)

    def run(self, script):
        """The value of a JavaScript expression, awaited."""
        answer = self.ask(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def click(self, selector):
        """Clicks with the mouse in the middle of an element."""
        place = self.run(
            f"(() => {{ const at = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [at.x + at.width / 2, at.y + at.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.ask(
                "Input.dispatchMouseEvent",
                type=kind,
                x=place[0],
                y=place[1],
                button="left",
                clickCount=1,
            )

    def type(self, text):
        """Types into what has the focus."""
        self.ask("Input.insertText", text=text)

    def wheel(self, pixels):
        """Turns the mouse's wheel."""
        self.ask(
            "Input.dispatchMouseEvent", type="mouseWheel", x=600, y=600, deltaX=0, deltaY=pixels
        )

    def close(self):
        """Ends the browser."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.stream.close()
        os.close(self.write)


@contextmanager
def browser(folder):
    """A browser that ends with the block."""
    page = Browser(folder)
    try:
        yield page
    finally:
        page.close()
