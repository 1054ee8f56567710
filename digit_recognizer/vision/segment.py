"""Signs: pieces of ink that belong together, each taken for one digit or letter, in the order of reading."""

from dataclasses import dataclass

import numpy as np

# Paper: the shade that it would have at each place of a picture, were nothing written there.
#
# It is what a median over a wide window leaves (Sonka, Hlavac and Boyle, "Image Processing, Analysis and Machine Vision",
# section 5.3), after the light has been levelled by a surface of second order.

LONGEST_PAPER_PX = 160  # of the longer side while looking for the paper
PAPER_WINDOW = 0.6  # of the shorter side: wider than any stroke, narrower than most shadows
BLUR_PX = 1.0  # as much as the grain of paper and sensor
LIGHT_FITS, RIDGE = 4, 1e-3  # of the light's surface; what keeps it calm on pictures of a few px
MIDDLE = 128  # of 255: the shade to which the paper is levelled for the median
DARKEST_PAPER = 60  # of 255: below it the share of light is noise
LEAST_ROOM = 128  # of 255, above the paper: what is lighter than light paper is grain
WELL_PARTED, CORNER_SHARE = 0.8, 0.08  # of the variance lies between the two shades; of the sides, where no ink reaches


def compare_with_paper(pixels: np.ndarray, paper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much darker, and how much lighter, than the paper each place is: float32, shares of what is possible."""
    import cv2

    blurred = cv2.GaussianBlur(pixels, (0, 0), BLUR_PX).astype(np.float32)
    difference = paper - blurred
    return difference / np.maximum(paper, DARKEST_PAPER), -difference / np.maximum(255 - paper, LEAST_ROOM)


def find_shade(pixels: np.ndarray) -> float | None:
    """The shade of the paper where ink covers so much that no median tells: that of all four corners.

    None where they differ, or there are not two shades (Otsu 1979, by his measure of how well they part).
    """
    import cv2

    threshold, _ = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = pixels > threshold
    share = float(light.mean())
    if not 0 < share < 1:
        return None
    apart = float(pixels[light].mean()) - float(pixels[~light].mean())
    if share * (1 - share) * apart**2 < WELL_PARTED * float(pixels.var()):
        return None
    rows, columns = (max(1, round(CORNER_SHARE * side)) for side in pixels.shape)
    corners = [
        light[r][:, c] for r in (slice(rows), slice(-rows, None)) for c in (slice(columns), slice(-columns, None))
    ]
    is_light = corners[0].mean() > 0.5
    if any((corner.mean() > 0.5) != is_light for corner in corners):  # a shadow's edge parts a picture as well
        return None
    return float(np.median(pixels[light == is_light]))


def find_paper(pixels: np.ndarray) -> np.ndarray:
    """The shade that the paper would have at each place, were nothing written there: float32."""
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
    """The paper's light as a surface of second order, fitted anew without what lies far off: float32, 0 to 255."""
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


# The rules of ruled and squared paper: straight thin lines from one edge of a picture to the other.
#
# They are found as a Hough transform finds lines (Duda and Hart 1972), with few slopes: each row that a slope leads along
# counts the columns in which it meets something dark.

STEEPEST = 0.12  # rows per column: 7 degrees; more, and one turns the paper
MOST_SLOPES, MOST_LINES = 4, 5  # looked at more closely: of the rough ones, and of the plainest of each slope
COARSE_STEP = 0.01  # of slopes: rows are pooled while these are tried, and finer slopes next to the best after that
NEAR = 0.02  # slopes of the other rules differ by so much, once one is found: perspective
EVERY_COLUMN = 4  # is looked at: a rule is hundreds of columns long
LEAST_COVER = 0.85  # of the way from edge to edge; the bar of a digit may be long, but ends before the edge
SHORTEST_WAY = 0.25  # of the picture's width: a turned page cuts off the rules in its corners
EDGE_PX = 6  # from the edge of the picture, where a rule begins and ends
END_SHARE, LEAST_END_COVER = 0.06, 0.6  # of the width: there the line must be seen in so much of the columns
LEAST_COARSE_COVER = 0.8  # the same while slopes are tried roughly
THICKEST = 0.03  # of the side that it crosses
THINNING = 0.65  # of a line's cover: rows beside it that have as much belong to it
MARGIN_PX = 1  # on either side of it, and a quarter of its thickness: its blur
ABOUT_PX = 2  # from a line that was found: what its final slope is fitted to
INK_ABOVE_RULE = 1.6  # what is so much darker than the line is ink upon it
MOST_RULES = 60  # a page of squared paper has about as many each way


@dataclass(frozen=True)
class _Rule:
    """A line: its slope in rows per column, and its first and last row at column 0."""

    slope: float
    first: int
    last: int

    @property
    def margin(self) -> int:
        """Rows of blur on either side."""
        return MARGIN_PX + (self.last - self.first + 1) // 4


def find_rules(edge: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Find the rules of the paper, except where ink crosses them.

    Args:
        edge: bool (height, width), ink or rule.
        share: float32 (height, width), how much light each place takes away.

    Returns:
        bool (height, width), true where a rule and nothing else is.
    """
    level, upright = _list_level_rules(edge), _list_level_rules(edge.T)
    bands = np.zeros_like(edge)
    for of_bands, rules in ((bands, level), (bands.T, upright)):
        for rule in rules:
            of_bands[_find_band(rule, of_bands.shape)] = True
    beside = edge & ~bands  # where a rule crosses another, neither is ink that goes on
    found = np.zeros_like(edge)
    for of_found, of_beside, shares, rules in (
        (found, beside, share, level),
        (found.T, beside.T, share.T, upright),
    ):
        for rule in rules:
            _mark_rule(of_found, of_beside, shares, rule)
    return found


def _list_level_rules(edge: np.ndarray) -> list[_Rule]:
    """The rules that run from left to right, the plainest first."""
    height, width = edge.shape
    ys, xs = np.nonzero(edge[:, ::EVERY_COLUMN])
    xs = xs * EVERY_COLUMN
    rules: list[_Rule] = []
    slopes = np.arange(-STEEPEST, STEEPEST + 1e-9, COARSE_STEP)
    for _ in range(MOST_RULES):
        rule = None
        for rough in _list_slopes(ys, xs, slopes, (height, width)) if not rules else [rules[0].slope]:
            reach = NEAR if rules else COARSE_STEP
            finer = rough + np.linspace(-reach, reach, max(3, round(2 * reach * width)))
            rule = rule or _find_plainest(ys, xs, finer, (height, width))
        if rule is None:
            break
        if rule.last - rule.first + 1 <= THICKEST * height:
            rules.append(rule)
        rows = ys - np.round(rule.slope * xs)
        rest = (rows < rule.first - rule.margin) | (rows > rule.last + rule.margin)
        ys, xs = ys[rest], xs[rest]
    return rules


def _list_slopes(ys: np.ndarray, xs: np.ndarray, slopes: np.ndarray, shape: tuple[int, int]) -> list[float]:
    """The slopes of the plainest lines, roughly: rows are pooled as far as slopes are apart at the borders."""
    height, width = shape
    pool = max(1, round(COARSE_STEP * width / 2))
    met = np.zeros((width // EVERY_COLUMN + 1, height // pool + 1), bool)
    met[xs // EVERY_COLUMN, ys // pool] = True  # a column counts once in a pooled row, however thick the stroke is
    columns, rows = np.nonzero(met)
    covers = [
        _measure_covers(rows, columns * EVERY_COLUMN, slope / pool, (met.shape[1], width))[0].max() for slope in slopes
    ]
    best = np.argsort(covers)[::-1][:MOST_SLOPES]
    return [float(slopes[number]) for number in best if covers[number] >= LEAST_COARSE_COVER]


def _measure_covers(
    rows: np.ndarray, columns: np.ndarray, slope: float, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Which share of its way through the picture a line meets something dark, for all lines of a slope.

    Returns:
        The shares, by the line's row at column 0 (0 where its way is short); which line each place lies on; and what
        to subtract from a line's number to have its row at column 0.
    """
    height, width = shape
    shift = int(np.ceil(abs(slope) * width)) + 1  # so that no number is negative
    lines = np.round(rows - slope * columns).astype(np.intp) + shift
    counts = np.bincount(lines, minlength=height + 2 * shift)
    starts = np.arange(len(counts)) - shift
    if slope == 0:
        ways = np.full(len(counts), width)
    else:
        leaves = np.stack([-0.5 - starts, height - 0.5 - starts]) / slope
        ways = np.minimum(width, leaves.max(axis=0)) - np.maximum(0, leaves.min(axis=0))
    covers = np.where(ways >= SHORTEST_WAY * width, counts * EVERY_COLUMN / np.maximum(ways, 1), 0)
    return covers, lines, shift


def _find_plainest(ys: np.ndarray, xs: np.ndarray, slopes: np.ndarray, shape: tuple[int, int]) -> _Rule | None:
    """The line that meets something dark in most of its way, if that is enough for a rule."""
    best, cover = None, LEAST_COVER
    for slope in slopes:
        covers, lines, shift = _measure_covers(ys, xs, slope, shape)
        for line in np.argsort(covers)[: -1 - MOST_LINES : -1].tolist():
            if covers[line] < cover:
                break
            on_line = np.abs(lines - line) <= 1
            if _meets_both_ends(xs[on_line], ys[on_line], shape):
                best, cover = _fit_rule(ys, xs, slope, line - shift, shape), covers[line]
                break
    return best


def _fit_rule(ys: np.ndarray, xs: np.ndarray, slope: float, start: int, shape: tuple[int, int]) -> _Rule:
    """Put a straight line through what lies about the one that was found, and measure how thick it is."""
    about = np.abs(ys - slope * xs - start) <= ABOUT_PX
    slope = float(np.polyfit(xs[about], ys[about], 1)[0])
    covers, lines, shift = _measure_covers(ys, xs, slope, shape)
    line = int(np.bincount(lines[about]).argmax())
    near = covers >= THINNING * covers[line]
    first = line - int(np.argmin(near[line::-1])) + 1 if not near[: line + 1].all() else 0
    last = line + int(np.argmin(near[line:])) - 1 if not near[line:].all() else len(near) - 1
    return _Rule(slope, first - shift, last - shift)


def _meets_both_ends(xs: np.ndarray, ys: np.ndarray, shape: tuple[int, int]) -> bool:
    """Whether a line is seen all the way to the picture's edges, at both of its ends."""
    height, width = shape
    ends = []
    for end in (xs.argmin(), xs.argmax()):
        to_edge = min(xs[end], width - 1 - xs[end], ys[end], height - 1 - ys[end])
        seen = (np.abs(xs - xs[end]) < END_SHARE * width).sum() * EVERY_COLUMN
        ends.append(to_edge < EDGE_PX + EVERY_COLUMN and seen >= LEAST_END_COVER * END_SHARE * width)
    return all(ends)


def _find_band(rule: _Rule, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (width, thickness) and columns (width, 1) of the places where a rule runs, its blur included."""
    height, width = shape
    columns = np.arange(width)[:, None]
    tops = np.round(rule.first - rule.margin + rule.slope * columns).astype(np.intp)
    return np.clip(tops + np.arange(rule.last - rule.first + 1 + 2 * rule.margin), 0, height - 1), columns


def _mark_rule(rules: np.ndarray, beside: np.ndarray, share: np.ndarray, rule: _Rule) -> None:
    """Mark a rule in `rules`, but for the ink upon it: what is far darker, and strokes that go on at both sides."""
    rows, columns = _find_band(rule, rules.shape)
    thickness = rows.shape[1]
    level = np.median(share[rows, columns].max(axis=1))
    goes_on = [
        _widen(beside[np.clip(at, 0, len(beside) - 1), columns[:, 0]], thickness // 2)
        for at in (rows[:, 0] - 1, rows[:, -1] + 1)
    ]
    ink = (goes_on[0] & goes_on[1])[:, None] | (share[rows, columns] > INK_ABOVE_RULE * level)
    rules[rows, columns] |= ~ink


def _widen(line: np.ndarray, by: int) -> np.ndarray:
    """Bool (n,), true up to `by` places from where `line` is: slanting strokes meet a rule's two sides apart."""
    widened: np.ndarray = np.convolve(line, np.ones(2 * by + 1), mode="same") > 0
    return widened


# Ink on paper: how dark each place of a picture is against the paper around it, under uneven light, rules and shadow.
#
# It is found by a threshold with hysteresis (Canny 1986, section V) on the share of light that it takes away, which does
# not change where a shadow falls.

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


TALL = 0.35  # of the largest part: what is smaller says nothing of how large a sign is
SPECK = 0.1  # of a sign's size: smaller parts are dust, and dots of the paper
SMALL_PART, NEAR_PART = 0.5, 0.2  # of the larger part's size: a smaller part so near above or below it belongs to it,
TOUCHING = 0.06  # and one so near beside it: a decimal point stands farther off
OVERLAP = 0.4  # of the narrower part's width: parts above each other may be one broken sign,
TALLEST_WHOLE = 1.4  # if together they are not taller than this, in sizes of the larger
SAME_LINE = 0.35  # of the lower sign: so much beside the last sign of a line, it follows that
LEAST_SIGN = 0.3  # of a sign's size: less is a comma, or a sign of another size
WIDEST_GAP, WIDEST_WHOLE = 0.3, 1.2  # of the taller of two halves: their gap, and the width of the whole
NARROWEST_PAIR, LEAST_HALF = 0.75, 0.12  # of a sign's height: the width of a pair, and of half of one
THICKEST_TIE = 0.3  # of the height: digits that touch share one stroke, no thicker, in a column; a letter has more
MOST_PLACES, INK_STEP = 3, 0.05  # ways to cut; share of the height by which columns differ in ink
LEAST_PX = 10  # of the picture as searched for ink: the largest of grain and dust is smaller
MOST_PARTS = 3000  # of the largest: a full page has fewer; noise has more


@dataclass(frozen=True)
class Sign:
    """A piece of ink.

    Attributes:
        strength: float32 (height, width) in [0, 1], its ink alone, cut to its box.
        x, y, width, height: of its box in the picture, in px.
        line: of writing on which it stands, from 0.
        small: whether it is so much smaller than others that it is a dot or dust, unless it reads as a digit.
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


def find_signs(ink: Ink, single: bool = False) -> list[Sign]:
    """Find the signs of a picture, line by line, each from left to right.

    Args:
        ink: of the picture.
        single: take all ink but specks as one sign.

    Returns:
        None where there is no ink; of `MOST_PARTS` pieces or more the largest.
    """
    import cv2

    _, components, boxes, _ = cv2.connectedComponentsWithStats((ink.strength > 0).astype(np.uint8), connectivity=8)
    parts = [
        _Part([number], x, y, x + width, y + height)
        for number, (x, y, width, height, _) in enumerate(boxes.tolist())
        if number
    ]
    if not parts:
        return []
    largest = max(part.size for part in parts)
    if largest < LEAST_PX:
        return []
    size = float(np.median([part.size for part in parts if part.size >= TALL * largest]))
    if single:
        whole = _join([part for part in parts if part.size >= SPECK * size])
        return [_cut_out(ink, components, whole, 0, small=False)]
    least = max(LEAST_PX, SPECK * size)
    parts = sorted((part for part in parts if part.size >= least), key=lambda part: -part.size)[:MOST_PARTS]
    lines = _order(_gather(parts))
    signs = [
        _cut_out(ink, components, part, line, small=part.size < LEAST_SIGN * size)
        for line, parts in enumerate(lines)
        for part in parts
    ]
    return signs


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


def _order(parts: list[_Part]) -> list[list[_Part]]:
    """Lines from top to bottom, each from left to right; a line may rise or fall, since each sign follows the last."""
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


def _cut_out(ink: Ink, components: np.ndarray, part: _Part, line: int, *, small: bool) -> Sign:
    place = np.s_[part.top : part.bottom, part.left : part.right]
    strength = np.where(np.isin(components[place], part.numbers), ink.strength[place], 0)
    left, top, right, bottom = (round(value / ink.scale) for value in (part.left, part.top, part.right, part.bottom))
    width, height = max(1, right - left), max(1, bottom - top)
    return Sign(strength, ink.left_px + left, ink.top_px + top, width, height, line, small)


def join_signs(one: Sign, other: Sign) -> Sign | None:
    """Make one sign of two neighbours that stand close enough to be its halves; None if they do not."""
    if one.line != other.line:
        return None
    left, top = min(one.x, other.x), min(one.y, other.y)
    right, bottom = max(one.x + one.width, other.x + other.width), max(one.y + one.height, other.y + other.height)
    taller = max(one.height, other.height)
    gap = max(one.x, other.x) - min(one.x + one.width, other.x + other.width)
    if gap > WIDEST_GAP * taller or bottom - top > TALLEST_WHOLE * taller or right - left > WIDEST_WHOLE * taller:
        return None
    scale = max(part.strength.shape[0] / part.height for part in (one, other))
    size = [max(1, round(side * scale)) + 1 for side in (bottom - top, right - left)]
    strength = np.zeros(size, np.float32)
    for part in (one, other):
        row, column = round((part.y - top) * scale), round((part.x - left) * scale)
        place = strength[row : row + part.strength.shape[0], column : column + part.strength.shape[1]]
        np.maximum(place, part.strength[: place.shape[0], : place.shape[1]], out=place)
    return Sign(strength, left, top, right - left, bottom - top, one.line)


def list_cuts(sign: Sign) -> list[tuple[Sign, Sign]]:
    """Cut a sign upright into two, where a column holds little ink: up to `MOST_PLACES` ways, the thinnest first.

    None if it is too narrow to be two digits.
    """
    height, width = sign.strength.shape
    if width < NARROWEST_PAIR * height:
        return []
    ink = sign.strength.sum(axis=0)
    strokes = np.diff((sign.strength > 0).astype(np.int8), axis=0, prepend=0).clip(0).sum(axis=0)
    is_tie = (ink <= THICKEST_TIE * height) & (strokes <= 1)
    margin = max(2, round(LEAST_HALF * height))
    places: list[int] = []
    steps = np.round(ink / (INK_STEP * height))  # among columns that hold about as little, the middle ones come first
    order = np.lexsort((np.abs(np.arange(width) - width / 2), steps))
    for column in order[(order >= margin) & (order < width - margin) & is_tie[order]].tolist():
        if all(abs(column - place) >= margin for place in places):
            places.append(column)
        if len(places) == MOST_PLACES:
            break
    halves = ((_take(sign, 0, place), _take(sign, place, width)) for place in places)
    return [(left, right) for left, right in halves if left is not None and right is not None]


def _take(sign: Sign, first: int, last: int) -> Sign | None:
    """The part of a sign in some of its columns, cut to its ink; None where there is none."""
    part = sign.strength[:, first:last]
    rows, columns = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    across, down = sign.width / sign.strength.shape[1], sign.height / sign.strength.shape[0]
    return Sign(
        np.ascontiguousarray(part[top:bottom, left:right]),
        sign.x + round((first + left) * across),
        sign.y + round(top * down),
        max(1, round((right - left) * across)),
        max(1, round((bottom - top) * down)),
        sign.line,
    )
