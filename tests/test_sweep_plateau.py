"""Where the gains of longer training end."""

import numpy as np
import pytest

from digit_recognizer.sweeps.plateau import find_plateau


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
