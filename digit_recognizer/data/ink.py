"""Ink on paper: how dark each place of a picture is against the paper around it, under uneven light, rules and shadow.

It is found by a threshold with hysteresis (Canny 1986, section V) on the share of light that it takes away, which does
not change where a shadow falls.
"""

from dataclasses import dataclass

import numpy as np

from digit_recognizer.data.paper import compare_with_paper, find_paper, find_shade
from digit_recognizer.data.rules import find_rules

LONGEST_PX, SHORTEST_PX = 1280, 320  # of the longer side while looking for ink: strokes of a page have 2 px or more
FAINTEST_INK = 0.1  # share of the light: pencil takes 0.2 and more, the folds of paper 0.05
INK_SHARE, EDGE_SHARE = 0.5, 0.28  # of the ink's own darkness: where a stroke begins, and how far it reaches
INK_NOISE, EDGE_NOISE = 4.0, 3.0  # standard deviations of the paper
MOSTLY_INK = 0.12  # of the light, as noise of the paper: so much is no grain, but ink on nearly half of the picture
LEAST_SHARE, LEAST_PIXELS = 0.05, 30  # from where a pixel counts as ink at all, and how many there must be
FRAME_SHARE = 0.9  # of a side of the picture: what touches so much of it is a table or the edge of the paper
SLIVER_SHARE, SLIVER_LENGTH = 0.05, 3  # of that side, and of its own width: what lies so flat on an edge is cut off
THREAD_PX = 1.9  # thick: a rest of a rule, as a stroke cannot be after the blur
CROSSING_FLATNESS = 0.15  # of its length: what runs so flat from edge to edge is a rule that faded or bends
FULLEST, LEAST_FULL = 95, 0.7  # per cent of a part's pixels, and how strong these are at least if it is ink
PADDING_LEVELS = 4  # of 255: a margin of one shade that differs by more from the paper was added by a program
PADDING_INSIDE = 0.02  # of the pixels inside: a drawing on a flat ground has more of the ground's shade in it
PAPER_LEVELS = 60  # of 255: paper differs from ink by more


@dataclass(frozen=True)
class Ink:
    """What was written on a picture.

    Attributes:
        strength: float32 (height, width) in [0, 1], 0 = paper, 1 = full ink; all zero where nothing was written.
        scale: px of `strength` per px of the picture.
        left_px, top_px: what was cut off from the picture, in its px.
        inverted: whether the ink is lighter than the paper.
    """

    strength: np.ndarray
    scale: float
    left_px: int
    top_px: int
    inverted: bool


def find_ink(pixels: np.ndarray) -> Ink:
    """Find the ink of a picture.

    Args:
        pixels: uint8 (height, width), 0 = black, 255 = white, as `load_photograph` gives them; dark ink on light paper
            or the other way round.

    Returns:
        The ink without the rules of the paper, and without what frames it.
    """
    left, top, pixels = _cut_padding(pixels)
    pixels, scale = _resize(pixels)
    strength, inverted, doubtful = _extract(compare_with_paper(pixels, find_paper(pixels)))
    if doubtful and (shade := find_shade(pixels)) is not None:
        paper = np.full(pixels.shape, shade, np.float32)
        strength, inverted, _ = _extract(compare_with_paper(pixels, paper), cap=MOSTLY_INK / INK_NOISE)
    return Ink(strength, scale, left, top, inverted)


def _extract(shares: tuple[np.ndarray, np.ndarray], cap: float = np.inf) -> tuple[np.ndarray, bool, bool]:
    """Tell ink from paper, its rules and its grain.

    Returns:
        How strong the ink is, float32 in [0, 1]; whether it is the lighter; and whether what was taken for paper may
        be ink: half of the picture is neither, or all that stood out has been dropped again.
    """
    contrasts = [(share, *_measure_contrast(share, cap)) for share in shares]
    mostly_ink = min(contrast[3] for contrast in contrasts) > MOSTLY_INK
    inverted = contrasts[1][2] > contrasts[0][2]
    share, darkness, _, noise = contrasts[inverted]
    if darkness < FAINTEST_INK:
        return np.zeros_like(share), inverted, mostly_ink
    rules = find_rules(share > max(EDGE_SHARE * darkness, EDGE_NOISE * noise), share)
    if rules.any():
        share = np.where(rules, 0, share)
        darkness = _measure_contrast(share, cap)[0]  # of the ink alone
    if darkness < FAINTEST_INK:
        return np.zeros_like(share), inverted, mostly_ink
    edge = share > max(EDGE_SHARE * darkness, EDGE_NOISE * noise)
    kept = _keep_marked(edge, share > max(INK_SHARE * darkness, INK_NOISE * noise))
    strength = np.where(kept, np.clip(share / darkness, 0, 1), 0).astype(np.float32)
    _drop_shadows(strength)
    return strength, inverted, mostly_ink or not strength.any()


