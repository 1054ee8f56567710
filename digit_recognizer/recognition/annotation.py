"""A picture of what was read: every sign in a box, with the digit, its probability, or why there is none."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.files import write_atomically
from digit_recognizer.recognition.reading import Reading, ReadSign

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
LARGEST_PX, PAGE_PX, PANEL_PX = 1400, 720, 360  # of the longer side: of one picture; of each of many, by its signs
MANY_SIGNS = 3  # from here on a picture is a page
MOST_PANELS, COLUMNS = 60, 4
COLOURS = {
    "digit": "#0b5fa5",
    "unsure": "#c2571a",
    "no digit": "#6b6b6b",
}  # apart in grey print, with words beside them
MARKS = {"unsure": "?", "no digit": "\N{EN DASH}"}  # the words stand below the picture
MARGIN_PX, GAP_PX, TITLE_PX, SMALLEST_PX = 24, 12, 15, 9


def check_annotation_path(path: Path) -> None:
    """Refuse an ending that no picture has.

    Raises:
        InputError: one line that names those that can be written.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--show takes a name that ends in {', '.join(ENDINGS)}; received {path}.")


def write_annotation(readings: Sequence[Reading], path: Path) -> int:
    """Draw what was read: one picture, or up to 60 of several side by side.

    Args:
        readings: with pixels, at least one.
        path: the picture to write, of the kind that its ending says.

    Returns:
        How many pictures were drawn.
    """
    from PIL import Image

    shown = [reading for reading in readings if reading.pixels is not None][:MOST_PANELS]
    page = any(len(reading.signs) >= MANY_SIGNS for reading in shown)
    panels = [_draw(reading, LARGEST_PX if len(shown) == 1 else PAGE_PX if page else PANEL_PX) for reading in shown]
    columns = min(COLUMNS // 2 if page else COLUMNS, len(panels))
    widest = max(panel.width for panel in panels)
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(panel.height for panel in row) for row in rows]
    sheet = Image.new("RGB", (columns * (widest + GAP_PX), sum(heights) + GAP_PX * len(rows)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row):
            sheet.paste(panel, (column * (widest + GAP_PX), top))
        top += height + GAP_PX
    with write_atomically(path, exclusive=True) as temporary:
        sheet.save(temporary, format=ENDINGS[path.suffix.lower()])
    return len(shown)


def _draw(reading: Reading, longest_px: int) -> "Image":
    from PIL import Image, ImageDraw

    assert reading.pixels is not None
    height, width = reading.pixels.shape
    scale = longest_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(np.ascontiguousarray(reading.pixels)).resize(size, Image.Resampling.BILINEAR)
    panel = Image.new("RGB", (max(size[0], longest_px // 2), size[1] + 2 * MARGIN_PX), "white")
    panel.paste(picture.convert("RGB"), (0, MARGIN_PX))
    draw = ImageDraw.Draw(panel)
    title = _fit_title("/".join(reading.path.parts[-2:]), panel.width, draw)
    draw.text((2, 1), title, fill="black", font=_load_font(TITLE_PX))
    below = (2, size[1] + MARGIN_PX + 2)
    if not reading.signs:
        draw.text(below, "no digit: nothing written found", fill=COLOURS["no digit"], font=_load_font(TITLE_PX))
    for read in reading.signs:
        _draw_sign(draw, read, scale * reading.shrunk, panel.width)
    if marks := [f"{mark} {word}" for word, mark in MARKS.items() if word in {s.verdict for s in reading.signs}]:
        draw.text(below, ", ".join(marks), fill="black", font=_load_font(TITLE_PX))
    return panel


def _draw_sign(draw: "ImageDraw", read: ReadSign, scale: float, width: int) -> None:
    """A box, and above it what was read: with its probability where the box is wide enough for it."""
    sign, colour = read.sign, COLOURS[read.verdict]
    left, top = sign.x * scale, sign.y * scale + MARGIN_PX
    right, bottom = left + sign.width * scale, top + sign.height * scale
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=colour, width=2)
    font = _load_font(int(np.clip(0.3 * (bottom - top), SMALLEST_PX, TITLE_PX)))
    mark = MARKS.get(read.verdict, str(read.likeliest))
    said = f"{mark} {read.probabilities[read.likeliest]:.2f}" if read.digit is not None else mark
    if draw.textlength(said, font=font) > right - left + 4:
        said = mark
    wide, tall = draw.textlength(said, font=font) + 4, font.size + 3
    x = min(max(0, left - 2), max(0, width - wide))
    draw.rectangle((x, top - 2 - tall, x + wide, top - 2), fill=colour)
    draw.text((x + 2, top - 2 - tall), said, fill="white", font=font)


def _fit_title(name: str, width: int, draw: "ImageDraw") -> str:
    """A file's name with its folder, its beginning left out where there is no room."""
    title = "".join(mark if mark.isprintable() else "?" for mark in name)
    while draw.textlength(title, font=_load_font(TITLE_PX)) > width - 4 and len(title) > 4:
        title = "\N{HORIZONTAL ELLIPSIS}" + title[2:]
    return title


@functools.cache
def _load_font(size_px: int) -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size_px)
