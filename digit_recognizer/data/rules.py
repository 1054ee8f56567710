"""The rules of ruled and squared paper: straight thin lines from one edge of a picture to the other.

They are found as a Hough transform finds lines (Duda and Hart 1972), with few slopes: each row that a slope leads along
counts the columns in which it meets something dark.
"""

from dataclasses import dataclass

import numpy as np

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
