"""What cross-validation found, as an object, as the table that ends a run, and as metrics.json."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.competition.metrics import (
    Confusion,
    compute_accuracy_interval,
    compute_calibration_error,
    find_costliest_confusion,
)
from digit_recognizer.config import RunConfig
from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.data.duplicates import count_duplicates
from digit_recognizer.errors import InputError
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.progress import format_seconds
from digit_recognizer.training.runs import CLASSES, METRICS, FinishedRun

LARGEST = {"oof_accuracy": 1.0, "calibration_error": 1.0, "elapsed_seconds": math.inf, "training_seconds": math.inf}


@dataclass(frozen=True)
class Score:
    """How good out-of-fold probabilities are.

    Attributes:
        fold_accuracies: one per fold that was held out.
        oof_accuracy: over all rows that were held out.
        oof_accuracy_interval: its 95 % interval, of Clopper and Pearson.
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
        single_split: whether one fold only was held out (`train`).
        untrained_accuracy: of that net on the held-out rows before its first step; None of a cross-validation.
    """

    score: Score
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray
    elapsed_seconds: float
    training_seconds: float
    run_dir: Path
    submission: Path | None
    unfit: str | None
    single_split: bool = False
    untrained_accuracy: float | None = None


def judge_probabilities(
    oof: np.ndarray, labels: np.ndarray, fold_of_row: np.ndarray, names: Sequence[str] = DIGITS.names
) -> Score:
    """Score out-of-fold probabilities.

    Args:
        oof: float32 (n, classes).
        labels: int (n,).
        fold_of_row: int16 (n,): the fold in which a row was held out; -1 for rows that never were, which don't count.
        names: of the classes.
    """
    judged = fold_of_row >= 0
    oof, labels, fold_of_row = oof[judged], labels[judged], fold_of_row[judged]
    predictions = oof.argmax(axis=1)
    right = predictions == labels
    return Score(
        fold_accuracies=[float(right[fold_of_row == fold].mean()) for fold in np.unique(fold_of_row)],
        oof_accuracy=float(right.mean()),
        oof_accuracy_interval=compute_accuracy_interval(int(right.sum()), len(right)),
        calibration_error=compute_calibration_error(oof, labels),
        confusion=find_costliest_confusion(labels, predictions, names),
    )


def format_result(result: CVResult) -> str:
    """The table that ends a run."""
    accuracy_name = "held-out accuracy" if result.single_split else "out-of-fold accuracy"
    low, high = result.score.oof_accuracy_interval
    rows = [
        *(
            (f"fold {number} accuracy", f"{accuracy:.5f}")
            for number, accuracy in enumerate(result.score.fold_accuracies, 1)
            if len(result.score.fold_accuracies) > 1
        ),
        (accuracy_name, f"{result.score.oof_accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"),
        *([("before training", f"{before:.5f}")] if (before := result.untrained_accuracy) is not None else []),
        ("expected calibration error", f"{result.score.calibration_error:.5f}"),
        ("costliest confusion", str(result.score.confusion)),
        ("time", f"{format_seconds(result.elapsed_seconds)}, of it fitting {format_seconds(result.training_seconds)}"),
        ("submission", str(result.submission or "none: not all test rows were predicted")),
    ]
    if result.unfit:
        rows.append(("UNFIT FOR THE COMPETITION", result.unfit))
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def describe_metrics(
    config: RunConfig, dataset: Dataset, result: CVResult, precision: str, inexact: list[str]
) -> dict[str, Any]:
    """The content of metrics.json; `inexact` lists the differences under which the run was resumed."""
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
        "duplicates": vars(count_duplicates(dataset.groups)),
        "unfit_for_competition": result.unfit,
        "submission": str(result.submission) if result.submission else None,
        "single_split": result.single_split,
        "untrained_accuracy": result.untrained_accuracy,
        "resumed_with_differences": inexact,
        **({} if dataset.alphabet == DIGITS else {CLASSES: dataset.alphabet.to_json()}),
    }


def read_result(run: FinishedRun) -> CVResult:
    """The result that a finished run had.

    Raises:
        InputError: if its metrics.json was not written by a run of this version.
    """
    metrics = run.metrics
    try:
        _check_numbers(metrics)
        return CVResult(
            score=Score(
                fold_accuracies=metrics["fold_accuracies"],
                oof_accuracy=metrics["oof_accuracy"],
                oof_accuracy_interval=tuple(metrics["oof_accuracy_interval"]),
                calibration_error=metrics["calibration_error"],
                confusion=Confusion(**metrics["costliest_confusion"], names=run.alphabet.names),
            ),
            oof_probabilities=run.oof_probabilities,
            test_probabilities=run.test_probabilities,
            elapsed_seconds=metrics["elapsed_seconds"],
            training_seconds=metrics["training_seconds"],
            run_dir=run.path,
            submission=Path(metrics["submission"]) if metrics["submission"] else None,
            unfit=metrics["unfit_for_competition"],
            single_split=metrics["single_split"],
            untrained_accuracy=metrics.get("untrained_accuracy"),  # runs of earlier versions did not measure it
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{run.path / METRICS} must be that of a finished run, but lacks {error}: run it anew."
        ) from error
    except ValueError as error:
        raise InputError(f"{run.path / METRICS} must be that of a finished run, but {error}: run it anew.") from error


def _check_numbers(metrics: dict[str, Any]) -> None:
    """Refuse numbers that no run has.

    Raises:
        KeyError: for one that is missing.
        ValueError: for one that is none, or out of its range.
    """
    measured = metrics.get("untrained_accuracy") is not None
    for name, most in {**LARGEST, **({"untrained_accuracy": 1.0} if measured else {})}.items():
        value = metrics[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise ValueError(f"{name} is {str(value)[:20]!r}")
