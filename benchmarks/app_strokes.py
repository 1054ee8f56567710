"""Digits as a hand draws them: skeletons in several handwriting styles, with a slant, a size, a place and a tremor."""

from dataclasses import dataclass

import numpy as np

# Each style is a list of strokes, each stroke a list of points in a box from (0, 0), top left, to (1, 1). A curve goes
# through the points of a stroke unless its style is angular.
CURVED, ANGULAR = True, False
STYLES: dict[int, list[tuple[bool, list[list[tuple[float, float]]]]]] = {
    0: [
        (CURVED, [[(0.55, 0), (0.2, 0.15), (0.05, 0.5), (0.2, 0.87), (0.5, 1), (0.82, 0.85), (0.95, 0.5), (0.8, 0.12),
                   (0.52, 0)]]),
        (CURVED, [[(0.7, 0.05), (0.35, 0.05), (0.1, 0.35), (0.1, 0.7), (0.4, 1), (0.75, 0.85), (0.9, 0.45), (0.75, 0.1),
                   (0.6, 0.02)]]),
        (CURVED, [[(0.5, 0), (0.85, 0.2), (0.95, 0.6), (0.6, 1), (0.2, 0.9), (0.05, 0.5), (0.2, 0.1), (0.55, 0)]]),
    ],
    1: [
        (ANGULAR, [[(0.5, 0), (0.5, 1)]]),
        (ANGULAR, [[(0.3, 0.2), (0.55, 0), (0.55, 1)]]),
        (ANGULAR, [[(0.3, 0.2), (0.52, 0), (0.52, 1)], [(0.28, 1), (0.76, 1)]]),
    ],
    2: [
        (CURVED, [[(0.08, 0.22), (0.3, 0.02), (0.7, 0.03), (0.88, 0.25), (0.7, 0.55), (0.35, 0.82), (0.08, 0.99),
                   (0.5, 0.98), (0.95, 0.97)]]),
        (CURVED, [[(0.1, 0.2), (0.45, 0), (0.8, 0.18), (0.75, 0.5), (0.4, 0.85), (0.12, 0.92), (0.22, 0.76),
                   (0.5, 0.88), (0.95, 0.95)]]),
        (ANGULAR, [[(0.1, 0.2), (0.3, 0.02), (0.7, 0.02), (0.88, 0.2), (0.85, 0.4), (0.08, 1), (0.95, 1)]]),
    ],
    3: [
        (CURVED, [[(0.1, 0.12), (0.45, 0), (0.82, 0.15), (0.75, 0.4), (0.4, 0.48), (0.85, 0.6), (0.9, 0.85), (0.5, 1),
                   (0.08, 0.88)]]),
        (ANGULAR, [[(0.1, 0), (0.88, 0), (0.42, 0.42), (0.75, 0.48), (0.92, 0.7), (0.75, 0.95), (0.4, 1),
                    (0.08, 0.9)]]),
    ],
    4: [
        (ANGULAR, [[(0.3, 0), (0.08, 0.6), (0.95, 0.58)], [(0.7, 0.1), (0.68, 1)]]),
        (ANGULAR, [[(0.72, 1), (0.72, 0), (0.05, 0.68), (0.98, 0.68)]]),
        (CURVED, [[(0.12, 0), (0.1, 0.3), (0.15, 0.5), (0.5, 0.55), (0.85, 0.5)], [(0.88, 0), (0.85, 0.5), (0.83, 1)]]),
    ],
    5: [
        (CURVED, [[(0.2, 0), (0.16, 0.24), (0.13, 0.46), (0.5, 0.38), (0.88, 0.58), (0.82, 0.88), (0.45, 1),
                   (0.08, 0.9)], [(0.2, 0), (0.55, 0.01), (0.9, 0)]]),
        (ANGULAR, [[(0.88, 0), (0.2, 0), (0.15, 0.42), (0.5, 0.38), (0.8, 0.48), (0.9, 0.7), (0.8, 0.92), (0.45, 1),
                    (0.1, 0.92)]]),
    ],
    6: [
        (CURVED, [[(0.75, 0), (0.4, 0.2), (0.14, 0.55), (0.15, 0.85), (0.5, 1), (0.85, 0.85), (0.8, 0.6), (0.5, 0.5),
                   (0.17, 0.7)]]),
        (CURVED, [[(0.5, 0), (0.2, 0.3), (0.1, 0.7), (0.35, 1), (0.75, 0.95), (0.85, 0.7), (0.6, 0.52), (0.2, 0.62),
                   (0.12, 0.75)]]),
    ],
    7: [
        (ANGULAR, [[(0.08, 0), (0.92, 0), (0.4, 1)]]),
        (ANGULAR, [[(0.08, 0.02), (0.92, 0), (0.38, 1)], [(0.3, 0.5), (0.85, 0.48)]]),
        (ANGULAR, [[(0.08, 0.15), (0.1, 0.02), (0.92, 0), (0.6, 0.45), (0.5, 1)]]),
    ],
    8: [
        (CURVED, [[(0.8, 0.12), (0.45, 0), (0.15, 0.2), (0.5, 0.48), (0.88, 0.75), (0.5, 1), (0.12, 0.78), (0.5, 0.48),
                   (0.85, 0.22), (0.78, 0.08)]]),
        (CURVED, [[(0.5, 0.46), (0.2, 0.25), (0.45, 0), (0.8, 0.2), (0.5, 0.46), (0.12, 0.75), (0.45, 1), (0.88, 0.78),
                   (0.5, 0.46)]]),
    ],
    9: [
        (CURVED, [[(0.85, 0.22), (0.55, 0), (0.15, 0.15), (0.2, 0.45), (0.55, 0.5), (0.85, 0.22), (0.84, 0.6),
                   (0.78, 1)]]),
        (CURVED, [[(0.85, 0.15), (0.45, 0), (0.12, 0.25), (0.35, 0.52), (0.75, 0.38), (0.87, 0.15), (0.85, 0.65),
                   (0.6, 0.97), (0.2, 0.95)]]),
        (ANGULAR, [[(0.83, 0.15), (0.5, 0), (0.18, 0.15), (0.18, 0.38), (0.45, 0.5), (0.83, 0.3), (0.83, 0.02),
                    (0.8, 1)]]),
    ],
}  # fmt: skip
PAPER_PX = 720, 480  # of the page's canvas
MARGIN_PX = 30


