"""What cross-validation found, as an object, as the table that ends a run, and as metrics.json."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.competition.metrics import (
    Confusion,
    compute_calibration_error,
    compute_wilson_interval,
    find_costliest_confusion,
)
from digit_recognizer.config import RunConfig
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.progress import format_seconds


@dataclass(frozen=True)
class Score:
    """How good out-of-fold probabilities are.

    Attributes:
        fold_accuracies: one per fold that was held out.
        oof_accuracy: over all rows that were held out.
        oof_accuracy_interval: its 95 % Wilson interval.
        calibration_error: expected calibration error.
        confusion: the pair of classes that costs most.
    """

    fold_accuracies: list[float]
    oof_accuracy: float
    oof_accuracy_interval: tuple[float, float]
    calibration_error: float
    confusion: Confusion


@dataclass(frozen=True)
class CVResult:
    """What cross-validation found and left.

    Attributes:
        score: of the out-of-fold probabilities.
        oof_probabilities: float32 (n, classes); NaN in rows that were never held out.
        test_probabilities: float32 (m, classes), mean over the fold nets.
        elapsed_seconds: wall time, data and predictions included, Keras' import not.
        training_seconds: wall time of the fits alone.
        run_dir: the run folder.
        submission: the file written; None if test rows were left out.
        unfit: why the submission must not enter the competition; None if it may.
    """

    score: Score
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray
    elapsed_seconds: float
    training_seconds: float
    run_dir: Path
    submission: Path | None
    unfit: str | None


def judge_probabilities(oof: np.ndarray, labels: np.ndarray, fold_of_row: np.ndarray) -> Score:
    """Score out-of-fold probabilities.

    Args:
        oof: float32 (n, classes).
        labels: int (n,).
        fold_of_row: int16 (n,): the fold in which a row was held out; -1 for rows that never were, which don't count.
    """
    judged = fold_of_row >= 0
    oof, labels, fold_of_row = oof[judged], labels[judged], fold_of_row[judged]
    predictions = oof.argmax(axis=1)
    right = predictions == labels
    return Score(
        fold_accuracies=[float(right[fold_of_row == fold].mean()) for fold in np.unique(fold_of_row)],
        oof_accuracy=float(right.mean()),
        oof_accuracy_interval=compute_wilson_interval(int(right.sum()), len(right)),
        calibration_error=compute_calibration_error(oof, labels),
        confusion=find_costliest_confusion(labels, predictions),
    )


def format_result(result: CVResult, accuracy_name: str) -> str:
    """The table that ends a run; `accuracy_name` says what kind of accuracy it reports."""
    low, high = result.score.oof_accuracy_interval
    rows = [
        *(
            (f"fold {number} accuracy", f"{accuracy:.5f}")
            for number, accuracy in enumerate(result.score.fold_accuracies, 1)
            if len(result.score.fold_accuracies) > 1
        ),
        (accuracy_name, f"{result.score.oof_accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"),
        ("expected calibration error", f"{result.score.calibration_error:.5f}"),
        ("costliest confusion", str(result.score.confusion)),
        ("time", f"{format_seconds(result.elapsed_seconds)}, of it fitting {format_seconds(result.training_seconds)}"),
        ("submission", str(result.submission or "none: not all test rows were predicted")),
    ]
    if result.unfit:
        rows.append(("UNFIT FOR THE COMPETITION", result.unfit))
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def describe_metrics(config: RunConfig, dataset: Dataset, result: CVResult, precision: str) -> dict[str, Any]:
    """The content of metrics.json."""
    return {
        "model": config.model,
        "seed": config.seed,
        "oof_accuracy": result.score.oof_accuracy,
        "oof_accuracy_interval": list(result.score.oof_accuracy_interval),
        "fold_accuracies": result.score.fold_accuracies,
        "calibration_error": result.score.calibration_error,
        "costliest_confusion": {
            "label": result.score.confusion.label,
            "prediction": result.score.confusion.prediction,
            "rows": result.score.confusion.rows,
        },
        "elapsed_seconds": result.elapsed_seconds,
        "training_seconds": result.training_seconds,
        "precision": precision,
        "train_sha256": dataset.train_sha256,
        "test_sha256": dataset.test_sha256,
        "shared_test_rows": dataset.shared_test_rows,
        "unfit_for_competition": dataset.unfit,
        "submission": str(result.submission) if result.submission else None,
    }
