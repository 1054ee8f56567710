"""From ink to glyphs in MNIST's form: pages whose digits are known, under the light and on the paper of real ones."""

import time

import cv2
import numpy as np
import pytest
from conftest import expect_error
from paper import CELL_PX, Conditions, lay_out
from PIL import Image

from digit_recognizer.data.sources import build_sample
from digit_recognizer.vision.frames import find_printed_lines, flatten_sheets
from digit_recognizer.vision.ink import estimate_shade_from_border, find_ink
from digit_recognizer.vision.segment import Glyph, find_glyphs, join_glyphs, list_splits, load_letter, normalize

pytestmark = pytest.mark.fast

CONDITIONS = {
    "perfect": Conditions(),
    "white on black": Conditions(ink=230, paper=20),
    "uneven light": Conditions(gradient=0.6),
    "shadow": Conditions(shadow=0.3),
    "ruled": Conditions(rule=0.5),
    "squared and turned": Conditions(rule=0.4, squared=True, turn_deg=3),
    "grain": Conditions(grain=12),
    "blurred": Conditions(blur_px=2),
    "faint": Conditions(ink=150, grain=4),
    "JPEG": Conditions(grain=3, jpeg=30),
}


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """uint8 (12, 28, 28), of one piece each."""
    return build_sample().test_pixels[:12].reshape(-1, 28, 28)


def draw(*strokes: tuple[int, int, int, int], side: int = 200, ink: int = 0, paper: int = 255) -> np.ndarray:
    """Bars (top, bottom, left, right) on paper."""
    page = np.full((side, side), paper, np.uint8)
    for top, bottom, left, right in strokes:
        page[top:bottom, left:right] = ink
    return page


@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
def test_every_digit_of_a_page_is_found_whatever_the_light_and_the_paper(digits, conditions):
    glyphs = find_glyphs(find_ink(lay_out(digits, 4, conditions)))
    assert len(glyphs) == 12
    for number, glyph in enumerate(glyphs):
        row, column = divmod(number, 4)
        assert abs(glyph.x + glyph.width / 2 - (column + 0.5) * CELL_PX) < CELL_PX / 2
        assert abs(glyph.y + glyph.height / 2 - (row + 0.5) * CELL_PX) < CELL_PX / 2


@pytest.mark.parametrize("conditions", CONDITIONS.values(), ids=CONDITIONS)
def test_normalized_glyphs_look_like_those_of_a_plain_page(digits, conditions):
    plain = [normalize(glyph) for glyph in find_glyphs(find_ink(lay_out(digits, 4, Conditions())))]
    found = [normalize(glyph) for glyph in find_glyphs(find_ink(lay_out(digits, 4, conditions)))]
    likeness = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(plain, found, strict=True)]
    assert np.median(likeness) > 0.9 and min(likeness) > 0.6


def test_normalized_glyphs_have_mnists_size_and_center_of_mass(digits):
    for glyph in find_glyphs(find_ink(lay_out(digits, 4, Conditions()))):
        image = normalize(glyph)
        assert image.shape == (28, 28, 1) and image.dtype == np.uint8 and image.max() == 255
        rows, columns = (np.flatnonzero((image[..., 0] > 127).any(axis=axis)) for axis in (1, 0))
        assert 16 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        ys, xs = np.mgrid[:28, :28]
        mass = image[..., 0] / image.sum()
        assert (ys * mass).sum() == pytest.approx(13.5, abs=0.6) and (xs * mass).sum() == pytest.approx(13.5, abs=0.6)


def test_strokes_have_at_least_mnists_thickness():
    thin, thick = (normalize(find_glyphs(find_ink(draw((20, 180, 100, 100 + px))))[0]) for px in (2, 20))
    for image in (thin, thick):
        middle = image[14, :, 0].astype(int)
        assert 2 * 255 < middle.sum() < 4 * 255


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (1, 300), (300, 1), (3, 2000), (28, 28)])
@pytest.mark.parametrize("shade", [0, 127, 255])
def test_a_page_of_one_shade_has_no_glyph_whatever_its_shape(shape, shade):
    assert find_glyphs(find_ink(np.full(shape, shade, np.uint8))) == []


def test_grain_and_folds_of_blank_paper_are_no_ink():
    page = lay_out(np.zeros((4, 28, 28), np.uint8), 2, Conditions(grain=10, gradient=0.5, rule=0.04))
    assert find_glyphs(find_ink(page)) == []


def test_blank_squared_paper_that_is_turned_has_no_ink():
    page = lay_out(np.zeros((20, 28, 28), np.uint8), 5, Conditions(rule=0.4, squared=True, turn_deg=3))
    assert (page[:80, -6:] < 160).all()  # a dark strip: lines of many slopes lie within it
    assert find_glyphs(find_ink(page)) == []


def test_ruled_lines_are_no_ink_and_strokes_across_them_stay_whole():
    page = draw((20, 180, 95, 105), side=200)
    page[50::40][:3] = 90
    ruled = find_glyphs(find_ink(page))
    assert len(ruled) == 1 and ruled[0].height == pytest.approx(160, abs=6) and ruled[0].width < 20


