"""How a model's embedding sorts images: seen in two dimensions, by distance to prototypes, and by k-means.

Sums of squared differences (SSD) to one sample per class are the measure of the seed report fashion-filters (part 3),
which suspects that k-means could separate the classes; here it is tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.plots import (
    ACCENT_COLOUR,
    WIDTH,
    are_short,
    default_style,
    draw_figure,
    name_axis,
    open_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SEED = 0  # the same figures for the same model
MAX_IMAGES = 2000  # more would take long
STARTS = 10  # of k-means, of which the best counts
PERPLEXITY = 30  # of t-SNE: about as many neighbours does it try to keep for each image
TSNE_STEPS = 500  # half of scikit-learn's: the groups stand by then, and the wait is halved
MIN_FOR_TSNE = 10  # different images
MAX_THUMBNAILS = 150  # more would hide each other


@dataclass(frozen=True)
class Examples:
    """Images that a model is shown.

    Attributes:
        images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink; at least one.
        labels: int (n,), 0 to classes - 1.
        names: by which a reader can find the images.
        class_names: of label 0 and up.
    """

    images: np.ndarray
    labels: np.ndarray
    names: Sequence[str]
    class_names: Sequence[str]

    def take(self, rows: Sequence[int] | np.ndarray) -> "Examples":
        """Some of them, counted from 0."""
        return replace(
            self, images=self.images[rows], labels=self.labels[rows], names=[self.names[row] for row in rows]
        )


class Projection(NamedTuple):
    """An embedding in two dimensions."""

    title: str  # the method
    axis_titles: Sequence[str]
    points: np.ndarray  # float (n, 2)


class Distances(NamedTuple):
    """Sums of squared differences from the images of a class to one prototype per class, which do not count."""

    prototypes: np.ndarray  # int (k,), their rows
    means: np.ndarray  # float64 (k, k), from a class (row) to a prototype (column); NaN for a class of one image
    nearest: np.ndarray  # float (k,), the share of a class's images whose own prototype is the nearest; NaN as above
    nearest_of_all: float  # the share of all images; NaN where every image is a prototype


def choose_rows(count: int) -> np.ndarray:
    """At most 2,000 of `count` rows, drawn by a fixed seed, in ascending order."""
    if count <= MAX_IMAGES:
        return np.arange(count)
    return np.sort(np.random.default_rng(SEED).choice(count, MAX_IMAGES, replace=False))


def project(vectors: np.ndarray) -> list[Projection]:
    """Bring an embedding, float (n, d), into two dimensions.

    By PCA, and by t-SNE (van der Maaten and Hinton 2008) unless there are too few different images for it.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    kept = min(2, *vectors.shape)
    components, shares = np.zeros((len(vectors), 2)), np.zeros(2)
    pca = PCA(kept, svd_solver="full")
    with np.errstate(invalid="ignore", divide="ignore"):  # equal images have no variance to explain
        # scikit-learn gives tables where a notebook has asked it to
        components[:, :kept] = np.asarray(pca.fit_transform(vectors.astype(np.float64)))
    shares[:kept] = np.nan_to_num(pca.explained_variance_ratio_)
    titles = [f"component {number} ({100 * share:.0f} % of the variance)" for number, share in enumerate(shares, 1)]
    found = [Projection("principal components", titles, components)]
    if len(np.unique(vectors, axis=0)) >= MIN_FOR_TSNE:
        perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
        with threadpool_limits(1):  # threads that race add up in another order each time
            method = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED, max_iter=TSNE_STEPS)
            points = np.asarray(method.fit_transform(vectors.astype(np.float32)))
        titles = ["dimension 1 (no unit: only who is near whom counts)", "dimension 2"]
        found.append(Projection("t-SNE", titles, points))
    return found


def measure_distances(vectors: np.ndarray, classes: np.ndarray) -> Distances:
    """Measure how far images lie from one prototype per class: the image of it that is nearest to its mean.

    Args:
        vectors: float (n, d).
        classes: int (n,), 0 to k - 1, each of them at least once.
    """
    import pandas as pd
    from scipy.spatial.distance import cdist

    wide = vectors.astype(np.float64)
    members = [np.flatnonzero(classes == number) for number in range(int(classes.max()) + 1)]
    prototypes = np.array([
        rows[((wide[rows] - wide[rows].mean(axis=0)) ** 2).sum(axis=1).argmin()] for rows in members
    ])  # fmt: skip
    ssd = pd.DataFrame(cdist(wide, wide[prototypes], "sqeuclidean"))
    right = ssd.to_numpy().argmin(axis=1) == classes
    others = ssd.assign(right=right).drop(index=prototypes)
    of_class = others.groupby(classes[others.index]).mean().reindex(range(len(members)))
    means, nearest = of_class.drop(columns="right").to_numpy(float), of_class["right"].to_numpy(float)
    return Distances(prototypes, means, nearest, float(others["right"].mean()))


