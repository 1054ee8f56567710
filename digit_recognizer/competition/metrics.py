"""Figures by which predictions are judged, each with its uncertainty or its definition."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digit_recognizer.data.alphabets import DIGITS

CONFIDENCE = 0.95
CALIBRATION_BINS = 15  # the usual number since Guo et al. 2017


@dataclass(frozen=True)
class Confusion:
    """The pair of classes that costs most: `label` read as `prediction` in `rows` rows; `names` are for the reader."""

    label: int
    prediction: int
    rows: int
    names: tuple[str, ...] = DIGITS.names

    def __str__(self) -> str:
        pair = f"{self.names[self.label]} read as {self.names[self.prediction]}"
        return f"{pair}: {self.rows} rows" if self.rows else "none"


def compute_accuracy_interval(correct: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy that holds it with 95 % probability at least (Clopper and Pearson 1934).

    Wilson's and Jeffreys' intervals are narrower, but hold some accuracies near 1, the ones that matter here, less than
    89 times in 100 (`benchmarks/coverage.py` prints how often).

    Args:
        correct: rows that were right.
        rows: all rows, at least 1.

    Returns:
        Lower and upper bound, both in [0, 1].
    """
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = betaincinv(correct, rows - correct + 1, tail) if correct else 0.0
    high = betaincinv(correct + 1, rows - correct, 1 - tail) if correct < rows else 1.0
    return float(low), float(high)


def compute_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap between confidence and accuracy over equal-width bins.

    Args:
        probabilities: float (n, classes), rows sum to 1.
        labels: int (n,).

    Returns:
        0 for a net that is right just as often as it claims; at most 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence.astype(np.float64), minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def find_costliest_confusion(
    labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] = DIGITS.names
) -> Confusion:
    """The most frequent wrong pair of (label, prediction); both int (n,), 0 to len(names) - 1."""
    classes = len(names)
    counts = np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(counts, 0)
    label, prediction = np.unravel_index(counts.argmax(), counts.shape)
    return Confusion(int(label), int(prediction), int(counts.max()), tuple(names))
