"""Digits as pictures have them, to train the classifier: MNIST's in other handwriting, drawn ones, printed ones.

MNIST was written with one kind of pen in one country. Of its digits others are made: wider or narrower, slanted, bent,
in another thickness, scanned with few pixels, and brought into MNIST's form as a picture's digits are (`normalize`).
What others write and MNIST hardly has (a 1 with a long upstroke or a foot, a crossed 7, a closed 4, a 9 whose tail runs
along the line) is drawn from a few jittered points.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digit_recognizer.vision.ink import EDGE_SHARE
from digit_recognizer.vision.segment import Glyph, normalize

CANVAS_PX = 160
COARSE_SHARE, COARSE_PX = 0.4, (8, 25)  # of the glyphs; their longer side: small scans have 8 to 28 px
THINNEST_PX = 1.0  # of a stroke in a small scan: a thinner one falls apart
FONT_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
DEJAVU_NAMES = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Italic", "Serif-Bold")
DEJAVU = [FONT_FOLDER / f"DejaVu{name}.ttf" for name in DEJAVU_NAMES]  # the others lack Cyrillic
OTHER_NAMES = ("STIXGeneral", "STIXGeneralItalic", "STIXGeneralBol", "cmr10", "cmss10", "cmtt10", "cmti10")
FONTS = [*DEJAVU, *(FONT_FOLDER / f"{name}.ttf" for name in OTHER_NAMES)]
HERSHEY_FONTS = (0, 1, 2, 3, 4, 6, 7, 16)  # OpenCV's, as strokes; with 16 added they slant

Points = list[tuple[float, float]]


def _arc(x: float, y: float, across: float, down: float, first: float, last: float) -> Points:
    """A part of an ellipse, from one angle to another in degrees, clockwise from the right."""
    angles = np.deg2rad(np.linspace(first, last, max(4, round(abs(last - first) / 30))))
    return [(x + across * float(np.cos(angle)), y + down * float(np.sin(angle))) for angle in angles]


# Strokes of digits as points (x, y) in a unit box, y downwards; each list is one lift of the pen.
FORMS: dict[int, list[list[Points]]] = {
    0: [
        [_arc(0.45, 0.5, 0.4, 0.5, -90, 270)],
        [_arc(0.45, 0.5, 0.33, 0.5, -60, 290)],
        [_arc(0.45, 0.5, 0.25, 0.5, -110, 260)],
    ],
    1: [
        [[(0.3, 0.25), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.2, 0.4), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.2, 0.6), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.05, 0.3), (0.35, 0.2), (0.55, 0.0), (0.55, 1.0)]],
        [[(0.0, 0.35), (0.45, 0.15), (0.5, 0.0), (0.5, 1.0)]],
        [[(0.25, 0.25), (0.5, 0.0), (0.5, 1.0)], [(0.15, 1.0), (0.85, 1.0)]],
        [[(0.1, 0.35), (0.5, 0.0), (0.5, 1.0)], [(0.2, 0.98), (0.8, 1.0)]],
        [[(0.5, 0.0), (0.5, 1.0)], [(0.2, 1.0), (0.8, 1.0)]],
        [[(0.5, 0.0), (0.5, 1.0)]],
    ],
    2: [
        [[(0.05, 0.25), (0.2, 0.03), (0.5, 0.0), (0.75, 0.2), (0.65, 0.5), (0.0, 1.0), (0.85, 0.98)]],
        [[(0.1, 0.2), (0.35, 0.0), (0.7, 0.05), (0.75, 0.3), (0.5, 0.65), (0.1, 0.98), (0.0, 0.85), (0.2, 0.75),
          (0.5, 0.9), (0.9, 0.95)]],
        [[(0.0, 0.1), (0.6, 0.0), (0.75, 0.15), (0.7, 0.4), (0.05, 0.97), (0.8, 1.0)]],
    ],
    3: [
        [[*_arc(0.35, 0.24, 0.38, 0.24, -160, 80), *_arc(0.35, 0.74, 0.45, 0.26, -80, 150)]],
        [[(0.05, 0.02), (0.75, 0.0), (0.3, 0.4), (0.7, 0.5), (0.8, 0.75), (0.5, 1.0), (0.0, 0.95)]],
        [[(0.1, 0.1), (0.45, 0.0), (0.65, 0.2), (0.2, 0.45), (0.65, 0.6), (0.65, 0.9), (0.3, 1.0), (0.0, 0.85)]],
    ],
    4: [
        [[(0.65, 0.05), (0.0, 0.5), (0.7, 0.55)], [(0.68, 0.05), (0.7, 1.0)]],
        [[(0.7, 0.0), (0.0, 0.35), (0.7, 0.45)], [(0.7, 0.0), (0.75, 1.0)]],
        [[(0.55, 0.0), (0.0, 0.65), (0.9, 0.65)], [(0.6, 0.35), (0.6, 1.0)]],
        [[(0.1, 0.0), (0.05, 0.5), (0.8, 0.5)], [(0.65, 0.0), (0.65, 1.0)]],
        [[(0.45, 0.0), (0.0, 0.7), (0.85, 0.7)], [(0.75, 0.3), (0.65, 1.0)]],
        [[(0.5, 0.0), (0.05, 0.6), (0.1, 0.72), (0.9, 0.68)], [(0.8, 0.35), (0.55, 1.0)]],
        [[(0.35, 0.0), (0.05, 0.6), (0.85, 0.62)], [(0.7, 0.2), (0.6, 1.0)]],
        [[(0.6, 1.0), (0.6, 0.0), (0.0, 0.65), (0.9, 0.65)]],
    ],
    5: [
        [[(0.15, 0.0), (0.1, 0.45), (0.5, 0.38), (0.8, 0.6), (0.7, 0.92), (0.35, 1.0), (0.0, 0.9)],
         [(0.15, 0.0), (0.8, 0.0)]],
        [[(0.85, 0.0), (0.2, 0.02), (0.1, 0.42), (0.55, 0.42), (0.75, 0.7), (0.45, 1.0), (0.0, 0.95)]],
        [[(0.2, 0.1), (0.1, 0.5), (0.6, 0.45), (0.7, 0.8), (0.3, 1.0), (0.0, 0.97)], [(0.25, 0.05), (0.9, 0.0)]],
    ],
    6: [
        [[(0.65, 0.0), (0.25, 0.3), (0.05, 0.7), *_arc(0.4, 0.75, 0.35, 0.25, 180, -180)]],
        [[(0.35, 0.0), (0.1, 0.45), (0.1, 0.85), (0.4, 1.0), (0.7, 0.8), (0.5, 0.55), (0.12, 0.75)]],
        [[(0.75, 0.05), (0.45, 0.0), (0.1, 0.4), (0.1, 0.85), (0.45, 1.0), (0.75, 0.8), (0.5, 0.55), (0.1, 0.7)]],
    ],
    7: [
        [[(0.0, 0.05), (0.8, 0.0), (0.35, 1.0)], [(0.2, 0.5), (0.8, 0.45)]],
        [[(0.0, 0.2), (0.05, 0.0), (0.8, 0.0), (0.3, 1.0)], [(0.15, 0.55), (0.85, 0.5)]],
        [[(0.0, 0.15), (0.0, 0.0), (0.75, 0.0), (0.45, 0.5), (0.35, 1.0)]],
        [[(0.0, 0.25), (0.8, 0.0), (0.4, 1.0)]],
        [[(0.0, 0.15), (0.75, 0.0), (0.55, 0.5), (0.45, 1.0)]],
        [[(0.05, 0.3), (0.75, 0.05), (0.35, 1.0)], [(0.25, 0.55), (0.8, 0.5)]],
        [[(0.0, 0.1), (0.3, 0.0), (0.7, 0.1), (0.6, 0.5), (0.4, 1.0)], [(0.0, 0.6), (0.9, 0.45)]],
    ],
    8: [
        [[(0.7, 0.12), (0.4, 0.0), (0.12, 0.2), (0.4, 0.45), (0.75, 0.75), (0.4, 1.0), (0.05, 0.78), (0.4, 0.48),
          (0.7, 0.22), (0.65, 0.08)]],
        [_arc(0.4, 0.23, 0.28, 0.23, -90, 270), _arc(0.4, 0.73, 0.36, 0.27, -90, 270)],
        [[(0.2, 0.05), (0.1, 0.25), (0.7, 0.7), (0.4, 1.0), (0.1, 0.8), (0.65, 0.2), (0.5, 0.0), (0.2, 0.05)]],
    ],
    9: [
        [[(0.7, 0.1), (0.3, 0.0), (0.0, 0.25), (0.3, 0.5), (0.7, 0.3), (0.7, 0.1), (0.7, 0.6), (0.65, 1.0)]],
        [[(0.7, 0.1), (0.3, 0.0), (0.0, 0.25), (0.3, 0.5), (0.7, 0.2), (0.7, 0.75), (0.4, 1.0), (0.05, 0.9)]],
        [[*_arc(0.38, 0.24, 0.32, 0.24, 0, -340), (0.72, 0.2), (0.5, 1.0)]],
        [[(0.65, 0.12), (0.3, 0.0), (0.0, 0.2), (0.25, 0.42), (0.65, 0.2), (0.8, 0.7), (0.75, 0.97), (0.05, 1.0)]],
        [[(0.55, 0.1), (0.25, 0.0), (0.0, 0.2), (0.2, 0.42), (0.55, 0.22), (0.85, 0.85), (0.7, 1.0), (0.1, 0.95)]],
    ],
}  # fmt: skip
SHARES = np.array([2, 8, 2, 2, 8, 2, 2, 6, 3, 8]) / 43  # of the drawn digits: mostly those that MNIST writes otherwise


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


def draw_digit(digit: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a digit in one of its `FORMS`: uint8 (28, 28, 1)."""
    forms = FORMS[digit]
    form = forms[rng.integers(len(forms))]
    if rng.random() < 0.15:
        form = [trace_pen(form)]
    thickest = 45 if len(form) == 1 and len(form[0]) == 2 else 24  # a bar is still one
    return write_glyph(draw_strokes(form, rng, thickest), rng, upright=digit in (1, 7))


