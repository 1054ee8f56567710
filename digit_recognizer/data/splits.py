"""Which rows a fold holds out, and which rows are duplicates and so share a fold.

Duplicates are exact copies of an image, and near-copies that were scanned again, moved or retouched.
Two images are near each other if their pixels, each scaled to a length of 1, are less than `NEAR_DISTANCE` apart: in
place, or after each was moved by whole pixels to the same centre of mass. The scale makes the distance one relative to
the ink; by plain grey levels thin 1s, which hold little, would all be near each other.

Copies that were turned, resized or moved by half a pixel are farther apart than many unrelated images are. They are not
found one by one, but noticed together: see `estimate_augmented_share`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.augmentation import warp_images
from digit_recognizer.data.csv import IMAGE_SIDE_PX
from digit_recognizer.errors import InputError

if TYPE_CHECKING:
    from digit_recognizer.data.frames import TableSource

# Chosen on the 42,000 rows by benchmarks/near_duplicates.py: the histogram has no gap, since they hold no image twice.
# Below 0.18 lie 1s alone, in groups of four at most, and 94 % or more of copies with noise of 8 grey levels, turned by
# 2 degrees, of another gamma (0.8 to 1.25) or saved as JPEG of quality 75. Beyond it 1s chain.
NEAR_DISTANCE = 0.18
# Clothes are alike by nature: at 0.18 Fashion-MNIST's training rows chain to a group of 3,953 pullovers, coats and
# shirts. Below 0.08 lie 125 rows, one article twice or in two shades, in groups of 4 at most; beyond it, any trousers.
NEAR_DISTANCE_OF_CLOTHES = 0.08
LEADING_AXES = 64  # measured: fewer let too many pairs through to the exact check
BASIS_ROWS = 4096  # more draw the axes no better
BLOCK_ROWS, BLOCK_COLUMNS = 256, 4096  # 4 MiB of bounds at a time; more leave the cache and were never faster
FLOAT32_SLACK = 1e-3  # rounding by 1e-6 in the squares of the lengths left out is 1e-3 in their roots
CENTRE_PX = 14  # where MNIST's preprocessing puts the centre of mass, to the nearest whole pixel
NORMAL_SPREAD_PX = (3.8, 5.2)  # standard deviations of a digit's ink, across and down: about those of MNIST's digits
MAX_STRETCH = 1.5  # to get there
NARROWEST_SPREAD_PX = 2.2  # across: 1s are narrower, and resemble each other too much to tell copies
COPY_DISTANCE = 0.15  # between normalized images: of the 42,000 rows that are not narrow, 0.2 % have another so near
AUGMENTED_SAMPLE = 1000


def assign_folds(labels: np.ndarray, folds: int, seed: int, groups: np.ndarray) -> np.ndarray:
    """Assign every row to the fold in which it is held out; each fold has nearly the class shares of the whole.

    Args:
        labels: int (n,).
        folds: number of folds, at least 2.
        seed: equal seeds give equal folds.
        groups: int (n,), from `find_duplicate_groups`: rows of one group share a fold, so that no model is
            evaluated on a copy of an image that it was trained on. Stratification counts the first row of each group.

    Returns:
        int16 (n,): the fold of each row, 0 to folds - 1.

    Raises:
        InputError: if a class has fewer rows than there are folds, rows of a group counted once.
    """
    from sklearn.model_selection import StratifiedKFold

    _, first_rows, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    classes = np.unique(labels)
    counts = (labels[first_rows, None] == classes).sum(axis=0)
    if counts.min() < folds:
        raise InputError("data.folds", received=folds, label=int(classes[counts.argmin()]), rows=int(counts.min()))
    order = np.argsort(first_rows)  # groups in the order of the rows, however they are numbered
    fold_of_group = np.empty(len(order), np.int16)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for fold, (_, held_out) in enumerate(splitter.split(order, labels[first_rows[order]])):
        fold_of_group[order[held_out]] = fold
    return fold_of_group[group_of_row]


def make_folds(train: "TableSource", folds: int = 5, seed: int = 0) -> np.ndarray:
    """Assign every row to the fold in which it is held out, as `cross_validate` does with the same seed.

    Folds are stratified, and rows that show nearly the same image share one: see `assign_folds`.

    Args:
        train: what `load_train` gives, or the table in another form that `cross_validate` takes.
        folds: number of folds, at least 2.
        seed: equal seeds give equal folds.

    Returns:
        int16 (n,): the fold of each row, 0 to folds - 1.

    Raises:
        InputError: for a table that cannot be used, or too few rows of a class.

    Example:
        >>> np.unique(make_folds("input/train.csv", folds=2)).tolist()
        [0, 1]
    """
    from digit_recognizer.data.dataset import TrainTable

    if not isinstance(train, TrainTable):
        from digit_recognizer.data.frames import read_train_table

        train = read_train_table(train)
    # `derive_seed(seed, "folds")` of a run
    derived = int(np.random.SeedSequence([seed, 0, 0]).generate_state(1)[0])
    return assign_folds(train.labels, folds, derived, find_duplicate_groups(train.pixels))


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


# ---- duplicates


@dataclass(frozen=True)
class DuplicateCounts:
    """How much of a table repeats itself.

    Attributes:
        rows: in groups of two or more.
        groups: of two or more rows.
        largest: rows of the largest group; 1 if no row has a duplicate, 0 without rows.
    """

    rows: int
    groups: int
    largest: int

    def __str__(self) -> str:
        if not self.groups:
            return "no row is a duplicate or near-duplicate of another"
        return (
            f"{self.rows:,} rows are duplicates or near-duplicates of others, in {self.groups:,} "
            f"{'group' if self.groups == 1 else 'groups'}; "
            f"the largest has {self.largest:,}"
        )


def find_duplicate_groups(pixels: np.ndarray, near_distance: float = NEAR_DISTANCE) -> np.ndarray:
    """Group the rows that are exact or near duplicates of one image; what is near two rows joins their groups.

    The answer is exact: leading principal axes and the length of what they leave out bound each pair's cosine from
    above (Cauchy and Schwarz), and every pair that the bound lets through is computed in whole numbers. Labels play no
    part, and the order of the rows none but in the numbering.

    Args:
        pixels: uint8 (n, 784), 0 = paper, 255 = ink.
        near_distance: between rows scaled to length 1, above 0 and at most 1.

    Returns:
        int64 (n,): the group of each row; groups are numbered from 0 in the order of their first rows.

    Raises:
        ValueError: if the pixels are no such array.
    """
    from threadpoolctl import threadpool_limits

    if pixels.dtype != np.uint8 or pixels.shape[1:] != (IMAGE_SIDE_PX**2,):
        raise ValueError(f"pixels must be uint8 (n, 784), but are {pixels.dtype} {pixels.shape}")
    images = pixels.reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX)
    copy_of, first_rows = _number_copies(pixels)
    groups = np.arange(len(first_rows), dtype=np.int32)
    if len(first_rows) > 1:
        # one thread: on a busy machine OpenBLAS's threads wait for each other, and 2 s were seen to become 16
        with threadpool_limits(1, "blas"):
            groups = _join_in_place_and_centred(images[first_rows], np.arange(len(groups)), groups, near_distance)
    groups = groups[copy_of]
    _, first_of_group, numbered = np.unique(groups, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_of_group))[numbered].astype(np.int64)


def _number_copies(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row's image, int64 (n,), equal for exact copies; and the first row of each image."""
    seen: dict[bytes, int] = {}
    copy_of = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in pixels], np.int64)
    return copy_of, np.unique(copy_of, return_index=True)[1]


