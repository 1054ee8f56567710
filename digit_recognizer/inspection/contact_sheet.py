"""Many small images on one sheet, each with a few words above it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.inspection.figures import open_figure

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.figure import Figure

SHEET_INCHES, MOST_COLUMNS = 12, 10
GAP_SHARE, LINE_SHARE = 0.3, 0.23  # of a tenth's image's side: between images, and above each for a line of words
WORDS_POINTS = 10
CHARACTER_INCHES = 0.08  # of words, in the mean: ten to a row have room for fifteen


def draw_contact_sheet(images: np.ndarray, words: Sequence[str], title: str) -> "Figure":
    """Draw images in rows of ten, or of fewer where the words need the room.

    Args:
        images: uint8 (n, side, side), 0 = paper, 255 = ink; without any, the sheet is empty.
        words: above each image, of as many lines each.
        title: one line above the sheet.
    """
    longest = max((len(line) for text in words for line in text.split("\n")), default=0)
    columns = min(MOST_COLUMNS, int(SHEET_INCHES / (CHARACTER_INCHES * (longest + 1))))
    side = images.shape[1]
    word_lines = max((text.count("\n") + 1 for text in words), default=2)
    gap, room = round(GAP_SHARE * side), round(LINE_SHARE * word_lines * side * columns / MOST_COLUMNS)
    width, height = side + gap, side + gap // 2 + room
    lines = max(1, -(-len(images) // columns))
    # one picture of all images: a panel for each takes eight times as long to draw
    sheet = np.zeros((lines * height, columns * width), np.uint8)
    figure = open_figure(SHEET_INCHES, 0.5 + SHEET_INCHES / columns * lines * height / width)
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_axis_off()
    for number, (image, text) in enumerate(zip(images, words, strict=True)):
        line, column = divmod(number, columns)
        top, left = line * height + room, column * width + gap // 2
        sheet[top : top + side, left : left + side] = image
        axes.text(left + side / 2, top - 1, text, ha="center", va="bottom", fontsize=WORDS_POINTS, linespacing=1.1)
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    return figure
