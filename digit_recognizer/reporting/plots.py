"""The figures that several commands draw, and the style that all figures share.

Every `plot_` function returns a Matplotlib figure; `save_figure` writes it as PNG. No display is needed. Colours mean
the same everywhere: grey is training, blue is held out, orange is what deserves a look. In grey print and for the
colour-blind they differ as well.
"""

import contextlib
import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.labels import DIGITS
from digit_recognizer.errors import require
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.io import write_atomically
from digit_recognizer.reporting.html import FigureFile

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

TRAINING_COLOUR, HELD_OUT_COLOUR, ACCENT_COLOUR, PALE_GREY = "#7a7a7a", "#0b5fa5", "#c2571a", "#dedede"
DPI = 200
WIDTH = 5  # inches, of most figures: on a telephone, 390 px wide, 10 points are 10 px then, and can be read
SHORT_NAME, LONGEST_NAME = 3, 14  # characters of a class name: up to 3 fit where a digit does, more than 14 nowhere


@contextlib.contextmanager
def default_style() -> Iterator[None]:
    """Matplotlib's own defaults, as a decorator of what draws: a matplotlibrc or a notebook's style changes no figure.

    Otherwise `text.usetex` in somebody's matplotlibrc would need LaTeX, say. One differs: no text is a formula.
    """
    matplotlib = require("matplotlib", "report")
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
    with matplotlib.rc_context({**defaults, "text.parse_math": False}):
        yield


def open_figure(width_inches: float, height_inches: float) -> "Figure":
    """An empty figure."""
    figure = require("matplotlib.figure", "report")  # not pyplot: no window, no global state
    opened: Figure = figure.Figure(figsize=(width_inches, height_inches), layout="constrained")
    return opened


@default_style()
def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, whole or not at all; an older file is replaced.

    No text in it is a formula: names of folders and classes may hold dollar signs, and bytes that are no text.
    """
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(text.get_text().encode(errors="backslashreplace").decode())
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def draw_figure(figure: "Figure", path: Path, caption: str, alt: str = "") -> FigureFile:
    """Write a figure as PNG, with the words that a page needs for it; see `FigureFile`."""
    save_figure(figure, path)
    return FigureFile(path, caption, alt)


def shorten(name: str, most: int = LONGEST_NAME) -> str:
    """A name as it fits on an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def are_short(names: Sequence[str]) -> bool:
    """Whether class names fit where a digit does."""
    return max(map(len, names)) <= SHORT_NAME


def name_axis(axes: "Axes", names: Sequence[str], *, both: bool = True) -> None:
    """Put class names along the x-axis, aslant where they are long, and with `both` along the y-axis too."""
    labels = [shorten(name) for name in names]
    axes.set_xticks(range(len(names)), labels)
    if not are_short(names):
        for text in axes.get_xticklabels():  # each name ends below its tick and none runs into the next
            text.set(rotation=40, ha="right", rotation_mode="anchor")
    if both:
        axes.set_yticks(range(len(names)), labels)


# Learning curves

MODEL_COLUMNS = ("seed", "part", "fold")  # those that are there distinguish trained models
CURVE_STYLES: dict[str, dict[str, Any]] = {
    "training": {"color": TRAINING_COLOUR, "linewidth": 0.9, "marker": ".", "markersize": 4},
    "line": {"color": HELD_OUT_COLOUR, "linewidth": 1.4, "marker": ".", "markersize": 5},
    # outlines: where models reach the same, each stays in sight
    "end": {"color": HELD_OUT_COLOUR, "linestyle": "none", "marker": "D", "fillstyle": "none", "markersize": 7},
}
PANEL_COLUMNS, TITLE_LETTERS = 2, 28  # of panels in a row, and of a line above a small panel


def tidy_history(history: "Sequence[Mapping[str, Any]] | pd.DataFrame") -> "pd.DataFrame":
    """A history, one row per trained model and epoch, as a table.

    Returns:
        Columns epoch (from 1), loss, accuracy, lr; val_loss and val_accuracy where they are known, NaN in epochs
        without them; and the columns that distinguish models. Where a history has holdout_loss and holdout_accuracy,
        they take the place of val_loss and val_accuracy, which are of a validation set there.
    """
    import pandas as pd

    frame = pd.DataFrame(history)
    for metric in ("loss", "accuracy"):
        if f"holdout_{metric}" in frame:
            frame[f"val_{metric}"] = frame[f"holdout_{metric}"]
    return frame


