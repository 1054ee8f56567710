import numpy as np
import pytest

from digit_recognizer.data.labels import FASHION
from digit_recognizer.reporting.error_report import find_confidently_wrong, find_hardest, plot_rows

pytestmark = pytest.mark.fast
LABELS = np.array([0, 1, 1, 2, 4, 4, 4, 5, 6, 7, 8, 9])
IMAGES = np.random.default_rng(0).integers(1, 256, (12, 28, 28, 1), dtype=np.uint8)
NAN = np.full(10, np.nan, np.float32)


def give_own(labels, own):
    """Probabilities in which each label gets `own`, the next class 0.75 of the rest, the one after it 0.25."""
    labels, own = np.asarray(labels), np.asarray(own)
    probabilities, every = np.zeros((len(labels), 10), np.float32), np.arange(len(labels))
    probabilities[every, labels] = own
    probabilities[every, (labels + 1) % 10] = 0.75 * (1 - own)
    probabilities[every, (labels + 2) % 10] = 0.25 * (1 - own)
    return probabilities


def test_hardest_rows_come_in_the_order_of_their_labels_probability():
    probabilities = give_own([3, 4, 5, 6, 7], [0.5, 0.1, 0.9, 0.1, 0.0])
    found = find_hardest(np.array([3, 4, 5, 6, 7]), probabilities, 4)
    assert found.tolist() == [4, 1, 3, 0] and found.dtype == np.int64  # 1 before 3: equals keep their order


def test_rows_never_held_out_are_not_among_the_hardest():
    labels = np.array([3, 4, 5, 6])
    probabilities = give_own(labels, [0.5, 0.1, 0.9, 0.2])
    probabilities[1] = NAN
    assert find_hardest(labels, probabilities, 40).tolist() == [3, 0, 2]
    assert find_hardest(labels, np.tile(NAN, (4, 1)), 40).tolist() == []


def test_rows_are_drawn_with_label_prediction_and_probability():
    probabilities = give_own(LABELS, np.linspace(0.1, 0.65, 12))
    figure = plot_rows(IMAGES, LABELS, probabilities, np.arange(1, 4), "0123456789", "three rows")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [
        "row 2\n1 → 2, 0.64",  # 0.75 of what the label leaves
        "row 3\n1 → 2, 0.60",
        "row 4\n2 → 3, 0.56",
    ]
    sheet = np.asarray(axes.images[0].get_array())
    for text, row in zip(axes.texts, (1, 2, 3), strict=True):
        middle, above = text.get_position()
        top, left = round(above) + 1, round(middle) - 14
        assert np.array_equal(sheet[top : top + 28, left : left + 28], IMAGES[row, ..., 0])
    assert figure.get_suptitle() == "three rows"


def test_confident_errors_come_in_the_order_of_the_predictions_probability():
    labels = np.array([3, 4, 5, 6, 7])
    probabilities = give_own(labels, [0.9, 0.2, 0.1, 0.3, 0.0])
    probabilities[4] = NAN
    assert find_confidently_wrong(labels, probabilities, 40).tolist() == [2, 1, 3]  # 0 is right, 4 was never held out
    assert find_confidently_wrong(labels, probabilities, 1).tolist() == [2]
    assert find_confidently_wrong(labels, give_own(labels, np.ones(5)), 40).tolist() == []


def test_a_row_may_be_hard_and_yet_not_confidently_wrong():
    labels = np.array([0, 0])
    spread = np.array([[0.05, *[0.95 / 9] * 9], [0.08, 0.92, *[0] * 8]], np.float32)
    assert find_hardest(labels, spread, 1).tolist() == [0]
    assert find_confidently_wrong(labels, spread, 1).tolist() == [1]


@pytest.mark.parametrize("names", [FASHION.names, tuple(f"{n} Wellington" for n in range(10)), tuple("0123456789")])
def test_words_above_images_do_not_overlap(names):
    labels = np.arange(40) % 10
    images = np.tile(IMAGES, (4, 1, 1, 1))[:40]
    figure = plot_rows(images, labels, give_own(labels, np.full(40, 0.01)), np.arange(40), names, "forty rows")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.texts[0].get_text().replace("\n", " ").replace(",", "") == f"row 1 {names[0]} → {names[1]} 0.74"
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number])
