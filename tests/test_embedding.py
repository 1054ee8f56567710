import dataclasses
import warnings

import numpy as np
import pytest

from digit_recognizer.reporting import plots
from digit_recognizer.reporting.embedding import (
    MAX_IMAGES,
    Examples,
    Projection,
    choose_rows,
    compare_clusters,
    format_ssd,
    measure_distances,
    plot_distances,
    plot_embedding,
    project,
)
from digit_recognizer.reporting.plots import save_figure

pytestmark = pytest.mark.fast
RNG = np.random.default_rng(0)
CLASSES = np.repeat([0, 1, 2], 20)
CENTRES = np.array([[0, 0, 0, 0], [9, 0, 0, 0], [0, 0, 9, 0.0]])
APART = (CENTRES[CLASSES] + RNG.normal(0, 0.5, (60, 4))).astype(np.float32)
POINTS = [Projection(title, (f"{title} 1", f"{title} 2"), RNG.standard_normal((60, 2))) for title in ("PCA", "t-SNE")]
IMAGES = RNG.integers(0, 256, (60, 28, 28, 1), dtype=np.uint8)
LETTERS = Examples(IMAGES, CLASSES, ["file"] * 60, ["alpha", "beta", "3"])


def test_all_of_few_rows_are_chosen_and_of_many_always_the_same():
    assert choose_rows(7).tolist() == list(range(7))
    rows = choose_rows(10_000)
    assert len(set(rows)) == len(rows) == MAX_IMAGES == 2000
    assert (np.diff(rows) > 0).all() and rows[-1] < 10_000 and rows[-1] > 9_900
    assert np.array_equal(rows, choose_rows(10_000))


def test_the_prototype_is_the_image_nearest_to_the_mean_of_its_class():
    vectors = np.array([[0, 0], [1, 0], [5, 0], [10, 10], [10, 12], [10, 14.5]])
    distances = measure_distances(vectors, np.array([0, 0, 0, 1, 1, 1]))
    assert distances.prototypes.tolist() == [1, 4]  # means 2 and 12.17


def test_prototypes_do_not_count_as_images_of_their_class():
    vectors = np.array([[0.0], [2.0], [4.0], [3.1], [3.1], [3.1]])
    distances = measure_distances(vectors, np.array([0, 0, 0, 1, 1, 1]))
    assert distances.prototypes.tolist() == [1, 3]
    assert distances.means[0].tolist() == pytest.approx([4, (3.1**2 + 0.9**2) / 2])
    assert distances.means[1].tolist() == pytest.approx([1.1**2, 0])
    assert distances.nearest.tolist() == [0.5, 1.0] and distances.nearest_of_all == 0.75


def test_classes_far_apart_are_nearest_to_their_own_prototypes():
    distances = measure_distances(APART, CLASSES)
    assert distances.nearest_of_all == 1 and (distances.means.argmin(axis=1) == [0, 1, 2]).all()


def test_a_class_of_one_image_has_a_prototype_and_no_means():
    distances = measure_distances(np.array([[0.0], [1.0], [7.0]]), np.array([0, 0, 1]))
    assert distances.prototypes[1] == 2 and np.isnan(distances.means[1]).all() and np.isnan(distances.nearest[1])
    assert distances.nearest_of_all == 1


def test_where_every_image_is_a_prototype_nothing_is_measured():
    with warnings.catch_warnings(action="error"):
        distances = measure_distances(np.array([[0.0], [7.0]]), np.array([0, 1]))
    assert np.isnan(distances.nearest_of_all) and np.isnan(distances.means).all()


def test_k_means_finds_classes_that_are_apart():
    assert compare_clusters(APART, CLASSES) == (1, 1)


def test_k_means_agrees_little_with_classes_that_are_not_in_the_embedding():
    accuracy, adjusted_rand_index = compare_clusters(APART, np.arange(60) % 3)
    assert abs(adjusted_rand_index) < 0.1 and 1 / 3 <= accuracy < 0.6


def test_the_accuracy_of_clusters_is_that_of_the_best_matching():
    vectors = np.array([[0.0], [0.1], [0.2], [9.0], [9.1]])
    assert compare_clusters(vectors, np.array([0, 0, 1, 1, 1]))[0] == 0.8


@pytest.mark.parametrize(
    ("vectors", "classes"),
    [(APART[:5], np.zeros(5, int)), (np.repeat(APART[:2], 3, axis=0), np.arange(6) % 3)],
    ids=["one class", "fewer different images than classes"],
)
def test_clusters_are_left_out_where_there_is_nothing_to_find(vectors, classes):
    assert compare_clusters(vectors, classes) is None