@default_style()
def plot_learning_curves(
    history: "Sequence[Mapping[str, Any]] | pd.DataFrame",
    title: str,
    *,
    final_accuracies: Sequence[float] = (),
    plateaus: Mapping[str, int] | None = None,
) -> "Figure":
    """Draw error, 1 - accuracy, and loss against epochs, a line per trained model.

    Both axes are logarithmic, so that late epochs, which differ by little, are seen as well as the first. An error of 0
    lies below the axis.

    Args:
        history: see `tidy_history`. The columns seed, part and fold, as far as they are there, distinguish models. With
            a column configuration there is a panel of error for each of them instead.
        title: one line above all panels.
        final_accuracies: held-out accuracy of each model after its last epoch, models in ascending order of fold: drawn
            as markers, in place of val_loss and val_accuracy.
        plateaus: epoch of a configuration from which on there is no significant gain.

    Raises:
        ValueError: if there are not as many final accuracies as models.
    """
    frame = tidy_history(history)
    if final_accuracies:
        ends = [model.index[-1] for model in _split_models(frame)]
        frame[["val_loss", "val_accuracy"]] = np.nan
        frame.loc[ends, "val_accuracy"] = np.array(final_accuracies)
    if "configuration" in frame:
        figure = _plot_configurations(frame, plateaus or {})
    else:
        figure = open_figure(WIDTH, 7)
        for axes, metric in zip(figure.subplots(2, 1), ("accuracy", "loss"), strict=True):
            _draw_curves(axes, frame, metric)
            reached, values = _find_ends(frame, metric)
            axes.set_title(f"{reached} {metric} after the last epoch: {format_range(values)}", fontsize="medium")
            axes.set_ylabel("error (1 − accuracy)" if metric == "accuracy" else "cross-entropy loss")
        figure.align_ylabels()
    figure.suptitle(shorten(title, 60))
    handles = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    # below the panels: curves that rise and fall leave no corner free for certain
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=2)
    return figure


