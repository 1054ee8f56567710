"""The app measured: drawn on in a real browser, attacked by uploads, visited by many, and left on for an hour.

    python benchmarks/app.py                                  # everything; the soak alone takes an hour
    python benchmarks/app.py latency digits uploads visitors  # four minutes
    python benchmarks/app.py soak --minutes 20

It prints Markdown tables. The exit code is 1 if something misses its aim. The browser part needs Chromium; its pen is a
mouse whose events go the way of real ones.
"""

import argparse
import base64
import contextlib
import http.client
import io
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from app_strokes import PAPER_PX, Drawing, draw_digit, make_drawings
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import Browser  # noqa: E402 (a module of the tests: its folder is not on the path before)

PARTS = ("latency", "digits", "uploads", "visitors", "soak")
STROKES, DIGITS, VISITORS, READS = 100, 200, 8, 25
MAX_MS, MIN_RIGHT, MAX_GROWTH_MB = 150, 0.98, 150
MB = 1 << 20
JSON = {"content-type": "application/json"}


class App:
    """The app in a process of its own, without runs, that keeps no drawings; use it in a `with`."""

    def __enter__(self) -> "App":
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.folder = tempfile.TemporaryDirectory()
        Path(self.folder.name, "runs").mkdir()
        flags = ["--port", str(self.port), "--no-browser", "--runs", f"{self.folder.name}/runs"]
        command = [sys.executable, "-m", "digit_recognizer.app", *flags]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while True:
            try:
                self.post(encode(make_drawings(1, 0)[0]))  # answers when the classifier is loaded
                return self
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(120)  # of a busy machine; a free one takes 2
        self.folder.cleanup()

    def post(self, content: bytes, path: str = "/api/read", headers: dict[str, str] | None = None) -> tuple[int, dict]:
        """Status and answer of one request."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)) as connection:
            connection.request("POST", path, content, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def send(self, *parts: bytes, pause: float = 0, seconds: float = 60) -> tuple[int, str]:
        """Status and body of what is answered to raw bytes; 0 if the connection is closed without an answer."""
        answer = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
            with contextlib.suppress(ConnectionResetError):
                while chunk := connection.recv(1 << 16):
                    answer += chunk
                    head, end, body = answer.partition(b"\r\n\r\n")
                    length = re.search(rb"content-length: (\d+)", head.lower())
                    if end and length and len(body) >= int(length[1]):
                        break
        head, _, body = answer.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = b"".join(body.split(b"\r\n")[1:-3:2])
        return int(head.split()[1]) if head else 0, body.decode(errors="replace")

    def read_memory(self, field: str = "VmRSS") -> float:
        """Memory of the process in MB; VmHWM is the most since `forget_peak`."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))

    def read_processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def encode(drawing: Drawing, form: str = "PNG", **options: object) -> bytes:
    """The picture that the page would send."""
    picture = Image.new("L", PAPER_PX, "white")
    for stroke in drawing.strokes:
        points = [tuple(point) for point in stroke.tolist()]
        ImageDraw.Draw(picture).line(points, fill=17, width=drawing.pen_px, joint="curve")
    return save(picture, form, **options)


