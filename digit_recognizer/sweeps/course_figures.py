"""The figures of how runs went and what they misread, over their seeds.

Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.inspection.figures import (
    FITTED_COLOUR,
    HELD_OUT_COLOUR,
    REFERENCE_COLOUR,
    open_figure,
    save_figure,
)
from digit_recognizer.sweeps.courses import Course
from digit_recognizer.sweeps.parameter_figures import choose_limits, shorten

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
TITLE_LETTERS = 34  # of a line above a panel
SETTLED_AFTER = 4  # a quarter of the epochs: the first would flatten all that matters
DIAGONAL_COLOUR = "#dedede"


def plot_courses(courses: Sequence[Course], path: Path) -> None:
    """Draw learning curves, a panel per setting: the mean over its seeds in a band from the lowest to the highest.

    Args:
        courses: one to eight, of two epochs or more.
        path: the PNG to write.
    """
    save_figure(_draw_courses(courses), path)


def plot_mean_confusion(mean: np.ndarray, class_names: Sequence[str], seeds: int, path: Path) -> None:
    """Draw which class was read as which: the darker a cell off the diagonal, the more rows.

    Args:
        mean: float64 (classes, classes), rows by label and prediction, the mean over the seeds.
        class_names: one per class.
        seeds: over which the mean is taken.
        path: the PNG to write.
    """
    save_figure(_draw_mean_confusion(mean, class_names, seeds), path)


def _draw_courses(courses: Sequence[Course]) -> "Figure":
    columns = min(COLUMNS, len(courses))
    lines = -(-len(courses) // columns)
    figure = open_figure(max(6.0, 3.6 * columns), 0.9 + 2.9 * lines)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for axes, course in zip(panels, courses, strict=False):
        _draw_course(axes, course)
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in panels[len(courses) :]:
        axes.set_axis_off()
    for axes in panels[: len(courses) : columns]:
        axes.set_ylabel("accuracy")
    for axes in panels[max(0, len(courses) - columns) : len(courses)]:
        axes.set_xlabel("epoch")
    low, high = _find_limits(courses)
    panels[0].set_ylim(low, high)
    for axes, course in zip(panels, courses, strict=False):
        _tell_below(axes, course, low)
    panels[0].set_xlim(left=0.5 if max(course.held_out.shape[1] for course in courses) < 50 else 0)
    handles = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2)
    return figure


def _draw_course(axes: "Axes", course: Course) -> None:
    from matplotlib.ticker import MaxNLocator

    seeds, epochs = course.held_out.shape
    numbers = np.arange(1, epochs + 1)
    marker = "." if epochs <= 30 else None
    if len(course.fitted):
        axes.plot(numbers, course.fitted, "--", color=FITTED_COLOUR, linewidth=1.2, label="fitted rows, in training")
    if seeds > 1:
        axes.fill_between(
            numbers, course.held_out.min(axis=0), course.held_out.max(axis=0), color=HELD_OUT_COLOUR, alpha=0.25,
            linewidth=0, label="lowest to highest seed",
        )  # fmt: skip
    words = "held-out rows, mean over the seeds" if seeds > 1 else "held-out rows"
    axes.plot(numbers, course.held_out.mean(axis=0), color=HELD_OUT_COLOUR, marker=marker, linewidth=1.6, label=words)
    if course.plateau and course.plateau.epoch and not course.plateau.undecided:
        axes.axvline(
            course.plateau.epoch, color=REFERENCE_COLOUR, linestyle=":", linewidth=2,
            label="from here on no gain that the seeds can tell",
        )  # fmt: skip
    lines = textwrap.wrap(course.label, TITLE_LETTERS)
    axes.set_title("\n".join(shorten(line, TITLE_LETTERS) for line in lines[:3]), fontsize="medium")
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(alpha=0.3)


def _find_limits(courses: Sequence[Course]) -> tuple[float, float]:
    """Lowest and highest accuracy of all panels: of the held-out rows from a quarter of the epochs on."""
    settled = [course.held_out[:, course.held_out.shape[1] // SETTLED_AFTER :].ravel() for course in courses]
    low, high = choose_limits(np.concatenate(settled))
    high = max([high] + [float(course.fitted.max(initial=0)) for course in courses])
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _tell_below(axes: "Axes", course: Course, low: float) -> None:
    """Say in the panel how many runs end below it."""
    ends = course.held_out[:, -1]
    if (below := int((ends < low).sum())) > 0:
        seeds = "seed ends" if below == 1 else "seeds end"
        words = f"{below} {seeds} below, at {ends.min():.2f}"
        axes.text(0.97, 0.04, words, transform=axes.transAxes, ha="right", va="bottom")


def _draw_mean_confusion(mean: np.ndarray, class_names: Sequence[str], seeds: int) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap

    classes = len(mean)
    diagonal = np.eye(classes, dtype=bool)
    errors = np.ma.masked_array(mean, diagonal)  # next to the diagonal no error would show
    figure = open_figure(max(7.0, 2 + 0.56 * classes), max(7.0, 2 + 0.56 * classes))
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("errors", ["white", REFERENCE_COLOUR])
    axes.imshow(errors, cmap=colours.with_extremes(bad=DIAGONAL_COLOUR), vmin=0, vmax=max(float(errors.max()), 1e-9))
    for label, prediction in np.argwhere(mean):  # black, which the darkest cell still sets off
        count = mean[label, prediction]
        words = f"{count:,.0f}" if count >= 10 or seeds == 1 else f"{count:.1f}"
        axes.text(prediction, label, words, ha="center", va="center", fontsize=11)
    over = f", mean over {seeds} seeds" if seeds > 1 else ""
    axes.set_title(f"errors: {float(errors.sum()):,.{min(1, seeds - 1)}f} of {mean.sum():,.0f} held-out rows{over}")
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    names = [shorten(name, 14) for name in class_names]
    axes.set_xticks(np.arange(classes), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(np.arange(classes), names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=DIAGONAL_COLOUR)
    axes.tick_params(which="both", length=0)
    return figure
