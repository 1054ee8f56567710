"""How a net's embedding sorts images: by distance to a prototype of each class, and by k-means that knows no classes.

Sums of squared differences (SSD) to one sample per class are document 003's measure (part 3), which suspects that
k-means could separate the classes; here it is tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
