"""The app's server: one page, and the answers that it asks for.

Starlette answers and uvicorn listens; both together are 1 MB. Gradio and Streamlit were weighed: see docs/app.md.

What visitors send is not trusted. An upload has at most `MAX_BYTES` and `MAX_PIXELS` and must arrive within
`MAX_SECONDS`; large ones are read one at a time, so that they do not hold up the drawings of others. Another site's
page cannot make a visitor's browser send anything, and the page itself loads nothing from elsewhere.
"""

import asyncio
import base64
import contextlib
import functools
import io
import json
import logging
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pandas as pd
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from digit_recognizer.backend import import_keras
from digit_recognizer.data.dataset import TrainTable, load_train, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.leaderboard import COLUMNS, FINISHED, is_run, runs
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, count_confusions
from digit_recognizer.evaluation.predictions import compare
from digit_recognizer.io import find_free_path, hash_file, is_visible, write_atomically
from digit_recognizer.reporting.model_report import compute_saliency
from digit_recognizer.reporting.run_report import ExaminedRun, load_examined_run, load_history
from digit_recognizer.training.run import HISTORY, find_input_dir
from digit_recognizer.training.transfers import (
    FinishedTransfer,
    is_transfer,
    load_transfer,
)
from digit_recognizer.transfer_learning.report import read_evaluated
from digit_recognizer.vision.class_folders import to_nfc
from digit_recognizer.vision.photos import load_photograph, open_picture
from digit_recognizer.vision.recognition import (
    Classifier,
    GlyphPrediction,
    PicturePrediction,
    find_label_set,
    is_of_digits,
    load_classifier,
    predict_pictures,
)
from digit_recognizer.vision.segment import normalize

FILES = Path(__file__).parent
LOOPBACK = ("127.0.0.1", "::1", "localhost")
PACKAGED = "packaged classifier"
MAX_BYTES = 1 << 24  # of an upload; a phone's photograph has 3 to 12 MB
MAX_PIXELS = 60_000_000  # phones make 12 to 50 million
SMALL_BYTES, SMALL_PIXELS = 1 << 18, 1_000_000  # what the page itself sends of a drawing has a tenth of both
MAX_SECONDS = 20  # for an upload to arrive, and for the header of a request
MAX_REQUESTS = 100  # at once; the next one is answered by 503
END_SECONDS = 3  # after Ctrl-C, for requests that are being answered
MAX_GLYPHS = 200  # in an answer
MAX_LOADED = 3  # classifiers in memory
SMALL_BATCH = 8  # images: 3 ms on 2 cores, where 64 take 13
MAX_COLLECTED = 10_000  # drawings in one class
SHOWN_ROWS = 24  # images of a run or a comparison
SIDE_PX = 28
PAPER = 0  # covers an image to see what the model looks at; grey on a glyph makes it no digit
CLASS_NAME = re.compile(r"[^./\\][^/\\]{0,30}")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def build_app(runs_folder: Path, collect: Path | None = None, host: str = "127.0.0.1") -> Starlette:
    """Build the app.

    Args:
        runs_folder: folder whose folders are runs; it need not exist.
        collect: folder for drawings that visitors label; None keeps none.
        host: what it listens on; on the loopback, requests that name another host are refused.

    Example:
        >>> build_app(Path("runs")).routes[0].path  # doctest: +SKIP
        '/'
    """
    server = _Server(runs_folder, collect)
    routes = [
        Route("/", functools.partial(_send_file, "page.html")),
        Route("/app.js", functools.partial(_send_file, "app.js")),
        Route("/app.css", functools.partial(_send_file, "app.css")),
        Route("/api/start", server.start),
        Route("/api/read", server.read, methods=["POST"]),
        Route("/api/occlusion", server.occlude, methods=["POST"]),
        Route("/api/collect", server.keep, methods=["POST"]),
        Route("/api/runs", server.list_runs),
        Route("/api/run", server.show_run),
        Route("/api/compare", server.compare_runs),
    ]
    hosts = ["localhost", "127.0.0.1", "[::1]"] if host in LOOPBACK else ["*"]
    errors = (InputError, HTTPException, ClientDisconnect, OSError, Exception)
    handlers: dict[Any, Callable[..., Any]] = dict.fromkeys(errors, _refuse)
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(_Guard)]
    return Starlette(routes=routes, exception_handlers=handlers, middleware=middleware, lifespan=server.warm_up)


