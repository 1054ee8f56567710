"""What predictions are judged by: accuracy with its interval, confusions, and the paired comparison."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from digit_recognizer.console import show_as_text
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.evaluation.calibration import compute_calibration_error

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Confusion:
    """The most frequent confusion: `label` predicted as `prediction` in `rows` rows; `names` are the class names."""

    label: int
    prediction: int
    rows: int
    names: tuple[str, ...] = DIGITS.names

    def __str__(self) -> str:
        pair = f"{self.names[self.label]} read as {self.names[self.prediction]}"
        return f"{pair}: {self.rows} rows" if self.rows else "none"


@dataclass(frozen=True)
class Score:
    """How good out-of-fold probabilities are; `str` gives a table.

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

    _repr_pretty_ = show_as_text

    def to_json(self) -> dict[str, Any]:
        """What metrics.json has of it, for other programs: what is read again is scored again."""
        pair = {name: getattr(self.confusion, name) for name in ("label", "prediction", "rows")}
        numbers = {name: value for name, value in vars(self).items() if name != "confusion"}
        return {**numbers, "most_frequent_confusion": pair}

    @property
    def is_known(self) -> bool:
        """Whether there were labels to score by."""
        return not math.isnan(self.oof_accuracy)

    def __str__(self) -> str:
        low, high = self.oof_accuracy_interval
        folds, lowest, highest = len(self.fold_accuracies), min(self.fold_accuracies), max(self.fold_accuracies)
        rows = [
            ("out-of-fold accuracy", f"{self.oof_accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"),
            *([(f"{folds} folds", f"{lowest:.5f} to {highest:.5f}")] if folds > 1 else []),
            ("expected calibration error", f"{self.calibration_error:.5f}"),
            ("most frequent confusion", str(self.confusion)),
        ]
        return "\n".join(f"{name:<28}{value}" for name, value in rows)


UNKNOWN_SCORE = Score([], math.nan, (math.nan, math.nan), math.nan, Confusion(0, 0, 0))


@dataclass(frozen=True)
class Comparison:
    """Two predictions of the same rows, compared row by row.

    Attributes:
        rows: rows compared.
        accuracy_one, accuracy_other: share of them that each predicted correctly.
        only_one, only_other: rows that only one of the two predicted correctly. Only these distinguish the two.
        p_value: of the exact two-sided McNemar test; 1 if no row distinguishes the two.
        difference: `accuracy_one - accuracy_other`.
        interval: its 95 % interval.
    """

    rows: int
    accuracy_one: float
    accuracy_other: float
    only_one: int
    only_other: int
    p_value: float
    difference: float
    interval: tuple[float, float]

    @property
    def is_decided(self) -> bool:
        """Whether these rows show a difference: both the test and the interval must rule out that there is none."""
        low, high = self.interval
        return self.p_value < 1 - CONFIDENCE and not low <= 0 <= high


def evaluate(
    oof: np.ndarray,
    labels: np.ndarray,
    fold_of_row: np.ndarray | None = None,
    names: Sequence[str] = DIGITS.names,
) -> Score:
    """Score out-of-fold probabilities.

    Args:
        oof: float (n, classes), each row by a model that was not trained on it.
        labels: int (n,).
        fold_of_row: int (n,): the fold in which a row was held out; -1 for rows that never were, which don't count.
            None: all rows were held out, in one fold.
        names: of the classes.

    Example:
        >>> evaluate(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]), names="ab").oof_accuracy
        0.5
    """
    fold_of_row = np.zeros(len(labels), np.int16) if fold_of_row is None else fold_of_row
    held_out = fold_of_row >= 0
    oof, labels, fold_of_row = oof[held_out], labels[held_out], fold_of_row[held_out]
    predictions = oof.argmax(axis=1)
    correct = predictions == labels
    return Score(
        fold_accuracies=[float(correct[fold_of_row == fold].mean()) for fold in np.unique(fold_of_row)],
        oof_accuracy=float(correct.mean()),
        oof_accuracy_interval=compute_accuracy_interval(int(correct.sum()), len(correct)),
        calibration_error=compute_calibration_error(oof, labels),
        confusion=find_most_frequent_confusion(labels, predictions, names),
    )


