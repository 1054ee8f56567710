import numpy as np
import pytest
from scipy.stats import norm

from digit_recognizer.evaluation.metrics import compare_predictions, compute_difference_interval


def right(both, only_one, only_other, neither):
    """Two columns of right and wrong rows with the given counts."""
    counts = [both, only_one, only_other, neither]
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_the_exact_test_agrees_with_the_binomial_sum():
    # 6 of 7 discordant rows: 2 * (C(7,6) + C(7,7)) / 2**7
    found = compare_predictions(*right(90, 6, 1, 3))
    assert found.p_value == pytest.approx(2 * (7 + 1) / 2**7)
    assert (found.rows, found.only_one, found.only_other) == (100, 6, 1)
    assert (found.accuracy_one, found.accuracy_other) == (0.96, 0.91)
    assert found.difference == pytest.approx(0.05)


def test_exchanging_the_two_turns_the_difference_round():
    pair = right(900, 30, 12, 58)
    one, other = compare_predictions(*pair), compare_predictions(*pair[::-1])
    assert one.p_value == other.p_value
    assert one.difference == -other.difference
    assert one.interval == pytest.approx([-bound for bound in other.interval[::-1]])


def test_rows_that_tell_nothing_apart_decide_nothing():
    found = compare_predictions(*right(50, 0, 0, 5))
    assert (found.p_value, found.difference, found.is_decided) == (1.0, 0.0, False)
    assert found.interval[0] < 0 < found.interval[1]


@pytest.mark.parametrize(("only_one", "decided"), [(4, False), (5, False), (6, True), (20, True)])
def test_a_difference_is_decided_from_six_rows_of_one_side_on(only_one, decided):
    assert compare_predictions(*right(900, only_one, 0, 10)).is_decided is decided
    assert compare_predictions(*right(900, 0, only_one, 10)).is_decided is decided


def test_with_many_rows_the_interval_becomes_the_normal_one():
    one, other, rows = 9_000, 6_000, 100_000
    standard_error = np.sqrt((one + other) / rows - ((one - other) / rows) ** 2) / np.sqrt(rows)
    normal = (one - other) / rows + standard_error * norm.ppf([0.025, 0.975])
    assert compute_difference_interval(one, other, rows) == pytest.approx(normal, abs=0.02 * standard_error)


@pytest.mark.parametrize("counts", [(1, 0, 1), (0, 1, 1), (1, 1, 2), (0, 0, 1), (500, 500, 1000), (1000, 0, 1000)])
def test_the_interval_holds_its_estimate_and_stays_within_bounds(counts):
    low, high = compute_difference_interval(*counts)
    estimate = (counts[0] - counts[1]) / counts[2]
    assert -1 <= low <= estimate <= high <= 1 and low < high


@pytest.mark.parametrize(("one", "other"), [(0.004, 0.0), (0.01, 0.01), (0.05, 0.002), (0.3, 0.3), (0.5, 0.1)])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(one, other):
    rng = np.random.default_rng(0)
    draws = rng.multinomial(500, [one, other, 1 - one - other], size=4_000)
    intervals = {pair: compute_difference_interval(*pair, 500) for pair in {*map(tuple, draws[:, :2].tolist())}}
    held = [low <= one - other <= high for low, high in (intervals[tuple(pair)] for pair in draws[:, :2].tolist())]
    assert np.mean(held) >= 0.94


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.ones(3), np.ones(3, bool)),
        (np.ones(3, bool), np.ones(2, bool)),
        (np.ones(0, bool), np.ones(0, bool)),
        (np.ones((2, 2), bool), np.ones((2, 2), bool)),
    ],
)
def test_what_is_no_pair_of_judgements_is_refused(one, other):
    with pytest.raises(ValueError, match="must be bool"):
        compare_predictions(one, other)
