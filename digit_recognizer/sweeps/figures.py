"""The figures that only a sweep has: accuracy against a parameter, importance, and ensembles. Each returns a figure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from digit_recognizer.reporting.plots import ACCENT_COLOUR, HELD_OUT_COLOUR, TRAINING_COLOUR, open_figure, shorten
from digit_recognizer.sweeps.statistics import ACCURACY, BASE, SEED, build_frame, number_bases
from digit_recognizer.sweeps.study import Range, Study, Value, are_numbers, find_reported, name_parameter, show_value
from digit_recognizer.sweeps.trials import TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

JITTER = 0.022  # of the axis, to either side: equal points would hide one another
GOLDEN = 0.6180339887  # its multiples fill an interval evenly, and need no chance
LEAST_MARGIN = 1e-3  # values that are all but equal must not look far apart
LOG_FROM = 30  # times the lowest value: on an even axis the lower ones would lie on one another
NAME_LETTERS = 24
LONG_LABEL = 50  # characters, of which two do not fit side by side under the figure
MARKERS, LINES = "osD^vP*X", ("-", "--", ":", "-.")


def plot_parameter(study: Study, records: Sequence[TrialRecord], parameter: str) -> "Figure | None":
    """Draw accuracy against the values of a parameter: a dot per run, and the mean over the seeds.

    Runs are shown that another run equals in all but this parameter. Where parameters vary one at a time, the turns of
    the other parameters would raise or lower one value alone. If there are no such runs, all are shown.

    Args:
        study: of which this is a parameter.
        records: of its trials.
        parameter: its name.

    Returns:
        None if no run has finished with the parameter.
    """
    runs = build_frame(records)
    if parameter not in runs:
        return None
    runs = number_bases(runs, parameter).dropna(subset=[parameter])
    varied = runs.groupby(BASE)[parameter].transform("nunique") > 1
    runs = runs[varied] if varied.any() else runs
    places = _Places(study, parameter, runs[parameter].tolist())
    means = runs.groupby([parameter, SEED], sort=False)[ACCURACY].mean()
    done = [record.configuration for record in records if record.state == "done" and record.accuracy is not None]
    shown = [done[place] for place in runs.index]  # the frame has the same order
    found = {(one[parameter], reported.accuracy) for one in shown for reported in find_reported(study, one)}
    reported = sorted(found, key=str)
    figure = open_figure(7, 3.8)
    axes = figure.subplots()
    axes.plot(
        places.jitter(runs[parameter]), runs[ACCURACY], ".", color=TRAINING_COLOUR, alpha=0.6, markersize=9,
        markeredgewidth=0, label="a run", zorder=2,
    )  # fmt: skip
    if places.values:
        _draw_means(axes, places, means)
    if reported:
        axes.plot(
            places.locate([value for value, _ in reported]), [accuracy for _, accuracy in reported], "D",
            color=ACCENT_COLOUR, fillstyle="none", markersize=7, markeredgewidth=1.6, label="the seed report", zorder=4,
        )  # fmt: skip
    margin = max(0.04 * np.ptp(axes.dataLim.intervaly), LEAST_MARGIN)
    axes.set_ylim(axes.dataLim.y0 - margin, axes.dataLim.y1 + margin)
    places.set_axis(axes)
    axes.set_xlabel(shorten(name_parameter(parameter), 60) + (" (logarithmic)" if places.log else ""))
    axes.set_ylabel("accuracy on held-out rows")
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    # below the panel: points leave no corner free for certain
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_means(axes: "Axes", places: "_Places", means: pd.Series) -> None:
    by_value = means.groupby(level=0, sort=False)
    found = [value for value in places.values if value in by_value.groups]
    mean, low, high = (getattr(by_value, name)()[found].to_numpy() for name in ("mean", "min", "max"))
    several = bool((by_value.size() > 1).any())
    axes.errorbar(
        places.locate(found), mean, yerr=[mean - low, high - mean] if several else None,
        fmt="o-" if places.numbers else "o", color=HELD_OUT_COLOUR, capsize=6, linewidth=1.2, elinewidth=2,
        capthick=2, markersize=7, zorder=3,
        label="mean over the seeds, lowest to highest seed" if several else "mean of the runs",
    )  # fmt: skip


class _Places:
    """Where the values of a parameter stand on the axis: numbers at themselves, others in their order."""

    def __init__(self, study: Study, parameter: str, found: Sequence[Value]) -> None:
        drawn, self.values = study.ranges.get(parameter), study.list_values(parameter)
        self.numbers = are_numbers([*self.values, *found])
        if self.numbers:
            self.values.sort()
        low, high = (min(map(float, found)), max(map(float, found))) if self.numbers else (0.0, 0.0)
        self.log = drawn.log if isinstance(drawn, Range) else 0 < LOG_FROM * low <= high

    def locate(self, values: "Sequence[Value] | pd.Series") -> np.ndarray:
        """Positions on the axis."""
        return np.array([float(value) if self.numbers else self.values.index(value) for value in values], float)

    def jitter(self, values: "Sequence[Value] | pd.Series") -> np.ndarray:
        """Positions moved a little, each in its own way, and the same way each time."""
        places = np.log(self.locate(values)) if self.log else self.locate(values)
        moved = places + JITTER * (np.ptp(places) or 1) * (2 * (GOLDEN * np.arange(len(places)) % 1) - 1)
        return np.asarray(np.exp(moved) if self.log else moved)

    def set_axis(self, axes: "Axes") -> None:
        """Scale and ticks."""
        if self.log:
            axes.set_xscale("log")
        if self.values:
            axes.set_xticks(self.locate(self.values), [shorten(show_value(one), NAME_LETTERS) for one in self.values])
            axes.set_xticks([], minor=True)
        if not self.numbers:
            axes.set_xlim(-0.5, len(self.values) - 0.5)


def plot_importance(shares: dict[str, float]) -> "Figure":
    """Draw the share of the configurations' variance that each parameter explains, the largest on top.

    Args:
        shares: by parameter, 0 to 1, the largest first.
    """
    figure = open_figure(8, 1.2 + 0.45 * len(shares))
    axes = figure.subplots()
    bars = axes.barh(np.arange(len(shares)), list(shares.values()), color=HELD_OUT_COLOUR)
    axes.bar_label(bars, fmt="{:.2f}", padding=4)
    axes.set_yticks(np.arange(len(shares)), [shorten(name_parameter(name), NAME_LETTERS) for name in shares])
    axes.invert_yaxis()  # the largest on top
    axes.set_xlim(0, 1.08)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel("share of what the parameters explain one by one")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_ensembles(scores: pd.DataFrame) -> "Figure":
    """Draw accuracy against the number of models that are averaged, a line per configuration.

    Args:
        scores: columns configuration, models, accuracy, lowest and highest, of at most eight configurations.
    """
    labels = list(dict.fromkeys(scores.configuration))
    columns = 2 if max(map(len, labels)) <= LONG_LABEL else 1
    figure = open_figure(9, 4 + 0.2 * len(labels) / columns)
    axes = figure.subplots()
    for place, label in enumerate(labels):
        own = scores[scores.configuration == label]
        bars = np.maximum([own.accuracy - own.lowest, own.highest - own.accuracy], 0)
        axes.errorbar(
            own.models + 0.03 * (place - len(labels) / 2), own.accuracy, yerr=bars, label=label, capsize=2,
            color=str(0.1 + 0.5 * place / len(labels)) if place % 2 else HELD_OUT_COLOUR,
            marker=MARKERS[place % len(MARKERS)], linestyle=LINES[place % len(LINES)], linewidth=1,
        )  # fmt: skip
    axes.set_xlabel("models that are averaged")
    axes.set_ylabel("accuracy on held-out rows")
    axes.set_xticks(sorted(set(scores.models)))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small")
    return figure
