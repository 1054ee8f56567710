"""The rules of ruled and squared paper: straight thin lines from one edge of a picture to the other.

They are found as a Hough transform finds lines (Duda and Hart 1972), with few slopes: each row that a slope leads along
counts the columns in which it meets something dark.
"""

from dataclasses import dataclass

import numpy as np

STEEPEST = 0.12  # rows per column: 7 degrees; more, and one turns the paper
COARSE_STEP = 0.01  # of slopes: rows are pooled while these are tried, and finer slopes next to the best after that
NEAR = 0.02  # slopes of the other rules differ by so much, once one is found: perspective
EVERY_COLUMN = 4  # is looked at: a rule is hundreds of columns long
LEAST_COVER = 0.85  # of the way from edge to edge; the bar of a digit may be long, but ends before the edge
END_SHARE, LEAST_END_COVER = 0.06, 0.6  # at both ends, where no digit is, the line must be seen
LEAST_COARSE_COVER = 0.8  # the same while slopes are tried roughly
THICKEST = 0.03  # of the side that it crosses
THINNING = 0.65  # of a line's cover: rows beside it that have as much belong to it
MARGIN_PX = 1  # on either side of it: its blur
INK_ABOVE_RULE = 1.6  # what is so much darker than the line is ink upon it
MOST_RULES = 60  # a page of squared paper has about as many each way


@dataclass(frozen=True)
class _Rule:
    """A line: its slope in rows per column, and its first and last row at column 0."""

    slope: float
    first: int
    last: int


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
        coarse = _find_slope(ys, xs, slopes, width)
        if coarse is None:
            break
        finer = coarse + np.linspace(-COARSE_STEP, COARSE_STEP, max(3, round(2 * COARSE_STEP * width)))
        rule = _find_plainest(ys, xs, finer, width)
        if rule is None:
            break
        if rule.last - rule.first + 1 <= THICKEST * height:
            rules.append(rule)
            slopes = np.arange(rules[0].slope - NEAR, rules[0].slope + NEAR + 1e-9, COARSE_STEP)
        rows = ys - np.round(rule.slope * xs)
        rest = (rows < rule.first - MARGIN_PX) | (rows > rule.last + MARGIN_PX)
        ys, xs = ys[rest], xs[rest]
    return rules


def _find_slope(ys: np.ndarray, xs: np.ndarray, slopes: np.ndarray, width: int) -> float | None:
    """The slope of the plainest line, roughly: rows are pooled as far as slopes are apart at the picture's borders."""
    pool = max(1, round(COARSE_STEP * width / 2))
    columns = -(-width // EVERY_COLUMN)
    rows = int(ys.max()) // pool + 1 if len(ys) else 1
    met = np.zeros((columns, rows), bool)  # a column counts once in a pooled row, however thick the stroke is
    met[xs // EVERY_COLUMN, ys // pool] = True
    columns_met, rows_met = np.nonzero(met)
    shift = int(np.ceil(np.abs(slopes).max() * width / pool)) + 1
    covers = []
    for slope in slopes:
        sheared = np.round(rows_met - slope * columns_met * EVERY_COLUMN / pool).astype(np.intp) + shift
        counts = np.bincount(sheared, minlength=1)
        covers.append(counts.max() / columns if len(counts) else 0.0)
    best = int(np.argmax(covers))
    return float(slopes[best]) if covers[best] >= LEAST_COARSE_COVER else None


def _find_plainest(ys: np.ndarray, xs: np.ndarray, slopes: np.ndarray, width: int) -> _Rule | None:
    """The line that meets something dark in most columns, if that is enough for a rule."""
    columns = -(-width // EVERY_COLUMN)
    shift = int(np.ceil(np.abs(slopes).max() * width)) + 1  # so that no row is negative
    best, cover = None, LEAST_COVER
    for slope in slopes:
        rows = np.round(ys - slope * xs).astype(np.intp) + shift
        covers = np.bincount(rows, minlength=1) / columns
        row = int(covers.argmax())
        if covers[row] < cover:
            continue
        on_line = xs[np.abs(rows - row) <= 1]
        ends = END_SHARE * width
        least = LEAST_END_COVER * ends / EVERY_COLUMN
        if min((on_line < ends).sum(), (on_line >= width - ends).sum()) < least:
            continue
        near = covers >= THINNING * covers[row]
        first = row - int(np.argmin(near[row::-1])) + 1 if not near[: row + 1].all() else 0
        last = row + int(np.argmin(near[row:])) - 1 if not near[row:].all() else len(near) - 1
        best, cover = _Rule(float(slope), first - shift, last - shift), covers[row]
    return best


def _find_band(rule: _Rule, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows (width, thickness) and columns (width, 1) of the places where a rule runs, its blur included."""
    height, width = shape
    columns = np.arange(width)[:, None]
    tops = np.round(rule.first - MARGIN_PX + rule.slope * columns).astype(np.intp)
    return np.clip(tops + np.arange(rule.last - rule.first + 1 + 2 * MARGIN_PX), 0, height - 1), columns


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
