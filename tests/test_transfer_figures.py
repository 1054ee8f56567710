"""What the figures of a transfer show, read from their axes."""

import numpy as np
import pytest

from digit_recognizer.transfer_learning import results as figures

CLASSES = ("alpha", "a class of many letters", "$c$")
LABELS = np.array([0, 0, 1, 2])
PROBABILITIES = np.array([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.1, 0.8, 0.1], [0.9, 0, 0.1]], np.float32)


def test_each_class_has_a_bar_with_its_count_the_largest_first():
    (axes,) = figures._draw_picture_counts({"a": 2, "b": 3000}).axes
    assert [bar.get_width() for bar in axes.patches] == [3000, 2]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["b", "a"]
    assert [text.get_text() for text in axes.texts] == ["3,000", "2"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("pictures", "class")


def test_of_many_classes_the_largest_have_bars():
    (axes,) = figures._draw_picture_counts({str(number): number for number in range(1, 201)}).axes
    assert len(axes.patches) == 60 and axes.get_ylabel() == "the 60 largest of 200 classes"


@pytest.mark.parametrize("channels", [1, 3])
def test_misread_pictures_are_shown_the_most_confident_first(channels):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, channels), np.uint8)
    figure = figures._draw_misread(images, LABELS, PROBABILITIES, CLASSES)
    shown = [axes for axes in figure.axes if axes.images]
    assert [np.asarray(axes.images[0].get_array()).tobytes() for axes in shown] == [
        images[3].tobytes(),
        images[1].tobytes(),
    ]
    assert shown[0].get_title() == "\\$c\\$,\nread alpha\n(0.90)"
    assert figure.get_suptitle().startswith("2 of 4 pictures misread;")


def test_every_figure_is_written(tmp_path):
    images = np.zeros((4, 8, 8, 1), np.uint8)
    history = [{"seed": 0, "part": "all", "epoch": 1, "loss": 1.0, "accuracy": 0.5}]
    figures.plot_picture_counts({"a": 1, "b": 2}, tmp_path / "a.png")
    figures.plot_transfer_curves(history, tmp_path / "b.png", "title")
    figures.plot_class_confusion(LABELS, PROBABILITIES.argmax(axis=1), CLASSES, tmp_path / "c.png")
    figures.plot_misread(images, LABELS, PROBABILITIES, CLASSES, tmp_path / "d.png")
    assert all((tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in "abcd")
