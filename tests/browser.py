"""A browser without a window, spoken to by the DevTools protocol over a pipe: no port, no driver, no package."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--no-first-run", "--disable-extensions", "--disable-component-update", "--disable-sync", "--mute-audio"),
    *("--hide-scrollbars", "--remote-debugging-pipe"),
)
START_SECONDS, ANSWER_SECONDS = 120, 60  # of a busy machine; a free one takes a second and a moment


def find_browser():
    """The path of a Chromium; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab; use it in a `with`."""

    def __init__(self, profile):
        self.numbers, self.buffer, self.session = itertools.count(1), b"", {}
        self.events = []  # what the browser has told unasked, such as requests after Network.enable
        from_us, self.sending = os.pipe()
        self.receiving, to_us = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4
        script = f'exec "$@" 3<&{from_us} 4>&{to_us}'
        command = ["bash", "-c", script, "bash", find_browser(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, pass_fds=(from_us, to_us), **quiet)
        os.close(from_us)
        os.close(to_us)

    def __enter__(self):
        target = self.call("Target.createTarget", seconds=START_SECONDS, url="about:blank")["targetId"]
        self.session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        return self

    def __exit__(self, *_):
        os.close(self.sending)  # it ends when nobody speaks to it any more
        os.close(self.receiving)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def call(self, method, seconds=ANSWER_SECONDS, **parameters):
        """The result of a command of the protocol."""
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters, **self.session}
        os.write(self.sending, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + seconds
        while True:
            answer = json.loads(self._receive(until))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, url, width_px, height_px=800, scheme="light"):
        """Show a page in a window of so many CSS px, to who prefers light or dark, and wait until it is there."""
        mobile = width_px < 600
        size = {"width": width_px, "height": height_px, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.call("Page.navigate", url=url)
        self.run("new Promise(done => document.readyState == 'complete' ? done() : addEventListener('load', done))")

    def run(self, script):
        """The value of a JavaScript expression, promises awaited."""
        found = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def draw(self, path, whole=True):
        """Write a PNG of the page, or of the window alone."""
        shown = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shown["data"]))

    def _receive(self, until):
        while b"\0" not in self.buffer:
            readable, _, _ = select.select([self.receiving], [], [], max(0, until - time.monotonic()))
            assert readable, "the browser does not answer"
            chunk = os.read(self.receiving, 1 << 16)
            assert chunk, "the browser has ended"
            self.buffer += chunk
        answer, _, self.buffer = self.buffer.partition(b"\0")
        return answer
