"""Rows that a net finds hard, and those that it misreads without a doubt, each as a sheet of images.

Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.inspection.contact_sheet import draw_contact_sheet
from digit_recognizer.inspection.figures import are_short, save_figure
from digit_recognizer.training.comparing import find_judged_rows

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.figure import Figure

SHEET_ROWS = 40  # images on a sheet at most: four lines of ten, which one still looks at one by one


def plot_hardest(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    path: Path,
    count: int = SHEET_ROWS,
    names: Sequence[str] = DIGITS.names,
) -> None:
    """Draw the rows whose label got the lowest probability, the hardest first.

    Args:
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.
        labels: int (n,), 0 to 9.
        probabilities: float32 (n, 10), out-of-fold; NaN in rows that were never held out, which are left out.
        path: the PNG to write.
        count: rows to draw at most.
        names: of the classes.
    """
    save_figure(_draw_hardest(images, labels, probabilities, count, names), path)


def plot_confidently_wrong(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    path: Path,
    count: int = SHEET_ROWS,
    names: Sequence[str] = DIGITS.names,
) -> None:
    """Draw the rows that were misread with the highest probability, the surest first; arguments as `plot_hardest`."""
    save_figure(_draw_confidently_wrong(images, labels, probabilities, count, names), path)


def find_hardest(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Find the rows whose label got the lowest probability.

    Args:
        labels: int (n,), 0 to classes - 1.
        probabilities: float (n, classes), out-of-fold; NaN in rows that were never held out.
        count: rows to find at most.

    Returns:
        int64 (k,), rows counted from 0, the hardest first and among equals the first first; no row that was never held
        out, so k may be less than `count`.
    """
    judged = np.flatnonzero(find_judged_rows(probabilities))
    own = probabilities[judged, labels[judged]]
    hardest: np.ndarray = judged[np.argsort(own, kind="stable")[:count]].astype(np.int64)
    return hardest


def find_confidently_wrong(labels: np.ndarray, probabilities: np.ndarray, count: int) -> np.ndarray:
    """Find the rows that were misread with the highest probability of what was read.

    Args:
        labels: int (n,), 0 to classes - 1.
        probabilities: float (n, classes), out-of-fold; NaN in rows that were never held out.
        count: rows to find at most.

    Returns:
        int64 (k,), rows counted from 0, the surest first and among equals the first first; misread rows only, so k may
        be less than `count`.
    """
    judged = np.flatnonzero(find_judged_rows(probabilities))
    wrong = judged[probabilities[judged].argmax(axis=1) != labels[judged]]
    surest: np.ndarray = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:count]].astype(np.int64)
    return surest


def _draw_hardest(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    count: int,
    names: Sequence[str] = DIGITS.names,
) -> "Figure":
    hardest = find_hardest(labels, probabilities, count)
    title = (
        f"the {len(hardest):,} hardest of {find_judged_rows(probabilities).sum():,} held-out rows: their label got the "
        "lowest probability; in brackets that of what was read"
    )
    return _draw_sheet(images, labels, probabilities, hardest, title, names)


def _draw_confidently_wrong(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    count: int,
    names: Sequence[str] = DIGITS.names,
) -> "Figure":
    surest = find_confidently_wrong(labels, probabilities, count)
    title = f"the {len(surest):,} rows misread with the highest probability, which stands in brackets"
    return _draw_sheet(images, labels, probabilities, surest, title, names)


def _draw_sheet(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    rows: np.ndarray,
    title: str,
    names: Sequence[str],
) -> "Figure":
    read = probabilities[rows].argmax(axis=1)
    space = " " if are_short(names) else "\n"
    words = [
        f"label {names[labels[row]]},\nread {names[reading]}{space}({probabilities[row, reading]:.2f})"
        for row, reading in zip(rows, read, strict=True)
    ]
    return draw_contact_sheet(images[rows, ..., 0], words, title)
