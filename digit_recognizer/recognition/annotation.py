"""A picture of what was read: every sign in a box, with the digit, its probability, or why there is none."""

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
LABEL_PX, GAP_PX = 22, 12


def check_annotation_path(path: Path) -> None:
    """Refuse an ending that no picture has.

    Raises:
        InputError: one line that names those that can be written.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--show takes a name that ends in {', '.join(ENDINGS)}; received {path}.")


def write_annotation(readings: Sequence[Reading], path: Path) -> None:
    """Draw what was read: one picture, or up to 60 of several side by side.

    Args:
        readings: those without pixels are left out.
        path: the picture to write, of the kind that its ending says.
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
    with write_atomically(path) as temporary:
        sheet.save(temporary, format=ENDINGS[path.suffix.lower()])


def _draw(reading: Reading, longest_px: int) -> "Image":
    from PIL import Image, ImageDraw

    assert reading.pixels is not None
    height, width = reading.pixels.shape
    scale = longest_px / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(np.ascontiguousarray(reading.pixels)).resize(size, Image.Resampling.BILINEAR)
    panel = Image.new("RGB", (max(size[0], longest_px // 2), size[1] + 2 * LABEL_PX + 4), "white")
    panel.paste(picture.convert("RGB"), (0, LABEL_PX))
    draw = ImageDraw.Draw(panel)
    font = _load_font()
    draw.text((2, 1), reading.path.name[-40:], fill="black", font=font)
    if not reading.signs:
        draw.text((2, size[1] + LABEL_PX + 1), "no digit: nothing written found", fill=COLOURS["no digit"], font=font)
    for read in reading.signs:
        _draw_sign(draw, read, scale, panel.width, font)
    return panel


def _draw_sign(draw: "ImageDraw", read: ReadSign, scale: float, width: int, font: "FreeTypeFont") -> None:
    sign, colour = read.sign, COLOURS[read.verdict]
    left, top = sign.x * scale, sign.y * scale + LABEL_PX
    right, bottom = left + sign.width * scale, top + sign.height * scale
    draw.rectangle((left - 2, top - 2, right + 2, bottom + 2), outline=colour, width=2)
    words = f"{read.digit}  {read.probabilities[read.likeliest]:.2f}" if read.digit is not None else read.verdict
    box = draw.textbbox((0, 0), words, font=font)
    at = min(max(0, left - 2), max(0, width - box[2] - 6)), bottom + 3
    draw.rectangle((at[0], at[1], at[0] + box[2] + 6, at[1] + LABEL_PX - 2), fill=colour)
    draw.text((at[0] + 3, at[1]), words, fill="white", font=font)


def _load_font() -> "FreeTypeFont":
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), 15)
