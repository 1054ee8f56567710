"""The fast reading of a digits CSV: blocks of whole lines, parsed side by side straight into bytes."""

import hashlib
import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from digit_recognizer.data.csv_header import CLASSES, LINE_LIMIT_BYTES, PIXELS, Header, open_regular_file, read_header
from digit_recognizer.data.table_diagnosis import check_every_cell
from digit_recognizer.errors import InputError

if TYPE_CHECKING:
    from hashlib import _Hash

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

    with open_regular_file(path) as file:
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
