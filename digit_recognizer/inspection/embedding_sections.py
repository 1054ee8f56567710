"""The section on a net's embedding, of digits or of images of classes that it never saw."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digit_recognizer.inspection.embedding import (
    MOST_IMAGES,
    SEED,
    Clustering,
    Distances,
    Projection,
    find_clusters,
    measure_distances,
    project,
)
from digit_recognizer.inspection.embedding_figures import plot_distances, plot_embedding, shorten
from digit_recognizer.inspection.sections import FigureFile, Section


def describe_embedding(
    vectors: np.ndarray,
    images: np.ndarray,
    image_names: Sequence[str],
    classes: np.ndarray,
    names: Sequence[str],
    folder: Path,
    *,
    title: str,
    place: str,
    available: int,
    marks: Sequence[str] | None = None,
    prefix: str = "",
    thumbnails: bool = False,
) -> Section:
    """Measure, draw and describe an embedding.

    Args:
        vectors: float (n, d), one per image.
        images: uint8 (n, height, width, channels).
        image_names: by which a reader can find them.
        classes: int (n,), 0 to k - 1, each of them at least once.
        names: of the k classes.
        folder: where the figures go.
        title: of the section.
        place: words that say where in the net the vectors were taken.
        available: how many images there were, of which these n were chosen.
        marks: a sign per class, which marks the places of its images where its name has several letters; None for the
            name.
        prefix: of the figures' file names.
        thumbnails: whether the images mark their own places, in place of the classes' names.
    """
    projection, clustering = project(vectors), find_clusters(vectors, classes)
    distances = measure_distances(vectors, classes, names)
    points, matrix = folder / f"{prefix}embedding.png", folder / f"{prefix}embedding_ssd.png"
    plot_embedding(projection, classes, names, points, marks=marks, thumbnails=images if thumbnails else None)
    plot_distances(distances, images, matrix)
    return Section(
        title=title,
        paragraphs=(
            _tell_origin(vectors, place, available),
            _tell_projection(projection),
            *_tell_distances(distances),
            _tell_clusters(clustering, len(names)),
        ),
        figures=(
            FigureFile(points, _caption(projection, len(vectors), names, thumbnails)),
            FigureFile(
                matrix,
                "Mean sum of squared differences from the images of each class (rows) to the prototype of each class "
                f"(columns, drawn above); {_count_smallest(distances)} The darker, the nearer.",
            ),
        ),
        table=_tabulate(distances, classes, image_names),
    )


def _tell_origin(vectors: np.ndarray, place: str, available: int) -> str:
    chosen = (
        f"{len(vectors):,} of {available:,} images, drawn by seed {SEED}, as more than {MOST_IMAGES:,} would take long,"
        if available > len(vectors)
        else f"{len(vectors):,} images"
    )
    silent = int((vectors == vectors[0]).all(axis=0).sum())
    same = f" {silent:,} of these numbers are the same for every image, and so tell nothing." if silent else ""
    return (
        f"The embedding is {place}: {vectors.shape[1]:,} numbers, which are all that the net's last decision knows "
        f"of an image. {chosen} were brought there. Images that the net takes for alike lie close to each other.{same}"
    )


def _tell_projection(projection: Projection) -> str:
    first, second = (100 * share for share in projection.shares)
    principal = (
        f"The two principal components, the directions in which the images differ most, hold {first:.0f} % and "
        f"{second:.0f} % of the variance; the other {100 - first - second:.0f} % cannot be seen in that picture."
    )
    if projection.neighbours is None:
        return f"{principal} t-SNE was left out: there are too few different images for it."
    return (
        f"{principal} t-SNE bends the space so that neighbours stay neighbours; distances between groups, and their "
        "sizes, mean nothing there."
    )


def _tell_distances(distances: Distances) -> list[str]:
    opening = (
        "The prototype of a class is the image of it that lies nearest to the mean of the class. The sum of squared "
        "differences (SSD) of two images is taken over the numbers of the embedding; prototypes themselves do not "
        "count."
    )
    if np.isnan(distances.nearest_of_all):
        return [f"{opening} No class has an image besides its prototype, so there is nothing to measure."]
    if len(distances.names) == 1:
        return [f"{opening} There is one class only; its images have a mean SSD of {shorten(distances.own)} to it."]
    ratio = f", {distances.others / distances.own:.1f} times as much" if distances.own else ""
    apart = np.isnan(distances.means) | np.eye(len(distances.names), dtype=bool)
    row, column = np.unravel_index(np.where(apart, np.inf, distances.means).argmin(), apart.shape)
    return [
        f"{opening} To the prototype of their own class images have a mean SSD of {shorten(distances.own)}, to those "
        f"of other classes one of {shorten(distances.others)}{ratio}.",
        f"For {100 * distances.nearest_of_all:.1f} % of the images their own prototype is the nearest; guessing would "
        f"reach {100 / len(distances.names):.1f} %. Of different classes, images of {distances.names[row]} lie nearest "
        f"to the prototype of {distances.names[column]} (mean SSD {shorten(float(distances.means[row, column]))}).",
    ]


def _tell_clusters(clustering: Clustering | None, count: int) -> str:
    if clustering is None:
        return "k-means was left out: it takes two classes or more, and as many different images."
    return (
        f"k-means, which is told nothing of classes, was asked for {count} clusters. With each cluster matched to a "
        f"class in the best way, {100 * clustering.accuracy:.1f} % of the images lie in the cluster of their class. "
        "The adjusted Rand index, 1 for the same division and about 0 for one that has nothing to do with it, is "
        f"{clustering.adjusted_rand_index:.2f}."
    )


def _caption(projection: Projection, count: int, names: Sequence[str], thumbnails: bool) -> str:
    ways = "by principal components" + ("" if projection.neighbours is None else " (left) and by t-SNE (right)")
    marks = "drawn small, its frame telling its class" if thumbnails else "marked by its class"
    return f"{count:,} images of {', '.join(names)} in the embedding's plane, {ways}; each image is {marks}."


def _count_smallest(distances: Distances) -> str:
    own = [row for row, means in enumerate(distances.means) if not np.isnan(means).any()]
    smallest = sum(int(distances.means[row].argmin() == row) for row in own)
    return f"in {smallest} of {len(own)} rows the own prototype is the nearest."


def _tabulate(distances: Distances, classes: np.ndarray, image_names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    header = ("class", "images", "prototype", "mean SSD to own", "mean SSD to others", "own is nearest")
    rows = []
    for number, name in enumerate(distances.names):
        row = distances.prototypes[number]
        others = np.delete(distances.means[number], number)
        share = distances.nearest[number]
        rows.append((
            name,
            f"{(classes == number).sum():,}",
            image_names[row],
            shorten(float(distances.means[number, number])),
            shorten(float(others.mean())) if len(others) else "–",
            "–" if np.isnan(share) else f"{100 * share:.1f} %",
        ))  # fmt: skip
    return header, *rows
