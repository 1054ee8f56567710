"""Pairs of classes that are misread again and again, over the folds and seeds of one run or several.

One net's confusions may be an accident of its seed. Here every fold of every run, read by a net of its own, has one
say: whether a pair takes more of its errors than chance would hand it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.inspection.figures import REFERENCE_COLOUR, are_short, name_classes, open_figure, save_figure

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.figure import Figure

DIAGONAL_COLOUR = "#dedede"
CHANCE = 0.05  # of a pair that only luck raises above its share, in one fold
LEAST_ROWS = 2  # of a fold: one row is no habit
LOST_SHARE = 0.5  # of a class's rows: document 000 saw whole rows of a class misread, and others right half the time


@dataclass(frozen=True)
class HeldOutFold:
    """The rows that one net read without having been fitted on them.

    Attributes:
        name: of the run and the fold.
        labels, predictions: int (n,), 0 to classes - 1.
    """

    name: str
    labels: np.ndarray
    predictions: np.ndarray


@dataclass(frozen=True)
class Pair:
    """A label and what it was read as.

    Attributes:
        label, prediction: the two classes.
        rows: misread so, over all folds.
        share: of the rows with that label, in [0, 1].
        exceeding: folds in which the pair takes more than its share of the errors.
    """

    label: int
    prediction: int
    rows: int
    share: float
    exceeding: int


@dataclass(frozen=True)
class Misreadings:
    """What the folds of all runs say together.

    Attributes:
        counts: int64 (folds, classes, classes): rows by label and prediction.
        exceeding: bool, of the same shape: the pairs that take more than their share.
        pairs: those that exceed their share somewhere; first those that do so in most folds, then in most rows.
        lost: names of folds, each with a class of which half or more was misread.
    """

    counts: np.ndarray
    exceeding: np.ndarray
    pairs: tuple[Pair, ...]
    lost: tuple[tuple[str, int], ...]

    @property
    def repeated(self) -> tuple[Pair, ...]:
        """The pairs that exceed their share in more than half of the folds, and in two at least."""
        return tuple(pair for pair in self.pairs if pair.exceeding > max(1, len(self.counts) / 2))

    @property
    def by_chance(self) -> float:
        """How many pairs would be among the repeated if errors fell by chance alone, at most."""
        from scipy.stats import binom

        folds, classes = self.counts.shape[:2]
        return float(classes * (classes - 1) * binom.sf(max(1, folds // 2), folds, CHANCE))


def find_misreadings(folds: Sequence[HeldOutFold], classes: int = 10) -> Misreadings:
    """Find the pairs of classes that are misread more often than chance explains.

    A pair's share of a fold's errors is what it would get if each row were as likely as any other to be misread, and
    as any wrong class: rows of the label / all rows / (classes - 1). It exceeds its share in a fold where it takes two
    errors or more, and a binomial draw of all the fold's errors would reach as many with a probability below 5 %. So
    chance alone lets it do that in one fold of twenty, but hardly in most of them.

    Args:
        folds: at least one, each of at least one row.
        classes: how many there are.
    """
    from scipy.stats import binom

    counts = np.zeros((len(folds), classes, classes), np.int64)
    for count, fold in zip(counts, folds, strict=True):
        np.add.at(count, (fold.labels, fold.predictions), 1)
    diagonal = np.eye(classes, dtype=bool)
    errors = np.where(diagonal, 0, counts)
    of_label = counts.sum(axis=2)  # (folds, classes)
    shares = of_label / of_label.sum(axis=1, keepdims=True) / (classes - 1)
    chances = binom.sf(errors - 1, errors.sum(axis=(1, 2))[:, None, None], shares[:, :, None])
    exceeding = (chances < CHANCE) & (errors >= LEAST_ROWS)
    rows, found = errors.sum(axis=0), exceeding.sum(axis=0)
    pairs = [
        Pair(int(a), int(b), int(rows[a, b]), float(rows[a, b] / of_label[:, a].sum()), int(found[a, b]))
        for a, b in np.argwhere(found)
    ]
    pairs.sort(key=lambda pair: (-pair.exceeding, -pair.rows))
    wrong = of_label - counts.diagonal(axis1=1, axis2=2)
    lost = np.argwhere((of_label > 0) & (wrong >= LOST_SHARE * of_label))
    named = tuple((folds[number].name, int(label)) for number, label in lost)
    return Misreadings(counts, exceeding, tuple(pairs), named)


def plot_misreadings(found: Misreadings, path: Path, names: Sequence[str] = DIGITS.names) -> None:
    """Draw in how many folds each pair of classes exceeds its share: the darker, the more.

    Args:
        found: by `find_misreadings`.
        path: the PNG to write.
        names: of the classes.
    """
    save_figure(_draw_misreadings(found, names), path)


def _draw_misreadings(found: Misreadings, names: Sequence[str] = DIGITS.names) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    folds, classes = found.counts.shape[:2]
    times, rows = found.exceeding.sum(axis=0), found.counts.sum(axis=0)
    figure = open_figure(8, 7) if are_short(names) else open_figure(9, 8)
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("times", ["white", REFERENCE_COLOUR]).with_extremes(bad=DIAGONAL_COLOUR)
    shown = np.ma.masked_array(times, np.eye(classes, dtype=bool))
    picture = axes.imshow(shown, cmap=colours, vmin=0, vmax=folds)
    for label, prediction in np.argwhere(times):  # black, which the darkest cell still sets off
        words = f"{times[label, prediction]}\n({rows[label, prediction]:,})"
        axes.text(prediction, label, words, ha="center", va="center", fontsize=10)
    axes.set_title("nets that misread a pair more often than its share; in brackets the rows")
    axes.set_xlabel("prediction")
    axes.set_ylabel("label")
    name_classes(axes, names)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=DIAGONAL_COLOUR)
    axes.tick_params(which="both", length=0)
    bar = figure.colorbar(picture, shrink=0.8, label=f"nets, of {folds}")
    bar.set_ticks(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    return figure
