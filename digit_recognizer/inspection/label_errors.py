"""Rows whose given label is probably wrong, found by confident learning (Northcutt, Jiang and Chuang 2021)."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.contact_sheet import draw_contact_sheet
from digit_recognizer.inspection.figures import are_short, save_figure
from digit_recognizer.training.comparing import find_judged_rows

SHEET_LIMIT = 60  # six rows of ten: a page that one looks through in a minute
CSV_COLUMNS = ("data_row", "file_line", "label", "suggested", "label_probability", "suggested_probability")


@dataclass(frozen=True)
class LabelErrors:
    """Suspected label errors, the most suspicious first; all arrays have shape (k,).

    Attributes:
        rows: int64, counted from 0.
        labels, suggestions: int64, what is given and what the held-out predictions say.
        label_probabilities, suggested_probabilities: float32, of these two.
        judged: how many rows had been held out; the others were left out of account.
    """

    rows: np.ndarray
    labels: np.ndarray
    suggestions: np.ndarray
    label_probabilities: np.ndarray
    suggested_probabilities: np.ndarray
    judged: int


def find_label_errors(oof: np.ndarray, labels: np.ndarray) -> LabelErrors:
    """Find rows that a net which had not seen them confidently reads as another class than their label.

    Confident learning (arXiv 1911.00068, section 3.1): a class's threshold is the mean probability of that class over
    the rows labelled so; a row counts as the most probable class among those whose threshold it reaches. Rows that
    count as another class than their label, off the diagonal of the confident joint, are suspected, unless their label
    is the most probable class of all; that class is the suggestion. They are ranked by normalised margin: the label's
    probability less the highest other.

    Args:
        oof: float (n, classes), out-of-fold probabilities; NaN in rows that were never held out.
        labels: int (n,), 0 to classes - 1.
    """
    judged = np.flatnonzero(find_judged_rows(oof))
    probabilities, given = oof[judged], labels[judged]
    every = np.arange(len(judged))
    thresholds = np.full(oof.shape[1], np.inf)  # no row counts as a class that no row is labelled with
    for label in np.unique(given):
        thresholds[label] = probabilities[given == label, label].mean(dtype=np.float64)
    confident = np.where(probabilities >= thresholds, probabilities, -1)
    counted_as = confident.argmax(axis=1)
    predicted = probabilities.argmax(axis=1)
    suspected = (confident.max(axis=1) >= 0) & (counted_as != given) & (predicted != given)

    own = probabilities[every, given]
    others = probabilities.copy()
    others[every, given] = -1
    margins = own - others.max(axis=1)
    found = np.flatnonzero(suspected)
    found = found[np.argsort(margins[found], kind="stable")]
    return LabelErrors(
        rows=judged[found],
        labels=given[found].astype(np.int64),
        suggestions=predicted[found],
        label_probabilities=own[found],
        suggested_probabilities=probabilities[found, predicted[found]],
        judged=len(judged),
    )


def write_label_errors(errors: LabelErrors, train: TrainTable, path: Path) -> None:
    """Write one line per suspect: its data row (from 1), its line in train.csv, both labels, their probabilities.

    The header is line 1 of train.csv, so the line is the data row plus one. Where blank lines were skipped the lines
    are not known, and their column stays empty.
    """
    with (
        write_atomically(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for number, row in enumerate(errors.rows):
            line = row + 2 if _has_known_lines(train) else ""
            chances = (errors.label_probabilities[number], errors.suggested_probabilities[number])
            writer.writerow(
                [row + 1, line, errors.labels[number], errors.suggestions[number], *(f"{p:.6f}" for p in chances)]
            )


def plot_label_errors(errors: LabelErrors, pixels: np.ndarray, path: Path, names: Sequence[str] = DIGITS.names) -> None:
    """Draw a contact sheet of the most suspicious rows: data row, label → suggestion.

    Args:
        errors: the first `SHEET_LIMIT` are drawn.
        pixels: uint8 (n, 784), of the whole train.csv.
        path: the PNG to write.
        names: of the classes.
    """
    space = " " if are_short(names) else "\n"
    drawn = min(len(errors.rows), SHEET_LIMIT)
    words = [
        f"{row + 1:,}\n{names[label]}{space}→ {names[suggestion]}"
        for row, label, suggestion in zip(errors.rows, errors.labels, errors.suggestions, strict=True)
    ]
    title = (
        f"suspected label errors: {drawn:,} of {len(errors.rows):,}, the most suspicious first; "
        "data row of train.csv, label → suggestion"
    )
    images = pixels_to_images(pixels)[errors.rows[:drawn], ..., 0]
    save_figure(draw_contact_sheet(images, words[:drawn], title), path)


def tell_label_errors(
    errors: LabelErrors, train: TrainTable, names: Sequence[str] = DIGITS.names
) -> list[tuple[str, str]]:
    """How many suspects there are, and the first of them: names and values of a table for the screen."""
    left_out = len(train.labels) - errors.judged
    rows = [("suspected label errors", f"{len(errors.rows):,} of {errors.judged:,} rows that were held out")]
    if left_out:
        rows.append(("never held out, left out", f"{left_out:,} rows"))
    if len(errors.rows):
        row = errors.rows[0]
        line = f", line {row + 2:,}" if _has_known_lines(train) else ""
        rows.append((
            "the most suspicious",
            f"data row {row + 1:,}{line} of {train.path}: label {names[errors.labels[0]]} "
            f"({errors.label_probabilities[0]:.4f}), suggested {names[errors.suggestions[0]]} "
            f"({errors.suggested_probabilities[0]:.4f})",
        ))  # fmt: skip
    return rows


def _has_known_lines(train: TrainTable) -> bool:
    return not any(note.startswith("blank lines") for note in train.notes)
