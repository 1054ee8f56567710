"""The saved predictions of finished runs, checked before they are compared, averaged or examined."""

from pathlib import Path

import numpy as np

from digit_recognizer.data.csv import CLASSES
from digit_recognizer.data.tables import TrainTable
from digit_recognizer.errors import InputError
from digit_recognizer.training.run import FinishedRun, load_run

SUM_TOLERANCE = 0.01  # float16 rounds each of ten probabilities by up to 5e-4


def load_run_for(
    path: Path, train: TrainTable, test_sha256: str | None = None, test_rows: int | None = None
) -> FinishedRun:
    """Load a finished run whose out-of-fold rows are the rows of `train`.

    Args:
        path: the run folder.
        train: the train.csv at hand.
        test_sha256: hash of the test.csv at hand; None if the test predictions are not used.
        test_rows: how many rows that has.

    Raises:
        InputError: if the run was made from other files or from part of these, or its probabilities are damaged.
    """
    run = load_run(path)
    if run.metrics["train_sha256"] != train.sha256:
        raise InputError("evaluation.other_data", path=path, received="train.csv")
    if test_sha256 is not None and run.metrics["test_sha256"] != test_sha256:
        raise InputError("evaluation.other_data", path=path, received="test.csv")
    for name, probabilities, rows in (
        ("train.csv", run.oof_probabilities, len(train.labels)),
        ("test.csv", run.test_probabilities, test_rows),
    ):
        if rows is not None and len(probabilities) != rows:
            raise InputError("evaluation.part_of_rows", path=path, received=len(probabilities), file=name, rows=rows)
    check_probabilities(path / "oof_probabilities.npy", run.oof_probabilities, may_lack_rows=True)
    if test_sha256 is not None:
        check_probabilities(path / "test_probabilities.npy", run.test_probabilities)
    return run


def check_probabilities(path: Path, probabilities: np.ndarray, may_lack_rows: bool = False) -> None:
    """Refuse probabilities that are not float (n, 10) with rows that sum to 1.

    Args:
        path: where they were saved; named in the error.
        probabilities: as read.
        may_lack_rows: whether a row may be all NaN, as an out-of-fold row is that was never held out.

    Raises:
        InputError: naming the first row at fault.
    """
    if probabilities.shape[1] != CLASSES:
        raise InputError("evaluation.class_count", path=path, received=probabilities.shape[1], classes=CLASSES)
    missing = np.isnan(probabilities).all(axis=1)
    if not np.isfinite(probabilities[~missing]).all() or (missing.any() and not may_lack_rows):
        raise InputError("evaluation.nan", path=path)
    sums = np.where(missing, 1, probabilities.sum(axis=1, dtype=np.float64))
    wrong = np.flatnonzero((probabilities < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if len(wrong):
        received = f"{sums[wrong[0]]:.3g}"
        raise InputError("evaluation.probability_sum", path=path, line=int(wrong[0]) + 1, received=received)


def find_held_out_rows(oof: np.ndarray) -> np.ndarray:
    """Which rows of out-of-fold probabilities (n, classes) were held out: bool (n,); the others are NaN."""
    held_out: np.ndarray = np.isfinite(oof).all(axis=1)
    return held_out
