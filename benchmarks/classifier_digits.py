"""Digits as pictures have them, to train the classifier: MNIST's in other handwriting, drawn ones, printed ones.

MNIST was written with one kind of pen in one country. Of its digits others are made: wider or narrower, slanted, bent,
in another thickness, and brought into MNIST's form as a picture's digits are (`normalize`). What Europeans write and
MNIST hardly has (a 1 with a long upstroke or a foot, a crossed 7, a closed 4) is drawn from a few jittered points.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.vision.segment import Glyph, normalize

CANVAS_PX = 160
FONT_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
DEJAVU_NAMES = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Italic", "Serif-Bold")
DEJAVU = [FONT_FOLDER / f"DejaVu{name}.ttf" for name in DEJAVU_NAMES]  # the others lack Cyrillic
OTHER_NAMES = ("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "cmr10", "cmss10", "cmtt10", "cmti10")
FONTS = [*DEJAVU, *(FONT_FOLDER / f"{name}.ttf" for name in OTHER_NAMES)]
HERSHEY_FONTS = (0, 1, 2, 3, 4, 6, 7, 16)  # OpenCV's, as strokes; with 16 added they slant

# Strokes of digits as points (x, y) in a unit box, y downwards; each list is one lift of the pen.
EUROPEAN: dict[int, list[list[list[tuple[float, float]]]]] = {
    1: [
        [[(0.3, 0.25), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.2, 0.4), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.2, 0.6), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.25, 0.25), (0.5, 0.0), (0.5, 1.0)], [(0.15, 1.0), (0.85, 1.0)]],
        [[(0.5, 0.0), (0.5, 1.0)], [(0.2, 1.0), (0.8, 1.0)]],
    ],
    4: [
        [[(0.65, 0.05), (0.0, 0.5), (0.7, 0.55)], [(0.68, 0.05), (0.7, 1.0)]],
        [[(0.7, 0.0), (0.0, 0.35), (0.7, 0.45)], [(0.7, 0.0), (0.75, 1.0)]],
        [[(0.55, 0.0), (0.0, 0.65), (0.9, 0.65)], [(0.6, 0.35), (0.6, 1.0)]],
        [[(0.1, 0.0), (0.05, 0.5), (0.8, 0.5)], [(0.65, 0.0), (0.65, 1.0)]],
    ],
    7: [
        [[(0.0, 0.05), (0.8, 0.0), (0.35, 1.0)], [(0.2, 0.5), (0.8, 0.45)]],
        [[(0.0, 0.2), (0.05, 0.0), (0.8, 0.0), (0.3, 1.0)], [(0.15, 0.55), (0.85, 0.5)]],
        [[(0.0, 0.15), (0.0, 0.0), (0.75, 0.0), (0.45, 0.5), (0.35, 1.0)]],
        [[(0.0, 0.25), (0.8, 0.0), (0.4, 1.0)]],
        [[(0.0, 0.15), (0.75, 0.0), (0.55, 0.5), (0.45, 1.0)]],
        [[(0.05, 0.3), (0.75, 0.05), (0.35, 1.0)], [(0.25, 0.55), (0.8, 0.5)]],
    ],
    9: [
        [[(0.7, 0.1), (0.3, 0.0), (0.0, 0.25), (0.3, 0.5), (0.7, 0.3), (0.7, 0.1), (0.7, 0.6), (0.65, 1.0)]],
        [[(0.7, 0.1), (0.3, 0.0), (0.0, 0.25), (0.3, 0.5), (0.7, 0.2), (0.7, 0.75), (0.4, 1.0), (0.05, 0.9)]],
    ],
}  # fmt: skip


def vary_digit(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Write an MNIST digit in another handwriting.

    Args:
        image: uint8 (28, 28), 255 = ink.
        rng: what chance decides.

    Returns:
        uint8 (28, 28, 1).
    """
    fine = cv2.resize(image.astype(np.float32) / 255, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
    return write_glyph(np.clip(fine, 0, 1), rng)


def draw_european(digit: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a 1, 4, 7 or 9 as it is written in Europe: uint8 (28, 28, 1)."""
    forms = EUROPEAN[digit]
    return write_glyph(draw_strokes(forms[rng.integers(len(forms))], rng), rng)


def draw_strokes(strokes: list[list[tuple[float, float]]], rng: np.random.Generator) -> np.ndarray:
    """Draw jittered strokes, rounded a little at their corners: float32 (side, side) in [0, 1]."""
    canvas = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    thickness = int(rng.integers(4, 14))
    for stroke in strokes:
        points = (0.22 + 0.56 * np.array(stroke) + rng.normal(0, 0.02, (len(stroke), 2))) * CANVAS_PX
        cv2.polylines(canvas, [np.round(round_corners(points, rng)).astype(np.int32)], False, 1.0, thickness)
    return canvas


def round_corners(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut corners up to twice (Chaikin 1974): float64 (m, 2)."""
    for _ in range(int(rng.integers(0, 3))):
        if len(points) < 3:
            break
        near, far = points[:-1], points[1:]
        cut = np.stack([0.85 * near + 0.15 * far, 0.15 * near + 0.85 * far], 1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut[1:-1], points[-1:]])
    return points


def print_text(text: str, rng: np.random.Generator, fonts: list[Path] = FONTS) -> np.ndarray | None:
    """Print a character in a random font: uint8 (28, 28, 1), or None where the font lacks it."""
    if rng.random() < 0.5 and text.isascii():
        canvas = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
        font = int(rng.choice(HERSHEY_FONTS))
        cv2.putText(canvas, text, (45, 120), font, rng.uniform(2.5, 4), 255, int(rng.integers(2, 12)))
    else:
        picture = Image.new("L", (CANVAS_PX, CANVAS_PX))
        font = ImageFont.truetype(str(fonts[rng.integers(len(fonts))]), 100)
        ImageDraw.Draw(picture).text((40, 15), text, fill=255, font=font)
        canvas = np.asarray(picture)
    return write_glyph(canvas.astype(np.float32) / 255, rng) if (canvas > 127).sum() > 100 else None


def write_glyph(fine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend, slant, stretch and thicken a glyph, then bring it into MNIST's form as if found on a picture.

    Args:
        fine: float32 (side, side) in [0, 1], 1 = ink.
        rng: what chance decides.

    Returns:
        uint8 (28, 28, 1).
    """
    side = fine.shape[0]
    stretch = np.exp(rng.uniform(-0.3, 0.3))
    angle, slant = np.deg2rad(rng.uniform(-12, 12)), rng.uniform(-0.25, 0.25)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = 0.8 * turn @ np.array([[1, slant], [0, 1]]) @ np.diag([stretch, 1 / stretch])
    centre = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([linear, centre - linear @ centre])
    fine = cv2.warpAffine(fine, matrix, (side, side))
    bent = [cv2.GaussianBlur(rng.uniform(-1, 1, (20, 20)).astype(np.float32), (0, 0), 2.5) for _ in "xy"]
    ys, xs = np.mgrid[:side, :side].astype(np.float32)
    by = rng.uniform(0, 22)
    fine = cv2.remap(fine, *(g + by * cv2.resize(b, (side, side)) for g, b in zip((xs, ys), bent, strict=True)), 1)
    fine = change_thickness(fine, rng)
    fine = np.where(fine > rng.uniform(0.15, 0.4), fine, 0)
    rows, columns = (np.flatnonzero((fine > 0.3).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((28, 28, 1), np.uint8)
    cut = fine[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return normalize(Glyph(np.ascontiguousarray(cut, np.float32), 0, 0, 1, 1))


def change_thickness(fine: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another pen: half of all glyphs keep theirs; `normalize` gives thin ones MNIST's thickness."""
    kind, radius = rng.random(), int(rng.integers(1, 5))
    deepest = cv2.distanceTransform((fine > 0.4).astype(np.uint8), cv2.DIST_L2, 3)
    body = float(np.percentile(deepest[deepest > 0], 60)) if (deepest > 0).any() else 0.0
    if kind < 0.5 or (kind < 0.8 and body < radius + 2):  # what is thin already would fall apart
        return fine
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change: Callable[..., np.ndarray] = cv2.erode if kind < 0.8 else cv2.dilate
    return change(fine, kernel)