def _plot_configurations(frame: "pd.DataFrame", plateaus: Mapping[str, int]) -> "Figure":
    """A panel of error for each configuration, all on the same axes."""
    groups = list(frame.groupby("configuration", sort=False))
    lines = -(-len(groups) // PANEL_COLUMNS)
    figure = open_figure(WIDTH, 1.2 + 2.3 * lines)
    panels = figure.subplots(lines, PANEL_COLUMNS, squeeze=False, sharex=True, sharey=True).ravel()
    for axes in panels[len(groups) :]:
        axes.remove()
    figure.supylabel("error (1 − accuracy)")
    for axes, (name, part) in zip(panels, groups, strict=False):
        _draw_curves(axes, part, "accuracy")
        if name in plateaus:
            axes.axvline(
                plateaus[name], color=ACCENT_COLOUR, linestyle=":", linewidth=2, label="no significant gain from here"
            )
        words = textwrap.wrap(str(name), TITLE_LETTERS)[:3]
        axes.set_title("\n".join(shorten(line, TITLE_LETTERS) for line in words), fontsize="medium")
        axes.xaxis.set_tick_params(labelbottom=True)
    panels[0].set_xlim(0.5, 1.02 * frame["epoch"].max() + 0.5)  # shared by all, whose last epochs may differ
    return figure


def _draw_curves(axes: "Axes", frame: "pd.DataFrame", metric: str) -> None:
    """Draw the curves of some models into one panel, accuracy as the error."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    # before the lines: it decides what of them the panel must show; 0 is a gap, not a fall to the bottom
    axes.set_yscale("log", nonpositive="mask")
    labels = {"training": "training set", "line": "held out", "end": "held out, after the last epoch"}
    for model in _split_models(frame):
        for kind, column in (("training", metric), ("line", f"val_{metric}")):
            if column in model and len(curve := model[["epoch", column]].dropna()):
                kind = "end" if kind == "line" and len(curve) == 1 else kind
                values = 1 - curve[column] if metric == "accuracy" else curve[column]
                axes.plot(curve["epoch"], values, **CURVE_STYLES[kind], label=labels.pop(kind, None))
    if np.isinf(axes.dataLim.minposy):  # nothing above 0, as where no model errs
        axes.update_datalim([(1, 1e-4), (1, 1)])
    axes.set(xlabel="epoch", xlim=(0.5, 1.02 * frame["epoch"].max() + 0.5))  # no marker at the edge
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if high > 5 * low else MaxNLocator(5))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.3g} %" if metric == "accuracy" else f"{y:.3g}")
    axes.grid(alpha=0.3)


def _split_models(frame: "pd.DataFrame") -> "list[pd.DataFrame]":
    keys = [name for name in MODEL_COLUMNS if name in frame]
    return [model for _, model in frame.groupby(keys)] if keys else [frame]


def _find_ends(frame: "pd.DataFrame", metric: str) -> tuple[str, list[float]]:
    """On which rows, and what each model reached there in its last epoch: on held-out ones if that is known."""
    known = f"val_{metric}" in frame and frame[f"val_{metric}"].notna().any()
    column = f"val_{metric}" if known else metric
    return "held-out" if known else "training", [float(model[column].iloc[-1]) for model in _split_models(frame)]


def format_range(values: Sequence[float]) -> str:
    """The lowest and the highest of some numbers: `0.9871 to 0.9902`, or one number where they are equal."""
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"


# Confusion matrix

MAX_CONFUSED = 20  # classes in a confusion matrix; of more, names and numbers could not be read


@default_style()
def plot_confusion_matrix(
    counts: np.ndarray,
    names: Sequence[str] = DIGITS.names,
    *,
    unit: str = "rows",
    note: str = "",
    framed: np.ndarray | None = None,
) -> "Figure":
    """Draw how often each class was predicted as each: the darker a cell off the diagonal, the more errors.

    Args:
        counts: (classes, classes), rows by label (down) and prediction (across), that were held out; int, or float
            where they are a mean over models. Of more than 20 classes the 20 with most errors are drawn.
        names: of the classes.
        unit: what is counted, for the title.
        note: added to the title.
        framed: bool, as `counts`: cells that get a thick frame.
    """
    from matplotlib.patches import Rectangle

    errors = counts * ~np.eye(len(counts), dtype=bool)
    whole = np.issubdtype(counts.dtype, np.integer)
    title = f"errors: {errors.sum():,.{0 if whole else 1}f} of {counts.sum():,.0f} {unit}{note}"
    chosen = np.arange(len(counts))
    if len(chosen) > MAX_CONFUSED:
        title += f"\nthe {MAX_CONFUSED} of {len(chosen)} classes with most errors"
        chosen = np.sort(np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MAX_CONFUSED])
    cells, shown = counts[np.ix_(chosen, chosen)], errors[np.ix_(chosen, chosen)]
    side = max(WIDTH, 1 + 0.4 * len(chosen) + (not are_short(names)))
    figure = open_figure(side, side)
    axes = figure.subplots()
    # without the diagonal, next to whose thousands no error would show
    axes.imshow(
        np.ma.masked_array(shown, np.eye(len(chosen), dtype=bool)), _open_colours(), vmin=0, vmax=max(shown.max(), 1e-9)
    )
    for label, prediction in np.argwhere(cells):  # black, which the darkest cell still sets off
        count = cells[label, prediction]
        words = f"{count:,.0f}" if whole or count >= 10 else f"{count:.1f}"
        axes.text(prediction, label, words, ha="center", va="center", fontsize=9)
    for label, prediction in np.argwhere(np.zeros_like(cells) if framed is None else framed[np.ix_(chosen, chosen)]):
        axes.add_patch(Rectangle((prediction - 0.5, label - 0.5), 1, 1, fill=False, linewidth=2.5, zorder=3))
    axes.set_title(title, fontsize="medium")
    axes.set(xlabel="prediction", ylabel="label")
    name_axis(axes, [names[label] for label in chosen.tolist()])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(len(chosen) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PALE_GREY)
    axes.tick_params(which="both", length=0)
    return figure


@default_style()
def plot_shared_errors(counts: np.ndarray, names: Sequence[str]) -> "Figure":
    """Draw how many rows each two models both have wrong, int (models, models), on the diagonal each by itself."""
    figure = open_figure(WIDTH, max(2.5, 1 + 0.5 * len(names)))
    axes = figure.subplots()
    axes.imshow(counts, _open_colours(), vmin=0, vmax=max(counts.max(), 1), aspect="auto")
    for row, column in np.ndindex(*counts.shape):
        weight = "bold" if row == column else "normal"
        axes.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", weight=weight)
    name_axis(axes, names)
    axes.set_title("rows that both have wrong; in bold, rows that one has", fontsize="medium")
    axes.tick_params(length=0)
    return figure


def _open_colours() -> "Colormap":
    """From white to orange; grey where there is nothing to count."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("errors", ["white", ACCENT_COLOUR]).with_extremes(bad=PALE_GREY)


# Precision and recall, and calibration


@default_style()
def plot_class_scores(precision: np.ndarray, recall: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    """Draw precision and recall of each class, float (classes,) in [0, 1], a line per class; NaN is left out."""
    from matplotlib.ticker import MaxNLocator

    figure = open_figure(WIDTH, 1.3 + 0.3 * len(names))
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.hlines(places, np.fmin(precision, recall), np.fmax(precision, recall), color=PALE_GREY, linewidth=3, zorder=1)
    axes.plot(
        recall, places, "o", color=HELD_OUT_COLOUR, markersize=7, label="recall: rows of the class that are found"
    )
    axes.plot(
        precision, places, "D", color=ACCENT_COLOUR, fillstyle="none", label="precision: predictions that are right"
    )
    axes.set_yticks(places, [shorten(name) for name in names])
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center")
    return figure


@default_style()
def plot_calibration(table: "pd.DataFrame") -> "Figure":
    """Draw a reliability diagram: the share that is right against the predicted probability, and the rows of each bin.

    The table is that of `tabulate_calibration`. Bars are 95 % intervals.
    """
    figure = open_figure(WIDTH, 5.6)
    axes, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    right = (table["accuracy"] * table["rows"]).round().astype(int)
    ends = np.array([compute_accuracy_interval(*pair) for pair in zip(right, table["rows"], strict=True)]).T
    reach = np.abs(ends - table["accuracy"].to_numpy())
    axes.plot([0, 1], [0, 1], "--", color=TRAINING_COLOUR, label="as often right as claimed")
    axes.errorbar(
        table["confidence"], table["accuracy"], reach, fmt="o", color=HELD_OUT_COLOUR, capsize=3, label="held-out rows"
    )
    axes.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    below.bar(
        table["low"], table["rows"], table["high"] - table["low"], align="edge", color=HELD_OUT_COLOUR, ec="white"
    )
    below.set(xlabel="probability of the prediction", ylabel="rows", yscale="log")
    below.set_ylim(bottom=0.5)  # where a bar of one row can be seen
    below.yaxis.set_major_formatter("{x:,.0f}")
    for panel in (axes, below):
        panel.grid(alpha=0.3)
    return figure


# The data: rows per class, and samples

SAMPLES = 12  # of each class


@default_style()
def plot_class_counts(labels: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    """Draw a bar per class with its count above; labels are int (n,), 0 to classes - 1."""
    figure = open_figure(WIDTH, 3.5)
    axes = figure.subplots()
    bars = axes.bar(np.arange(len(names)), np.bincount(labels, minlength=len(names)), color=HELD_OUT_COLOUR)
    axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=9)
    name_axis(axes, names, both=False)
    axes.set(xlabel="digit" if tuple(names) == DIGITS.names else "class", ylabel="rows of train.csv")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.margins(y=0.08)  # space for the count above the highest bar
    axes.spines[["top", "right"]].set_visible(False)
    return figure


@default_style()
def plot_class_shares(training: np.ndarray, predicted: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    """Draw the share of each class in the training labels and in the predictions of the test set, both int (n,)."""
    figure = open_figure(WIDTH, 3.5)
    axes = figure.subplots()
    places = np.arange(len(names))
    for shift, classes, colour, label in (
        (-0.2, training, TRAINING_COLOUR, "labels of train.csv"),
        (0.2, predicted, HELD_OUT_COLOUR, "predictions of test.csv"),
    ):
        shares = np.bincount(classes, minlength=len(names)) / len(classes)
        axes.bar(places + shift, shares, 0.4, color=colour, label=label)
    name_axis(axes, names, both=False)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.4g} %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@default_style()
def plot_samples(images: np.ndarray, labels: np.ndarray, names: Sequence[str] = DIGITS.names) -> "Figure":
    """Draw the first twelve examples of every class, a row of the figure per class; images are uint8 (n, 28, 28, 1)."""
    height, width = images.shape[1:3]
    cells = np.zeros((len(names), SAMPLES, height, width), np.uint8)
    for label in range(len(names)):
        rows = np.flatnonzero(labels == label)[:SAMPLES]
        cells[label, : len(rows)] = images[rows, ..., 0]
    margin = 0.4 if are_short(names) else 0.13 * max(map(len, names))  # inches, for the names
    figure = open_figure(WIDTH, (WIDTH - margin) / SAMPLES * len(names))
    axes = figure.subplots()
    axes.imshow(tile(cells.reshape(-1, height, width), SAMPLES)[0], cmap="gray_r", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks((np.arange(len(names)) + 0.5) * height - 0.5, names, fontsize=11)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


# Many small pictures in one: a panel for each takes eight times as long to draw

SHEET_COLUMNS = 5
GAP_SHARE, LINE_SHARE = 0.3, 0.21  # of a fifth's image's side: between images, and above each for a line of words
WORDS_POINTS = 10
CHARACTER_INCHES = 0.08  # of words, on average: five in a row can have eleven each
# white is zero, and both ends are dark; orange and blue differ for the colour-blind
SIGNED_COLOURS = ("#4f1d00", "#c2571a", "#ffffff", "#3f6ea8", "#08245c")
POSITIVE_COLOURS = ("#ffffff", "#9db9dc", "#3f6ea8", "#08245c")


def tile(
    pictures: np.ndarray, columns: int, above: int = 0, right: int = 0, ground: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Lay pictures, (n, height, width) or (n, height, width, 3) in colours, side by side in rows.

    `above` and `right` are pixels left free above and to the right of each, where the number is `ground`.

    Returns:
        The sheet (rows * (above + height), columns * (width + right)), in colours with 3 channels, and int (n, 2): x
        and y of the upper left pixel of each picture.
    """
    count, height, width, *channels = pictures.shape
    rows = max(1, -(-count // columns))
    cells = np.full((rows * columns, above + height, width + right, *channels), ground, pictures.dtype)
    cells[:count, above:, :width] = pictures
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    places = np.arange(count)
    corners = np.stack([places % columns * (width + right), places // columns * (above + height) + above], axis=1)
    return cells.reshape(rows * cells.shape[1], columns * cells.shape[3], *channels), corners


def label_image(
    image: str, names: Sequence[str], prediction: int, probability: float | None = None, label: int | None = None
) -> str:
    """Words above an image: its name, the prediction, which follows the label where that is another, its probability.

    Where class names are long, each has a line of its own.
    """
    gap = " " if are_short(names) else "\n"
    before = "" if label is None or label == prediction else f"{names[label]}{gap}→ "
    after = "" if probability is None else f"{gap.replace(' ', ', ')}{probability:.2f}"
    return f"{image}\n{before}{names[prediction]}{after}"


@default_style()
def plot_contact_sheet(images: np.ndarray, words: Sequence[str], title: str) -> "Figure":
    """Draw images in rows of five, or of fewer where the words above them need more space.

    Args:
        images: uint8 (n, side, side), 0 = paper, 255 = ink, or (n, side, side, 3) in colours; perhaps none.
        words: above each image; `label_image` makes them.
        title: one line above the sheet.
    """
    lines = [text.split("\n") for text in words] or [[""]]
    longest = max(map(len, itertools.chain(*lines)))
    columns = max(1, min(SHEET_COLUMNS, int(WIDTH / CHARACTER_INCHES / (longest + 1))))
    side = images.shape[1]
    gap = round(GAP_SHARE * side)
    above = gap // 2 + round(LINE_SHARE * max(map(len, lines)) * side * columns / SHEET_COLUMNS)
    sheet, corners = tile(images, columns, above, gap, ground=0 if images.ndim == 3 else 255)
    figure = open_figure(WIDTH, 0.4 + WIDTH * sheet.shape[0] / sheet.shape[1])
    figure.suptitle("\n".join(textwrap.wrap(title, 60)), fontsize="medium")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    for (x, y), text in zip(corners, words, strict=True):
        axes.text(x + side / 2, y - 1, text, ha="center", va="bottom", fontsize=WORDS_POINTS, linespacing=1.1)
    return figure


def choose_colours(*numbers: np.ndarray) -> "ScalarMappable":
    """Matplotlib's norm and colour map that take in all the numbers: 0 is white, and in the middle where some are
    negative; the darker, the further from 0.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    low, high = min(part.min() for part in numbers), max(part.max() for part in numbers)
    reach = float(max(-low, high)) or 1.0  # of zeros only: any scale will do, an empty one will not
    colours = LinearSegmentedColormap.from_list("numbers", SIGNED_COLOURS if low < 0 else POSITIVE_COLOURS)
    return ScalarMappable(Normalize(-reach if low < 0 else 0.0, reach), colours)
