"""Signs: pieces of ink that belong together, each taken for one digit or letter, in the order of reading."""

from dataclasses import dataclass

import numpy as np

from digit_recognizer.data.ink import Ink

TALL = 0.35  # of the largest part: what is smaller says nothing of how large a sign is
SPECK = 0.1  # of a sign's size: smaller parts are dust, and dots of the paper
SMALL_PART, NEAR_PART = 0.5, 0.2  # of a sign's size: a smaller part so near to a larger one belongs to it
OVERLAP = 0.4  # of the narrower part's width: parts above each other may be one broken sign,
TALLEST_WHOLE = 1.4  # if together they are not taller than this, in sizes of a sign
LEAST_SIGN = 0.3  # of a sign's size: less is a comma, not a sign
MOST_SIGNS = 400  # a full page has fewer; noise has more


@dataclass(frozen=True)
class Sign:
    """A piece of ink.

    Attributes:
        strength: float32 (height, width) in [0, 1], its ink alone, cut to its box.
        x, y, width, height: of its box in the picture, in px.
    """

    strength: np.ndarray
    x: int
    y: int
    width: int
    height: int


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
        No more than `MOST_SIGNS`; none where there is no ink.
    """
    import cv2

    count, components, boxes, _ = cv2.connectedComponentsWithStats((ink.strength > 0).astype(np.uint8), connectivity=8)
    parts = [
        _Part([number], x, y, x + width, y + height)
        for number, (x, y, width, height, _) in enumerate(boxes.tolist())
        if number
    ]
    if not parts:
        return []
    largest = max(part.size for part in parts)
    size = float(np.median([part.size for part in parts if part.size >= TALL * largest]))
    parts = [part for part in parts if part.size >= SPECK * size]
    parts = [_join(parts)] if single else _gather(parts, size)
    parts = [part for part in parts if part.size >= LEAST_SIGN * size]
    return [_cut_out(ink, components, part) for part in _order(parts)[:MOST_SIGNS]]


def _gather(parts: list[_Part], size: float) -> list[_Part]:
    """Join what belongs together, until nothing more does."""
    parts = sorted(parts, key=lambda part: -part.size)
    found = True
    while found:
        found = False
        for first in range(len(parts)):
            for second in range(len(parts) - 1, first, -1):
                if _belong_together(parts[first], parts[second], size):
                    parts[first] = _join([parts[first], parts.pop(second)])
                    found = True
    return parts


def _belong_together(one: _Part, other: _Part, size: float) -> bool:
    across = max(one.left, other.left) - min(one.right, other.right)  # negative where they overlap
    down = max(one.top, other.top) - min(one.bottom, other.bottom)
    smaller = min(one.size, other.size)
    if smaller < SMALL_PART * size and max(across, down) < NEAR_PART * size:
        return True
    narrower = min(one.right - one.left, other.right - other.left)
    whole = max(one.bottom, other.bottom) - min(one.top, other.top)
    return -across > OVERLAP * narrower and down < NEAR_PART * size and whole < TALLEST_WHOLE * size


def _join(parts: list[_Part]) -> _Part:
    return _Part(
        [number for part in parts for number in part.numbers],
        min(part.left for part in parts),
        min(part.top for part in parts),
        max(part.right for part in parts),
        max(part.bottom for part in parts),
    )


def _order(parts: list[_Part]) -> list[_Part]:
    """Lines from top to bottom; a sign whose middle lies within the height of a line's first sign is on that line."""
    rest = sorted(parts, key=lambda part: part.top + part.bottom)
    ordered = []
    while rest:
        first = rest[0]
        line = [part for part in rest if first.top <= (part.top + part.bottom) / 2 < first.bottom]
        ordered += sorted(line, key=lambda part: part.left)
        rest = [part for part in rest if part not in line]
    return ordered


def _cut_out(ink: Ink, components: np.ndarray, part: _Part) -> Sign:
    place = np.s_[part.top : part.bottom, part.left : part.right]
    strength = np.where(np.isin(components[place], part.numbers), ink.strength[place], 0)
    left, top, right, bottom = (round(value / ink.scale) for value in (part.left, part.top, part.right, part.bottom))
    return Sign(strength, ink.left_px + left, ink.top_px + top, max(1, right - left), max(1, bottom - top))
