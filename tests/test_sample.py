import numpy as np
import pytest

from digit_recognizer.data.sources import build_sample, centre_by_mass, draw_digit


@pytest.fixture(scope="module")
def sample():
    return build_sample()


def test_the_sample_has_1300_training_and_497_test_rows(sample):
    assert sample.train_pixels.shape == (1300, 784)
    assert sample.test_pixels.shape == (497, 784)
    assert (len(sample.train_labels), len(sample.test_labels)) == (1300, 497)
    assert sample.train_pixels.dtype == np.uint8


def test_every_class_is_split_in_the_same_proportion(sample):
    train, test = np.bincount(sample.train_labels), np.bincount(sample.test_labels)
    assert len(train) == len(test) == 10
    np.testing.assert_allclose(test / (train + test), 497 / 1797, atol=0.01)


def test_every_call_draws_the_same_sample(sample):
    again = build_sample()
    np.testing.assert_array_equal(again.train_pixels, sample.train_pixels)
    np.testing.assert_array_equal(again.test_labels, sample.test_labels)


def test_the_ink_of_every_digit_is_20_px_at_its_longer_side(sample):
    for image in np.concatenate([sample.train_pixels, sample.test_pixels]).reshape(-1, 28, 28):
        height, width = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        longer = max(height[-1] - height[0], width[-1] - width[0]) + 1
        assert longer == 20


def test_the_mass_of_every_digit_lies_at_the_centre(sample):
    images = np.concatenate([sample.train_pixels, sample.test_pixels]).reshape(-1, 28, 28).astype(float)
    middle = np.arange(28) + 0.5
    for axis in (1, 2):
        mass = images.sum(axis=axis)
        centre = (mass * middle).sum(axis=1) / mass.sum(axis=1)
        assert np.abs(centre - 14).max() <= 0.51


def test_ink_is_white_on_black_with_grey_rims(sample):
    assert sample.train_pixels.max() == 255
    assert (sample.train_pixels[:, :28] == 0).all()
    grey = (sample.train_pixels > 0) & (sample.train_pixels < 255)
    assert grey.any(axis=1).mean() > 0.99


def test_a_nearest_neighbour_reads_the_sample(sample):
    """Digits that were mangled in drawing could not be told apart."""
    train, test = (pixels.astype(np.float32) for pixels in (sample.train_pixels, sample.test_pixels))
    distances = (train**2).sum(axis=1) - 2 * test @ train.T
    assert (sample.train_labels[distances.argmin(axis=1)] == sample.test_labels).mean() > 0.95


def test_an_upright_stroke_keeps_its_aspect():
    ink = np.zeros((8, 8))
    ink[:, 3:5] = 16
    image = draw_digit(ink)
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == 20
    assert 3 <= columns[-1] - columns[0] + 1 <= 8


def test_lopsided_ink_stays_on_the_paper():
    ink = np.zeros((20, 20), np.float32)
    ink[0, :] = 1
    ink[:, 0] = 0.01
    paper = centre_by_mass(ink)
    assert paper.shape == (28, 28)
    assert paper.sum() == pytest.approx(ink.sum())