def compute_accuracy_interval(correct: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy that covers it with at least 95 % probability (Clopper and Pearson 1934).

    Wilson's and Jeffreys' intervals are narrower, but cover some accuracies near 1, the ones that matter here, less
    than 89 times in 100 (`benchmarks/coverage.py` prints how often).

    Args:
        correct: rows that were predicted correctly.
        rows: all rows, at least 1.

    Returns:
        Lower and upper bound, both in [0, 1].

    Example:
        >>> low, high = compute_accuracy_interval(990, 1000)
        >>> f"{low:.4f} to {high:.4f}"
        '0.9817 to 0.9952'
    """
    from scipy.special import betaincinv  # the numbers of scipy.stats.beta.ppf, which takes twice as long to import

    tail = (1 - CONFIDENCE) / 2
    low = betaincinv(correct, rows - correct + 1, tail) if correct else 0.0
    high = betaincinv(correct + 1, rows - correct, 1 - tail) if correct < rows else 1.0
    return float(low), float(high)


def count_confusions(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """The confusion matrix: int64 (classes, classes), rows by label and prediction, which are int (n,)."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def find_most_frequent_confusion(
    labels: np.ndarray, predictions: np.ndarray, names: Sequence[str] = DIGITS.names
) -> Confusion:
    """The most frequent wrong pair of label and prediction; both int (n,), 0 to len(names) - 1."""
    counts = count_confusions(labels, predictions, len(names))
    np.fill_diagonal(counts, 0)
    label, prediction = np.unravel_index(counts.argmax(), counts.shape)
    return Confusion(int(label), int(prediction), int(counts.max()), tuple(names))


def compare_predictions(right_one: np.ndarray, right_other: np.ndarray) -> Comparison:
    """Compare two predictions of the same rows, which is far sharper than two accuracies side by side.

    The test is the exact form of McNemar's (1947): if both are equally good, a row that only one predicts correctly is
    as likely to be the one's as the other's.

    Args:
        right_one: bool (n,), whether the one predicted each row correctly; n is at least 1.
        right_other: bool (n,), the same of the other.
    """
    from scipy.stats import binomtest

    only_one, only_other = int((right_one & ~right_other).sum()), int((right_other & ~right_one).sum())
    discordant = only_one + only_other
    return Comparison(
        rows=len(right_one),
        accuracy_one=float(right_one.mean()),
        accuracy_other=float(right_other.mean()),
        only_one=only_one,
        only_other=only_other,
        p_value=float(binomtest(only_one, discordant).pvalue) if discordant else 1.0,
        difference=(only_one - only_other) / len(right_one),
        interval=compute_difference_interval(only_one, only_other, len(right_one)),
    )


def compute_difference_interval(only_one: int, only_other: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two accuracies on the same rows.

    The method of variance estimates recovery (MOVER) combines the exact intervals of both discordant shares, with the
    correlation that two shares of one sample have (Newcombe 1998, method 10, as generalised by Zou and Donner 2008). No
    library has it. Exact enumeration finds that it covers the true difference at least 95 times in 100, also where few
    rows are discordant. Tango's score interval, Bonett and Price's, and Newcombe's own method 10 cover it less often on
    the same grid (`benchmarks/coverage.py` prints how often).

    Args:
        only_one: rows that only the one predicted correctly.
        only_other: rows that only the other predicted correctly.
        rows: all rows compared, at least 1.

    Returns:
        Lower and upper bound, both in [-1, 1].
    """
    one, other = only_one / rows, only_other / rows
    low_one, high_one = compute_accuracy_interval(only_one, rows)
    low_other, high_other = compute_accuracy_interval(only_other, rows)
    correlation = 0.0
    if one < 1 and other < 1:
        correlation = -min(1.0, float(np.sqrt(one * other / ((1 - one) * (1 - other)))))

    def combine(a: float, b: float) -> float:
        return float(np.sqrt(a**2 + b**2 - 2 * correlation * a * b))

    difference = one - other
    low = difference - combine(one - low_one, high_other - other)
    high = difference + combine(high_one - one, other - low_other)
    return max(-1.0, low), min(1.0, high)
