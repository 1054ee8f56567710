import numpy as np
import pytest

from digit_recognizer.training.optimizers import build_schedule


def rates(name, steps=600, peak=2.0):
    schedule = build_schedule(name, peak, steps)
    return np.array([float(schedule(step)) for step in range(steps)])


@pytest.mark.parametrize("name", ["constant", "plateau"])
def test_a_rate_that_no_step_changes_is_a_number(name):
    assert build_schedule(name, 0.5, 10) == 0.5


def test_step_halves_five_times_at_equal_distances():
    assert np.array_equal(rates("step"), np.repeat(2.0 / 2 ** np.arange(6), 100))


def test_cosine_falls_from_the_peak_to_a_ten_thousandth():
    values = rates("cosine")
    assert values[0] == pytest.approx(2.0) and (np.diff(values) < 0).all()
    assert values[300] == pytest.approx(1.0, rel=1e-3)
    assert float(build_schedule("cosine", 2.0, 600)(600)) == pytest.approx(2e-4, rel=1e-3)


def test_one_cycle_rises_for_a_quarter_and_falls_for_the_rest():
    values = rates("one-cycle")
    assert values[0] == pytest.approx(0.08)
    assert values.argmax() == 150 and values.max() == pytest.approx(2.0)
    assert (np.diff(values[:150]) > 0).all() and (np.diff(values[150:]) < 0).all()


@pytest.mark.parametrize("name", ["step", "cosine", "one-cycle"])
def test_past_its_end_a_schedule_stays_where_it_ended(name):
    schedule = build_schedule(name, 1.0, 40)
    assert float(schedule(10_000)) == float(schedule(40)) > 0
