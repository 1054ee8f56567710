"""The competition's CSV files, read strictly: every cell is checked, and the first bad one is named by line and column.

Reading goes front to back: what kind of file is it, which column holds what, then blocks of whole lines that Arrow
parses side by side into bytes. Only if a block is refused does a slow reader look for the first fault.

Why not pandas: it reads "5"6 as 56, accepts 256, -1 and blank cells, turns a column with one 0x1F into text without
naming its line, and takes 8 times the pixels' memory for the result alone. This reader takes 1.6 times as long as
polars' bare `read_csv`, with every check and the SHA-256, and 2.5 times the pixels' memory, where polars takes 12
(benchmarks/csv_loader.py).
"""

import csv
import hashlib
import math
import os
import re
import shlex
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from digit_recognizer.data.pixels import scale_fractions
from digit_recognizer.errors import InputError
from digit_recognizer.io import open_regular_file

if TYPE_CHECKING:
    from hashlib import _Hash

IMAGE_SIDE_PX = 28
PIXELS = IMAGE_SIDE_PX**2
CLASSES = 10
PICTURE_FOLDERS = ("train", "training", "trainingSet", "0")  # in place of tables
DOWNLOAD = "python -m digit_recognizer.download"
SHOWN_CHARACTERS = 40  # of a bad cell or name
LINE_LIMIT_BYTES = 1 << 16  # 785 quoted three-digit cells take under 5 kB: a longer line is no row of this table
LABELS_LIMIT_BYTES = 1 << 28  # hundreds of times the competition's rows
UNSCALED_REMEDY = "Leave out the step that scaled them."
LONGEST_ROW_BYTES = 4 * (PIXELS + 1)  # three digits and a comma, 785 times


@dataclass(frozen=True)
class CsvContent:
    """A digits CSV as arrays.

    Attributes:
        pixels: uint8 (n, 784), C-contiguous, 0 = paper, 255 = ink.
        labels: int64 (n,), 0 to 9; None for a file without them.
        sha256: hash of the bytes that were read.
        notes: departures from Kaggle's own form that were accepted, one phrase each.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    sha256: str
    notes: tuple[str, ...]


def read_pixel_csv(path: Path, with_labels: bool) -> CsvContent:
    """Read a train or test CSV once, front to back, checking and hashing what is read.

    Beyond the result, memory holds a few blocks of 1 MiB, whatever the size of the file.

    Args:
        path: the CSV file.
        with_labels: True for a train file, False for a test file.

    Raises:
        InputError: naming file, line and column of the first fault, or that the file changed meanwhile.
    """
    import pyarrow as pa

    with open_table(path) as file:
        before = os.fstat(file.fileno())
        header = read_header(path, file, with_labels)
        digest = hashlib.sha256(header.raw)
        try:
            try:
                pixels, labels, notes = _read_blocks(path, file, header, digest)
            except (pa.ArrowInvalid, _BadBlockError):
                file.seek(len(header.raw))
                if not _has_decimals(file):
                    raise
                file.seek(len(header.raw))
                digest = hashlib.sha256(header.raw)
                header = replace(header, decimals=True)
                pixels, labels, notes = _read_decimals(path, file, header, digest)
        except (pa.ArrowInvalid, _BadBlockError) as error:
            _check_unchanged(path, before, os.fstat(file.fileno()))
            try:
                find_first_fault(path, header)
            except InputError as fault:
                standardized = header.decimals and fault.code == "csv.pixel_range" and fault.received[0] == "-"
                if standardized:
                    fault.with_remedy(UNSCALED_REMEDY)
                raise
            raise InputError("csv.unreadable", path=path, received=" ".join(str(error).split())[:200]) from error
        _check_unchanged(path, before, os.fstat(file.fileno()))
    if labels is not None and labels.size and labels.max() >= CLASSES:
        find_first_fault(path, header)
    if not len(pixels):
        raise InputError("csv.no_rows", path=path)
    return CsvContent(pixels, labels, digest.hexdigest(), header.notes + notes)


def load_labels(path: Path) -> np.ndarray:
    """Load a test_labels.csv, submission or sample_submission.csv: `ImageId` (1, 2, 3, …) and `Label` (0 to 9).

    Returns:
        int64 (n,): element i is the label of ImageId i + 1.

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    labels = bytearray()  # one byte a row, where a list would take eight
    with open_table(path) as file:
        check_text(path, file)
        if os.fstat(file.fileno()).st_size > LABELS_LIMIT_BYTES:
            raise InputError("io.too_long", path=path, limit=LABELS_LIMIT_BYTES)
        names, _, lines = read_names(path, file)
        if names != ("ImageId", "Label"):
            raise InputError("csv.label_header", path=path, line=lines, received=_shorten(",".join(names)))
        for line, row in iterate_rows(path, file, lines):
            if len(row) != 2:
                raise InputError("csv.cells", path=path, line=line, received=len(row), expected=2)
            expected = str(len(labels) + 1)
            if row[0].strip(" \t") != expected:
                raise InputError(
                    "csv.ids", path=path, line=line, column="ImageId", received=_shorten(row[0]), expected=expected
                )
            labels.append(_read_cell(path, line, "Label", row[1], is_label=True))
    if not labels:
        raise InputError("csv.no_rows", path=path)
    return np.frombuffer(labels, np.uint8).astype(np.int64)


