"""Rectangles that hold writing without being written: sheets on a table, keys, printed boxes, combs and tables.

Each is found by its outline (`cv2.findContours`), whose convex hull has four corners as no loop of a digit has.
"""

import cv2
import numpy as np

LONGEST_PX = 640  # of the longer side while looking for sheets
CORNER_TOLERANCE = 0.04  # of a hull's outline: corners so flat are none
MIN_FILL = 0.88  # of four corners' area that the hull fills: a rounded box 0.95, an ellipse 0.64
MIN_SOLID = 0.5  # of the hull's area that the outline encloses: writing that touches a line takes a bite
MIN_SHEET, MAX_SHEET = 0.004, 0.97  # of the picture's area: a key, and a sheet that leaves a table to be seen
MIN_KEYS, MIN_SINGLE = 3, 0.06  # so many small sheets are keys; of the picture's area, if there are fewer
SLIMMEST = 0.2  # a sheet's sides: between ruled lines are longer strips
SHEET_CONTRAST = 20  # of 255, between the sheet and the table on three sides at least
RING_SHARE = 0.04  # of a sheet's shorter side: where its shade is measured, and what is cut off from its edges
BEYOND = (-0.05, -0.09)  # of that side: a printed line ends before, the next key begins after
BEYOND_PX = 8.0  # at the least, the farther of them: a ruled line, with its blur, beside a narrow strip of paper
MIN_WRITING, MAX_WRITING = 0.003, 0.42  # of a sheet's area: an inked bar has none, an inked ring has more
WRITING_CONTRAST = 25  # of 255, between a sheet and what is written on it
ALIKE = 0.3  # of the largest sheet's area: smaller ones are no neighbours of it
MIN_BOX_PX = 14  # of a printed box, inside
THICKEST_LINE = 0.18  # of the box's shorter side
THICKEST_LINES = 0.6  # of the area of all boxes; around the hole of a 0 is more ink
THICKEST_SQUARE, MIN_SQUARE = 0.9, 0.8  # the same of one box, its sides at least so alike: a printed 0 is narrower
THICKEST_SPANNING = 0.25  # the same of lines from edge to edge: between keys the case is broader
TALLEST_SQUARE = 0.6  # of the picture's height: a square of squared paper; a cell cut out along its row is taller
LINE_BLUR_PX = 2  # beside a printed line
MAX_INK = 0.6  # of the box around connected lines: more is no frame
MIN_FRAME = 0.5  # of the hull of connected lines that boxes fill: the loop of a digit is a part of it only
SQUARE_CORNER = 0.35  # of a right angle's sine: 20 degrees more or less
FLATTEST, STRAIGHT_PX, STRAIGHT_SHARE = 2.0, 2.5, 0.85  # width by height of an open comb; its lower edge is straight


def find_corners(outline: np.ndarray) -> np.ndarray | None:
    """The four corners of an outline that is a quadrilateral: float32 (4, 2); None if it is none."""
    hull = cv2.convexHull(outline)
    corners = cv2.approxPolyDP(hull, CORNER_TOLERANCE * cv2.arcLength(hull, True), True)
    area = cv2.contourArea(hull)
    if len(corners) != 4 or area == 0 or cv2.contourArea(outline) < MIN_SOLID * area:
        return None
    if not MIN_FILL < area / max(1.0, cv2.contourArea(corners)) < 1 / MIN_FILL:
        return None
    quad = corners[:, 0].astype(np.float32)
    sides = np.roll(quad, -1, axis=0) - quad
    sides /= np.maximum(np.linalg.norm(sides, axis=1, keepdims=True), 1e-6)
    if (np.abs((sides * np.roll(sides, -1, axis=0)).sum(axis=1)) > SQUARE_CORNER).any():
        return None
    return quad


def measure_sides(quad: np.ndarray) -> tuple[float, float]:
    """The mean length of the first and third side, and that of the others."""
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    return float(lengths[::2].mean()), float(lengths[1::2].mean())


# Sheets: quadrilaterals of another shade than what they lie on, with something written upon them.