def test_principal_components_are_those_of_the_largest_variance():
    across = np.column_stack([RNG.normal(0, 3, 200), RNG.normal(0, 0.1, 200), RNG.normal(0, 1, 200)])
    projection, _ = project(across.astype(np.float32))
    for column, original in ((0, 0), (1, 2)):
        assert abs(np.corrcoef(projection.points[:, column], across[:, original])[0, 1]) > 0.99
    first, second, third = np.sort(across.var(axis=0))[::-1] / across.var(axis=0).sum() * 100
    shares = [int(title.split("(")[1].split(" %")[0]) for title in projection.axis_titles]
    assert shares == pytest.approx([first, second], abs=1) and third < 1


def test_t_sne_keeps_neighbours_and_is_the_same_at_every_call():
    first, second = project(APART), project(APART)
    assert all(np.array_equal(one.points, other.points) for one, other in zip(first, second, strict=True))
    tsne = first[1].points
    apart = ((tsne[:, None] - tsne[None]) ** 2).sum(axis=-1) + np.diag(np.full(60, np.inf))
    assert (CLASSES[apart.argmin(axis=1)] == CLASSES).all()


@pytest.mark.parametrize("vectors", [APART[:1], APART[:9], np.repeat(APART[:3], 20, axis=0), np.ones((30, 1))])
def test_few_or_equal_images_have_components_but_no_t_sne(vectors):
    with warnings.catch_warnings(action="error"):
        (projection,) = project(vectors.astype(np.float32))
    assert projection.points.shape == (len(vectors), 2) and np.isfinite(projection.points).all()
    assert "nan" not in " ".join(projection.axis_titles)
    assert len(plot_embedding(LETTERS, POINTS[:1]).axes) == 1


def test_images_are_marked_by_their_class_and_long_names_have_a_legend():
    figure = plot_embedding(LETTERS, POINTS)
    for axes, projection in zip(figure.axes, POINTS, strict=True):
        assert len(axes.collections) == 3
        for number, marks in enumerate(axes.collections):
            assert np.allclose(marks.get_offsets(), projection.points[20 * number : 20 * number + 20])
        assert len({marks.get_paths()[0].vertices.shape for marks in axes.collections}) == 3  # three forms
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["alpha", "beta", "3"]
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == [one.axis_titles for one in POINTS]
    of_digits = plot_embedding(dataclasses.replace(LETTERS, class_names=["0", "1", "2"]), POINTS)
    assert not of_digits.legends
    for marks in of_digits.axes[0].collections:  # a digit is taller than wide; a formula's source is not
        box = marks.get_paths()[0].get_extents()
        assert box.height > 1.2 * box.width
        assert (box.x0 + box.x1, box.y0 + box.y1) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("names", [["$x_{1}^2$", "$\\x$", "a\\b"], ["--", "_x", "α β"]])
def test_names_that_look_like_formulas_are_drawn(names, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "DPI", 20)  # quickly
    embedded = dataclasses.replace(LETTERS, class_names=names)
    save_figure(plot_embedding(embedded, POINTS), tmp_path / "marks.png")
    figure = plot_embedding(embedded, POINTS, thumbnails=True)
    save_figure(figure, tmp_path / "thumbnails.png")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == names
    save_figure(plot_distances(embedded, measure_distances(APART, CLASSES)), tmp_path / "distances.png")


def test_thumbnails_have_frames_that_differ_in_more_than_colour():
    figure = plot_embedding(LETTERS, POINTS, thumbnails=True)
    for axes, projection in zip(figure.axes, POINTS, strict=True):
        boxes = [artist for artist in axes.artists if hasattr(artist, "offsetbox")]
        assert np.allclose([box.xy for box in boxes], projection.points)
        strokes = [box.patch.get_linestyle() for box in boxes]
        assert len(set(strokes)) == 3 and strokes[0] == strokes[3] != strokes[20]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["alpha", "beta", "3"]


def test_distances_are_written_in_their_cells_with_the_prototypes_above():
    vectors, classes = np.array([[0.0], [2.0], [4.0], [30.0]]), np.array([0, 0, 0, 1])
    embedded = Examples(IMAGES[:4], classes, ["file"] * 4, ["a", "b"])
    (axes,) = plot_distances(embedded, measure_distances(vectors, classes)).axes
    cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "4", (0, 1): "788", (1, 0): "–", (1, 1): "–"}
    _, first, second = axes.images
    assert np.array_equal(first.get_array(), IMAGES[1, ..., 0])
    assert np.array_equal(second.get_array(), IMAGES[3, ..., 0])


@pytest.mark.parametrize(
    ("number", "written"), [(12345.6, "12,346"), (99.96, "100"), (3.14159, "3.14"), (0.00123456, "0.00123")]
)
def test_distances_are_written_short(number, written):
    assert format_ssd(number) == written
