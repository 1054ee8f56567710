"""Photographs, scans and drawings, decoded by Pillow into shades of grey, or into colours.

Nothing here looks for digits: white on black, blank pages and noise are read as they are.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.picture_files import DAMAGE, open_picture, silence_libtiff

if TYPE_CHECKING:
    from PIL.Image import Image

BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION, SAMPLE_FORMAT = 258, 262, 274, 339  # tags of TIFF 6.0, and so of EXIF
WHITE_IS_ZERO = 0  # a value of PHOTOMETRIC
SIGNED = 2  # a value of SAMPLE_FORMAT
MOST_EXIF_BYTES = 1 << 20  # a JPEG's has 65,533 at most
STRIP_PIXELS = 1 << 22  # as float64 32 MB
REDUCING_GAP = 3.0  # Pillow first shrinks by whole numbers to three times the size: nearly as good, many times as fast

# How each EXIF orientation is turned upright (CIPA DC-008, "Orientation").
TURNS: dict[object, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1],
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


@dataclass(frozen=True)
class Photograph:
    """A picture in shades of grey.

    Attributes:
        pixels: uint8 (height, width), 0 = black, 255 = white, upright, as a person would see it on white paper.
        notes: what was accepted with a word, one phrase each.
    """

    pixels: np.ndarray
    notes: tuple[str, ...] = ()


def load_photograph(path: Path) -> Photograph:
    """Load a photograph, scan or drawing.

    Colours become luma after ITU-R BT.601; colour profiles are ignored. Transparent parts are laid on white paper.
    The EXIF orientation is applied. Of an animation or a pile of pages the first is read. Numbers of more than eight
    bits are scaled by the range of their type; floats are taken as shares of white, and stretched if they leave 0 to 1.

    Args:
        path: a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM file of whatever ending, of at most 64 MiB and 120 megapixels.

    Raises:
        InputError: if the file is missing, too large, no picture, damaged or cut off.
    """
    with open_picture(path) as image:
        return _decode(path, image)


def load_colours(path: Path, side_px: int) -> np.ndarray:
    """Load a colour photograph, squeezed or stretched into a square, as nets for photographs take it.

    Colour profiles are ignored; what has no colours is grey in all three. All else is as in `load_photograph`.

    Args:
        path: as for `load_photograph`.
        side_px: of the square.

    Returns:
        uint8 (side_px, side_px, 3): red, green and blue, upright.

    Raises:
        InputError: as `load_photograph`.
    """
    from PIL import Image

    with open_picture(path) as image:
        image.draft("RGB", (side_px, side_px))  # a JPEG can be decoded at a half, a quarter or an eighth of its size
        _load(image)
        colours = _convert_to_colours(image)
        colours = colours.resize((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
        try:
            orientation = _read_orientation(image)
        except DAMAGE:
            orientation = None
        pixels = np.array(colours)
    return np.ascontiguousarray(TURNS[orientation](pixels) if orientation in TURNS else pixels)


def _decode(path: Path, image: Any) -> Photograph:
    notes = _compare_ending(path, image.format)
    if getattr(image, "is_animated", False):
        notes.append("it holds several pictures: the first was read")
    image.draft("L", None)  # a JPEG stores its luma: a quarter of the memory, and no detour by RGB
    _load(image)
    pixels, more = _convert_to_grey(image)
    notes += more
    try:
        orientation = _read_orientation(image)
    except DAMAGE:
        notes.append("its EXIF is damaged: it was taken as upright")
        orientation = None
    if orientation in TURNS:
        notes.append("it was turned as its EXIF says")
        pixels = TURNS[orientation](pixels)
    return Photograph(np.ascontiguousarray(pixels), tuple(notes))


def _load(image: Any) -> None:
    """Decode the pixels."""
    with silence_libtiff() if image.format == "TIFF" else contextlib.nullcontext():
        image.load()


def _compare_ending(path: Path, kind: str) -> list[str]:
    from PIL import Image

    named = Image.registered_extensions().get(path.suffix.lower())
    if named is None or {named, kind} in ({kind}, {"JPEG", "MPO"}):  # phones give an MPO a JPEG's name
        return []
    return [f"it is a {kind} image under the ending {path.suffix}"]


def _convert_to_grey(image: "Image") -> tuple[np.ndarray, list[str]]:
    """Give uint8 (height, width), transparent parts on white, and what is to be said of it."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        return _scale(image)
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return np.array(image.convert("L")), []
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    alpha = image.getchannel("A")
    paper = Image.new("L", image.size, 255)
    paper.paste(image.convert("L"), mask=alpha)
    return np.array(paper), ["its transparent parts were laid on white"] * (alpha.getextrema()[0] != 255)


def _convert_to_colours(image: "Image") -> "Image":
    """Give the same picture in red, green and blue, transparent parts on white."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_scale(image)[0]).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    paper = Image.new("RGB", image.size, "white")
    paper.paste(image, mask=image.getchannel("A"))
    return paper


def _scale(image: Any) -> tuple[np.ndarray, list[str]]:
    """Scale numbers of more than eight bits; Pillow's own conversion would clip them at 255."""
    tags = getattr(image, "tag_v2", {})
    bits, sample_format = tags.get(BITS_PER_SAMPLE, (16,))[0], tags.get(SAMPLE_FORMAT, (1,))[0]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if sample_format == SIGNED else (0, (1 << bits) - 1)
    notes = []
    if image.mode == "F":
        low, high = _find_extremes(image)
        if low < 0 or high > 1:
            notes.append(f"its floats were stretched from {low:g} = black to {high:g} = white")
        else:
            low, high = 0, 1
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # which Pillow heeds up to eight bits only
        low, high = high, low
    clear = image.info.get("transparency")
    pixels = np.empty(image.size[::-1], np.uint8)
    for top, strip in _cut_strips(image):
        values = strip.view(np.uint32) if (image.mode, bits) == ("I", 32) and sample_format != SIGNED else strip
        shares = (values.astype(np.float64) - low) / ((high - low) or 1)  # one shade only: no range
        if isinstance(clear, int):
            shares[values == clear] = 1
        pixels[top : top + len(strip)] = np.rint(shares * 255)
    return pixels, notes + ["its transparent parts were laid on white"] * isinstance(clear, int)


def _find_extremes(image: "Image") -> tuple[float, float]:
    extremes = [(float(strip.min()), float(strip.max())) for _, strip in _cut_strips(image)]
    if not np.isfinite(extremes).all():
        raise ValueError("some of its floats are no finite numbers")
    return min(low for low, _ in extremes), max(high for _, high in extremes)


def _cut_strips(image: "Image") -> Iterator[tuple[int, np.ndarray]]:
    """Give the first row and the pixels (rows, width) of each strip: whole, as float64, they would fill the memory."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield top, np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))


def _read_orientation(image: "Image") -> object:
    """Read the EXIF orientation, or else that of XMP; Pillow has applied a TIFF's by now, and no longer gives it."""
    from PIL import Image

    content = image.info.get("exif", b"")
    if len(content) > MOST_EXIF_BYTES:
        raise ValueError("too long")
    Image.Exif().load(content)  # raises at what getexif, called when a JPEG was opened, keeps to itself
    return image.getexif().get(ORIENTATION)