def flatten_sheets(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring the sheet that lies on a table to the whole picture; of several sheets, or keys, paint over all between.

    Args:
        pixels: uint8 (height, width).

    Returns:
        The new picture, and the matrix (3, 3) that takes its pixels to those of the old one.
    """
    sheets = _find_sheets(pixels)
    if not sheets:
        return pixels, np.eye(3)
    if len(sheets) == 1:
        return _unwarp(pixels, sheets[0])
    page = np.full(pixels.shape, 255, np.uint8)
    for sheet in sheets:
        mask = np.zeros(pixels.shape, np.uint8)
        cv2.fillConvexPoly(mask, np.round(_shrink(sheet, 2 * RING_SHARE)).astype(np.int32), 1)
        inside = mask > 0
        shade = float(np.median(pixels[inside]))
        darker, lighter = shade - pixels[inside].astype(np.float32), pixels[inside] - np.float32(shade)
        writing = max(darker, lighter, key=lambda difference: float(np.clip(difference, 0, None).sum()))
        full = max(WRITING_CONTRAST, float(np.percentile(writing, 99)))
        page[inside] = np.rint(255 * (1 - np.clip(writing / full, 0, 1))).astype(np.uint8)
    return page, np.eye(3)


def _find_sheets(pixels: np.ndarray) -> list[np.ndarray]:
    """The corners of the largest sheet and of those about as large."""
    scale = min(1.0, LONGEST_PX / max(pixels.shape))
    size = [max(1, round(side * scale)) for side in pixels.shape[::-1]]
    small = cv2.GaussianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (0, 0), 1)
    if min(small.shape) < 2 * MIN_BOX_PX:
        return []
    _, light = cv2.threshold(small, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    edges = cv2.dilate(cv2.Canny(small, 20, 60), np.ones((3, 3), np.uint8))
    boxed = find_printed_lines(light > 0, spanning=True) | find_printed_lines(light == 0, spanning=True)
    found: list[np.ndarray] = []
    for mask in (light, 255 - light, 255 - edges):
        for outline in cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
            if not MIN_SHEET < cv2.contourArea(outline) / small.size < MAX_SHEET:
                continue
            quad = find_corners(outline)
            if quad is None or min(measure_sides(quad)) < 2 * MIN_BOX_PX or not _is_sheet(small, quad, boxed):
                continue
            if not any(cv2.pointPolygonTest(other, quad.mean(axis=0).tolist(), False) >= 0 for other in found):
                found.append(quad)
            else:  # the outer of two about the same place
                found = [quad if _contains(quad, other) else other for other in found]
    areas = [cv2.contourArea(quad) for quad in found]
    alike = [quad / scale for quad, area in zip(found, areas, strict=True) if area > ALIKE * max(areas)]
    return alike if len(alike) >= MIN_KEYS or sum(areas) > MIN_SINGLE * small.size else []


def _contains(quad: np.ndarray, other: np.ndarray) -> bool:
    inside = cv2.pointPolygonTest(quad, other.mean(axis=0).tolist(), False) >= 0
    return inside and cv2.contourArea(quad) > cv2.contourArea(other)


def _shrink(quad: np.ndarray, share: float) -> np.ndarray:
    """Move a quadrilateral's sides inwards by a share of its shorter side; outwards if that is negative."""
    sides = np.roll(quad, -1, axis=0) - quad
    sides = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    moved: np.ndarray = quad + share * min(measure_sides(quad)) * (sides - np.roll(sides, 1, axis=0))
    return moved.astype(np.float32)


def _is_sheet(small: np.ndarray, quad: np.ndarray, boxed: np.ndarray) -> bool:
    """Whether a quadrilateral has one shade, other than around it, and something written on it."""
    shorter, longer = sorted(measure_sides(quad))
    if shorter < SLIMMEST * longer:
        return False
    around = np.zeros(small.shape, np.uint8)
    cv2.polylines(around, [np.round(_shrink(quad, -RING_SHARE)).astype(np.int32)], True, 1)
    if boxed[around > 0].sum() > 0.5 * around.sum():
        return False
    mask = np.zeros(small.shape, np.uint8)
    inner = _shrink(quad, 2 * RING_SHARE)
    cv2.fillConvexPoly(mask, np.round(inner).astype(np.int32), 1)
    inside = small[mask > 0]
    if inside.size < MIN_BOX_PX**2:
        return False
    paper = float(np.median(inside))
    if sum(_differs_beyond(small, quad, side, paper) for side in range(4)) < 3:
        return False
    written = np.abs(inside.astype(np.float32) - paper) > WRITING_CONTRAST
    return bool(MIN_WRITING < written.mean() < MAX_WRITING)


def _differs_beyond(small: np.ndarray, quad: np.ndarray, side: int, paper: float) -> bool:
    """Whether there is another shade beyond one side of a sheet, farther than a printed line is thick."""
    shades = []
    near, far = BEYOND
    for share in (2 * RING_SHARE, near, min(far, -BEYOND_PX / min(measure_sides(quad)))):
        ring = _shrink(quad, share)
        points = np.linspace(ring[side], ring[(side + 1) % 4], 50)[5:-5]
        kept = points[((points >= 0) & (points <= np.array(small.shape[::-1]) - 1)).all(axis=1)]
        if len(kept) < 0.6 * len(points):  # a strip of ruled paper, or a shadow, reaches the picture's edge
            return False
        shades.append(float(np.median(small[tuple(np.round(kept).astype(int).T[::-1])])))
    within, *beyond = (shade - paper for shade in shades)
    return abs(within) < SHEET_CONTRAST < min(map(abs, beyond))


def _unwarp(pixels: np.ndarray, quad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inside of a quadrilateral as an upright rectangle, and the matrix back."""
    quad = _shrink(quad, RING_SHARE)
    start = int(quad.sum(axis=1).argmin())
    quad = np.roll(quad, -start, axis=0)  # from the upper left corner on
    (across, down), (far_across, far_down) = quad[1] - quad[0], quad[2] - quad[0]
    if across * far_down < down * far_across:
        quad = quad[[0, 3, 2, 1]]
    width, height = (max(1, round(side)) for side in measure_sides(quad))
    upright = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    back = cv2.getPerspectiveTransform(upright, quad)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(pixels, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE), back


# Printed lines: boxes, tables and combs on the paper.


def find_printed_lines(edge: np.ndarray, spanning: bool = False) -> np.ndarray:
    """Find the lines of printed boxes, tables and combs.

    Args:
        edge: bool (height, width), ink or printed line.
        spanning: also those that go to all four edges of the picture, as the lines of squared paper do.

    Returns:
        bool (height, width), true on printed lines and their blur; strokes that cross them are cut.
    """
    mask = edge.astype(np.uint8)
    found = np.zeros_like(edge)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    for number in range(1, count):
        x, y, width, height, area = boxes[number].tolist()
        across, down = width == edge.shape[1], height == edge.shape[0]
        spans = across or down
        if max(width, height) < 2 * MIN_BOX_PX or area > MAX_INK * width * height:
            continue
        place = np.s_[y : y + height, x : x + width]
        part = np.pad((parts[place] == number).astype(np.uint8), 1)
        squared = across and down and not spanning  # or a row of cells along all four edges
        tallest = TALLEST_SQUARE * height if squared else 0.0
        lines = _find_box_lines(part, THICKEST_SPANNING if spans else THICKEST_LINES, tallest)
        if lines is None and not squared:
            lines = _find_comb_lines(part)
        if lines is not None:
            found[place] |= lines[1:-1, 1:-1] > 0
    return found


def _find_box_lines(part: np.ndarray, thickest_lines: float, tallest: float) -> np.ndarray | None:
    """Of connected ink, what lies around its rectangular holes taller than that; None if these are not most of it."""
    outlines, hierarchy = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    hulls, thickest, shapes = [], 0.0, []
    for outline, (*_, parent) in zip(outlines, hierarchy[0], strict=True):
        quad = find_corners(outline)
        if quad is None:
            continue
        shorter, longer = sorted(measure_sides(quad))
        shapes.append(shorter / longer)
        if parent < 0 or shorter < MIN_BOX_PX or np.ptp(quad[:, 1]) < tallest:
            continue
        hulls.append(cv2.convexHull(outline))
        thickest = max(thickest, THICKEST_LINE * shorter)
    if not hulls:
        return None
    inside = np.zeros_like(part)
    cv2.drawContours(inside, hulls, -1, 1, -1)
    all_hull = cv2.convexHull(np.concatenate(hulls))
    near = cv2.dilate(inside, np.ones((2 * round(thickest) + 1,) * 2, np.uint8))
    lines = part & near & ~inside
    frame = cv2.convexHull(np.concatenate(outlines))
    if cv2.contourArea(all_hull) < MIN_FRAME * cv2.contourArea(frame) or (near & part).sum() < 0.5 * part.sum():
        return None
    if len(hulls) == 1 and len(shapes) >= 2 and min(shapes) > MIN_SQUARE:  # inside and outside
        thickest_lines = max(thickest_lines, THICKEST_SQUARE)
    if lines.sum() > thickest_lines * inside.sum():  # thick: a loop of ink
        return None
    return cv2.dilate(lines, np.ones((2 * LINE_BLUR_PX + 1,) * 2, np.uint8))


def _find_comb_lines(part: np.ndarray) -> np.ndarray | None:
    """An open comb: a straight line below, and at least three short ones upon it, about as tall as each other."""
    height, width = part.shape
    if width < FLATTEST * height:
        return None
    columns = np.flatnonzero(part.any(axis=0))
    bottoms = height - 1 - part[::-1, columns].argmax(axis=0)
    slope, start = np.polyfit(columns, bottoms, 1)
    for _ in range(3):
        near = np.abs(bottoms - slope * columns - start) < STRAIGHT_PX
        if near.mean() < STRAIGHT_SHARE / 2:
            return None
        slope, start = np.polyfit(columns[near], bottoms[near], 1)
    if near.mean() < STRAIGHT_SHARE:
        return None
    ys, xs = np.mgrid[:height, :width]
    above = slope * xs + start - ys
    thick = int(
        np.median([_measure_run(part[: bottom + 1, column]) for column, bottom in zip(columns, bottoms, strict=True)])
    )
    line = part & (above <= thick + 1).astype(np.uint8)
    rest = part & ~line
    count, pieces, boxes, _ = cv2.connectedComponentsWithStats(rest, connectivity=8)
    lines = line.copy()
    sticks = [n for n in range(1, count) if boxes[n, 2] <= 3 * thick + 0.15 * boxes[n, 3]]
    if len(sticks) >= 3:
        tall = float(np.median(boxes[sticks, 3]))
        for stick in sticks:
            if boxes[stick, 3] < 1.3 * tall:
                lines[pieces == stick] = 1
    elif width < 10 * height:
        return None
    return cv2.dilate(lines, np.ones((2 * LINE_BLUR_PX + 1,) * 2, np.uint8))


def _measure_run(column: np.ndarray) -> int:
    """How many places at a column's lower end are ink."""
    empty = np.flatnonzero(column[::-1] == 0)
    return int(empty[0]) if len(empty) else len(column)
