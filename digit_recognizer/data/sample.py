"""A small data set that needs no network: scikit-learn's bundled 8x8 digits, drawn the way MNIST's are.

The digits are the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin & Kaynak 1998), of which
scikit-learn ships the 1,797 written by 13 people. Each becomes a 28x28 image as in LeCun et al. 1998, "Gradient-based
learning applied to document recognition", section III.A: the ink's box scaled into 20x20 with its aspect kept,
anti-aliased, then placed so that its centre of mass is the centre of the image.
"""

import numpy as np

from digit_recognizer.data.csv_header import IMAGE_SIDE_PX, PIXELS
from digit_recognizer.data.image_files import ImageSet

DIGIT_BOX_PX = 20
SAMPLE_TEST_ROWS = 497
SPLIT_SEED = 0
SOURCE_SIDE_PX = 8
SOURCE_INK = 16  # each source pixel counts the black ones among 4x4
ENLARGEMENT = 16  # smooth strokes need far more room than the 20 px they end in
STROKE_LEVEL = 0.5  # of full ink, after sharpening
SHARPENING = 2.0  # strokes gain what sets them off from their surroundings: hairlines stay whole, loops stay open
SURROUNDINGS = 1.2  # in source pixels: about one stroke's width


def build_sample() -> ImageSet:
    """Draw the sample's digits and split them, each class in the same proportion; every call gives the same arrays.

    Returns:
        1,300 training and 497 test images with their labels.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = np.stack([draw_digit(image).reshape(PIXELS) for image in digits.images])
    train_pixels, test_pixels, train_labels, test_labels = train_test_split(
        pixels,
        digits.target.astype(np.int64),
        test_size=SAMPLE_TEST_ROWS,
        stratify=digits.target,
        random_state=SPLIT_SEED,
    )
    return ImageSet(train_pixels, train_labels, test_pixels, test_labels)


def draw_digit(ink_counts: np.ndarray) -> np.ndarray:
    """Draw one 8x8 digit as MNIST would hold it.

    Args:
        ink_counts: real (8, 8), 0 = paper to 16 = ink.

    Returns:
        uint8 (28, 28), 0 = paper, 255 = ink; the longer side of the ink is 20 px.
    """
    import cv2

    # a margin of paper, or strokes at the rim would be cut off flat
    framed = np.pad(ink_counts.astype(np.float32) / SOURCE_INK, 1)
    side = framed.shape[0] * ENLARGEMENT
    large = cv2.resize(framed, (side, side), interpolation=cv2.INTER_CUBIC)
    surroundings = cv2.GaussianBlur(large, (0, 0), SURROUNDINGS * ENLARGEMENT)
    strokes = (large + SHARPENING * (large - surroundings) > STROKE_LEVEL).astype(np.float32)
    rows, columns = np.flatnonzero(strokes.any(axis=1)), np.flatnonzero(strokes.any(axis=0))
    box = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT_BOX_PX / max(box.shape)
    height, width = (max(1, round(length * scale)) for length in box.shape)
    small = cv2.resize(box, (width, height), interpolation=cv2.INTER_AREA)
    return (centre_by_mass(small) * 255).round().astype(np.uint8)


def centre_by_mass(ink: np.ndarray) -> np.ndarray:
    """Place ink of at most 20x20 px on paper of 28x28 px, its centre of mass in the middle to the nearest pixel.

    Args:
        ink: float (height, width), 0 = paper; not all zero.

    Returns:
        The same values, shape (28, 28); ink so lopsided that it would leave the paper stays at its edge.
    """
    corner = []
    for axis, length in enumerate(ink.shape):
        mass = ink.sum(axis=1 - axis)
        centre = (mass * (np.arange(length) + 0.5)).sum() / mass.sum()
        corner.append(int(np.clip(round(IMAGE_SIDE_PX / 2 - centre), 0, IMAGE_SIDE_PX - length)))
    paper = np.zeros((IMAGE_SIDE_PX, IMAGE_SIDE_PX), ink.dtype)
    paper[corner[0] : corner[0] + ink.shape[0], corner[1] : corner[1] + ink.shape[1]] = ink
    return paper
