import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.data.splits import assign_folds, draw_stratified_rows

pytestmark = pytest.mark.fast

LABELS = np.repeat(np.arange(10), [50, 60, 40, 50, 50, 30, 50, 70, 50, 50])
ALONE = np.arange(len(LABELS))  # each row is a group by itself


def test_every_row_is_held_out_exactly_once_and_folds_are_stratified():
    folds = assign_folds(LABELS, 5, 3, ALONE)
    assert set(folds) == set(range(5))
    for label in range(10):
        counts = np.bincount(folds[label == LABELS], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_equal_seeds_give_equal_folds_and_others_differ():
    assert np.array_equal(assign_folds(LABELS, 5, 1, ALONE), assign_folds(LABELS, 5, 1, ALONE))
    assert not np.array_equal(assign_folds(LABELS, 5, 1, ALONE), assign_folds(LABELS, 5, 2, ALONE))


def test_a_class_rarer_than_the_folds_is_refused_by_name():
    with expect_error("data.folds", received=5, label=7, rows=3):
        assign_folds(np.array([1] * 9 + [7] * 3), 5, 0, np.arange(12))


@pytest.mark.parametrize("seed", range(5))
def test_rows_of_a_group_never_straddle_folds_and_each_row_is_held_out_once(seed):
    groups = np.random.default_rng(seed).integers(0, 350, len(LABELS))  # several rows a group, mixed labels among them
    folds = assign_folds(LABELS, 5, seed, groups)
    assert folds.shape == LABELS.shape and set(folds) == set(range(5))
    for group in np.unique(groups):
        assert len(set(folds[groups == group])) == 1


def test_groups_keep_the_class_shares_near():
    copies = np.concatenate([np.arange(len(LABELS)), np.arange(0, len(LABELS), 10)])  # every tenth row twice
    labels = LABELS[copies]
    folds = assign_folds(labels, 5, 0, groups=copies)
    for label in range(10):
        counts = np.bincount(folds[labels == label], minlength=5)
        assert counts.max() - counts.min() <= 6 and counts.min() >= 0.7 * counts.mean()


def test_folds_do_not_depend_on_how_groups_are_numbered():
    groups = np.random.default_rng(1).integers(0, 400, len(LABELS))
    assert np.array_equal(assign_folds(LABELS, 5, 3, groups), assign_folds(LABELS, 5, 3, 1_000 - 2 * groups))


def test_a_class_of_copies_is_as_rare_as_its_images():
    labels, groups = np.array([1] * 9 + [7] * 9), np.array([*range(9), *[20] * 7, 21, 22])
    with expect_error("data.folds", received=5, label=7, rows=3):
        assign_folds(labels, 5, 0, groups)
    with expect_error("data.folds", received=2, label=7, rows=0):  # all its rows are copies of 1s
        assign_folds(np.array([1, 1, 1, 7, 7]), 2, 0, groups=np.array([0, 1, 2, 0, 1]))


def test_drawn_and_other_rows_share_nothing_and_miss_nothing():
    drawn, rest = draw_stratified_rows(LABELS, 50, seed=0)
    assert len(drawn) == 50
    assert np.array_equal(np.sort(np.concatenate([drawn, rest])), np.arange(len(LABELS)))
    assert set(LABELS[drawn]) == set(range(10))


@pytest.mark.parametrize("count", [0, 1, 9, 250, 499, 500])
def test_any_number_of_rows_can_be_drawn_each_class_giving_its_share(count):
    drawn, rest = draw_stratified_rows(LABELS, count, seed=0)
    assert (len(drawn), len(rest)) == (count, 500 - count)
    for label in range(10):
        share = count * (label == LABELS).mean()
        assert abs((LABELS[drawn] == label).sum() - share) <= 1


def test_draws_differ_between_seeds_only():
    assert np.array_equal(draw_stratified_rows(LABELS, 99, 1)[0], draw_stratified_rows(LABELS, 99, 1)[0])
    assert not np.array_equal(draw_stratified_rows(LABELS, 99, 1)[0], draw_stratified_rows(LABELS, 99, 2)[0])
