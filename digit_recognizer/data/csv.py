"""Arrays written as the CSV files that Kaggle would have sent: no quotes, LF, header first."""

import csv
import hashlib
import os
import shlex
import sys
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.io import open_regular_file

if TYPE_CHECKING:
    from hashlib import _Hash


# What a file is, told by its first bytes: a text that may be a CSV, or something else under that name.

SNIFF_BYTES = 512
UTF8_MARK = b"\xef\xbb\xbf"
UTF32_STARTS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
UTF16_STARTS = (b"\xff\xfe", b"\xfe\xff")
AS_CSV = "save its table as CSV"

# The first bytes by which each kind is known (the "magic numbers" of file(1)), and the way to a CSV.
KINDS = {
    b"\x1f\x8b": ("a gzip archive", "gunzip it"),
    b"BZh": ("a bzip2 archive", "bunzip2 it"),
    b"\xfd7zXZ\0": ("an xz archive", "unxz it"),
    b"\x28\xb5\x2f\xfd": ("a zstandard archive", "unzstd it"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it"),
    b"PAR1": ("a Parquet file", AS_CSV),
    b"ARROW1": ("an Arrow file", AS_CSV),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", AS_CSV),
    b"\x93NUMPY": ("a NumPy array", AS_CSV),
    b"SQLite format 3\0": ("an SQLite database", AS_CSV),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel workbook", AS_CSV),
    b"\x89PNG\r\n\x1a\n": ("a PNG image", "name the table"),
    b"\xff\xd8\xff": ("a JPEG image", "name the table"),
    b"GIF8": ("a GIF image", "name the table"),
    b"%PDF-": ("a PDF document", "name the table"),
}
ZIP = b"PK\x03\x04"
ZIP_KINDS = {  # zips whose first members tell what they really are
    b"[Content_Types].xml": ("an Excel workbook", AS_CSV),
    b"mimetypeapplication/vnd.oasis": ("an OpenDocument table", AS_CSV),
    b".npy": ("an .npz of NumPy arrays", AS_CSV),
}


def check_text(path: Path, file: BinaryIO, unzip: str = "unzip it") -> None:
    """Refuse what is plainly no CSV in UTF-8, by its first bytes; `file` is left at its start.

    Args:
        path: named in the message.
        file: at its start.
        unzip: the way out where the file is a zip.

    Raises:
        InputError: if the file is empty, of a known other kind, in UTF-16 or UTF-32, a web page, JSON, or damaged.
    """
    start = file.read(SNIFF_BYTES)
    file.seek(0, os.SEEK_SET)
    if not start:
        raise InputError(f"{path} must hold a header and rows, but is empty: fetch it again.")
    kind, way_out = _find_kind(start, unzip)
    if kind:
        raise InputError(f"{path} must be plain text, but is {kind} under a .csv name: {way_out}.")
    if encoding := _find_encoding(start):
        raise InputError(f"{path} must be UTF-8 text, but is {encoding}: save it as UTF-8.")
    if b"\0" in start:
        line_number = start[: start.index(0)].count(b"\n") + 1
        raise InputError(f"{path}, line {line_number}: NUL bytes, so the file is damaged: fetch it again.")
    text = start.removeprefix(UTF8_MARK).lstrip()
    if text.startswith(b"<"):
        raise InputError(f"{path} must be a CSV, but is a web page (a log-in page?): fetch it again, logged in.")
    if text.startswith((b"{", b"[")):
        raise InputError(f"{path} must be a CSV, but is JSON (a server's error message?): fetch it again.")


def _find_kind(start: bytes, unzip: str) -> tuple[str, str]:
    if start.startswith(ZIP):
        inside = (kind for mark, kind in ZIP_KINDS.items() if mark in start)
        return next(inside, ("a zip archive", unzip))
    return next((kind for magic, kind in KINDS.items() if start.startswith(magic)), ("", ""))


def _find_encoding(start: bytes) -> str | None:
    """UTF-32 or UTF-16, by their marks or by the zero bytes that pad each ASCII character; None for neither."""
    first = start[:4]
    if first in UTF32_STARTS or (len(first) == 4 and (first[1:] == b"\0\0\0" or first[:3] == b"\0\0\0")):
        return "UTF-32" if any(first) else None
    if first.startswith(UTF16_STARTS) or (len(first) > 1 and (first[0] == 0) != (first[1] == 0)):
        return "UTF-16"
    return None


# The first bytes of a digits CSV: is it a CSV at all, and which column holds what.

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
        folder = "" if path.parent == Path("input") else f" --input-dir {shlex.quote(str(path.parent))}"
        raise InputError("data.missing", path=path, command=f"{DOWNLOAD} kaggle{folder}") from None


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


# The slow, careful reading of a CSV that the fast one refused: where is the first bad cell, and what is wrong.

BYTE_TEXTS = frozenset(str(value) for value in range(256))
LABEL_TEXTS = frozenset(str(label) for label in range(CLASSES))
SHOWN_CHARACTERS = 40


def iterate_rows(path: Path, file: BufferedReader, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (1-based line number, cells) for each row that is not blank; memory is bounded by one line.

    Raises:
        InputError: at a line that is no line of a CSV: NUL bytes, endless, quotes astray.
    """
    line_number = lines_before
    while line := file.readline(LINE_LIMIT_BYTES):
        line_number += 1
        where = f"{path}, line {line_number}"
        _check_line(where, line)
        try:  # each line by itself: a quote left open must not swallow the rest of the file
            row = next(csv.reader([line.decode("utf-8", "backslashreplace")], strict=True), [])
        except csv.Error:
            raise InputError(f"{where}: a quote must open and close around a whole cell: mend the line.") from None
        if row:
            yield line_number, row


def check_every_cell(path: Path, header: Header) -> None:
    """Read the file again, cell by cell, and stop at the first fault.

    Returns only if no fault was found.

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    with open_table(path) as file:
        file.seek(len(header.raw))
        for line_number, row in iterate_rows(path, file, header.lines):
            labelled = header.label_at is None or (len(row) > header.label_at and row[header.label_at] in LABEL_TEXTS)
            if len(row) == len(header.names) and labelled and BYTE_TEXTS.issuperset(row):
                continue  # nearly every row, at the speed of a set
            _check_row(f"{path}, line {line_number}", row, header, last=not file.peek(1))


def shorten(cell: str) -> str:
    """A cell as it may stand in a one-line message."""
    return repr(cell if len(cell) <= SHOWN_CHARACTERS else cell[:SHOWN_CHARACTERS] + "…")


def read_whole_number(where: str, cell: str, highest: int) -> int:
    """Read a cell that holds a whole number from 0 to `highest` in plain decimal digits.

    Spaces and tabs around the digits, and zeros before them, do no harm.

    Raises:
        InputError: beginning with `where`.
    """
    digits = cell.strip(" \t")
    if digits.isascii() and digits.isdigit():
        number = int(digits.lstrip("0")[:4] or 0)  # four digits are too many already; int() refuses thousands
        if number <= highest:
            return number
    if not digits or digits.lower() in ("nan", "na", "null", "none"):
        raise InputError(f"{where}: a value is missing (received {shorten(cell)}): fill it in or delete the line.")
    raise InputError(
        f"{where}: must be a whole number from 0 to {highest}, but is {shorten(cell)}: correct it or delete the line."
    )


def _check_line(where: str, line: bytes) -> None:
    if b"\0" in line:
        raise InputError(f"{where}: NUL bytes, so the file is damaged: fetch it again.")
    if len(line) == LINE_LIMIT_BYTES:
        raise InputError(f"{where}: longer than any row can be: end lines with LF or CRLF.")
    if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r"):
        raise InputError(f"{where}: a lone carriage return: end lines with LF or CRLF.")


def _check_row(where: str, row: list[str], header: Header, last: bool) -> None:
    if tuple(cell.strip() for cell in row) == header.names:
        raise InputError(f"{where}: the header stands here again (files pasted together?): delete the line.")
    columns = len(header.names)
    if len(row) < columns and last:
        raise InputError(
            f"{where}, column {header.names[len(row) - 1]}: the last row must have {columns} cells, but breaks off "
            f"after {len(row)}: fetch the file again."
        )
    if len(row) != columns:
        at = header.names[len(row)] if len(row) < columns else f"{columns + 1} (after {header.names[-1]})"
        raise InputError(
            f"{where}, column {at}: a row must have {columns} cells, but has {len(row)}: correct or delete the line."
        )
    for position, (name, cell) in enumerate(zip(header.names, row, strict=True)):
        read_whole_number(f"{where}, column {name}", cell, CLASSES - 1 if position == header.label_at else 255)


# The fast reading of a digits CSV: blocks of whole lines, parsed side by side straight into bytes.

BLOCK_BYTES = 1 << 20  # measured: smaller ones pay more often for 785 column builders, larger ones take memory
WORKERS = 2
LONGEST_ROW_BYTES = 4 * (PIXELS + 1)  # three digits and a comma, 785 times


@dataclass(frozen=True)
class CsvContent:
    """A digits CSV as arrays.

    Attributes:
        pixels: uint8 (n, 784), C-contiguous, 0 = paper, 255 = ink.
        labels: int64 (n,), 0 to 9; None for a test file.
        sha256: hash of the bytes that were read.
        notes: departures from Kaggle's own form that were accepted.
        stat: the file's state while it was read.
    """

    pixels: np.ndarray
    labels: np.ndarray | None
    sha256: str
    notes: tuple[str, ...]
    stat: os.stat_result


class _UnfitBlockError(ValueError):
    """The fast path will not vouch for a block; the careful one shall say why."""


def read_csv_content(path: Path, with_labels: bool) -> CsvContent:
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
            cells, notes = _read_cells(path, file, header, digest)
        except (pa.ArrowInvalid, _UnfitBlockError) as error:
            _check_unchanged(path, before, os.fstat(file.fileno()))
            check_every_cell(path, header)
            raise InputError(f"{path} must be a plain CSV, but {' '.join(str(error).split())[:200]}.") from error
        _check_unchanged(path, before, os.fstat(file.fileno()))
    pixels, labels = cells
    if labels is not None and labels.size and labels.max() >= CLASSES:
        check_every_cell(path, header)
    if not len(pixels):
        raise InputError(f"{path} must hold rows, but holds its header only: fetch it again.")
    return CsvContent(pixels, labels, digest.hexdigest(), header.notes + notes, before)


def physical_memory_bytes() -> int:
    """The machine's memory, as the system reports it."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize  # Windows promises no page that it has not got: there the allocation itself fails
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_fits_memory(path: Path, file_bytes: int) -> None:
    """Refuse a table whose rows cannot be fewer than this machine's memory takes.

    Raises:
        InputError: naming the file.
    """
    if file_bytes // LONGEST_ROW_BYTES * PIXELS > physical_memory_bytes():
        raise InputError(f"{path} must fit in memory, but its {file_bytes} bytes do not: cut it into smaller files.")


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result) -> None:
    for field in ("st_size", "st_mtime_ns", "st_ctime_ns"):
        if getattr(before, field) != getattr(after, field):
            raise InputError(f"{path} must not change while it is read, but did: wait for its writer, then try again.")


def _read_cells(
    path: Path, file: BinaryIO, header: Header, digest: "_Hash"
) -> tuple[tuple[np.ndarray, np.ndarray | None], tuple[str, ...]]:
    pixels = _allocate_pixels(path, os.fstat(file.fileno()).st_size, len(header.names))
    labels: list[np.ndarray] = []
    rows = lines = quotes = 0
    order = np.array(header.pixel_at)
    in_order = slice(order[0], order[0] + PIXELS) if (np.diff(order) == 1).all() else order  # a slice copies faster
    for cells, block_lines, block_quotes in _iterate_parsed(file, header, digest):
        if rows + len(cells) > len(pixels):
            raise _UnfitBlockError("it holds more rows than its size allows")  # it grew, which the caller finds out
        pixels[rows : rows + len(cells)] = cells[:, in_order]
        if header.label_at is not None:
            labels.append(cells[:, header.label_at].astype(np.int64))
        rows, lines, quotes = rows + len(cells), lines + block_lines, quotes + block_quotes
    pixels.resize((rows, PIXELS), refcheck=False)  # gives the untouched tail back
    notes = ["its numbers are quoted"] * (quotes > 0)
    blank_lines = header.lines - 1 + lines - rows
    notes += [f"blank lines were skipped: {blank_lines}"] * (blank_lines > 0)
    if header.label_at is None:
        return (pixels, None), tuple(notes)
    return (pixels, np.concatenate(labels) if labels else np.empty(0, np.int64)), tuple(notes)


def _allocate_pixels(path: Path, file_bytes: int, columns: int) -> np.ndarray:
    """Room for as many rows as the file could hold: pages that are never written take no memory."""
    check_fits_memory(path, file_bytes)
    try:
        return np.empty((file_bytes // (2 * columns) + 1, PIXELS), np.uint8)
    except MemoryError:
        raise InputError(f"{path} must fit in memory, but its {file_bytes} bytes do not: cut it up.") from None


def _iterate_parsed(file: BinaryIO, header: Header, digest: "_Hash") -> Iterator[tuple[np.ndarray, int, int]]:
    """Parsed blocks in the file's order; while workers parse, this thread reads and hashes the next."""
    waiting: deque[Future[tuple[np.ndarray, int, int]]] = deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        for block in _iterate_blocks(file, digest):
            waiting.append(pool.submit(_parse_block, block, header.names))
            if len(waiting) > WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _iterate_blocks(file: BinaryIO, digest: "_Hash") -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        block += file.readline(LINE_LIMIT_BYTES)  # whole lines only
        if len(block) == BLOCK_BYTES + LINE_LIMIT_BYTES:
            raise _UnfitBlockError("a line is longer than any row")
        digest.update(block)
        yield block


def _parse_block(block: bytes, names: tuple[str, ...]) -> tuple[np.ndarray, int, int]:
    """Parse whole lines into uint8 (rows, columns); also the number of lines and of quotes."""
    import pyarrow as pa
    import pyarrow.csv

    quotes = _check_block(block)
    table = pyarrow.csv.read_csv(
        pa.BufferReader(block),
        read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.uint8()),  # refuses signs, fractions and anything above 255 by itself
            null_values=[],  # a blank or NaN is a fault, never a silent null
            check_utf8=False,
        ),
    )
    lines = block.count(b"\n") + (not block.endswith(b"\n"))
    batches = table.combine_chunks().to_batches()
    if not batches:
        return np.empty((0, len(names)), np.uint8), lines, quotes
    return batches[0].to_tensor(row_major=True).to_numpy(), lines, quotes


