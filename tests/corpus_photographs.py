"""Cases of the corpus: pictures given to `load_photograph`, each built here, with the line or the pixels expected."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PAGE = np.array([[0, 40, 80, 120], [255, 200, 90, 10], [30, 60, 70, 250]], np.uint8)  # no two turns of it are alike
GREY = Image.fromarray(PAGE)
LARGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8))
INK = np.array([[0, 255], [255, 128]], np.uint8)  # black ink of these opacities,
ON_PAPER = 255 - INK  # laid on white
DRAWING = Image.merge("LA", [Image.new("L", (2, 2), 0), Image.fromarray(INK)])
EXIF_TURNS = [  # where the first row and the first column lie, as the EXIF standard says it of values 1 to 8
    PAGE, np.fliplr(PAGE), np.rot90(PAGE, 2), np.flipud(PAGE),
    np.transpose(PAGE), np.rot90(PAGE, -1), np.rot90(np.transpose(PAGE), 2), np.rot90(PAGE),
]  # fmt: skip


def save(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def mark_orientation(value):
    exif = Image.Exif()
    exif[274] = value
    return exif


def pack_chunk(kind, content=b""):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def pack_png(width, height, *chunks, bits=8, colour=0, data=b"\0"):
    """A PNG by hand; `data` may be less than its header claims."""
    header = pack_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    body = pack_chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + body + pack_chunk(b"IEND")


def pack_tiff(data, width, height, bits, more=(), order="<", **tags):
    """An unpacked grey TIFF by hand; `more` holds whole entries of tag, type, count and value."""
    values = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(data)}
    values |= {int(name[1:]): value for name, value in tags.items()}
    entries = [(tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in values.items()]
    entries = {entry[0]: entry for entry in [*entries, *more]}
    packed = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in sorted(entries.values()):
        form = "HHIHxx" if kind == 3 and count == 1 else "HHII"
        packed += struct.pack(order + form, tag, kind, count, value)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(data))
    return start + data + packed + bytes(4)


def repeat_scans(content, times):
    """A progressive JPEG whose last scan stands there `times` more."""
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * times + content[-2:]


def pack_gif(frames):
    """A GIF of many frames, of which only the first is black."""
    one = save(Image.new("P", (4, 3), 0), "GIF")
    start = one.index(b",")
    return one[:start] + one[start:-1] * frames + b";"


def animate(form, frames, **options):
    pages = [Image.fromarray(np.roll(PAGE, n, 1)).convert("RGB") for n in range(frames)]
    return save(pages[0], form, save_all=True, append_images=pages[1:], **options)


def drop_marker(content, marker):
    """A JPEG without the first segment of that marker."""
    start = content.index(marker)
    return content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4]) :]


WIDE = np.array([[0, 256, 32768, 65535]], np.uint16)
EIGHT = np.array([[0, 1, 128, 255]], np.uint8)  # the same, rounded
FLOATS = np.array([[0, 0.25, 0.5, 1]], np.float32)
SHARES = np.array([[0, 64, 128, 255]], np.uint8)
RED = Image.new("RGB", (2, 2), (255, 0, 0))
SEVERAL = "it holds several pictures: the first was read"
CLEAR = "its transparent parts were laid on white"
TURNED = "it was turned as its EXIF says"
BAD_EXIF = "its EXIF is damaged: it was taken as upright"
BLACK = np.zeros((3, 4), np.uint8)
PALETTE = Image.new("P", (2, 1))
PALETTE.putpalette([0, 0, 0, 10, 20, 30])
PALETTE.putpixel((1, 0), 1)
LUMA = np.array([[0, 18]], np.uint8)  # 0.299 x 10 + 0.587 x 20 + 0.114 x 30

# Name, ending, content, expected pixels, how far off a lossy format may be, notes.
READ = [
    *((f"grey {form}", end, save(GREY, form), PAGE, 0, ()) for form, end in
      (("PNG", "png"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif"), ("PPM", "pgm"))),
    ("grey JPEG", "jpg", save(GREY, "JPEG", quality=100), PAGE, 3, ()),
    ("grey WebP", "webp", save(GREY, "WEBP", lossless=True), PAGE, 0, ()),
    *((f"TIFF by {how}", "tif", save(GREY, "TIFF", compression=how), PAGE, 0, ())
      for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
    ("progressive JPEG", "jpg", save(GREY, "JPEG", quality=100, progressive=True), PAGE, 3, ()),
    ("colours", "png", save(RED, "PNG"), np.full((2, 2), 76, np.uint8), 0, ()),
    ("colours in a JPEG", "jpg", save(RED, "JPEG", quality=100), np.full((2, 2), 76, np.uint8), 1, ()),
    ("a JPEG stored as RGB", "jpg", save(RED, "JPEG", quality=100, keep_rgb=True), np.full((2, 2), 76), 1, ()),
    ("CMYK", "tif", save(RED.convert("CMYK"), "TIFF"), np.full((2, 2), 76), 1, ()),
    ("Adobe's inverted CMYK", "jpg", save(RED.convert("CMYK"), "JPEG", quality=100), np.full((2, 2), 76), 2, ()),
    ("CMYK unmarked", "jpg", drop_marker(save(RED.convert("CMYK"), "JPEG", quality=100), b"\xff\xee"),
     np.full((2, 2), 76), 2, ()),
    *((f"EXIF {n} in {form}", end, save(GREY, form, exif=mark_orientation(n), **options), EXIF_TURNS[n - 1], 3,
       () if n == 1 else (TURNED,))
      for n in range(1, 9)
      for form, end, options in (("JPEG", "jpg", {"quality": 100}), ("PNG", "png", {}),
                                 ("WEBP", "webp", {"lossless": True}))),
    *((f"orientation {n} in TIFF", "tif", save(GREY, "TIFF", tiffinfo={274: n}), EXIF_TURNS[n - 1], 0, ())
      for n in range(1, 9)),
    ("EXIF 9", "png", save(GREY, "PNG", exif=mark_orientation(9)), PAGE, 0, ()),
    *((f"EXIF that is {name}", "png", save(GREY, "PNG", exif=b"Exif\0\0" + exif), PAGE, 0, notes)
      for name, exif, notes in (("noise", b"\xa5" * 40, (BAD_EXIF,)), ("cut", b"MM\0*\0\0\0\x08\0\x05\x01\x12", ()),
                                ("far too long", bytes(1 << 20), (BAD_EXIF,)))),
    ("EXIF that is noise in a JPEG", "jpg", save(GREY, "JPEG", quality=100, exif=b"Exif\0\0" + b"\xa5" * 40), PAGE, 3,
     (BAD_EXIF,)),
    *((f"black ink on transparency, {mode} in {form}", end, save(DRAWING.convert(mode), form, **options), ON_PAPER, 1,
       (CLEAR,))
      for mode, form, end, options in (("LA", "PNG", "png", {}), ("RGBA", "PNG", "png", {}), ("LA", "TIFF", "tif", {}),
                                       ("RGBA", "WEBP", "webp", {"lossless": True}), ("RGBA", "TIFF", "tif", {}))),
    ("opaque RGBA", "png", save(GREY.convert("RGBA"), "PNG"), PAGE, 0, ()),
    ("a palette", "png", save(PALETTE, "PNG"), LUMA, 0, ()),
    ("a palette with a clear colour", "png", save(PALETTE, "PNG", transparency=0), [[255, 18]], 0, (CLEAR,)),
    ("a palette with opacities", "png", save(PALETTE, "PNG", transparency=b"\x80\xff"), [[127, 18]], 0, (CLEAR,)),
    ("a GIF with a clear colour", "gif", save(PALETTE, "GIF", transparency=0), [[255, 18]], 0, (CLEAR,)),
    ("a clear grey", "png", save(GREY, "PNG", transparency=0), np.where(PAGE == 0, 255, PAGE), 0, (CLEAR,)),
    ("a clear grey of 16 bits", "png",
     pack_png(4, 1, pack_chunk(b"tRNS", b"\1\0"), bits=16, data=b"\0" + WIDE.astype(">u2").tobytes()),
     [[0, 255, 128, 255]], 0, (CLEAR,)),
    ("a clear red", "png", save(RED, "PNG", transparency=(255, 0, 0)), np.full((2, 2), 255), 0, (CLEAR,)),
    ("one bit", "png", save(Image.fromarray(PAGE > 75), "PNG"), np.where(PAGE > 75, 255, 0), 0, ()),
    ("a fax", "tif", save(Image.fromarray(PAGE > 75), "TIFF", compression="group4"), np.where(PAGE > 75, 255, 0), 0,
     ()),
    ("16-bit PNG", "png", save(Image.fromarray(WIDE), "PNG"), EIGHT, 0, ()),
    ("16-bit PGM", "pgm", b"P5 4 1 65535 " + WIDE.astype(">u2").tobytes(), EIGHT, 0, ()),
    ("10-bit PGM", "pgm", b"P5 2 1 1023 \0\0\3\xff", [[0, 255]], 0, ()),
    ("PGM as text", "pgm", b"P2 # by hand\n3 1 9\n0 9 3", [[0, 255, 85]], 0, ()),
    ("16-bit TIFF", "tif", save(Image.fromarray(WIDE), "TIFF"), EIGHT, 0, ()),
    ("16-bit TIFF by LZW", "tif", save(Image.fromarray(WIDE), "TIFF", compression="tiff_lzw"), EIGHT, 0, ()),
    ("16-bit TIFF, high byte first", "tif", pack_tiff(WIDE.astype(">u2").tobytes(), 4, 1, 16, order=">"), EIGHT, 0, ()),
    ("16-bit TIFF, white is zero", "tif", pack_tiff(WIDE.tobytes(), 4, 1, 16, t262=0), 255 - EIGHT, 1, ()),
    ("8-bit TIFF, white is zero", "tif", pack_tiff(PAGE.tobytes(), 4, 3, 8, t262=0), 255 - PAGE, 0, ()),
    ("signed 16-bit TIFF", "tif", pack_tiff((WIDE ^ 32768).tobytes(), 4, 1, 16, t339=2), EIGHT, 0, ()),
    ("12-bit TIFF", "tif", pack_tiff(b"\x00\x0f\xff\x80\x00\x10", 4, 1, 12), [[0, 255, 128, 1]], 0, ()),
    ("32-bit TIFF", "tif", pack_tiff((WIDE * np.uint32(65537)).tobytes(), 4, 1, 32), EIGHT, 0, ()),
    ("float TIFF", "tif", save(Image.fromarray(FLOATS), "TIFF"), SHARES, 0, ()),
    ("float TIFF, white is zero", "tif", pack_tiff(FLOATS.tobytes(), 4, 1, 32, t339=3, t262=0), 255 - SHARES, 1, ()),
    ("float TIFF beyond 1", "tif", save(Image.fromarray(FLOATS * 900 - 100), "TIFF"), SHARES, 0,
     ("its floats were stretched from -100 = black to 800 = white",)),
    ("1x1", "png", save(Image.new("L", (1, 1), 7), "PNG"), [[7]], 0, ()),
    ("blank", "png", save(Image.new("L", (4, 3), 255), "PNG"), 255 - BLACK, 0, ()),
    ("white on black", "png", save(Image.fromarray(255 - PAGE), "PNG"), 255 - PAGE, 0, ()),
    ("noise and several digits", "png", save(LARGE.convert("L"), "PNG"), np.array(LARGE.convert("L")), 0, ()),
    ("a GIF of 9,000 frames", "gif", pack_gif(9000), BLACK, 0, (SEVERAL,)),
    ("an animated WebP", "webp", animate("WEBP", 30, lossless=True), PAGE, 0, (SEVERAL,)),
    ("an animated PNG", "png", animate("PNG", 30), PAGE, 0, (SEVERAL,)),
    ("a TIFF of pages", "tif", animate("TIFF", 3), PAGE, 0, (SEVERAL,)),
    ("an MPO", "jpg", animate("MPO", 2, quality=100), PAGE, 6, (SEVERAL,)),
    ("a PNG named as JPEG", "jpg", save(GREY, "PNG"), PAGE, 0, ("it is a PNG image under the ending .jpg",)),
    ("a JPEG named as text", "txt", save(GREY, "JPEG", quality=100), PAGE, 3, ()),
    ("no ending", "", save(GREY, "PNG"), PAGE, 0, ()),
    ("bytes after a JPEG's end", "jpg", save(GREY, "JPEG", quality=100) + b"ftypmp42" * 99, PAGE, 3, ()),
    ("a broken colour profile", "png", save(GREY, "PNG", icc_profile=b"none"), PAGE, 0, ()),
]  # fmt: skip

WHOLE = "{path} must be a whole picture, but "
AGAIN = ": copy it again, or save it as PNG."
HEADER = f"{WHOLE}its header is damaged: copy it again."
KIND = "{path} must be a PNG, JPEG, GIF, BMP, WebP, TIFF or PPM image, but "
TOO_LARGE = "{path} must have 120000000 pixels and sides of 65535 at most, but is "
SMALLER = ": save it smaller."
HUGE_TAG = (273, 4, 1 << 24, 8)
PNG, JPEG = save(LARGE, "PNG"), save(LARGE, "JPEG")
CUT = f"{WHOLE}it is cut off{AGAIN}"

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
    ("a bare start of a PPM", b"P5\n", f"{WHOLE}Reached EOF while reading header{AGAIN}"),
    *((f"a PNG of {place} bytes", PNG[:place], CUT) for place in (20, 40, 5000, len(PNG) - 12, len(PNG) - 1)),
    ("a JPEG cut", JPEG[: len(JPEG) // 2], f"{WHOLE}image file is truncated (‹› bytes not processed){AGAIN}"),
    ("a JPEG without its end", JPEG[:-2], f"{WHOLE}image file is truncated (‹› bytes not processed){AGAIN}"),
    *((f"{form} cut", content[: len(content) // 2], f"{WHOLE}‹›{AGAIN}") for form, content in (
        *((form, save(LARGE, form)) for form in ("GIF", "BMP", "PPM", "WEBP", "TIFF")),
        ("a progressive JPEG", save(LARGE, "JPEG", progressive=True)),
        ("a fax", save(LARGE.convert("1"), "TIFF", compression="group4")),
        ("a TIFF by LZW", save(LARGE, "TIFF", compression="tiff_lzw")),
    )),
    ("a PNG with a flipped bit", PNG[:5000] + bytes([PNG[5000] ^ 1]) + PNG[5001:],
     f"{WHOLE}the checksum of its part IDAT is wrong{AGAIN}"),
    ("a PNG without pixels", pack_png(4, 3, data=b""), f"{WHOLE}image file is truncated{AGAIN}"),
    ("a PNG of no width", pack_png(0, 3), HEADER),
    ("a TIFF without its last strips", pack_tiff(PAGE.tobytes(), 4, 3, 8, t278=1),
     f"{WHOLE}some of its strips are missing{AGAIN}"),
    ("a TIFF of NaN", pack_tiff(np.float32([0, np.nan]).tobytes(), 2, 1, 32, t339=3),
     f"{WHOLE}some of its floats are no finite numbers{AGAIN}"),
    ("a TIFF of infinity", pack_tiff(np.float32([0, np.inf]).tobytes(), 2, 1, 32, t339=3),
     f"{WHOLE}some of its floats are no finite numbers{AGAIN}"),
    ("a TIFF of LAB", save(LARGE.convert("RGB").convert("YCbCr"), "TIFF").replace(
        struct.pack("<HHIHxx", 262, 3, 1, 6), struct.pack("<HHIHxx", 262, 3, 1, 8)),
     f"{WHOLE}conversion from LAB to L not supported{AGAIN}"),
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
    ("a TIFF of 16 million strips", pack_tiff(PAGE.tobytes(), 4, 3, 8, [HUGE_TAG]),
     "{path} must have sane tags, but its tag 273 has 16777216 values: save it as PNG."),
    ("a TIFF of 16 million bit depths in its EXIF", pack_tiff(
        struct.pack("<HHHIII", 1, 258, 3, 1 << 24, 8, 0), 4, 3, 8, [(34665, 4, 1, 8)]),
     "{path} must have sane tags, but its tag 258 has 16777216 values: save it as PNG."),
    ("a JPEG of 20 EXIF segments", JPEG[:2] + b"\xff\xe1\0\x08Exif\0\0" * 20 + JPEG[2:],
     "{path} must have one EXIF segment, but has 16 and more: save it as PNG."),
    ("a JPEG of 2,000 scans", repeat_scans(save(Image.new("L", (4000, 4000)), "JPEG", progressive=True), 2000),
     "{path} must have a JPEG's few scans, but has ‹›: save it as PNG."),
    ("a PGM that takes minutes", b"P5 9000 1000 254\n",
     "{path} must be stored plainly at this size, but unpacking it takes minutes: save it as PNG."),
    ("a TIFF of 99 samples", pack_tiff(PAGE.tobytes(), 4, 3, 8, t277=99), HEADER),
]  # fmt: skip