def _cut_padding(pixels: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Cut off a margin of one shade that a program has put around a picture of paper.

    A drawing on a flat ground has such a margin as well, and is not touched: its box has no paper but the margin's.
    """
    box = []
    for lines in (pixels.T, pixels):  # columns, rows
        inner = np.flatnonzero(lines.max(axis=1) != lines.min(axis=1))
        if not len(inner):
            return 0, 0, pixels
        box += [int(inner[0]), int(inner[-1]) + 1]
    left, right, top, bottom = box
    inside = pixels[top:bottom, left:right].astype(int)
    sides = (pixels[:top], pixels[bottom:], pixels[:, :left], pixels[:, right:])
    margin = np.concatenate([side.ravel() for side in sides])
    if not len(margin) or margin.min() != margin.max():
        return 0, 0, pixels
    height, width = inside.shape
    middle = inside[height // 5 : height - height // 5, width // 5 : width - width // 5]
    alike = (abs(inside - int(margin[0])) <= PADDING_LEVELS).mean()
    if alike > PADDING_INSIDE or not middle.size or np.ptp(middle) < PAPER_LEVELS:
        return 0, 0, pixels
    return left, top, pixels[top:bottom, left:right]


def _resize(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Bring the longer side within bounds."""
    import cv2

    longer = max(pixels.shape)
    scale = min(LONGEST_PX / longer, max(SHORTEST_PX / longer, 1.0))
    if scale == 1:
        return pixels, 1.0
    size = [max(1, round(side * scale)) for side in pixels.shape[::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def _measure_contrast(share: np.ndarray, cap: float = np.inf) -> tuple[float, float, float]:
    """The darkness of full ink, how much ink there is in all, and the paper's noise (one standard deviation)."""
    sample = share[::3, ::3]
    noise = 1.4826 * float(np.median(np.abs(sample - np.median(sample)))) + 1e-3
    noise = min(noise, cap)
    strong = share[share > max(INK_NOISE * noise, LEAST_SHARE)]
    if len(strong) < LEAST_PIXELS:
        return 0.0, 0.0, noise
    darkness = float(np.percentile(strong, 92))
    return darkness, darkness * len(strong) ** 0.5, noise


def _keep_marked(edge: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """The connected parts of `edge` that hold a mark, and are neither a frame nor the rest of a line at the border."""
    import cv2

    count, parts, boxes, _ = cv2.connectedComponentsWithStats(edge.astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[parts[marks & edge]] = True
    kept[0] = False
    height, width = edge.shape
    left, top, wide, tall, areas = boxes.T
    kept[areas < THREAD_PX * np.maximum(wide, tall)] = False
    ink_alone = kept.copy()
    for side in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        along = np.bincount(side, minlength=count)
        kept[along > FRAME_SHARE * len(side)] = False
    for start, long, flat_start, flat, across, along in (
        (left, wide, top, tall, height, width),
        (top, tall, left, wide, width, height),
    ):
        on_edge = (flat_start == 0) | (flat_start + flat == across)
        kept[on_edge & (flat < SLIVER_SHARE * across) & (long > SLIVER_LENGTH * flat)] = False
        kept[(start == 0) & (long == along) & (flat < CROSSING_FLATNESS * long)] = False
    if not kept.any():  # a digit cut out along its edges reaches them as a frame does, but all four of them
        kept = ink_alone & (wide == width) & (tall == height)
    found: np.ndarray = kept[parts]
    return found


def _drop_shadows(strength: np.ndarray) -> None:
    """Take away, in place, what is much fainter than other ink and touches the border: where a shadow begins."""
    import cv2

    count, parts = cv2.connectedComponents((strength > 0).astype(np.uint8), connectivity=8)
    border = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    fullest = {part: float(np.percentile(strength[parts == part], FULLEST)) for part in border.tolist() if part}
    if len(fullest) < count - 1:  # else there is nothing to compare with
        for part, full in fullest.items():
            if full < LEAST_FULL:
                strength[parts == part] = 0
