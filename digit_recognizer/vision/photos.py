"""Photographs, scans and drawings, decoded by Pillow into shades of grey, or into colours.

Nothing here looks for digits: white on black, blank pages and noise are read as they are.
"""

import contextlib
import io
import itertools
import logging
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.io import open_regular_file

if TYPE_CHECKING:
    from PIL.Image import Image


# Picture files from anywhere: which of them Pillow may open, how much work they may make, and how damage is told.

# Named, so that none of Pillow's some forty other readers is tried: that of EPS starts Ghostscript.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
STARTS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM|RIFF....WEBP|II\*\0|MM\0\*|P[1-6f]\s", re.DOTALL)
KIND_BYTES = 4096  # by which a file that is no picture is known
MOST_BYTES = 1 << 26  # a JPEG of 50 megapixels has some 20 MB, an unpacked grey A4 page at 600 dpi 35 MB
MOST_PIXELS = 120_000_000  # phones make 12 to 50 million, at times 108; at 179 million Pillow itself refuses
MOST_SIDE_PX = 65_535  # no JPEG has more; a row costs a pointer, so that a strip one pixel wide would be a bomb
SLOW_CODECS = ("ppm", "ppm_plain", "bmp_rle")  # Pillow decodes these in Python, at about 1 MB/s
MOST_SLOW_BYTES = 1 << 23
MOST_CHUNKS = 1 << 16  # of a PNG; libpng writes 8 kB into each, so that these hold 500 MB
MOST_SCAN_PIXELS = 20_000_000_000  # each scan of a JPEG, mostly ten at most, passes over all pixels: this takes 20 s
MOST_COMMENTS = 1000  # in the numbers of a PPM as text: Pillow moves what follows each
PPM_HEADER = re.compile(
    rb"P([14](SPACE[^\s#]+){2}|[2356f](SPACE[^\s#]+){3})\s".replace(b"SPACE", rb"(\s|#[^\r\n]*[\r\n])+")
)
SEGMENTS = re.compile(rb"\xff[\xc0-\xcf\xdb-\xef\xfe]")
MOST_SEGMENTS = 1 << 16  # of a JPEG; 64 MiB of anything else, such as a film after its end, look like 39,000
MOST_EXIF_SEGMENTS = 16  # of a JPEG, 64 kB each, which Pillow joins
MOST_TAG_VALUES = 1 << 17  # of a TIFF: two strips for each row; every value becomes a Python object or several
BYTE_KINDS = (1, 2, 7)  # BYTE, ASCII and UNDEFINED in TIFF 6.0: these stay bytes
SUB_DIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS and interoperability, which Pillow decodes whole
NEW_SUBFILE_TYPE = 254  # in TIFF 6.0; its lowest bit: a smaller version of another picture in this file

# What is often handed in though Pillow, or these formats, cannot read it; and the way out.
OTHERS = {
    rb".{4}ftyp(hei[cxms]|hev[cx]|mif1|msf1)": (
        "is a HEIC photograph",
        "export it as JPEG, or set the phone's camera to Most Compatible",
    ),
    rb".{4}ftypavi": ("is an AVIF image", "save it as PNG or JPEG"),
    rb".{4}ftyp|RIFF....AVI|\x1a\x45\xdf\xa3": ("is a video", "save one frame of it as PNG"),
    rb"(\xef\xbb\xbf)?\s*<(.{0,2000}<)?svg\b": ("is an SVG drawing, which is no photograph", "export it as PNG"),
    rb"%PDF-": ("is a PDF document, which is no photograph", "export the page as PNG"),
    rb"%!PS|\xc5\xd0\xd3\xc6": ("is a PostScript drawing, which is no photograph", "export it as PNG"),
    rb"\s*<(?i:!doctype html|html)": ("is a web page", "save the picture itself"),
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": ("is an archive", "unpack it"),
    rb"II\+\0|MM\0\+": ("is a BigTIFF, made for files of more than 4 GB", "save it as PNG"),
}

# What Pillow raises at damaged files: its readers index, unpack and divide by what a file says, and turn only a part
# of what follows into errors of their own. OSError, ValueError, IndexError, SyntaxError and the error of struct
# or zlib were seen in 70,000 mutated files; the others its source raises, asserts or risks.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, AttributeError) + (
    (AssertionError, RuntimeError, struct.error, zlib.error)
)  # fmt: skip


def read_picture_file(path: Path) -> bytes:
    """Read a file whole that begins as a picture does which Pillow may open.

    Raises:
        InputError: if it is missing, no plain file, empty, no such picture, or too long.
    """
    with open_regular_file(path) as file:
        try:
            content = file.read(MOST_BYTES + 1)
        except OSError as error:
            raise InputError(f"{path} must be readable, but {error.strerror}: mend that, or name another.") from error
    if not content:
        raise InputError(f"{path} must be a photograph, but is empty: copy it again.")
    if not STARTS.match(content):
        found = (told for start, told in OTHERS.items() if re.match(start, content[:KIND_BYTES], re.DOTALL))
        what, way_out = next(found, (f"begins with {content[:4].hex(' ')}", "save it as PNG or JPEG"))
        raise InputError(f"{path} must be a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, but {what}: {way_out}.")
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} must have {MOST_BYTES} bytes at most, but has more: save it smaller, or as JPEG.")
    return content


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator["Image"]:
    """Open a picture whose header has been read, whose pixels have not, and of which neither takes long.

    Raises:
        InputError: if it is missing, too large, no picture, damaged or cut off; also for what is raised within.
    """
    from PIL import Image

    content = read_picture_file(path)
    with explain_picture_damage(path):
        check_before_opening(path, content)
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            check_before_decoding(path, content, image)
            yield image


