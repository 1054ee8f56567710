"""The slow, careful reading of a CSV that the fast one refused: where is the first bad cell, and what is wrong."""

import csv
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from digit_recognizer.data.csv_header import CLASSES, LINE_LIMIT_BYTES, Header, open_regular_file
from digit_recognizer.errors import InputError

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
    with open_regular_file(path) as file:
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