def save(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


# In the browser

WATCH = """(() => {
  window.times = {up: 0, shown: 0}
  addEventListener('pointerup', (event) => { times.up = event.timeStamp }, true)
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => { times.shown = performance.now() })))
    .observe(document.getElementById('bars'), {childList: true})
})()"""  # a frame later the bars are on the screen
QUICKLY = """(() => {
  const paper = document.getElementById('drawing')
  paper.setPointerCapture = () => {}
  for (const stroke of STROKES) stroke.forEach(([clientX, clientY], place) => {
    for (const kind of [place ? '' : 'down', 'move', place === stroke.length - 1 ? 'up' : '']) {
      if (kind) paper.dispatchEvent(new PointerEvent(`pointer${kind}`, {pointerId: 1, bubbles: true, clientX, clientY}))
    }
  })
})()"""
SETTLED = """new Promise((done) => { const look = () => document.getElementById('found').ariaBusy === 'true'
  ? setTimeout(look, 5) : requestAnimationFrame(() => setTimeout(done)); look() })"""


@contextlib.contextmanager
def open_page(app: App, width_px: int = 1280) -> Iterator[Browser]:
    with tempfile.TemporaryDirectory() as profile, Browser(profile) as browser:
        browser.open(f"http://127.0.0.1:{app.port}/", width_px)
        browser.run(WATCH)
        yield browser


def draw(browser: Browser, drawing: Drawing, quickly: bool = False) -> list[float]:
    """Draw on the page; milliseconds from each pen-up until the bars are shown.

    A mouse reports a place per frame, as a hand's would. Quickly, a script sends all its events at once.
    """
    browser.run("document.getElementById('clear').click()")
    browser.run(f"document.getElementById('thickness').value = {drawing.pen_px}")
    left, top, width = browser.run(
        "(() => { const place = document.getElementById('drawing').getBoundingClientRect()"
        "; return [place.left, place.top, place.width] })()"
    )
    waits: list[float] = []
    strokes = [(stroke * (width / PAPER_PX[0]) + [left, top]).tolist() for stroke in drawing.strokes]
    if quickly:
        browser.run(QUICKLY.replace("STROKES", json.dumps(strokes)))
        browser.run(SETTLED)
        return waits
    for places in strokes:
        for kind, (x, y) in [("Pressed", places[0]), *(("Moved", place) for place in places), ("Released", places[-1])]:
            event = {"type": f"mouse{kind}", "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1}
            browser.call("Input.dispatchMouseEvent", **event)
        browser.run(SETTLED)
        waits.append(max(0.0, browser.run("times.shown - times.up")))
    return waits


def measure_latency(app: App, rounds: int = 3) -> bool:
    """Pen-up until the bars are shown, over 100 strokes, some times."""
    print(f"\n## Pen-up to bars shown, {STROKES} strokes, {os.cpu_count()} cores\n")
    print("| round | median, ms | 95th percentile, ms | longest, ms | load of the machine |\n|---|---|---|---|---|")
    lowest = np.inf
    for number in range(rounds):
        waits: list[float] = []
        drawings = iter(make_drawings(STROKES, 100 + number))
        with open_page(app) as browser:
            draw(browser, make_drawings(1, 0)[0])  # the first one warms up
            while len(waits) < STROKES:
                waits += draw(browser, next(drawings))
        median, most = np.percentile(waits[:STROKES], [50, 95])
        lowest = min(lowest, most)
        load = f"{os.getloadavg()[0]:.1f}"
        print(f"| {number + 1} | {median:.0f} | {most:.0f} | {max(waits):.0f} | {load} |", flush=True)
    return bool(lowest <= MAX_MS)


def measure_digits(app: App, pictures: Path) -> bool:
    """How many drawn digits are read; the wrong ones become a picture."""
    print(f"\n## {DIGITS} drawn digits\n")
    wrong = []
    with open_page(app) as browser:
        for number, drawing in enumerate(make_drawings(DIGITS, 1)):
            draw(browser, drawing, quickly=True)
            found = browser.run("document.getElementById('answer').textContent")
            if found != str(drawing.digit):
                shown = browser.run("document.getElementById('drawing').toDataURL()")
                wrong.append((Image.open(io.BytesIO(base64.b64decode(shown.partition(",")[2]))), drawing, found))
                print(f"digit {number}: a {drawing.digit} in style {drawing.style} is read as {found!r}", flush=True)
    share = 1 - len(wrong) / DIGITS
    print(f"{DIGITS - len(wrong)} of {DIGITS} are read correctly ({100 * share:.1f} %).")
    if wrong:
        sheet = Image.new("L", (360 * min(4, len(wrong)), 260 * (-(-len(wrong) // 4))), "white")
        for place, (picture, drawing, found) in enumerate(wrong):
            at = 360 * (place % 4), 260 * (place // 4)
            sheet.paste(picture.convert("L").resize((350, 233)), at)
            ImageDraw.Draw(sheet).text((at[0] + 4, at[1] + 236), f"{drawing.digit} is read as {found!r}", fill=0)
        sheet.save(pictures / "wrong.png")
        print(f"{pictures / 'wrong.png'} shows the others.")
    return share >= MIN_RIGHT


# Hostile uploads


def make_png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 0, *extra: bytes) -> bytes:
    """A PNG whose header says what one likes."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    pixels = make_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"".join([b"\x89PNG\r\n\x1a\n", make_chunk(b"IHDR", header), *extra, pixels, make_chunk(b"IEND", b"")])


def make_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_uploads() -> dict[str, tuple[bytes, str]]:
    """Hostile and odd pictures by name: their bytes, and the digit on them; "" where there is none to be read."""
    seven = make_drawings(8, 5)[7]
    picture = Image.open(io.BytesIO(encode(seven)))
    good, jpeg = encode(seven), encode(seven, "JPEG")
    text_bomb = make_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))
    transparent = Image.merge("LA", (Image.new("L", PAPER_PX, 0), picture.point(lambda value: 255 - value)))
    frames = [Image.new("L", PAPER_PX, "white")] * 50
    huge_bmp = b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, 1 << 16, 1 << 15, 1, 24, *[0] * 6)
    found: dict[str, tuple[bytes, str]] = {
        "no bytes": (b"", ""),
        "one byte": (b"\x89", ""),
        "text": (b"a seven, please", ""),
        "HTML as PNG": (b"<!doctype html><script>alert(1)</script>", ""),
        "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'></svg>", ""),
        "XML bomb": (b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'bbbbbbbb'>]><a>&b;</a>", ""),
        "PDF": (b"%PDF-1.7\n", ""),
        "zip": (b"PK\x03\x04" + bytes(100), ""),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run", ""),
        "pickle": (b"\x80\x04cposix\nsystem\n(S'true'\ntR.", ""),
        "JSON with NaN": (b'{"image": NaN}', ""),
        "null bytes": (bytes(100_000), ""),
        "noise": (np.random.default_rng(0).bytes(1_000_000), ""),
        "PNG, first half": (good[: len(good) // 2], ""),
        "PNG, header only": (good[:33], ""),
        "PNG, wrong checksum": (good[:40] + b"\0" + good[41:], ""),
        "PNG of 10 gigapixels": (make_png(100_000, 100_000, b""), ""),
        "PNG bomb, 59 megapixels": (make_png(10_000, 5_900, bytes(10_001 * 5_900)), ""),
        "PNG bomb, 100 megapixels": (make_png(10_000, 10_000, bytes(10_001 * 1_000)), ""),
        "PNG of 0 by 0": (make_png(0, 0, b""), ""),
        "PNG, 1 px wide": (save(Image.new("L", (1, 20_000), "white")), ""),
        "PNG, 1 px high": (save(Image.new("L", (20_000, 1), "white")), ""),
        "PNG, 1 by 1": (save(Image.new("L", (1, 1), "black")), ""),
        "PNG, 20,000 px wide": (save(Image.new("L", (20_000, 500), "white")), ""),
        "PNG, text bomb": (make_png(1, 1, b"\0\0", 8, 0, text_bomb), ""),
        "PNG, a million chunks": (make_png(1, 1, b"\0\0", 8, 0, make_chunk(b"tEXt", b"") * 1_000_000), ""),
        "PNG, 16 bit": (save(Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)), "7"),
        "PNG, 1 bit": (save(picture.convert("1")), "7"),
        "PNG, palette": (save(picture.convert("P")), "7"),
        "PNG, transparent": (save(transparent), "7"),
        "PNG, white on black": (save(picture.point(lambda v: 255 - v)), "7"),
        "JPEG, first half": (jpeg[: len(jpeg) // 2], ""),
        "JPEG, CMYK": (save(picture.convert("CMYK"), "JPEG"), "7"),
        "JPEG, progressive": (save(picture, "JPEG", progressive=True), "7"),
        "JPEG, EXIF of a megabyte": (jpeg[:2] + b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527) + jpeg[2:], "7"),
        "JPEG, 2,000 scans": (jpeg[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x00" * 2_000 + jpeg[-2:], ""),
        "GIF, animated": (save(picture, "GIF", save_all=True, append_images=frames), "7"),
        "GIF of 65,535 px, empty": (b"GIF89a\xff\xff\xff\xff\xf0\0\0" + b"\0" * 6 + b";", ""),
        "BMP, header of 2 gigapixels": (huge_bmp, ""),
        "WebP": (save(picture, "WEBP"), "7"),
        "TIFF, float with NaN": (save(Image.fromarray(np.full((100, 100), np.nan, np.float32)), "TIFF"), ""),
        "TIFF, LZW": (save(picture, "TIFF", compression="tiff_lzw"), "7"),
        "TIFF, tags without end": (b"II*\0\x08\0\0\0\xff\xff" + b"\x0f\x01\x03\0\xff\xff\xff\x7f\0\0\0\0" * 1_000, ""),
        "PPM as text": (b"P2 100000 100000 255 " + b"1 " * 1_000_000, ""),
        "PPM, comment without end": (b"P5 #" + b"#" * 1_000_000, ""),
    }  # fmt: skip
    for orientation in range(2, 9):
        back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]  # the transposition that the tag undoes
        exif = Image.Exif()
        exif[274] = orientation
        found[f"JPEG, EXIF orientation {orientation}"] = save(picture.transpose(back), "JPEG", exif=exif), "7"
    return found


def make_attacks(app: App) -> dict[str, Callable[[], tuple[int, str]]]:
    """Requests that are no requests, by name."""
    good = encode(make_drawings(8, 5)[7])
    start = b"POST /api/read HTTP/1.1\r\nHost: localhost\r\n"
    size = b"Content-Length: %d\r\n\r\n"
    form = b'--x\r\nContent-Disposition: form-data; name="a"; filename="../../up.png"\r\n\r\n\r\n' * 10_000
    end = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ask = app.send
    return {
        "17 MB": lambda: ask(start + size % (17 * MB), good, bytes(17 * MB)),
        "17 MB in chunks": lambda: ask(
            start + b"Transfer-Encoding: chunked\r\n\r\n", *[b"100000\r\n" + bytes(MB) + b"\r\n"] * 17, b"0\r\n\r\n"
        ),
        "a body that never ends": lambda: ask(start + size % 1_000_000, *[b"\x89PNG"] * 30, pause=1),
        "a body that never begins": lambda: ask(start + size % 1_000_000),
        "headers that never end": lambda: ask(start, *[b"X: y\r\n"] * 40, pause=1),
        "headers of 1 MB": lambda: ask(start + b"X: " + b"y" * MB + b"\r\n\r\n"),
        "10,000 headers": lambda: ask(start + b"X: y\r\n" * 10_000 + b"\r\n"),
        "a body shorter than said": lambda: ask(start + size % 100 + b"abc", seconds=40),
        "a length that is no number": lambda: ask(start + b"Content-Length: NaN\r\n\r\n"),
        "a length below 0": lambda: ask(start + b"Content-Length: -1\r\n\r\n"),
        "two lengths": lambda: ask(start + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        "a chunk without a length": lambda: ask(start + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "no HTTP": lambda: ask(b"\x16\x03\x01\x02\0\x01\0\x01\xfc" + bytes(300) + b"\r\n\r\n"),
        "a form of 10,000 files": lambda: ask(
            start + b"Content-Type: multipart/form-data; boundary=x\r\n" + size % len(form) + form
        ),
        "a path upwards": lambda: ask(b"GET /../../etc/passwd" + end),
        "an encoded path upwards": lambda: ask(b"GET /%2e%2e/%2e%2e/etc/passwd" + end),
        "a classifier upwards": lambda: ask(
            start.replace(b"read", b"read?classifier=../../etc") + size % len(good) + good
        ),
        "an address of 100 kB": lambda: ask(b"GET /" + b"a" * 100_000 + end),
        "another host": lambda: ask(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"),
        "another site": lambda: ask(start + b"Sec-Fetch-Site: cross-site\r\n" + size % len(good) + good),
    }  # fmt: skip


def measure_uploads(app: App) -> bool:
    """Send all that is hostile, and see whether each is answered by one line, and the app still reads."""
    print("\n## Hostile uploads\n")
    good, well = make_uploads(), True
    before = app.read_memory()
    app.forget_peak()
    print("| what | status | seconds | answer |\n|---|---|---|---|")

    def report(name: str, seconds: float, status: int, line: str, expected: str | None) -> bool:
        one_line = 0 < len(line) <= 300 and "\n" not in line and "Traceback" not in line and "/tmp" not in line
        right = one_line and (line == f"reads {expected!r}" if expected else status in (0, 200, 400, 403, 404, 422))
        print(f"| {name} | {status or 'closed'} | {seconds:.1f} | {line[:150]}{'' if right else ' **WRONG**'} |")
        return right

    for name, (content, expected) in good.items():
        started = time.perf_counter()
        status, answer = app.post(content)
        line = answer.get("error") or f"reads {answer.get('text')!r}"
        well &= report(name, time.perf_counter() - started, status, line, expected)
    attacks = make_attacks(app)
    with ThreadPoolExecutor(len(attacks)) as pool:  # at once: the slow ones take 20 s each

        def attack(name: str) -> tuple[str, float, int, str]:
            started = time.perf_counter()
            try:
                status, body = attacks[name]()
            except TimeoutError:
                return name, time.perf_counter() - started, 999, "HANGS"
            with contextlib.suppress(ValueError, AttributeError):
                body = json.loads(body).get("error", body)
            return name, time.perf_counter() - started, status, body or "the connection is closed"

        for name, seconds, status, line in pool.map(attack, attacks):
            well &= report(name, seconds, status, line, None)
    status, answer = app.post(good["WebP"][0])
    alive = status == 200 and answer["text"] == "7"
    grown = app.read_memory() - before
    print(
        f"\n{len(good) + len(attacks)} uploads and requests; afterwards the app {'reads on' if alive else 'is DEAD'}. "
        f"Memory: {before:.0f} MB before, {app.read_memory('VmHWM'):.0f} MB at most, {grown:+.0f} MB afterwards."
    )
    return well and alive and grown <= MAX_GROWTH_MB


# Many visitors, and an hour


def measure_visitors(app: App) -> bool:
    """Eight visitors at once, each with a digit of its own: latency, and whether one gets another's answer."""
    print(f"\n## {VISITORS} visitors at once, {READS} drawings each\n")
    contents = [encode(drawing) for drawing in make_drawings(VISITORS, 7)]
    alone = [app.post(content)[1] for content in contents]
    single: list[float] = []
    for content in contents * 4:
        started = time.perf_counter()
        app.post(content)
        single.append(time.perf_counter() - started)
    barrier = threading.Barrier(VISITORS)

    def visit(number: int) -> tuple[list[float], int]:
        waits, mixed = [], 0
        barrier.wait()
        for _ in range(READS):
            started = time.perf_counter()
            _, answer = app.post(contents[number])
            waits.append(time.perf_counter() - started)
            mixed += any(answer[key] != alone[number][key] for key in ("text", "glyphs", "names"))
        return waits, mixed

    with ThreadPoolExecutor(VISITORS) as pool:
        visits = list(pool.map(visit, range(VISITORS)))
    waits, mixed = [wait for found, _ in visits for wait in found], sum(count for _, count in visits)
    print("| visitors | median, ms | 95th percentile, ms | answers of somebody else |\n|---|---|---|---|")
    for count, seconds, others in ((1, single, 0), (VISITORS, waits, mixed)):
        median, most = 1000 * np.percentile(seconds, [50, 95])
        print(f"| {count} | {median:.0f} | {most:.0f} | {others} |")
    load = os.getloadavg()[0]
    print(f"\nA reading takes {measure_processor_ms(app):.0f} ms of a processor. Load of the machine: {load:.1f}.")
    return mixed == 0


def measure_processor_ms(app: App) -> float:
    """Processor time of one reading, which other work on the machine changes little."""
    contents = [encode(drawing) for drawing in make_drawings(40, 8)]
    before = app.read_processor_seconds()
    for content in contents:
        app.post(content)
    return 1000 * (app.read_processor_seconds() - before) / len(contents)


def soak(app: App, minutes: float) -> bool:
    """Draw, upload and send rubbish for some time: memory and latency of each tenth.

    Memory is read between two uploads: while a large picture is read, it is up to 0.8 GB more.
    """
    print(f"\n## {minutes:g} minutes of drawings, photographs and rubbish\n")
    print("| minutes | requests | pen-up to bars, median, ms | 95th percentile | memory, MB |\n|---|---|---|---|---|")
    uploads = [content for content, _ in make_uploads().values() if len(content) < MB]
    started, stop = time.monotonic(), threading.Event()
    sent = drawn = 0
    failures: list[str] = []
    uploading = threading.Lock()
    processor = measure_processor_ms(app)

    def visit() -> None:
        nonlocal sent
        while not stop.wait(0.5):
            try:
                with uploading:
                    status, _ = app.post(uploads[sent % len(uploads)])
            except OSError as error:
                failures.append(str(error))
                continue
            if status not in (200, 422):
                failures.append(str(status))
            sent += 1

    visitor = threading.Thread(target=visit)
    visitor.start()
    memory = []
    try:
        with open_page(app) as browser:
            for tenth in range(1, 11):
                waits: list[float] = []
                while time.monotonic() - started < 60 * minutes * tenth / 10:
                    waits += draw(browser, draw_digit(drawn % 10, np.random.default_rng([9, drawn])))
                    drawn += 1
                with uploading:
                    memory.append(app.read_memory())
                median, most = np.percentile(waits, [50, 95])
                cells = (f"{minutes * tenth / 10:g}", sent, f"{median:.0f}", f"{most:.0f}", f"{memory[-1]:.0f}")
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
    finally:
        stop.set()
        visitor.join()
    print(f"\nProcessor time of a reading: {processor:.0f} ms before, {measure_processor_ms(app):.0f} ms afterwards.")
    print(f"{drawn} digits drawn, {sent} uploads, {len(failures)} without an answer {failures[:3]}.")
    return not failures and memory[-1] - memory[1] <= MAX_GROWTH_MB


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"which of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--minutes", type=float, default=60, help="of the soak")
    parser.add_argument("--output", type=Path, default=Path.cwd(), help="folder for a picture of wrong digits")
    arguments = parser.parse_args()
    parts: dict[str, Callable[[App], bool]] = {
        "latency": measure_latency,
        "digits": lambda app: measure_digits(app, arguments.output),
        "uploads": measure_uploads,
        "visitors": measure_visitors,
        "soak": lambda app: soak(app, arguments.minutes),
    }
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown: {', '.join(unknown)}")
    with App() as app:
        missed = [part for part in arguments.parts if not parts[part](app)]
    print(f"\nMissed: {', '.join(missed) or 'nothing'}.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
