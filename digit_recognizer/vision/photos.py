"""Photographs, scans and drawings from anywhere, decoded by Pillow into shades of grey or into colours.

Nothing here looks for digits. A file is checked three times: its size and first bytes when it is read, its structure
before Pillow opens it, and its header before Pillow decodes the pixels. So a damaged or malicious file costs neither
minutes nor gigabytes.
"""

import contextlib
import functools
import importlib
import io
import itertools
import logging
import os
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from digit_recognizer.errors import InputError, require
from digit_recognizer.io import read_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

# Named, so that none of Pillow's some forty other readers is tried: that of EPS starts Ghostscript.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
STARTS = re.compile(rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM|RIFF....WEBP|II\*\0|MM\0\*|P[1-6f]\s", re.DOTALL)
HEAD_BYTES = 4096  # in which a file of another kind is recognized
MAX_BYTES = 1 << 26  # a JPEG of 50 megapixels has some 20 MB, an unpacked grey A4 page at 600 dpi 35 MB
MAX_PIXELS = 120_000_000  # phones make 12 to 50 million, at times 108; at 179 million Pillow itself refuses
MAX_SIDE_PX = 65_535  # no JPEG has more; a row costs a pointer, so that a strip one pixel wide would be a bomb
SLOW_CODECS = ("ppm", "ppm_plain", "bmp_rle")  # Pillow decodes these in Python, at about 1 MB/s
MAX_SLOW_BYTES = 1 << 23
MAX_CHUNKS = 1 << 16  # of a PNG; libpng writes 8 kB into each, so that these hold 500 MB
MAX_SCAN_PIXELS = 20_000_000_000  # each scan of a JPEG, mostly ten at most, passes over all pixels: this takes 20 s
MAX_COMMENTS = 1000  # in the numbers of a PPM as text: Pillow moves what follows each
PPM_HEADER = re.compile(
    rb"P([14](SPACE[^\s#]+){2}|[2356f](SPACE[^\s#]+){3})\s".replace(b"SPACE", rb"(\s|#[^\r\n]*[\r\n])+")
)
SEGMENTS = re.compile(rb"\xff[\xc0-\xcf\xdb-\xef\xfe]")
MAX_SEGMENTS = 1 << 16  # of a JPEG; 64 MiB of anything else, such as a film after its end, look like 39,000
MAX_EXIF_SEGMENTS = 16  # of a JPEG, 64 kB each, which Pillow joins
MAX_EXIF_BYTES = 1 << 20  # a JPEG's has 65,533 at most
MAX_TAG_VALUES = 1 << 17  # of a TIFF: two strips for each row; every value becomes a Python object or several
BYTE_TYPES = (1, 2, 7)  # BYTE, ASCII and UNDEFINED in TIFF 6.0: these stay bytes
SUB_DIRECTORIES = (34665, 34853, 40965)  # EXIF, GPS and interoperability, which Pillow decodes whole
# Tags of TIFF 6.0, and so of EXIF. The lowest bit of NEW_SUBFILE_TYPE: a smaller version of another picture here.
NEW_SUBFILE_TYPE, BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION, SAMPLE_FORMAT = 254, 258, 262, 274, 339
WHITE_IS_ZERO = 0  # a value of PHOTOMETRIC
TURNED = range(2, 9)  # values of ORIENTATION; 1 is upright
SIGNED = 2  # a value of SAMPLE_FORMAT
CLEAR, CLEAR_DARK = (f"its transparent parts are taken as {shade}" for shade in ("white", "black"))  # notes
MIDDLE_GREY = 128
REDUCING_GAP = 3.0  # Pillow first shrinks by whole numbers to three times the size: nearly as good, many times as fast

HEIC = rb".{4}ftyp(hei[cxms]|hev[cx]|mif1|msf1)"
OTHER_KINDS = {  # of files that people name, by their first bytes
    HEIC: "a HEIC photograph, which is read once pillow-heif is installed (pip install pillow-heif)",
    rb".{4}ftypavi": "an AVIF image",
    rb".{4}ftyp|RIFF....AVI|\x1a\x45\xdf\xa3": "a video",
    rb"(\xef\xbb\xbf)?\s*<(.{0,2000}<)?svg\b": "an SVG drawing",
    rb"%PDF-": "a PDF document",
    rb"%!PS|\xc5\xd0\xd3\xc6": "a PostScript drawing",
    rb"\s*<(?i:!doctype html|html)": "a web page",
    rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!": "an archive",
    rb"II\+\0|MM\0\+": "a BigTIFF",
}

# What Pillow raises at damaged files: its readers index, unpack and divide by what a file says, and turn only a part
# of what follows into errors of their own. OSError, ValueError, IndexError, SyntaxError and the error of struct
# or zlib were seen in 70,000 mutated files; the others its source raises, asserts or risks.
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, AttributeError) + (
    (AssertionError, RuntimeError, struct.error, zlib.error)
)  # fmt: skip