def count_duplicates(groups: np.ndarray) -> DuplicateCounts:
    """Count what `find_duplicate_groups` found; `groups` is int (n,)."""
    sizes = np.bincount(groups)
    several = sizes[sizes > 1]
    return DuplicateCounts(int(several.sum()), len(several), int(sizes.max(initial=0)))


def find_shared_rows(pixels: np.ndarray, other_pixels: np.ndarray, near_distance: float = NEAR_DISTANCE) -> np.ndarray:
    """Which rows of one table show an image of another table: the same, or nearly, as `find_duplicate_groups` has it.

    Args:
        pixels: uint8 (n, 784), such as of test.csv.
        other_pixels: uint8 (m, 784), such as of train.csv.
        near_distance: as there.

    Returns:
        bool (n,).

    Example:
        >>> test = dr.load_test("input/test.csv").pixels[:3]
        >>> find_shared_rows(test, test[1:2]).tolist()
        [False, True, False]
    """
    from threadpoolctl import threadpool_limits

    both = np.concatenate([pixels, other_pixels])
    copy_of, first_rows = _number_copies(both)
    images = both[first_rows].reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX)
    smaller = copy_of[: len(pixels)] if len(pixels) < len(other_pixels) else copy_of[len(pixels) :]
    groups, queries = np.arange(len(images), dtype=np.int32), np.unique(smaller)  # compared with all
    with threadpool_limits(1, "blas"):
        groups = _join_in_place_and_centred(images, queries, groups, near_distance)[copy_of]
    return np.isin(groups[: len(pixels)], groups[len(pixels) :])


