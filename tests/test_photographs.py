"""Photographs: each loads as a person would see it, in grey and in colours, or is refused with a code.

For a long run of the mutations, with other examples every time:

    DIGIT_RECOGNIZER_FUZZ_EXAMPLES=5000 python -m pytest tests/test_photographs.py -k mutated
"""

import errno
import io
import logging
import os
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import expect_error
from corpus import TERABYTE, THINGS, within_bounds
from corpus_photographs import (
    GREY,
    LARGE,
    PAGE,
    READ,
    RED,
    TURNED,
    animate,
    mark_orientation,
    mend_checksums,
    pack_tiff,
    save,
)
from corpus_picture_files import REFUSED
from hypothesis import example, given
from hypothesis import strategies as st
from mutations import mutated
from PIL import Image, ImageFile, TiffImagePlugin
from test_mutations import ci, load_or_refuse

from digit_recognizer.vision import photos
from digit_recognizer.vision.photos import MAX_BYTES, load_colours, load_photograph, open_picture

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("case", READ, ids=lambda case: case[0])
def test_a_picture_is_loaded_as_a_person_would_see_it(case, tmp_path, capfd):
    _, ending, content, expected, tolerance, *notes = case
    path = tmp_path / f"picture.{ending}"
    path.write_bytes(content)
    pixels, found = load_photograph(path)
    assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    np.testing.assert_allclose(pixels, expected, rtol=0, atol=tolerance)
    assert list(found) == notes
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("load", [load_photograph, lambda path: load_colours(path, 12)], ids=["grey", "colours"])
@pytest.mark.parametrize(("content", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_whole_picture_is_refused(content, code, load, request, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(photos, "_reads_heic", lambda: False)
    if "LAB" in request.node.name and "colours" in request.node.name:
        pytest.skip("of LAB Pillow knows the colours, but not the greys")
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with within_bounds(), expect_error(code, path=path):
        load(path)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == content


def test_heic_is_read_where_its_package_is_installed_and_else_named_with_it(tmp_path, monkeypatch):
    path = tmp_path / "IMG_1.HEIC"
    path.write_bytes(b"\0\0\0\x18ftypheic" + save(Image.fromarray(PAGE), "PNG"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # as if it were not installed
    photos._reads_heic.cache_clear()
    with expect_error("photos.format", path=path) as caught:
        load_photograph(path)
    assert "pip install pillow-heif" in caught.value.received
    opened = (lambda file, _: Image.open(io.BytesIO(file.read()[12:])), None)
    package = SimpleNamespace(register_heif_opener=lambda: monkeypatch.setitem(Image.OPEN, "HEIF", opened))
    monkeypatch.setitem(sys.modules, "pillow_heif", package)
    photos._reads_heic.cache_clear()
    assert np.array_equal(load_photograph(path).pixels, PAGE)
    photos._reads_heic.cache_clear()


PLACE_CODES = {"a folder": "io.folder", "a looped link": "io.unreadable", "a link to nothing": "io.missing"}


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and links are made here")
@pytest.mark.parametrize("name", THINGS)
def test_what_is_no_plain_file_is_refused_before_it_can_block(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    THINGS[name][0]("picture.png")
    code = PLACE_CODES.get(name, "io.missing" if name == "missing" else "io.not_regular")
    with within_bounds(), expect_error(code, path="picture.png"):
        load_photograph(Path("picture.png"))


def test_a_terabyte_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(save(GREY, "PNG"))
    with path.open("r+b") as file:
        file.truncate(TERABYTE)
    with within_bounds(), expect_error("io.too_long", path=path, limit=MAX_BYTES, remedy="Save the picture smaller."):
        load_photograph(path)


def test_pillow_warnings_and_logging_are_left_as_they_were(tmp_path):
    def take_state():
        return (
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, TiffImagePlugin.READ_LIBTIFF,
            list(warnings.filters), list(logging.getLogger("PIL").handlers),
        )  # fmt: skip

    before = take_state()
    for content in (save(GREY, "PNG"), save(GREY, "PNG")[:60]):
        (tmp_path / "picture.png").write_bytes(content)
        load_or_refuse(load_photograph, tmp_path / "picture.png")
    assert take_state() == before
    path = tmp_path / "again.png"
    path.write_bytes(save(GREY, "PNG"))
    with open_picture(path):
        inside = take_state()
        load_photograph(path)  # as in another thread, which ends first
        assert take_state() == inside != before
    assert take_state() == before
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_pillow_is_imported_when_a_picture_is_read_and_not_before():
    script = "import sys, digit_recognizer.vision.photos; print('PIL' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"


def test_damaged_tiffs_let_neither_pillow_nor_libtiff_say_a_word(tmp_path):
    (tmp_path / "logged.tif").write_bytes(pack_tiff(PAGE.tobytes(), 4, 3, 8, t277=99))
    (tmp_path / "cut.tif").write_bytes(save(LARGE.convert("1"), "TIFF", compression="group4")[:-9])
    script = (
        "from pathlib import Path\n"
        "from digit_recognizer.vision.photos import load_photograph\n"
        "for name in ('logged.tif', 'cut.tif'):\n"
        "    try:\n"
        "        load_photograph(Path(name))\n"
        "    except ValueError as error:\n"
        "        print(error.code)\n"
    )
    command = [sys.executable, "-c", script]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout == "photos.damaged\n" * 2
    assert finished.stderr == ""


def test_standard_error_is_there_again_after_tiffs_in_threads(tmp_path):
    Image.effect_noise((400, 400), 64).save(tmp_path / "noise.tif", compression="tiff_lzw")
    before = os.fstat(2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: load_photograph(tmp_path / "noise.tif"), range(100)))
    assert os.path.samestat(before, os.fstat(2))


def test_a_jpeg_gives_the_luma_that_it_stores(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(save(LARGE, "JPEG", quality=30))
    with Image.open(path) as image:
        image.draft("YCbCr", None)
        np.testing.assert_array_equal(load_photograph(path).pixels, np.asarray(image)[:, :, 0])


def fail_with(error):
    def fail(*_, **__):
        raise error

    return fail


def test_a_picture_that_does_not_fit_into_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(save(GREY, "PNG"))
    monkeypatch.setattr(Image, "open", fail_with(MemoryError()))
    with expect_error("photos.memory", path=path):
        load_photograph(path)


def test_a_tiff_is_read_by_a_process_without_standard_error(tmp_path, monkeypatch):
    path = tmp_path / "picture.tif"
    path.write_bytes(save(GREY, "TIFF"))
    with monkeypatch.context() as patch:
        patch.setattr("os.dup", fail_with(OSError(errno.EBADF, "Bad file descriptor")))
        np.testing.assert_array_equal(load_photograph(path).pixels, PAGE)


# Small, so that a mutation hits something that matters.
SMALL = LARGE.crop((0, 0, 12, 9))
EXIF = mark_orientation(6)
HEALTHY = {
    "PNG": [save(SMALL, "PNG", exif=EXIF), save(SMALL.quantize(9), "PNG", transparency=3), animate("PNG", 3)],
    "JPEG": [
        save(SMALL, "JPEG", exif=EXIF),
        save(SMALL, "JPEG", progressive=True),
        save(SMALL.convert("CMYK"), "JPEG"),
        animate("MPO", 2),
    ],
    "GIF": [save(SMALL, "GIF"), animate("GIF", 3)],
    "WEBP": [save(SMALL, "WEBP", exif=EXIF), animate("WEBP", 3, lossless=True)],
    "TIFF": [
        save(SMALL, "TIFF", tiffinfo={274: 6}),
        *(save(SMALL, "TIFF", compression=how) for how in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")),
        save(SMALL.convert("1"), "TIFF", compression="group4"),
        save(Image.fromarray(PAGE.astype(np.uint16) * 257), "TIFF"),
        save(Image.fromarray(PAGE / np.float32(255)), "TIFF"),
    ],
    "BMP": [
        save(SMALL, "BMP"),
        save(Image.new("P", (4, 3), 1), "BMP")[:30] + b"\1" + bytes(1047) + b"\4\1\0\0" * 3 + b"\0\1",  # run lengths
    ],
    "PPM": [save(SMALL, "PPM"), b"P2 # by hand\n3 1 9\n0 9 3\n", b"P5 2 1 1023 \0\0\3\xff"],
}
ANY = [content for contents in HEALTHY.values() for content in contents]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("photographs")


def check_answer(content, path):
    path.write_bytes(content)
    photograph = load_or_refuse(load_photograph, path)
    if photograph is not None:
        assert photograph.pixels.dtype == np.uint8 and photograph.pixels.ndim == 2 and photograph.pixels.size
        assert all(note.isprintable() for note in photograph.notes)
    return photograph


@pytest.mark.parametrize("content", ANY, ids=range(len(ANY)))
def test_the_pictures_to_be_mutated_are_healthy(content, folder):
    assert check_answer(content, folder / "picture") is not None


@pytest.mark.slow
@pytest.mark.parametrize("form", HEALTHY)
@ci
@given(data=st.data())
def test_a_mutated_picture_is_read_or_refused_in_one_line(form, data, folder):
    content = data.draw(st.sampled_from(HEALTHY[form]))
    check_answer(data.draw(mutated(content, *ANY)), folder / "picture.jpg")


@pytest.mark.slow
@ci
@given(content=st.sampled_from(HEALTHY["PNG"]).flatmap(lambda content: mutated(content, *HEALTHY["PNG"])))
def test_a_mutated_png_with_right_checksums_is_read_or_refused_in_one_line(content, folder):
    check_answer(mend_checksums(content), folder / "picture.png")


TAGS = EXIF.tobytes()


@pytest.mark.slow
@ci
@given(form=st.sampled_from(["JPEG", "PNG", "WEBP"]), exif=mutated(TAGS, HEALTHY["TIFF"][0]))
@example(form="JPEG", exif=TAGS)
@example(form="WEBP", exif=b"\xa5" * 40)
def test_a_picture_with_mutated_exif_is_read(form, exif, folder):
    path = folder / "picture"
    path.write_bytes(save(GREY, form, exif=b"Exif\0\0" + exif.removeprefix(b"Exif\0\0")))
    with within_bounds():
        photograph = load_photograph(path)
    assert sorted(photograph.pixels.shape) == [3, 4]
    assert exif != TAGS or photograph.notes == (TURNED,)


CORNERS = np.zeros((40, 60, 3), np.uint8)  # red top left, green top right, blue bottom left
CORNERS[:20, :30], CORNERS[:20, 30:], CORNERS[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def find_corners(pixels):
    """The strongest colour in three corners: top left, top right, bottom left."""
    return [pixels[row, column].argmax() for row, column in ((2, 2), (2, -3), (-3, 2))]


@pytest.mark.parametrize("case", READ, ids=lambda case: case[0])
def test_whatever_has_no_colours_is_the_grey_picture_three_times(case, tmp_path, capfd):
    _, ending, content, _, tolerance, *_ = case
    path = tmp_path / f"picture.{ending}"
    path.write_bytes(content)
    pixels = load_colours(path, 12)
    assert pixels.shape == (12, 12, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous
    with Image.open(path) as image:
        coloured = image.mode not in ("L", "LA", "La", "1", "F") and not image.mode.startswith("I")
    if not coloured:
        grey = Image.fromarray(load_photograph(path).pixels).resize((12, 12), Image.Resampling.BILINEAR, reducing_gap=3)
        assert (np.ptp(pixels, axis=2) == 0).all()
        assert np.abs(pixels[..., 0].astype(int) - np.asarray(grey)).max() <= 4 + tolerance
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {}), ("TIFF", {})])
def test_red_green_and_blue_stay_what_and_where_they_are(form, options, tmp_path):
    (tmp_path / "picture").write_bytes(save(Image.fromarray(CORNERS), form, **options))
    pixels = load_colours(tmp_path / "picture", 32)
    assert find_corners(pixels) == [0, 1, 2]
    assert pixels[2, 2, 0] > 200 and pixels[2, 2, 1:].max() < 60


@pytest.mark.parametrize(
    ("orientation", "corners"),
    [(1, [0, 1, 2]), (2, [1, 0, None]), (3, [None, 2, 1]), (6, [2, 0, None]), (8, [1, None, 0])],
)
def test_it_is_turned_as_its_exif_says(orientation, corners, tmp_path):
    content = save(Image.fromarray(CORNERS), "JPEG", quality=95, exif=mark_orientation(orientation))
    (tmp_path / "picture.jpg").write_bytes(content)
    found = find_corners(load_colours(tmp_path / "picture.jpg", 32))
    assert all(want is None or want == have for have, want in zip(found, corners, strict=True)), found


def test_transparent_parts_are_white_and_cmyk_has_its_colours(tmp_path):
    clear = RED.convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    pixels = load_colours(tmp_path / "clear.png", 2)
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[1, 1].tolist() == [255, 0, 0]
    RED.convert("CMYK").save(tmp_path / "print.jpg", quality=100)
    red, green, blue = load_colours(tmp_path / "print.jpg", 2)[0, 0].tolist()
    assert red > 240 and max(green, blue) < 20


def test_a_large_jpeg_is_decoded_no_larger_than_is_needed(tmp_path, monkeypatch):
    Image.new("RGB", (4000, 3000), "green").save(tmp_path / "large.jpg")
    sizes = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda image, *a, **k: sizes.append(image.size) or resize(image, *a, **k)
    )
    assert load_colours(tmp_path / "large.jpg", 256).shape == (256, 256, 3)
    assert sizes[0] == (500, 375)


def test_pillows_settings_of_a_notebook_are_not_followed_and_stay(tmp_path, monkeypatch):
    Image.new("L", (40, 40), 255).save(tmp_path / "whole.png")
    content = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(content[: len(content) - 30])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    load_photograph(tmp_path / "whole.png")
    with expect_error("photos.damaged"):
        load_photograph(tmp_path / "half.png")
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES) == (10, True)