@contextlib.contextmanager
def explain_picture_damage(path: Path) -> Iterator[None]:
    """Turn whatever Pillow raises at a damaged picture into one line, and what it merely warns of into nothing.

    Raises:
        InputError: in place of Pillow's error, with its words.
    """
    from PIL import Image

    silence = logging.NullHandler()  # Pillow also logs damage, which Python prints where nobody listens
    logger = logging.getLogger("PIL")
    logger.addHandler(silence)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path} must have {MOST_PIXELS} pixels at most, but has more: save it smaller.") from error
    except MemoryError as error:
        raise InputError(f"{path} must fit into memory, but does not: save it smaller.") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path} must be a whole picture, but its header is damaged: copy it again.") from error
    except DAMAGE as error:
        fault = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(f"{path} must be a whole picture, but {fault}: copy it again, or save it as PNG.") from error
    finally:
        logger.removeHandler(silence)


@contextlib.contextmanager
def silence_libtiff() -> Iterator[None]:
    """Keep libtiff's complaints from the screen: it writes them to the process's standard error by itself."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def check_before_opening(path: Path, content: bytes) -> None:
    """Refuse what would take too much memory or time already where Pillow reads its header.

    Raises:
        InputError: if it has too many parts.
        ValueError: if it is damaged.
    """
    if content.startswith(b"\x89PNG"):
        _check_chunks(path, content)
    elif content.startswith((b"II", b"MM")):
        _check_directories(path, content)
    elif content.startswith(b"P") and not PPM_HEADER.match(content[:KIND_BYTES]):
        raise ValueError("its header does not end")
    elif content.startswith(b"\xff\xd8"):
        if next(itertools.islice(SEGMENTS.finditer(content), MOST_SEGMENTS, None), None):
            raise InputError(f"{path} must have {MOST_SEGMENTS} segments at most, but has more: save it as PNG.")
        if content.count(b"Exif\0\0") > MOST_EXIF_SEGMENTS:
            raise InputError(f"{path} must have one EXIF segment, but has over {MOST_EXIF_SEGMENTS}: save it as PNG.")


def check_before_decoding(path: Path, content: bytes, image: Any) -> None:
    """Refuse what would take too much memory or time where Pillow decodes the pixels of the `image` opened.

    Raises:
        InputError: if it is too large, packed too cleverly, or a mere preview of another picture.
        ValueError: if it is damaged.
    """
    width, height = image.size
    if width * height > MOST_PIXELS or max(width, height) > MOST_SIDE_PX:
        raise InputError(
            f"{path} must have {MOST_PIXELS} pixels and sides of {MOST_SIDE_PX} at most, but is {width} x {height}: "
            "save it smaller."
        )
    codec, extents = (image.tile[0][0], image.tile[-1][1]) if image.tile else ("", (0, 0, width, height))
    comments = content.count(b"#") if codec == "ppm_plain" else 0
    if (codec in SLOW_CODECS and max(len(content), width * height) > MOST_SLOW_BYTES) or comments > MOST_COMMENTS:
        raise InputError(f"{path} must be quick to unpack, but this takes minutes: save it as PNG.")
    # In a JPEG's packed pixels no byte follows FF but 0 and the marks of restarts, so FF DA is the start of a scan.
    scans = content.count(b"\xff\xda") if image.format in ("JPEG", "MPO") else 0
    if scans * width * height > MOST_SCAN_PIXELS:
        raise InputError(f"{path} must have a JPEG's few scans, but has {scans}: save it as PNG.")
    if image.format == "TIFF":
        if image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1:
            raise InputError(f"{path} must begin with its picture, but begins with a preview of it: export it as JPEG.")
        if codec == "raw" and extents[2] * extents[3] != width * height:
            raise ValueError("some of its strips are missing")


def _check_chunks(path: Path, content: bytes) -> None:
    """Hold a PNG to its checksums, of which Pillow passes over those of the pixels, and to a sane number of chunks."""
    view, place, kind = memoryview(content), 8, b""
    for _ in range(MOST_CHUNKS):
        if kind == b"IEND":
            return
        start, place = place, place + 12
        if place <= len(content):
            length, kind = struct.unpack_from(">I4s", content, start)
            place += length
        if place > len(content):
            raise ValueError("it is cut off")
        if zlib.crc32(view[start + 4 : place - 4]) != int.from_bytes(view[place - 4 : place]):
            raise ValueError(f"the checksum of its part {ascii(kind)[2:-1]} is wrong")
    raise InputError(f"{path} must have fewer than {MOST_CHUNKS} parts, but has more: save it anew as PNG.")


def _check_directories(path: Path, content: bytes) -> None:
    """Refuse a TIFF whose tags would fill the memory."""
    order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"
    entry = struct.Struct("<HHII" if order == "little" else ">HHII")
    places = {0: int.from_bytes(content[4:8], order)}
    for directory in (0, *SUB_DIRECTORIES):
        place = places.get(directory, len(content))
        entries = content[place + 2 : place + 2 + entry.size * int.from_bytes(content[place : place + 2], order)]
        for tag, kind, count, value in entry.iter_unpack(entries[: len(entries) // entry.size * entry.size]):
            # A tag that claims more values than the file has bytes is passed over by Pillow.
            if MOST_TAG_VALUES < count <= len(content) and kind not in BYTE_KINDS:
                raise InputError(f"{path} must have sane tags, but its tag {tag} has {count} values: save it as PNG.")
            places.setdefault(tag, value)


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
