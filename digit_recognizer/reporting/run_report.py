"""What an examination says of a run's data, score and course: sections with their figures, ready to be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.reporting.held_out import (
    HELD_OUT_COURSE,
    ExaminedRun,
    HeldOutScore,
    list_held_out_folds,
    load_history,
)
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import (
    FITTED_COLOUR,
    HELD_OUT_COLOUR,
    REFERENCE_COLOUR,
    are_short,
    name_classes,
    open_figure,
    plot_learning_curves,
    save_figure,
)
from digit_recognizer.training.cross_validation import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator


# The figures of a finished cross-validation: its data, its course, its errors.
#
# Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.

DIAGONAL_COLOUR = "#dedede"
LEAST_MARGIN = 1e-3  # of the y-axis: values that are all but equal must not look far apart


def plot_class_counts(labels: np.ndarray, path: Path, names: Sequence[str] = DIGITS.names) -> None:
    """Draw how many rows each class has, one bar per class with its count above.

    Args:
        labels: int (n,), 0 to 9; a class without rows has a bar of height 0.
        path: the PNG to write.
        names: of the classes.
    """
    save_figure(_draw_class_counts(labels, names), path)


def plot_samples(
    images: np.ndarray, labels: np.ndarray, path: Path, columns: int = 12, names: Sequence[str] = DIGITS.names
) -> None:
    """Draw the first examples of every class, a row of the figure per class.

    Args:
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.
        labels: int (n,), 0 to 9; a class with fewer than `columns` rows leaves gaps.
        path: the PNG to write.
        columns: examples per class, at least 1.
        names: of the classes.
    """
    save_figure(_draw_samples(images, labels, columns, names), path)


def plot_fold_curves(
    history: Sequence[dict[str, Any]], fold_accuracies: Sequence[float], path: Path, title: str
) -> None:
    """Draw training loss and accuracy against epochs, a line per fold, and what each fold's net reached at last.

    Args:
        history: one dict per fold and epoch with fold, epoch (from 1), loss and accuracy, as numbers or as the text
            that history.csv holds; other keys are ignored.
        fold_accuracies: held-out accuracy of each fold in `history`, by ascending fold, in [0, 1].
        path: the PNG to write.
        title: one line above both panels.

    Raises:
        ValueError: if there are not as many accuracies as folds.
    """
    save_figure(_draw_fold_curves(history, fold_accuracies, title), path)


def plot_confusion(
    labels: np.ndarray, predictions: np.ndarray, path: Path, names: Sequence[str] = DIGITS.names
) -> None:
    """Draw which class was read as which: the darker a cell off the diagonal, the more rows.

    Args:
        labels: int (n,), 0 to 9.
        predictions: int (n,), 0 to 9; of held-out rows, or the figure flatters.
        path: the PNG to write.
        names: of the classes.
    """
    save_figure(_draw_confusion(labels, predictions, names), path)


def _draw_class_counts(labels: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    figure = open_figure(8, 4.4)
    axes = figure.subplots()
    bars = axes.bar(np.arange(len(names)), np.bincount(labels, minlength=len(names)), color=HELD_OUT_COLOUR)
    axes.bar_label(bars, fmt="{:,.0f}", padding=2)
    name_classes(axes, names, down=False)
    axes.set_xlabel("digit" if names == DIGITS.names else "class")
    axes.set_ylabel("rows of train.csv")
    axes.yaxis.set_major_locator(_whole_ticks())
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(y=0.08)  # room for the count above the highest bar
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_samples(
    images: np.ndarray, labels: np.ndarray, columns: int, names: Sequence[str] = DIGITS.names
) -> "Figure":
    # one picture of all examples: 120 panels take eight times as long to draw
    height, width = images.shape[1:3]
    sheet = np.zeros((len(names) * height, columns * width), np.uint8)
    for label in range(len(names)):
        for column, row in enumerate(np.flatnonzero(labels == label)[:columns]):
            top, left = label * height, column * width
            sheet[top : top + height, left : left + width] = images[row, ..., 0]
    margin = 0.5 if are_short(names) else 0.15 * max(map(len, names))  # inches, for the names
    figure = open_figure(margin + 0.6 * columns, 0.6 * len(names))
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks((np.arange(len(names)) + 0.5) * height - 0.5, names, fontsize=14)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _draw_fold_curves(history: Sequence[dict[str, Any]], fold_accuracies: Sequence[float], title: str) -> "Figure":
    folds = [[row for row in history if int(row["fold"]) == fold] for fold in sorted({int(r["fold"]) for r in history})]
    epochs = [[int(row["epoch"]) for row in rows] for rows in folds]
    last_epochs = [numbers[-1] for numbers in epochs]
    figure = open_figure(10, 4.6)
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        curves = [[float(row[name]) for row in rows] for rows in folds]
        for fold, (numbers, curve) in enumerate(zip(epochs, curves, strict=True)):
            label = None if fold else "training, one line per fold"
            axes.plot(numbers, curve, color=FITTED_COLOUR, linewidth=0.8, marker=".", markersize=4, label=label)
        shown = [value for curve in curves for value in curve[len(curve) // 4 :]]
        words, reached = "training loss in the last epoch", [curve[-1] for curve in curves]
        if name == "accuracy":
            words, reached = "held-out accuracy after the last epoch", list(fold_accuracies)
            markers = axes.plot(last_epochs, reached, "D", color=HELD_OUT_COLOUR, label=words)
            markers[0].set(fillstyle="none", markersize=7)  # outlines: where folds reach the same, each stays in sight
            shown += reached
        axes.set_title(f"{words}: {_span(reached)}", fontsize="medium")
        axes.set_ylabel("training loss" if name == "loss" else name)  # training and held-out rows share the other panel
        # the first epochs would flatten all that matters
        margin = max(0.06 * (max(shown) - min(shown)), LEAST_MARGIN)
        low, high = min(shown) - margin, max(shown) + margin
        axes.set_ylim(low, high)
        axes.set_xlim(0.5, 1.02 * max(last_epochs) + 0.5)  # no marker at the edge
        axes.set_xlabel("epoch" + _tell_beyond(epochs, curves, low, high))
        axes.xaxis.set_major_locator(_whole_ticks())
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.grid(alpha=0.3)
    # below the panels: curves that rise and fall leave no corner free for certain
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_confusion(labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    errors = counts - np.diag(counts.diagonal())
    colours = LinearSegmentedColormap.from_list("errors", ["white", REFERENCE_COLOUR])
    side = 7 if are_short(names) else 8
    figure = open_figure(side, side)
    axes = figure.subplots()
    # without the diagonal, next to whose thousands no error would show
    shown = np.ma.masked_array(errors, np.eye(len(names), dtype=bool))
    axes.imshow(shown, cmap=colours.with_extremes(bad=DIAGONAL_COLOUR), vmin=0, vmax=int(errors.max()))
    for label, prediction in np.argwhere(counts):  # black, which the darkest cell still sets off
        axes.text(prediction, label, f"{counts[label, prediction]:,}", ha="center", va="center", fontsize=11)
    axes.set_title(f"errors: {errors.sum():,} of {len(labels):,} rows")
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    name_classes(axes, names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=DIAGONAL_COLOUR)
    axes.tick_params(which="both", length=0)
    return figure


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"


def _tell_beyond(epochs: list[list[int]], curves: list[list[float]], low: float, high: float) -> str:
    """What the x-label adds where a panel does not show every value; empty if it does."""
    points = [point for pair in zip(epochs, curves, strict=True) for point in zip(*pair, strict=True)]
    beyond = [epoch for epoch, value in points if not low <= value <= high]
    return f" (some values up to epoch {max(beyond)} lie beyond the panel)" if beyond else ""


def _whole_ticks() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)  # even where there is one epoch


def describe_data(train: TrainTable, names: Sequence[str], folder: Path) -> Section:
    """The first examples of each class, and how many rows each has."""
    counts = np.bincount(train.labels, minlength=len(names))
    plot_samples(pixels_to_images(train.pixels), train.labels, folder / "samples.png", names=names)
    plot_class_counts(train.labels, folder / "class_counts.png", names)
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
    wrong = [int((fold.predictions != fold.labels).sum()) for fold in list_held_out_folds(run, labels)]
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
    reached = f"training loss {_span_text([row['loss'] for row in last.values()])} in the last epoch"
    if all(name in history[0] for name in HELD_OUT_COURSE) and len(run.folds) == 1:
        plot_learning_curves(history, path, f"{run.name}: training against held-out rows")
        gap = history[-1]["accuracy"] - history[-1]["held_out_accuracy"]
        paragraph = (
            f"{len(history)} epochs; {reached}. The held-out rows were measured after every epoch and steered nothing. "
            f"At the end training accuracy less held-out accuracy is {gap:+.4f}; it is measured while the weights "
            "still move, on augmented images and under dropout where the run uses them, so it may well be the lower."
        )
        caption = "Cross-entropy and accuracy after each epoch, on the rows being fitted and on held-out rows."
    else:
        plot_fold_curves(history, accuracies, path, f"{run.name}: training, fold by fold")
        paragraph = (
            f"{len(run.folds)} nets, one per fold; {reached}. Cross-validation measures its held-out rows once, after "
            "the last epoch: these are the markers. A curve of them over the epochs is what train draws."
        )
        caption = (
            "Training loss and training accuracy over the epochs, a line per fold; markers show held-out accuracy "
            f"after the last epoch, {_span_text(accuracies)}."
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


def _span_text(values: Sequence[float]) -> str:
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"
