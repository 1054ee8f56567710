"""The first bytes of a digits CSV: is it a CSV at all, and which column holds what."""

import csv
import os
import shlex
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from digit_recognizer.errors import InputError

IMAGE_SIDE_PX = 28
PIXELS = IMAGE_SIDE_PX**2
CLASSES = 10
LINE_LIMIT_BYTES = 1 << 16  # 785 quoted three-digit cells take under 5 kB: a longer line is no row of this table
SNIFF_BYTES = 512
UTF8_MARK = b"\xef\xbb\xbf"
DOWNLOAD = "python -m digit_recognizer.download"


@dataclass(frozen=True)
class Header:
    """What the header line of a CSV says.

    Attributes:
        names: the columns in the order of the file.
        label_at: position of the label column; None in a test file.
        pixel_at: 784 positions, that of pixel k at index k.
        raw: the bytes up to and including the header line, as read.
        lines: how many lines those bytes hold (more than one after leading blank lines).
        notes: departures from Kaggle's own form that were accepted, one sentence each.
    """

    names: tuple[str, ...]
    label_at: int | None
    pixel_at: tuple[int, ...]
    raw: bytes
    lines: int
    notes: tuple[str, ...]


def open_regular_file(path: Path) -> BinaryIO:
    """Open `path` for reading bytes; anything but a plain file is refused before it can block or flood us.

    Raises:
        InputError: if the file is missing, unreadable, a folder, a FIFO or a device.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} must be a CSV file, but is a folder: name the file in it.")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path} must be a plain file, but is a pipe or device: save it as a file first.")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        if path.name not in ("train.csv", "test.csv", "sample_submission.csv"):
            raise InputError(f"{path} must be a file, but there is none of that name: check the path.") from None
        where = "" if path.parent == Path("input") else f" --input-dir {shlex.quote(str(path.parent))}"
        raise InputError(
            f"{path} is missing: fetch it with `{DOWNLOAD} kaggle{where}`, `{DOWNLOAD} PATH-OF-ZIP{where}` or "
            f"`{DOWNLOAD} sample{where}`."
        ) from None
    except OSError as error:
        raise InputError(f"{path} must be readable, but {error.strerror}: mend its permissions.") from error


def read_header(path: Path, file: BinaryIO, with_labels: bool) -> Header:
    """Read the header line of a train (`with_labels`) or test file; `file` then stands at the first row.

    Raises:
        InputError: if the file is no CSV, or its columns are not those of the competition.
    """
    _check_content(path, file)
    raw, lines, line = b"", 0, b"\n"
    while line and not line.strip(b"\r\n"):
        line = file.readline(LINE_LIMIT_BYTES)
        raw, lines = raw + line, lines + 1
        if len(line) == LINE_LIMIT_BYTES or len(raw) > LINE_LIMIT_BYTES:
            raise InputError(f"{path}, line 1: no header ends within {LINE_LIMIT_BYTES} bytes: is this a CSV at all?")
    text = line.removeprefix(UTF8_MARK).decode("utf-8", "backslashreplace").rstrip("\r\n")
    if not text:
        raise InputError(f"{path} must hold a header and rows, but holds blank lines only: fetch it again.")
    names = tuple(name.strip() for name in next(csv.reader([text])))
    _check_separator(path, text, names)
    notes = ["it begins with a byte order mark"] * raw.startswith(UTF8_MARK)
    notes += ["its lines end with CRLF"] * line.endswith(b"\r\n")
    if with_labels and "label" not in names and not _unnamed(names):
        raise InputError(
            f"{path}, line {lines}: a train file needs a column 'label', but none is there: are train and test swapped?"
        )
    if not with_labels and "label" in names:
        raise InputError(
            f"{path}, line {lines}: a test file holds no labels, but has a column 'label': are train and test swapped?"
        )
    first = 1 if "pixel784" in names and "pixel0" not in names else 0
    expected = ("label",) * with_labels + tuple(f"pixel{k + first}" for k in range(PIXELS))
    _check_names(f"{path}, line {lines}", names, expected)
    notes += [f"its pixels are named pixel1 to pixel{PIXELS}"] * first
    notes += ["its columns stand in another order"] * (names != expected)
    at = {name: position for position, name in enumerate(names)}
    pixel_at = tuple(at[f"pixel{k + first}"] for k in range(PIXELS))
    return Header(names, at.get("label"), pixel_at, raw, lines, tuple(notes))


def _check_content(path: Path, file: BinaryIO) -> None:
    """Refuse what is plainly no CSV, by its first bytes."""
    start = file.read(SNIFF_BYTES)
    file.seek(0, os.SEEK_SET)
    if not start:
        raise InputError(f"{path} must hold a header and rows, but is empty: fetch it again.")
    if start.startswith((b"\x1f\x8b", b"PK\x03\x04")):
        kind, way_out = ("gzip", "gunzip it") if start[0] == 0x1F else ("zip", f"unzip it, or `{DOWNLOAD} {path}`")
        raise InputError(f"{path} must be plain text, but is a {kind} archive under a .csv name: {way_out}.")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in (start[0:1], start[1:2]):
        raise InputError(f"{path} must be UTF-8 text, but is UTF-16: save it as UTF-8.")
    if b"\0" in start:
        line_number = start[: start.index(0)].count(b"\n") + 1
        raise InputError(f"{path}, line {line_number}: NUL bytes, so the file is damaged: fetch it again.")
    if start.removeprefix(UTF8_MARK).lstrip().startswith(b"<"):
        raise InputError(f"{path} must be a CSV, but is a web page (a log-in page?): fetch it again, logged in.")


def _unnamed(names: tuple[str, ...]) -> bool:
    return all(name.replace(".", "", 1).isdigit() for name in names if name)


def _check_separator(path: Path, text: str, names: tuple[str, ...]) -> None:
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) < 3 and text.count(separator) > 1:
            raise InputError(f"{path}, line 1: commas must part the columns, but {word} do: save it with commas.")
    if _unnamed(names):
        raise InputError(
            f"{path}, line 1: the first line must name the columns (pixel0 to pixel783), but holds numbers: "
            f"put the header back."
        )


def _check_names(where: str, names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    way_out = f"the header must be {expected[0]} … {expected[-1]}, {len(expected)} columns."
    counts = Counter(names)
    faults = {
        "stands twice": [name for name in counts if counts[name] > 1],
        "is missing": [name for name in expected if name not in counts],
        "does not belong here": [name for name in counts if name not in set(expected)],
    }
    for fault, found in faults.items():
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            raise InputError(f"{where}: column {found[0][:40]!r} {fault}{more}: {way_out}")
