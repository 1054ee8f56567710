"""The figures of a transfer: pictures per class, the course of the fits, and what was read as what.

Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.figures import FITTED_COLOUR, HELD_OUT_COLOUR, REFERENCE_COLOUR

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

DIAGONAL_COLOUR = "#dedede"
MOST_CONFUSED = 20  # classes in a confusion matrix; of more, names and numbers could not be read
MOST_BARS = 60
MOST_MISREAD, MISREAD_COLUMNS = 40, 8
NAME_LETTERS = 14  # of a class's name on an axis or above a picture


def plot_picture_counts(counts: dict[str, int], path: Path) -> None:
    """Draw how many pictures each class has, one bar per class, the largest first.

    Args:
        counts: pictures by the name of their class; of more than 60 classes the 60 largest are drawn.
        path: the PNG to write.
    """
    _save(_draw_picture_counts(counts), path)


def plot_transfer_curves(history: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw loss and accuracy against epochs, a line per fit.

    Args:
        history: one dict per fit and epoch with seed, part, epoch (from 1), loss and accuracy; held_out_loss and
            held_out_accuracy where some pictures are measured after every epoch.
        path: the PNG to write.
        title: one line above both panels.
    """
    _save(_draw_transfer_curves(history, title), path)


def plot_class_confusion(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Draw which class was read as which: the darker a cell off the diagonal, the more pictures.

    Args:
        labels: int (n,), 0 to classes - 1.
        predictions: int (n,), of pictures that were not fitted on, or the figure flatters.
        classes: their names; of more than 20 classes the 20 with most errors are drawn.
        path: the PNG to write.
    """
    _save(_draw_class_confusion(labels, predictions, classes), path)


def plot_misread(
    images: Sequence[np.ndarray], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], path: Path
) -> None:
    """Draw the pictures that were misread, the most confident errors first.

    Args:
        images: n of them, uint8 (height, width, 1), 0 = paper, 255 = ink; or (height, width, 3), red, green and blue.
            Only those that are drawn are asked for.
        labels: int (n,), 0 to classes - 1.
        probabilities: float32 (n, classes); at least one picture is misread.
        classes: their names.
        path: the PNG to write.
    """
    _save(_draw_misread(images, labels, probabilities, classes), path)


def _draw_picture_counts(counts: dict[str, int]) -> "Figure":
    names = sorted(counts, key=lambda name: -counts[name])[:MOST_BARS]
    figure = _open_figure(8, 1.1 + 0.3 * len(names))
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(names)), [counts[name] for name in names], color=HELD_OUT_COLOUR)
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.set_yticks(np.arange(len(names)), [_shorten(name) for name in names])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlabel("pictures")
    axes.set_ylabel("class" if len(names) == len(counts) else f"the {len(names)} largest of {len(counts)} classes")
    axes.xaxis.set_major_locator(_whole_ticks())
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.margins(x=0.08, y=0.02)  # room for the count beside the longest bar
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_transfer_curves(history: Sequence[dict[str, Any]], title: str) -> "Figure":
    fits: dict[tuple[Any, Any], list[dict[str, Any]]] = {}
    for row in history:
        fits.setdefault((row["seed"], row["part"]), []).append(row)
    figure = _open_figure(10, 4.6)
    figure.suptitle(title)
    for axes, name, unit in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("cross-entropy", "accuracy"), strict=True
    ):
        for key, colour, words in (
            (name, FITTED_COLOUR, f"fitted pictures and their copies, if any: {len(fits)} fit{'s' * (len(fits) > 1)}"),
            (f"held_out_{name}", HELD_OUT_COLOUR, "held-out pictures"),
        ):
            for number, rows in enumerate(fits.values()):
                if key in rows[0]:
                    points = [(row["epoch"], row[key]) for row in rows]
                    label = None if number else words
                    axes.plot(*zip(*points, strict=True), color=colour, marker=".", linewidth=1, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(_whole_ticks())
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.grid(alpha=0.3)
    # below the panels: curves that rise and fall leave no corner free for certain
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_class_confusion(labels: np.ndarray, predictions: np.ndarray, classes: Sequence[str]) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    errors = counts - np.diag(counts.diagonal())
    chosen = np.arange(len(classes))
    if len(classes) > MOST_CONFUSED:
        chosen = np.sort(np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MOST_CONFUSED])
    counts, shown = counts[np.ix_(chosen, chosen)], errors[np.ix_(chosen, chosen)]
    side = max(4.5, 2 + 0.5 * len(chosen))
    figure = _open_figure(side, side)
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("errors", ["white", REFERENCE_COLOUR])
    # without the diagonal, next to which no error would show
    cells = np.ma.masked_array(shown, np.eye(len(chosen), dtype=bool))
    axes.imshow(cells, cmap=colours.with_extremes(bad=DIAGONAL_COLOUR), vmin=0, vmax=max(1, int(shown.max())))
    for label, prediction in np.argwhere(counts):  # black, which the darkest cell still sets off
        axes.text(prediction, label, f"{counts[label, prediction]:,}", ha="center", va="center", fontsize=11)
    part = "" if len(chosen) == len(classes) else f"\nthe {len(chosen)} of {len(classes)} classes with most errors"
    axes.set_title(f"errors: {errors.sum():,} of {len(labels):,} pictures{part}", fontsize="large")
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    names = [_shorten(classes[label]) for label in chosen.tolist()]
    axes.set_xticks(np.arange(len(chosen)), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(np.arange(len(chosen)), names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(len(chosen) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=DIAGONAL_COLOUR)
    axes.tick_params(which="both", length=0)
    return figure


def _draw_misread(
    images: Sequence[np.ndarray], labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> "Figure":
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    shown = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")[:MOST_MISREAD]]
    columns = min(MISREAD_COLUMNS, max(4, len(shown)))
    lines = -(-len(shown) // columns)
    figure = _open_figure(1.5 * columns, 0.9 + 2 * lines)
    part = "" if len(shown) == len(wrong) else f", the {len(shown)} most confident"
    figure.suptitle(f"{len(wrong):,} of {len(labels):,} pictures misread{part};\nin brackets the probability")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for axes, row in zip(panels, shown.tolist(), strict=False):
        read = int(probabilities[row].argmax())
        image = images[row]
        if image.shape[-1] == 1:
            axes.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=255)
        else:
            axes.imshow(image)
        names = _shorten(classes[int(labels[row])]), _shorten(classes[read])
        axes.set_title(f"{names[0]},\nread {names[1]}\n({probabilities[row, read]:.2f})", fontsize=11)
    return figure


def _shorten(name: str) -> str:
    """A class's name as it fits beside a bar; a dollar sign would begin a formula."""
    short = name if len(name) <= NAME_LETTERS else f"{name[: NAME_LETTERS - 1]}…"
    return short.replace("$", r"\$")


def _whole_ticks() -> "MaxNLocator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)  # even where there is one epoch


def _open_figure(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)
