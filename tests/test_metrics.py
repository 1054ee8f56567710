import numpy as np
import pytest
from scipy.stats import binom

from digit_recognizer.evaluation.calibration import (
    apply_temperature,
    calibrate,
    compute_calibration_error,
    find_temperature,
    tabulate_calibration,
)
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, find_most_frequent_confusion


def test_accuracy_interval_agrees_with_published_values():
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 5
    for correct, rows, expected in [
        (81, 263, (0.2527, 0.3676)),
        (15, 148, (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1684)),
        (1, 29, (0.0009, 0.1776)),
    ]:
        assert compute_accuracy_interval(correct, rows) == pytest.approx(expected, abs=5e-5)


def test_accuracy_interval_stays_within_bounds_when_all_or_none_are_right():
    low, high = compute_accuracy_interval(29, 29)
    assert low == pytest.approx(0.025 ** (1 / 29)) and high == 1.0
    assert compute_accuracy_interval(0, 29) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize("rows", [100, 1_000, 42_000])
def test_accuracy_interval_holds_accuracies_near_one_as_often_as_it_says(rows):
    for accuracy in 1 - np.logspace(-4, -1, 13):
        right = np.arange(int(rows * (2 * accuracy - 1)) - 20 if rows > 1_000 else 0, rows + 1)
        chance = binom.pmf(right, rows, accuracy)
        likely = chance > 1e-9
        held = [low <= accuracy <= high for low, high in (compute_accuracy_interval(n, rows) for n in right[likely])]
        assert chance[likely][held].sum() >= 0.949999


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
    confusion = find_most_frequent_confusion(np.array([4, 4, 4, 7, 9]), np.array([4, 9, 9, 1, 9]))
    assert (confusion.label, confusion.prediction, confusion.rows) == (4, 9, 2)
    assert str(find_most_frequent_confusion(np.array([1]), np.array([1]))) == "none"


def test_the_bins_of_the_calibration_add_up_to_its_error():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(10), 500), rng.integers(0, 10, 500)
    table = tabulate_calibration(probabilities, labels)
    assert table["rows"].sum() == 500 and (table["rows"] > 0).all()
    assert table["confidence"].between(table["low"], table["high"]).all()
    error = (table["rows"] * (table["accuracy"] - table["confidence"]).abs()).sum() / 500
    assert error == pytest.approx(compute_calibration_error(probabilities, labels))


def draw_predictions(rows, temperature):
    """Probabilities that are calibrated once divided by a temperature, and labels drawn of them."""
    rng = np.random.default_rng(0)
    honest = rng.dirichlet(np.full(10, 0.2), rows)
    labels = (honest.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return apply_temperature(honest, 1 / temperature), labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_applied_is_found_again(temperature):
    probabilities, labels = draw_predictions(20_000, temperature)
    assert find_temperature(probabilities, labels) == pytest.approx(temperature, rel=0.03)


def test_few_rows_without_an_error_do_not_make_predictions_certain():
    assert find_temperature(np.tile([0.9, 0.1], (5, 1)), np.zeros(5, int)) > 0.3


def test_calibration_changes_no_class_and_no_row_that_was_never_held_out():
    probabilities, labels = draw_predictions(5_000, 0.5)
    held_out = np.arange(len(labels)) % 2 == 0
    oof = np.where(held_out[:, None], probabilities, np.nan)
    calibrated, temperature = calibrate(oof, labels, held_out)
    assert temperature == pytest.approx(0.5, rel=0.05)
    assert np.isnan(calibrated[~held_out]).all()
    assert (calibrated[held_out].argmax(axis=1) == probabilities[held_out].argmax(axis=1)).all()
    assert compute_calibration_error(probabilities[held_out], labels[held_out]) > 0.05
    assert compute_calibration_error(calibrated[held_out], labels[held_out]) < 0.02


@pytest.mark.parametrize("temperature", [0.05, 20.0])
def test_classes_that_are_nearly_as_probable_keep_their_order(temperature):
    almost = np.float32([[0.0, 0.49999997, 0.50000003], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
    assert apply_temperature(almost, temperature).argmax(axis=1).tolist() == [2, 1, 2]


def test_a_row_takes_no_part_in_its_own_temperature():
    probabilities, labels = draw_predictions(50, 1)
    other_label = labels.copy()
    other_label[7] = (labels[7] + 1) % 10
    rows = np.ones(50, bool)
    before, after = (calibrate(probabilities, drawn, rows)[0] for drawn in (labels, other_label))
    assert np.array_equal(before[7], after[7]) and not np.array_equal(before[8], after[8])
