"""Altered copies of a few images: what other hands and other pens would have made of the same signs."""

import numpy as np

from digit_recognizer.data.augmentation import Affine, BatchedAffine

# benchmarks/few_shot.py, tasks of three Kuzushiji characters by nine letters each: affine copies alone give 72.9 %,
# with the strokes' thickness varied 73.9 %. Elastic maps besides added nothing in an earlier trial, and are left out.
AFFINE = Affine()
STEPS = ("as it is", "thinner", "thicker", "much thicker")
LEAST_INK = 0.3  # of what there was: a thin stroke that a thinner pen would lose stays as it is


def make_copies(images: np.ndarray, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Make altered copies: an affine map each, then a stroke of another thickness.

    Args:
        images: uint8 (n, side, side, 1), 0 = paper, 255 = ink.
        copies: of each, 0 or more.
        rng: draws the changes.

    Returns:
        uint8 ((1 + copies) * n, side, side, 1): the images themselves first, then all of them in a first copy, and so
        on, so that row k shows image k % n.
    """
    affine = BatchedAffine(AFFINE)
    altered = [vary_strokes(affine(images[..., 0], rng), rng)[..., None] for _ in range(copies)]
    return np.concatenate([images, *altered])


def vary_strokes(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a pen for each image: one px thinner, as it is, one or two px thicker.

    Args:
        images: uint8 (n, side, side).
        rng: draws the pens.

    Returns:
        A new array of the same shape and dtype.
    """
    import cv2

    pixel, cross = np.ones((2, 2), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    varied = images.copy()
    for image, target, step in zip(images, varied, rng.integers(len(STEPS), size=len(images)), strict=True):
        if STEPS[step] == "thinner":
            thinner = cv2.erode(image, pixel)
            if thinner.sum() >= LEAST_INK * image.sum():
                target[:] = thinner
        elif STEPS[step] != "as it is":
            target[:] = cv2.dilate(image, pixel if STEPS[step] == "thicker" else cross)
    return varied
