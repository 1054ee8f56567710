from contextlib import nullcontext

import cv2
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import (
    POLICIES,
    Affine,
    Cutout,
    Elastic,
    Erasing,
    Policy,
    build_albumentations,
    build_augment,
    draw_affine_matrices,
    erase_rectangles,
)
from digit_recognizer.data.dataset import check_augmentation
from digit_recognizer.data.labels import DIGITS, FASHION, KUZUSHIJI, LabelSet

pytestmark = pytest.mark.fast


def draw_blobs(count):
    """An off-centre tilted bar, far enough from the border that no policy pushes it out."""
    image = np.zeros((28, 28), np.uint8)
    cv2.line(image, (10, 17), (17, 11), 255, 3)
    return np.repeat(image[None], count, axis=0)


def measure(images):
    """Ink, centre of mass and second moments of each image: float64 (n, 6)."""
    ink = images.astype(np.float64)
    y, x = np.mgrid[:28, :28]
    total = ink.sum((1, 2))
    mean_x, mean_y = (ink * x).sum((1, 2)) / total, (ink * y).sum((1, 2)) / total
    dx, dy = x - mean_x[:, None, None], y - mean_y[:, None, None]
    moments = [(ink * a * b).sum((1, 2)) / total for a, b in ((dx, dx), (dx, dy), (dy, dy))]
    return np.column_stack([total / 255, mean_x, mean_y, *moments])


@pytest.mark.parametrize("name", ["affine", "flip"])
def test_both_engines_realise_one_affine_policy(name):
    policy = POLICIES[name]
    blobs = draw_blobs(3000)
    batched = measure(build_augment(policy)(blobs, np.random.default_rng(0)))
    one_by_one = measure(build_albumentations(policy)(blobs, np.random.default_rng(0)))
    error = np.sqrt(batched.var(0) / len(blobs) + one_by_one.var(0) / len(blobs))
    assert (np.abs(batched.mean(0) - one_by_one.mean(0)) <= 4.5 * error).all()
    # a standard deviation of 3,000 draws is known to about 1.3 %: the engines may differ by 4.5 times that, twice over
    assert batched.std(0) == pytest.approx(one_by_one.std(0), rel=0.085)


def test_affine_matrices_are_those_of_albumentations():
    from albumentations.augmentations.geometric.functional import create_affine_transformation_matrix

    for field, value in [("rotation_deg", 9.0), ("scale", 0.2), ("shear_deg", 7.0), ("shift_px", 3)]:
        only = {"rotation_deg": 0.0, "scale": 0.0, "shear_deg": 0.0, "shift_px": 0, field: value}
        [ours] = draw_affine_matrices(Affine(**only), 1, 28, np.random.default_rng(5))
        rng = np.random.default_rng(5)  # the same draws in the same order
        rotate = rng.uniform(-only["rotation_deg"], only["rotation_deg"], 1)[0]
        scale = rng.uniform(1 - only["scale"], 1 + only["scale"], 1)[0]
        shear = rng.uniform(-only["shear_deg"], only["shear_deg"], 1)[0]
        shift = rng.integers(-only["shift_px"], only["shift_px"], (1, 2), endpoint=True)[0]
        theirs = create_affine_transformation_matrix(
            translate={"x": shift[0], "y": shift[1]},
            shear={"x": shear, "y": 0.0},
            scale={"x": scale, "y": scale},
            rotate=rotate,
            shift=(13.5, 13.5),
        )
        assert ours == pytest.approx(theirs[:2], abs=1e-9), field