def trace_pen(strokes: list[Points], points: int = 8) -> Points:
    """The way of the pen in a few points, as tablets record it; its way through the air is drawn as well."""
    way = np.array([point for stroke in strokes for point in stroke])
    travelled = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    at = np.linspace(0, travelled[-1], points)
    return list(zip(*(np.interp(at, travelled, axis).tolist() for axis in way.T), strict=True))


def draw_strokes(strokes: list[Points], rng: np.random.Generator, thickest: int = 14) -> np.ndarray:
    """Draw jittered strokes, rounded a little at their corners: float32 (side, side) in [0, 1]."""
    canvas = np.zeros((CANVAS_PX, CANVAS_PX), np.float32)
    thickness = round(4 * (thickest / 4) ** rng.random())
    for stroke in strokes:
        points = (0.22 + 0.56 * np.array(stroke) + rng.normal(0, 0.02, (len(stroke), 2))) * CANVAS_PX
        cv2.polylines(canvas, [np.round(round_corners(points, rng)).astype(np.int32)], False, 1.0, thickness)
    return canvas


def round_corners(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut corners up to three times (Chaikin 1974): float64 (m, 2)."""
    for _ in range(int(rng.integers(0, 4))):
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


def write_glyph(fine: np.ndarray, rng: np.random.Generator, *, upright: bool = False) -> np.ndarray:
    """Bend, slant, stretch and thicken a glyph, then bring it into MNIST's form as if found on a picture.

    Args:
        fine: float32 (side, side) in [0, 1], 1 = ink.
        rng: what chance decides.
        upright: turn, slant and stretch it half as much: a 1 that leans and is wide is a 7.

    Returns:
        uint8 (28, 28, 1).
    """
    side = fine.shape[0]
    lean = 0.5 if upright else 1.0
    stretch = np.exp(lean * rng.uniform(-0.3, 0.3))
    angle, slant = lean * np.deg2rad(rng.uniform(-12, 12)), lean * rng.uniform(-0.25, 0.25)
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
    cut = np.ascontiguousarray(fine[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)
    if rng.random() < COARSE_SHARE:
        cut = coarsen(cut, rng)
    return normalize(Glyph(cut, 0, 0, 1, 1))


def coarsen(cut: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What `find_ink` makes of a glyph that was scanned with few pixels: float32 (height, width) in [0, 1]."""
    depth = cv2.distanceTransform(np.pad(cut > 0.4, 1).astype(np.uint8), cv2.DIST_L2, 3)
    thickness = 2 * max(1.0, float(np.percentile(depth[depth > 0], 90)))
    longer = max(float(rng.integers(*COARSE_PX)), THINNEST_PX * max(cut.shape) / thickness)
    sides = np.array(cut.shape) * longer / max(cut.shape)
    if rng.random() < 0.2:  # some collections stretch each digit to fill a square
        sides = np.maximum(sides, 0.7 * longer)
    height, width = np.maximum(2, np.round(sides)).astype(int).tolist()
    coarse = np.pad(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), 2)
    if rng.random() < 0.3:
        coarse = cv2.GaussianBlur(coarse, (0, 0), rng.uniform(0.3, 0.7))
    if rng.random() < 0.4:
        coarse = (coarse > rng.uniform(0.25, 0.6) * coarse.max()).astype(np.float32)
    coarse = coarse + rng.normal(0, rng.uniform(0, 0.05), coarse.shape).astype(np.float32)
    if rng.random() < 0.3:
        grey = np.rint(255 * np.clip(coarse, 0, 1)).astype(np.uint8)
        packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])[1]
        coarse = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
    scale = CANVAS_PX / max(coarse.shape)
    size = [max(1, round(side * scale)) for side in coarse.shape[::-1]]
    share = cv2.GaussianBlur(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), (0, 0), 0.5)
    darkness = max(1e-3, float(np.percentile(share[share > 0.05], 92)) if (share > 0.05).any() else 0.0)
    strength = np.where(share > EDGE_SHARE * darkness, np.clip(share / darkness, 0, 1), 0).astype(np.float32)
    rows, columns = (np.flatnonzero(strength.any(axis=axis)) for axis in (1, 0))
    return np.ascontiguousarray(strength[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]) if len(rows) else cut


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
