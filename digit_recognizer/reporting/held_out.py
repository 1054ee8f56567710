"""A finished run as an examination needs it: its held-out predictions, the net that made each, and its course."""

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.tables import TrainTable
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.predictions import find_held_out_rows, load_run_for
from digit_recognizer.io import install_file, load_npy, lock_folder, open_regular_file, read_json, write_json
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import REFERENCE_COLOUR, are_short, name_classes, open_figure, save_figure
from digit_recognizer.training.run import CONFIG, FinishedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Pairs of classes that are misread again and again, over the folds and seeds of one run or several.
#
# One net's confusions may be an accident of its seed. Here every fold of every run, read by a net of its own, has one
# say: whether a pair takes more of its errors than chance would hand it.

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


# The index of an examination, examination.json: what was found, in the order of reading, and the files that show it.
#
# It is written last and taken away first, so that a folder with an index holds one whole examination.

INDEX = "examination.json"


@dataclass(frozen=True)
class HeldOutScore:
    """How many of the rows that no net was fitted on were read rightly.

    Attributes:
        accuracy, low, high: the share of them, and the bounds of its 95 % interval, in [0, 1].
        rows: held out.
        all_rows: of train.csv.
    """

    accuracy: float
    low: float
    high: float
    rows: int
    all_rows: int


@dataclass(frozen=True)
class Examination:
    """What was found in a run.

    Attributes:
        oof_sha256: of the run's oof_probabilities.npy, by which the run is known again.
        score: of the run.
        sections: in the order of reading; their titles are unique.
    """

    oof_sha256: str
    score: HeldOutScore
    sections: tuple[Section, ...]


def publish(examination: Examination, staging: Path, folder: Path) -> None:
    """Let a finished examination take the place of an older one, whose figures vanish.

    Args:
        examination: its figures lie in `staging`.
        staging: holds them and any other file of the examination, all on the disk of `folder`.
        folder: the examination's own.

    Raises:
        OSError: if the folder cannot be written to. Then it has no index, or the old one.
    """
    with lock_folder(folder):  # two at once must not mix
        before = _find_older_figures(folder)
        (folder / INDEX).unlink(missing_ok=True)
        staged = sorted(staging.iterdir())
        for file in staged:
            install_file(file, folder / file.name)
        for figure in before - {file.name for file in staged}:
            (folder / figure).unlink(missing_ok=True)
        content = asdict(examination)
        for section in content["sections"]:
            section["figures"] = [{**figure, "path": figure["path"].name} for figure in section["figures"]]
        write_json(folder / INDEX, content)


def read_examination(folder: Path) -> Examination:
    """Read the index of an examination; the figures' paths lead into `folder`.

    Raises:
        InputError: if there is none, or it is damaged.
    """
    path = folder / INDEX
    content = read_json(path)
    try:
        sections = tuple(_parse_section(section, folder) for section in _check(content["sections"], list))
        score = content["score"]
        accuracy, low, high = (float(_check(score[name], (int, float))) for name in ("accuracy", "low", "high"))
        rows, all_rows = (_check(score[name], int) for name in ("rows", "all_rows"))
        if not (0 <= low <= accuracy <= high <= 1 and 0 < rows <= all_rows):
            raise ValueError("its score is none")
        found = HeldOutScore(accuracy, low, high, rows, all_rows)
        return Examination(_check(content["oof_sha256"], str), found, sections)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} must be the index of an examination, but {error}: examine the run anew.") from error


def _parse_section(content: Any, folder: Path) -> Section:
    figures = [
        FigureFile(folder / _check_name(figure["path"]), _check(figure["caption"], str))
        for figure in _check(content["figures"], list)
    ]
    table = tuple(tuple(_check(cell, str) for cell in _check(row, list)) for row in _check(content["table"], list))
    if len({len(row) for row in table}) > 1:
        raise ValueError("the rows of a table are of different lengths")
    paragraphs = tuple(_check(paragraph, str) for paragraph in _check(content["paragraphs"], list))
    return Section(_check(content["title"], str), paragraphs, tuple(figures), table)


