"""The rules of ruled and squared paper: straight thin lines from one edge of a picture to the other.

They are found as a Hough transform finds lines (Duda and Hart 1972), with few slopes: each row that a slope leads along
counts the columns in which it meets something dark.
"""

from dataclasses import dataclass

import numpy as np

SLOPES = np.linspace(-0.12, 0.12, 25)  # rows per column: 7 degrees either way; more, and one turns the paper
NEAR_SLOPES = np.linspace(-0.02, 0.02, 5)  # of the other rules, once one is found: perspective
EVERY_COLUMN = 4  # is looked at: a rule is hundreds of columns long
LEAST_COVER = 0.85  # of the way from edge to edge; the bar of a digit may be long, but ends before the edge
END_SHARE, LEAST_END_COVER = 0.06, 0.6  # at both ends, where no digit is, the line must be seen
THICKEST = 0.03  # of the side that it crosses
THINNING = 0.4  # of a line's cover: rows beside it that have as much belong to it
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
    rules = np.zeros_like(edge)
    for edges, shares, found in ((edge, share, rules), (edge.T, share.T, rules.T)):
        for rule in _list_level_rules(edges):
            _mark_rule(found, edges, shares, rule)
    return rules


def _list_level_rules(edge: np.ndarray) -> list[_Rule]:
    """The rules that run from left to right, the plainest first."""
    height, width = edge.shape
    ys, xs = np.nonzero(edge[:, ::EVERY_COLUMN])
    xs = xs * EVERY_COLUMN
    rules: list[_Rule] = []
    slopes = SLOPES
    for _ in range(MOST_RULES):
        rule = _find_plainest(ys, xs, slopes, width)
        if rule is None:
            break
        if rule.last - rule.first + 1 <= THICKEST * height:
            rules.append(rule)
            slopes = rules[0].slope + NEAR_SLOPES
        rows = ys - np.round(rule.slope * xs)
        rest = (rows < rule.first - MARGIN_PX) | (rows > rule.last + MARGIN_PX)
        ys, xs = ys[rest], xs[rest]
    return rules


def _find_plainest(ys: np.ndarray, xs: np.ndarray, slopes: np.ndarray, width: int) -> _Rule | None:
    """The line that meets something dark in most columns, if that is enough for a rule."""
    columns = -(-width // EVERY_COLUMN)
    shift = int(np.ceil(np.abs(slopes).max() * width)) + 1  # so that no row is negative
    best, cover = None, LEAST_COVER
    for slope in slopes:
        rows = np.round(ys - slope * xs).astype(np.intp) + shift
        covers = np.bincount(rows, minlength=1) / columns
        row = int(covers.argmax()) if len(covers) else 0
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


def _mark_rule(rules: np.ndarray, edge: np.ndarray, share: np.ndarray, rule: _Rule) -> None:
    """Mark a rule in `rules`, but for the ink upon it: what is far darker, and strokes that go on at both sides."""
    height, width = edge.shape
    columns = np.arange(width)
    thickness = rule.last - rule.first + 1 + 2 * MARGIN_PX
    tops = np.round(rule.first - MARGIN_PX + rule.slope * columns).astype(np.intp)
    rows = np.clip(tops[:, None] + np.arange(thickness), 0, height - 1)
    level = np.median(share[rows, columns[:, None]].max(axis=1))
    goes_on = [_widen(edge[np.clip(at, 0, height - 1), columns], thickness) for at in (tops - 1, tops + thickness)]
    ink = (goes_on[0] & goes_on[1])[:, None] | (share[rows, columns[:, None]] > INK_ABOVE_RULE * level)
    rules[rows, columns[:, None]] |= ~ink


def _widen(line: np.ndarray, by: int) -> np.ndarray:
    """Bool (n,), true up to `by` places from where `line` is: slanting strokes meet a rule's two sides apart."""
    widened: np.ndarray = np.convolve(line, np.ones(2 * by + 1), mode="same") > 0
    return widened
