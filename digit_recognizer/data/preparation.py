"""What may be done to every image, training and test alike, before anything else: it changes what a net sees.

Nets that see the same digit in another form err on other rows, which is what a mean of nets lives on: Ciresan, Meier
and Schmidhuber 2012 (arXiv 1202.2745, section 3.1) took digits of six widths. Alone, a net is no better for it.
"""

import numpy as np

from digit_recognizer.config import Preparation

HIGHEST_SLANT = 1.0  # px right per px up: 45 degrees, more than anyone writes
INK = 40  # of 255: fainter pixels do not count as the digit's width
BOX_PX = 20  # MNIST's own box, which most digits fill in height only
WIDEST_STRETCH, STRONGEST_SQUEEZE = 1.8, 0.6  # so that a 1 stays a stroke


def prepare_images(images: np.ndarray, preparation: Preparation) -> np.ndarray:
    """Prepare all images.

    Args:
        images: uint8 (n, height, width, 1), 0 = paper, 255 = ink.
        preparation: "none" returns the images themselves; "deskew" takes each digit's slant away, as its second
            moments tell it, and centres its mass; "widen" stretches its ink to a width of 20 px, within bounds.

    Returns:
        uint8, of the same shape. What gives no measure stays as it is: no ink, all of it in one row (deskew), none that
        is dark enough (widen).
    """
    if preparation == "none":
        return images
    import cv2

    find_map = {"deskew": _find_deskewing, "widen": _find_widening}[preparation]
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
