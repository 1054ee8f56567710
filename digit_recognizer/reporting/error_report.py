"""What an examination says of a run's errors: sections with their figures, ready to be read."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.evaluation.predictions import find_held_out_rows
from digit_recognizer.io import write_atomically
from digit_recognizer.reporting.held_out import (
    CHANCE,
    ExaminedRun,
    Misreadings,
    find_misreadings,
    list_held_out_folds,
    plot_misreadings,
)
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import are_short, draw_contact_sheet, save_figure
from digit_recognizer.reporting.run_report import plot_confusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Rows that a net finds hard, and those that it misreads without a doubt, each as a sheet of images.
#
# Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.

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
    judged = np.flatnonzero(find_held_out_rows(probabilities))
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
    judged = np.flatnonzero(find_held_out_rows(probabilities))
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
        f"the {len(hardest):,} hardest of {find_held_out_rows(probabilities).sum():,} held-out rows: their label got the "
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


# Rows whose given label is probably wrong, found by confident learning (Northcutt, Jiang and Chuang 2021).

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
    judged = np.flatnonzero(find_held_out_rows(oof))
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


SHOWN_PAIRS, SHOWN_LOST, SHOWN_ROWS = 15, 8, 10  # in tables and sentences that one reads through


def describe_confusions(run: ExaminedRun, labels: np.ndarray, folder: Path) -> Section:
    """Which class was read as which."""
    judged = run.fold_of_row >= 0
    given, read = labels[judged], run.run.oof_probabilities[judged].argmax(axis=1)
    names = run.class_names
    plot_confusion(given, read, folder / "confusion.png", names)
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (given, read), 1)
    errors = counts - np.diag(counts.diagonal())
    pair = " read as ".join(names[label] for label in np.unravel_index(errors.argmax(), errors.shape))
    costliest = (
        f"The costliest pair is {pair}, {errors.max():,} of {errors.sum():,} errors."
        if errors.any()
        else "No row was misread."
    )
    table = [("class", "rows", "read rightly", "most often read as", "also read so, wrongly")]
    for label, name in enumerate(names):
        rows, wrong = int(counts[label].sum()), errors[label]
        right = f"{counts[label, label] / rows:.4f}" if rows else "–"
        other = f"{names[wrong.argmax()]} ({wrong.max():,} rows)" if wrong.any() else "–"
        table.append((name, f"{rows:,}", right, other, f"{errors[:, label].sum():,} rows"))
    return Section(
        "Which class is read as which",
        (f"Every held-out row, by its label and by what the net read. {costliest}",),
        (FigureFile(folder / "confusion.png", f"Rows by label (down) and prediction (across). {costliest}"),),
        tuple(table),
    )


def describe_misreadings(runs: Sequence[ExaminedRun], labels: np.ndarray, folder: Path) -> tuple[Misreadings, Section]:
    """Which pairs are misread again and again, over the folds of the run and of others of the same rows."""
    folds = [fold for run in runs for fold in list_held_out_folds(run, labels)]
    names = runs[0].class_names
    found = find_misreadings(folds, len(names))
    plot_misreadings(found, folder / "misreadings.png", names)
    paragraphs = [
        "Each net is judged on the rows that it was not fitted on. A pair takes more than its share of a net's errors "
        f"where it has two or more of them, and more than {100 * (1 - CHANCE):.0f} % of chance draws would give it, "
        "were all rows and all wrong classes alike.",
    ]
    if len(folds) > 1:
        paragraphs += [
            f"{len(folds)} nets ({', '.join(run.name for run in runs)}). Read as another class again and again: "
            f"{tell_pairs(found, names)}. Chance alone would put {found.by_chance:.2f} of the 90 pairs there, or "
            "fewer.",
        ]
    else:
        paragraphs.append("One net cannot show what repeats: name further runs of the same rows by --with.")
    if found.lost:
        lost = "; ".join(f"{names[label]} in {fold}" for fold, label in found.lost[:SHOWN_LOST])
        more = f"; and {len(found.lost) - SHOWN_LOST} more" if len(found.lost) > SHOWN_LOST else ""
        paragraphs.append(f"Half or more of a class's rows were misread, which is a fit gone wrong: {lost}{more}.")
    if len(runs) > 1:
        paragraphs.append(_tell_stubborn_rows(runs, labels))
    table = [("label", "read as", "nets", "rows", "share of the label's rows")]
    for pair in found.pairs[:SHOWN_PAIRS]:
        share = f"{100 * pair.share:.2f} %"
        nets = f"{pair.exceeding} of {len(folds)}"
        table.append((names[pair.label], names[pair.prediction], nets, f"{pair.rows:,}", share))
    caption = f"In how many nets, of {len(folds)}, each pair took more than its share of the errors."
    section = Section(
        "Misread again and again",
        tuple(paragraphs),
        (FigureFile(folder / "misreadings.png", caption),),
        tuple(table) if found.pairs else (),
    )
    return found, section


def describe_hard_rows(run: ExaminedRun, train: TrainTable, folder: Path) -> Section:
    """The rows whose label got the lowest probability, and those misread with the highest."""
    images, oof, label_set = pixels_to_images(train.pixels), run.run.oof_probabilities, run.run.label_set
    names = label_set.names
    plot_hardest(images, train.labels, oof, folder / "hardest.png", names=names)
    plot_confidently_wrong(images, train.labels, oof, folder / "confidently_wrong.png", names=names)
    hardest, surest = (find(train.labels, oof, SHEET_ROWS) for find in (find_hardest, find_confidently_wrong))
    shared = len(np.intersect1d(hardest, surest))
    wrong = (oof[hardest].argmax(axis=1) != train.labels[hardest]).sum()
    paragraph = (
        f"Hard is a row whose label got next to no probability: {wrong} of the {len(hardest)} hardest were misread. "
        f"Confidently wrong is a row that was read as one other class without a doubt; {shared} of the {len(surest)} "
        f"surest errors are among the hardest as well. Look at both for {label_set.noun}s that a person would misread, "
        "and for labels that are wrong."
    )
    table = [("data row", "label", "read as", "its probability", "the label's")]
    for row in surest[:SHOWN_ROWS]:
        label, read = train.labels[row], oof[row].argmax()
        table.append((f"{row + 1:,}", names[label], names[read], f"{oof[row, read]:.4f}", f"{oof[row, label]:.4f}"))
    return Section(
        "The hardest rows, and the most confidently wrong",
        (paragraph,),
        (
            FigureFile(
                folder / "hardest.png",
                f"The {len(hardest)} held-out rows whose label got the lowest probability, the hardest first.",
            ),
            FigureFile(
                folder / "confidently_wrong.png",
                f"The {len(surest)} rows misread with the highest probability, the surest first.",
            ),
        ),
        tuple(table) if len(surest) else (),
    )


def describe_label_errors(errors: LabelErrors, train: TrainTable, names: Sequence[str], folder: Path) -> Section:
    """The rows whose label is probably wrong; label_errors.csv has them all."""
    write_label_errors(errors, train, folder / "label_errors.csv")
    plot_label_errors(errors, train.pixels, folder / "label_errors.png", names)
    table: list[tuple[str, ...]] = [("data row", "label", "suggested", "the label's", "the suggestion's")]
    for number, row in enumerate(errors.rows[:SHOWN_ROWS]):
        chances = (errors.label_probabilities[number], errors.suggested_probabilities[number])
        classes = (names[errors.labels[number]], names[errors.suggestions[number]])
        table.append((f"{row + 1:,}", *classes, *(f"{chance:.4f}" for chance in chances)))
    return Section(
        "Labels that are probably wrong",
        (
            f"{len(errors.rows):,} of {errors.judged:,} held-out rows, found by confident learning (Northcutt, Jiang "
            "and Chuang 2021): a net that had not seen them is as sure of another class as it is of that class's own "
            "rows. label_errors.csv lists all of them. They are suspects: look at each before you change a label.",
        ),
        (
            FigureFile(
                folder / "label_errors.png",
                "The most suspicious rows first; above each its data row in train.csv and label → suggestion."
                if len(errors.rows)
                else "An empty sheet: no label is suspected.",
            ),
        ),
        tuple(table) if len(errors.rows) else (),
    )


def tell_pairs(found: Misreadings, names: Sequence[str]) -> str:
    """The pairs that repeat, as one phrase: `4 as 9 (5 of 5 nets)`."""
    nets = len(found.counts)
    if nets == 1:
        return "one net cannot tell"
    pairs = [
        f"{names[pair.label]} as {names[pair.prediction]} ({pair.exceeding} of {nets} nets)"
        for pair in found.repeated[:4]
    ]
    more = len(found.repeated) - len(pairs)
    return ", ".join(pairs) + (f", and {more} more" if more else "") if pairs else "no pair in most nets"


def _tell_stubborn_rows(runs: Sequence[ExaminedRun], labels: np.ndarray) -> str:
    """How many rows every run misread, of those that every run held out."""
    judged = np.all([run.fold_of_row >= 0 for run in runs], axis=0)
    wrong = np.stack([run.run.oof_probabilities.argmax(axis=1) != labels for run in runs])[:, judged]
    return (
        f"Of {judged.sum():,} rows that each of {len(runs)} runs held out, {wrong.any(axis=0).sum():,} were misread by "
        f"one of them at least, and {wrong.all(axis=0).sum():,} by every one."
    )
