"""The section on a net's embedding, of digits or of images of classes that it never saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.io import write_atomically
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import ACCENT_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# How a net's embedding sorts images: by distance to a prototype of each class, and by k-means that knows no classes.
#
# Sums of squared differences (SSD) to one sample per class are document 003's measure (part 3), which suspects that
# k-means could separate the classes; here it is tried.

SEED = 0  # the same figures for the same net
MOST_IMAGES = 2000
STARTS = 10  # of k-means, of which the best counts
NEIGHBOURS = 30  # t-SNE's perplexity: about as many neighbours does it try to keep for each image
NEIGHBOUR_STEPS = 500  # half of scikit-learn's: the groups stand by then, and the wait is halved
FEWEST_FOR_NEIGHBOURS = 10


@dataclass(frozen=True)
class Projection:
    """An embedding in two dimensions; both arrays float (n, 2).

    Attributes:
        components: the first two principal components.
        shares: of the variance, that each of these two explains.
        neighbours: by t-SNE; None where there are too few different images for it.
    """

    components: np.ndarray
    shares: tuple[float, float]
    neighbours: np.ndarray | None


@dataclass(frozen=True)
class Distances:
    """Sums of squared differences between images and one prototype per class.

    Attributes:
        names: of the k classes.
        prototypes: int (k,), the rows of the prototypes.
        ssd: float64 (n, k), from each image to each prototype.
        means: float64 (k, k), from the images of a class (row) to a prototype (column); NaN for a class that consists
            of its prototype. Prototypes do not count as images of their class.
        nearest: float (k,), the share of a class's images whose own prototype is the nearest; NaN as above.
        nearest_of_all: the share of all images.
    """

    names: tuple[str, ...]
    prototypes: np.ndarray
    ssd: np.ndarray
    means: np.ndarray
    nearest: np.ndarray
    nearest_of_all: float

    @property
    def own(self) -> float:
        """The mean over classes of the mean SSD to the own prototype; NaN where there is none."""
        return _average(self.means.diagonal())

    @property
    def others(self) -> float:
        """The mean over classes of the mean SSD to the other prototypes; NaN where there is none."""
        return _average(self.means[~np.eye(len(self.means), dtype=bool)])


@dataclass(frozen=True)
class Clustering:
    """What k-means finds where it looks for as many clusters as there are classes.

    Attributes:
        clusters: int (n,).
        adjusted_rand_index: 1 where clusters and classes are the same, about 0 where they have nothing in common
            (Hubert and Arabie 1985).
        accuracy: share of images whose cluster is that of their class, in the best matching of clusters with classes.
    """

    clusters: np.ndarray
    adjusted_rand_index: float
    accuracy: float


def choose_rows(count: int) -> np.ndarray:
    """At most 2,000 of `count` rows, drawn by a fixed seed, in ascending order."""
    if count <= MOST_IMAGES:
        return np.arange(count)
    return np.sort(np.random.default_rng(SEED).choice(count, MOST_IMAGES, replace=False))


def project(vectors: np.ndarray) -> Projection:
    """Bring an embedding into two dimensions, by PCA and by t-SNE (van der Maaten and Hinton 2008).

    Args:
        vectors: float (n, d).
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    # each direction may be turned round: the one in which its largest entry is positive, on every machine
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    components = np.zeros((len(vectors), 2))
    kept = min(2, len(sizes))
    components[:, :kept] = (left * sizes * signs)[:, :kept]
    variances = np.append(sizes**2, 0)[:2] / max((sizes**2).sum(), np.finfo(float).tiny)
    return Projection(components, (float(variances[0]), float(variances[1])), _keep_neighbours(vectors))


