"""Colours are read with the checks of grey pictures, upright, on white, in a square."""

import numpy as np
import pytest
from corpus_photographs import READ, RED, mark_orientation, save
from corpus_picture_files import REFUSED
from PIL import Image

from digit_recognizer.errors import InputError
from digit_recognizer.vision.photos import load_colours, load_photograph

CORNERS = np.zeros((40, 60, 3), np.uint8)  # red top left, green top right, blue bottom left
CORNERS[:20, :30], CORNERS[:20, 30:], CORNERS[20:, :30] = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def find_corners(pixels):
    """The strongest colour in three corners: top left, top right, bottom left."""
    return [pixels[row, column].argmax() for row, column in ((2, 2), (2, -3), (-3, 2))]


@pytest.mark.parametrize("case", READ, ids=lambda case: case[0])
def test_whatever_has_no_colours_is_the_grey_picture_three_times(case, tmp_path, capfd):
    _, ending, content, _, tolerance, _ = case
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


# of LAB Pillow knows the colours, but not the greys
@pytest.mark.parametrize("case", [case for case in REFUSED if "LAB" not in case[0]], ids=lambda case: case[0])
def test_what_is_no_whole_picture_is_refused_with_the_words_for_a_grey_one(case, tmp_path):
    _, content, _ = case
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(InputError) as grey:
        load_photograph(path)
    with pytest.raises(InputError) as coloured:
        load_colours(path, 12)
    assert str(coloured.value) == str(grey.value)


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
