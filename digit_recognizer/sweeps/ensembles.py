"""Ensembles of one setting's seeds: what the mean of 1, 2, … of its nets achieves on rows that all of them held out.

Document 004 wishes for "training many good models and averaging their predictions". A study whose `fold_seed` is fixed
holds out the same rows whatever the seed, so the means of its nets' probabilities are judged without another fit. Of k
nets out of n every choice is judged, up to a number: which k are taken must not decide.
"""

import csv
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.array_files import load_npy
from digit_recognizer.data.csv_header import CLASSES
from digit_recognizer.errors import InputError
from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.figures import HELD_OUT_COLOUR, open_figure, save_figure
from digit_recognizer.inspection.sections import FigureFile, Section
from digit_recognizer.signals import show
from digit_recognizer.sweeps.study import NET, Setting, Study
from digit_recognizer.sweeps.trials import TrialRecord, group_by_setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENSEMBLES = "ensembles.csv"
MOST_CHOICES = 100
MOST_SHOWN = 8  # settings
MOST_COLUMNS = 8
LONG_LABEL = 50  # characters, of which two do not stand side by side under the figure
MARKERS, LINES = "osD^vP*X", ("-", "--", ":", "-.")
COLUMNS = ("nets", "choices", "accuracy", "lowest", "highest")


@dataclass(frozen=True)
class EnsembleScore:
    """What the mean of several nets of one setting achieves.

    Attributes:
        setting: values of what varies, as `describe_setting` writes them.
        nets: how many are averaged.
        choices: ways to take so many of the setting's nets that were judged.
        accuracy, lowest, highest: over these, on the held-out rows; 0 to 1.
    """

    setting: str
    nets: int
    choices: int
    accuracy: float
    lowest: float
    highest: float


def judge_ensembles(
    study: Study,
    records: Sequence[TrialRecord],
    trials_dir: Path,
    load_labels: Callable[[Setting], np.ndarray],
) -> list[EnsembleScore]:
    """Judge the ensembles of every setting whose nets all held out the same rows.

    Args:
        study: whose parameters name a setting.
        records: of its trials, as it now reads: other trials may differ in what no setting tells.
        trials_dir: the trials' folders; a trial whose folder is not there is left out, and so is one whose folder is
            damaged, with a line that says so.
        load_labels: int (n,), of all training rows that the trials of a setting see.
    """
    scores: list[EnsembleScore] = []
    for setting, group in group_by_setting([record for record in records if record.state == "done"]):
        folders = [trials_dir / record.name for record in group if (trials_dir / record.name).is_dir()]
        if len(folders) < 2:
            continue
        labels = load_labels(setting)
        loaded = [one for folder in folders if (one := _load_net(folder, len(labels))) is not None]
        folds = [one[0] for one in loaded]
        if len(folds) < 2 or any(not np.array_equal(folds[0], other) for other in folds[1:]):
            continue
        held_out = folds[0] == 0
        probabilities = np.stack([one[1][held_out] for one in loaded])
        for nets in range(1, len(folds) + 1):
            chosen = itertools.islice(itertools.combinations(range(len(folds)), nets), MOST_CHOICES)
            found = [
                float((probabilities[list(one)].mean(axis=0).argmax(axis=1) == labels[held_out]).mean())
                for one in chosen
            ]
            name = describe_setting(study, setting)
            scores.append(EnsembleScore(name, nets, len(found), float(np.mean(found)), min(found), max(found)))
    return scores


def _load_net(folder: Path, rows: int) -> tuple[np.ndarray, np.ndarray] | None:
    """A trial's folds and out-of-fold probabilities; None, and a line that says so, if they cannot be used."""
    try:
        folds, probabilities = load_npy(folder / "folds.npy"), load_npy(folder / "oof_probabilities.npy")
        if folds.shape != (rows,) or probabilities.shape != (rows, CLASSES):
            raise InputError(f"{folder} must hold folds and probabilities of {rows} rows, but holds others.")
    except InputError as error:  # the trial's line in the table is whole: one damaged folder must not hide the page
        show(f"note: {error} The ensembles are judged without this net.")
        return None
    return folds, probabilities


def describe_setting(study: Study, setting: object) -> str:
    """The values of what varies, as `net.dropout=0.3 batch_size=40`."""
    values = dict(setting) if isinstance(setting, dict) else {}
    return " ".join(f"{name}={values[name]}" for name in study.parameters if name in values)


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
        "Accuracy of the mean of so many nets of one setting on the held-out rows: the mean over all ways to choose "
        "them, and the lowest and the highest as a bar."
    )
    words = (
        "All nets of a setting held out the same rows, so that the mean of their probabilities can be judged there. "
        "Every choice of so many nets counts, lest luck choose; but the choices share nets and rows, so the bars are "
        "narrower than what other nets and rows would show. The table has the mean over the choices; how many there "
        f"are, and the lowest and the highest, stand in {ENSEMBLES}."
    )
    if settings > MOST_SHOWN:
        words += f" Shown are {MOST_SHOWN} of {settings} settings, those whose single nets are best."
    head = ("setting", *(f"{count} net{'s' if count > 1 else ''}" for count in nets))
    return [Section("Ensembles of 1 to k nets", (words,), (FigureFile(path, caption),), (head, *rows))]


def _label(setting: str) -> str:
    """A setting as the page's other tables have it."""
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


def write_ensembles(path: Path, scores: Sequence[EnsembleScore]) -> None:
    """Write ensembles.csv, which is kept when the trials' folders are not."""
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["setting", *COLUMNS])
        for score in scores:
            numbers = [f"{value:.6f}" for value in (score.accuracy, score.lowest, score.highest)]
            writer.writerow([score.setting, score.nets, score.choices, *numbers])


def load_ensembles(path: Path) -> list[EnsembleScore]:
    """Read ensembles.csv; empty where there is none.

    Raises:
        InputError: if it is damaged.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        return [
            EnsembleScore(
                row["setting"],
                int(row["nets"]),
                int(row["choices"]),
                float(row["accuracy"]),
                float(row["lowest"]),
                float(row["highest"]),
            )
            for row in rows
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} must be a table of ensembles, but is damaged ({error}): remove it.") from error