def estimate_augmented_share(pixels: np.ndarray, other_pixels: np.ndarray, groups: np.ndarray | None = None) -> float:
    """The share of rows that look like a turned, slanted, resized or moved copy of a row of a table.

    Each image is made upright, centred and brought to one size by the moments of its ink. In data that nobody has
    augmented no two images are then as near as `COPY_DISTANCE`, narrow ones aside, which are not looked at.

    Args:
        pixels: uint8 (n, 784).
        other_pixels: uint8 (m, 784), where copies are looked for.
        groups: int (n,) of `find_duplicate_groups`, if both are the same table: rows of one group do not count.

    Returns:
        From 0 to 1, of up to 1,000 rows drawn; 0 if none can be looked at.

    Example:
        >>> train = dr.load_train("input/train.csv").pixels
        >>> estimate_augmented_share(train, train, find_duplicate_groups(train))
        0.0
    """
    order = np.random.default_rng(0).permutation(len(pixels))[: 2 * AUGMENTED_SAMPLE]
    drawn, spreads = _normalize(pixels[order])
    wide = spreads >= NARROWEST_SPREAD_PX
    if not wide.any() or not len(other_pixels):
        return 0.0
    cosines = drawn[wide][:AUGMENTED_SAMPLE] @ _normalize(other_pixels)[0].T
    if groups is not None:
        cosines[groups[order[wide][:AUGMENTED_SAMPLE], None] == groups] = 0
    return float((cosines.max(axis=1) > 1 - COPY_DISTANCE**2 / 2).mean())