def measure_distances(vectors: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Distances:
    """Measure how far images lie from one prototype per class: the image of it that is nearest to its mean.

    Args:
        vectors: float (n, d).
        classes: int (n,), 0 to k - 1, each of them at least once.
        names: of the k classes.
    """
    wide = vectors.astype(np.float64)
    means = np.stack([wide[classes == number].mean(axis=0) for number in range(len(names))])
    to_means = ((wide - means[classes]) ** 2).sum(axis=1)
    prototypes = np.array([
        rows[to_means[rows].argmin()] for rows in (np.flatnonzero(classes == number) for number in range(len(names)))
    ])  # fmt: skip
    ssd = np.stack([((wide - wide[row]) ** 2).sum(axis=1) for row in prototypes], axis=1)
    counted = np.ones(len(wide), bool)
    counted[prototypes] = False
    rows_of = [np.flatnonzero(counted & (classes == number)) for number in range(len(names))]
    right = ssd.argmin(axis=1) == classes
    return Distances(
        names=tuple(names),
        prototypes=prototypes,
        ssd=ssd,
        means=np.stack([ssd[rows].mean(axis=0) if len(rows) else np.full(len(names), np.nan) for rows in rows_of]),
        nearest=np.array([right[rows].mean() if len(rows) else np.nan for rows in rows_of]),
        nearest_of_all=float(right[counted].mean()) if counted.any() else float("nan"),
    )


def find_clusters(vectors: np.ndarray, classes: np.ndarray) -> Clustering | None:
    """Let k-means (Lloyd 1982) find as many clusters as there are classes, and compare the two.

    Args:
        vectors: float (n, d).
        classes: int (n,), 0 to k - 1, each of them at least once.

    Returns:
        None where there are fewer than two classes, or fewer different images than classes.
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score
    from threadpoolctl import threadpool_limits

    count = int(classes.max()) + 1
    if count < 2 or len(np.unique(vectors, axis=0)) < count:
        return None
    with threadpool_limits(1):  # threads that race add up in another order each time
        clusters = KMeans(count, n_init=STARTS, random_state=SEED).fit_predict(vectors.astype(np.float64))
    table = np.zeros((count, count), np.int64)
    np.add.at(table, (clusters, classes), 1)
    matched = table[linear_sum_assignment(table, maximize=True)].sum()
    return Clustering(clusters, float(adjusted_rand_score(classes, clusters)), float(matched / len(classes)))


def _average(numbers: np.ndarray) -> float:
    """The mean of those that are numbers; NaN where none is."""
    known = numbers[~np.isnan(numbers)]
    return float(known.mean()) if len(known) else float("nan")


def _keep_neighbours(vectors: np.ndarray) -> np.ndarray | None:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(np.unique(vectors, axis=0)) < FEWEST_FOR_NEIGHBOURS:
        return None
    perplexity = min(NEIGHBOURS, (len(vectors) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=SEED, max_iter=NEIGHBOUR_STEPS)
        kept: np.ndarray = tsne.fit_transform(vectors.astype(np.float32))
    return kept


# Figures of an embedding: images as points in two dimensions, and distances to prototypes.

# Okabe and Ito's colours for the colour-blind, without their yellow, which white paper swallows, and darker shades;
# the marker tells the class, the colour only helps to see groups
CLASS_COLOURS = (
    ("#000000", "#b35900", "#0072b2", "#7a7a7a", "#cc79a7")
    + ("#006b4f", "#56b4e9", "#a3173a", "#e69f00", "#5b3a91")
)  # fmt: skip
MOST_THUMBNAILS = 150  # more would hide each other
FRAME_STROKES = ("-", "--", ":", "-.")
THUMBNAIL_PX, NAME_POINTS = 22, 9.5
LONGEST_LEVEL_NAME = 7  # characters: longer ones would run into each other below the columns of a matrix
PANELS = ("principal components", "t-SNE")


def plot_embedding(
    projection: Projection,
    classes: np.ndarray,
    names: Sequence[str],
    path: Path,
    *,
    marks: Sequence[str] | None = None,
    thumbnails: np.ndarray | None = None,
) -> None:
    """Draw an embedding's two projections side by side; each image is marked by its class's name or by itself.

    Args:
        projection: of n images.
        classes: int (n,), 0 to k - 1.
        names: of the k classes.
        path: the PNG to write.
        marks: a sign per class, drawn in place of names of several letters, and told in a legend; None for names.
        thumbnails: uint8 (n, height, width, channels), drawn in place of names where there are at most 150.
    """
    _save(_draw_embedding(projection, classes, names, thumbnails, marks), path)


def plot_distances(distances: Distances, images: np.ndarray, path: Path) -> None:
    """Draw the mean SSD from the images of each class to each prototype, the prototypes above.

    Args:
        distances: of n images; the darker a cell, the nearer.
        images: uint8 (n, height, width, channels).
        path: the PNG to write.
    """
    _save(_draw_distances(distances, images), path)


def shorten(number: float) -> str:
    """Three figures, without an exponent where one can do without."""
    if np.isnan(number):
        return "–"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _draw_embedding(
    projection: Projection,
    classes: np.ndarray,
    names: Sequence[str],
    thumbnails: np.ndarray | None,
    marks: Sequence[str] | None = None,
) -> "Figure":
    drawn = [points for points in (projection.components, projection.neighbours) if points is not None]
    figure = _open(6.4 * len(drawn), 6.6)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    signs = names if marks is None or max(map(len, names)) == 1 else marks
    for axes, points, title in zip(panels, drawn, PANELS, strict=False):
        axes.set_title(title, fontsize=13)
        if thumbnails is not None and len(thumbnails) <= MOST_THUMBNAILS:
            _put_thumbnails(axes, points, classes, names, thumbnails)
        else:
            _put_names(axes, points, classes, names, signs)
        axes.tick_params(labelsize=10)
    for axis, number, share in zip((panels[0].xaxis, panels[0].yaxis), (1, 2), projection.shares, strict=True):
        axis.set_label_text(f"component {number} ({100 * share:.0f} % of the variance)", fontsize=12)
    if projection.neighbours is not None:
        panels[1].set_xlabel("dimension 1 (no unit: only who is near whom counts)", fontsize=12)
        panels[1].set_ylabel("dimension 2", fontsize=12)
    if signs is not names:
        handles, told = panels[0].get_legend_handles_labels()
        figure.legend(handles, told, loc="outside lower center", ncols=5, fontsize=12, frameon=False, markerscale=1.4)
    return figure


def _put_names(
    axes: "Axes", points: np.ndarray, classes: np.ndarray, names: Sequence[str], marks: Sequence[str]
) -> None:
    from matplotlib.textpath import TextPath

    axes.margins(0.08)
    for number, (name, mark) in enumerate(zip(names, marks, strict=True)):
        x, y = points[classes == number].T
        letters = "".join(letter for letter in mark if letter.isalnum())  # a name is no command to mathtext
        text = letters or str(number)
        marker = rf"$\mathrm{{{text}}}$"
        # a marker's size is that of its longer side, which for equal type depends on the word
        extents = TextPath((0, 0), marker, size=NAME_POINTS).get_extents()
        longer = max(extents.width, extents.height)
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        axes.scatter(x, y, s=longer**2, marker=marker, color=colour, linewidths=0, label=name)


def _put_thumbnails(
    axes: "Axes", points: np.ndarray, classes: np.ndarray, names: Sequence[str], thumbnails: np.ndarray
) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage
    from matplotlib.patches import Rectangle

    axes.scatter(points[:, 0], points[:, 1], s=0)  # sets the limits
    axes.margins(0.08)
    looks = [_choose_frame(number) for number in range(len(names))]
    for point, number, image in zip(points, classes, thumbnails, strict=True):
        picture = OffsetImage(
            image.squeeze(), zoom=THUMBNAIL_PX / max(image.shape), cmap="gray_r", interpolation="none"
        )
        axes.add_artist(AnnotationBbox(picture, tuple(point), pad=0.1, bboxprops=looks[number]))
    handles = [Rectangle((0, 0), 1, 1, fill=False, **look) for look in looks]
    legend = axes.legend(
        handles, list(names), loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=6, fontsize=11, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a folder may have a dollar in its name


def _choose_frame(number: int) -> dict[str, Any]:
    """Colour and stroke of a class's frames, which differ in grey print as well."""
    return {
        "edgecolor": CLASS_COLOURS[number % len(CLASS_COLOURS)],
        "linestyle": FRAME_STROKES[number % len(FRAME_STROKES)],
        "linewidth": 2,
    }


def _draw_distances(distances: Distances, images: np.ndarray) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap

    count = len(distances.names)
    figure = _open(1.6 + 0.78 * max(count, 4), 2.0 + 0.78 * max(count, 4))
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("near", [ACCENT_COLOUR, "white"])
    axes.imshow(distances.means, cmap=colours.with_extremes(bad="white"), vmin=0)
    for row, column in np.ndindex(count, count):
        mean = float(distances.means[row, column])
        weight = "bold" if row == column else "normal"
        axes.text(column, row, shorten(mean), ha="center", va="center", fontsize=12, weight=weight)
    for column, row in enumerate(distances.prototypes):
        extent = (column - 0.45, column + 0.45, -0.65, -1.55)
        axes.imshow(images[row].squeeze(), cmap="gray_r", vmin=0, vmax=255, extent=extent)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -1.65)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(count), distances.names, fontsize=12, parse_math=False)
    if max(map(len, distances.names)) > LONGEST_LEVEL_NAME:
        for text in axes.get_xticklabels():
            text.set(rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel("prototype (above: its image)", fontsize=12)
    axes.set_ylabel("class of the images", fontsize=12)
    axes.set_title("mean sum of squared differences to the prototype", fontsize=12)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _open(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


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
