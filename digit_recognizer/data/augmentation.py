"""Changes to a training image that leave its class the same: one policy, two engines.

A policy says what may happen and how far. Albumentations applies any policy, image by image. The batched engine
applies the affine policy to a whole batch, drawing all matrices at once: it costs a few percent of an epoch
(benchmarks/throughput.py), albumentations many times that. Handwriting is never mirrored, since a mirrored 2 is no
digit; clothes may be, and have a policy of their own.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from digit_recognizer.config import Preprocess
from digit_recognizer.errors import require

# ---- preprocessing of every image, training and test alike
#
# Different preprocessing makes models err on different images, which helps ensembles: Ciresan, Meier and Schmidhuber
# 2012 (arXiv 1202.2745, section 3.1) took digits of six widths. A single model is no better for it.

HIGHEST_SLANT = 1.0  # px right per px up: 45 degrees, more than anyone writes
INK = 40  # of 255: fainter pixels do not count as the digit's width
BOX_PX = 20  # MNIST's own box, which most digits fill in height only
WIDEST_STRETCH, STRONGEST_SQUEEZE = 1.8, 0.6  # so that a 1 stays a stroke


def preprocess_images(images: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """Deskew or widen all images.

    Args:
        images: uint8 (n, height, width, 1), 0 = paper, 255 = ink.
        preprocess: "none" returns the images themselves; "deskew" removes each digit's slant, computed from its
            second moments, and centres its mass; "widen" stretches its ink to a width of 20 px, within bounds.

    Returns:
        uint8, of the same shape. Unchanged stay images without ink, with all of it in one row (deskew), or with none
        that is dark enough (widen).
    """
    if preprocess == "none":
        return images
    import cv2

    find_map = {"deskew": _find_deskewing, "widen": _find_widening}[preprocess]
    prepared = np.empty_like(images)
    size = images.shape[2], images.shape[1]
    for source, target in zip(images[..., 0], prepared[..., 0], strict=True):
        target[:] = cv2.warpAffine(source, find_map(source), size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return prepared


def _find_deskewing(image: np.ndarray) -> np.ndarray:
    """Map from target to source coordinates x, y, in px, that shears the digit upright about its centre of mass."""
    import cv2

    moments = cv2.moments(image)
    if not moments["m00"] or not moments["mu02"]:  # no ink, or all of it in one row
        return np.eye(2, 3)
    slant = np.clip(moments["mu11"] / moments["mu02"], -HIGHEST_SLANT, HIGHEST_SLANT)
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    centre_y, centre_x = ((side - 1) / 2 for side in image.shape)
    return np.array([[1, slant, x - centre_x - slant * centre_y], [0, 1, y - centre_y]])


def _find_widening(image: np.ndarray) -> np.ndarray:
    """Map from target to source coordinates that stretches the ink's box in width and centres it."""
    columns = np.flatnonzero((image > INK).any(axis=0))
    if not len(columns):
        return np.eye(2, 3)
    left, right = columns[[0, -1]]
    stretch = np.clip(BOX_PX / (right - left + 1), STRONGEST_SQUEEZE, WIDEST_STRETCH)
    centre = (image.shape[1] - 1) / 2
    return np.array([[1 / stretch, 0, (left + right) / 2 - centre / stretch], [0, 1, 0]])


# ---- augmentation of training images

Augment = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""From uint8 images (n, height, width) and a generator to new uint8 images of the same shape."""


@dataclass(frozen=True)
class Affine:
    """Ranges of a random affine map about the image's centre; each is drawn evenly and independently."""

    rotation_deg: float = 11.0  # about how far writers' hands differ; a 6 needs far more to become a 9
    scale: float = 0.12  # the digit grows or shrinks by up to this share, its aspect kept
    shear_deg: float = 8.5  # slant to either side, the commonest difference between hands
    shift_px: int = 2  # whole pixels, in x and in y; MNIST leaves 4 px of paper around a digit
    mirrored: float = 0.0  # share of the images that are mirrored, left to right; of clothes only


