"""A finished run as an examination needs it: its held-out predictions, the net that made each, and its course."""

import csv
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.tables import TrainTable
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.predictions import find_held_out_rows, load_run_for
from digit_recognizer.io import install_file, load_npy, lock_folder, open_regular_file, read_json, write_json
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.training.run import CONFIG, FinishedRun, find_fold_weights

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
    def predictions(self) -> np.ndarray:
        """int64 (n,), the most probable class of each row; without meaning in rows that were never held out."""
        found: np.ndarray = self.run.oof_probabilities.argmax(axis=1)
        return found

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
        return find_fold_weights(self.run.path, fold)


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