_standard_error = threading.Lock()  # without it, a thread would keep another's silence, and restore that for good
_settings = threading.Lock()
_settings_before = contextlib.ExitStack()
_open_pictures = 0

logging.getLogger("PIL").addHandler(logging.NullHandler())  # Pillow also logs damage, which Python would print


class Photograph(NamedTuple):
    """A picture in shades of grey, or in colours.

    Attributes:
        pixels: uint8 (height, width), in colours (height, width, 3), 0 = black, 255 = white, upright, as a person would
            see it on white paper.
        notes: what was left out, assumed or turned, one phrase each: a wrong prediction may come from it.
    """

    pixels: np.ndarray
    notes: tuple[str, ...]


def load_photograph(path: Path) -> Photograph:
    """Load a photograph, scan or drawing in shades of grey.

    Colours become luma after ITU-R BT.601; colour profiles are ignored. Transparent parts are laid on white. The EXIF
    orientation is applied, unless the EXIF is damaged. Of an animation or a multi-page file the first picture is read.
    Pixels of more than eight bits are scaled by the range of their type; floats are taken as shares of white, and
    stretched if they leave 0 to 1.

    Args:
        path: a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM file under any name, or HEIC where pillow-heif is
            installed, of at most 64 MiB and 120 megapixels.

    Raises:
        InputError: if the file is missing, too large, no picture, damaged or cut off.

    Example:
        >>> load_photograph(Path("seven.jpg")).pixels.shape  # doctest: +SKIP
        (3024, 4032)
    """
    return _load(path, "L")


def load_colours(path: Path, side_px: int) -> np.ndarray:
    """Load a colour photograph and stretch it into a square, as models for photographs take it.

    Returns:
        uint8 (side_px, side_px, 3): red, green and blue, upright; a grey picture has three equal channels. All else is
        as in `load_photograph`.
    """
    return _load(path, "RGB", side_px).pixels


