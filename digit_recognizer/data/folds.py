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
        int8 (n,): the fold of each row, 0 to folds - 1.

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
    fold_of_row = np.empty(len(labels), np.int8)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(labels, labels)):
        fold_of_row[held_out] = fold
    return fold_of_row


def draw_stratified_rows(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split rows into the drawn and the rest, class shares kept.

    Args:
        labels: int (n,).
        count: how many rows to draw; at least one per class, and at least one per class is left over.
        seed: equal seeds draw equal rows.

    Returns:
        Two sorted int64 arrays of row numbers: `count` drawn ones, and the others.

    Raises:
        InputError: if the rows are too few for that.
    """
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= count <= len(labels) - len(classes) or counts.min() < 2:
        raise InputError(
            f"{count} of {len(labels)} rows cannot be set apart with every class on both sides: there are "
            f"{len(classes)} classes, the rarest with {counts.min()} rows. Use more rows (--train-rows), or no early "
            "stopping and another schedule than plateau."
        )
    rest, drawn = train_test_split(np.arange(len(labels)), test_size=count, random_state=seed, stratify=labels)
    return np.sort(drawn), np.sort(rest)
