"""Cases of the corpus: files that `load_photograph` refuses, each built here, with the line expected."""

import struct
import zlib

import numpy as np
from corpus_photographs import LARGE, PAGE, pack_chunk, pack_png, pack_tiff, save
from PIL import Image

WHOLE = "{path} must be a whole picture, but "
AGAIN = ": copy it again, or save it as PNG."
HEADER = f"{WHOLE}its header is damaged: copy it again."
KIND = "{path} must be a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, but "
TOO_LARGE = "{path} must have 120000000 pixels and sides of 65535 at most, but is "
SMALLER = ": save it smaller."
MANY = 1 << 18
PNG, JPEG = save(LARGE, "PNG"), save(LARGE, "JPEG")
SLOW = "{path} must be quick to unpack, but this takes minutes: save it as PNG."
CUT = f"{WHOLE}it is cut off{AGAIN}"


def repeat_scans(content, times):
    """A progressive JPEG whose last scan stands there `times` more."""
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * times + content[-2:]


def blank_out(content, start, end):
    return content[:start] + bytes(end - start) + content[end:]


# Name, content, line. In a line, ‹› stands for any text: numbers of bytes that depend on a library's version.
REFUSED = [
    ("nothing", b"", "{path} must be a photograph, but is empty: copy it again."),
    *((f"no image: {name}", content, KIND + line) for name, content, line in (
        ("text", b"four", "begins with 66 6f 75 72: save it as PNG or JPEG."),
        ("one byte", b"\0", "begins with 00: save it as PNG or JPEG."),
        *((f"HEIC {brand}", b"\0\0\0\x18ftyp" + brand.encode() + bytes(99),
           "is a HEIC photograph: export it as JPEG, or set the phone's camera to Most Compatible.")
          for brand in ("heic", "heix", "mif1", "msf1", "hevc")),
        ("AVIF", save(LARGE, "AVIF"), "is an AVIF image: save it as PNG or JPEG."),
        ("a video", b"\0\0\0\x18ftypqt  " + bytes(99), "is a video: save one frame of it as PNG."),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>",
         "is an SVG drawing, which is no photograph: export it as PNG."),
        ("SVG in XML", b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<svg/>",
         "is an SVG drawing, which is no photograph: export it as PNG."),
        ("PDF", b"%PDF-1.7\n", "is a PDF document, which is no photograph: export the page as PNG."),
        ("EPS", save(LARGE, "EPS"), "is a PostScript drawing, which is no photograph: export it as PNG."),
        ("HTML", b"\n<!DOCTYPE HTML>\n<title>Log in</title>", "is a web page: save the picture itself."),
        ("zip", b"PK\x03\x04" + bytes(99), "is an archive: unpack it."),
        ("BigTIFF", save(LARGE, "TIFF", big_tiff=True), "is a BigTIFF, made for files of more than 4 GB: ‹›"),
        ("TGA", save(LARGE, "TGA"), "begins with 00 00 02 00: save it as PNG or JPEG."),
        ("JPEG 2000", save(LARGE, "JPEG2000"), "begins with 00 00 00 0c: save it as PNG or JPEG."),
        ("an icon", save(LARGE, "ICO"), "begins with 00 00 01 00: save it as PNG or JPEG."),
    )),
    *((f"a bare start: {start!r}", start, HEADER)
      for start in (b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0*")),
    ("a bare start of a PNG", b"\x89PNG\r\n\x1a\n", CUT),
    ("a bare start of a PPM", b"P5\n", f"{WHOLE}its header does not end{AGAIN}"),
    *((f"a PNG of {place} bytes", PNG[:place], CUT) for place in (20, 40, 5000, len(PNG) - 12, len(PNG) - 1)),
    ("a JPEG cut", JPEG[: len(JPEG) // 2], f"{WHOLE}image file is truncated (‹› bytes not processed){AGAIN}"),
    ("a JPEG without its end", JPEG[:-2], f"{WHOLE}image file is truncated (‹› bytes not processed){AGAIN}"),
    *((f"{form} cut", content[: len(content) // 2], f"{WHOLE}‹›{AGAIN}") for form, content in (
        *((form, save(LARGE, form)) for form in ("GIF", "BMP", "PPM", "WEBP", "TIFF")),
        ("a progressive JPEG", save(LARGE, "JPEG", progressive=True)),
    )),
    ("a fax cut", save(LARGE.convert("1"), "TIFF", compression="group4")[:-9], f"{WHOLE}decoder error -2{AGAIN}"),
    ("a TIFF by LZW cut", save(LARGE, "TIFF", compression="tiff_lzw")[:9000], HEADER),
    ("a TIFF by LZW emptied", blank_out(save(LARGE, "TIFF", compression="tiff_lzw"), 3000, 9000),
     f"{WHOLE}decoder error -2{AGAIN}"),
    ("a PNG with a flipped bit", PNG[:5000] + bytes([PNG[5000] ^ 1]) + PNG[5001:],
     f"{WHOLE}the checksum of its part IDAT is wrong{AGAIN}"),
    ("a PNG without pixels", pack_png(4, 3, data=b""),
     f"{WHOLE}image file is truncated (0 bytes not processed){AGAIN}"),
    ("a PNG of no width", pack_png(0, 3), HEADER),
    ("a TIFF without its last strips", pack_tiff(PAGE.tobytes(), 4, 3, 8, t278=1),
     f"{WHOLE}some of its strips are missing{AGAIN}"),
    ("a TIFF of NaN", pack_tiff(np.float32([0, np.nan]).tobytes(), 2, 1, 32, t339=3),
     f"{WHOLE}some of its floats are no finite numbers{AGAIN}"),
    ("a TIFF of infinity", pack_tiff(np.float32([0, np.inf]).tobytes(), 2, 1, 32, t339=3),
     f"{WHOLE}some of its floats are no finite numbers{AGAIN}"),
    ("a TIFF of LAB", save(LARGE.convert("RGB").convert("YCbCr"), "TIFF").replace(
        struct.pack("<HHIHxx", 262, 3, 1, 6), struct.pack("<HHIHxx", 262, 3, 1, 8)),
     f"{WHOLE}conversion from LAB to RGB not supported{AGAIN}"),
    ("a raw photograph's preview", pack_tiff(PAGE.tobytes(), 4, 3, 8, t254=1),
     "{path} must begin with its picture, but begins with a preview of it: export it as JPEG."),
    ("a bomb of 121 megapixels", pack_png(11_000, 11_000), f"{TOO_LARGE}11000 x 11000{SMALLER}"),
    ("a bomb of a long side", pack_png(1, 65_536), f"{TOO_LARGE}1 x 65536{SMALLER}"),
    ("a bomb of a GIF", b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\x02\x02D\1\0;",
     "{path} must have 120000000 pixels at most, but has more: save it smaller."),
    ("a bomb of 4 thousand million pixels", pack_png(1 << 16, 1 << 16),
     "{path} must have 120000000 pixels at most, but has more: save it smaller."),
    ("a bomb of a PPM", b"P5 99999 99999 255\n", f"‹› 120000000 pixels at most, but has more{SMALLER}"),
    *((f"a bomb in {kind.decode()}", pack_png(1, 1, pack_chunk(kind, start + zlib.compress(bytes(2 << 20)))),
       f"{WHOLE}Decompressed data too large for PngImagePlugin.MAX_TEXT_CHUNK{AGAIN}")
      for kind, start in ((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0"))),
    ("a PNG of 70,000 parts", pack_png(1, 1, pack_chunk(b"abCd") * 70_000),
     "{path} must have fewer than 65536 parts, but has more: save it anew as PNG."),
    ("a TIFF of many strips", pack_tiff(bytes(4 * MANY), 4, 3, 8, [(273, 4, MANY, 8)]),
     "{path} must have sane tags, but its tag 273 has 262144 values: save it as PNG."),
    ("a TIFF of many bit depths in its EXIF", pack_tiff(
        struct.pack("<HHHIII", 1, 258, 3, MANY, 8, 0) + bytes(2 * MANY), 4, 3, 8, [(34665, 4, 1, 8)]),
     "{path} must have sane tags, but its tag 258 has 262144 values: save it as PNG."),
    ("a TIFF whose strips are said to be more than its bytes", pack_tiff(PAGE.tobytes(), 4, 3, 8, [(273, 4, MANY, 8)]),
     HEADER),
    ("a JPEG of 20 EXIF segments", JPEG[:2] + b"\xff\xe1\0\x08Exif\0\0" * 20 + JPEG[2:],
     "{path} must have one EXIF segment, but has over 16: save it as PNG."),
    ("a JPEG of 2,000 scans", repeat_scans(save(Image.new("L", (4000, 4000)), "JPEG", progressive=True), 2000),
     "{path} must have a JPEG's few scans, but has ‹›: save it as PNG."),
    ("a JPEG of 70,000 segments", JPEG[:2] + b"\xff\xfe\0\2" * 70_000 + JPEG[2:],
     "{path} must have 65536 segments at most, but has more: save it as PNG."),
    ("a PGM whose header is a comment", b"P2 3 1 #" + bytes(5000) + b"\n9 1 2 3\n",
     f"{WHOLE}its header does not end{AGAIN}"),
    ("a PGM of comments", b"P2 3 1 9 " + b"#\n" * 1001 + b"1 2 3\n", SLOW),
    ("a PGM of an odd white", b"P5 9000 1000 254\n", SLOW),
    ("a TIFF of 99 samples", pack_tiff(PAGE.tobytes(), 4, 3, 8, t277=99), HEADER),
]  # fmt: skip