@dataclass(frozen=True)
class Elastic:
    """Random displacement of every pixel, smoothed (Simard, Steinkraus and Platt 2003, section 2)."""

    strength: float = 34.0  # their alpha, in px before smoothing
    smoothness_px: float = 4.0  # their sigma: neighbours within a stroke's width move together


@dataclass(frozen=True)
class Cutout:
    """One square of paper laid over the image (DeVries and Taylor 2017)."""

    side_px: int = 8  # from 8 px on a digit still shows enough of itself


@dataclass(frozen=True)
class Erasing:
    """A rectangle of noise laid over some of the images (Zhong et al. 2017, arXiv 1708.04896)."""

    probability: float = 0.5
    smallest: float = 0.02  # share of the image's area
    largest: float = 0.2  # theirs is 0.4, for 300 epochs
    most_oblong: float = 3.3  # its longer side by its shorter one


@dataclass(frozen=True)
class Policy:
    """What is done to a training image; None leaves a step out. Steps happen in the order of the fields."""

    affine: Affine | None = None
    elastic: Elastic | None = None
    cutout: Cutout | None = None
    erasing: Erasing | None = None


# of clothes: they fill their frame upright, so that nothing is turned or scaled, and no grey level interpolated; a
# shift of 2 px cuts them off, and cost accuracy beside 1
MIRROR = Affine(rotation_deg=0.0, scale=0.0, shear_deg=0.0, shift_px=1, mirrored=0.5)

POLICIES: dict[str, Policy] = {
    "none": Policy(),
    "affine": Policy(affine=Affine()),
    "flip": Policy(affine=MIRROR),
    "clothes": Policy(affine=MIRROR, erasing=Erasing()),
    "elastic": Policy(elastic=Elastic()),
    "cutout": Policy(cutout=Cutout()),
    "all": Policy(affine=Affine(), elastic=Elastic(), cutout=Cutout()),
}


def build_augment(policy: Policy) -> Augment | None:
    """Turn a policy into a function: batched for an affine step alone, through albumentations for all else.

    Args:
        policy: what may happen to an image.

    Returns:
        A function from uint8 images (n, height, width), 255 = full ink, and a generator to new images of the same
        shape and dtype, deterministic in the generator; None if the policy does nothing.
    """
    if policy == Policy():
        return None
    if erasing := policy.erasing:
        before = build_augment(replace(policy, erasing=None)) or (lambda images, rng: images)
        return lambda images, rng: erase_rectangles(before(images, rng), erasing, rng)
    if policy.affine and policy == Policy(affine=policy.affine):
        return BatchedAffine(policy.affine)
    return build_albumentations(policy)


def draw_affine_matrices(affine: Affine, count: int, side_px: int, rng: np.random.Generator) -> np.ndarray:
    """Draw maps from source to target coordinates, in px: float64 (count, 2, 3).

    Mirroring first, then scale, rotation, slant and shift, all about the centre of the image; but for the mirroring as
    albumentations' Affine does.
    """
    angle = np.deg2rad(rng.uniform(-affine.rotation_deg, affine.rotation_deg, count))
    scale = rng.uniform(1 - affine.scale, 1 + affine.scale, count)
    slant = np.tan(np.deg2rad(rng.uniform(-affine.shear_deg, affine.shear_deg, count)))
    shift = rng.integers(-affine.shift_px, affine.shift_px, (count, 2), endpoint=True)

    cos, sin = np.cos(angle), np.sin(angle)
    linear = scale[:, None, None] * np.stack(
        [np.stack([cos - slant * sin, sin + slant * cos], -1), np.stack([-sin, cos], -1)], 1
    )
    if affine.mirrored:  # drawn last, and only then: other policies keep their draws
        linear[rng.random(count) < affine.mirrored, :, 0] *= -1
    centre = np.full(2, (side_px - 1) / 2)
    return np.concatenate([linear, (centre + shift - linear @ centre)[:, :, None]], axis=2)