def test_affine_never_goes_past_its_ranges():
    matrices = draw_affine_matrices(Affine(shear_deg=0.0, shift_px=0), 2000, 28, np.random.default_rng(0))
    scale = np.sqrt(np.linalg.det(matrices[:, :, :2]))
    angle = np.rad2deg(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    assert 0.88 <= scale.min() < 0.885 and 1.115 < scale.max() <= 1.12
    assert -11 <= angle.min() < -10.8 and 10.8 < angle.max() <= 11


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "none"])
def test_a_policy_is_deterministic_in_its_generator_and_leaves_its_input_alone(name):
    augment = build_augment(POLICIES[name])
    blobs = draw_blobs(8)
    before = blobs.copy()
    first, again = (augment(blobs, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, augment(blobs, np.random.default_rng(8)))
    assert np.array_equal(blobs, before)
    assert first.shape == blobs.shape and first.dtype == np.uint8
    assert len(np.unique(first.reshape(8, -1), axis=0)) > 1, "each image draws for itself"


def test_the_layout_of_the_input_in_memory_does_not_matter():
    augment = build_augment(POLICIES["affine"])
    blobs = draw_blobs(5)
    plain, turned = (augment(images, np.random.default_rng(0)) for images in (blobs, np.asfortranarray(blobs)))
    assert np.array_equal(plain, turned)


def test_half_of_the_clothes_are_mirrored_and_no_pixel_changes_its_grey():
    blobs = draw_blobs(4000)
    augment = build_augment(POLICIES["flip"])
    moved = augment(blobs, np.random.default_rng(0))
    assert np.array_equal(moved.sum((1, 2), dtype=int), blobs.sum((1, 2), dtype=int)), "nothing is interpolated"
    leaning = measure(moved)[:, 4]  # the bar's: below 0 as it was drawn, above 0 mirrored
    assert np.allclose(abs(leaning), abs(measure(blobs)[0, 4]))
    assert abs((leaning > 0).mean() - 0.5) < 4.5 * 0.5 / np.sqrt(len(blobs))


def test_a_mirrored_image_is_the_image_turned_left_to_right():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    mirror = build_augment(Policy(affine=Affine(0.0, 0.0, 0.0, 0, mirrored=1.0)))
    assert np.array_equal(mirror(images, np.random.default_rng(0)), images[..., ::-1])


def test_what_never_mirrors_draws_what_it_always_drew():
    matrices = draw_affine_matrices(Affine(), 3, 28, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    rng.uniform(size=(3, 3))
    shift = rng.integers(-2, 2, (3, 2), endpoint=True)
    assert np.allclose(matrices[:, :, 2] + matrices[:, :, :2] @ [13.5, 13.5] - 13.5, shift)
    assert (np.linalg.det(matrices[:, :, :2]) > 0).all()


@pytest.mark.parametrize("label_set", [DIGITS, KUZUSHIJI, LabelSet("other", FASHION.names)], ids=lambda one: one.key)
def test_nothing_but_clothes_is_mirrored(label_set):
    for name in POLICIES:
        config = RunConfig(augmentation=name)
        check_augmentation(config, FASHION)
        with expect_refusal(config, label_set) if name in ("flip", "clothes") else nullcontext():
            check_augmentation(config, label_set)
    for tta in (2, 10):
        check_augmentation(RunConfig(tta=tta), FASHION)
        with expect_error("data.mirrored", path="input", column="--tta", received=tta):
            check_augmentation(RunConfig(tta=tta), label_set)


def expect_refusal(config, label_set):
    return expect_error(
        "data.mirrored", path="input", column="--augmentation", received=config.augmentation, label_set=label_set.key
    )


def test_half_of_the_clothes_are_covered_in_part():
    images = np.zeros((4000, 28, 28), np.uint8)
    erasing = Erasing(probability=0.5, smallest=0.02, largest=0.2, most_oblong=3.3)
    covered = erase_rectangles(images, erasing, np.random.default_rng(0)) > 0
    assert not images.any(), "the images given stay as they are"
    erased = covered.any((1, 2))
    assert abs(erased.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(len(images))
    heights, widths = covered[erased].any(axis=2).sum(axis=1), covered[erased].any(axis=1).sum(axis=1)
    share = heights * widths / 28**2
    assert 0.01 < share.min() < 0.03 and 0.19 < share.max() < 0.22  # rounded to whole pixels
    assert (np.maximum(heights, widths) <= 5 * np.minimum(heights, widths)).all()
    assert (covered[erased].sum((1, 2)) > 0.95 * heights * widths).mean() > 0.95, "noise is rarely 0"
    places = covered.mean(axis=0)
    assert places[10:18, 10:18].mean() > 2 * places[0].mean() > 0, "anywhere, and oftener in the middle"


def test_no_policy_is_no_function():
    assert build_augment(POLICIES["none"]) is None


def test_cutout_lays_one_square_of_paper():
    full = np.full((20, 28, 28), 255, np.uint8)
    cut = build_augment(Policy(cutout=Cutout(side_px=8)))(full, np.random.default_rng(0)) == 0
    assert (cut.sum((1, 2)) == 64).all()
    assert (cut.any(axis=1).sum(axis=1) == 8).all()


def test_elastic_moves_ink_by_a_pixel_or_two_and_keeps_the_digit():
    blobs = draw_blobs(200)
    bent = measure(build_augment(Policy(elastic=Elastic()))(blobs, np.random.default_rng(0)))
    straight = measure(blobs)
    moved_px = np.hypot(*(bent - straight)[:, 1:3].T)
    assert 0.2 < moved_px.mean() < 2
    assert bent[:, 0].mean() == pytest.approx(straight[0, 0], rel=0.15)