def find_own_address() -> str | None:
    """This machine's IPv4 address in its network, for others to type; None without a network. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
        asking.connect(("198.51.100.1", 9))  # for a datagram this only chooses the way; the address is nobody's
        return str(asking.getsockname()[0])
    return None


def open_socket(host: str, port: int) -> socket.socket:
    """Listen on an address.

    Raises:
        InputError: if that cannot be had.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
        # Named as TCP, it gets asyncio's TCP_NODELAY: without it every answer on an open connection took 40 ms longer.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, listening.detach())
    except OSError as error:
        errno = error.errno or 0  # below 0 for a name that is not found; Python's own words would name the port again
        reason = os.strerror(errno) if errno > 0 else error.strerror
        raise InputError("app.address", column="--port", received=f"{host}:{port}", reason=reason) from error


def build_server(app: Starlette) -> uvicorn.Server:
    """What serves the app on the socket that its `run` is given."""
    config = uvicorn.Config(app, http=_Connection, ws="none", log_level="warning")
    config.limit_concurrency, config.timeout_graceful_shutdown = MAX_REQUESTS, END_SECONDS
    logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
    return uvicorn.Server(config)


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether a record is not about a request that was cut off as the server ended: each would print a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class _Connection(H11Protocol):
    """Hangs up on whoever sends no request for some time; a hundred such connections would keep all others out."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(MAX_SECONDS, self._hang_up_if_idle, None)

    def _hang_up_if_idle(self, last: Any) -> None:
        if self.cycle is not last or (last is not None and not last.response_complete):
            self.loop.call_later(MAX_SECONDS, self._hang_up_if_idle, self.cycle)
        else:
            self.transport.close()


async def _send_file(name: str, request: Request) -> Response:
    return FileResponse(FILES / name)


async def _refuse(request: Request, error: Exception) -> Response:
    """An answer that says in one line what is wrong."""
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code)
    if isinstance(error, ClientDisconnect):
        return Response(status_code=400)  # which nobody reads
    if isinstance(error, InputError):
        return JSONResponse({"error": str(error)}, 422)
    # a defect, which the server prints, or a folder that vanished
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return JSONResponse({"error": str(InputError("app.failed", received=reason))}, 500)


class _Guard:
    """Adds the headers that bind the page to this server, and refuses what another site's page sends."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        headers = dict(scope.get("headers", ()))
        site, origin = headers.get(b"sec-fetch-site", b"none"), headers.get(b"origin")  # old browsers send one of them
        elsewhere = origin is not None and origin.partition(b"://")[2] != headers.get(b"host")
        if scope.get("path", "").startswith("/api/") and (elsewhere or site not in (b"none", b"same-origin")):
            await JSONResponse({"error": "Another site may not send that."}, 403)(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)


class _OneAtATime:
    """A model that computes for one visitor at a time: on a few cores, turns are quicker than all at once.

    `Classifier` fills its batches with blank images. Of a drawing's few glyphs only a small batch is computed.
    """

    def __init__(self, model: Any, lock: threading.Lock) -> None:
        self.model, self.lock = model, lock

    def predict_on_batch(self, batch: np.ndarray) -> np.ndarray:
        small = not batch[SMALL_BATCH - 1 :].any()
        with self.lock:
            found = np.asarray(self.model.predict_on_batch(batch[:SMALL_BATCH] if small else batch))
        rest = np.repeat(found[-1:], len(batch) - len(found), axis=0)  # as blank as the last
        return np.concatenate([found, rest])


