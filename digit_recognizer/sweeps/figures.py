"""The figures of how runs went and what they misread, over their seeds.

Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.reporting.plots import (
    FITTED_COLOUR,
    HELD_OUT_COLOUR,
    REFERENCE_COLOUR,
    open_figure,
    save_figure,
)
from digit_recognizer.sweeps.statistics import Course, Points, name_parameter, show_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# The figures of what varies: accuracy against each parameter's values, and what each explains.
#
# Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.

JITTER = 0.022  # of the axis, to either side: equal points would hide one another
GOLDEN = 0.6180339887  # its multiples fill an interval evenly, and need no chance
FAR_BELOW = 4.0  # times the width of the middle half: what lies deeper would press all others together
LEAST_MARGIN = 1e-3  # values that are all but equal must not look far apart
NAME_LETTERS = 24


def plot_parameter(points: Points, path: Path) -> None:
    """Draw accuracy against the values of a parameter: a dot per run, the mean over seeds with their spread.

    Args:
        points: by `collect_points`.
        path: the PNG to write.
    """
    save_figure(_draw_parameter(points), path)


def plot_importance(shares: dict[str, float], path: Path) -> None:
    """Draw the share of the settings' variance that each parameter explains, the largest on top.

    Args:
        shares: by parameter, 0 to 1, the largest first.
        path: the PNG to write.
    """
    save_figure(_draw_importance(shares), path)


def shorten(text: str, letters: int = NAME_LETTERS) -> str:
    """Text as it fits on an axis; a dollar sign would begin a formula."""
    return (text if len(text) <= letters else f"{text[: letters - 1]}…").replace("$", r"\$")


def choose_limits(runs: Sequence[float] | np.ndarray, others: Sequence[float] = ()) -> tuple[float, float]:
    """The lowest and highest accuracy that a panel shows.

    Args:
        runs: accuracies; those far below the middle half of them do not stretch the panel.
        others: accuracies that must be seen.
    """
    quarter, three_quarters = np.quantile(runs, [0.25, 0.75])
    floor = quarter - FAR_BELOW * max(three_quarters - quarter, LEAST_MARGIN)
    shown = [value for value in runs if value >= floor] + list(others)
    return float(min(shown)) - LEAST_MARGIN, float(max(shown)) + LEAST_MARGIN


def _draw_parameter(points: Points) -> "Figure":
    figure = open_figure(8, 4.8)
    axes = figure.subplots()
    places = _place(points, [value for value, _ in points.runs])
    accuracies = np.array([accuracy for _, accuracy in points.runs])
    others = [accuracy for _, accuracy in points.document]
    others += [one.mean for one in points.means.values()]
    bottom, top = choose_limits(accuracies, others)
    seen = accuracies >= bottom
    axes.plot(
        _jitter(places, points.log)[seen], accuracies[seen], ".", color=FITTED_COLOUR, alpha=0.6, markersize=9,
        markeredgewidth=0, label="a run", zorder=2,
    )  # fmt: skip
    if points.means:
        _draw_means(axes, points)
    if points.document:
        x = _place(points, [value for value, _ in points.document])
        axes.plot(
            x, [accuracy for _, accuracy in points.document], "D", color=REFERENCE_COLOUR, fillstyle="none",
            markersize=7, markeredgewidth=1.6, label="the document", zorder=4,
        )  # fmt: skip
    _mark_below(axes, places, accuracies, bottom)
    room = 0.04 if seen.all() else 0.16  # for what is said of the runs below
    axes.set_ylim(bottom - room * (top - bottom), top + 0.04 * (top - bottom))
    _set_axis(axes, points)
    axes.set_xlabel(shorten(name_parameter(points.parameter), 60) + (" (logarithmic)" if points.log else ""))
    axes.set_ylabel("accuracy on held-out rows")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # below the panel: points leave no corner free for certain
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_means(axes: "Axes", points: Points) -> None:
    values = [value for value in points.values if value in points.means]
    means = [points.means[value] for value in values]
    x, y = _place(points, values), np.array([one.mean for one in means])
    several = any(one.seeds > 1 for one in means)
    reach = np.array([[one.mean - one.lowest, one.highest - one.mean] for one in means]).T
    axes.errorbar(
        x, y, yerr=reach if several else None, fmt="o-" if points.numbers else "o", color=HELD_OUT_COLOUR, capsize=6,
        linewidth=1.2, elinewidth=2, capthick=2, markersize=7, zorder=3,
        label="mean over the seeds, lowest to highest seed" if several else "mean of the runs",
    )  # fmt: skip


def _mark_below(axes: "Axes", places: np.ndarray, accuracies: np.ndarray, bottom: float) -> None:
    """Say how many runs lie below the panel, at the place of each value."""
    for place in np.unique(places[accuracies < bottom]):
        count = int(((places == place) & (accuracies < bottom)).sum())
        lowest = accuracies[places == place].min()
        axes.annotate(
            f"{count} below\n(to {lowest:.2f})", (place, bottom), (0, -2), textcoords="offset points", ha="center",
            va="top", fontsize="small",
        )  # fmt: skip


def _set_axis(axes: "Axes", points: Points) -> None:
    if points.log:
        axes.set_xscale("log")
    if points.values:
        ticks = _place(points, points.values)
        axes.set_xticks(ticks, [shorten(show_value(value)) for value in points.values])
        axes.set_xticks([], minor=True)
    if not points.numbers:
        axes.set_xlim(-0.5, len(set(_place(points, points.values).tolist())) - 0.5)


def _place(points: Points, values: Sequence[object]) -> np.ndarray:
    """Where values stand on the axis: numbers at themselves, others in their order."""
    if points.numbers:
        return np.array([float(str(value)) for value in values])
    order = list(points.values)
    return np.array([float(order.index(value)) for value in values])  # type: ignore[arg-type]  # they are its values


def _jitter(places: np.ndarray, log: bool) -> np.ndarray:
    """The same places moved a little, each in its own way, and the same way each time."""
    moves = 2 * (GOLDEN * np.arange(len(places)) % 1) - 1
    if log:
        exponents = np.log(places)
        jittered: np.ndarray = np.exp(exponents + JITTER * (np.ptp(exponents) or 1) * moves)
        return jittered
    shifted: np.ndarray = places + JITTER * (np.ptp(places) or 1) * moves
    return shifted


def _draw_importance(shares: dict[str, float]) -> "Figure":
    figure = open_figure(8, 1.2 + 0.45 * len(shares))
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(shares)), list(shares.values()), color=HELD_OUT_COLOUR)
    axes.bar_label(bars, fmt="{:.2f}", padding=4)
    axes.set_yticks(np.arange(len(shares)), [shorten(name_parameter(name)) for name in shares])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of what the parameters explain one by one")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


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
