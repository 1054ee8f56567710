"""The first bytes of a digits CSV: is it a CSV at all, and which column holds what."""

import csv
import shlex
import stat
from collections import Counter
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from digit_recognizer.data.file_kinds import UTF8_MARK, check_text
from digit_recognizer.errors import InputError

IMAGE_SIDE_PX = 28
PIXELS = IMAGE_SIDE_PX**2
CLASSES = 10
LINE_LIMIT_BYTES = 1 << 16  # 785 quoted three-digit cells take under 5 kB: a longer line is no row of this table
ROW_INDEX_NAMES = ("Unnamed: 0", "")  # as pandas writes one, and reads back what it wrote
KNOWN_NAMES = {"label", "pixel0", "pixel1", "ImageId", "Label"}
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


def open_regular_file(path: Path) -> BufferedReader:
    """Open `path` for reading bytes; anything but a plain file is refused before it can block or flood us.

    Raises:
        InputError: if the file is missing, unreadable, a folder, a FIFO or a device.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path} must be a file, but is a folder: name the file in it.")
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
        raise InputError(f"{path} must be readable, but {error.strerror}: mend that, or name another.") from error


def read_header(path: Path, file: BufferedReader, with_labels: bool) -> Header:
    """Read the header line of a train (`with_labels`) or test file; `file` then stands at the first row.

    Raises:
        InputError: if the file is no CSV, or its columns are not those of the competition.
    """
    check_text(path, file, f"unzip it, or `{DOWNLOAD} {shlex.quote(str(path))}`")
    names, raw, lines = read_names(path, file)
    where = f"{path}, line {lines}"
    if _unnamed(names):
        raise InputError(
            f"{where}: the first line must name the columns (pixel0 to pixel783), but holds numbers: put the header "
            "back."
        )
    notes = ["it begins with a byte order mark"] * raw.startswith(UTF8_MARK)
    notes += ["its lines end with CRLF"] * raw.endswith(b"\r\n")
    if with_labels and "label" not in names:
        raise InputError(
            f"{where}: a train file needs a column 'label', but none is there: are train and test swapped?"
        )
    if not with_labels and "label" in names:
        raise InputError(f"{where}: a test file holds no labels, but has a column 'label': are train and test swapped?")
    first = 1 if "pixel784" in names and "pixel0" not in names else 0
    expected = ("label",) * with_labels + tuple(f"pixel{k + first}" for k in range(PIXELS))
    _check_names(where, names, expected)
    notes += [f"its pixels are named pixel1 to pixel{PIXELS}"] * first
    notes += ["its columns stand in another order"] * (names != expected)
    at = {name: position for position, name in enumerate(names)}
    pixel_at = tuple(at[f"pixel{k + first}"] for k in range(PIXELS))
    return Header(names, at.get("label"), pixel_at, raw, lines, tuple(notes))


def read_names(path: Path, file: BufferedReader) -> tuple[tuple[str, ...], bytes, int]:
    """Read the first line that is not blank as column names.

    Returns:
        The names, the bytes up to and including their line, and that line's 1-based number.

    Raises:
        InputError: if no such line ends within 64 KiB, or it is no line of a CSV with commas.
    """
    raw, lines, line, text = b"", 0, b"\n", b""
    while line and not text:
        line = file.readline(LINE_LIMIT_BYTES)
        text = (line if raw else line.removeprefix(UTF8_MARK)).strip(b"\r\n")
        raw, lines = raw + line, lines + 1
        if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
            raise InputError(f"{path}, line {lines}: a lone carriage return: end lines with LF or CRLF.")
        if len(line) == LINE_LIMIT_BYTES or len(raw) > LINE_LIMIT_BYTES:
            raise InputError(f"{path}, line 1: no header ends within {LINE_LIMIT_BYTES} bytes: is this a CSV at all?")
    if not text:
        raise InputError(f"{path} must hold a header and rows, but holds blank lines only: fetch it again.")
    where = f"{path}, line {lines}"
    header = text.decode("utf-8", "backslashreplace")
    if header.lower().startswith("sep="):
        raise InputError(f"{where}: the header must come first, but Excel's {header[:5]!r} does: delete that line.")
    try:
        names = tuple(name.strip(" \t") for name in next(csv.reader([header], strict=True)))
    except csv.Error:
        raise InputError(f"{where}: a quote must open and close around a whole name: mend the header.") from None
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and KNOWN_NAMES & set(header.replace('"', "").split(separator)):
            raise InputError(f"{where}: commas must part the columns, but {word} do: save it with commas.")
    return names, raw, lines


def _unnamed(names: tuple[str, ...]) -> bool:
    return any(names) and all(name.replace(".", "", 1).isdigit() for name in names if name)


def _check_names(where: str, names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    way_out = f"the header must be {expected[0]} … {expected[-1]}, {len(expected)} columns."
    counts, known = Counter(names), set(expected)
    faults = {
        "stands twice": [name for name in counts if counts[name] > 1],
        "is missing": [name for name in expected if name not in counts],
        "does not belong here": [name for name in counts if name not in known],
    }
    for fault, found in faults.items():
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            if found[0] in ROW_INDEX_NAMES:
                more = " (a row index: leave it out when saving)"
            raise InputError(f"{where}: column {found[0][:40]!r} {fault}{more}: {way_out}")
