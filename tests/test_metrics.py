import numpy as np
import pytest

from digit_recognizer.competition.metrics import (
    compute_calibration_error,
    compute_wilson_interval,
    find_costliest_confusion,
)


def test_wilson_interval_agrees_with_published_values():
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3
    for correct, rows, expected in [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611))]:
        assert compute_wilson_interval(correct, rows) == pytest.approx(expected, abs=5e-5)


def test_wilson_interval_stays_within_bounds_when_all_are_right():
    low, high = compute_wilson_interval(29, 29)
    assert 0.88 < low < 0.89 and high == 1.0


def test_calibration_error_is_zero_for_honest_and_large_for_boastful_confidence():
    labels = np.array([0] * 8 + [1] * 2)
    honest = np.tile([0.8, 0.2], (10, 1))
    assert compute_calibration_error(honest, labels) == pytest.approx(0, abs=1e-12)
    assert compute_calibration_error(np.tile([1.0, 0.0], (10, 1)), labels) == pytest.approx(0.2)


def test_calibration_error_is_the_mean_gap_over_fifteen_bins():
    # three rows at 0.58 (one right), two at 0.95 (both right): bins 8 and 14 of 15
    confidence = np.array([0.58, 0.58, 0.58, 0.95, 0.95])
    probabilities = np.column_stack([confidence, 1 - confidence])
    gap = abs(1 - 3 * 0.58) + abs(2 - 2 * 0.95)
    assert compute_calibration_error(probabilities, np.array([0, 1, 1, 0, 0])) == pytest.approx(gap / 5)


def test_costliest_confusion_is_the_most_frequent_wrong_pair():
    confusion = find_costliest_confusion(np.array([4, 4, 4, 7, 9]), np.array([4, 9, 9, 1, 9]))
    assert (confusion.label, confusion.prediction, confusion.rows) == (4, 9, 2)
    assert str(find_costliest_confusion(np.array([1]), np.array([1]))) == "none"
