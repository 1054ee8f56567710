"""Where the gains of longer training end."""

import numpy as np
import pytest

from digit_recognizer.sweeps.statistics import find_plateau


def test_gains_end_where_they_cannot_be_told_from_the_seeds_noise():
    random = np.random.default_rng(0)
    rising = np.minimum(np.arange(1, 101), 60) / 100  # gains nothing from epoch 60 on
    late, epochs = 0, []
    for _ in range(400):
        plateau = find_plateau((rising + 0.01 * random.standard_normal((4, 100))).tolist())
        late += plateau.epoch > 60
        epochs.append(plateau.epoch)
    assert late <= 0.04 * 400  # 2.5 % and two standard errors
    assert 45 <= np.median(epochs) <= 60


def test_a_net_that_gains_to_the_last_epoch_has_no_plateau_and_one_seed_none_to_tell():
    curves = [[0.1 * epoch + 0.001 * seed for epoch in range(1, 6)] for seed in range(3)]
    assert find_plateau(curves).epoch is None
    assert find_plateau(curves[:1]) is None


def test_the_best_epoch_exceeds_the_last_by_the_mean_over_seeds():
    plateau = find_plateau([[0.5, 0.9, 0.8], [0.5, 0.7, 0.7]])
    assert plateau.excess == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("spread", "rows", "undecided"),
    [(0.001, 1000, False), (0.02, 1000, True), (0.02, 100, False), (0.001, 10**6, False)],
)
def test_an_end_of_gains_is_undecided_where_more_may_be_left_than_a_tenth_of_the_errors_and_twice_the_rows_noise(
    spread, rows, undecided
):
    curves = [[0.8, 0.8 + spread], [0.8, 0.8], [0.8, 0.8 - spread]]  # Student's t: 0 plus and minus 2.48 spreads
    plateau = find_plateau(curves)
    assert plateau.high == pytest.approx(4.303 * spread / 3**0.5, rel=1e-3)
    plateau = find_plateau(curves, 1 / rows)
    assert plateau.epoch == 1 and plateau.noise == pytest.approx((0.16 / rows) ** 0.5)
    assert plateau.undecided is undecided


def test_a_gain_that_is_nothing_beside_many_errors_is_much_beside_few():
    few, many = (find_plateau([[end, end + 0.002], [end, end], [end, end - 0.002]], 1e-6) for end in (0.98, 0.8))
    assert few.high == pytest.approx(many.high) and few.undecided and not many.undecided