def _check_block(block: bytes) -> int:
    """Refuse what Arrow's reader would read too kindly (hexadecimal, `"5"6`, lone CR); return the number of quotes."""
    lone_returns = block.count(b"\r") - block.count(b"\r\n") - block.endswith(b"\r")  # the last LF may be cut off
    if lone_returns or any(byte in block for byte in (b"x", b"X", b"\xef")):
        raise _UnfitBlockError("it holds characters that no number has")
    quotes = block.count(b'"')
    if quotes:
        framed = b"\n" + block + b"\n"
        if quotes != sum(framed.count(pattern) for pattern in (b',"', b'\n"', b'",', b'"\n', b'"\r')):
            raise _UnfitBlockError("a quote stands inside a cell")
    return quotes


ROWS_AT_ONCE = 4096  # bounds memory to a few MB and gives the progress bar its steps
BAR_DELAY_SECONDS = 1
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def guard_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula and runs: what begins like one gets an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def write_pixel_csv(path: Path, pixels: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Write a train.csv (with labels) or test.csv (without).

    Args:
        path: the file to write, overwritten if it exists; callers write to a temporary place.
        pixels: uint8 (n, 784).
        labels: int (n,), 0 to 9, or None.
    """
    import pyarrow as pa
    import pyarrow.csv
    from tqdm import tqdm

    names = [f"pixel{k}" for k in range(PIXELS)]
    cells = pixels if labels is None else np.column_stack([labels.astype(np.uint8), pixels])
    schema = pa.schema([(name, pa.uint8()) for name in (names if labels is None else ["label", *names])])
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=ROWS_AT_ONCE)
    with (
        path.open("wb") as file,
        tqdm(total=len(cells), desc=path.name, unit=" rows", delay=BAR_DELAY_SECONDS, leave=False) as bar,
    ):
        file.write(",".join(schema.names).encode() + b"\n")
        with pyarrow.csv.CSVWriter(file, schema, write_options=options) as writer:
            for start in range(0, len(cells), ROWS_AT_ONCE):
                columns = np.ascontiguousarray(cells[start : start + ROWS_AT_ONCE].T)
                writer.write_batch(pa.record_batch([pa.array(column) for column in columns], schema=schema))
                bar.update(columns.shape[1])


def write_label_csv(path: Path, labels: np.ndarray) -> None:
    """Write `ImageId,Label` with ids 1 to n: a test_labels.csv, or with zeros a sample_submission.csv.

    Args:
        path: the file to write, overwritten if it exists.
        labels: int (n,), 0 to 9.
    """
    rows = [f"{number},{label}\n" for number, label in enumerate(labels.tolist(), 1)]
    path.write_text("ImageId,Label\n" + "".join(rows), encoding="utf-8", newline="\n")
