"""Cases of the corpus: pictures that `load_photograph` reads, each built here, with the pixels and notes expected."""

import io
import struct
import zlib

import numpy as np
import PIL
from PIL import Image

PILLOW = int(PIL.__version__.split(".")[0])
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


def mend_checksums(content):
    """Make the checksums of a mutated PNG right, so that its damage reaches Pillow."""
    mended, place = content[:8], 8
    while place + 12 <= len(content):
        end = place + 8 + int.from_bytes(content[place : place + 4])
        body = content[place + 4 : end]
        mended += content[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place = end + 4
    return mended


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
FIRST = "only the first of its pictures is read"
CLEAR = "its transparent parts are taken as white"
TURNED = "it is turned as its EXIF says"
BAD_EXIF = "its EXIF is damaged, so it is taken as upright"
BLACK = np.zeros((3, 4), np.uint8)
PALETTE = Image.new("P", (2, 1))
PALETTE.putpalette([0, 0, 0, 10, 20, 30])
PALETTE.putpixel((1, 0), 1)
LUMA = np.array([[0, 18]], np.uint8)  # 0.299 x 10 + 0.587 x 20 + 0.114 x 30

# Name, ending, content, expected pixels, how far off a lossy format may be, notes.
READ = [
    *((f"grey {form}", end, save(GREY, form), PAGE, 0) for form, end in
      (("PNG", "png"), ("GIF", "gif"), ("BMP", "bmp"), ("TIFF", "tif"), ("PPM", "pgm"))),
    ("grey JPEG", "jpg", save(GREY, "JPEG", quality=100), PAGE, 3),
    ("grey WebP", "webp", save(GREY, "WEBP", lossless=True), PAGE, 0),
    *((f"TIFF by {how}", "tif", save(GREY, "TIFF", compression=how), PAGE, 0)
      for how in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
    ("progressive JPEG", "jpg", save(GREY, "JPEG", quality=100, progressive=True), PAGE, 3),
    ("colours", "png", save(RED, "PNG"), np.full((2, 2), 76, np.uint8), 0),
    ("colours in a JPEG", "jpg", save(RED, "JPEG", quality=100), np.full((2, 2), 76, np.uint8), 1),
    ("a JPEG stored as RGB", "jpg", save(RED, "JPEG", quality=100, keep_rgb=True), np.full((2, 2), 76), 1),
    ("CMYK", "tif", save(RED.convert("CMYK"), "TIFF"), np.full((2, 2), 76), 1),
    ("Adobe's inverted CMYK", "jpg", save(RED.convert("CMYK"), "JPEG", quality=100), np.full((2, 2), 76), 2),
    ("CMYK unmarked", "jpg", drop_marker(save(RED.convert("CMYK"), "JPEG", quality=100), b"\xff\xee"),
     np.full((2, 2), 76), 2),
    *((f"EXIF {n} in {form}", end, save(GREY, form, exif=mark_orientation(n), **options), EXIF_TURNS[n - 1], 3,
       *([TURNED] if n > 1 else []))
      for n in range(1, 9)
      for form, end, options in (("JPEG", "jpg", {"quality": 100}), ("PNG", "png", {}),
                                 ("WEBP", "webp", {"lossless": True}))),
    *((f"orientation {n} in TIFF", "tif", save(GREY, "TIFF", tiffinfo={274: n}), EXIF_TURNS[n - 1], 0)
      for n in range(1, 9)),
    ("EXIF 9", "png", save(GREY, "PNG", exif=mark_orientation(9)), PAGE, 0),
    *((f"EXIF that is {name}", "png", save(GREY, "PNG", exif=b"Exif\0\0" + exif), PAGE, 0, BAD_EXIF)
      for name, exif in (("noise", b"\xa5" * 40),
                         ("far too long", mark_orientation(6).tobytes()[6:] + bytes(1 << 20)))),
    ("EXIF that is cut", "png", save(GREY, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"), PAGE, 0),
    ("EXIF that is noise in a JPEG", "jpg", save(GREY, "JPEG", quality=100, exif=b"Exif\0\0" + b"\xa5" * 40), PAGE, 3,
     BAD_EXIF),
    *((f"black ink on transparency, {mode} in {form}", end, save(DRAWING.convert(mode), form, **options), ON_PAPER, 1,
       CLEAR)
      for mode, form, end, options in (("LA", "PNG", "png", {}), ("RGBA", "PNG", "png", {}), ("LA", "TIFF", "tif", {}),
                                       ("RGBA", "WEBP", "webp", {"lossless": True}), ("RGBA", "TIFF", "tif", {}))),
    *(("black ink on transparency, its grey already weighed, in TIFF", "tif",
       pack_tiff(np.stack([0 * INK, INK], 2).tobytes(), 2, 2, 8, [(258, 3, 2, 8 | 8 << 16)], t277=2, t338=1), ON_PAPER,
       1, CLEAR) for _ in range(PILLOW >= 13)),  # older ones read no such file
    ("opaque RGBA", "png", save(GREY.convert("RGBA"), "PNG"), PAGE, 0),
    ("a palette", "png", save(PALETTE, "PNG"), LUMA, 0),
    ("a palette with a clear colour", "png", save(PALETTE, "PNG", transparency=0), [[255, 18]], 0, CLEAR),
    ("a palette with opacities", "png", save(PALETTE, "PNG", transparency=b"\x80\xff"), [[127, 18]], 0, CLEAR),
    ("a GIF with a clear colour", "gif", save(PALETTE, "GIF", transparency=0), [[255, 18]], 0, CLEAR),
    ("a clear grey", "png", save(GREY, "PNG", transparency=0), np.where(PAGE == 0, 255, PAGE), 0, CLEAR),
    ("a clear grey of 16 bits", "png",
     pack_png(4, 1, pack_chunk(b"tRNS", b"\1\0"), bits=16, data=b"\0" + WIDE.astype(">u2").tobytes()),
     [[0, 255, 128, 255]], 0, CLEAR),
    ("a clear red", "png", save(RED, "PNG", transparency=(255, 0, 0)), np.full((2, 2), 255), 0, CLEAR),
    ("one bit", "png", save(Image.fromarray(PAGE > 75), "PNG"), np.where(PAGE > 75, 255, 0), 0),
    ("a fax", "tif", save(Image.fromarray(PAGE > 75), "TIFF", compression="group4"), np.where(PAGE > 75, 255, 0), 0),
    ("16-bit PNG", "png", save(Image.fromarray(WIDE), "PNG"), EIGHT, 0),
    ("16-bit PGM", "pgm", b"P5 4 1 65535 " + WIDE.astype(">u2").tobytes(), EIGHT, 0),
    ("10-bit PGM", "pgm", b"P5 2 1 1023 \0\0\3\xff", [[0, 255]], 0),
    ("PGM as text", "pgm", b"P2 # by hand\n3 1 9\n0 9 3", [[0, 255, 85]], 0),
    ("16-bit TIFF", "tif", save(Image.fromarray(WIDE), "TIFF"), EIGHT, 0),
    ("16-bit TIFF by LZW", "tif", save(Image.fromarray(WIDE), "TIFF", compression="tiff_lzw"), EIGHT, 0),
    ("16-bit TIFF, high byte first", "tif", pack_tiff(WIDE.astype(">u2").tobytes(), 4, 1, 16, order=">"), EIGHT, 0),
    ("16-bit TIFF, white is zero", "tif", pack_tiff(WIDE.tobytes(), 4, 1, 16, t262=0), 255 - EIGHT, 1),
    ("8-bit TIFF, white is zero", "tif", pack_tiff(PAGE.tobytes(), 4, 3, 8, t262=0), 255 - PAGE, 0),
    ("signed 16-bit TIFF", "tif", pack_tiff((WIDE ^ 32768).tobytes(), 4, 1, 16, t339=2), EIGHT, 0),
    ("12-bit TIFF", "tif", pack_tiff(b"\x00\x0f\xff\x80\x00\x10", 4, 1, 12), [[0, 255, 128, 1]], 0),
    ("32-bit TIFF", "tif", pack_tiff((WIDE * np.uint32(65537)).tobytes(), 4, 1, 32), EIGHT, 0),
    ("float TIFF", "tif", save(Image.fromarray(FLOATS), "TIFF"), SHARES, 0),
    ("float TIFF, white is zero", "tif", pack_tiff(FLOATS.tobytes(), 4, 1, 32, t339=3, t262=0), 255 - SHARES, 1),
    ("float TIFF beyond 1", "tif", save(Image.fromarray(FLOATS * 900 - 100), "TIFF"), SHARES, 0,
     "its floats are stretched: -100 is taken as black, 800 as white"),
    ("float TIFF of one shade beyond 1", "tif", pack_tiff(np.float32([[5, 5]]).tobytes(), 2, 1, 32, t339=3), [[0, 0]],
     0, "its floats are stretched: 5 is taken as black, 5 as white"),
    ("a TIFF with long XMP", "tif", pack_tiff(PAGE.tobytes() + bytes(1 << 18), 4, 3, 8, [(700, 1, 1 << 18, 8)]), PAGE,
     0),
    ("1x1", "png", save(Image.new("L", (1, 1), 7), "PNG"), [[7]], 0),
    ("blank", "png", save(Image.new("L", (4, 3), 255), "PNG"), 255 - BLACK, 0),
    ("white on black", "png", save(Image.fromarray(255 - PAGE), "PNG"), 255 - PAGE, 0),
    ("noise and several digits", "png", save(LARGE.convert("L"), "PNG"), np.array(LARGE.convert("L")), 0),
    ("a GIF of 9,000 frames", "gif", pack_gif(9000), BLACK, 0, FIRST),
    ("an animated WebP", "webp", animate("WEBP", 30, lossless=True), PAGE, 0, FIRST),
    ("an animated PNG", "png", animate("PNG", 30), PAGE, 0, FIRST),
    ("a TIFF of pages", "tif", animate("TIFF", 3), PAGE, 0, FIRST),
    ("an MPO", "jpg", animate("MPO", 2, quality=100), PAGE, 6, FIRST),
    ("a PNG named as JPEG", "JPG", save(GREY, "PNG"), PAGE, 0, "it is a PNG image under the ending .JPG"),
    ("a JPEG named as text", "txt", save(GREY, "JPEG", quality=100), PAGE, 3),
    ("no ending", "", save(GREY, "PNG"), PAGE, 0),
    ("bytes after a JPEG's end", "jpg", save(GREY, "JPEG", quality=100) + b"ftypmp42" * 99, PAGE, 3),
    ("a broken colour profile", "png", save(GREY, "PNG", icc_profile=b"none"), PAGE, 0),
]  # fmt: skip
