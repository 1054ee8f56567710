"""Many small images on one sheet, each with a few words above it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.inspection.figures import open_figure

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.figure import Figure

SHEET_COLUMNS = 10
CELL_INCHES = 1.2
GAP_SHARE, WORDS_SHARE = 0.3, 0.46  # of an image's side: between images, and above each for two lines of words
WORDS_POINTS = 10  # ten to a row, more would run into each other


def draw_contact_sheet(images: np.ndarray, words: Sequence[str], title: str) -> "Figure":
    """Draw images in rows of ten.

    Args:
        images: uint8 (n, side, side), 0 = paper, 255 = ink; without any, the sheet is empty.
        words: above each image, two lines at most.
        title: one line above the sheet.
    """
    side = images.shape[1]
    gap, room = round(GAP_SHARE * side), round(WORDS_SHARE * side)
    width, height = side + gap, side + gap // 2 + room
    lines = max(1, -(-len(images) // SHEET_COLUMNS))
    # one picture of all images: a panel for each takes eight times as long to draw
    sheet = np.zeros((lines * height, SHEET_COLUMNS * width), np.uint8)
    figure = open_figure(CELL_INCHES * SHEET_COLUMNS, 0.5 + CELL_INCHES * lines * height / width)
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_axis_off()
    for number, (image, text) in enumerate(zip(images, words, strict=True)):
        line, column = divmod(number, SHEET_COLUMNS)
        top, left = line * height + room, column * width + gap // 2
        sheet[top : top + side, left : left + side] = image
        axes.text(left + side / 2, top - 1, text, ha="center", va="bottom", fontsize=WORDS_POINTS, linespacing=1.1)
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    return figure
