"""CSV tables read slowly, plainly and strictly: what the package's fast reading is held against.

Leniencies, all of them deliberate: a byte order mark; CRLF for LF, cut off after CR at the very end; blank lines; whole
cells in quotes; spaces and tabs around names and numbers; zeros before a number; columns of a train or test file in any
order; pixel1 to pixel784 for pixel0 to pixel783; an index column without a name; labels of a test file, or by another
of their usual names; no header.
"""

import csv
import re

import numpy as np

LINE_LIMIT_BYTES = 1 << 16


class RefusedError(ValueError):
    """The table breaks a rule; the message says which."""


def read_reference(content: bytes, with_labels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Pixels uint8 (n, 784) and labels int64 (n,) of a train (`with_labels`) or test file."""
    names, *rows = read_rows(content)
    if is_row(names):
        demand(len(names) in (784, 785), "columns")
        rows = [names, *rows]
        firsts, lasts = ({row[end] for row in rows if row} for end in (0, -1))
        is_last = len(names) == 785 and len(firsts) == 1 < len(lasts) and lasts <= set(map(str, range(10)))
        label, pixels = ["label"] * (len(names) - 784), [f"pixel{k}" for k in range(784)]
        names = [*pixels, *label] if is_last else [*label, *pixels]
    first = 1 if "pixel784" in names and "pixel0" not in names else 0
    pixels = [f"pixel{k + first}" for k in range(784)]
    named = [name for name in ("label", "Label", "labels", "class", "target") if name in names][:1]
    names = ["label" if [name] == named else name for name in names]
    demand(not with_labels or "label" in names, "label")
    demand(
        sorted(set(names) - {"", "Unnamed: 0", "index"}) == sorted({*pixels, *["label"] * ("label" in names)}),
        "columns",
    )
    demand(len(set(names)) == len(names), "names")
    highest = {name: 9 if name == "label" else 255 for name in names}
    table = []
    for row in rows:
        demand(len(row) == len(names), "cells in a row")
        cells = [(name, cell) for name, cell in zip(names, row, strict=True) if name in {*pixels, "label"}]
        table.append({name: read_number(cell, highest[name]) for name, cell in cells})
    demand(bool(table), "rows")
    found = np.array([[row[name] for name in pixels] for row in table], np.uint8)
    if not with_labels:
        return found, None
    labels = np.array([row["label"] for row in table])
    demand(len(set(labels.tolist())) > 1, "two classes")
    return found, labels


def is_row(names: list[str]) -> bool:
    """Whether the first line is a row, of a file without a header; names 0 to 783 are a header."""
    numbers = any(names) and all(name.replace(".", "", 1).isdigit() for name in names if name)
    return numbers and not ("0" in names and len(set(names)) == len(names))


def read_label_reference(content: bytes) -> np.ndarray:
    """Labels int64 (n,) of an ImageId,Label file."""
    names, *rows = read_rows(content)
    demand(names == ["ImageId", "Label"], "header")
    demand(bool(rows), "rows")
    demand(all(len(row) == 2 for row in rows), "two cells")
    demand([row[0].strip(" \t") for row in rows] == [str(n) for n in range(1, len(rows) + 1)], "ids")
    return np.array([read_number(row[1], 9) for row in rows])


def read_rows(content: bytes) -> list[list[str]]:
    """Every line that is not blank as its cells; the first is the header, its names stripped."""
    demand(b"\0" not in content, "NUL")
    rows = []
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = line.removesuffix(b"\r")
        demand(b"\r" not in line, "carriage return")
        demand(len(line) < LINE_LIMIT_BYTES - 2, "length")
        if line:
            try:
                rows.append(next(csv.reader([line.decode("utf-8", "replace")], strict=True)))
            except csv.Error as error:
                raise RefusedError(str(error)) from error
    demand(bool(rows), "header")
    return [[name.strip(" \t") for name in rows[0]], *rows[1:]]


def read_number(cell: str, highest: int) -> int:
    digits = cell.strip(" \t")
    demand(re.fullmatch("[0-9]+", digits) is not None, "digits")
    number = int(digits.lstrip("0")[:4] or "0")
    demand(number <= highest, "range")
    return number


def demand(holds: bool, rule: str) -> None:
    if not holds:
        raise RefusedError(rule)
