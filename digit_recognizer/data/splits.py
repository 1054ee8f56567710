"""Which rows a fold holds out, and samples of rows in which every class has its share."""

import numpy as np

from digit_recognizer.errors import InputError


def assign_folds(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """Assign every row to the fold in which it is held out; each fold has nearly the class shares of the whole.

    Args:
        labels: int (n,).
        folds: number of folds, at least 2.
        seed: equal seeds give equal folds.
        groups: int (n,), from `digit_recognizer.data.duplicates`: rows of one group share a fold, so that no model is
            evaluated on a copy of an image that it was trained on. Stratification counts the first row of each group.
            None for rows without duplicates, which gives the same folds as groups of one.

    Returns:
        int16 (n,): the fold of each row, 0 to folds - 1.

    Raises:
        InputError: if a class has fewer rows than there are folds, rows of a group counted once.
    """
    from sklearn.model_selection import StratifiedKFold

    if groups is None:
        groups = np.arange(len(labels))
    _, first_rows, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    images = np.sort(first_rows)  # in the rows' order, whatever the groups' numbers are
    image_of_row = np.searchsorted(images, first_rows)[group_of_row]
    classes = np.unique(labels)
    counts = (labels[images, None] == classes).sum(axis=0)
    if counts.min() < folds:
        raise InputError("data.folds", received=folds, label=int(classes[counts.argmin()]), rows=int(counts.min()))
    fold_of_image = np.empty(len(images), np.int16)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(images, labels[images])):
        fold_of_image[held_out] = fold
    return fold_of_image[image_of_row]


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