@dataclass(frozen=True)
class Drawing:
    """A digit as strokes on the page's paper.

    Attributes:
        digit: what it is.
        style: which of `STYLES`.
        pen_px: how thick the pen is.
        strokes: float (n, 2) each, in px of the canvas.
    """

    digit: int
    style: int
    pen_px: int
    strokes: tuple[np.ndarray, ...]


def make_drawings(count: int, seed: int) -> list[Drawing]:
    """Draw digits 0 to 9 in turn, each time by another hand; the same for the same seed."""
    return [draw_digit(number % 10, np.random.default_rng([seed, number])) for number in range(count)]


def draw_digit(digit: int, rng: np.random.Generator) -> Drawing:
    """Draw a digit in one of its styles: 130 to 400 px high, slanted and turned a little, quickly or slowly."""
    style = int(rng.integers(len(STYLES[digit])))
    curved, skeleton = STYLES[digit][style]
    height = rng.uniform(130, 400)
    width = height * rng.uniform(0.5, 0.85)
    pen = int(np.clip(height * rng.uniform(0.05, 0.13), 8, 48))
    slant, turn = rng.uniform(-0.12, 0.3), np.radians(rng.uniform(-6, 6))
    matrix = np.array([[1, 0], [-slant, 1]]) @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]
    spacing = rng.uniform(6, 30)  # px between two places that a mouse reports: slow or quick
    strokes = []
    for points in skeleton:
        moved = np.array(points) + rng.normal(0, 0.018, (len(points), 2))  # no hand draws the same twice
        strokes.append(_trace(moved * [width, height] @ matrix, spacing, curved) + rng.normal(0, 0.4))
    corners = np.concatenate(strokes)
    low, high = corners.min(axis=0), corners.max(axis=0)
    free = np.array(PAPER_PX) - 2 * MARGIN_PX - (high - low)
    shift = MARGIN_PX - low + rng.uniform(0, 1, 2) * np.maximum(0, free)
    return Drawing(digit, style, pen, tuple(stroke + shift for stroke in strokes))


def _trace(points: np.ndarray, spacing: float, curved: bool) -> np.ndarray:
    """Points about `spacing` px apart along a line, or along a Catmull-Rom curve, through some points."""
    if not curved:
        fine = points
    else:
        padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
        before, start, end, after = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
        t = np.linspace(0, 1, 20)[None, :, None]
        curve = 2 * start + (end - before) * t + (2 * before - 5 * start + 4 * end - after) * t**2
        curve += (3 * start - before - 3 * end + after) * t**3
        fine = curve.reshape(-1, 2) / 2
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    places = np.linspace(0, lengths[-1], max(3, round(lengths[-1] / spacing)))
    if not curved:  # a hand does not cut corners
        places = np.unique(np.concatenate([places, lengths]))
    return np.stack([np.interp(places, lengths, fine[:, axis]) for axis in (0, 1)], axis=1)