def compare_clusters(vectors: np.ndarray, classes: np.ndarray) -> tuple[float, float] | None:
    """Let k-means (Lloyd 1982) find as many clusters as there are classes, and compare the two.

    Args:
        vectors: float (n, d).
        classes: int (n,), 0 to k - 1, each of them at least once.

    Returns:
        The share of images whose cluster is that of their class, in the best matching of clusters with classes; and the
        adjusted Rand index (Hubert and Arabie 1985): 1 where clusters and classes are the same, about 0 where they have
        nothing in common. None where there are fewer than two classes, or fewer different images than classes.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score
    from sklearn.metrics.cluster import contingency_matrix
    from threadpoolctl import threadpool_limits

    count = int(classes.max()) + 1
    if count < 2 or len(np.unique(vectors, axis=0)) < count:
        return None
    with threadpool_limits(1):
        clusters = KMeans(count, n_init=STARTS, random_state=SEED).fit_predict(vectors.astype(np.float64))
    table = contingency_matrix(clusters, classes)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return float(matched / len(classes)), float(adjusted_rand_score(classes, clusters))


# Figures

# Okabe and Ito's colours for the colour-blind, without their yellow, which white paper swallows, and darker shades;
# the marker shows the class, the colour only helps to see groups
CLASS_COLOURS = (
    ("#000000", "#b35900", "#0072b2", "#7a7a7a", "#cc79a7")
    + ("#006b4f", "#56b4e9", "#a3173a", "#e69f00", "#5b3a91")
)  # fmt: skip
FRAME_STROKES = ("-", "--", ":", "-.")  # which differ in grey print as well
THUMBNAIL_PX, MARK_POINTS = 22, 7.5


@default_style()
def plot_embedding(examples: Examples, projections: Sequence[Projection], thumbnails: bool = False) -> "Figure":
    """Draw an embedding's projections: each image by its class's name, or number where names are long.

    With `thumbnails`, up to 150 images are drawn themselves, in frames that show their classes.
    """
    figure = open_figure(WIDTH, 5 * len(projections))
    panels = figure.subplots(len(projections), squeeze=False)[:, 0]
    small = thumbnails and len(examples.images) <= MAX_THUMBNAILS
    for axes, projection in zip(panels, projections, strict=True):
        (_draw_thumbnails if small else _draw_marks)(axes, projection.points, examples)
        axes.set(title=projection.title, xlabel=projection.axis_titles[0], ylabel=projection.axis_titles[1])
        axes.margins(0.08)
    if small or not are_short(examples.class_names):
        handles = panels[0].lines if small else panels[0].collections  # one for each class
        names = list(examples.class_names)
        figure.legend(list(handles), names, loc="outside lower center", ncols=3, frameon=False)
    return figure


@default_style()
def plot_distances(examples: Examples, distances: Distances) -> "Figure":
    """Draw the mean SSD from the images of each class to each prototype, whose image is above; darker is nearer."""
    from matplotlib.colors import LinearSegmentedColormap

    count = len(examples.class_names)
    side = max(WIDTH, 0.5 * count)
    figure = open_figure(side, side + 0.4)
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("near", [ACCENT_COLOUR, "white"]).with_extremes(bad="white")
    axes.imshow(distances.means, cmap=colours, vmin=0)
    for row, column in np.ndindex(count, count):
        mean = float(distances.means[row, column])
        weight = "bold" if row == column else "normal"
        axes.text(column, row, format_ssd(mean), ha="center", va="center", fontsize=9, weight=weight)
    for column, row in enumerate(distances.prototypes):
        extent = (column - 0.45, column + 0.45, -0.65, -1.55)
        axes.imshow(examples.images[row].squeeze(), cmap="gray_r", vmin=0, vmax=255, extent=extent)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -1.65)
    name_axis(axes, examples.class_names)
    axes.set(xlabel="prototype (above: its image)", ylabel="class", title="mean SSD to the prototype")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def format_ssd(number: float) -> str:
    """Three figures, without an exponent where one can do without; a dash for NaN."""
    if np.isnan(number):
        return "–"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _draw_marks(axes: "Axes", points: np.ndarray, examples: Examples) -> None:
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    short = are_short(examples.class_names)
    for number, name in enumerate(examples.class_names):
        x, y = points[examples.labels == number].T
        letters = "".join(filter(str.isalnum, name if short else "")) or str(number)  # a name is no formula
        area = (MARK_POINTS * max(1.0, 0.7 * len(letters))) ** 2
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        outline = TextPath((0, 0), letters)
        (left, bottom), (right, top) = outline.get_extents().get_points()
        marker = outline.transformed(Affine2D().translate(-(left + right) / 2, -(bottom + top) / 2))
        axes.scatter(x, y, s=area, marker=marker, color=colour, linewidths=0)


def _draw_thumbnails(axes: "Axes", points: np.ndarray, examples: Examples) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    axes.scatter(points[:, 0], points[:, 1], s=0)  # sets the limits
    for number in range(len(examples.class_names)):
        colour, stroke = CLASS_COLOURS[number % len(CLASS_COLOURS)], FRAME_STROKES[number % len(FRAME_STROKES)]
        axes.plot([], [], color=colour, linestyle=stroke, linewidth=2)  # for the legend
        for row in np.flatnonzero(examples.labels == number):
            image = examples.images[row].squeeze()
            picture = OffsetImage(image, zoom=THUMBNAIL_PX / max(image.shape), cmap="gray_r", interpolation="none")
            frame = {"edgecolor": colour, "linestyle": stroke, "linewidth": 2}
            axes.add_artist(AnnotationBbox(picture, tuple(points[row]), pad=0.1, bboxprops=frame))


# Section


def describe_embedding(
    examples: Examples, vectors: np.ndarray, place: str, folder: Path, *, new_classes: bool = False
) -> Section:
    """Measure and draw an embedding, of at most 2,000 images.

    Args:
        examples: some images.
        vectors: float32 (n, ...), what the model computes for them.
        place: words that say where in the model that is.
        folder: where the figures go.
        new_classes: whether the model never saw the classes; then the images themselves mark their places.
    """
    rows = choose_rows(len(vectors))
    if len(rows) < len(vectors):
        place += f" for {len(rows):,} of {len(vectors):,} images"
    present, labels = np.unique(examples.labels[rows], return_inverse=True)
    names = [examples.class_names[label] for label in present]
    examples, vectors = replace(examples.take(rows), labels=labels, class_names=names), vectors[rows]
    vectors = vectors.reshape(len(rows), -1)

    projections, distances = project(vectors), measure_distances(vectors, labels)
    prefix = "new_classes_" if new_classes else ""
    points, matrix = plot_embedding(examples, projections, thumbnails=new_classes), plot_distances(examples, distances)
    caption = f"{len(rows):,} images by {' and '.join(projection.title for projection in projections)}."
    ssd = "Mean SSD from the images of each class (down) to the prototype of each class (across). Dark: near."
    figures = (
        draw_figure(points, folder / f"{prefix}embedding.png", caption),
        draw_figure(matrix, folder / f"{prefix}embedding_ssd.png", ssd),
    )
    words = f"The embedding is {place}: {vectors.shape[1]:,} numbers per image. "
    if len(names) < 2 or np.isnan(distances.nearest_of_all):
        words += "There are too few images to compare classes."
    else:
        words += (
            f"{100 * distances.nearest_of_all:.1f} % of the images are nearest to the prototype of their own class, "
            f"the image nearest to the class's mean; guessing would reach {100 / len(names):.1f} %."
        )
    if found := compare_clusters(vectors, labels):
        words += (
            f" k-means, without labels, puts {100 * found[0]:.1f} % of them into the cluster of their class (adjusted "
            f"Rand index {found[1]:.2f})."
        )
    table = [("class", "images", "prototype", "mean SSD to own", "own is nearest")]
    for number, (name, share) in enumerate(zip(names, distances.nearest, strict=True)):
        table.append((
            name,
            f"{(labels == number).sum():,}",
            examples.names[distances.prototypes[number]],
            format_ssd(float(distances.means[number, number])),
            "–" if np.isnan(share) else f"{100 * share:.1f} %",
        ))  # fmt: skip
    return Section("Embedding of new classes" if new_classes else "Embedding", (words,), figures, tuple(table))
