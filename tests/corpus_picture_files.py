"""Cases of the corpus: files that `load_photograph` refuses, each built here, with the code of the error expected."""

import struct
import zlib

import numpy as np
from corpus_photographs import LARGE, PAGE, pack_chunk, pack_png, pack_tiff, save
from PIL import Image

DAMAGED, TOO_LARGE, COSTLY = "photos.damaged", "photos.too_large", "photos.costly"
MANY = 1 << 18
PNG, JPEG = save(LARGE, "PNG"), save(LARGE, "JPEG")


def repeat_scans(content, times):
    """A progressive JPEG whose last scan stands there `times` more."""
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * times + content[-2:]


def blank_out(content, start, end):
    return content[:start] + bytes(end - start) + content[end:]


# Name, content, code of the error.
REFUSED = [
    ("nothing", b"", "photos.empty"),
    *((f"no image: {name}", content, "photos.format") for name, content in (
        ("text", b"four"),
        ("one byte", b"\0"),
        *((f"HEIC {brand}", b"\0\0\0\x18ftyp" + brand.encode() + bytes(99))
          for brand in ("heic", "heix", "mif1", "msf1", "hevc")),
        ("AVIF", save(LARGE, "AVIF")),
        ("a video", b"\0\0\0\x18ftypqt  " + bytes(99)),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("SVG in XML", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<svg/>"),
        ("PDF", b"%PDF-1.7\n"),
        ("EPS", save(LARGE, "EPS")),
        ("HTML", b"\n<!DOCTYPE HTML>\n<title>Log in</title>"),
        ("zip", b"PK\x03\x04" + bytes(99)),
        ("BigTIFF", save(LARGE, "TIFF", big_tiff=True)),
        ("TGA", save(LARGE, "TGA")),
        ("JPEG 2000", save(LARGE, "JPEG2000")),
        ("an icon", save(LARGE, "ICO")),
    )),
    *((f"a bare start: {start!r}", start, DAMAGED)
      for start in (b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0*")),
    ("a bare start of a PNG", b"\x89PNG\r\n\x1a\n", DAMAGED),
    ("a bare start of a PPM", b"P5\n", DAMAGED),
    *((f"a PNG of {place} bytes", PNG[:place], DAMAGED) for place in (20, 40, 5000, len(PNG) - 12, len(PNG) - 1)),
    ("a JPEG cut", JPEG[: len(JPEG) // 2], DAMAGED),
    ("a JPEG without its end", JPEG[:-2], DAMAGED),
    *((f"{form} cut", content[: len(content) // 2], DAMAGED) for form, content in (
        *((form, save(LARGE, form)) for form in ("GIF", "BMP", "PPM", "WEBP", "TIFF")),
        ("a progressive JPEG", save(LARGE, "JPEG", progressive=True)),
    )),
    ("a fax cut", save(LARGE.convert("1"), "TIFF", compression="group4")[:-9], DAMAGED),
    ("a TIFF by LZW cut", save(LARGE, "TIFF", compression="tiff_lzw")[:9000], DAMAGED),
    ("a TIFF by LZW emptied", blank_out(save(LARGE, "TIFF", compression="tiff_lzw"), 3000, 9000),
     DAMAGED),
    ("a PNG with a flipped bit", PNG[:5000] + bytes([PNG[5000] ^ 1]) + PNG[5001:],
     DAMAGED),
    ("a PNG without pixels", pack_png(4, 3, data=b""),
     DAMAGED),
    ("a PNG of no width", pack_png(0, 3), DAMAGED),
    ("a TIFF without its last strips", pack_tiff(PAGE.tobytes(), 4, 3, 8, t278=1),
     DAMAGED),
    ("a TIFF of NaN", pack_tiff(np.float32([0, np.nan]).tobytes(), 2, 1, 32, t339=3),
     DAMAGED),
    ("a TIFF of infinity", pack_tiff(np.float32([0, np.inf]).tobytes(), 2, 1, 32, t339=3),
     DAMAGED),
    ("a TIFF of LAB", save(LARGE.convert("RGB").convert("YCbCr"), "TIFF").replace(
        struct.pack("<HHIHxx", 262, 3, 1, 6), struct.pack("<HHIHxx", 262, 3, 1, 8)),
     DAMAGED),
    ("a raw photograph's preview", pack_tiff(PAGE.tobytes(), 4, 3, 8, t254=1),
     "photos.preview"),
    ("a bomb of 121 megapixels", pack_png(11_000, 11_000), TOO_LARGE),
    ("a bomb of a long side", pack_png(1, 65_536), TOO_LARGE),
    ("a bomb of a GIF", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\x02\x02D\1\0;",
     TOO_LARGE),
    ("a bomb of 4 thousand million pixels", pack_png(1 << 16, 1 << 16),
     TOO_LARGE),
    ("a bomb of a PPM", b"P5 99999 99999 255\n", TOO_LARGE),
    *((f"a bomb in {kind.decode()}", pack_png(1, 1, pack_chunk(kind, start + zlib.compress(bytes(2 << 20)))),
       DAMAGED)
      for kind, start in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0"))),
    ("a PNG of 70,000 parts", pack_png(1, 1, pack_chunk(b"abCd") * 70_000),
     COSTLY),
    ("a TIFF of many strips", pack_tiff(bytes(4 * MANY), 4, 3, 8, [(273, 4, MANY, 8)]),
     COSTLY),
    ("a TIFF of many bit depths in its EXIF", pack_tiff(
        struct.pack("<HHHIII", 1, 258, 3, MANY, 8, 0) + bytes(2 * MANY), 4, 3, 8, [(34665, 4, 1, 8)]),
     COSTLY),
    ("a TIFF whose strips are said to be more than its bytes", pack_tiff(PAGE.tobytes(), 4, 3, 8, [(273, 4, MANY, 8)]),
     DAMAGED),
    ("a JPEG of 20 EXIF segments", JPEG[:2] + b"\xff\xe1\0\x08Exif\0\0" * 20 + JPEG[2:],
     COSTLY),
    ("a JPEG of 2,000 scans", repeat_scans(save(Image.new("L", (4000, 4000)), "JPEG", progressive=True), 2000),
     COSTLY),
    ("a JPEG of 70,000 segments", JPEG[:2] + b"\xff\xfe\0\2" * 70_000 + JPEG[2:],
     COSTLY),
    ("a PGM whose header is a comment", b"P2 3 1 #" + bytes(5000) + b"\n9 1 2 3\n",
     DAMAGED),
    ("a PGM of comments", b"P2 3 1 9 " + b"#\n" * 1001 + b"1 2 3\n", COSTLY),
    ("a PGM of an odd white", b"P5 9000 1000 254\n", COSTLY),
    ("a TIFF of 99 samples", pack_tiff(PAGE.tobytes(), 4, 3, 8, t277=99), DAMAGED),
]  # fmt: skip