def warp_images(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Map uint8 images (n, side, side), each by its matrix (n, 2, 3) from source x, y to target x, y in px."""
    import cv2

    side_px = images.shape[1]
    warped = np.empty(images.shape, np.uint8)  # not empty_like: OpenCV wants rows in order, whatever came in
    for source, target, matrix in zip(images, warped, matrices, strict=True):
        cv2.warpAffine(source, matrix, (side_px, side_px), dst=target, flags=cv2.INTER_LINEAR)
    return warped


SMALL_PX = 20  # side of small images: the champion, which crops 2 px, then has 0.4 of the work


def shrink_images(images: np.ndarray) -> np.ndarray:
    """Images uint8 (n, side, side) at the size of the first epochs: uint8 (n, SMALL_PX, SMALL_PX), means of areas."""
    import cv2

    small = np.empty((len(images), SMALL_PX, SMALL_PX), np.uint8)
    for source, target in zip(images, small, strict=True):
        cv2.resize(source, (SMALL_PX, SMALL_PX), dst=target, interpolation=cv2.INTER_AREA)
    return small


@dataclass(frozen=True)
class BatchedAffine:
    """The batched engine: all matrices of a batch at once, then one OpenCV warp per image."""

    affine: Affine

    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Map uint8 images (n, side, side), as every `Augment` does."""
        return warp_images(images, draw_affine_matrices(self.affine, len(images), images.shape[1], rng))

    def draw_inverse(self, count: int, side_px: int, rng: np.random.Generator) -> np.ndarray:
        """The same draw as maps from target to source coordinates, in px, for an engine elsewhere.

        Returns:
            float32 (count, 2, 3).
        """
        maps = draw_affine_matrices(self.affine, count, side_px, rng)
        linear = np.linalg.inv(maps[:, :, :2])
        return np.concatenate([linear, -linear @ maps[:, :, 2:]], axis=2).astype(np.float32)


def erase_rectangles(images: np.ndarray, erasing: Erasing, rng: np.random.Generator) -> np.ndarray:
    """Lay a rectangle of noise over some of the uint8 images (n, height, width); those given stay as they are."""
    count, height, width = images.shape
    area = rng.uniform(erasing.smallest, erasing.largest, count) * height * width
    aspect = np.exp(rng.uniform(-1, 1, count) * np.log(erasing.most_oblong))
    erased = np.less(rng.random(count), erasing.probability)

    def draw_span(length: np.ndarray, side_px: int) -> np.ndarray:
        """Which rows, or columns, are covered: bool (n, side_px)."""
        length = np.clip(np.rint(length), 1, side_px)
        first = np.floor(rng.random(count) * (side_px - length + 1))
        place = np.arange(side_px)
        return (place >= first[:, None]) & (place < (first + length)[:, None])

    rows, columns = draw_span(np.sqrt(area * aspect), height), draw_span(np.sqrt(area / aspect), width)
    covered = (rows & erased[:, None])[:, :, None] & columns[:, None, :]
    return np.where(covered, rng.integers(0, 256, images.shape, np.uint8), images)


def build_albumentations(policy: Policy) -> Augment:
    """The albumentations engine: any policy, one image at a time."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else its import asks the network for a newer release
    albumentations = require("albumentations", "augment")
    steps: list[Any] = []
    if policy.affine:
        affine = policy.affine
        if affine.mirrored:
            steps.append(albumentations.HorizontalFlip(p=affine.mirrored))
        steps.append(
            albumentations.Affine(
                scale=(1 - affine.scale, 1 + affine.scale),
                keep_ratio=True,
                rotate=(-affine.rotation_deg, affine.rotation_deg),
                shear={"x": (-affine.shear_deg, affine.shear_deg), "y": (0.0, 0.0)},
                translate_px=dict.fromkeys("xy", (-affine.shift_px, affine.shift_px)),
                p=1.0,
            )
        )
    if policy.elastic:
        steps.append(
            albumentations.ElasticTransform(alpha=policy.elastic.strength, sigma=policy.elastic.smoothness_px, p=1.0)
        )
    if policy.cutout:
        side_px = policy.cutout.side_px
        steps.append(
            albumentations.CoarseDropout(
                num_holes_range=(1, 1), hole_height_range=(side_px, side_px), hole_width_range=(side_px, side_px), p=1.0
            )
        )
    compose = albumentations.Compose(steps)

    def augment(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        compose.set_random_seed(int(rng.integers(2**31)))
        return np.stack([compose(image=image)["image"] for image in images])

    return augment
