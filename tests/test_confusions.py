import numpy as np
import pytest

from digit_recognizer.reporting.error_report import find_repeated_confusions, format_pairs

pytestmark = pytest.mark.fast


def count(changes, rows=(100,) * 10):
    """A model's confusion matrix without errors but for `changes`: {(label, prediction): rows}."""
    counts = np.diag(rows)
    for (label, prediction), wrong in changes.items():
        counts[label, label] -= wrong
        counts[label, prediction] += wrong
    return counts


def find(*models):
    return find_repeated_confusions(np.stack(models))


def spread(per_pair):
    return {(a, b): per_pair for a in range(10) for b in range(10) if a != b}


def test_a_pair_that_takes_most_errors_of_every_model_is_repeated():
    found = find(*[count({(4, 9): rows, (2, 0): 1}) for rows in (8, 9, 10)])
    (pair,) = found.repeated.itertuples()
    assert (pair.label, pair.prediction, pair.rows, pair.models) == (4, 9, 27, 3)
    assert pair.share == pytest.approx(27 / 300)
    assert len(found.pairs) == 1  # one error of 2 as 0 in each model is chance
    assert format_pairs(found, "0123456789") == "4 as 9 (3 of 3 fold models)"


def test_an_accident_of_one_model_is_listed_but_not_repeated():
    found = find(count({(4, 9): 8, (7, 1): 12}), count({(4, 9): 8}), count({(4, 9): 8}))
    assert found.pairs[["label", "prediction", "models"]].values.tolist() == [[4, 9, 3], [7, 1, 1]]
    assert found.repeated[["label", "prediction"]].values.tolist() == [[4, 9]]


def test_the_number_of_pairs_that_chance_would_repeat():
    by_hand = 90 * (0.05**3 + 3 * 0.05**2 * 0.95)  # two models of three or all of them
    assert find(*[count({})] * 3).expected_by_chance == pytest.approx(by_hand)


def test_one_model_repeats_nothing():
    found = find(count({(4, 9): 50}))
    assert len(found.pairs) == 1 and found.repeated.empty and found.expected_by_chance == 0


@pytest.mark.parametrize("changes", [{}, {(3, 5): 1}, spread(1), spread(5)])
def test_evenly_spread_errors_single_ones_and_none_at_all_are_no_pairs(changes):
    assert find(count(changes), count(changes)).pairs.empty


def test_a_frequent_class_may_have_more_errors():
    changes = {(0, b): 10 for b in range(1, 10)}  # all errors, of a class that has two thirds of all rows
    assert find(count(changes, (2000, *[100] * 9))).pairs.empty
    assert len(find(count(changes)).pairs) == 9


def test_direction_counts():
    found = find(count({(4, 9): 10}), count({(9, 4): 10}))
    assert found.pairs[["label", "prediction", "models"]].values.tolist() == [[4, 9, 1], [9, 4, 1]]


def test_classes_of_which_half_is_wrong_are_failed():
    found = find(count({(4, 9): 50}), count({(4, 9): 49, (0, 1): 100}))
    assert np.argwhere(found.failed).tolist() == [[0, 4], [1, 0]]


def test_a_class_without_rows_is_neither_found_nor_failed():
    found = find(count({(4, 9): 10}, (100, 100, 100, 0, *[100] * 6)))
    assert found.pairs[["label", "prediction"]].values.tolist() == [[4, 9]] and not found.failed.any()
