from dataclasses import replace

import cv2
import numpy as np
import pytest

from digit_recognizer.config import RunConfig
from digit_recognizer.data import splits
from digit_recognizer.data.dataset import find_ineligible, load_test, load_train, make_dataset
from digit_recognizer.data.splits import (
    NEAR_DISTANCE,
    count_duplicates,
    estimate_augmented_share,
    find_duplicate_groups,
    find_shared_rows,
)

pytestmark = pytest.mark.fast


def draw_strokes(count, seed):
    """Sheets with two random strokes and some specks each, uint8 (n, 784); some lie near each other by chance."""
    rng = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        row, column, left, top = rng.integers(4, 20, 4)
        image[row : row + 4, min(left, 10) : 24] = rng.integers(100, 256)
        image[min(top, 10) : 24, column : column + 3] = rng.integers(100, 256)
        image[4:24, 4:24][rng.random((20, 20)) < 0.02] = 40
    return images.reshape(count, 784)


def retouch(pixels, seed, grey_levels=6):
    noise = np.random.default_rng(seed).normal(0, grey_levels, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def centre_slowly(row):
    mass, image = int(row.sum()), row.reshape(28, 28)
    if mass == 0:
        return image
    moments = (image.sum(axis=1) @ np.arange(28), image.sum(axis=0) @ np.arange(28))
    return np.roll(image, [14 - (2 * int(moment) + mass) // (2 * mass) for moment in moments], axis=(0, 1))


def group_slowly(pixels):
    """The definition, by brute force: every pair in both looks, then a walk through the neighbours."""
    near = np.zeros((len(pixels), len(pixels)), bool)
    for look in (pixels, np.stack([centre_slowly(row).ravel() for row in pixels])):
        rows = look.astype(np.float64)
        lengths = np.sqrt((rows**2).sum(axis=1))
        near |= rows @ rows.T > (1 - NEAR_DISTANCE**2 / 2) * np.outer(lengths, lengths)
        near |= (lengths == 0) & (lengths == 0)[:, None]
    groups = np.full(len(pixels), -1)
    for start in range(len(pixels)):
        if groups[start] < 0:
            group, waiting = groups.max() + 1, [start]
            while waiting:
                row = waiting.pop()
                if groups[row] < 0:
                    groups[row] = group
                    waiting += list(np.flatnonzero(near[row] & (groups < 0)))
    return groups


@pytest.fixture(scope="module")
def planted():
    """3,100 rows: strokes, exact, retouched, moved, fainter and chained copies of some, blank and level rows."""
    strokes = draw_strokes(2000, seed=1)
    moved = np.roll(strokes[400:600].reshape(-1, 28, 28), (2, -1), (1, 2)).reshape(-1, 784)
    chain = np.repeat(strokes[700:701], 100, axis=0)
    for step in range(1, 100):
        chain[step] = retouch(chain[step - 1 : step], seed=step)[0]
    copies = [strokes[:200], retouch(strokes[200:400], 0), moved, retouch(moved, 1), strokes[600:700] // 2, chain]
    levels = np.repeat(np.array([0, 0, 1, 90, 255], np.uint8), 20)[:, None].repeat(784, axis=1)
    pixels = np.concatenate([strokes, *copies, levels])
    return pixels[np.random.default_rng(2).permutation(len(pixels))]


@pytest.fixture(scope="module")
def groups(planted):
    return find_duplicate_groups(planted)


def test_groups_are_those_of_brute_force(planted, groups):
    assert groups.dtype == np.int64
    assert np.array_equal(groups, group_slowly(planted))
    assert 1000 < len(np.unique(groups)) < 2500 and count_duplicates(groups).largest >= 100


@pytest.mark.parametrize("axes", [1, 8, 783])
def test_the_number_of_axes_changes_the_cost_only(planted, groups, monkeypatch, axes):
    monkeypatch.setattr(splits, "LEADING_AXES", axes)
    monkeypatch.setattr(splits, "BLOCK_COLUMNS", 300)
    assert np.array_equal(find_duplicate_groups(planted), groups)


def test_the_order_of_the_rows_does_not_matter(planted, groups):
    order = np.random.default_rng(0).permutation(len(planted))
    straight, shuffled = groups[order], find_duplicate_groups(planted[order])
    partners = len({*zip(straight.tolist(), shuffled.tolist(), strict=True)})
    assert partners == len(np.unique(straight)) == len(np.unique(shuffled))


def test_copies_share_a_group_however_they_were_made():
    strokes = draw_strokes(40, seed=5)
    moved = np.roll(strokes.reshape(-1, 28, 28), (-2, 3), (1, 2)).reshape(-1, 784)
    for name, copy in {
        "exact": strokes, "retouched": retouch(strokes, 3), "moved": moved, "fainter": strokes // 2
    }.items():  # fmt: skip
        groups = find_duplicate_groups(np.concatenate([strokes, copy]))
        assert np.array_equal(groups[:40], groups[40:]), name


def test_the_one_image_off_its_centre_is_compared_with_all_others():
    centred = np.stack([centre_slowly(row).ravel() for row in draw_strokes(400, seed=6)])
    moved = np.roll(centred[300].reshape(28, 28), (1, 2), (0, 1)).reshape(1, 784)
    groups = find_duplicate_groups(np.concatenate([centred, moved]))
    assert groups[400] == groups[300] and np.sum(groups == groups[400]) == 2


def test_digits_of_the_sample_are_told_apart(sample_dir):
    table = load_train(sample_dir / "train.csv")
    groups = find_duplicate_groups(table.pixels)
    counts = count_duplicates(groups)
    assert counts.largest <= 4 and counts.rows < 0.05 * len(groups)


def test_blank_rows_are_one_group_and_near_nothing_else():
    pixels = np.zeros((4, 784), np.uint8)
    pixels[2, 400], pixels[3] = 1, 255
    assert find_duplicate_groups(pixels).tolist() == [0, 0, 1, 2]


def test_a_table_of_one_image_with_noise_is_one_group():
    assert set(find_duplicate_groups(retouch(draw_strokes(1, 0).repeat(3000, axis=0), 0))) == {0}


def test_no_rows_and_one_row_are_groups_too():
    assert find_duplicate_groups(np.zeros((0, 784), np.uint8)).tolist() == []
    assert find_duplicate_groups(np.zeros((1, 784), np.uint8)).tolist() == [0]


def test_pixels_of_another_kind_are_refused():
    for wrong in (np.zeros((3, 784)), np.zeros((3, 10), np.uint8)):
        with pytest.raises(ValueError, match="pixels must"):
            find_duplicate_groups(wrong)


def test_counts_are_those_of_the_groups():
    counts = count_duplicates(np.array([0, 1, 1, 2, 3, 3, 3]))
    assert (counts.rows, counts.groups, counts.largest) == (5, 2, 3)
    assert "5 rows" in str(counts) and "2 groups" in str(counts) and "has 3" in str(counts)
    assert "no row" in str(count_duplicates(np.arange(3)))
    assert count_duplicates(np.zeros(0, np.int64)).largest == 0


# ---- copies in another table, and copies that augmentation made


@pytest.fixture(scope="module")
def sample(sample_dir):
    return load_train(sample_dir / "train.csv"), load_test(sample_dir / "test.csv")


def warp(pixels, degrees=0.0, size=1.0, right_px=0.0):
    """Copies as an offline augmentation makes them: turned, resized, moved by a part of a pixel."""
    matrix = cv2.getRotationMatrix2D((13.5, 13.5), degrees, size)
    matrix[0, 2] += right_px
    return np.stack([cv2.warpAffine(image, matrix, (28, 28)).ravel() for image in pixels.reshape(-1, 28, 28)])


def test_rows_of_another_table_are_found_though_retouched_or_moved():
    strokes, others = draw_strokes(40, seed=5), draw_strokes(300, seed=9)
    moved = np.roll(strokes.reshape(-1, 28, 28), (-2, 3), (1, 2)).reshape(-1, 784)
    for copy in (strokes, retouch(strokes, 3), moved):
        table = np.concatenate([strokes, others])
        groups = find_duplicate_groups(np.concatenate([table, copy]))
        found = find_shared_rows(table, copy)
        assert found[:40].all() and np.isin(groups[:340], groups[340:])[found].all()
    assert find_shared_rows(others, strokes).mean() < 0.02


def test_plain_digits_are_no_augmented_copies_and_no_leak(sample):
    train, test = (table.pixels for table in sample)
    assert estimate_augmented_share(train, train, find_duplicate_groups(train)) < 0.05
    assert estimate_augmented_share(test, train) < 0.05
    assert make_dataset(RunConfig(), *sample).ineligible is None


@pytest.mark.parametrize(("change", "least"), [({"right_px": 0.5}, 0.9), ({"size": 1.1}, 0.9), ({"degrees": 6}, 0.5)])
def test_augmented_copies_are_noticed(sample, change, least):
    train, test = (table.pixels for table in sample)
    both = np.concatenate([train[:500], warp(train[:500], **change)])
    assert estimate_augmented_share(both, both, find_duplicate_groups(both)) > least
    assert estimate_augmented_share(test, warp(test, **change)) > least


@pytest.mark.parametrize("change", [{}, {"right_px": 1.0}, {"right_px": 0.5}, {"size": 1.1}])
def test_a_submission_of_rows_that_the_training_rows_hold_nearly_is_ineligible(sample, change):
    train, test = sample
    copies = warp(test.pixels, **change)
    copies[:, 0] = 1  # exact copies are another matter
    labels = np.arange(len(copies)) % 10
    leaky = replace(train, pixels=np.concatenate([train.pixels, copies]), labels=np.concatenate([train.labels, labels]))
    assert make_dataset(RunConfig(), leaky, test).ineligible is not None
    assert find_ineligible(leaky, test) is not None


def test_a_training_set_that_looks_augmented_is_named(sample):
    train, _ = sample
    pixels = np.concatenate([train.pixels, warp(train.pixels, degrees=6, right_px=0.5)])
    augmented = replace(train, pixels=pixels, labels=np.tile(train.labels, 2))
    assert not any("augmented" in note for note in make_dataset(RunConfig(), train).notes)
    assert any("augmented" in note for note in make_dataset(RunConfig(), augmented).notes)
