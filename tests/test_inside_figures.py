import dataclasses

import numpy as np
import pytest

from digit_recognizer.reporting import embedding as embedding_figures
from digit_recognizer.reporting import filters as filter_figures
from digit_recognizer.reporting.embedding import Projection, measure_distances, shorten
from digit_recognizer.reporting.filters import FilterEffects
from digit_recognizer.reporting.plots import build_colours, choose_scale, compose_sheet, enlarge, find_corners, frame

RNG = np.random.default_rng(0)
POINTS = Projection(RNG.standard_normal((12, 2)), (0.5, 0.251), RNG.standard_normal((12, 2)))
CLASSES = np.repeat([0, 1, 2], 4)
NAMES = ["alpha", "beta", "3"]
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def read_sheet(figure):
    return np.asarray(figure.axes[0].images[0].get_array())


@pytest.mark.parametrize("signed", [True, False])
def test_colours_darken_from_end_to_end_so_that_grey_print_keeps_their_order(signed):
    luminances = build_colours(signed)(np.linspace(0, 1, 50))[:, :3] @ LUMINANCE
    assert (np.diff(luminances) < 0).all() and luminances[0] - luminances[-1] > 0.7


def test_nothing_is_grey_between_signs_and_white_where_all_is_positive():
    signed, positive = choose_scale(np.array([-1.0, 3.0])), choose_scale(np.array([0.5, 3.0]))
    assert (signed.low, signed.high, positive.low, positive.high) == (-3, 3, 0, 3)
    assert np.ptp(signed.colour(np.zeros(1))[0, :3]) < 0.01 and (positive.colour(np.zeros(1)) == 1).all()


def test_a_scale_for_zeros_alone_is_not_empty():
    scale = choose_scale(np.zeros((2, 3)))
    assert scale.high > scale.low and np.isfinite(scale.colour(np.zeros(3))).all()


def test_enlarging_repeats_pixels_and_makes_none_up():
    pictures = RNG.random((2, 3, 4))
    assert np.array_equal(enlarge(pictures, 6, 8), pictures.repeat(2, axis=1).repeat(2, axis=2))
    assert np.isin(enlarge(pictures, 7, 7), pictures).all()


def test_pictures_lie_on_the_sheet_where_their_corners_are_said_to_be():
    pictures = frame(RNG.random((5, 3, 4, 4)))
    sheet = compose_sheet(pictures, 2, (2, 1))
    assert sheet.shape == (3 * 7, 2 * 7, 4)
    for (x, y), picture in zip(find_corners(5, 2, 5, 6, (2, 1)), pictures, strict=True):
        top, left = int(y + 0.5), int(x + 0.5)
        assert np.array_equal(sheet[top : top + 5, left : left + 6], picture)
    assert (sheet[14:, 7:] == 1).all() and (sheet[:2] == 1).all()


def test_a_frame_hides_nothing_of_a_picture():
    pictures = RNG.random((2, 3, 4, 4))
    framed = frame(pictures)
    assert np.array_equal(framed[:, 1:-1, 1:-1], pictures) and (framed[:, 0, :, :3] == 0.75).all()


def test_filters_are_numbered_and_their_signs_have_different_colours():
    filters = np.zeros((3, 2, 2))
    filters[1] = [[-1, 0], [0.5, 1]]
    figure = filter_figures._draw_maps(filters, "filters of first", "weight")
    axes, bar = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    assert bar.get_xlabel() == "weight" and figure.get_suptitle() == "filters of first"
    colours = {tuple(colour) for colour in read_sheet(figure).reshape(-1, 4).round(4)}
    assert len(colours) == 6  # paper, frame, and one for each of four weights


def test_sixty_four_maps_are_drawn_of_more():
    figure = filter_figures._draw_maps(RNG.random((70, 2, 2)), "maps", "activation")
    assert len(figure.axes[0].texts) == 64


