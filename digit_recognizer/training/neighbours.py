"""Classes told by distance in an embedding, without any training: the nearest class mean, and the nearest pictures."""

import numpy as np

QUERIES_AT_ONCE = 64  # times 100,000 copies, in float32 26 MB of distances
SPREAD_FLOOR = 1e-3  # of the spread of all numbers: what all but never changes must not be blown up


def standardise(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find what brings each number of an embedding to mean 0 and standard deviation 1.

    Args:
        embeddings: float32 (n, numbers).

    Returns:
        The means and the spreads, float32 (numbers,); a number that hardly changes has a spread of more than its own.
    """
    floor = SPREAD_FLOOR * float(embeddings.std()) or 1.0
    return embeddings.mean(axis=0), embeddings.std(axis=0) + np.float32(floor)


def predict_by_prototypes(embeddings: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Find the class whose mean is nearest by the sum of squared differences (Snell et al. 2017, section 2.1).

    Args:
        embeddings: float32 (n, numbers) of the pictures that are known.
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        queries: float32 (m, numbers).

    Returns:
        int64 (m,).
    """
    prototypes = np.stack([embeddings[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return _measure(queries, prototypes).argmin(axis=1)


def predict_by_neighbours(
    embeddings: np.ndarray, labels: np.ndarray, queries: np.ndarray, neighbours: int
) -> np.ndarray:
    """Let the nearest pictures vote, by squared differences of standardised numbers.

    Of classes with as many votes, the one with the nearest picture wins.

    Args:
        embeddings: float32 (n, numbers) of the pictures that are known.
        labels: int64 (n,), 0 to classes - 1.
        queries: float32 (m, numbers).
        neighbours: how many vote, at most n of them.

    Returns:
        int64 (m,).
    """
    mean, spread = standardise(embeddings)
    embeddings, queries = (embeddings - mean) / spread, (queries - mean) / spread
    neighbours = min(neighbours, len(labels))
    winners = [np.empty(0, np.int64)]
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        distances = _measure(queries[start : start + QUERIES_AT_ONCE], embeddings)
        nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
        nearest = np.take_along_axis(nearest, np.take_along_axis(distances, nearest, 1).argsort(axis=1), 1)
        votes = np.zeros((len(nearest), labels.max() + 1))
        for rank in range(neighbours):
            # all nearer ranks together weigh less than one vote
            votes[np.arange(len(nearest)), labels[nearest[:, rank]]] += 1 + 0.5 ** (rank + 2)
        winners.append(votes.argmax(axis=1))
    return np.concatenate(winners)


def _measure(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Squared distances (m, n), up to a constant per query."""
    return (points**2).sum(axis=1) - 2 * queries @ points.T
