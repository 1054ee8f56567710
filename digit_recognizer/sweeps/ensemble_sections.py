"""A page's section on ensembles: accuracy against the number of nets, a line per setting."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.inspection.figures import HELD_OUT_COLOUR, open_figure, save_figure
from digit_recognizer.inspection.sections import FigureFile, Section
from digit_recognizer.sweeps.ensembles import ENSEMBLES, MOST_CHOICES, EnsembleScore
from digit_recognizer.sweeps.study import NET

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_SHOWN = 8  # settings
MOST_COLUMNS = 8
LONG_LABEL = 50  # characters, of which two do not stand side by side under the figure
MARKERS, LINES = "osD^vP*X", ("-", "--", ":", "-.")


def describe_ensembles(scores: Sequence[EnsembleScore], folder: Path) -> list[Section]:
    """The section of a page on ensembles, with its figure; empty where there are no scores.

    Args:
        scores: as `judge_ensembles` gives them.
        folder: for the figure.

    Returns:
        At most one section.
    """
    if not scores:
        return []
    settings = len({score.setting for score in scores})
    best = sorted((score for score in scores if score.nets == 1), key=lambda score: -score.accuracy)[:MOST_SHOWN]
    scores = [score for score in scores if score.setting in {one.setting for one in best}]
    path = folder / "ensembles.png"
    plot_ensembles(scores, path)
    means = {(score.setting, score.nets): f"{score.accuracy:.5f}" for score in scores}
    nets = sorted({score.nets for score in scores})
    nets = [*nets[: MOST_COLUMNS - 1], nets[-1]] if len(nets) > MOST_COLUMNS else nets
    rows = [
        (_label(setting), *(means.get((setting, count), "") for count in nets))
        for setting in dict.fromkeys(score.setting for score in scores)
    ]
    caption = (
        "Accuracy of the mean of so many nets of one setting on the held-out rows: the mean over the ways to choose "
        "them, and the lowest and the highest as a bar."
    )
    words = (
        "All nets of a setting held out the same rows, so that the mean of their probabilities can be judged there. "
        f"Every choice of so many nets counts, or {MOST_CHOICES} of them drawn at random where there are more, lest "
        "luck choose; but the choices share nets and rows, so the bars are "
        "narrower than what other nets and rows would show. The table has the mean over the choices; how many there "
        f"are, and the lowest and the highest, stand in {ENSEMBLES}."
    )
    if settings > MOST_SHOWN:
        words += f" Shown are {MOST_SHOWN} of {settings} settings, those whose single nets are best."
    head = ("setting", *(f"{count} net{'s' if count > 1 else ''}" for count in nets))
    return [Section("Ensembles of 1 to k nets", (words,), (FigureFile(path, caption),), (head, *rows))]


def _label(setting: str) -> str:
    """A setting as the page's other tables have it."""
    if not setting:
        return "the one setting"
    return ", ".join(part.removeprefix(NET).replace("=", " ", 1) for part in setting.split(" "))


def plot_ensembles(scores: Sequence[EnsembleScore], path: Path) -> None:
    """Draw accuracy against the number of nets, a line per setting."""
    save_figure(_draw_ensembles(scores), path)


def _draw_ensembles(scores: Sequence[EnsembleScore]) -> "Figure":
    settings = list(dict.fromkeys(score.setting for score in scores))
    columns = 2 if max(map(len, settings)) <= LONG_LABEL else 1
    figure = open_figure(9, 4 + 0.2 * len(settings) / columns)
    axes = figure.subplots()
    for place, setting in enumerate(settings):
        own = [score for score in scores if score.setting == setting]
        means = np.array([score.accuracy for score in own])
        bars = [means - [score.lowest for score in own], [score.highest for score in own] - means]
        nets = np.array([score.nets for score in own]) + 0.03 * (place - len(settings) / 2)
        grey = str(0.1 + 0.5 * place / len(settings))
        axes.errorbar(
            nets, means, yerr=np.maximum(bars, 0), label=_label(setting), capsize=2,
            color=grey if place % 2 else HELD_OUT_COLOUR,
            marker=MARKERS[place % len(MARKERS)], linestyle=LINES[place % len(LINES)], linewidth=1,
        )  # fmt: skip
    axes.set_xlabel("nets of which the mean is taken")
    axes.set_ylabel("accuracy on the held-out rows")
    axes.set_xticks(sorted({score.nets for score in scores}))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=columns, fontsize="small")
    return figure
