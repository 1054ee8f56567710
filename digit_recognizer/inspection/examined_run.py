"""A finished run as an examination needs it: its held-out predictions, the net that made each, and its course."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.array_files import load_npy
from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.data.tables import TrainTable
from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json
from digit_recognizer.inspection.misreadings import HeldOutFold
from digit_recognizer.training.comparing import find_judged_rows, load_run_of
from digit_recognizer.training.runs import CONFIG, FinishedRun

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
        return self.run.alphabet.names

    def find_model_path(self, fold: int) -> Path:
        """Where the net of a fold is, or would be."""
        return self.run.path / "models" / f"fold{fold}.keras"


def load_examined_run(path: Path, train: TrainTable) -> ExaminedRun:
    """Load a finished run of the rows of `train`.

    Raises:
        InputError: if it is of other data or part of it, held out no row, or is damaged.
    """
    run = load_run_of(path, train)
    judged = find_judged_rows(run.oof_probabilities)
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
