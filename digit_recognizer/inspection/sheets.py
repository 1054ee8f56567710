"""Many small pictures on one sheet, in colours that mean the same in every figure: the darker, the larger."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap

# lightness falls from end to end, so that grey print keeps the order; orange and blue stay apart for the colour-blind
SIGNED_COLOURS = ("#fff1dc", "#e9aa64", "#a3a3a3", "#3f6ea8", "#08245c")
POSITIVE_COLOURS = ("#ffffff", "#9db9dc", "#3f6ea8", "#08245c")
FRAME_GREY = 0.75


@dataclass(frozen=True)
class Scale:
    """How numbers become colours.

    Attributes:
        low, high: the numbers at the ends of the colours.
        signed: whether there are negative numbers: then 0 is grey and in the middle, else it is white.
    """

    low: float
    high: float
    signed: bool

    def map(self) -> "ScalarMappable":
        """Matplotlib's form of this scale, for colour bars and pictures."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        return ScalarMappable(Normalize(self.low, self.high), build_colours(self.signed))

    def colour(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of any shape as colours (..., 4) in [0, 1]."""
        colours: np.ndarray = self.map().cmap((numbers - self.low) / (self.high - self.low))
        return colours


def build_colours(signed: bool) -> "Colormap":
    """Matplotlib's colour map for numbers of both signs, or for those from 0 up."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = SIGNED_COLOURS if signed else POSITIVE_COLOURS
    return LinearSegmentedColormap.from_list("signed" if signed else "positive", colours)


def choose_scale(*numbers: np.ndarray) -> Scale:
    """A scale that takes in all the numbers, with 0 in the middle where some are negative."""
    low, high = min(part.min() for part in numbers), max(part.max() for part in numbers)
    reach = float(max(-low, high)) or 1.0  # of zeros only: any scale will do, an empty one will not
    return Scale(-reach if low < 0 else 0.0, reach, bool(low < 0))


def enlarge(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge pictures (n, h, w) to (n, height, width) by repeating their pixels: no number is made up."""
    rows = np.arange(height) * pictures.shape[1] // height
    columns = np.arange(width) * pictures.shape[2] // width
    enlarged: np.ndarray = pictures[:, rows][:, :, columns]
    return enlarged


def frame(pictures: np.ndarray) -> np.ndarray:
    """Coloured pictures (n, height, width, 4) with a line around each, so that white ones end somewhere.

    Returns:
        float (n, height + 2, width + 2, 4).
    """
    count, height, width, channels = pictures.shape
    framed = np.ones((count, height + 2, width + 2, channels))
    framed[..., :3] = FRAME_GREY
    framed[:, 1:-1, 1:-1] = pictures
    return framed


def compose_sheet(pictures: np.ndarray, columns: int, gap: tuple[int, int]) -> np.ndarray:
    """Lay coloured pictures side by side on white.

    Args:
        pictures: float (n, height, width, 4) in [0, 1].
        columns: pictures in a row.
        gap: rows of pixels above each picture, columns of pixels to its right.

    Returns:
        float (rows * (gap[0] + height), columns * (width + gap[1]), 4).
    """
    count, height, width, channels = pictures.shape
    lines = -(-count // columns)
    cells = np.ones((lines * columns, gap[0] + height, width + gap[1], channels))
    cells[:count, gap[0] :, :width] = pictures
    cells = cells.reshape(lines, columns, *cells.shape[1:]).swapaxes(1, 2)
    return cells.reshape(lines * cells.shape[1], columns * cells.shape[3], channels)


def find_corners(count: int, columns: int, height: int, width: int, gap: tuple[int, int]) -> list[tuple[float, float]]:
    """Where each picture of `compose_sheet` begins: x and y of its upper left corner, in pixels of the sheet."""
    return [
        (number % columns * (width + gap[1]) - 0.5, number // columns * (gap[0] + height) + gap[0] - 0.5)
        for number in range(count)
    ]
