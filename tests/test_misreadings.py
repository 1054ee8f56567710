import numpy as np
import pytest

from digit_recognizer.reporting import held_out as misreadings
from digit_recognizer.reporting.held_out import HeldOutFold, find_misreadings

EVEN = np.repeat(np.arange(10), 100)


def read(changes, name="a, fold 1", labels=EVEN):
    """A fold read rightly but for `changes`: {(label, prediction): rows}."""
    predictions, used = labels.copy(), dict.fromkeys(range(10), 0)
    for (label, prediction), rows in changes.items():
        places = np.flatnonzero(labels == label)[used[label] :][:rows]
        predictions[places] = prediction
        used[label] += rows
    return HeldOutFold(name, labels, predictions)


def spread(per_pair):
    return {(a, b): per_pair for a in range(10) for b in range(10) if a != b}


def test_a_pair_that_takes_most_errors_of_every_fold_is_found_in_all_of_them():
    found = find_misreadings([read({(4, 9): rows, (2, 0): 1}) for rows in (8, 9, 10)])
    (pair,) = found.repeated
    assert (pair.label, pair.prediction, pair.rows, pair.exceeding) == (4, 9, 27, 3)
    assert pair.share == pytest.approx(27 / 300)
    assert found.pairs == (pair,)  # one row of 2 read as 0 in each fold is what chance hands out


def test_an_accident_of_one_fold_is_listed_but_not_as_repeated():
    found = find_misreadings([read({(4, 9): 8, (7, 1): 12}), read({(4, 9): 8}), read({(4, 9): 8})])
    assert [(pair.label, pair.prediction, pair.exceeding) for pair in found.pairs] == [(4, 9, 3), (7, 1, 1)]
    assert [(pair.label, pair.prediction) for pair in found.repeated] == [(4, 9)]


def test_what_chance_puts_among_the_repeated_is_told():
    by_hand = 90 * (0.05**3 + 3 * 0.05**2 * 0.95)  # two folds of three or all of them
    assert find_misreadings([read({})] * 3).by_chance == pytest.approx(by_hand)


def test_one_fold_repeats_nothing():
    found = find_misreadings([read({(4, 9): 50})])
    assert found.pairs and found.repeated == () and found.by_chance == 0


@pytest.mark.parametrize("changes", [{}, {(3, 5): 1}, spread(1), spread(5)])
def test_evenly_spread_errors_single_ones_and_none_at_all_exceed_nothing(changes):
    found = find_misreadings([read(changes)] * 2)
    assert found.pairs == () and not found.exceeding.any()


def test_a_frequent_class_may_be_misread_in_more_rows():
    labels = np.repeat([0, 1, *range(2, 10)], [2000, *[100] * 9])
    changes = {(0, b): 10 for b in range(1, 10)}  # all errors, of a class that has two thirds of all rows
    assert find_misreadings([read(changes, labels=labels)]).pairs == ()
    assert len(find_misreadings([read(changes)]).pairs) == 9


def test_direction_counts():
    found = find_misreadings([read({(4, 9): 10}), read({(9, 4): 10})])
    assert [(pair.label, pair.prediction, pair.exceeding) for pair in found.pairs] == [(4, 9, 1), (9, 4, 1)]


def test_classes_lost_whole_are_named_with_their_fold():
    found = find_misreadings([read({(4, 9): 50}, "a, fold 1"), read({(4, 9): 49, (0, 1): 100}, "b, fold 2")])
    assert found.lost == (("a, fold 1", 4), ("b, fold 2", 0))


def test_a_class_without_rows_is_neither_found_nor_lost():
    some = EVEN[EVEN != 3]
    found = find_misreadings([read({(4, 9): 10}, labels=some)])
    assert [(pair.label, pair.prediction) for pair in found.pairs] == [(4, 9)] and found.lost == ()


def test_the_figure_writes_how_often_and_in_how_many_rows():
    figure = misreadings._draw_misreadings(find_misreadings([read({(4, 9): 8}), read({(4, 9): 9, (7, 1): 12})]))
    cells = {tuple(round(c) for c in text.get_position()): text.get_text() for text in figure.axes[0].texts}
    assert cells == {(9, 4): "2\n(17)", (1, 7): "1\n(12)"}
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("prediction", "label")
    assert figure.axes[1].get_ylabel() == "nets, of 2"
    assert [tick for tick in figure.axes[1].get_yticks() if 0 <= tick <= 2] == [0, 1, 2]