def _normalize(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images upright, centred and of one size, as float32 rows of length 1; and their spreads across, in px."""
    import cv2

    images = pixels.reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX)
    matrices, spreads = np.tile(np.eye(2, 3), (len(images), 1, 1)), np.zeros(len(images))
    centre = (IMAGE_SIDE_PX - 1) / 2
    for row, image in enumerate(images):
        ink = cv2.moments(image)
        if not ink["m00"] or not ink["mu02"]:  # blank, or one line of pixels
            continue
        slant, down = ink["mu11"] / ink["mu02"], (ink["mu02"] / ink["m00"]) ** 0.5
        spreads[row] = across = max(ink["mu20"] - slant * ink["mu11"], 0) ** 0.5 / ink["m00"] ** 0.5
        wanted = np.divide(NORMAL_SPREAD_PX, (max(across, 1e-3), down))
        stretch_x, stretch_y = np.clip(wanted, 1 / MAX_STRETCH, MAX_STRETCH)
        linear = np.array([[stretch_x, -stretch_x * slant], [0, stretch_y]])
        shift = centre - linear @ np.array([ink["m10"], ink["m01"]]) / ink["m00"]
        matrices[row] = np.column_stack([linear, shift])
    flat = warp_images(images, matrices).reshape(len(images), -1).astype(np.float32)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1), spreads


def _join_in_place_and_centred(
    images: np.ndarray, queries: np.ndarray, groups: np.ndarray, near_distance: float
) -> np.ndarray:
    """Join the groups of near rows, of which one is among the queries."""
    groups = _join_near(images, queries, groups, near_distance)
    moves = _find_moves_to_centre(images)
    moved = np.flatnonzero(moves.any(axis=1))
    if len(moved):  # pairs of which neither moved have been compared
        groups = _join_near(_move(images, moves), min(moved, queries, key=len), groups, near_distance)
    return groups


def _join_near(images: np.ndarray, queries: np.ndarray, groups: np.ndarray, near_distance: float) -> np.ndarray:
    """Join the groups of near rows, comparing each query row with every row; blocks keep memory bounded."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    others = np.setdiff1d(np.arange(len(images)), queries)
    order = np.concatenate([queries, others])  # so that each query block meets what follows it, and no pair twice
    pixels, groups = images.reshape(len(images), -1)[order], groups[order]
    near_cosine = 1 - near_distance**2 / 2
    lengths = np.sqrt(np.einsum("ij,ij->i", pixels, pixels, dtype=np.int64))
    for rows, columns in _iterate_candidates(pixels, lengths, len(queries), groups, near_cosine):
        products = pixels[rows].astype(np.float64) @ pixels[columns].astype(np.float64).T  # whole numbers: exact
        near = products > near_cosine * np.outer(lengths[rows], lengths[columns])  # never true of a blank row
        near &= groups[rows, None] != groups[columns]
        if not near.any():
            continue
        a, b = np.nonzero(near)
        links = coo_array((np.ones(len(a), bool), (groups[rows][a], groups[columns][b])), shape=(len(groups),) * 2)
        groups[:] = connected_components(links, directed=False)[1][groups]
    joined = np.empty_like(groups)
    joined[order] = groups
    return joined


def _iterate_candidates(
    pixels: np.ndarray, lengths: np.ndarray, queries: int, groups: np.ndarray, near_cosine: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield row and column numbers among which all pairs lie that may be near and are of different groups yet.

    `groups` is read again for each block, so that pairs that the caller has joined meanwhile are skipped.
    """
    bounding = _project(pixels, lengths)
    for top in range(0, queries, BLOCK_ROWS):
        block = bounding[top : min(top + BLOCK_ROWS, queries)]
        for left in range(top, len(bounding), BLOCK_COLUMNS):
            hits = block @ bounding[left : left + BLOCK_COLUMNS].T > near_cosine - FLOAT32_SLACK
            rows, columns = np.flatnonzero(hits.any(axis=1)), np.flatnonzero(hits.any(axis=0))
            hits = hits[np.ix_(rows, columns)]
            hits &= groups[top + rows, None] != groups[left + columns]
            rows, columns = rows[hits.any(axis=1)], columns[hits.any(axis=0)]
            if len(rows):
                yield top + rows, left + columns


def _project(pixels: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """float32 (n, axes + 1), of few rows (n, pixels): vectors whose products are at least the cosines of the rows."""
    scales = np.where(lengths == 0, 1, lengths).astype(np.float32)[:, None]
    if len(pixels) <= pixels.shape[1]:
        return pixels / scales  # to find the axes takes longer: 0.1 s, a third of a tiny run
    step = -(-len(pixels) // BASIS_ROWS)
    basis_rows = pixels[::step] / scales[::step]
    axes = np.linalg.eigh(basis_rows.T @ basis_rows)[1][:, -LEADING_AXES:]
    leading = (pixels.astype(np.float32) @ axes) / scales
    left_out = np.sqrt(np.maximum((lengths > 0) - np.square(leading).sum(axis=1), 0))
    return np.column_stack([leading, left_out]).astype(np.float32)


def _find_moves_to_centre(images: np.ndarray) -> np.ndarray:
    """Whole pixels down and right, int64 (n, 2), that bring each centre of mass to `CENTRE_PX`; 0 for blank images."""
    mass = images.sum(axis=(1, 2), dtype=np.int64)
    places = np.arange(images.shape[1])
    moments = np.stack([images.sum(axis=axis, dtype=np.int64) @ places for axis in (2, 1)], axis=1)
    divisor = np.maximum(mass, 1)[:, None]
    centres = (2 * moments + divisor) // (2 * divisor)  # rounded in whole numbers: equal for equal ink anywhere
    return np.where(mass[:, None] > 0, CENTRE_PX - centres, 0)


def _move(images: np.ndarray, moves: np.ndarray) -> np.ndarray:
    moved = images.copy()
    for down, right in np.unique(moves[moves.any(axis=1)], axis=0):
        rows = (moves == (down, right)).all(axis=1)
        moved[rows] = np.roll(images[rows], (down, right), axis=(1, 2))
    return moved
