"""The figures of what varies in a sweep: accuracy against each parameter, and how much each explains.

Each `plot_` function writes one PNG; what it draws is made by a `_draw_` function, which tests can read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.reporting.plots import (
    ACCENT_COLOUR,
    TRAINING_COLOUR,
    VALIDATION_COLOUR,
    open_figure,
    save_figure,
)
from digit_recognizer.sweeps.statistics import Points, name_parameter, show_value

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
        _jitter(places, points.log)[seen], accuracies[seen], ".", color=TRAINING_COLOUR, alpha=0.6, markersize=9,
        markeredgewidth=0, label="a run", zorder=2,
    )  # fmt: skip
    if points.means:
        _draw_means(axes, points)
    if points.document:
        x = _place(points, [value for value, _ in points.document])
        axes.plot(
            x, [accuracy for _, accuracy in points.document], "D", color=ACCENT_COLOUR, fillstyle="none",
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
        x, y, yerr=reach if several else None, fmt="o-" if points.numbers else "o", color=VALIDATION_COLOUR, capsize=6,
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
    bars = axes.barh(np.arange(len(shares)), list(shares.values()), color=VALIDATION_COLOUR)
    axes.bar_label(bars, fmt="{:.2f}", padding=4)
    axes.set_yticks(np.arange(len(shares)), [shorten(name_parameter(name)) for name in shares])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of what the parameters explain one by one")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