class _Server:
    """What the routes share: the classifiers that are loaded, and how many uploads are read at once."""

    def __init__(self, runs_folder: Path, collect: Path | None) -> None:
        self.runs_folder, self.collect = runs_folder, collect
        self.lock, self.loading = threading.Lock(), threading.Lock()
        self.loaded: dict[tuple[str, float], Any] = {}
        self.load_train = functools.lru_cache(1)(load_train)

    @contextlib.asynccontextmanager
    async def warm_up(self, app: Starlette) -> AsyncIterator[None]:
        """Load the packaged classifier while the browser opens."""
        self.small, self.large = asyncio.Semaphore(4), asyncio.Semaphore(1)
        thread = threading.Thread(target=lambda: self.load(PACKAGED), daemon=True)
        thread.start()
        yield

    # Reading

    async def start(self, request: Request) -> Response:
        """What can be chosen: classifiers, and whether drawings are kept."""
        names = await asyncio.to_thread(self._list_classifiers)
        return JSONResponse(
            {"classifiers": [PACKAGED, *names], "collect": None if self.collect is None else str(self.collect)}
        )

    async def read(self, request: Request) -> Response:
        """Read the picture that is the request's body with the classifier that it names."""
        name = request.query_params.get("classifier", PACKAGED)
        picture = await self._handle_upload(request, lambda path: self._read(path, name))
        return JSONResponse(picture)

    def _read(self, path: Path, name: str) -> dict[str, Any]:
        started = time.perf_counter()
        classifier = self.load(name)
        (picture,) = predict_pictures([path], classifier)
        if picture.error is not None:
            raise picture.error
        return {
            "glyphs": [_describe_glyph(one, classifier) for one in picture.glyphs[:MAX_GLYPHS]],
            "text": _join_lines(picture),
            "names": [*classifier.names, "no digit"] if _knows_no_digit(classifier) else list(classifier.names),
            "notes": list(picture.notes),
            "milliseconds": round(1000 * (time.perf_counter() - started)),
        }

    async def occlude(self, request: Request) -> Response:
        """Say how much the probability of the most likely class depends on each pixel of a 28x28 image."""
        content = io.BytesIO()
        await _receive(request, SIDE_PX**2, content)
        pixels = np.frombuffer(content.getvalue(), np.uint8)
        if pixels.size != SIDE_PX**2:
            raise InputError("app.image_size", received=pixels.size)
        name = request.query_params.get("classifier", PACKAGED)
        drops = await asyncio.to_thread(self._occlude, pixels.reshape(SIDE_PX, SIDE_PX, 1), name)
        return JSONResponse({"drops": np.round(drops, 3).ravel().tolist()})

    def _occlude(self, image: np.ndarray, name: str) -> np.ndarray:
        classifier = self.load(name)
        if not isinstance(classifier, Classifier):
            raise InputError("app.no_occlusion", received=name)
        changes = compute_saliency(classifier.predict, image, PAPER).changes
        return cv2.resize(-changes.astype(np.float64), (SIDE_PX, SIDE_PX))  # a drop for each pixel

    async def keep(self, request: Request) -> Response:
        """Keep the drawing in the request's body under the label that it names."""
        if self.collect is None:
            raise InputError("app.not_collecting")
        label = to_nfc(request.query_params.get("label", "").strip())  # as transfer names its class
        if not CLASS_NAME.fullmatch(label) or not label.isprintable() or not is_visible(label):
            raise InputError("app.label", received=repr(label))
        folder = self.collect / label
        kept = await self._handle_upload(request, lambda path: _keep(path, folder), even_if_left=True)
        return JSONResponse({"kept": str(kept)})

    # Runs

    async def list_runs(self, request: Request) -> Response:
        """The leaderboard."""
        frame = await asyncio.to_thread(self._read_runs)
        return JSONResponse(json.loads(frame.to_json(orient="records")))

    async def show_run(self, request: Request) -> Response:
        """Learning curves, confusions and hardest rows of one run."""
        return JSONResponse(await asyncio.to_thread(self._show_run, request.query_params.get("name", "")))

    async def compare_runs(self, request: Request) -> Response:
        """Two runs on the rows that both held out."""
        one, other = (request.query_params.get(key, "") for key in ("one", "other"))
        return JSONResponse(await asyncio.to_thread(self._compare, one, other))

    def _show_run(self, name: str) -> dict[str, Any]:
        path = self._find_run(name)
        if is_transfer(path):
            return _describe_transfer(load_transfer(path))
        run, train = self._examine(path)
        rows = np.flatnonzero(run.held_out)
        of_label = run.oof_probabilities[rows, train.labels[rows]]
        hardest = rows[np.argsort(of_label, kind="stable")][:SHOWN_ROWS]
        history = load_history(run) if (run.path / HISTORY).is_file() else pd.DataFrame()
        curves = history.reindex(columns=["fold", "epoch", "accuracy", "val_accuracy"])
        return {
            "accuracy": run.score.oof_accuracy,
            "interval": run.score.oof_accuracy_interval,
            "ineligible": run.metrics["ineligible"],
            "classes": run.label_set.names,
            "history": json.loads(curves.to_json(orient="records")),
            "confusions": count_confusions(
                train.labels[rows], run.predictions[rows], len(run.label_set.names)
            ).tolist(),
            "hardest": [_describe_row(row, train, run) for row in hardest],
        }

    def _compare(self, one: str, other: str) -> dict[str, Any]:
        paths = self._find_run(one), self._find_run(other)
        found = compare(*paths)
        text = str(found).replace(str(paths[0]), one).replace(str(paths[1]), other)
        if is_transfer(paths[0]):
            return {"text": text, "only": None}
        (first, train), (second, _) = map(self._examine, paths)
        both = first.held_out & second.held_out
        right = [run.predictions == train.labels for run in (first, second)]
        only = [both & right[0] & ~right[1], both & right[1] & ~right[0]]
        return {
            "text": text,
            "only": [
                [_describe_row(row, train, wrong) for row in np.flatnonzero(rows)[:SHOWN_ROWS]]
                for rows, wrong in zip(only, (second, first), strict=True)
            ],
        }

    def _examine(self, path: Path) -> tuple[ExaminedRun, TrainTable]:
        train = self.load_train(find_input_dir(path) / "train.csv", cache=True)
        return load_examined_run(path, train), train

    def _read_runs(self) -> pd.DataFrame:
        return runs(self.runs_folder) if self.runs_folder.is_dir() else pd.DataFrame(columns=list(COLUMNS))

    def _find_run(self, name: str) -> Path:
        """The folder of a run by its name in the leaderboard; no folder elsewhere can be named."""
        path = self.runs_folder / name
        if path.parent != self.runs_folder or name.startswith(".") or not is_run(path):
            raise InputError("app.no_run", received=repr(name))
        return path

    def _list_classifiers(self) -> list[str]:
        """The finished runs that can read pictures."""
        frame = self._read_runs()
        finished = frame[frame["state"] == FINISHED]
        return [row.name for row in finished.itertuples(index=False) if self._reads_pictures(Path(row.folder))]

    @staticmethod
    def _reads_pictures(path: Path) -> bool:
        try:
            return is_transfer(path) or ((path / "models").is_dir() and is_of_digits(find_label_set(path)))
        except InputError:  # what its classes are called cannot be read
            return False

    # What both need

    def load(self, name: str) -> Any:
        """A classifier by name; the three loaded last stay in memory.

        Raises:
            InputError: if there is no run of that name, or its models are of other images.
        """
        path = None if name == PACKAGED else self._find_run(name)
        key = name, 0 if path is None else path.stat().st_mtime
        if (found := self.loaded.get(key)) is not None:  # without waiting for another that is being loaded
            return found
        with self.loading:
            if key not in self.loaded:
                import_keras()
                classifier = load_classifier(path)
                if isinstance(classifier, Classifier):
                    models = tuple(_OneAtATime(model, self.lock) for model in classifier.models)
                    classifier = replace(classifier, models=models)
                    for value in (0, 1):  # compiles it for a small batch and a whole one
                        classifier.predict(np.full((SMALL_BATCH, SIDE_PX, SIDE_PX, 1), value, np.uint8))
                self.loaded[key] = classifier
                while len(self.loaded) > MAX_LOADED:
                    del self.loaded[next(iter(self.loaded))]
            return self.loaded[key]

    async def _handle_upload(self, request: Request, work: Callable[[Path], Any], *, even_if_left: bool = False) -> Any:
        """Receive a picture into a temporary file, which is closed then, and work on it in a thread.

        Args:
            request: whose body is the picture.
            work: what is done with the file.
            even_if_left: work on it although the visitor left while others were served.

        Raises:
            InputError: if it is too large, or no picture; it names the picture, not the file.
            ClientDisconnect: if the visitor left.
        """
        with tempfile.TemporaryDirectory(prefix="digit-recognizer-app-", ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "picture"
            try:
                with path.open("wb") as file:
                    size = await _receive(request, MAX_BYTES, file)
                async with self.small:
                    pixels = await asyncio.to_thread(_count_pixels, path)
                async with self.small if size <= SMALL_BYTES and pixels <= SMALL_PIXELS else self.large:
                    # one who lost patience and sends again would otherwise lengthen the queue for ever
                    if not even_if_left and await request.is_disconnected():
                        raise ClientDisconnect
                    return await asyncio.to_thread(work, path)
            except InputError as error:
                if error.path == path:
                    error.path = "The picture"
                raise


async def _receive(request: Request, max_bytes: int, file: IO[bytes]) -> int:
    """Write the body of a request to a file, and count its bytes.

    Raises:
        InputError: if it is larger, or takes too long to arrive.
    """
    size = 0
    try:
        async with asyncio.timeout(MAX_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > max_bytes:
                    raise InputError("app.too_large", received=max_bytes >> 20)
                file.write(part)
    except TimeoutError:
        raise InputError("app.too_slow", received=MAX_SECONDS) from None
    file.flush()
    return size


def _count_pixels(path: Path) -> int:
    with open_picture(path) as image:
        pixels: int = image.width * image.height
    if pixels > MAX_PIXELS:
        raise InputError("app.too_many_pixels", received=pixels // 1_000_000, highest=MAX_PIXELS // 1_000_000)
    return pixels


def _keep(path: Path, folder: Path) -> Path:
    """Keep a drawing as a grey PNG, whatever it came as."""
    from PIL import Image

    pixels = load_photograph(path).pixels
    folder.mkdir(parents=True, exist_ok=True)
    if sum(1 for _ in folder.iterdir()) >= MAX_COLLECTED:
        raise InputError("app.folder_full", path=folder, highest=MAX_COLLECTED)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{hash_file(path)[:6]}"
    while True:
        kept = find_free_path(folder, name, ".png")
        with contextlib.suppress(FileExistsError):  # of two visitors who send the same at once, each gets a file
            with write_atomically(kept, exclusive=True) as temporary:
                Image.fromarray(pixels).save(temporary, "PNG")
            return kept


def _knows_no_digit(classifier: Any) -> bool:
    return isinstance(classifier, Classifier) and classifier.of_digits


def _describe_glyph(one: GlyphPrediction, classifier: Any) -> dict[str, Any]:
    glyph = one.glyph
    shown = len(one.names) + _knows_no_digit(classifier)
    return {
        "name": one.name,
        "verdict": one.verdict,
        "likely": one.names[one.most_likely],
        "box": [glyph.x, glyph.y, glyph.width, glyph.height],
        "probabilities": np.round(one.probabilities[:shown].astype(float), 4).tolist(),
        "image": _encode(normalize(glyph)) if isinstance(classifier, Classifier) else None,
    }


def _join_lines(picture: PicturePrediction) -> str:
    """What is written, a line of text per line of writing; a question mark where a glyph is no digit for sure."""
    lines: dict[int, list[str]] = {}
    for one in picture.glyphs:
        lines.setdefault(one.glyph.line, []).append(one.name or "?")
    return "\n".join(" ".join(names) for names in lines.values())


def _describe_transfer(transfer: FinishedTransfer) -> dict[str, Any]:
    """What is shown of a transfer: how its classifier predicts the pictures that it was evaluated on."""
    table = read_evaluated(transfer)
    if table is None:
        raise InputError("transfer.not_evaluated", path=transfer.path)
    label, predicted = table["label"].to_numpy(), table["predicted"].to_numpy()
    return {
        "accuracy": float((label == predicted).mean()),
        "interval": compute_accuracy_interval(int((label == predicted).sum()), len(label)),
        "ineligible": None,
        "classes": transfer.classes,
        "history": [],
        "confusions": count_confusions(label, predicted, len(transfer.classes)).tolist(),
        "hardest": [],
    }


def _describe_row(row: int, train: TrainTable, run: ExaminedRun) -> dict[str, Any]:
    """A row of train.csv, counted from 1 as in the report, and what a run says of it."""
    label, predicted = int(train.labels[row]), int(run.predictions[row])
    return {
        "row": int(row) + 1,
        "label": run.label_set.names[label],
        "predicted": run.label_set.names[predicted],
        "probability": round(float(run.oof_probabilities[row, label]), 4),
        "image": _encode(pixels_to_images(train.pixels[[row]])[0]),
    }


def _encode(image: np.ndarray) -> str:
    return base64.b64encode(image.tobytes()).decode("ascii")
