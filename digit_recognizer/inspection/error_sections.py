"""What an examination says of a run's errors: sections with their figures, ready to be read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.inspection.examined_run import ExaminedRun, list_held_out_folds
from digit_recognizer.inspection.hard_rows import (
    SHEET_ROWS,
    find_confidently_wrong,
    find_hardest,
    plot_confidently_wrong,
    plot_hardest,
)
from digit_recognizer.inspection.label_errors import LabelErrors, plot_label_errors, write_label_errors
from digit_recognizer.inspection.misreadings import CHANCE, Misreadings, find_misreadings, plot_misreadings
from digit_recognizer.inspection.run_figures import plot_confusion
from digit_recognizer.inspection.sections import FigureFile, Section

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
    images, oof, alphabet = pixels_to_images(train.pixels), run.run.oof_probabilities, run.run.alphabet
    names = alphabet.names
    plot_hardest(images, train.labels, oof, folder / "hardest.png", names=names)
    plot_confidently_wrong(images, train.labels, oof, folder / "confidently_wrong.png", names=names)
    hardest, surest = (find(train.labels, oof, SHEET_ROWS) for find in (find_hardest, find_confidently_wrong))
    shared = len(np.intersect1d(hardest, surest))
    wrong = (oof[hardest].argmax(axis=1) != train.labels[hardest]).sum()
    paragraph = (
        f"Hard is a row whose label got next to no probability: {wrong} of the {len(hardest)} hardest were misread. "
        f"Confidently wrong is a row that was read as one other class without a doubt; {shared} of the {len(surest)} "
        f"surest errors are among the hardest as well. Look at both for {alphabet.noun}s that a person would misread, "
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
