"""A stand-in for Kaggle's service on the loopback, for the real client: it checks what it is sent, and fails to order.

It is reached as an HTTP proxy (see `kaggle_commands.client_environment`), since the client's address is fixed. An
order is a fault for the next requests of one name, taken one by one: a status as in 403, "cut" (the connection ends
without an answer), "stall" (no answer until the server is released); these and "500" also with " after", where what was
asked is done before; for downloads "part" and "part stall", where half is sent before; bytes are an answer of their
own. What is `kept` is not used up.
"""

import base64
import contextlib
import csv
import functools
import io
import json
import re
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from competition_zip import TEST_ROWS
from kaggle_kernel_service import COMPETITION, USER, KernelService

TOKEN = "KGAT_fedcba9876543210fedcba9876543210"
KEY = "0123456789abcdef0123456789abcdef"


class KaggleServer(ThreadingHTTPServer):
    """The service's state. Use as a context manager; it serves meanwhile."""

    daemon_threads = True

    def __init__(self, write_archive: Callable[[], Path] | None = None, truth: np.ndarray | None = None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.write_archive, self.truth = write_archive, truth
        self.orders, self.kept = defaultdict(list), {}
        self.requests, self.uploads, self.submissions, self.kernels = [], {}, [], {}
        self.outputs, self.log, self.tag = {}, "", '"one"'
        self.limit, self.polls, self.error = 10, 1, None
        self.kernel_states = ["COMPLETE"]
        self.released = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    @functools.cached_property
    def archive(self):
        """The path of what downloads get; most tests download nothing."""
        return self.write_archive()

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """Connections that clients drop are part of the play."""

    @property
    def names(self):
        return [name for name, _ in self.requests]

    def wait_for(self, name, times=1, seconds=30):
        """Until a request of that name has come."""
        for _ in range(int(seconds * 100)):
            if self.names.count(name) >= times:
                return
            time.sleep(0.01)
        raise AssertionError(f"no {name} came; {self.names}")

    def find_fault(self, name):
        return self.orders[name].pop(0) if self.orders[name] else self.kept.get(name)

    def score(self, content):
        """The public score or what is wrong with the file, as Kaggle checks it."""
        rows = list(csv.reader(io.StringIO(content.decode())))
        count = TEST_ROWS if self.truth is None else len(self.truth)
        if rows[0] != ["ImageId", "Label"] or [row[0] for row in rows[1:]] != [str(n) for n in range(1, count + 1)]:
            return None, f"Evaluation Exception: Submission must have {count} rows"
        labels = np.array([int(row[1]) for row in rows[1:]])
        return ("0.50000" if self.truth is None else f"{np.mean(labels == self.truth):.5f}"), None


class Handler(KernelService, BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Silent."""

    def do_POST(self):
        name = urlsplit(self.path).path.rsplit("/", 1)[-1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "{}")
        if not self.begin(name, body):
            return
        key = base64.b64encode(f"{USER}:{KEY}".encode()).decode()
        if self.headers["Authorization"] not in (f"Basic {key}", f"Bearer {TOKEN}"):
            self.answer(401, {"code": 401, "message": "Unauthenticated"})
            return
        answer = getattr(self, "on_" + name)(body)
        if answer is not None and not self.withhold():
            self.answer(answer.get("code", 200), answer)

    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.begin("PUT", len(content)):
            self.server.uploads[urlsplit(self.path).path.rsplit("/", 1)[-1]] = content
            if not self.withhold():
                self.answer(200, {})

    def do_GET(self):
        path = urlsplit(self.path).path
        if not self.begin("GET", (path, self.headers["Range"])):
            return
        if path.startswith("/output/"):
            self.send(self.server.outputs[path.removeprefix("/output/")])
        else:
            self.send(self.server.archive.read_bytes())

    def begin(self, name, body):
        """Record the request; carry out its fault, if it is one that leaves nothing more to do."""
        self.server.requests.append((name, body))
        self.fault = self.server.find_fault(name)
        if self.fault == "stall":
            self.server.released.wait()
        if self.fault in ("stall", "cut"):
            self.cut()
        elif isinstance(self.fault, int):
            # as a server may that shows what it was sent: nobody may repeat it
            self.answer(self.fault, {"code": self.fault, "message": f"refused {self.headers['Authorization']}"})
        elif isinstance(self.fault, bytes):
            self.answer(200, self.fault)
        return not (self.fault in ("stall", "cut") or isinstance(self.fault, (int, bytes)))

    def withhold(self):
        """Whether the answer is kept back, now that what was asked is done."""
        if self.fault == "stall after":
            self.server.released.wait()
        if self.fault == "500 after":
            self.answer(500, {"code": 500, "message": "done, but not told"})
        elif self.fault in ("stall after", "cut after"):
            self.cut()
        return self.fault in ("stall after", "cut after", "500 after")

    def cut(self):
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def answer(self, status, content, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def send(self, content):
        """A file, whole or from where the client has it."""
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        first = int(begin[1]) if begin and self.headers["If-Range"] in (None, self.server.tag) else 0
        part = content[first:]
        self.send_response(206 if first else 200)
        for key, value in {
            "Content-Length": str(len(part)),
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": self.server.tag,
            "Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT",
            **({"Content-Range": f"bytes {first}-{len(content) - 1}/{len(content)}"} if first else {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.fault in ("part", "part stall"):
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            if self.fault == "part stall":
                self.server.released.wait()
            self.cut()
        else:
            self.wfile.write(part)

    # the names of what follows are the service's own

    def on_IntrospectToken(self, body):
        return {"active": body["token"] == TOKEN, "username": USER}

    def is_known(self, name):
        return name == COMPETITION

    def on_DownloadDataFiles(self, body):
        if not self.is_known(body["competitionName"]):
            return {"code": 403, "message": "denied"}  # Kaggle says so of a name that it does not know
        self.answer(302, {}, Location="http://localhost/data/archive.zip")
        return None

    def on_StartSubmissionUpload(self, body):
        if not self.is_known(body["competitionName"]) or not body["fileName"] or body["contentLength"] <= 0:
            return {"code": 400, "message": "bad upload"}
        token = f"token{len(self.server.requests)}"
        return {"token": token, "createUrl": f"http://localhost/upload/{token}"}

    def on_CreateSubmission(self, body):
        content = self.server.uploads.get(body["blobFileTokens"])
        if content is None or self.server.limit <= 0:
            return {"code": 400, "message": "no such upload" if content is None else "used up"}
        start = next(b for n, b in reversed(self.server.requests) if n == "StartSubmissionUpload")
        score, error = self.server.score(content)
        self.server.limit -= 1
        self.server.submissions.append(
            {
                "ref": 1000 + 7 * len(self.server.submissions),
                "date": "2026-11-21T20:15:00Z",
                "description": body.get("submissionDescription", ""),
                "fileName": start["fileName"],
                "content": content,
                "score": score,
                "error": self.server.error or error,
                "polls": self.server.polls,
            }
        )
        return {"message": "Successfully submitted to Digit Recognizer", "ref": self.server.submissions[-1]["ref"]}

    def on_GetSubmissionLimits(self, body):
        made = len(self.server.submissions)
        return {"numToday": made, "numTotal": made, "numAllowedNow": self.server.limit, "limitedByTotal": False}

    def on_ListSubmissions(self, body):
        newest_first = sorted(self.server.submissions, key=lambda made: -made["ref"])[: body.get("pageSize") or 20]
        return {"submissions": [self.describe(made, with_error=False) for made in newest_first], "nextPageToken": ""}

    def on_GetSubmission(self, body):
        made = next((made for made in self.server.submissions if made["ref"] == body["ref"]), None)
        if made is None:
            return {"code": 404, "message": "no such submission"}
        made["polls"] -= 1
        return self.describe(made, with_error=True)

    def describe(self, made, with_error):
        scored = made["polls"] < 0
        status = ("ERROR" if made["error"] else "COMPLETE") if scored else "PENDING"
        return {
            **{name: made[name] for name in ("ref", "date", "description", "fileName")},
            "status": status,
            **({"publicScore": made["score"], "privateScore": ""} if status == "COMPLETE" else {}),
            **({"errorDescription": made["error"]} if status == "ERROR" and with_error else {}),
        }
