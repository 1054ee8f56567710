"""The corpus of hostile and careless files: what a case is, and the small healthy folder that each case spoils.

A case names its command, how the folder is spoilt, and the error that must be raised. `tests/corpus_*.py` list the
cases, `tests/test_corpus.py` runs them through the commands.
"""

import contextlib
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import write_labels, write_run, write_table
from image_sets import draw_image_set, write_idx_folder, write_npz_folder, zip_folder

from digit_recognizer.competition.submissions import Provenance, write_submission
from digit_recognizer.io import hash_file

TRAIN_ROWS, TEST_ROWS = 20, 6
CV = ("cv", "--input-dir", "data", "--folds", "2", "--run-dir", "run", "--submission", "out/new.csv")
SCORE = ("score", "mine.csv", "--input-dir", "data")
ENSEMBLE = ("ensemble", "one", "two", "--input-dir", "data", "--submission", "out/new.csv")
DOWNLOAD = ("download", "data", "--input-dir", "new")
TERABYTE = 1 << 40
LONGEST_SECONDS = 20
MAX_BYTES = 2 << 30  # of addresses, on top of what the libraries hold; what is read to no end fails there


@dataclass(frozen=True)
class Expected:
    """The error that a case must raise: its code, and those of its fields that are checked."""

    code: str
    place: dict[str, object]

    def format(self, *texts: object, **words: object) -> "Expected":
        """The same with {file} and other words in the fields filled in."""
        filled = {
            name: value.format(*texts, **words) if isinstance(value, str) else value
            for name, value in self.place.items()
        }
        return Expected(self.code, filled)


def expect(code: str, **place: object) -> Expected:
    """`expect("csv.pixel_range", path="{file}", line=7)`: fields are attributes or details of the error."""
    return Expected(code, place)


def expect_in_file(code: str, **place: object) -> Expected:
    """The same with the path {file}, which the users of a table fill in."""
    return Expected(code, {"path": "{file}", **place})


@dataclass(frozen=True)
class Case:
    """A command that must fail."""

    name: str
    command: tuple[str, ...]
    spoil: Callable[[], object]
    expected: Expected


def build_place(folder: Path) -> None:
    """A healthy place: data/, mine.csv with its note, the runs one/ and two/, idx/, npz/ and digits.zip."""
    data = folder / "data"
    data.mkdir()
    rng = np.random.default_rng(0)
    labels, answers = np.arange(TRAIN_ROWS) % 10, np.arange(TEST_ROWS)
    write_table(data / "train.csv", rng.integers(0, 256, (TRAIN_ROWS, 784)), labels)
    write_table(data / "test.csv", rng.integers(0, 256, (TEST_ROWS, 784)))
    zip_folder(data, folder / "digits.zip")
    write_labels(data / "sample_submission.csv", np.zeros(TEST_ROWS, int))
    write_labels(data / "test_labels.csv", answers)
    note = Provenance(
        model="baseline", command="python -m digit_recognizer.cv", commit=None, oof_accuracy=0.9, ineligible=None,
        train_sha256=hash_file(data / "train.csv"), test_sha256=hash_file(data / "test.csv"),
    )  # fmt: skip
    write_submission(folder / "mine.csv", answers, TEST_ROWS, note)
    for name, sure in (("one", 0.9), ("two", 0.8)):
        write_run(folder / name, data, lean_towards(labels, sure), lean_towards(answers, sure))
    write_idx_folder(folder / "idx", draw_image_set())
    write_npz_folder(folder / "npz", draw_image_set())


def lean_towards(labels: np.ndarray, sure: float) -> np.ndarray:
    """Probabilities float32 (n, 10) that give each label the share `sure`."""
    probabilities = np.full((len(labels), 10), (1 - sure) / 9, np.float32)
    probabilities[np.arange(len(labels)), labels] = sure
    return probabilities


def change_text(path: str, change: Callable[[list[list[str]]], str | bytes]) -> Callable[[], None]:
    """A spoiler that rewrites a CSV; `change` gets its rows of cells, header first."""

    def spoil() -> None:
        rows = [line.split(",") for line in Path(path).read_text().splitlines()]
        write(path, change(rows))()

    return spoil


def write(path: str, content: str | bytes) -> Callable[[], None]:
    def spoil() -> None:
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def change_bytes(path: str, change: Callable[[bytes], bytes]) -> Callable[[], None]:
    return lambda: Path(path).write_bytes(change(Path(path).read_bytes()))


def remove(path: str) -> None:
    place = Path(path)
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)


def make_sparse(path: str) -> None:
    """Make a file claim a terabyte of zeros, or as much as the file system lets it, without taking a block more."""
    with Path(path).open("r+b") as file:
        file.truncate(TERABYTE)


def join(rows: list[list[str]], separator: str = ",", end: str = "\n") -> str:
    return "".join(separator.join(row) + end for row in rows)


def put(line: int, column: str, value: str) -> Callable[[list[list[str]]], str]:
    """The table with one cell replaced; `line` counts as an editor does, from 1."""

    def change(rows: list[list[str]]) -> str:
        rows[line - 1][rows[0].index(column)] = value
        return join(rows)

    return change


def make_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path)


def link_to(target: str) -> Callable[[str], None]:
    return lambda path: Path(path).symlink_to(target)


# What may stand at a file's place, {file}, that is no file; and the error for it.
PIPE = expect_in_file("io.not_regular")
THINGS: dict[str, tuple[Callable[[str], object], Expected]] = {
    "a folder": (lambda path: Path(path).mkdir(), expect_in_file("io.folder")),
    "a FIFO": (lambda path: os.mkfifo(path), PIPE),
    "a socket": (make_socket, PIPE),
    "/dev/zero": (link_to("/dev/zero"), PIPE),
    "/dev/null": (link_to("/dev/null"), PIPE),
    "/dev/full": (link_to("/dev/full"), PIPE),
    "a looped link": (lambda path: link_to(Path(path).name)(path), expect_in_file("io.unreadable")),
    "a link to nothing": (link_to("gone"), expect_in_file("data.missing")),
    "missing": (lambda path: None, expect_in_file("data.missing")),
}
MISSING = ("a link to nothing", "missing")


def spoil_with(thing: Callable[[str], object], path: str) -> Callable[[], None]:
    def spoil() -> None:
        remove(path)
        thing(path)

    return spoil


@contextlib.contextmanager
def within_bounds(seconds: int = LONGEST_SECONDS, max_bytes: int = MAX_BYTES) -> Iterator[None]:
    """Fail, where the system can enforce it, instead of waiting for ever or filling the machine's memory.

    pytest's failure is no Exception, so that no command takes it for a user's error.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"no answer in {seconds} s"))
    limits = resource.getrlimit(resource.RLIMIT_AS)
    held_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held_bytes + max_bytes, limits[1]))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)
