"""The figures of a finished cross-validation: its data, its course, its errors.

Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.inspection.figures import (
    FITTED_COLOUR,
    HELD_OUT_COLOUR,
    REFERENCE_COLOUR,
    are_short,
    name_classes,
    open_figure,
    save_figure,
)

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

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
