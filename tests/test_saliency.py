import keras
import numpy as np
import pytest
from keras import layers

from digit_recognizer.reporting import model_report as readings
from digit_recognizer.reporting import model_report as saliency
from digit_recognizer.reporting.filters import open_network
from digit_recognizer.reporting.model_report import Saliency, compute_saliency, tabulate_readings

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 28, 28, 1), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
PROBABILITIES = np.eye(3)[(LABELS + (np.arange(11) == 4)) % 3] * 0.7 + 0.1  # example 5 alone is read wrongly


@pytest.fixture(scope="module")
def looks_at_one_corner():
    """A net of two classes; ink around row 5, column 23 speaks for the second."""
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(inputs)))
    weights = np.zeros((28, 28, 2), np.float32)
    weights[4:7, 22:25, 1] = 1
    model.set_weights([weights.reshape(784, 2), np.array([0, -2], np.float32)])
    return open_network(model)


def find_lowest(found):
    return np.unravel_index(found.changes.argmin(), found.changes.shape)


def test_the_probability_falls_most_where_the_patch_covers_what_the_net_looks_at(looks_at_one_corner):
    image = np.zeros((28, 28, 1), np.uint8)
    image[4:7, 22:25] = 255
    found = compute_saliency(looks_at_one_corner, image)
    assert (found.predicted, found.changes.shape, found.patch_px) == (1, (14, 14), 5)
    assert found.probability == pytest.approx(1 / (1 + np.exp(-7)), abs=1e-5)  # nine pixels of ink, less 2
    assert find_lowest(found) == (2, 11)  # cell 2 is centred on pixel 5, cell 11 on pixel 23
    grey = 1 / (1 + np.exp(-(9 * 128 / 255 - 2)))
    assert found.changes[2, 11] == pytest.approx(grey - found.probability, abs=1e-5)
    assert found.changes[10, 3] == 0  # the net does not look there


def test_the_class_that_is_watched_is_the_one_that_was_read_before_the_patch_came(looks_at_one_corner):
    found = compute_saliency(looks_at_one_corner, np.zeros((28, 28, 1), np.uint8))
    assert found.predicted == 0 and find_lowest(found) == (2, 11)  # grey there draws the ink of the other class
    assert found.changes.min() < -0.5 and found.changes.max() == 0


def test_changes_are_drawn_on_one_scale_with_nothing_in_its_middle():
    first, second = (Saliency(1, 0.9, np.full((14, 14), change, np.float32), 5) for change in (-0.4, 0.1))
    figure = saliency._draw_saliency(IMAGES[:2], ["one", "two"], [first, second])
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["one", "two"]
    assert [axes.images[0].get_clim() for axes in panels] == [pytest.approx((-0.4, 0.4))] * 2
    assert figure.axes[-1].get_xlabel() == "change in the probability of the class that was read"


def test_changes_that_are_all_but_none_are_not_blown_up():
    same = Saliency(1, 0.9, np.full((14, 14), 1e-7, np.float32), 5)
    figure = saliency._draw_saliency(np.zeros((1, 28, 28, 1), np.uint8), ["blank"], [same])
    assert figure.axes[0].images[0].get_clim() == (-0.01, 0.01)


def test_the_table_has_vectors_argmax_and_label_and_marks_the_wrong_ones():
    header, *rows = tabulate_readings(PROBABILITIES, LABELS)
    assert header == ("example", "argmax", "label", "", "P(0)", "P(1)", "P(2)")
    assert len(rows) == 10
    assert rows[0] == ("1", "0", "0", "", "0.8000", "0.1000", "0.1000")
    assert rows[4] == ("5", "2", "1", "wrong", "0.1000", "0.1000", "0.8000")
    assert [row[3] for row in rows].count("wrong") == 1


def test_nine_readings_are_drawn_and_the_wrong_one_is_framed():
    panels = readings._draw_readings(IMAGES, PROBABILITIES, LABELS).axes
    assert len(panels) == 9 and panels[0].get_title() == "1: read 0 (0.800)"
    assert panels[4].get_title() == "5: read 2 (0.800),\nwrong: label 1"
    assert [axes.axison for axes in panels] == [number == 4 for number in range(9)]
    for axes, image in zip(panels, IMAGES, strict=False):
        assert np.array_equal(axes.images[0].get_array(), image[..., 0])


def test_fewer_than_nine_readings_leave_gaps():
    panels = readings._draw_readings(IMAGES[:2], PROBABILITIES[:2], LABELS[:2]).axes
    assert [bool(axes.images) for axes in panels] == [True] * 2 + [False] * 7
    assert len(tabulate_readings(PROBABILITIES[:2], LABELS[:2])) == 3
