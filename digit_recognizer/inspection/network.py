"""What is inside a net: its filters, feature maps, output vectors, saliency and embedding, as sections to read."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.inspection.sections import Section

if TYPE_CHECKING:
    import keras


def examine_network(
    model: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
    folder: Path,
    *,
    layer: str | None = None,
    saliency_rows: Sequence[int] = (),
) -> list[Section]:
    """Describe and draw what a net has learned.

    Args:
        model: functional, with one input: float32 images (n, height, width, channels) in [0, 1] to probabilities.
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink, that the model was not fitted on; at least one.
        labels: int (n,), 0 to classes - 1.
        folder: where the figures go as PNG; older ones of the same name are replaced.
        layer: whose feature maps to draw, a name such as "block1_conv1" or, within a nested net,
            "vgg16/block1_conv1"; None for the first and the last convolution.
        saliency_rows: of `images`, counted from 0; empty for some that the net reads rightly and the wrong ones that
            it is surest of.

    Returns:
        Sections in the order of reading. The same for equal input.

    Raises:
        InputError: if no layer has that name, or there is no such row.
    """
    raise NotImplementedError


def examine_foreign_images(
    model: "keras.Model", names: Sequence[str], images: np.ndarray, classes: Sequence[str], folder: Path
) -> list[Section]:
    """Describe and draw how the net's embedding sorts images of classes that it never saw, such as Greek letters.

    Args:
        model: as in `examine_network`.
        names: of the images' files, as a reader would know them.
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink, in MNIST's form; at least one.
        classes: each image's class, such as "alpha".
        folder: where the figures go as PNG; older ones of the same name are replaced.

    Returns:
        Sections in the order of reading. The same for equal input.
    """
    raise NotImplementedError