def open_table(path: Path) -> BufferedReader:
    """Open one of the competition's CSV files for reading bytes.

    Raises:
        InputError: as `open_regular_file`; of a missing file it says how to download the data.
    """
    try:
        return open_regular_file(path)
    except InputError as error:
        if error.code != "io.missing" or path.name not in ("train.csv", "test.csv", "sample_submission.csv"):
            raise
        if any((path.parent / name).is_dir() for name in PICTURE_FOLDERS):
            place = shlex.quote(str(path.parent))
            raise InputError("data.pictures_only", path=path.parent, command=f"{DOWNLOAD} {place}") from None
        folder = "" if path.parent == Path("input") else f" --input-dir {shlex.quote(str(path.parent))}"
        raise InputError("data.missing", path=path, command=f"{DOWNLOAD} kaggle{folder}") from None


# ---- what kind of file is it, by its first bytes

SNIFF_BYTES = 512
UTF8_MARK = b"\xef\xbb\xbf"
KINDS = {  # the first pattern that a file begins with tells what it is; file(1) knows most of them, too
    rb"\x1f\x8b": "a gzip archive",
    rb"BZh": "a bzip2 archive",
    rb"\xfd7zXZ\0": "an xz archive",
    rb"\x28\xb5\x2f\xfd": "a zstandard archive",
    rb"7z\xbc\xaf\x27\x1c": "a 7z archive",
    rb"PAR1": "a Parquet file",
    rb"ARROW1": "an Arrow file",
    rb"\x89HDF\r\n\x1a\n": "an HDF5 file",
    rb"\x93NUMPY": "a NumPy array",
    rb"SQLite format 3\0": "an SQLite database",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook",
    rb"\x89PNG\r\n\x1a\n": "a PNG image",
    rb"\xff\xd8\xff": "a JPEG image",
    rb"GIF8": "a GIF image",
    rb"%PDF-": "a PDF document",
    rb"PK\x03\x04.*\[Content_Types\]\.xml": "an Excel workbook",  # a zip, by the names of its first members
    rb"PK\x03\x04.*mimetypeapplication/vnd\.oasis": "an OpenDocument table",
    rb"PK\x03\x04.*\.npy": "an .npz of NumPy arrays",
    rb"PK\x03\x04": "a zip archive",
    rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff": "text in UTF-16 or UTF-32",  # its mark, or zeros beside an ASCII character
    rb"(?=.{0,3}\0)(?=.{0,3}[^\0])": "text in UTF-16 or UTF-32",
    rb"(\xef\xbb\xbf)?\s*<": "a web page, perhaps a log-in page",
    rb"(\xef\xbb\xbf)?\s*[{\[]": "JSON, perhaps a server's error",
}


