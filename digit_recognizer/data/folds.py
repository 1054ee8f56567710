"""Which rows are fitted and which are held out."""

import numpy as np

from digit_recognizer.errors import InputError


def assign_folds(labels: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Assign every row to the fold in which it is held out; each fold has nearly the class shares of the whole.

    Args:
        labels: int (n,).
        folds: number of folds, at least 2.
        seed: equal seeds give equal folds.

    Returns:
        int16 (n,): the fold of each row, 0 to folds - 1.

    Raises:
        InputError: if a class has fewer rows than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        rare = classes[counts.argmin()]
        raise InputError(
            f"--folds takes at most the rows of the rarest class; class {rare} has {counts.min()}, received {folds}."
        )
    fold_of_row = np.empty(len(labels), np.int16)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels)):
        fold_of_row[held_out] = fold
    return fold_of_row


def draw_stratified_rows(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into the drawn and the rest, each class giving its share as nearly as whole rows allow.

    Args:
        labels: int (n,).
        count: how many rows to draw, 0 to n.
        seed: equal seeds draw equal rows.

    Returns:
        Two sorted int64 arrays of row numbers: `count` drawn ones, and the others.
    """
    place = np.empty(len(labels))
    rng = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)  # evenly from 0 to 1 within the class
    order = np.argsort(place, kind="stable")
    return np.sort(order[:count]), np.sort(order[count:])
