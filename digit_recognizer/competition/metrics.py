"""Figures by which predictions are judged, each with its uncertainty or its definition."""

from dataclasses import dataclass

import numpy as np

NORMAL_QUANTILE_95 = 1.959963984540054  # two-sided 95 % of the standard normal distribution
CALIBRATION_BINS = 15  # the usual number since Guo et al. 2017


@dataclass(frozen=True)
class Confusion:
    """The pair of classes that costs most: `label` read as `prediction` in `rows` rows."""

    label: int
    prediction: int
    rows: int

    def __str__(self) -> str:
        return f"{self.label} read as {self.prediction}: {self.rows} rows" if self.rows else "none"


def compute_wilson_interval(correct: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy (Wilson 1927, score interval), which is honest near 0 and 1 as well.

    Args:
        correct: rows that were right.
        rows: all rows, at least 1.

    Returns:
        Lower and upper bound, both in [0, 1].
    """
    z = NORMAL_QUANTILE_95
    accuracy = correct / rows
    centre = (accuracy + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(accuracy * (1 - accuracy) / rows + z**2 / (4 * rows**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


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


def find_costliest_confusion(labels: np.ndarray, predictions: np.ndarray, classes: int = 10) -> Confusion:
    """The most frequent wrong pair of (label, prediction); both int (n,), 0 to classes - 1."""
    counts = np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)
    np.fill_diagonal(counts, 0)
    label, prediction = np.unravel_index(counts.argmax(), counts.shape)
    return Confusion(int(label), int(prediction), int(counts.max()))
