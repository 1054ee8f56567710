"""Images that are not digits, to train the classifier: printed letters and marks, foreign characters, scribbles, noise.

Letters that many people write like digits (O, l, Z, S, B, q, …) are left out: no classifier of single glyphs can
distinguish them. Greek is left out as well, to evaluate the classifier on letters that it never saw.
"""

import cv2
import numpy as np

from benchmarks.classifier_digits import CANVAS_PX, DEJAVU, FONTS, draw_strokes, print_text, round_corners, write_glyph

LATIN = "ACEFHJKLMNPQRTUVWXYacdefhjkmnprtuvwx"
CYRILLIC = "\u0416\u0414\u0424\u042f\u042e\u0429\u0418\u041b\u042a\u044b"
MARKS = "#%&@*+=?<>$~"
KINDS = ("latin", "cyrillic", "mark", "foreign", "scribble", "noise", "two digits")


def draw_other(kind: str, digits: np.ndarray, foreign: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw something that is no digit.

    Args:
        kind: one of `KINDS`.
        digits: uint8 (n, 28, 28), to set two of them side by side.
        foreign: uint8 (m, 28, 28), characters of another script.
        rng: what chance decides.

    Returns:
        uint8 (28, 28, 1).
    """
    image: np.ndarray | None = None
    while image is None:
        if kind in ("latin", "cyrillic", "mark"):
            letters = {"latin": LATIN, "cyrillic": CYRILLIC, "mark": MARKS}[kind]
            image = print_text(letters[rng.integers(len(letters))], rng, DEJAVU if kind == "cyrillic" else FONTS)
        else:
            if kind == "foreign":
                fine = enlarge(foreign[rng.integers(len(foreign))])
            elif kind == "two digits":
                fine = set_side_by_side(*digits[rng.integers(len(digits), size=2)], rng)
            elif kind == "scribble":
                fine = scribble(rng)
            else:
                fine = make_noise(rng)
            image = write_glyph(fine, rng)
            image = None if looks_like_one(image) else image
    return image


def looks_like_one(image: np.ndarray) -> bool:
    """Whether a random shape is an upright bar, which is a digit, or nothing at all."""
    columns, rows = ((image[..., 0] > 60).any(axis=axis).sum() for axis in (0, 1))
    return bool(columns < 0.55 * rows or rows == 0)


def enlarge(image: np.ndarray) -> np.ndarray:
    fine = cv2.resize(image.astype(np.float32) / 255, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    clipped: np.ndarray = np.clip(fine, 0, 1)
    return clipped


def set_side_by_side(one: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two digits that touch or nearly do."""
    columns = np.flatnonzero((one > 60).any(axis=0)), np.flatnonzero((other > 60).any(axis=0))
    one, other = (image[:, place[0] : place[-1] + 1] for image, place in zip((one, other), columns, strict=True))
    overlap = int(rng.integers(0, 3))
    width = one.shape[1] + other.shape[1] - overlap
    pair = np.zeros((28, width), np.uint8)
    pair[:, : one.shape[1]] = one
    pair[:, width - other.shape[1] :] = np.maximum(pair[:, width - other.shape[1] :], other)
    canvas = np.zeros((56, 56), np.uint8)
    left = (56 - width) // 2
    canvas[14:42, left : left + width] = pair
    return enlarge(canvas)


def scribble(rng: np.random.Generator) -> np.ndarray:
    """Some random strokes, bars among them."""
    if rng.random() < 0.25:
        y, slope = rng.uniform(0.3, 0.7), rng.uniform(-0.15, 0.15)
        return draw_strokes([[(0.0, y), (1.0, y + slope)]], rng)
    canvas = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        points = rng.uniform(0.15, 0.85, (int(rng.integers(2, 7)), 2)) * CANVAS_PX
        smooth = round_corners(round_corners(points, rng), rng)
        cv2.polylines(canvas, [np.round(smooth).astype(np.int32)], False, 1.0, int(rng.integers(4, 12)))
    return canvas


def make_noise(rng: np.random.Generator) -> np.ndarray:
    """Blots and grain, and patches with straight edges, as shadows leave them."""
    if rng.random() < 0.3:
        patch = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
        corners = rng.uniform(0.1, 0.9, (int(rng.integers(3, 6)), 2)) * CANVAS_PX
        return cv2.fillPoly(patch, [cv2.convexHull(np.round(corners).astype(np.int32))], 1.0)
    grain = rng.normal(0, 1, (CANVAS_PX, CANVAS_PX)).astype(np.float32)
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(2, 14))
    blots = (grain > rng.uniform(0.5, 1.5) * grain.std()).astype(np.float32)
    ys, xs = np.mgrid[:CANVAS_PX, :CANVAS_PX]
    middle = CANVAS_PX / 2
    blots[np.hypot(xs - middle, ys - middle) > rng.uniform(0.2, 0.45) * CANVAS_PX] = 0
    return blots