def check_text(path: Path, file: BinaryIO) -> None:
    """Refuse what is plainly no CSV in UTF-8, by its first bytes; `file` is left at its start.

    Raises:
        InputError: if the file is empty, of a known other kind, or damaged.
    """
    start = file.read(SNIFF_BYTES)
    file.seek(0, os.SEEK_SET)
    if not start:
        raise InputError("csv.no_rows", path=path)
    if kind := next((kind for pattern, kind in KINDS.items() if re.match(pattern, start, re.DOTALL)), None):
        raise InputError("csv.other_kind", path=path, received=kind)
    if b"\0" in start:
        raise InputError("csv.damaged", path=path, line=start[: start.index(0)].count(b"\n") + 1)


# ---- the header: which column holds what

ROW_INDEX_NAMES = ("Unnamed: 0", "", "index")  # as pandas writes one, and reads back what it wrote; left out
LABEL_NAMES = ("label", "Label", "labels", "class", "target")
PIXEL_NAMES: dict[
    str, Callable[[int], str]
] = {  # how tables name pixel k, in row and column k // 28 and k % 28; the first is Kaggle's way
    f"pixel0 to pixel{PIXELS - 1}": lambda k: f"pixel{k}",
    f"pixel1 to pixel{PIXELS}": lambda k: f"pixel{k + 1}",
    "1x1 to 28x28": lambda k: f"{k // IMAGE_SIDE_PX + 1}x{k % IMAGE_SIDE_PX + 1}",  # "MNIST in CSV"
    f"0 to {PIXELS - 1}": str,  # an array's own
}
KNOWN_NAMES = {"label", "pixel0", "pixel1", "ImageId", "Label"}


@dataclass(frozen=True)
class Header:
    """What the header line of a CSV says.

    Attributes:
        names: the columns in the order of the file.
        label_at: position of the label column; None where there is none.
        pixel_at: 784 positions, that of pixel k at index k.
        raw: the bytes before the first row, as read: the header line, if there is one, or a byte order mark.
        lines: how many lines those bytes hold (more than one after leading blank lines).
        notes: departures from Kaggle's own form that were accepted, one phrase each.
        decimals: whether the numbers may be written as decimals.
    """

    names: tuple[str, ...]
    label_at: int | None
    pixel_at: tuple[int, ...]
    raw: bytes
    lines: int
    notes: tuple[str, ...]
    decimals: bool = False

    @property
    def wanted(self) -> list[str]:
        """The columns that are read: the labels, if there are any, and the pixels in their order."""
        positions = self.pixel_at if self.label_at is None else (self.label_at, *self.pixel_at)
        return [self.names[position] for position in positions]


def read_header(path: Path, file: BufferedReader, with_labels: bool) -> Header:
    """Read the header line of a train (`with_labels`) or test file; `file` then stands at the first row.

    Raises:
        InputError: if the file is no CSV, or its columns are not those of the competition.
    """
    check_text(path, file)
    names, raw, lines = read_names(path, file)
    if any(names) and all(name.replace(".", "", 1).isdigit() for name in names if name):
        header = _make_header(path, file, names, raw, lines)
        if header is not None:
            _check_label(path, lines, with_labels=with_labels, has_labels=header.label_at is not None)
            return header
    form, label, expected = choose_names(names)
    _check_label(path, lines, with_labels=with_labels, has_labels=label is not None)
    counts = Counter(names)
    known = {*expected, *ROW_INDEX_NAMES}
    faults = {
        "csv.repeated_column": [name for name in counts if counts[name] > 1],
        "csv.missing_column": [name for name in expected if name not in counts],
        "csv.unknown_column": [name for name in counts if name not in known],
    }
    for code, found in faults.items():
        if found:
            raise InputError(code, path=path, line=lines, column=_shorten(found[0]), expected=len(expected))
    notes = ["it begins with a byte order mark"] * raw.startswith(UTF8_MARK)
    notes += ["its lines end with CRLF"] * raw.endswith(b"\r\n")
    notes += describe_names(names, form, label, expected)
    at = {name: position for position, name in enumerate(names)}
    label_at = None if label is None else at[label]
    return Header(names, label_at, tuple(at[name] for name in expected[-PIXELS:]), raw, lines, tuple(notes))


