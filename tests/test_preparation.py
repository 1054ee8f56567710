import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.training.inputs import check_model_flags


def draw_bar(slant, left=11, wide=4):
    """A bar 16 px high that leans to the right by `slant` px per px, uint8 (1, 28, 28, 1)."""
    image = np.zeros((1, 28, 28, 1), np.uint8)
    for row in range(6, 22):
        start = left + round(slant * (13.5 - row))
        image[0, row, start : start + wide] = 255
    return image


def measure(image):
    """Slant, and the ink's centre of mass in px."""
    ink = image[0, ..., 0].astype(float)
    down, right = np.mgrid[:28, :28]
    y, x = (ink * down).sum() / ink.sum(), (ink * right).sum() / ink.sum()
    return -(ink * (down - y) * (right - x)).sum() / (ink * (down - y) ** 2).sum(), (y, x)


@pytest.mark.parametrize("slant", [-0.6, -0.2, 0.0, 0.5])
def test_deskewing_stands_a_bar_upright_in_the_middle(slant):
    before, _ = measure(draw_bar(slant))
    after, centre = measure(preprocess_images(draw_bar(slant), "deskew"))
    assert before == pytest.approx(slant, abs=0.05)
    assert after == pytest.approx(0, abs=0.02)
    assert centre == pytest.approx((13.5, 13.5), abs=0.1)


@pytest.mark.parametrize(("wide", "expected"), [(14, 20), (24, 20), (4, 7), (28, 20)])
def test_widening_fills_the_box_within_bounds_and_leaves_the_height(wide, expected):
    widened = preprocess_images(draw_bar(0, left=(28 - wide) // 2, wide=wide), "widen")[0, ..., 0]
    columns, rows = (np.flatnonzero((widened > 127).any(axis=axis)) for axis in (0, 1))
    assert abs(len(columns) - expected) <= 1
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(13.5, abs=1)
    assert list(rows) == list(range(6, 22))


@pytest.mark.parametrize("preprocess", ["none", "deskew", "widen"])
def test_what_holds_no_digit_stays_and_nothing_is_changed_in_place(preprocess):
    images = np.concatenate([np.zeros((1, 28, 28, 1), np.uint8), draw_bar(0.5)])
    kept = images.copy()
    prepared = preprocess_images(images, preprocess)
    assert prepared.dtype == np.uint8 and prepared.shape == images.shape
    assert np.array_equal(images, kept) and not prepared[0].any()
    assert (preprocess == "none") == np.array_equal(prepared, images)


def test_a_line_of_one_row_has_no_slant():
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[0, 9, 5:20] = 255
    assert np.array_equal(preprocess_images(image, "deskew"), image)


def test_a_backbone_takes_images_as_they_are():
    config = RunConfig(model="vgg16", weights="none", augmentation="none", preprocess="deskew")
    with expect_error("training.needs_images", column="--preprocess", received="deskew"):
        check_model_flags(config)


def test_training_and_test_rows_are_prepared_alike(tiny_dir):
    from digit_recognizer.data.dataset import load_dataset
    from digit_recognizer.training.inputs import make_inputs

    config = RunConfig(input_dir=tiny_dir, preprocess="widen")
    dataset = load_dataset(config)
    inputs = make_inputs((dataset.images, dataset.test_images), config)
    assert np.array_equal(inputs.train[0], preprocess_images(dataset.images, "widen"))
    assert np.array_equal(inputs.test, preprocess_images(dataset.test_images, "widen"))
    assert not np.array_equal(inputs.test, dataset.test_images)
