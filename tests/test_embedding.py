import warnings

import numpy as np
import pytest

from digit_recognizer.reporting.embedding import MOST_IMAGES, choose_rows, find_clusters, measure_distances, project

RNG = np.random.default_rng(0)
CLASSES = np.repeat([0, 1, 2], 20)
CENTRES = np.array([[0, 0, 0, 0], [9, 0, 0, 0], [0, 0, 9, 0.0]])
APART = (CENTRES[CLASSES] + RNG.normal(0, 0.5, (60, 4))).astype(np.float32)
NAMES = ["a", "b", "c"]


def test_all_of_few_rows_are_chosen_and_of_many_the_same_two_thousand_at_every_call():
    assert choose_rows(7).tolist() == list(range(7))
    rows = choose_rows(10_000)
    assert len(set(rows)) == len(rows) == MOST_IMAGES == 2000
    assert (np.diff(rows) > 0).all() and rows[-1] < 10_000 and rows[-1] > 9_900
    assert np.array_equal(rows, choose_rows(10_000))


def test_the_prototype_is_the_image_nearest_to_the_mean_of_its_class():
    vectors = np.array([[0, 0], [1, 0], [5, 0], [10, 10], [10, 12], [10, 14.5]])
    distances = measure_distances(vectors, np.array([0, 0, 0, 1, 1, 1]), ["a", "b"])
    assert distances.prototypes.tolist() == [1, 4]  # means 2 and 12.17
    assert distances.ssd[2].tolist() == [16, 169] and distances.ssd[1, 0] == 0


def test_prototypes_do_not_count_as_images_of_their_class():
    vectors = np.array([[0.0], [2.0], [4.0], [3.1], [3.1], [3.1]])
    distances = measure_distances(vectors, np.array([0, 0, 0, 1, 1, 1]), ["a", "b"])
    assert distances.prototypes.tolist() == [1, 3]
    assert distances.means[0].tolist() == pytest.approx([4, (3.1**2 + 0.9**2) / 2])
    assert distances.means[1].tolist() == pytest.approx([1.1**2, 0])
    assert distances.nearest.tolist() == [0.5, 1.0] and distances.nearest_of_all == 0.75
    assert distances.own == pytest.approx(2) and distances.others == pytest.approx((5.21 + 1.21) / 2)


def test_classes_far_apart_are_nearest_to_their_own_prototypes():
    distances = measure_distances(APART, CLASSES, NAMES)
    assert distances.nearest_of_all == 1 and (distances.means.argmin(axis=1) == [0, 1, 2]).all()
    assert distances.others > 20 * distances.own


def test_a_class_of_one_image_has_a_prototype_and_no_means():
    distances = measure_distances(np.array([[0.0], [1.0], [7.0]]), np.array([0, 0, 1]), ["a", "b"])
    assert distances.prototypes[1] == 2 and np.isnan(distances.means[1]).all() and np.isnan(distances.nearest[1])
    assert distances.nearest_of_all == 1 and distances.own == 1


def test_where_every_image_is_a_prototype_nothing_is_measured_and_nothing_warned_of():
    with warnings.catch_warnings(action="error"):
        distances = measure_distances(np.array([[0.0], [7.0]]), np.array([0, 1]), ["a", "b"])
        assert np.isnan([distances.own, distances.others, distances.nearest_of_all]).all()


def test_k_means_finds_classes_that_are_apart_and_agrees_with_them_whatever_it_calls_them():
    found = find_clusters(APART, CLASSES)
    assert found.accuracy == 1 and found.adjusted_rand_index == 1
    assert len(set(found.clusters)) == 3


def test_k_means_agrees_little_with_classes_that_have_nothing_to_do_with_the_embedding():
    found = find_clusters(APART, np.arange(60) % 3)
    assert abs(found.adjusted_rand_index) < 0.1 and 1 / 3 <= found.accuracy < 0.6


def test_the_accuracy_of_clusters_is_that_of_the_best_matching():
    vectors = np.array([[0.0], [0.1], [0.2], [9.0], [9.1]])
    found = find_clusters(vectors, np.array([0, 0, 1, 1, 1]))
    assert found.accuracy == 0.8


@pytest.mark.parametrize(
    ("vectors", "classes"),
    [(APART[:5], np.zeros(5, int)), (np.repeat(APART[:2], 3, axis=0), np.arange(6) % 3)],
    ids=["one class", "fewer different images than classes"],
)
def test_clusters_are_left_out_where_there_is_nothing_to_find(vectors, classes):
    assert find_clusters(vectors, classes) is None


def test_principal_components_are_those_of_the_largest_variance():
    across = np.column_stack([RNG.normal(0, 3, 200), RNG.normal(0, 0.1, 200), RNG.normal(0, 1, 200)])
    projection = project(across.astype(np.float32))
    for column, original in ((0, 0), (1, 2)):
        assert abs(np.corrcoef(projection.components[:, column], across[:, original])[0, 1]) > 0.99
    variances = across.var(axis=0)
    assert projection.shares == pytest.approx(
        (variances[0] / variances.sum(), variances[2] / variances.sum()), abs=0.01
    )


def test_neighbours_stay_neighbours_and_are_the_same_at_every_call():
    first, second = project(APART), project(APART)
    assert np.array_equal(first.neighbours, second.neighbours) and np.array_equal(first.components, second.components)
    apart = ((first.neighbours[:, None] - first.neighbours[None]) ** 2).sum(axis=-1) + np.diag(np.full(60, np.inf))
    assert (CLASSES[apart.argmin(axis=1)] == CLASSES).all()


def test_a_few_images_or_equal_ones_have_components_and_no_neighbours():
    for vectors in (APART[:1], APART[:9], np.repeat(APART[:3], 20, axis=0), np.ones((30, 1), np.float32)):
        projection = project(vectors)
        assert projection.neighbours is None and projection.components.shape == (len(vectors), 2)
        assert np.isfinite(projection.components).all() and np.isfinite(projection.shares).all()
