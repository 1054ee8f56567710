"""Rows whose given label is probably wrong, found by confident learning (Northcutt, Jiang and Chuang 2021)."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.tables import TrainTable, load_train_table, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, write_atomically
from digit_recognizer.training.comparing import find_judged_rows, load_run_of

SHEET_LIMIT, SHEET_COLUMNS = 60, 10  # six rows of ten: a page that one looks through in a minute
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


def examine_run(path: Path, input_dir: Path, output: Path | None) -> str:
    """List and draw a run's suspected label errors.

    Args:
        path: a run folder.
        input_dir: folder that holds the train.csv which it was made from.
        output: folder for label_errors.csv and label_errors.png, which are written anew if they are there; None for
            `<run>/examination`.

    Returns:
        A table for the screen.

    Raises:
        InputError: if the run is of other data or part of it, or the folder cannot be written to.
    """
    folder = path / "examination" if output is None else output
    check_writable_folder(folder)
    train = load_train_table(input_dir / "train.csv", input_dir / ".cache")
    run = load_run_of(path, train)
    if not find_judged_rows(run.oof_probabilities).any():
        raise InputError(f"{path} must have held out rows, but its out-of-fold probabilities hold none: run it anew.")
    errors = find_label_errors(run.oof_probabilities, train.labels)
    write_label_errors(errors, train, folder / "label_errors.csv")
    plot_label_errors(errors, train.pixels, folder / "label_errors.png")
    return _format(errors, train, folder)


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


def plot_label_errors(errors: LabelErrors, pixels: np.ndarray, path: Path) -> None:
    """Draw a contact sheet of the most suspicious rows: data row, label → suggestion.

    Args:
        errors: the first `SHEET_LIMIT` are drawn.
        pixels: uint8 (n, 784), of the whole train.csv.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    drawn = min(len(errors.rows), SHEET_LIMIT)
    sheet_rows = max(1, -(-drawn // SHEET_COLUMNS))
    figure = Figure(figsize=(1.2 * SHEET_COLUMNS, 0.7 + 1.45 * sheet_rows), layout="constrained")
    figure.suptitle(
        f"suspected label errors: {drawn:,} of {len(errors.rows):,}, the most suspicious first; "
        "data row of train.csv, label → suggestion"
    )
    panels = figure.subplots(sheet_rows, SHEET_COLUMNS, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    images = pixels_to_images(pixels)[errors.rows[:drawn], ..., 0]
    for number, (axes, image) in enumerate(zip(panels, images, strict=False)):
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axes.set_title(
            f"{errors.rows[number] + 1:,}\n{errors.labels[number]} → {errors.suggestions[number]}", fontsize="small"
        )
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _has_known_lines(train: TrainTable) -> bool:
    return not any(note.startswith("blank lines") for note in train.notes)


def _format(errors: LabelErrors, train: TrainTable, folder: Path) -> str:
    """The table that ends the command."""
    left_out = len(train.labels) - errors.judged
    rows: list[Sequence[str]] = [
        ("suspected label errors", f"{len(errors.rows):,} of {errors.judged:,} rows that were held out"),
    ]
    if left_out:
        rows.append(("never held out, left out", f"{left_out:,} rows"))
    for number in range(min(1, len(errors.rows))):
        row = errors.rows[number]
        line = f", line {row + 2:,}" if _has_known_lines(train) else ""
        rows.append((
            "the most suspicious",
            f"data row {row + 1:,}{line} of {train.path}: label {errors.labels[number]} "
            f"({errors.label_probabilities[number]:.4f}), suggested {errors.suggestions[number]} "
            f"({errors.suggested_probabilities[number]:.4f})",
        ))  # fmt: skip
    rows += [("list", str(folder / "label_errors.csv")), ("contact sheet", str(folder / "label_errors.png"))]
    lines = [f"  {name:<28}{value}" for name, value in rows]
    return "\n".join([*lines, "  These are suspects: look at each before you change a label."])