def test_each_filter_stands_beside_opencvs_answer_and_the_nets():
    filters = np.array([[[1.0, -1.0]]])
    effects = FilterEffects(np.full((1, 3, 3), 2.0), np.full((1, 3, 3), 1.0))
    image = np.full((3, 3, 1), 255, np.uint8)
    figure = filter_figures._draw_filter_effects(filters, effects, image, "effects")
    sheet, ((x, y),) = read_sheet(figure), [text.xy for text in figure.axes[0].texts if text.get_text() == "0"]
    top, left = int(y + 0.5) + 1, int(x + 0.5) + 1
    cells = [sheet[top : top + 3, left + 6 * number : left + 6 * number + 3] for number in range(3)]
    signed, positive = choose_scale(filters), choose_scale(effects.filtered)
    assert np.allclose(cells[0][0, [0, 2]], signed.colour(np.array([1.0, -1.0])))
    assert np.allclose(cells[1], positive.colour(np.array(2.0))) and np.allclose(cells[2], positive.colour(np.array(1)))
    assert np.allclose(sheet[:3, :3, :3], 0)  # the image's ink
    assert [axes.get_xlabel() for axes in figure.axes[1:]] == ["activation", "weight"]


def test_units_are_drawn_as_bars():
    (axes,) = filter_figures._draw_units(np.array([0.5, -1.0, 2.0]), "embedding").axes
    values, edges, _ = axes.patches[0].get_data()
    assert values.tolist() == [0.5, -1, 2] and edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("unit", "activation")


def test_classes_are_told_apart_by_their_names_as_markers():
    figure = embedding_figures._draw_embedding(POINTS, CLASSES, NAMES, None)
    components, neighbours = figure.axes
    for axes, points in ((components, POINTS.components), (neighbours, POINTS.neighbours)):
        assert len(axes.collections) == 3
        for number, marks in enumerate(axes.collections):
            assert np.allclose(marks.get_offsets(), points[4 * number : 4 * number + 4])
        outlines = [marks.get_paths()[0].vertices.shape for marks in axes.collections]
        assert len(set(outlines)) == 3  # three words, three forms
    assert components.get_xlabel() == "component 1 (50 % of the variance)"
    assert components.get_ylabel() == "component 2 (25 % of the variance)"


def test_names_that_mathtext_would_read_as_commands_or_not_at_all_are_drawn():
    images = RNG.integers(0, 256, (12, 28, 28, 1), dtype=np.uint8)
    distances = measure_distances(POINTS.components, CLASSES, NAMES)
    for name in ("$x_{1}^2$", "$\\x$", "a\\b", "--", "_x", "α β"):
        for thumbnails in (None, images):
            figure = embedding_figures._draw_embedding(POINTS, CLASSES, [name, "b", "c"], thumbnails)
            figure.draw_without_rendering()
        assert figure.axes[0].get_legend().get_texts()[0].get_text() == name
        embedding_figures._draw_distances(
            dataclasses.replace(distances, names=(name, "b", "c")), images
        ).draw_without_rendering()


def test_thumbnails_have_frames_that_differ_in_more_than_colour():
    images = RNG.integers(0, 256, (12, 28, 28, 1), dtype=np.uint8)
    figure = embedding_figures._draw_embedding(POINTS, CLASSES, NAMES, images)
    for axes in figure.axes:
        boxes = [artist for artist in axes.artists if hasattr(artist, "offsetbox")]
        assert np.allclose(
            [box.xy for box in boxes], POINTS.components if axes is figure.axes[0] else POINTS.neighbours
        )
        strokes = [box.patch.get_linestyle() for box in boxes]
        assert len(set(strokes)) == 3 and strokes[0] == strokes[3] != strokes[4]
        assert [text.get_text() for text in axes.get_legend().get_texts()] == NAMES


def test_without_neighbours_there_is_one_panel():
    only = Projection(POINTS.components, POINTS.shares, None)
    assert len(embedding_figures._draw_embedding(only, CLASSES, NAMES, None).axes) == 1


def test_distances_are_written_in_their_cells_and_prototypes_drawn_above():
    vectors = np.array([[0.0], [2.0], [4.0], [30.0]])
    images = RNG.integers(0, 256, (4, 28, 28, 1), dtype=np.uint8)
    distances = measure_distances(vectors, np.array([0, 0, 0, 1]), ["a", "b"])
    (axes,) = embedding_figures._draw_distances(distances, images).axes
    cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "4", (0, 1): "788", (1, 0): "–", (1, 1): "–"}
    _, first, second = axes.images
    assert np.array_equal(first.get_array(), images[1, ..., 0]) and np.array_equal(
        second.get_array(), images[3, ..., 0]
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prototype (above: its image)", "class of the images")


@pytest.mark.parametrize(
    ("number", "written"), [(12345.6, "12,346"), (99.96, "100"), (3.14159, "3.14"), (0.00123456, "0.00123")]
)
def test_numbers_are_written_short(number, written):
    assert shorten(number) == written