def _check_label(path: Path, line: int, *, with_labels: bool, has_labels: bool) -> None:
    if with_labels and not has_labels:
        raise InputError("csv.label_column", path=path, line=line, column="label")


def choose_names(names: Sequence[str]) -> tuple[str, str | None, list[str]]:
    """How a table names its columns.

    Returns:
        The form of its pixels' names to which it comes nearest, a key of `PIXEL_NAMES`; the name of its labels, None
        where there are none; and the columns that it should have, the pixels last.
    """
    label = next((name for name in LABEL_NAMES if name in names), None)
    present = set(names)
    forms = {form: [name(k) for k in range(PIXELS)] for form, name in PIXEL_NAMES.items()}
    # the form to which a damaged header comes nearest; of two, the first
    form = max(forms, key=lambda form: sum(name in present for name in forms[form]))
    return form, label, forms[form] if label is None else [label, *forms[form]]


def describe_names(names: Sequence[str], form: str, label: str | None, expected: list[str]) -> list[str]:
    """How columns that were accepted depart from Kaggle's, one phrase each; arguments as `choose_names` has them."""
    indexes = [name for name in names if name in ROW_INDEX_NAMES]
    notes = [f"its pixels are named {form}"] * (form != next(iter(PIXEL_NAMES)))
    notes += [f"its labels are named {label}"] * (label not in (None, "label"))
    notes += [f"its row index, the column {name!r}, was left out" for name in indexes]
    return notes + ["its columns stand in another order"] * ([n for n in names if n not in indexes] != expected)


def _make_header(path: Path, file: BufferedReader, names: tuple[str, ...], raw: bytes, lines: int) -> Header | None:
    """A header for a file whose first line is a row already; None if that line is a header of numbers.

    A label may be the first cell or the last.

    Raises:
        InputError: if the number of cells leaves a doubt.
    """
    if "0" in names and len(set(names)) == len(names):
        return None  # hundreds of different numbers: columns 0 to 783
    label = len(names) - PIXELS
    if label not in (0, 1):
        raise InputError("csv.no_header", path=path, line=lines)
    mark = UTF8_MARK * raw.startswith(UTF8_MARK)
    file.seek(len(mark))
    pixels = tuple(f"pixel{k}" for k in range(PIXELS))
    notes = ["it has no header", *["it begins with a byte order mark"] * bool(mark)]
    notes += ["its lines end with CRLF"] * raw.endswith(b"\r\n")
    if label and _is_label_last(file):
        notes.append("its labels are the last column")
        return Header((*pixels, "label"), PIXELS, tuple(range(PIXELS)), mark, 0, tuple(notes))
    at = range(label, label + PIXELS)
    return Header(("label",) * label + pixels, 0 if label else None, tuple(at), mark, 0, tuple(notes))


def _is_label_last(file: BufferedReader) -> bool:
    """Whether the first rows begin with one value, as a corner of paper does, and end with several that are labels."""
    start = file.tell()
    lines = [line.strip(b"\r\n").split(b",") for line in file.read(BLOCK_BYTES).splitlines()[:-1]]
    file.seek(start)
    first, last = ({line[end].strip(b'"') for line in lines} for end in (0, -1))
    return len(first) == 1 < len(last) and last <= {label.encode() for label in LABEL_TEXTS}


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
        _check_line(path, lines, line)
        if len(raw) > LINE_LIMIT_BYTES:
            raise InputError("csv.long_line", path=path, line=1)
    if not text:
        raise InputError("csv.no_rows", path=path)
    header = text.decode("utf-8", "backslashreplace")
    if header.lower().startswith("sep="):
        raise InputError("csv.separator_line", path=path, line=lines, received=header[:5])
    names = tuple(name.strip(" \t") for name in _split(path, lines, text))
    for separator, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and KNOWN_NAMES & set(header.replace('"', "").split(separator)):
            raise InputError("csv.separator", path=path, line=lines, received=word)
    return names, raw, lines


