"""Altered copies: the pictures themselves first, then as many of each as asked for, alike and never the same."""

import numpy as np
import pytest
from drawn_letters import draw_letter

from digit_recognizer.transfer_learning.training import make_copies, vary_strokes


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    drawn = [draw_letter(kind, rng).resize((28, 28)) for kind in ("ring", "cross", "hook")]
    return np.stack([255 - np.asarray(image) for image in drawn])[..., None]


def test_the_pictures_come_first_and_every_copy_is_of_the_picture_in_its_place(images):
    copies = make_copies(images, 40, np.random.default_rng(0))
    assert copies.shape == (41 * 3, 28, 28, 1) and copies.dtype == np.uint8
    np.testing.assert_array_equal(copies[:3], images)
    mean = copies.reshape(41, 3, -1).astype(float)[1:].mean(axis=0)
    likeness = np.corrcoef(np.concatenate([mean, images.reshape(3, -1)]))[:3, 3:]
    assert likeness.argmax(axis=1).tolist() == [0, 1, 2]
    assert len({copy.tobytes() for copy in copies}) == len(copies)


def test_equal_generators_make_equal_copies_and_none_leave_the_pictures(images):
    first, second = (make_copies(images, 5, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(make_copies(images, 0, np.random.default_rng(3)), images)


def test_strokes_become_thinner_and_thicker_and_a_thin_one_is_not_lost(images):
    many = np.repeat(images[:1, ..., 0], 200, axis=0)
    ink = np.sort(np.unique(vary_strokes(many, np.random.default_rng(0)).sum(axis=(1, 2), dtype=np.int64)))
    assert len(ink) == 4, "four pens"
    assert ink[0] < int(images[0].sum()) < ink[2] < ink[3]
    hair = np.zeros((200, 28, 28), np.uint8)
    hair[:, 5:20, 14] = 255
    assert vary_strokes(hair, np.random.default_rng(0)).sum(axis=(1, 2), dtype=np.int64).min() == 15 * 255
