"""A trial that an earlier sitting began: whether its folder is this trial's, and what it holds is whole."""

import contextlib
import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.data.csv_header import CLASSES
from digit_recognizer.errors import UnusableRunError, WriteError, reading_its_own_files
from digit_recognizer.sweeps.searching import Curve
from digit_recognizer.training.cross_validation import resume
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.fingerprint import PLACES
from digit_recognizer.training.fitting import EpochWatch
from digit_recognizer.training.results import CVResult
from digit_recognizer.training.runs import METRICS, load_run_config

SETTLED_THEN = (*PLACES, "precision")  # an automatic precision was settled when the run was begun


def go_on(config: RunConfig, dataset: Dataset, path: Path, watch: EpochWatch) -> CVResult:
    """Finish a trial's run, or read it again where it has finished.

    Args:
        config: that the trial has.
        dataset: that it sees.
        path: the run's folder.
        watch: of its epochs.

    Raises:
        UnusableRunError: if the folder is of another run, was begun otherwise or is damaged.
        InputError: for what lies outside it.
    """
    with reading_its_own_files():
        begun, _ = load_run_config(path, "train")
    was, is_now = begun.to_json(), config.to_json()
    if differing := [flag(name) for name in was if name not in SETTLED_THEN and was[name] != is_now[name]]:
        raise UnusableRunError(f"it holds a run with another {', '.join(differing)}")
    finished = (path / METRICS).exists()
    with silence():
        result = resume(path, "train", dataset=dataset, on_epoch=watch)
    if finished:
        _check_result(result, dataset, path)
    return result


def load_history(path: Path) -> list[dict[str, str]]:
    """The rows of history.csv in a run's folder."""
    with (path / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_curve(history: Sequence[Mapping[str, Any]], column: str) -> Curve:
    """A column of the history, to six decimals."""
    return tuple(round(float(row[column]), 6) for row in history)


def remove_folder(path: Path) -> None:
    """Remove a trial's folder, if there is one; of a link to one, the link alone."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep a run's own lines, which are in its log, from the screen, and its advice from the message of a full disk.

    How to go on is the sweep's to say: `train --resume` would finish one trial, and no table would have it.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except WriteError as error:
        raise (error.__cause__ if isinstance(error.__cause__, WriteError) else error) from None


def _check_result(result: CVResult, dataset: Dataset, path: Path) -> None:
    """Refuse what a finished run left if its files do not agree with each other.

    Raises:
        UnusableRunError: saying which.
    """
    oof = result.oof_probabilities
    if oof.shape != (len(dataset.labels), CLASSES):
        raise UnusableRunError(f"its out-of-fold probabilities have the shape {oof.shape}")
    judged = ~np.isnan(oof[:, 0])
    right = oof[judged].argmax(axis=1) == dataset.labels[judged]
    if not judged.any() or abs(right.mean() - result.score.oof_accuracy) > 1e-6:
        raise UnusableRunError("its out-of-fold probabilities are not those that its accuracy is of")
    try:
        curves = [read_curve(load_history(path), name) for name in ("held_out_accuracy", "accuracy")]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UnusableRunError(f"its history.csv cannot be read ({error})") from error
    if not curves[0]:
        raise UnusableRunError("its history.csv is empty")