def _check(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{repr(value)[:40]} stands where something else is due")
    return value


def _check_name(name: Any) -> str:
    """A plain file name: an index from elsewhere must lead nowhere else."""
    if _check(name, str) != Path(name).name or not name.endswith(".png") or "\0" in name:
        raise ValueError(f"{name[:40]!r} is no figure's name")
    return str(name)


def _find_older_figures(folder: Path) -> set[str]:
    try:
        sections = read_examination(folder).sections
    except InputError:  # there is none, or none that can be believed: what lies there is nobody's to remove
        return set()
    return {figure.path.name for section in sections for figure in section.figures}


MOST_HISTORY_BYTES = 1 << 24  # a thousand epochs of ten folds have 1 MB
COURSE = ("fold", "epoch", "loss", "accuracy")
HELD_OUT_COURSE = ("held_out_loss", "held_out_accuracy")


@dataclass(frozen=True)
class ExaminedRun:
    """A run of all rows of a train.csv.

    Attributes:
        run: its arrays and metrics.
        settings: the content of config.json.
        fold_of_row: int64 (n,): the fold in which each row was held out, -1 where it never was.
    """

    run: FinishedRun
    settings: dict[str, Any]
    fold_of_row: np.ndarray

    @property
    def folds(self) -> list[int]:
        """The folds that were held out, counted from 0, in ascending order."""
        return [int(fold) for fold in np.unique(self.fold_of_row[self.fold_of_row >= 0])]

    @property
    def name(self) -> str:
        """What the screen calls it."""
        return self.run.path.name or str(self.run.path)

    @property
    def class_names(self) -> tuple[str, ...]:
        """What label 0 to label 9 are called."""
        return self.run.label_set.names

    def find_model_path(self, fold: int) -> Path:
        """Where the net of a fold is, or would be."""
        return self.run.path / "models" / f"fold{fold}.keras"


def load_examined_run(path: Path, train: TrainTable) -> ExaminedRun:
    """Load a finished run of the rows of `train`.

    Raises:
        InputError: if it is of other data or part of it, held out no row, or is damaged.
    """
    run = load_run_for(path, train)
    judged = find_held_out_rows(run.oof_probabilities)
    if not judged.any():
        raise InputError(f"{path} must have held out rows, but its out-of-fold probabilities hold none: run it anew.")
    settings = read_json(path / CONFIG)
    if not isinstance(settings, dict):
        raise InputError(f"{path / CONFIG} must hold a configuration, but is a {type(settings).__name__}: restore it.")
    folds = load_npy(path / "folds.npy")
    if folds.dtype.kind != "i" or folds.shape != (len(train.labels),) or (folds[judged] < 0).any():
        raise InputError(
            f"{path / 'folds.npy'} must tell the fold of each of {len(train.labels):,} rows, but holds {folds.dtype} "
            f"{folds.shape}, or none for a row that was held out: restore it, or run it anew."
        )
    return ExaminedRun(run, settings, np.where(judged, folds, -1).astype(np.int64))


def list_held_out_folds(run: ExaminedRun, labels: np.ndarray) -> list[HeldOutFold]:
    """The labels and predictions of each fold of a run; `labels` is int (n,), of all rows."""
    predictions = run.run.oof_probabilities.argmax(axis=1)
    rows = [(fold, run.fold_of_row == fold) for fold in run.folds]
    return [HeldOutFold(f"{run.name}, fold {fold + 1}", labels[own], predictions[own]) for fold, own in rows]


def load_history(run: ExaminedRun) -> list[dict[str, float]]:
    """Read history.csv.

    Returns:
        One dict per fold and epoch with fold (from 0), epoch (from 1), loss and accuracy, and where the run knows them
        for every epoch held_out_loss and held_out_accuracy.

    Raises:
        InputError: if the file is missing, damaged, or not of the folds that the run held out.
    """
    path = run.run.path / "history.csv"
    with open_regular_file(path) as file:
        content = file.read(MOST_HISTORY_BYTES + 1)
    try:
        if len(content) > MOST_HISTORY_BYTES:
            raise ValueError(f"has more than {MOST_HISTORY_BYTES} bytes")
        rows = list(csv.DictReader(content.decode("utf-8").splitlines()))
        told = all(row.get(name) for row in rows for name in HELD_OUT_COURSE)
        history = [{name: float(row[name]) for name in (*COURSE, *HELD_OUT_COURSE * told)} for row in rows]
        if not all(math.isfinite(value) for row in history for value in row.values()):
            raise ValueError("has values that are no numbers")
        if {row["fold"] for row in history} != set(run.folds):
            raise ValueError("is not of the folds that the run held out")
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} must tell the course of the run, but {error}: restore it.") from error
    return history
