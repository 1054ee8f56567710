"""Draw the figures of docs/ that come from measured tables, and its diagrams: `python benchmarks/result_figures.py`.

The tables are docs/data/*.csv. A new measurement is a new line there; the page that shows the figure names its command.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from coverage import ACCURACIES, compute_wilson  # benchmarks/coverage.py: a script's own folder is on its path
from gallery import save_picture
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from scipy.stats import binom

from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.models.__main__ import load_results
from digit_recognizer.reporting.plots import (
    ACCENT_COLOUR,
    HELD_OUT_COLOUR,
    PALE_GREY,
    TRAINING_COLOUR,
    open_figure,
)

DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA, IMAGES = DOCS / "data", DOCS / "images"
COLOURS = (ACCENT_COLOUR, HELD_OUT_COLOUR, TRAINING_COLOUR)
DARK = "#222222"
RIGHT_OF_POINT = ("resnet", "alexnet", "wide", "narrow")  # labels that would meet something on the left


def open_axes(width: float, height: float) -> Axes:
    axes: Axes = open_figure(width, height).add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def open_board(width: float, height: float) -> Axes:
    """Axes without an axis, in inches, for a diagram."""
    figure = open_figure(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return axes


def draw_time_to_accuracy() -> Axes:
    """Accuracy, on an axis of error rates, against minutes; and the models that were measured once, in grey."""
    timed = pd.read_csv(DATA / "time_to_accuracy.csv")
    axes = open_axes(7, 4.1)
    styles = {  # colour, marker, label, its place beside the last point
        "champion": (HELD_OUT_COLOUR, "o", "champion", (10, -4), "left"),
        "Deotte": (ACCENT_COLOUR, "s", "Deotte's recipe", (-10, 6), "right"),
        "digit-nets": (ACCENT_COLOUR, "^", "digit-nets' recipe", (8, -18), "left"),
    }
    for recipe, (colour, marker, label, offset, side) in styles.items():
        rows = timed[timed["recipe"] == recipe]
        # in error rates what is high in accuracy is low
        ranges = [rows["highest"] - rows["accuracy"], rows["accuracy"] - rows["lowest"]]
        axes.errorbar(rows["seconds"] / 60, 1 - rows["accuracy"], ranges, color=colour, marker=marker, capsize=2)
        end = (rows["seconds"].iloc[-1] / 60, 1 - rows["accuracy"].iloc[-1])
        epochs = " to ".join(dict.fromkeys(rows["epochs"].astype(str).iloc[[0, -1]]))
        axes.annotate(
            f"{label},\n{epochs} epochs", end, xytext=offset, textcoords="offset points", color=colour, ha=side
        )
    others = load_results().dropna(subset="accuracy")
    others = others[~others["model"].isin(["champion", "residual"])]
    minutes = others["seconds"] / 60 / others["command"].map({"cv": 5, "train": 1})
    axes.plot(minutes, 1 - others["accuracy"], ".", color=TRAINING_COLOUR)
    for name, x, accuracy in zip(others["model"], minutes, others["accuracy"], strict=True):
        offset, side = ((5, -3), "left") if name in RIGHT_OF_POINT else ((-5, -3), "right")
        style = {"fontsize": 9, "color": "#555555", "ha": side}
        axes.annotate(name, (x, 1 - accuracy), xytext=offset, textcoords="offset points", **style)
    axes.set(xscale="log", yscale="log", xlim=(0.1, 18), ylabel="accuracy on held-out rows")
    axes.set_xlabel("minutes of training on 2 CPU cores")
    axes.invert_yaxis()
    percents, ticks = (98.8, 99.0, 99.2, 99.4, 99.5, 99.6, 99.7), (0.1, 0.25, 0.5, 1, 2, 4, 8)
    axes.set_yticks([1 - percent / 100 for percent in percents], [f"{percent:.1f} %" for percent in percents])
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
    axes.grid(color="#e6e6e6")
    return axes


def draw_recipes() -> Axes:
    frame = pd.read_csv(DATA / "recipes.csv")
    errors = frame[["errors_0", "errors_1", "errors_2"]]
    frame["change"] = 100 * (errors.sum(axis=1) / errors.iloc[0].sum() - 1)
    frame = frame.iloc[1:].sort_values("change", ascending=False)
    axes = open_axes(7, 4.2)
    proved = frame["p"] <= 0.002  # twelve comparisons: 0.05 means little by itself
    axes.barh(frame["recipe"], frame["change"], color=np.where(proved, ACCENT_COLOUR, "#b9c9da"))
    for place, row in enumerate(frame.itertuples()):
        side = 0.3 if row.change > 0 else -0.3
        axes.text(row.change + side, place, f"p = {row.p:g}", va="center", ha="left" if side > 0 else "right", size=7.5)
    axes.axvline(0, color=DARK, lw=0.8)
    axes.set(xlabel="errors against the champion's recipe, %, three seeds together", xlim=(-12, 20))
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title("What one change does to the champion (orange: significant)", size=10, loc="left")
    return axes


def draw_first_search() -> Axes:
    frame = pd.read_csv(DATA / "first_search.csv").iloc[::-1]
    axes = open_axes(7, 4.2)
    axes.barh(frame["tried"], frame["errors"], color=np.where(frame["kept"] == 1, ACCENT_COLOUR, "#b9c9da"))
    for place, errors in enumerate(frame["errors"]):
        axes.text(errors + 2, place, str(errors), va="center", size=7.5)
    axes.set(xlabel="rows wrong of 23,100, one seed; chance: about 10")
    axes.tick_params(axis="y", labelsize=8)
    axes.set_title("The first search (orange: what became the champion)", size=10, loc="left")
    return axes


def draw_throughput() -> Axes:
    frame = pd.read_csv(DATA / "throughput.csv")
    axes = open_axes(7, 3.4)
    names = list(frame["model"].unique())
    labels = {
        "ours": "digit_recognizer",
        "PyTorch loop": "hand-written PyTorch loop",
        "plain Keras fit": "plain Keras fit, float32",
    }
    for turn, (contender, label) in enumerate(labels.items()):
        rows = frame[frame["contender"] == contender]
        middle = rows["images_per_second"].to_numpy()
        places = np.arange(len(names)) + 0.27 * (turn - 1)
        spread = [middle - rows["lowest"], rows["highest"] - middle]
        axes.bar(places, middle, 0.25, color=COLOURS[turn], label=label)
        axes.errorbar(places, middle, yerr=spread, fmt="none", color=DARK, lw=0.8, capsize=2)
    axes.set_xticks(range(len(names)), names)
    axes.set(ylabel="images a second")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_title("Training throughput on 2 CPU cores: median, slowest and fastest turn", size=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5)
    return axes


def draw_learning_curve() -> Axes:
    """Error rate against training rows: of each seed, and of all together."""
    frame = pd.read_csv(DATA / "learning_curve.csv")
    axes = open_axes(7, 3.4)
    for seed, rows in frame.groupby("seed"):
        rates = 100 * rows["wrong"] / rows["evaluated_rows"]
        axes.plot(rows["training_rows"], rates, color="#b9c9da", marker=".", label="one seed" if seed == 0 else None)
    total = frame.groupby("training_rows", as_index=False).sum()
    rates = 100 * total["wrong"] / total["evaluated_rows"]
    axes.plot(total["training_rows"], rates, color=HELD_OUT_COLOUR, marker="o", label="together")
    for rows, rate, wrong in zip(total["training_rows"], rates, total["wrong"], strict=True):
        style = {"ha": "center", "fontsize": 8.5, "color": HELD_OUT_COLOUR}
        axes.annotate(f"{wrong} wrong", (rows, rate), xytext=(0, 9), textcoords="offset points", **style)
    axes.set(xlabel="training rows", ylabel="held-out rows wrong, %")
    axes.set(xlim=(19_500, 39_500), ylim=(0, 1.2 * rates.max()))
    axes.set_xticks(total["training_rows"], [f"{rows:,}" for rows in total["training_rows"]])
    axes.set_title(f"The champion on {len(total)} shares of train.csv", size=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    return axes


def draw_members() -> Axes:
    frame = pd.read_csv(DATA / "members.csv").sort_values("wrong", ascending=False)
    axes = open_axes(7, 2.7)
    axes.barh(frame["run"], frame["wrong"], color=np.where(frame["run"] == "their mean", ACCENT_COLOUR, "#b9c9da"))
    for place, row in enumerate(frame.itertuples()):
        axes.text(row.wrong + 1, place, f"{row.wrong} wrong, {row.accuracy:.5f}", va="center", size=8)
    axes.set(xlabel="wrong of 42,000 out-of-fold rows", xlim=(0, 185))
    axes.set_title("Six runs, and the mean of their probabilities", size=10, loc="left")
    return axes


def draw_kills() -> Axes:
    frame = pd.read_csv(DATA / "kills.csv").iloc[::-1]
    axes = open_axes(7, 2.1)
    axes.barh(frame.iloc[:, 0], frame["kills"], color=HELD_OUT_COLOUR)
    for place, kills in enumerate(frame["kills"]):
        axes.text(kills + 1, place, str(kills), va="center", size=8)
    axes.set_title("207 kills, 29 runs, one result: what a kill left on the disk", size=10, loc="left")
    axes.set(xlabel="kills")
    return axes


def draw_handwriting() -> Axes:
    frame = pd.read_csv(DATA / "handwriting.csv").iloc[::-1]
    axes = open_axes(7, 2.2)
    axes.barh(frame["kind"], frame["right"], color=HELD_OUT_COLOUR, label="right")
    axes.barh(frame["kind"], frame["unsure"], left=frame["right"], color=PALE_GREY, label="unsure")
    for place, row in enumerate(frame.itertuples()):
        together = row.right + row.unsure + row.wrong
        axes.text(together + 0.7, place, f"{row.right} of {together}", va="center", size=8)
    axes.set_title("150 pictures by 14 writers: all right", size=10, loc="left")
    axes.set(xlabel="pictures")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    return axes


def draw_coverage() -> Axes:
    """How often two intervals hold the truth, over the accuracies that a model of digits has; 28,000 rows."""
    rows = 28_000
    axes = open_axes(7, 3)
    outcomes = np.arange(rows + 1)
    exact = np.array([compute_accuracy_interval(right, rows) for right in range(rows - 2_900, rows + 1)])
    exact = np.vstack(
        [np.tile([0.0, 0.5], (rows - 2_900, 1)), exact]
    )  # so few are right with no accuracy of this figure
    for name, (low, high), colour in (
        ("Clopper and Pearson (here)", exact.T, ACCENT_COLOUR),
        ("Wilson", compute_wilson(outcomes, rows), TRAINING_COLOUR),
    ):
        held = [binom.pmf(outcomes, rows, truth)[(low <= truth) & (truth <= high)].sum() for truth in ACCURACIES[::2]]
        axes.plot(100 - 100 * ACCURACIES[::2], 100 * np.array(held), color=colour, lw=1.1, label=name)
    axes.axhline(95, color=DARK, lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="true error, %", ylabel="intervals that\nhold it, %")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_title("95 % intervals of 28,000 rows: how often each holds the truth", size=10, loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    return axes


def box(axes: Axes, place: tuple[float, float], size: tuple[float, float], words: str, colour: str = "#d5e5f5") -> None:
    axes.add_patch(FancyBboxPatch(place, *size, "round,pad=0,rounding_size=0.06", facecolor=colour, edgecolor="#8a8a8a",
                                  lw=0.7))  # fmt: skip
    axes.text(place[0] + size[0] / 2, place[1] + size[1] / 2, words, ha="center", va="center", size=8.5, color=DARK)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="#555555", lw=1))


def draw_cross_validation() -> Axes:
    """Five folds, five models, one score and one submission."""
    axes = open_board(7.2, 3.1)
    box(axes, (0.1, 0.75), (1.05, 1.6), "train.csv\n42,000 rows\nwith labels", "#ffffff")
    for fold in range(5):
        bottom = 2.45 - 0.5 * fold
        for part in range(5):
            colour = HELD_OUT_COLOUR if part == fold else PALE_GREY
            axes.add_patch(Rectangle((1.5 + 0.3 * part, bottom), 0.28, 0.32, facecolor=colour, edgecolor="white"))
        arrow(axes, (3.05, bottom + 0.16), (3.35, bottom + 0.16))
        box(axes, (3.38, bottom), (0.95, 0.32), f"model {fold + 1}")
        arrow(axes, (4.36, bottom + 0.16), (4.85, 1.98))
        arrow(axes, (4.36, bottom + 0.16), (4.85, 0.9))
    arrow(axes, (1.18, 1.55), (1.46, 1.55))
    box(
        axes,
        (4.9, 1.65),
        (2.2, 0.65),
        "every row, predicted by the\nmodel that never saw it:\nthe honest score",
        "#f7dfcf",
    )
    box(axes, (4.9, 0.55), (2.2, 0.65), "test.csv, predicted by all\nfive models, averaged:\nthe submission", "#f7dfcf")
    axes.add_patch(Rectangle((1.5, 0.12), 0.14, 0.14, facecolor=PALE_GREY))
    axes.text(1.7, 0.19, "trained on", va="center", size=7.5)
    axes.add_patch(Rectangle((2.45, 0.12), 0.14, 0.14, facecolor=HELD_OUT_COLOUR))
    axes.text(2.65, 0.19, "held out", va="center", size=7.5)
    return axes


def draw_kaggle() -> Axes:
    """The way from an account to a public score."""
    axes = open_board(7.2, 1.75)
    steps = ("account,\nrules, token", "download\nkaggle", "cv\n--model champion", "submit\n--dry-run", "submit\n-m …")
    for number, words in enumerate(steps):
        place = 0.08 + 1.43 * number
        by_hand = number == 0
        box(axes, (place, 0.85), (1.22, 0.62), words, "#ffffff" if by_hand else "#d5e5f5")
        if number:
            arrow(axes, (place - 0.2, 1.16), (place - 0.01, 1.16))
    where = (
        "once, in the browser",
        "resumes after a break",
        "11 minutes",
        "checks, sends nothing",
        "waits for the score",
    )
    for number, words in enumerate(where):
        axes.text(0.69 + 1.43 * number, 0.68, words, ha="center", size=7.5, color="#555555")
    box(axes, (4.37, 0.08), (2.65, 0.38), "submissions/ledger.csv: both scores", "#f7dfcf")
    arrow(axes, (6.4, 0.64), (6.4, 0.48))
    return axes


def draw_nodes() -> Axes:
    """Five folds on one node and on two, in rounds."""
    axes = open_board(7.2, 1.95)
    for row, (nodes, seconds) in enumerate(((1, "41.9 s"), (2, "29.7 s"))):
        top = 1.35 if nodes == 1 else 0.3
        axes.text(0.05, top + (0.18 if nodes == 1 else 0.38), f"{nodes} node" + "s" * row, va="center", size=9)
        for fold in range(5):
            column, lane = (fold, 0) if nodes == 1 else divmod(fold, 2)
            place = (0.8 + 1.0 * column, top + (0 if nodes == 1 else 0.4 * (1 - lane)))
            box(axes, place, (0.94, 0.35), f"fold {fold + 1}", "#d5e5f5" if lane == 0 else "#f7dfcf")
        axes.text(5.95 if nodes == 1 else 3.95, top + (0.18 if nodes == 1 else 0.38), f"in all {seconds}", size=9,
                  va="center")  # fmt: skip
    return axes


FIGURES: dict[str, Callable[[], Axes]] = {
    "time-to-accuracy": draw_time_to_accuracy,
    "recipes": draw_recipes,
    "first-search": draw_first_search,
    "throughput": draw_throughput,
    "learning-curve": draw_learning_curve,
    "members": draw_members,
    "kills": draw_kills,
    "handwriting": draw_handwriting,
    "coverage": draw_coverage,
    "cross-validation": draw_cross_validation,
    "kaggle": draw_kaggle,
    "nodes": draw_nodes,
}


def main() -> None:
    for name, draw in FIGURES.items():
        save_picture(draw().figure, IMAGES / f"{name}.png")
        print(f"docs/images/{name}.png: {(IMAGES / f'{name}.png').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