# ---- fast blocks: whole lines, parsed side by side straight into bytes

BLOCK_BYTES = 1 << 20  # measured: smaller ones pay more often for 785 column builders, larger ones take memory
WORKERS = 2


class _BadBlockError(ValueError):
    """The fast reader does not vouch for a block; the slow one finds out what is wrong."""


def _read_blocks(
    path: Path, file: BinaryIO, header: Header, digest: "_Hash"
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Pixels, labels and notes of all rows."""
    pixels = _allocate_pixels(path, os.fstat(file.fileno()).st_size, len(header.names))
    labels = [np.empty(0, np.int64)]
    rows = lines = quotes = 0
    for cells, block_lines, block_quotes in _iterate_parsed(file, header, digest):
        if rows + len(cells) > len(pixels):
            raise _BadBlockError("it holds more rows than its size allows")  # it grew, which the caller finds out
        pixels[rows : rows + len(cells)] = cells[:, -PIXELS:]
        if header.label_at is not None:
            labels.append(cells[:, 0].astype(np.int64))
        rows, lines, quotes = rows + len(cells), lines + block_lines, quotes + block_quotes
    pixels.resize((rows, PIXELS), refcheck=False)  # gives the untouched tail back
    notes = ["its numbers are quoted"] * (quotes > 0)
    notes += _note_blank_lines(header, lines, rows)
    return pixels, None if header.label_at is None else np.concatenate(labels), tuple(notes)


def _has_decimals(file: BinaryIO) -> bool:
    """Whether the rest of a file has a decimal point or more in a row; fewer are faults in a table of whole numbers."""
    points, rows = 0, 1
    while block := file.read(BLOCK_BYTES):
        points, rows = points + block.count(b"."), rows + block.count(b"\n")
    return points >= max(rows - 1, 1)


def _note_blank_lines(header: Header, lines: int, rows: int) -> list[str]:
    """A note on lines without a row, if there are any, among these after the header and those before it."""
    blank_lines = max(header.lines - 1, 0) + lines - rows
    return [f"blank lines were skipped: {blank_lines}"] * (blank_lines > 0)


def _read_decimals(
    path: Path, file: BinaryIO, header: Header, digest: "_Hash"
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """As `_read_blocks`, of whole numbers written as decimals, such as 3.0, or of fractions from 0 to 1.

    It takes four bytes a pixel.
    """
    check_fits_memory(path, os.fstat(file.fileno()).st_size)
    blocks, lines = [np.empty((0, len(header.wanted)), np.float32)], 0
    for block, block_lines, _ in _iterate_parsed(file, header, digest):
        blocks.append(block)
        lines += block_lines
    cells = np.concatenate(blocks)
    blank = _note_blank_lines(header, lines, len(cells))
    values, labels = cells[:, -PIXELS:], None if header.label_at is None else cells[:, 0]
    if labels is not None and not (np.isin(labels, np.arange(CLASSES))).all():
        raise _BadBlockError("a label is no whole number")
    labels = None if labels is None else labels.astype(np.int64)
    scaled = scale_fractions(values) if values.size else None
    if (
        scaled is None
        and values.size
        and (np.floor(values) == values).all()
        and 0 <= values.min() <= values.max() < 256
    ):
        return values.astype(np.uint8), labels, ("its numbers are written as decimals", *blank)
    if scaled is None:
        raise _BadBlockError("its numbers have another range")
    return scaled[0], labels, (scaled[1], *blank)


def _allocate_pixels(path: Path, file_bytes: int, columns: int) -> np.ndarray:
    """Space for as many rows as the file could hold: pages that are never written take no memory."""
    check_fits_memory(path, file_bytes)
    try:
        return np.empty((file_bytes // (2 * columns) + 1, PIXELS), np.uint8)
    except MemoryError:
        raise InputError("csv.memory", path=path, received=file_bytes) from None


def _iterate_parsed(file: BinaryIO, header: Header, digest: "_Hash") -> Iterator[tuple[np.ndarray, int, int]]:
    """Parsed blocks in the file's order; while workers parse, this thread reads and hashes the next."""
    waiting: deque[Future[tuple[np.ndarray, int, int]]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        while block := file.read(BLOCK_BYTES):
            block += file.readline(LINE_LIMIT_BYTES)  # whole lines only
            if len(block) == BLOCK_BYTES + LINE_LIMIT_BYTES:
                raise _BadBlockError("a line is longer than any row")
            digest.update(block)
            waiting.append(pool.submit(_parse_block, block, header))
            if len(waiting) > WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _parse_block(block: bytes, header: Header) -> tuple[np.ndarray, int, int]:
    """Parse whole lines into uint8, or float32 (rows, `header.wanted`); also the number of lines and of quotes."""
    import pyarrow as pa
    import pyarrow.csv

    quotes = _check_block(block)
    kind = pa.float32() if header.decimals else pa.uint8()  # refuses signs, fractions and anything above 255 by itself
    table = pyarrow.csv.read_csv(
        pa.BufferReader(block),
        read_options=pyarrow.csv.ReadOptions(column_names=header.names, use_threads=False, block_size=len(block) + 1),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header.wanted, kind),
            include_columns=header.wanted,
            null_values=[],  # a blank or NaN is a fault, never a silent null
            check_utf8=False,
        ),
    )
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    batches = table.combine_chunks().to_batches()
    if not batches:
        return np.empty((0, len(header.wanted)), np.uint8), lines, quotes
    return batches[0].to_tensor(row_major=True).to_numpy(), lines, quotes