def _load(path: Path, mode: Literal["L", "RGB"], side_px: int | None = None) -> Photograph:
    """Load in grey or in colours, and stretch into a square of `side_px` if that is given."""
    Image = require("PIL.Image", "vision")
    with open_picture(path) as image:
        notes = []
        named = Image.registered_extensions().get(path.suffix.lower(), image.format)
        if named != image.format and (named, image.format) != ("JPEG", "MPO"):  # which phones name .jpg
            notes.append(f"it is a {image.format} image under the ending {path.suffix}")
        if getattr(image, "is_animated", False):
            notes.append("only the first of its pictures is read")
        # A JPEG stores its luma, which takes a quarter of the memory and no detour by RGB; and it can be decoded at a
        # half, a quarter or an eighth of its size.
        image.draft(mode, (side_px, side_px) if side_px else None)
        _decode(image)
        picture = _convert(image, mode, notes)
        if side_px:
            picture = picture.resize((side_px, side_px), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
        return Photograph(np.array(_turn_upright(picture, notes)), tuple(notes))


@contextlib.contextmanager
def open_picture(path: Path) -> Iterator["Image"]:
    """Open a picture whose header has been read, whose pixels have not, and of which neither takes long.

    Whatever Pillow raises inside becomes an InputError; what it only warns of is ignored.

    Raises:
        InputError: if the file is missing, too large, no picture, damaged or cut off.
    """
    Image = require("PIL.Image", "vision")
    content = _read_picture_file(path)
    try:
        with _own_settings(Image):
            _check_before_opening(path, content)
            formats = FORMATS if STARTS.match(content) else ("HEIF",)
            with Image.open(io.BytesIO(content), formats=formats) as image:
                _check_before_decoding(path, content, image)
                yield image
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError("photos.too_large", path=path, received="too many", limit=MAX_PIXELS) from error
    except MemoryError as error:
        raise InputError("photos.memory", path=path) from error
    except Image.UnidentifiedImageError as error:
        raise InputError("photos.damaged", path=path, received="its header cannot be read") from error
    except DAMAGE as error:
        fault = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError("photos.damaged", path=path, received=fault) from error


def _read_picture_file(path: Path) -> bytes:
    """Read a whole file that begins as a picture does which Pillow may open."""
    try:
        content = read_bytes(path, MAX_BYTES)
    except InputError as error:
        if error.code == "io.too_long":
            error.with_remedy("Save the picture smaller.")
        raise
    if not content:
        raise InputError("photos.empty", path=path)
    if not STARTS.match(content) and not (re.match(HEIC, content, re.DOTALL) and _reads_heic()):
        head = content[:HEAD_BYTES]
        kinds = (kind for start, kind in OTHER_KINDS.items() if re.match(start, head, re.DOTALL))
        kind = next(kinds, f"a file that begins with {content[:4].hex(' ')}")
        raise InputError("photos.format", path=path, received=kind)
    return content


@functools.cache
def _reads_heic() -> bool:
    """Whether Pillow can read HEIC, as phones write it: by a package that is no dependency, for libheif is LGPL."""
    try:
        pillow_heif = importlib.import_module("pillow_heif")
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


def _check_before_opening(path: Path, content: bytes) -> None:
    """Refuse what would take too much memory or time when Pillow reads the header; ValueError means damage."""
    if content.startswith(b"\x89PNG"):
        _check_chunks(path, content)
    elif content.startswith((b"II", b"MM")):
        _check_tags(path, content)
    elif content.startswith(b"P") and not PPM_HEADER.match(content[:HEAD_BYTES]):
        raise ValueError("its header does not end")
    elif content.startswith(b"\xff\xd8"):
        if next(itertools.islice(SEGMENTS.finditer(content), MAX_SEGMENTS, None), None):
            raise InputError("photos.costly", path=path, received=f"more than {MAX_SEGMENTS} JPEG segments")
        if content.count(b"Exif\0\0") > MAX_EXIF_SEGMENTS:
            raise InputError("photos.costly", path=path, received=f"more than {MAX_EXIF_SEGMENTS} EXIF segments")


@contextlib.contextmanager
def _own_settings(Image: Any) -> Iterator[None]:
    """Inside, no warnings and `_pillow_limits`; the last thread that leaves restores what the first one found."""
    global _open_pictures
    with _settings:
        if not _open_pictures:
            _settings_before.enter_context(warnings.catch_warnings(action="ignore"))
            _settings_before.enter_context(_pillow_limits(Image))
        _open_pictures += 1
    try:
        yield
    finally:
        with _settings:
            _open_pictures -= 1
            if not _open_pictures:
                _settings_before.close()


@contextlib.contextmanager
def _pillow_limits(Image: Any) -> Iterator[None]:
    """Inside, Pillow's global settings are ours, whatever a notebook has set: limit of size, no half pictures."""
    from PIL import ImageFile

    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = MAX_PIXELS, False
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def _check_before_decoding(path: Path, content: bytes, image: Any) -> None:
    """Refuse what would take too much memory or time when Pillow decodes the pixels; ValueError means damage."""
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise InputError("photos.too_large", path=path, received=f"{width} x {height}", limit=MAX_PIXELS)
    codec, extents = (image.tile[0][0], image.tile[-1][1]) if image.tile else ("", (0, 0, width, height))
    comments = content.count(b"#") if codec == "ppm_plain" else 0
    if (codec in SLOW_CODECS and max(len(content), width * height) > MAX_SLOW_BYTES) or comments > MAX_COMMENTS:
        raise InputError("photos.costly", path=path, received="an encoding that takes minutes to decode")
    # In a JPEG's packed pixels no byte follows FF but 0 and the marks of restarts, so FF DA is the start of a scan.
    scans = content.count(b"\xff\xda") if image.format in ("JPEG", "MPO") else 0
    if scans * width * height > MAX_SCAN_PIXELS:
        raise InputError("photos.costly", path=path, received=f"{scans} JPEG scans")
    if image.format == "TIFF":
        if image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1:
            raise InputError("photos.preview", path=path)
        if codec == "raw" and extents[2] * extents[3] != width * height:
            raise ValueError("some of its strips are missing")


def _check_chunks(path: Path, content: bytes) -> None:
    """Check a PNG's checksums and the number of its chunks.

    `Image.verify` checks the same checksums, but only after Pillow has kept millions of empty chunks in memory, and
    the file must be opened again after it.
    """
    view, place, kind = memoryview(content), 8, b""
    for _ in range(MAX_CHUNKS):
        if kind == b"IEND":
            return
        start, place = place, place + 12
        if place <= len(content):
            length, kind = struct.unpack_from(">I4s", content, start)
            place += length
        if place > len(content):
            raise ValueError("it is cut off")
        if zlib.crc32(view[start + 4 : place - 4]) != int.from_bytes(view[place - 4 : place]):
            raise ValueError(f"the checksum of its chunk {ascii(kind)[2:-1]} is wrong")
    raise InputError("photos.costly", path=path, received=f"more than {MAX_CHUNKS} PNG chunks")


def _check_tags(path: Path, content: bytes) -> None:
    """Refuse a TIFF whose tags would fill the memory."""
    order: Literal["little", "big"] = "little" if content.startswith(b"II") else "big"
    entry = struct.Struct("<HHII" if order == "little" else ">HHII")
    places = {0: int.from_bytes(content[4:8], order)}
    for directory in (0, *SUB_DIRECTORIES):
        place = places.get(directory, len(content))
        entries = content[place + 2 : place + 2 + entry.size * int.from_bytes(content[place : place + 2], order)]
        for tag, kind, count, value in entry.iter_unpack(entries[: len(entries) // entry.size * entry.size]):
            # A tag that claims more values than the file has bytes is passed over by Pillow.
            if MAX_TAG_VALUES < count <= len(content) and kind not in BYTE_TYPES:
                raise InputError("photos.costly", path=path, received=f"a TIFF tag {tag} of {count} values")
            places.setdefault(tag, value)


def _decode(image: Any) -> None:
    """Decode the pixels, and keep libtiff, which writes to the process's standard error by itself, quiet."""
    if image.format != "TIFF":
        image.load()
        return
    with _standard_error:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            image.load()
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), 2)
            image.load()
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def _convert(image: "Image", mode: Literal["L", "RGB"], notes: list[str]) -> "Image":
    """Eight bits of grey or of each colour, transparent parts on white; what was assumed is added to the notes."""
    from PIL import Image

    if image.mode == "F" or image.mode.startswith("I"):
        return _scale_to_8_bits(image, notes).convert(mode)
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    opacity = image.getchannel("A")
    shade = "white"
    if opacity.getextrema()[0] != 255:
        shade = _choose_paper(np.asarray(image.convert("L")), np.asarray(opacity))
        notes.append(CLEAR if shade == "white" else CLEAR_DARK)
    paper = Image.new(mode, image.size, shade)
    paper.paste(image.convert(mode), mask=opacity)
    paper.info = image.info
    return paper


def _choose_paper(grey: np.ndarray, opacity: np.ndarray) -> Literal["white", "black"]:
    """White behind transparent parts, but black if nearly all that is seen is light: strokes for a dark page."""
    seen = grey[opacity > MIDDLE_GREY]
    is_light = (
        len(seen) > 0
        and np.percentile(seen, 10) > MIDDLE_GREY
        and np.ptp(np.percentile(seen, (10, 90))) < MIDDLE_GREY / 2
    )
    return "black" if is_light else "white"


def _scale_to_8_bits(image: Any, notes: list[str]) -> "Image":
    """Scale pixels of more than eight bits by the range of their type; Pillow's own conversion would clip them."""
    from PIL import Image

    tags = getattr(image, "tag_v2", {})
    bits, sample_format = tags.get(BITS_PER_SAMPLE, (16,))[0], tags.get(SAMPLE_FORMAT, (1,))[0]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if sample_format == SIGNED else (0, (1 << bits) - 1)
    values = np.asarray(image)
    if (image.mode, bits) == ("I", 32) and sample_format != SIGNED:
        values = values.view(np.uint32)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise ValueError("some of its pixels are NaN or infinite")
        if low >= 0 and high <= 1:
            low, high = 0, 1
        else:
            notes.append(f"its floats are stretched: {low:g} is taken as black, {high:g} as white")
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # which Pillow heeds up to eight bits only
        low, high = high, low
    shares = values.astype(np.float32)  # in place from here on: 120 megapixels take 480 MB
    shares -= low
    shares *= 255 / ((high - low) or 1)  # one shade only: no range
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        notes.append(CLEAR)
        shares[values == transparent] = 255
    grey = Image.fromarray(np.rint(shares, out=shares).astype(np.uint8))
    grey.info = image.info
    return grey


def _turn_upright(image: "Image", notes: list[str]) -> "Image":
    """Apply the orientation of EXIF, or else that of XMP; Pillow has applied a TIFF's when it decoded the pixels."""
    from PIL import Image, ImageOps

    try:
        content = image.info.get("exif") or b""  # None in HEIC
        if len(content) > MAX_EXIF_BYTES:
            raise ValueError("too long")
        Image.Exif().load(content)  # raises what getexif, called when a JPEG was opened, keeps to itself
        upright = ImageOps.exif_transpose(image)
    except DAMAGE:
        notes.append("its EXIF is damaged, so it is taken as upright")
        return image
    if image.getexif().get(ORIENTATION) in TURNED:
        notes.append("it is turned as its EXIF says")
    return upright
