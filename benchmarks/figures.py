"""Draw the pictures of README and docs: `make figures`. Needs Chromium.

The strokes are fixed, and so the picture of the app is the same each time but for fonts.
"""

import json
import sys
import tempfile
import threading
from pathlib import Path

from digit_recognizer.app.server import build_app, build_server, open_socket

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
STROKES = [  # of a 7, a 4 and a 9; places are shares of the paper
    [[0.10, 0.22], [0.20, 0.21], [0.30, 0.20], [0.25, 0.40], [0.20, 0.62]],
    [[0.50, 0.16], [0.46, 0.30], [0.42, 0.44], [0.52, 0.43], [0.60, 0.42]],
    [[0.56, 0.30], [0.55, 0.50], [0.55, 0.70]],
    [[0.86, 0.26], [0.82, 0.20], [0.76, 0.22], [0.73, 0.32], [0.76, 0.42], [0.82, 0.42], [0.86, 0.34], [0.86, 0.26]],
    [[0.86, 0.26], [0.86, 0.46], [0.84, 0.72]],
]
DRAW = """(async () => {
  const paper = document.getElementById('drawing'), place = paper.getBoundingClientRect()
  paper.setPointerCapture = () => {}
  const send = (kind, [x, y]) => paper.dispatchEvent(new PointerEvent(kind, {pointerId: 1, button: 0, bubbles: true,
    clientX: place.left + x * place.width, clientY: place.top + y * place.height}))
  for (const stroke of STROKES) {
    send('pointerdown', stroke[0])
    stroke.slice(1).forEach((point) => send('pointermove', point))
    send('pointerup', stroke.at(-1))
  }
  const isDone = () => document.getElementById('looked').ariaLabel?.startsWith('Covering')
  while (!isDone()) await new Promise((done) => setTimeout(done, 50))
  return document.getElementById('answer').textContent
})()"""


def main() -> int:
    sys.path.insert(0, str(ROOT / "tests"))
    from browser import Browser

    listening = open_socket("127.0.0.1", 0)
    server = build_server(build_app(ROOT / "runs"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile, Browser(profile) as browser:
        browser.open(f"http://127.0.0.1:{listening.getsockname()[1]}/", 1000, 640)
        found = browser.run(DRAW.replace("STROKES", json.dumps(STROKES)))
        browser.draw(IMAGES / "app.png")
    server.should_exit = True
    thread.join()
    print(f"{IMAGES / 'app.png'}: {(IMAGES / 'app.png').stat().st_size / 1000:.0f} kB; the app reads {found!r}")
    return 0 if found == "7 4 9" else 1


if __name__ == "__main__":
    sys.exit(main())
