"""MNIST's own form of handwriting: a glyph's box scaled into 20x20 px, centred by its mass in 28x28 px.

LeCun, Bottou, Bengio and Haffner 1998 ("Gradient-based learning applied to document recognition", section III.A) made
MNIST so; models trained on it read other people's pictures about as well as these are brought into that form. What the
article does not say, and what a photograph of a thin pen lacks, is the thickness of MNIST's strokes.
"""

from pathlib import Path

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.vision.ink import find_ink
from digit_recognizer.vision.photos import load_photograph
from digit_recognizer.vision.segment import Glyph, find_glyphs

IMAGE_PX, BOX_PX = 28, 20
FINENESS = 8  # px of the working image per px of the result: strokes are thickened there
STROKE_PX = 2.6  # of MNIST's strokes in its box; thinner ones are thickened
SOLID = 0.4  # of full ink: the stroke's body, whose thickness is measured
BLUR_PX = 0.45  # of the result: anti-aliased edges as wide as MNIST's
VISIBLE = 0.3  # of full ink: the border of the box


def load_letter(path: Path) -> np.ndarray:
    """Load a picture of one glyph: a letter, a digit, a drawing; all ink in it counts as one.

    Args:
        path: as for `load_photograph`.

    Returns:
        uint8 (28, 28, 1), 0 = paper, 255 = ink, in MNIST's form.

    Raises:
        InputError: as `load_photograph`, and if there is no ink.
    """
    glyphs = find_glyphs(find_ink(load_photograph(path).pixels), single=True)
    if not glyphs:
        raise InputError("photos.no_ink", path=path)
    return normalize(glyphs[0])


def normalize(glyph: Glyph) -> np.ndarray:
    """Bring a glyph into MNIST's form: uint8 (28, 28, 1), 0 = paper, 255 = ink."""
    import cv2

    fine = _thicken(_scale(glyph.strength, BOX_PX * FINENESS))
    fine = cv2.GaussianBlur(fine, (0, 0), BLUR_PX * FINENESS)
    rows, columns = (np.flatnonzero((fine > VISIBLE * fine.max()).any(axis=axis)) for axis in (1, 0))
    box = _scale(fine[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], BOX_PX)
    moments = cv2.moments(box)
    middle = (IMAGE_PX - 1) / 2
    shift = np.array(
        [[1, 0, middle - moments["m10"] / moments["m00"]], [0, 1, middle - moments["m01"] / moments["m00"]]]
    )
    image = cv2.warpAffine(box / box.max(), shift, (IMAGE_PX, IMAGE_PX), flags=cv2.INTER_LINEAR)
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)[..., None]


def _scale(strength: np.ndarray, longer: int) -> np.ndarray:
    """Scale an image so that its longer side has so many px."""
    import cv2

    factor = longer / max(strength.shape)
    size = [max(1, round(side * factor)) for side in strength.shape[::-1]]
    return cv2.resize(strength, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def _thicken(fine: np.ndarray) -> np.ndarray:
    """Thicken strokes to MNIST's; thicker ones stay, since MNIST has such as well."""
    import cv2

    margin = BOX_PX * FINENESS // 4
    fine = np.pad(fine, margin)
    depth = cv2.distanceTransform((fine > SOLID).astype(np.uint8), cv2.DIST_L2, 3)
    ridge = depth[(depth > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3))))]  # along the middle of the strokes
    thickness = 2 * float(np.median(ridge)) if len(ridge) else 0.0
    radius = round((STROKE_PX * FINENESS - thickness) / 2)
    if radius <= 0:
        return fine
    return cv2.dilate(fine, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
