"""Photographs: each reads as a person would see it, or is refused in one line that names the file.

For a long run of the mutations, with other examples every time:

    DIGIT_RECOGNIZER_FUZZ_EXAMPLES=5000 python -m pytest tests/test_photographs.py -k mutated
"""

import errno
import logging
import re
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from corpus import TERABYTE, THINGS, within_bounds
from corpus_photographs import (
    GREY,
    LARGE,
    PAGE,
    READ,
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

from digit_recognizer.errors import InputError
from digit_recognizer.vision.photos import MOST_BYTES, load_photograph


@pytest.mark.parametrize("case", READ, ids=lambda case: case[0])
def test_a_picture_is_read_as_a_person_would_see_it(case, tmp_path, capfd):
    _, ending, content, expected, tolerance, notes = case
    path = tmp_path / f"picture.{ending}"
    path.write_bytes(content)
    photograph = load_photograph(path)
    assert photograph.pixels.dtype == np.uint8 and photograph.pixels.flags.c_contiguous
    np.testing.assert_allclose(photograph.pixels, expected, rtol=0, atol=tolerance)
    assert photograph.notes == notes
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_what_is_no_whole_picture_is_refused_in_the_line_expected_and_nothing_else(case, tmp_path, capfd):
    _, content, line = case
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    check_refusal(path, line)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == content


def check_refusal(path, line):
    with within_bounds(), pytest.raises(InputError) as refused:
        load_photograph(path)
    assert re.fullmatch(re.escape(line.replace("{path}", str(path))).replace("‹›", ".*"), str(refused.value))


NO_FILE = "{path} must be a file, but there is none of that name: check the path."


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and links are made here")
@pytest.mark.parametrize("name", THINGS)
def test_what_is_no_plain_file_is_refused_before_it_can_block(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make, line = THINGS[name]
    make("picture.png")
    line = NO_FILE if " is missing" in line else line.replace("{file}", "{path}")
    check_refusal(Path("picture.png"), line)


@pytest.mark.parametrize("start", [save(GREY, "PNG"), save(GREY, "JPEG"), b"GIF89a", b"P5 9 9 255 "], ids=range(4))
def test_a_terabyte_is_refused_by_its_first_bytes(start, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(start)
    with path.open("r+b") as file:
        file.truncate(TERABYTE)
    check_refusal(path, f"{{path}} must have {MOST_BYTES} bytes at most, but has more: save it smaller, or as JPEG.")


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
        "        print(error)\n"
    )
    command = [sys.executable, "-c", script]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout.count("must be a whole picture") == finished.stdout.count("\n") == 2
    assert finished.stderr == ""


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


def test_memory_that_does_not_suffice_is_told_as_such(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(save(GREY, "PNG"))
    monkeypatch.setattr(Image, "open", fail_with(MemoryError()))
    check_refusal(path, "{path} must fit into memory, but does not: save it smaller.")


def test_a_tiff_is_read_by_a_process_without_standard_error(tmp_path, monkeypatch):
    path = tmp_path / "picture.tif"
    path.write_bytes(save(GREY, "TIFF"))
    with monkeypatch.context() as patch:
        patch.setattr("os.dup", fail_with(OSError(errno.EBADF, "Bad file descriptor")))
        np.testing.assert_array_equal(load_photograph(path).pixels, PAGE)


def test_a_failing_disk_is_told_as_such(tmp_path, monkeypatch):
    disk = MagicMock()
    disk.__enter__.return_value.read = fail_with(OSError(errno.EIO, "Input/output error"))
    disk.__exit__.return_value = False
    monkeypatch.setattr("digit_recognizer.vision.photos.open_regular_file", lambda _: disk)
    check_refusal(
        tmp_path / "picture.png", "{path} must be readable, but Input/output error: mend that, or name another."
    )


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


@pytest.mark.parametrize("form", HEALTHY)
@ci
@given(data=st.data())
def test_a_mutated_picture_is_read_or_refused_in_one_line(form, data, folder):
    content = data.draw(st.sampled_from(HEALTHY[form]))
    check_answer(data.draw(mutated(content, *ANY)), folder / "picture.jpg")


@ci
@given(content=st.sampled_from(HEALTHY["PNG"]).flatmap(lambda content: mutated(content, *HEALTHY["PNG"])))
def test_a_mutated_png_with_right_checksums_is_read_or_refused_in_one_line(content, folder):
    check_answer(mend_checksums(content), folder / "picture.png")


TAGS = EXIF.tobytes()


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
