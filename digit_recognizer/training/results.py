"""What a run found: as an object, as the table that ends a run, and as metrics.json."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.console import format_seconds
from digit_recognizer.data.dataset import Dataset
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.splits import count_duplicates
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import (
    Confusion,
    compute_accuracy_interval,
    compute_calibration_error,
    find_most_frequent_confusion,
)
from digit_recognizer.training.run import CLASSES, METRICS, FinishedRun

LARGEST = {"oof_accuracy": 1.0, "calibration_error": 1.0, "elapsed_seconds": math.inf, "training_seconds": math.inf}


@dataclass(frozen=True)
class Score:
    """How good out-of-fold probabilities are.

    Attributes:
        fold_accuracies: one per fold that was held out.
        oof_accuracy: over all rows that were held out.
        oof_accuracy_interval: its 95 % interval, of Clopper and Pearson.
        calibration_error: expected calibration error.
        confusion: the most frequent one.
    """

    fold_accuracies: list[float]
    oof_accuracy: float
    oof_accuracy_interval: tuple[float, float]
    calibration_error: float
    confusion: Confusion


@dataclass(frozen=True)
class CVResult:
    """What cross-validation, or `train`, found and left.

    Attributes:
        score: of the out-of-fold probabilities.
        oof_probabilities: float32 (n, classes); NaN in rows that were never held out.
        test_probabilities: float32 (m, classes), mean over the fold models.
        elapsed_seconds: wall time, data and predictions included, Keras' import not.
        training_seconds: wall time of training alone.
        run_dir: the run folder.
        submission: the file written; None if test rows were left out.
        ineligible: why the submission must not enter the competition; None if it may.
        single_split: whether only one fold was held out (`train`).
        untrained_accuracy: of that model on the holdout before its first step; None of a cross-validation.
    """

    score: Score
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray
    elapsed_seconds: float
    training_seconds: float
    run_dir: Path
    submission: Path | None
    ineligible: str | None
    single_split: bool = False
    untrained_accuracy: float | None = None


def evaluate(
    oof: np.ndarray, labels: np.ndarray, fold_of_row: np.ndarray, names: Sequence[str] = DIGITS.names
) -> Score:
    """Score out-of-fold probabilities.

    Args:
        oof: float32 (n, classes).
        labels: int (n,).
        fold_of_row: int16 (n,): the fold in which a row was held out; -1 for rows that never were, which don't count.
        names: of the classes.
    """
    held_out = fold_of_row >= 0
    oof, labels, fold_of_row = oof[held_out], labels[held_out], fold_of_row[held_out]
    predictions = oof.argmax(axis=1)
    right = predictions == labels
    return Score(
        fold_accuracies=[float(right[fold_of_row == fold].mean()) for fold in np.unique(fold_of_row)],
        oof_accuracy=float(right.mean()),
        oof_accuracy_interval=compute_accuracy_interval(int(right.sum()), len(right)),
        calibration_error=compute_calibration_error(oof, labels),
        confusion=find_most_frequent_confusion(labels, predictions, names),
    )


def format_result(result: CVResult) -> str:
    """The table that ends a run."""
    score = result.score
    low, high = score.oof_accuracy_interval
    rows = []
    if len(score.fold_accuracies) > 1:
        rows += [(f"fold {fold} accuracy", f"{accuracy:.5f}") for fold, accuracy in enumerate(score.fold_accuracies)]
    name = "holdout accuracy" if result.single_split else "out-of-fold accuracy"
    rows.append((name, f"{score.oof_accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"))
    if result.untrained_accuracy is not None:
        rows.append(("before training", f"{result.untrained_accuracy:.5f}"))
    seconds = f"{format_seconds(result.elapsed_seconds)}, training {format_seconds(result.training_seconds)}"
    rows += [
        ("expected calibration error", f"{score.calibration_error:.5f}"),
        ("most frequent confusion", str(score.confusion)),
        ("time", seconds),
        ("submission", str(result.submission or "none, because not all test rows were predicted")),
    ]
    if result.ineligible:
        rows.append(("INELIGIBLE", result.ineligible))
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def describe_metrics(
    config: RunConfig, dataset: Dataset, result: CVResult, precision: str, differences: list[str]
) -> dict[str, Any]:
    """The content of metrics.json; `differences` are those of the environments in which the run was resumed."""
    score = result.score
    return {
        "model": config.model,
        "seed": config.seed,
        "oof_accuracy": score.oof_accuracy,
        "oof_accuracy_interval": list(score.oof_accuracy_interval),
        "fold_accuracies": score.fold_accuracies,
        "calibration_error": score.calibration_error,
        "most_frequent_confusion": {
            "label": score.confusion.label,
            "prediction": score.confusion.prediction,
            "rows": score.confusion.rows,
        },
        "elapsed_seconds": result.elapsed_seconds,
        "training_seconds": result.training_seconds,
        "precision": precision,
        "train_sha256": dataset.train_sha256,
        "test_sha256": dataset.test_sha256,
        "shared_test_rows": dataset.shared_test_rows,
        "duplicates": vars(count_duplicates(dataset.groups)),
        "ineligible": result.ineligible,
        "submission": str(result.submission) if result.submission else None,
        "single_split": result.single_split,
        "untrained_accuracy": result.untrained_accuracy,
        "resumed_with_differences": differences,
        **({} if dataset.label_set == DIGITS else {CLASSES: dataset.label_set.to_json()}),
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
                confusion=Confusion(**metrics["most_frequent_confusion"], names=run.label_set.names),
            ),
            oof_probabilities=run.oof_probabilities,
            test_probabilities=run.test_probabilities,
            elapsed_seconds=metrics["elapsed_seconds"],
            training_seconds=metrics["training_seconds"],
            run_dir=run.path,
            submission=Path(metrics["submission"]) if metrics["submission"] else None,
            ineligible=metrics["ineligible"],
            single_split=metrics["single_split"],
            untrained_accuracy=metrics["untrained_accuracy"],
        )
    except KeyError as error:
        raise InputError("run.metric_missing", path=run.path / METRICS, column=str(error).strip("'")) from error
    except (TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("run.metrics_invalid", path=run.path / METRICS, reason=error) from error


def _check_numbers(metrics: dict[str, Any]) -> None:
    """Refuse numbers that no run has.

    Raises:
        KeyError: for one that is missing.
        ValueError: for one that is none, or out of its range.
    """
    measured = metrics["untrained_accuracy"] is not None
    for name, most in {**LARGEST, **({"untrained_accuracy": 1.0} if measured else {})}.items():
        value = metrics[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise ValueError(f"{name} is {str(value)[:20]!r}")
