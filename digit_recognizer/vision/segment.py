"""Glyphs: pieces of ink that belong together, each taken for one digit or letter, in reading order and MNIST's form."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.vision.ink import Ink, find_ink
from digit_recognizer.vision.photos import load_photograph

TALL = 0.35  # of the largest part: what is smaller does not count for the size of a glyph
SPECK = 0.1  # of a glyph's size: smaller parts are dust, and dots of the paper
SMALL_PART, NEAR_PART = 0.5, 0.2  # of the larger part's size: a smaller part so near above or below it belongs to it,
TOUCHING = 0.06  # and one so near beside it: a decimal point stands farther off
OVERLAP = 0.25  # of the narrower part's width: parts above each other may be one broken glyph,
TALLEST_WHOLE = 1.4  # if together they are not taller than this, in sizes of the larger
SAME_LINE = 0.35  # of the lower glyph: so much beside the last glyph of a line, it follows that
MIN_GLYPH = 0.3  # of a glyph's size: less is a comma, or a glyph of another size
WIDEST_GAP, WIDEST_WHOLE = 0.3, 1.4  # of the taller of two halves: their gap, and the width of the whole
NARROWEST_PAIR, MIN_HALF = 0.75, 0.12  # of a glyph's height: the width of a pair, and of half of one
THICKEST_TIE = 0.3  # of the height: digits that touch share one stroke, no thicker, in a column; a letter has more
MAX_SPLITS, INK_STEP = 3, 0.05  # ways to split; share of the height by which columns differ in ink
MIN_PX = 10  # of the picture as searched for ink: the largest of grain and dust is smaller
MAX_PARTS = 3000  # of the largest: a full page has fewer; noise has more


@dataclass(frozen=True)
class Glyph:
    """A piece of ink.

    Attributes:
        strength: float32 (height, width) in [0, 1], its ink alone, cut to its box.
        x, y, width, height: of its box in the picture, in px.
        line: of writing on which it stands, from 0.
        small: whether it is so much smaller than others that it is a dot or dust, unless it is classified as a digit.
    """

    strength: np.ndarray
    x: int
    y: int
    width: int
    height: int
    line: int = 0
    small: bool = False


@dataclass
class _Part:
    """Connected ink: its numbers among the components, and its box."""

    numbers: list[int]
    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> int:
        return max(self.right - self.left, self.bottom - self.top)


def find_glyphs(ink: Ink, single: bool = False) -> list[Glyph]:
    """Find the glyphs of a picture, line by line, each from left to right.

    Args:
        ink: of the picture.
        single: take all ink but specks as one glyph.

    Returns:
        An empty list where there is no ink; of more than `MAX_PARTS` pieces the largest.
    """
    import cv2

    _, components, boxes, _ = cv2.connectedComponentsWithStats((ink.strength > 0).astype(np.uint8), connectivity=8)
    parts = [
        _Part([number], x, y, x + width, y + height)
        for number, (x, y, width, height, _) in enumerate(boxes.tolist())
        if number
    ]
    largest = max((part.size for part in parts), default=0)
    if largest < MIN_PX:
        return []
    size = float(np.median([part.size for part in parts if part.size >= TALL * largest]))
    if single:
        whole = _join([part for part in parts if part.size >= SPECK * size])
        return [_cut_out(ink, components, whole, 0, small=False)]
    least = max(MIN_PX, SPECK * size)
    parts = sorted((part for part in parts if part.size >= least), key=lambda part: -part.size)[:MAX_PARTS]
    return [
        _cut_out(ink, components, part, line, small=part.size < MIN_GLYPH * size)
        for line, parts in enumerate(_order_lines(_gather(parts)))
        for part in parts
    ]


def _gather(parts: list[_Part]) -> list[_Part]:
    """Join what belongs together, until nothing more does."""
    reach = TOUCHING * max((part.size for part in parts), default=0)
    while True:
        gathered: list[_Part] = []
        near: list[int] = []  # places in `gathered` that the next part may belong to: what ends before it is past
        for part in sorted(parts, key=lambda part: part.left):
            near = [place for place in near if gathered[place].right + reach >= part.left]
            home = next((place for place in near if _belong_together(gathered[place], part)), None)
            if home is None:
                near.append(len(gathered))
                gathered.append(part)
            else:
                gathered[home] = _join([gathered[home], part])
        if len(gathered) == len(parts):
            return gathered
        parts = gathered


def _belong_together(one: _Part, other: _Part) -> bool:
    across = max(one.left, other.left) - min(one.right, other.right)  # negative where they overlap
    down = max(one.top, other.top) - min(one.bottom, other.bottom)
    smaller, larger = sorted((one.size, other.size))
    if smaller < SMALL_PART * larger and across < TOUCHING * larger and down < NEAR_PART * larger:
        return True
    narrower = min(one.right - one.left, other.right - other.left)
    whole = max(one.bottom, other.bottom) - min(one.top, other.top)
    return -across > OVERLAP * narrower and down < NEAR_PART * larger and whole < TALLEST_WHOLE * larger


def _join(parts: list[_Part]) -> _Part:
    return _Part(
        [number for part in parts for number in part.numbers],
        min(part.left for part in parts),
        min(part.top for part in parts),
        max(part.right for part in parts),
        max(part.bottom for part in parts),
    )


def _order_lines(parts: list[_Part]) -> list[list[_Part]]:
    """Lines from top to bottom, each from left to right; a line may rise or fall, since each glyph follows the last."""
    lines: list[list[_Part]] = []
    for part in sorted(parts, key=lambda part: part.left):
        shares = [_measure_overlap(line[-1], part) for line in lines]
        best = int(np.argmax(shares)) if shares else 0
        if shares and shares[best] > SAME_LINE:
            lines[best].append(part)
        else:
            lines.append([part])
    lines.sort(key=lambda line: float(np.mean([part.top + part.bottom for part in line])))
    return lines


def _measure_overlap(one: _Part, other: _Part) -> float:
    """How much of the lower of two parts stands beside the other: a share, negative where none does."""
    beside = min(one.bottom, other.bottom) - max(one.top, other.top)
    return beside / min(one.bottom - one.top, other.bottom - other.top)


def _cut_out(ink: Ink, components: np.ndarray, part: _Part, line: int, *, small: bool) -> Glyph:
    place = np.s_[part.top : part.bottom, part.left : part.right]
    strength = np.where(np.isin(components[place], part.numbers), ink.strength[place], 0)
    corners = [(x, y, 1) for x in (part.left, part.right) for y in (part.top, part.bottom)]
    xs, ys, by = ink.matrix @ np.array(corners).T
    left, right, top, bottom = (round(float(side)) for axis in (xs / by, ys / by) for side in (axis.min(), axis.max()))
    return Glyph(strength, left, top, max(1, right - left), max(1, bottom - top), line, small)


def join_glyphs(one: Glyph, other: Glyph) -> Glyph | None:
    """One glyph of two that stand close enough, beside each other or one above the other; None if they do not."""
    left, top = min(one.x, other.x), min(one.y, other.y)
    right, bottom = max(one.x + one.width, other.x + other.width), max(one.y + one.height, other.y + other.height)
    taller = max(one.height, other.height)
    across = max(one.x, other.x) - min(one.x + one.width, other.x + other.width)  # negative where they overlap
    down = max(one.y, other.y) - min(one.y + one.height, other.y + other.height)
    if one.line != other.line:
        reach = WIDEST_GAP * max(taller, one.width, other.width)
        is_whole = -across >= OVERLAP * min(one.width, other.width) and down <= reach
    else:
        is_whole = across <= WIDEST_GAP * taller and bottom - top <= TALLEST_WHOLE * taller
    if not is_whole or right - left > WIDEST_WHOLE * max(taller, bottom - top):
        return None
    scale = max(part.strength.shape[0] / part.height for part in (one, other))
    size = [max(1, round(side * scale)) + 1 for side in (bottom - top, right - left)]
    strength = np.zeros(size, np.float32)
    for part in (one, other):
        row, column = round((part.y - top) * scale), round((part.x - left) * scale)
        place = strength[row : row + part.strength.shape[0], column : column + part.strength.shape[1]]
        np.maximum(place, part.strength[: place.shape[0], : place.shape[1]], out=place)
    return Glyph(strength, left, top, right - left, bottom - top, min(one.line, other.line))


def list_splits(glyph: Glyph) -> list[tuple[Glyph, Glyph]]:
    """Split a glyph upright into two where a column holds little ink: up to `MAX_SPLITS` ways, the thinnest first.

    The list is empty if the glyph is too narrow to be two digits.
    """
    height, width = glyph.strength.shape
    if width < NARROWEST_PAIR * height:
        return []
    ink = glyph.strength.sum(axis=0)
    strokes = np.diff((glyph.strength > 0).astype(np.int8), axis=0, prepend=0).clip(0).sum(axis=0)
    is_tie = (ink <= THICKEST_TIE * height) & (strokes <= 1)
    margin = max(2, round(MIN_HALF * height))
    places: list[int] = []
    steps = np.round(ink / (INK_STEP * height))  # among columns that hold about as little, the middle ones come first
    order = np.lexsort((np.abs(np.arange(width) - width / 2), steps))
    for column in order[(order >= margin) & (order < width - margin) & is_tie[order]].tolist():
        if all(abs(column - place) >= margin for place in places):
            places.append(column)
        if len(places) == MAX_SPLITS:
            break
    halves = ((_take_columns(glyph, 0, place), _take_columns(glyph, place, width)) for place in places)
    return [(left, right) for left, right in halves if left is not None and right is not None]


def _take_columns(glyph: Glyph, first: int, last: int) -> Glyph | None:
    """The part of a glyph in some of its columns, cut to its ink; None where there is none."""
    part = glyph.strength[:, first:last]
    rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    across, down = glyph.width / glyph.strength.shape[1], glyph.height / glyph.strength.shape[0]
    return Glyph(
        np.ascontiguousarray(part[top:bottom, left:right]),
        glyph.x + round((first + left) * across),
        glyph.y + round(top * down),
        max(1, round((right - left) * across)),
        max(1, round((bottom - top) * down)),
        glyph.line,
    )


# MNIST's own form of handwriting: a glyph's box scaled into 20x20 px, centred by its mass in 28x28 px. LeCun, Bottou,
# Bengio and Haffner 1998 ("Gradient-based learning applied to document recognition", section III.A) made MNIST so;
# models trained on it read other people's pictures about as well as these are brought into that form. What the article
# does not say, and what a photograph of a thin pen lacks, is the thickness of MNIST's strokes.

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