def test_a_bar_that_ends_before_the_edges_is_no_ruled_line():
    (glyph,) = find_glyphs(find_ink(draw((95, 103, 25, 175), (40, 160, 95, 105))))
    assert glyph.width > 140


def test_a_margin_that_a_program_added_does_not_hide_what_it_frames():
    page = np.full((300, 300), 255, np.uint8)
    page[40:260, 100:180] = draw((20, 200, 35, 45), side=220, paper=215)[:, :80]
    (glyph,) = find_glyphs(find_ink(page))
    assert (glyph.x, glyph.y, glyph.width, glyph.height) == pytest.approx((135, 60, 10, 180), abs=6)


def test_the_table_under_the_paper_is_no_ink():
    page = draw((40, 160, 95, 105), paper=220)
    page[185:] = 60
    assert len(find_glyphs(find_ink(page))) == 1


def test_parts_of_one_glyph_are_joined_and_dust_is_dropped():
    five = draw((40, 50, 80, 130), (54, 160, 80, 90), (100, 110, 90, 130), (10, 13, 10, 13))
    assert len(find_glyphs(find_ink(five))) == 1
    footed = draw((30, 150, 95, 105), (160, 168, 60, 140))
    assert len(find_glyphs(find_ink(footed))) == 1


def test_two_lines_of_writing_stay_apart_and_come_line_by_line():
    page = draw((20, 90, 40, 50), (25, 95, 140, 150), (115, 180, 45, 55), (110, 185, 150, 160))
    assert [(glyph.x // 100, glyph.y // 100) for glyph in find_glyphs(find_ink(page))] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
    ]


def test_all_ink_is_one_glyph_where_a_single_one_is_asked_for():
    page = draw((20, 180, 40, 50), (20, 180, 140, 150))
    assert len(find_glyphs(find_ink(page))) == 2
    (glyph,) = find_glyphs(find_ink(page), single=True)
    assert glyph.width == pytest.approx(110, abs=6)


def test_a_wide_glyph_is_split_where_it_has_least_ink_a_narrow_one_is_not():
    bars = np.zeros((100, 100), np.float32)
    bars[:, 10:30] = bars[:, 70:90] = 1
    bars[50:54, 30:70] = 1
    splits = list_splits(Glyph(bars, 1000, 500, 200, 200))
    assert splits
    for left, right in splits:
        assert left.x >= 1000 and left.x + left.width <= right.x + 1 and right.x + right.width <= 1200
    assert list_splits(Glyph(bars[:, :40], 0, 0, 40, 100)) == []


def test_halves_can_be_joined_and_distant_glyphs_cannot():
    half = np.ones((100, 20), np.float32)
    one, near, far = (Glyph(half, x, 10, 20, 100) for x in (0, 40, 400))
    joined = join_glyphs(one, near)
    assert (joined.x, joined.y, joined.width, joined.height) == (0, 10, 60, 100)
    assert joined.strength[50, 30] == 0 and joined.strength[50, 5] == joined.strength[50, 45] == 1
    assert join_glyphs(one, far) is None


def test_a_letter_is_loaded_from_a_file_and_an_empty_page_is_refused(tmp_path):
    path = tmp_path / "alpha.png"
    Image.fromarray(draw((20, 180, 40, 50), (20, 180, 140, 150))).save(path)
    assert load_letter(path).shape == (28, 28, 1)
    Image.fromarray(draw()).save(path)
    with expect_error("photos.no_ink", path=path):
        load_letter(path)


@pytest.mark.parametrize("strokes", [((40, 160, 70, 82), (40, 160, 105, 117)), ((40, 160, 60, 70), (40, 50, 60, 140))])
def test_a_drawing_on_a_flat_ground_has_no_margin_to_cut_off(strokes):
    glyphs = find_glyphs(find_ink(draw(*strokes)), single=True)
    assert len(glyphs) == 1 and glyphs[0].height == pytest.approx(120, abs=4)


def test_digits_cut_out_along_their_edges_are_found(digits):
    page = lay_out(digits, 4, Conditions())
    glyphs = find_glyphs(find_ink(page))
    cuts = [page[glyph.y : glyph.y + glyph.height, glyph.x : glyph.x + glyph.width] for glyph in glyphs]
    assert sum(len(find_glyphs(find_ink(cut), single=True)) for cut in cuts) >= 9


def test_thousands_of_specks_are_gathered_within_seconds():
    page = np.full((960, 1280), 255, np.uint8)
    page[::16, ::16] = page[1::16, ::16] = page[::16, 1::16] = page[1::16, 1::16] = 0
    started = time.perf_counter()
    find_glyphs(find_ink(page))
    assert time.perf_counter() - started < 20


def test_a_sheet_on_a_table_is_read_and_is_no_zero_itself(digits):
    page = lay_out(digits[:3], 3, Conditions())
    scene = np.full((3 * page.shape[0], 2 * page.shape[1]), 90, np.uint8)
    scene[page.shape[0] : 2 * page.shape[0], 150 : 150 + page.shape[1]] = page
    turned = Image.fromarray(scene).rotate(6, Image.Resampling.BILINEAR, fillcolor=90)
    glyphs = find_glyphs(find_ink(np.asarray(turned)))
    assert len(glyphs) == 3 and all(40 < glyph.height < 110 for glyph in glyphs)
    assert all(abs(glyph.x + glyph.width / 2 - 215 - CELL_PX * number) < 65 for number, glyph in enumerate(glyphs))


def test_paper_between_strongly_ruled_lines_is_no_sheet():
    images = build_sample().test_pixels.reshape(-1, 28, 28)[240:252]
    page = lay_out(images, 4, Conditions(rule=0.55), 20)
    assert flatten_sheets(page)[0] is page


def test_a_shadow_is_no_ink_to_which_a_picture_was_cut(digits):
    assert estimate_shade_from_border(lay_out(digits[:1], 1, Conditions(shadow=0.5))) is None


def test_lines_of_boxes_tables_and_combs_are_no_ink(digits):
    page = lay_out(digits, 4, Conditions())
    boxes = np.pad(page, 30, constant_values=225)
    for start in range(28, 28 + 3 * CELL_PX + 1, CELL_PX):
        boxes[start : start + 3, 28 : 31 + 4 * CELL_PX] = 60
    for start in range(28, 28 + 4 * CELL_PX + 1, CELL_PX):
        boxes[28 : 31 + 3 * CELL_PX, start : start + 3] = 60
    assert len(find_glyphs(find_ink(boxes))) == 12
    comb = np.pad(lay_out(digits[:4], 4, Conditions()), 30, constant_values=225)
    comb[160:163, 28 : 31 + 4 * CELL_PX] = 60
    for start in range(28, 28 + 4 * CELL_PX + 1, CELL_PX):
        comb[130:160, start : start + 3] = 60
    assert len(find_glyphs(find_ink(comb))) == 4


@pytest.mark.parametrize("gap", [14, 40])
def test_keys_are_found_however_close_they_stand(digits, gap):
    side = CELL_PX + gap
    case = np.full((side + gap, 4 * side + gap), 230, np.uint8)
    for number, digit in enumerate(digits[:4]):
        key = 255 - lay_out(digit[None], 1, Conditions())
        place = case[gap : gap + CELL_PX, gap + number * side : gap + number * side + CELL_PX]
        place[:] = key[:CELL_PX, :CELL_PX]
    assert flatten_sheets(case)[0] is not case
    assert len(find_glyphs(find_ink(case))) == 4


def test_a_small_scan_is_not_cut_as_if_bars_stood_beside_it():
    scan = np.zeros((8, 8), np.uint8)
    scan[:, 3:5] = np.array([[175, 143], [175, 223], [175, 207], [239, 207]] * 2)
    (glyph,) = find_glyphs(find_ink(scan))
    assert (glyph.x, glyph.width, glyph.height) == pytest.approx((3, 2, 8), abs=1)


def test_a_box_of_thick_lines_is_no_ink():
    box = np.zeros((120, 120), bool)
    box[16:104, 16:104] = True
    box[29:91, 29:91] = False  # nearly as much line as paper within
    assert find_printed_lines(box)[20:24, 20:100].any()


def test_a_box_whose_digit_touches_it_is_no_ink():
    box = np.zeros((120, 120), np.uint8)
    cv2.rectangle(box, (14, 14), (105, 105), 1, 4)
    cv2.ellipse(box, (50, 60), (33, 27), 0, 0, 360, 1, 7)
    found = find_printed_lines(box > 0)
    assert found[14, 20:100].all() and not found[55:65, 80:95].any()


def test_an_empty_box_is_nothing_written():
    assert (
        find_glyphs(find_ink(draw((40, 44, 40, 160), (156, 160, 40, 160), (40, 160, 40, 44), (40, 160, 156, 160))))
        == []
    )


def test_bars_that_jpeg_has_blurred_are_cut_off():
    page = np.full((128, 128), 250, np.uint8)
    page[:, 14:112] = draw((30, 100, 45, 55), side=128, ink=60, paper=165)[:, :98]
    noise = np.random.default_rng(0).normal(0, 2, page.shape)
    (glyph,) = find_glyphs(find_ink(np.clip(page + noise, 0, 255).astype(np.uint8)))
    assert (glyph.x, glyph.y, glyph.width, glyph.height) == pytest.approx((59, 30, 10, 70), abs=4)


@pytest.mark.parametrize("side", [8, 20, 200])
def test_a_digit_cut_to_its_ink_has_paper_around_it_all_the_same(side):
    cut = np.full((side, side // 2), 255, np.uint8)
    cut[: max(1, side // 8)] = 0
    cut[:, -max(1, side // 8) :] = 0
    (glyph,) = find_glyphs(find_ink(cut))
    assert (glyph.width, glyph.height) == pytest.approx((side // 2, side), abs=2)
