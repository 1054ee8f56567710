"""Calibration: that of the predictions which a model is 90 % sure of, nine in ten are right.

A model that was trained with label smoothing is right more often than it claims. One number, the temperature, mends
this for all classes and rows, and changes no predicted class (Guo, Pleiss, Sun and Weinberger 2017, arXiv 1706.04599).
"""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

CALIBRATION_BINS = 15  # the usual number since Guo et al. 2017
PARTS = 5  # of the rows; each is scaled by the temperature that the other four have
SMALLEST = 1e-12  # a probability of 0 has no logarithm
MAX_LOG_TEMPERATURE = math.log(20)


def find_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature under which the labels are most likely.

    A normal prior of its logarithm, as weak as one more row, keeps it near 1 where there are few rows or no errors.

    Args:
        probabilities: float (n, classes), rows sum to 1, n at least 1.
        labels: int (n,).

    Returns:
        0.05 to 20; below 1 if the predictions are right more often than they claim.

    Example:
        >>> modest = np.tile([[0.6, 0.4]], (100, 1))
        >>> round(find_temperature(modest, np.zeros(100, int)), 2) < 0.5
        True
    """
    from scipy.optimize import minimize_scalar

    logarithms = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST))
    rows = np.arange(len(labels))

    def measure_loss(log_temperature: float) -> float:
        scaled = logarithms / math.exp(log_temperature)
        highest = scaled.max(axis=1)
        sums = np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) + highest
        return float((sums - scaled[rows, labels]).sum() + log_temperature**2 / 2)

    bounds = (-MAX_LOG_TEMPERATURE, MAX_LOG_TEMPERATURE)
    return math.exp(minimize_scalar(measure_loss, bounds=bounds, method="bounded").x)


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Divide the logarithms of probabilities by a temperature; float32 (n, classes), rows sum to 1.

    The most probable class stays the most probable one, also where two become equal in float32.

    Example:
        >>> apply_temperature(np.array([[0.8, 0.2]]), 0.5).astype(float).round(2).tolist()
        [[0.94, 0.06]]
    """
    scaled = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: np.ndarray = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    winners = probabilities.argmax(axis=1)
    tied = np.flatnonzero(found.argmax(axis=1) != winners)
    found[tied, winners[tied]] = np.nextafter(found[tied].max(axis=1), np.float32(1))
    return found


def calibrate(oof: np.ndarray, labels: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, float]:
    """Calibrate out-of-fold probabilities, each row by the temperature that other rows have.

    Args:
        oof: float (n, classes), each row by a model that was not trained on it.
        labels: int (n,).
        held_out: bool (n,), whether a row was held out; the others stay as they are.

    Returns:
        float32 (n, classes), and the temperature that all held-out rows have, for new images.
    """
    calibrated, rows = oof.astype(np.float32), np.flatnonzero(held_out)
    if len(rows) <= PARTS:
        return calibrated, 1.0
    for part in range(PARTS):
        is_scaled = np.arange(len(rows)) % PARTS == part
        temperature = find_temperature(oof[rows[~is_scaled]], labels[rows[~is_scaled]])
        calibrated[rows[is_scaled]] = apply_temperature(oof[rows[is_scaled]], temperature)
    return calibrated, find_temperature(oof[rows], labels[rows])


def tabulate_calibration(probabilities: np.ndarray, labels: np.ndarray) -> "pd.DataFrame":
    """Compare how sure predictions are with how often they are right, in equal bins of the probability.

    Arguments as of `compute_calibration_error`, whose bins these are.

    Returns:
        A row per bin that holds predictions, in ascending order: low and high, its ends; rows, how many it holds;
        confidence, their mean probability; accuracy, the share that is right.
    """
    import pandas as pd

    confidence = probabilities.max(axis=1)
    frame = pd.DataFrame({
        "bin": _find_bins(confidence),
        "confidence": confidence.astype(np.float64),
        "accuracy": (probabilities.argmax(axis=1) == labels).astype(np.float64),
    })  # fmt: skip
    table = frame.groupby("bin").agg(
        rows=("bin", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    ends = {"low": table.index / CALIBRATION_BINS, "high": (table.index + 1) / CALIBRATION_BINS}
    return pd.DataFrame(ends, index=table.index).join(table).reset_index(drop=True)


def _find_bins(confidence: np.ndarray) -> np.ndarray:
    bins: np.ndarray = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return bins


def compute_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error (Guo et al. 2017): mean gap between confidence and accuracy over equal-width bins.

    Args:
        probabilities: float (n, classes), rows sum to 1.
        labels: int (n,).

    Returns:
        0 for a model that is right just as often as it claims; at most 1.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    gaps = np.bincount(
        _find_bins(confidence), weights=right - confidence.astype(np.float64), minlength=CALIBRATION_BINS
    )
    return float(np.abs(gaps).sum() / len(labels))
