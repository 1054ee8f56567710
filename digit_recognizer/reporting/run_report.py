"""What an examination says of a run's data, score and course: sections with their figures, ready to be read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.reporting.held_out import (
    HELD_OUT_COURSE,
    ExaminedRun,
    HeldOutScore,
    load_history,
)
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import (
    format_range,
    plot_class_counts,
    plot_learning_curves,
    plot_samples,
    save_figure,
)
from digit_recognizer.training.cross_validation import evaluate


def describe_data(train: TrainTable, names: Sequence[str], folder: Path) -> Section:
    """The first examples of each class, and how many rows each has."""
    counts = np.bincount(train.labels, minlength=len(names))
    save_figure(plot_samples(pixels_to_images(train.pixels), train.labels, names=names), folder / "samples.png")
    save_figure(plot_class_counts(train.labels, names), folder / "class_counts.png")
    most, least = names[int(counts.argmax())], names[int(counts.argmin())]
    shares = (
        f"The most frequent class is {most} ({counts.max():,} rows), the rarest {least} ({counts.min():,})."
        if counts.max() > counts.min()
        else f"Every class has {counts.max():,} rows."
    )
    ink = train.pixels.any(axis=0).sum()
    return Section(
        "The data at a glance",
        (
            f"{len(train.labels):,} rows of {train.path.name}, each a picture of 28 × 28 pixels with values from 0 "
            f"(paper) to 255 (ink). {shares} {784 - ink:,} of the 784 pixels are paper in every row.",
        ),
        (
            FigureFile(folder / "samples.png", "The first twelve examples of each class, one class to a line."),
            FigureFile(
                folder / "class_counts.png",
                f"Rows per class, from {counts.min():,} to {counts.max():,}.",
            ),
        ),
    )


def describe_score(run: ExaminedRun, labels: np.ndarray) -> tuple[HeldOutScore, Section]:
    """The accuracy on rows that no net was fitted on, and which rows these are."""
    score = evaluate(run.run.oof_probabilities, labels, run.fold_of_row)
    low, high = score.oof_accuracy_interval
    held_out, left = int((run.fold_of_row >= 0).sum()), int((run.fold_of_row < 0).sum())
    wrong = [int((run.predictions != labels)[run.fold_of_row == fold].sum()) for fold in run.folds]
    paragraphs = [
        f"{score.oof_accuracy:.5f} of {held_out:,} held-out rows were read rightly ({sum(wrong):,} were not); the 95 % "
        f"interval is {low:.5f} to {high:.5f}. It covers the chance of these rows, not that of another seed.",
        _tell_what_was_held_out(run, left),
        f"Expected calibration error: {score.calibration_error:.5f} (0 where the net is right as often as it claims).",
    ]
    if ineligible := run.run.metrics["ineligible"]:
        paragraphs.append(f"INELIGIBLE FOR THE COMPETITION: {ineligible}.")
    table = [("fold", "rows held out", "misread", "accuracy")]
    for fold, errors, accuracy in zip(run.folds, wrong, score.fold_accuracies, strict=True):
        table.append((str(fold + 1), f"{(run.fold_of_row == fold).sum():,}", f"{errors:,}", f"{accuracy:.5f}"))
    found = HeldOutScore(score.oof_accuracy, low, high, held_out, len(labels))
    return found, Section("How well it reads what it has not seen", tuple(paragraphs), table=tuple(table))


def describe_course(run: ExaminedRun, labels: np.ndarray, folder: Path) -> Section:
    """Loss and accuracy over the epochs, against held-out rows where the run measured them."""
    title, path = "Loss and accuracy over the epochs", folder / "course.png"
    try:
        history = load_history(run)
    except InputError as error:
        return Section(title, (f"No curves: {error}",))
    accuracies = evaluate(run.run.oof_probabilities, labels, run.fold_of_row).fold_accuracies
    last = {row["fold"]: row for row in history}
    reached = f"training loss {format_range([row['loss'] for row in last.values()])} in the last epoch"
    if all(name in history[0] for name in HELD_OUT_COURSE) and len(run.folds) == 1:
        save_figure(plot_learning_curves(history, f"{run.name}: learning curves"), path)
        gap = history[-1]["accuracy"] - history[-1]["held_out_accuracy"]
        paragraph = (
            f"{len(history)} epochs; {reached}. The held-out rows were measured after every epoch and steered nothing. "
            f"At the end training accuracy less held-out accuracy is {gap:+.4f}; it is measured while the weights "
            "still move, on augmented images and under dropout where the run uses them, so it may well be the lower."
        )
        caption = "Cross-entropy and accuracy after each epoch, on the rows being fitted and on held-out rows."
    else:
        save_figure(plot_learning_curves(history, f"{run.name}: learning curves", final_accuracies=accuracies), path)
        paragraph = (
            f"{len(run.folds)} nets, one per fold; {reached}. Cross-validation measures its held-out rows once, after "
            "the last epoch: these are the markers. A curve of them over the epochs is what train draws."
        )
        caption = (
            "Training loss and training accuracy over the epochs, a line per fold; markers show held-out accuracy "
            f"after the last epoch, {format_range(accuracies)}."
        )
    return Section(title, (paragraph,), (FigureFile(path, caption),))


def _tell_what_was_held_out(run: ExaminedRun, left: int) -> str:
    words = (
        f"{left:,} rows were never held out: the net was fitted on them, and nothing is said of them here."
        if left
        else "Every row was held out once, and read by a net that had not been fitted on it."
    )
    if "duplicates" in run.run.metrics:
        words += " Near-duplicates of a row share its fold."
    if run.settings.get("patience") or run.settings.get("schedule") == "plateau":
        words += " What steered the training was a slice of the rows being fitted, not these."
    return words