def _check_block(block: bytes) -> int:
    """Refuse what Arrow's reader would read too kindly (hexadecimal, `"5"6`, lone CR); return the number of quotes."""
    lone_returns = block.count(b"\r") - block.count(b"\r\n") - block.endswith(b"\r")  # the last LF may be cut off
    if lone_returns or any(byte in block for byte in (b"x", b"X", b"\xef")):
        raise _BadBlockError("it holds characters that no number has")
    quotes = block.count(b'"')
    if quotes:
        framed = b"\n" + block + b"\n"
        if quotes != sum(framed.count(pattern) for pattern in (b',"', b'\n"', b'",', b'"\n', b'"\r')):
            raise _BadBlockError("a quote stands inside a cell")
    return quotes


def check_fits_memory(path: Path, file_bytes: int) -> None:
    """Refuse a table whose rows cannot be fewer than this machine's memory takes.

    Raises:
        InputError: naming the file.
    """
    if file_bytes // LONGEST_ROW_BYTES * PIXELS > physical_memory_bytes():
        raise InputError("csv.memory", path=path, received=file_bytes)


def physical_memory_bytes() -> int:
    """The machine's memory, as the system reports it."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize  # Windows promises no page that it has not got: there the allocation itself fails
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    for field in ("st_size", "st_mtime_ns", "st_ctime_ns"):
        if getattr(before, field) != getattr(after, field):
            raise InputError("csv.changed", path=path)


# ---- the slow reader: where is the first bad cell, and what is wrong with it

BYTE_TEXTS = frozenset(str(value) for value in range(256))
LABEL_TEXTS = frozenset(str(label) for label in range(CLASSES))


def find_first_fault(path: Path, header: Header) -> None:
    """Read the file again and stop at the first fault; among decimals, a fraction is one only if nothing else is wrong.

    Returns only if there is none.

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    if header.decimals:
        _check_cells(path, header, _is_number)
    _check_cells(path, header, _is_whole_decimal if header.decimals else lambda cell: False)


