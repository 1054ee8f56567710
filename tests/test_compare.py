import importlib
import json

import numpy as np
import pytest
from conftest import expect_error, write_run
from scipy.stats import norm

from digit_recognizer import compare
from digit_recognizer.evaluation.metrics import compare_predictions, compute_difference_interval

pytestmark = pytest.mark.fast
command = importlib.import_module("digit_recognizer.compare")
TRAIN, TEST = np.arange(60) % 10, np.full((20, 10), 0.1)


def one_hot(labels, sure=0.9):
    return np.full((len(labels), 10), (1 - sure) / 9) + (sure - (1 - sure) / 9) * np.eye(10)[labels]


@pytest.fixture
def write(tiny_dir, tmp_path):
    """Writes a run folder of that name; of its out-of-fold rows those in `wrong` are wrong."""

    def write(name, wrong=(), oof=None, **metrics):
        labels = TRAIN.copy()
        labels[list(wrong)] = 9 - labels[list(wrong)]
        return write_run(tmp_path / name, tiny_dir, one_hot(labels) if oof is None else oof, TEST, **metrics)

    return write


def test_the_better_run_is_named_with_its_lead(write, capsys):
    good, bad = write("good", [0]), write("bad", range(1, 13))
    for pair, accuracies in [((good, bad), (59 / 60, 0.8)), ((bad, good), (0.8, 59 / 60))]:
        assert command.main([*map(str, pair)]) == 0  # the first run names the folder of the data
        assert f"{good} is better by 18.33 percentage points" in capsys.readouterr().out
        result = compare(*pair)
        assert (result.accuracy_one, result.accuracy_other) == pytest.approx(accuracies)
        assert result.p_value == pytest.approx(2 * 14 / 2**13)
        assert (result.rows, result.all_rows) == (60, 60)


def test_other_programs_get_the_comparison_as_json(write, capsys):
    good, bad = write("good", [0]), write("bad", range(1, 13))
    assert command.main([str(good), str(bad), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run_one"], row["only_one"], row["only_other"], row["significant"]) == (str(good), 12, 1, True)
    assert row["p_value"] == compare(str(good), str(bad)).p_value  # every digit of it
    assert row["low"] < row["difference"] < row["high"]


def test_a_lead_of_few_rows_is_not_significant(write):
    result = compare(write("one", range(1)), write("other", range(4)))
    assert not result.is_decided and "better" not in result.conclusion


def test_only_rows_that_both_held_out_are_compared(write):
    half = one_hot(TRAIN)
    half[30:] = np.nan
    result = compare(write("part", oof=half), write("whole", range(30, 60)))
    assert (result.accuracy_one, result.accuracy_other, result.rows) == (1, 1, 30)


def test_runs_that_cannot_be_compared_are_refused(write, tmp_path):
    run = write("run", [0])
    halves = [one_hot(TRAIN), one_hot(TRAIN, 0.8)]
    halves[0][30:], halves[1][:30] = np.nan, np.nan
    early, late = (write(f"half{n}", oof=half) for n, half in enumerate(halves))
    other, few = write("other", [1], train_sha256="0" * 64), write("few", oof=one_hot(TRAIN[:50]))
    nine = write("nine", oof=one_hot(TRAIN)[:, :9])
    for code, path, pair in [
        ("evaluation.same_predictions", run, (run, run)),
        ("evaluation.no_common_rows", early, (early, late)),
        ("evaluation.other_data", other, (run, other)),
        ("evaluation.part_of_rows", few, (few, run)),
        ("evaluation.class_count", nine / "oof_probabilities.npy", (nine, run)),
    ]:
        with expect_error(code, path=path):
            command.main([*map(str, pair), "--debug"])


def test_a_mistake_is_one_line_and_exit_code_2(write, capsys):
    for arguments in [["one"], ["one", "two", "three"], [str(write("run")), "nowhere"]]:
        assert command.main(arguments) == 2
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)


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


def test_exchanging_the_two_negates_the_difference():
    pair = right(900, 30, 12, 58)
    one, other = compare_predictions(*pair), compare_predictions(*pair[::-1])
    assert one.p_value == other.p_value
    assert one.difference == -other.difference
    assert one.interval == pytest.approx([-bound for bound in other.interval[::-1]])


def test_equal_predictions_are_not_a_difference():
    found = compare_predictions(*right(50, 0, 0, 5))
    assert (found.p_value, found.difference, found.is_decided) == (1.0, 0.0, False)
    assert found.interval[0] < 0 < found.interval[1]


@pytest.mark.parametrize(("only_one", "decided"), [(4, False), (5, False), (6, True), (20, True)])
def test_a_difference_needs_six_rows_on_one_side(only_one, decided):
    assert compare_predictions(*right(900, only_one, 0, 10)).is_decided is decided
    assert compare_predictions(*right(900, 0, only_one, 10)).is_decided is decided


def test_with_many_rows_the_interval_becomes_the_normal_one():
    one, other, rows = 9_000, 6_000, 100_000
    standard_error = np.sqrt((one + other) / rows - ((one - other) / rows) ** 2) / np.sqrt(rows)
    normal = (one - other) / rows + standard_error * norm.ppf([0.025, 0.975])
    assert compute_difference_interval(one, other, rows) == pytest.approx(normal, abs=0.02 * standard_error)


@pytest.mark.parametrize("counts", [(1, 0, 1), (0, 1, 1), (1, 1, 2), (0, 0, 1), (500, 500, 1000), (1000, 0, 1000)])
def test_the_interval_contains_its_estimate_and_stays_within_bounds(counts):
    low, high = compute_difference_interval(*counts)
    estimate = (counts[0] - counts[1]) / counts[2]
    assert -1 <= low <= estimate <= high <= 1 and low < high


@pytest.mark.parametrize(("one", "other"), [(0.004, 0.0), (0.01, 0.01), (0.05, 0.002), (0.3, 0.3), (0.5, 0.1)])
def test_the_interval_covers_the_true_difference_as_often_as_it_says(one, other):
    rng = np.random.default_rng(0)
    draws = rng.multinomial(500, [one, other, 1 - one - other], size=4_000)
    intervals = {pair: compute_difference_interval(*pair, 500) for pair in {*map(tuple, draws[:, :2].tolist())}}
    held = [low <= one - other <= high for low, high in (intervals[tuple(pair)] for pair in draws[:, :2].tolist())]
    assert np.mean(held) >= 0.94
