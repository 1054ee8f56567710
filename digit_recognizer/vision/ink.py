"""Ink on paper: how dark each place of a picture is against the paper around it.

A picture becomes ink in four steps: estimate the paper's shade at every place, compare each pixel with it, remove the
lines of ruled and squared paper, and keep what is dark enough (`find_ink`). Uneven light, shadows, grain, ruled lines
and what frames the paper are not ink.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

SCAN_PX = 64  # of the longer side: small scans are mostly cut to their ink
LONGEST_PX, SHORTEST_PX = 1280, 320  # of the longer side while looking for ink: strokes of a page have 2 px or more
FAINTEST_INK = 0.1  # share of the light: pencil takes 0.2 and more, the folds of paper 0.05
INK_SHARE, EDGE_SHARE = 0.5, 0.28  # of the ink's own darkness: where a stroke begins, and how far it reaches
INK_NOISE, EDGE_NOISE = 4.0, 3.0  # standard deviations of the paper
LINE_SHARE = 0.12  # of the ink's own darkness: printed lines are thinner than strokes, and so fainter after the blur
MOSTLY_INK = 0.12  # of the light, as noise of the paper: so much is no grain, but ink on nearly half of the picture
MIN_SHARE, MIN_PIXELS = 0.05, 30  # from where a pixel counts as ink at all, and how many there must be
FRAME_SHARE = 0.9  # of a side of the picture: what touches so much of it is a table or the edge of the paper
SLIVER_SHARE, SLIVER_LENGTH = 0.05, 3  # of that side, and of its own width: what lies so flat on an edge is cut off
THREAD_PX = 1.9  # thick: the rest of a ruled line, as a stroke cannot be after the blur
CROSSING_FLATNESS = 0.15  # of its length: what runs so flat from edge to edge is a ruled line that faded or bends
FULL_PERCENTILE, MIN_FULL = 95, 0.7  # of a part's pixels, and how strong these are at least if it is ink
PADDING_LEVELS = 4  # of 255: a margin of one shade that differs by more from the paper was added by a program
BAR_LEVELS, BAR_SHARE = 12, 0.995  # of 255: JPEG's noise beside an edge; and how much of a line is so alike
BAR_BLUR_PX = 6  # beside a bar, where its shade runs into the picture's
PADDING_INSIDE = 0.02  # of the pixels inside: a drawing on a flat ground has more of the ground's shade in it
PAPER_LEVELS = 60  # of 255: paper differs from ink by more


@dataclass(frozen=True)
class Ink:
    """What was written on a picture.

    Attributes:
        strength: float32 (height, width) in [0, 1], 0 = paper, 1 = full ink; all zero where nothing was written.
        matrix: float64 (3, 3), from px of `strength` to px of the picture.
    """

    strength: np.ndarray
    matrix: np.ndarray


def find_ink(pixels: np.ndarray) -> Ink:
    """Find the ink of a picture, by a threshold with hysteresis (Canny 1986, section V).

    The threshold is on the share of light that the ink takes away, which does not change where a shadow falls.

    Args:
        pixels: uint8 (height, width), 0 = black, 255 = white, as `load_photograph` gives them; dark ink on light paper
            or the other way round.

    Returns:
        The ink without ruled lines, and without what frames the paper.
    """
    from digit_recognizer.vision.frames import flatten_sheets  # which imports OpenCV

    left, top, pixels = _cut_padding(pixels)
    pixels, matrix = flatten_sheets(pixels)
    matrix = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]]) @ matrix
    if max(pixels.shape) > SCAN_PX:
        strength, scale, doubtful = _find_strength(pixels, None)
        if doubtful and (shade := estimate_shade_from_corners(_resize(pixels)[0])) is not None:
            strength, scale, doubtful = _find_strength(pixels, shade)
            doubtful = not strength.any()
        if not doubtful:
            return Ink(strength, matrix @ np.diag([1 / scale, 1 / scale, 1]))
    if (shade := estimate_shade_from_border(pixels)) is not None:
        margin = max(2, round(MARGIN_SHARE * max(pixels.shape)))
        pixels = np.pad(pixels, margin, constant_values=round(shade))
        matrix = matrix @ np.array([[1, 0, -margin], [0, 1, -margin], [0, 0, 1]])
    else:
        shade = estimate_shade_from_corners(_resize(pixels)[0])
    strength, scale, _ = _find_strength(pixels, shade)
    return Ink(strength, matrix @ np.diag([1 / scale, 1 / scale, 1]))


def _find_strength(pixels: np.ndarray, shade: float | None) -> tuple[np.ndarray, float, bool]:
    """How strong the ink is on paper of that shade, or of one that is estimated; the scale; and whether in doubt."""
    pixels, scale = _resize(pixels)
    paper = estimate_paper(pixels) if shade is None else np.full(pixels.shape, shade, np.float32)
    strength, doubtful = _threshold(
        compare_with_paper(pixels, paper), np.inf if shade is None else MOSTLY_INK / INK_NOISE
    )
    return strength, scale, doubtful


def _threshold(shares: tuple[np.ndarray, np.ndarray], max_noise: float = np.inf) -> tuple[np.ndarray, bool]:
    """Separate ink from paper, its ruled lines and its grain.

    Returns:
        How strong the ink is, float32 in [0, 1]; and whether what was taken for paper may be ink: half of the picture
        is neither, or all that stood out has been dropped again.
    """
    from digit_recognizer.vision.frames import find_printed_lines  # which imports OpenCV

    contrasts = [(share, *_measure_contrast(share, max_noise)) for share in shares]
    mostly_ink = min(contrast[3] for contrast in contrasts) > MOSTLY_INK
    share, darkness, _, noise = max(contrasts, key=lambda contrast: contrast[2])  # dark ink, or light
    if darkness >= FAINTEST_INK:
        edge = share > max(EDGE_SHARE * darkness, EDGE_NOISE * noise)
        lines = find_printed_lines(share > max(LINE_SHARE * darkness, INK_NOISE * noise))
        lines |= find_ruled_lines(edge & ~lines, share)
        if lines.any():
            share = np.where(lines, 0, share)
            darkness = _measure_contrast(share, max_noise)[0]  # of the ink alone
    if darkness < FAINTEST_INK:
        return np.zeros_like(share), mostly_ink
    edge = share > max(EDGE_SHARE * darkness, EDGE_NOISE * noise)
    kept = _keep_marked(edge, share > max(INK_SHARE * darkness, INK_NOISE * noise))
    strength = np.where(kept, np.clip(share / darkness, 0, 1), 0).astype(np.float32)
    _drop_shadows(strength)
    return strength, mostly_ink or not strength.any()


def _cut_padding(pixels: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Cut off bars and margins of one shade that a program has put beside or around a picture of paper.

    A drawing on a flat ground has such a margin as well, and is not touched: its box has no paper but the margin's.
    """
    if max(pixels.shape) <= SCAN_PX:  # its margins are paper
        return 0, 0, pixels
    bars = [_measure_bar(lines) for lines in (pixels, pixels[::-1], pixels.T, pixels.T[::-1])]
    for outside in {shade for shade, thick, _ in bars if thick}:
        top, bottom, left, right = (
            (thick, blur) if abs(shade - outside) <= PADDING_LEVELS else (0, 0) for shade, thick, blur in bars
        )
        inside = pixels[top[0] : len(pixels) - bottom[0], left[0] : pixels.shape[1] - right[0]]
        height, width = inside.shape
        middle = inside[height // 5 : height - height // 5, width // 5 : width - width // 5]
        alike = (abs(inside.astype(np.int16) - outside) <= BAR_LEVELS).mean()
        if alike <= PADDING_INSIDE and middle.size and np.ptp(middle) >= PAPER_LEVELS:
            inside = inside[top[1] : height - bottom[1], left[1] : width - right[1]]
            return sum(left), sum(top), inside
    return 0, 0, pixels


def _measure_bar(lines: np.ndarray) -> tuple[int, int, int]:
    """The shade of the first line (row or column), how many lines have it alone (0 if all), how many more it blurs."""
    shade = int(np.median(lines[0]))
    if (abs(lines[0].astype(np.int16) - shade) <= BAR_LEVELS).mean() < BAR_SHARE:  # nearly every photograph
        return shade, 0, 0
    middles = np.median(lines, axis=1).astype(int)
    flat = (abs(lines.astype(np.int16) - shade) <= BAR_LEVELS).mean(axis=1) >= BAR_SHARE
    thick = 0 if flat.all() else int(flat.argmin())
    steps = abs(np.diff(middles[thick : thick + BAR_BLUR_PX]))
    return shade, thick, int((steps > PADDING_LEVELS).sum()) if thick else 0


def _resize(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Bring the longer side within bounds."""
    import cv2

    longer = max(pixels.shape)
    scale = min(LONGEST_PX / longer, max(SHORTEST_PX / longer, 1.0))
    if scale == 1:
        return pixels, 1.0
    size = [max(1, round(side * scale)) for side in pixels.shape[::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def _measure_contrast(share: np.ndarray, max_noise: float = np.inf) -> tuple[float, float, float]:
    """The darkness of full ink, how much ink there is in all, and the paper's noise (one standard deviation)."""
    sample = share[::3, ::3]
    noise = 1.4826 * float(np.median(np.abs(sample - np.median(sample)))) + 1e-3
    noise = min(noise, max_noise)
    strong = share[share > max(INK_NOISE * noise, MIN_SHARE)]
    if len(strong) < MIN_PIXELS:
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
    """Remove, in place, what is much fainter than other ink and touches the border: where a shadow begins."""
    import cv2

    count, parts = cv2.connectedComponents((strength > 0).astype(np.uint8), connectivity=8)
    border = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
    fullest = {part: float(np.percentile(strength[parts == part], FULL_PERCENTILE)) for part in border.tolist() if part}
    if len(fullest) < count - 1:  # else there is nothing to compare with
        for part, full in fullest.items():
            if full < MIN_FULL:
                strength[parts == part] = 0


# The paper: the shade that each place of a picture would have if nothing were written there.

LONGEST_PAPER_PX = 160  # of the longer side while looking for the paper
PAPER_WINDOW = 0.6  # of the shorter side: wider than any stroke, narrower than most shadows
BLUR_PX = 1.0  # as much as the grain of paper and sensor
LIGHT_FITS, RIDGE = 4, 1e-3  # of the light's surface; what keeps it calm on pictures of a few px
MIDDLE = 128  # of 255: the shade to which the paper is levelled for the median
DARKEST_PAPER = 60  # of 255: below it the share of light is noise
MIN_HEADROOM = 128  # of 255, above the paper: what is lighter than light paper is grain
CUT_SLACK, MIN_WHOLE = 0.02, 0.8  # of a side: the margin that is left; of the ink: its largest piece
MIN_WHOLE_SCANNED, MAX_RULED = 0.5, 0.3  # of the ink: the same of small scans, which are broken; ruled lines
CUT_SEPARATED = 0.7  # of the variance, as below: small scans have many shades between
THICKEST_STROKE = 0.42  # of the longer side of the ink: shadows have 0.48 and more, strokes 0.34 and less
THICKEST_SCANNED = 0.5  # the same of small scans, whose strokes are few px thick
MARGIN_SHARE = 0.2  # of the longer side: paper that is added around a picture cut to its ink
WELL_SEPARATED, CORNER_SHARE = 0.8, 0.08  # of the variance lies between two shades; of the sides, where no ink reaches


def compare_with_paper(pixels: np.ndarray, paper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much darker, and how much lighter, than the paper each place is: float32, shares of what is possible."""
    import cv2

    blurred = cv2.GaussianBlur(pixels, (0, 0), BLUR_PX).astype(np.float32)
    difference = paper - blurred
    return difference / np.maximum(paper, DARKEST_PAPER), -difference / np.maximum(255 - paper, MIN_HEADROOM)


def _separate_shades(pixels: np.ndarray, least_between: float) -> np.ndarray | None:
    """Which pixels are light, bool; None unless two shades have so much of the variance between them (Otsu 1979)."""
    import cv2

    threshold, _ = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light: np.ndarray = pixels > threshold
    share = float(light.mean())
    if not 0 < share < 1:
        return None
    apart = float(pixels[light].mean()) - float(pixels[~light].mean())
    return light if share * (1 - share) * apart**2 >= least_between * float(pixels.var()) else None


def estimate_shade_from_corners(pixels: np.ndarray) -> float | None:
    """The shade of the paper where ink covers too much for a median: that of all four corners.

    None where they differ, or there are not two shades.
    """
    light = _separate_shades(pixels, WELL_SEPARATED)
    if light is None:
        return None
    rows, columns = (max(1, round(CORNER_SHARE * side)) for side in pixels.shape)
    corners = [
        light[r][:, c] for r in (slice(rows), slice(-rows, None)) for c in (slice(columns), slice(-columns, None))
    ]
    is_light = corners[0].mean() > 0.5
    if any((corner.mean() > 0.5) != is_light for corner in corners):  # a shadow's edge separates two shades as well
        return None
    return float(np.median(pixels[light == is_light]))


def estimate_shade_from_border(pixels: np.ndarray) -> float | None:
    """The shade of the paper of a picture that was cut to the ink: that of most of its border.

    None unless there are two shades, and ink reaches at least two sides that face each other.
    """
    import cv2

    light = _separate_shades(pixels, CUT_SEPARATED)
    if light is None or min(pixels.shape) < 3:
        return None
    sides = [light[0], light[-1], light[:, 0], light[:, -1]]
    is_light = bool(np.concatenate(sides).mean() >= 0.5)
    ink = light != is_light
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    height, width = ink.shape
    tall, wide = np.ptp(rows) + 1, np.ptp(columns) + 1
    if height - tall > CUT_SLACK * height + 1 and width - wide > CUT_SLACK * width + 1:
        return None
    scanned = max(height, width) <= SCAN_PX
    if not scanned and find_ruled_lines(ink, ink.astype(np.float32)).sum() > MAX_RULED * ink.sum():
        return None  # blank paper with lines
    areas = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    if areas.max() < (MIN_WHOLE_SCANNED if scanned else MIN_WHOLE) * areas.sum():
        return None
    depth = cv2.distanceTransform(np.pad(ink, 1).astype(np.uint8), cv2.DIST_L2, 3)
    thickest = THICKEST_SCANNED if scanned else THICKEST_STROKE
    if 2 * float(depth.max()) > thickest * max(tall, wide):
        return None
    return float(np.median(pixels[light == is_light]))


def estimate_paper(pixels: np.ndarray) -> np.ndarray:
    """The shade of the paper at each place: float32.

    A median over a wide window (Sonka, Hlavac and Boyle, "Image Processing, Analysis and Machine Vision", section 5.3),
    after the light has been levelled by a surface of second order.
    """
    import cv2

    height, width = pixels.shape
    scale = min(1.0, LONGEST_PAPER_PX / max(height, width))
    size = [max(1, round(side * scale)) for side in (width, height)]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    slope = _fit_light(small)
    level = np.clip(np.rint(small - slope + MIDDLE), 0, 255).astype(np.uint8)  # the median takes no more than 8 bits
    window = max(3, int(PAPER_WINDOW * min(small.shape)) | 1)
    margin = window // 2
    mirrored = np.pad(level, margin, mode="reflect" if margin < min(small.shape) else "edge")
    wide = cv2.medianBlur(mirrored, window)[margin:-margin, margin:-margin]
    paper = cv2.GaussianBlur(wide + np.float32(slope - MIDDLE), (0, 0), 3)
    found: np.ndarray = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    return found


def _fit_light(small: np.ndarray) -> np.ndarray:
    """The paper's light as a surface of second order, fitted again without outliers: float32, 0 to 255."""
    axes = [np.linspace(-1, 1, side, dtype=np.float32) for side in small.shape]
    y, x = np.meshgrid(*axes, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    sample = np.ascontiguousarray(terms[::3, ::3].reshape(-1, 6))
    values = small[::3, ::3].ravel().astype(np.float32)
    away = np.abs(values - np.median(values))
    for _ in range(LIGHT_FITS):
        used = away <= max(8.0, 2.5 * float(np.median(away)))
        known = sample[used]
        weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(6, dtype=np.float32), known.T @ values[used])
        away = np.abs(values - sample @ weights)
    surface: np.ndarray = np.clip(terms @ weights, 0, 255)
    return surface


# Ruled lines: straight and thin, from one edge of the picture to the other. A Hough transform finds them (Duda and
# Hart 1972): each line counts the columns in which it meets something dark.

STEEPEST = 0.12  # rows per column: 7 degrees; more, and one turns the paper
NEAR = 0.02  # slopes of the other ruled lines differ by so much, once one is found: perspective
EVERY_COLUMN = 4  # is looked at: a ruled line is hundreds of columns long
MIN_COVER = 0.85  # of the way from edge to edge; the bar of a digit may be long, but ends before the edge
SHORTEST_WAY = 0.25  # of the picture's width: a turned page cuts off the ruled lines in its corners
EDGE_PX = 6  # from the edge of the picture, where a ruled line begins and ends
END_SHARE, MIN_END_COVER = 0.06, 0.6  # of the width: there the line must be seen in so much of the columns
MAX_CANDIDATES = 50  # looked at more closely: of the lines that Hough's transform finds
THICKEST = 0.03  # of the side that it crosses
THINNING = 0.65  # of a line's cover: rows beside it that have as much belong to it
MARGIN_PX = 1  # on either side of it, and a quarter of its thickness: its blur
ABOUT_PX = 2  # from a line that was found: what its final slope is fitted to
INK_ABOVE_LINE = 1.6  # what is so much darker than the line is ink upon it
MAX_LINES = 60  # a page of squared paper has about as many each way


@dataclass(frozen=True)
class _Line:
    """A ruled line: its slope in rows per column, and its first and last row at column 0."""

    slope: float
    first: int
    last: int

    @property
    def margin(self) -> int:
        """Rows of blur on either side."""
        return MARGIN_PX + (self.last - self.first + 1) // 4


def find_ruled_lines(edge: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Find the paper's ruled lines, except where ink crosses them.

    Args:
        edge: bool (height, width), ink or ruled line.
        share: float32 (height, width), how much light each place takes away.

    Returns:
        bool (height, width), true where a ruled line and nothing else is.
    """
    directions = [(turn, _find_horizontal_lines(turn(edge))) for turn in (np.asarray, np.transpose)]
    bands = np.zeros_like(edge)
    for turn, lines in directions:
        for line in lines:
            turn(bands)[_find_band(line, turn(edge).shape)] = True
    beside = edge & ~bands  # where two ruled lines cross, neither is a stroke that crosses the other
    found = np.zeros_like(edge)
    for turn, lines in directions:
        for line in lines:
            _mark_line(turn(found), turn(beside), turn(share), line)
    return found


def _find_horizontal_lines(edge: np.ndarray) -> list[_Line]:
    """The ruled lines from left to right, the longest first."""
    dark = np.zeros_like(edge, np.uint8, order="C")
    dark[:, ::EVERY_COLUMN] = edge[:, ::EVERY_COLUMN]
    lines: list[_Line] = []
    for _ in range(MAX_LINES):
        line = _find_best_line(dark, lines[0].slope, NEAR) if lines else _find_best_line(dark, 0.0, STEEPEST)
        if line is None:
            break
        if line.last - line.first + 1 <= THICKEST * len(edge):
            lines.append(line)
        dark[_find_band(line, dark.shape)] = 0
    return lines


def _find_best_line(dark: np.ndarray, slope: float, reach: float) -> _Line | None:
    """The longest line that meets something dark in enough of its way for a ruled line.

    The longest sets the slope of all others. A short one may lie askew within a dark strip in the picture's corner.
    """
    import cv2

    width = dark.shape[1]
    least, steepest = (np.pi / 2 + np.arctan(slope + by) for by in (-reach, reach))
    votes = max(1, int(MIN_COVER * SHORTEST_WAY * width / EVERY_COLUMN))
    found: Any = cv2.HoughLinesWithAccumulator(dark, 1, 1 / width, votes, min_theta=least, max_theta=steepest)
    if found is None:
        return None
    distances, angles, counts = found.reshape(-1, 3).T.astype(float)
    slopes, starts = -1 / np.tan(angles), distances / np.sin(angles)
    covers = _measure_covers(counts, slopes, starts, dark.shape)
    ys, xs = np.nonzero(dark)
    longest = np.argsort(np.where(covers < MIN_COVER, 0, -counts), kind="stable")[:MAX_CANDIDATES]
    for number in longest[covers[longest] >= MIN_COVER]:
        on_line = np.abs(ys - slopes[number] * xs - starts[number]) <= ABOUT_PX
        if _meets_both_ends(xs[on_line], ys[on_line], dark.shape):
            return _fit_line(ys, xs, on_line, dark.shape)
    return None


def _measure_covers(counts: np.ndarray, slopes: Any, starts: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """In which share of its way through the picture each line meets something dark; 0 where the way is short."""
    height, width = shape
    steep = np.where(np.abs(slopes) < 1e-9, 1e-9, slopes)
    leaves = np.stack([-0.5 - starts, height - 0.5 - starts]) / steep
    ways = np.minimum(width, leaves.max(axis=0)) - np.maximum(0, leaves.min(axis=0))
    return np.where(ways >= SHORTEST_WAY * width, counts * EVERY_COLUMN / np.maximum(ways, 1), 0)


def _fit_line(ys: np.ndarray, xs: np.ndarray, about: np.ndarray, shape: tuple[int, int]) -> _Line:
    """Fit a straight line to what lies about the one that was found, and measure how thick it is."""
    slope = float(np.polyfit(xs[about], ys[about], 1)[0])
    rows = np.round(ys - slope * xs).astype(np.intp)
    lowest = int(rows.min())
    counts = np.bincount(rows - lowest)
    covers = _measure_covers(counts, slope, np.arange(len(counts)) + lowest, shape)
    line = int(np.bincount(rows[about] - lowest).argmax())
    thin = np.flatnonzero(covers < THINNING * covers[line])
    first = thin[thin < line].max(initial=-1) + 1
    last = thin[thin > line].min(initial=len(counts)) - 1
    return _Line(slope, int(first) + lowest, int(last) + lowest)


def _meets_both_ends(xs: np.ndarray, ys: np.ndarray, shape: tuple[int, int]) -> bool:
    """Whether a line is seen all the way to the picture's edges, at both of its ends."""
    height, width = shape
    ends = []
    for end in (xs.argmin(), xs.argmax()):
        to_edge = min(xs[end], width - 1 - xs[end], ys[end], height - 1 - ys[end])
        seen = (np.abs(xs - xs[end]) < END_SHARE * width).sum() * EVERY_COLUMN
        ends.append(to_edge < EDGE_PX + EVERY_COLUMN and seen >= MIN_END_COVER * END_SHARE * width)
    return all(ends)


def _find_band(line: _Line, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (width, thickness) and columns (width, 1) of the places where a line runs, its blur included."""
    height, width = shape
    columns = np.arange(width)[:, None]
    tops = np.round(line.first - line.margin + line.slope * columns).astype(np.intp)
    return np.clip(tops + np.arange(line.last - line.first + 1 + 2 * line.margin), 0, height - 1), columns


def _mark_line(marked: np.ndarray, beside: np.ndarray, share: np.ndarray, line: _Line) -> None:
    """Mark a line in `marked`, but not the ink upon it: what is far darker, and strokes seen on both of its sides."""
    rows, columns = _find_band(line, marked.shape)
    thickness = rows.shape[1]
    level = np.median(share[rows, columns].max(axis=1))
    above, below = (
        _widen(beside[np.clip(at, 0, len(beside) - 1), columns[:, 0]], thickness // 2)
        for at in (rows[:, 0] - 1, rows[:, -1] + 1)
    )
    ink = (above & below)[:, None] | (share[rows, columns] > INK_ABOVE_LINE * level)
    marked[rows, columns] |= ~ink


def _widen(line: np.ndarray, by: int) -> np.ndarray:
    """Bool (n,), true up to `by` places from where `line` is: slanting strokes meet a line's two sides apart."""
    widened: np.ndarray = np.convolve(line, np.ones(2 * by + 1), mode="same") > 0
    return widened