def _check_cells(path: Path, header: Header, is_pixel: Callable[[str], bool]) -> None:
    """`find_first_fault` where cells of which `is_pixel` is true, and whole numbers from 0 to 255, are no fault."""
    columns, is_number = len(header.names), is_pixel is _is_number
    wanted = {header.label_at, *header.pixel_at}
    with open_table(path) as file:
        file.seek(len(header.raw))
        for line, row in iterate_rows(path, file, header.lines):
            labelled = header.label_at is None or (len(row) > header.label_at and row[header.label_at] in LABEL_TEXTS)
            if len(row) == columns and labelled and (BYTE_TEXTS.issuperset(row) or (is_number and _are_numbers(row))):
                continue  # nearly every row, at the speed of a set
            if tuple(cell.strip() for cell in row) == header.names:
                raise InputError("csv.repeated_header", path=path, line=line)
            if len(row) != columns:
                code = "csv.cut_off" if len(row) < columns and not file.peek(1) else "csv.cells"
                raise InputError(code, path=path, line=line, received=len(row), expected=columns)
            for position, (name, cell) in enumerate(zip(header.names, row, strict=True)):
                if position not in wanted:
                    continue
                is_label = position == header.label_at
                if not (header.decimals and _is_label_decimal(cell) if is_label else is_pixel(cell)):
                    _read_cell(path, line, name, cell, is_label=is_label)


def iterate_rows(path: Path, file: BufferedReader, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (1-based line number, cells) for each row that is not blank; memory is bounded by one line.

    Raises:
        InputError: at a line that is no line of a CSV: NUL bytes, too long, a quote inside a cell.
    """
    number = lines_before
    while line := file.readline(LINE_LIMIT_BYTES):
        number += 1
        _check_line(path, number, line)
        if row := _split(path, number, line):
            yield number, row


def _check_line(path: Path, number: int, line: bytes) -> None:
    if b"\0" in line:
        raise InputError("csv.damaged", path=path, line=number)
    if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
        raise InputError("csv.carriage_return", path=path, line=number)
    if len(line) == LINE_LIMIT_BYTES:
        raise InputError("csv.long_line", path=path, line=number)


def _split(path: Path, number: int, line: bytes) -> list[str]:
    """The cells of one line, by itself: a quote left open must not swallow the rest of the file."""
    try:
        return next(csv.reader([line.decode("utf-8", "backslashreplace")], strict=True), [])
    except csv.Error:
        raise InputError("csv.quote", path=path, line=number) from None


def _read_cell(path: Path, line: int, column: str, cell: str, *, is_label: bool) -> int:
    """Read a whole number in plain decimal digits; spaces and tabs around it and zeros before it do no harm."""
    digits = cell.strip(" \t")
    if digits.isascii() and digits.isdigit():
        number = int(digits.lstrip("0")[:4] or 0)  # four digits are too many already; int() refuses thousands
        if number < (CLASSES if is_label else 256):
            return number
    code = "csv.label_range" if is_label else "csv.pixel_range"
    raise InputError(code, path=path, line=line, column=column, received=_shorten(cell))


def _is_whole_decimal(cell: str) -> bool:
    """Whether this is a whole number from 0 to 255 with a decimal point, and nothing but zeros after it."""
    digits, point, zeros = cell.strip(" \t").partition(".")
    return (
        bool(point)
        and digits.isascii()
        and digits.isdigit()
        and not zeros.strip("0")
        and len(digits) < 4
        and int(digits) < 256
    )


def _is_label_decimal(cell: str) -> bool:
    return _is_whole_decimal(cell) and float(cell) < CLASSES


def _is_number(cell: str) -> bool:
    return _are_numbers([cell])


def _are_numbers(cells: list[str]) -> bool:
    try:
        return math.isfinite(sum(map(float, cells)))
    except ValueError:
        return False


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
