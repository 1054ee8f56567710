"""The competition's tables as arrays, and the data set of a run: its tables, its classes, and where rows overlap.

Tables are read once and then kept as .npz files, see the cache below.
"""

import contextlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.config import MIRRORED, RunConfig, expand_path, flag, matches_type
from digit_recognizer.console import print_line, show_status
from digit_recognizer.data.augmentation import POLICIES
from digit_recognizer.data.csv import CLASSES, IMAGE_SIDE_PX, PIXELS, CsvContent, load_labels, read_pixel_csv
from digit_recognizer.data.labels import DIGITS, MNIST, LabelSet, is_mnist, load_label_set
from digit_recognizer.data.pixels import FRACTIONS, check_labels, compare_means, correct_pixels
from digit_recognizer.data.splits import (
    count_duplicates,
    draw_stratified_rows,
    estimate_augmented_share,
    find_duplicate_groups,
    find_shared_rows,
)
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.io import find_cache_dir, hash_file, load_npz, remove_unused, write_atomically

if TYPE_CHECKING:
    import pandas as pd

# A few equal images are chance (thin 1s repeat). More means that the test rows' labels are among the training rows:
# MNIST as Keras ships it holds every test digit of the competition.
LEAK_SHARE = 0.01
# Rows that nearly show another one: 0.4 % of the real test rows are near a training row; of the bundled sample, whose
# digits are coarse, 3 % look like a turned or resized one. docs/honest-scores.md has what copies reach.
NEAR_SHARE = 0.1


# ---- tables


@dataclass(frozen=True)
class TestTable:
    """Pixels without labels, as in test.csv.

    Attributes:
        pixels: uint8 (n, 784), C-contiguous, 0 = paper, 255 = ink.
        sha256: hash of the CSV file's bytes, 64 hexadecimal digits. Of a table from memory: of the file that it would
            make.
        path: the CSV file. Of a table from memory: what messages call it, such as train.
        notes: departures from Kaggle's own form that were accepted, and trouble with the cache; one phrase each.
        mended: those of `notes` on pixels that were corrected (inverted, turned, rescaled …) by `data.pixels`.
        labels_aside: int64 (n,), 0 to 9: the labels of a test.csv that has some; only `download` uses them.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    pixels: np.ndarray
    sha256: str
    path: Path
    notes: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    labels_aside: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.pixels):,} rows, {self.path})"

    @property
    def images(self) -> np.ndarray:
        """uint8 (n, 28, 28, 1): the same memory as `pixels`."""
        return pixels_to_images(self.pixels)

    def to_frame(self) -> "pd.DataFrame":
        """The table as in the CSV: columns pixel0 to pixel783, uint8; after `label`, int64, where there are labels."""
        import pandas as pd

        return pd.DataFrame(self.pixels, columns=[f"pixel{k}" for k in range(PIXELS)])


@dataclass(frozen=True, kw_only=True, repr=False)
class TrainTable(TestTable):
    """Labelled pixels, as in train.csv; further attributes as in `TestTable`.

    Attributes:
        labels: int64 (n,), 0 to 9.
    """

    labels: np.ndarray

    def to_frame(self) -> "pd.DataFrame":
        frame = super().to_frame()
        frame.insert(0, "label", self.labels)
        return frame


def load_train(path: Path | str, *, cache: bool = False) -> TrainTable:
    """Load a train.csv: columns `label`, `pixel0` to `pixel783`.

    Args:
        path: the CSV file.
        cache: whether to keep the arrays for the next start, in the user's cache folder.

    Raises:
        InputError: naming file, line and column of the first fault.

    Example:
        >>> train = load_train("input/train.csv")  # uint8 pixels (n, 784), and n labels
        >>> train.pixels.shape[1], int(train.labels.min()), int(train.labels.max())
        (784, 0, 9)
    """
    path = expand_path(path)
    loaded = _load(path, cache, with_labels=True)
    labels = loaded.labels
    assert labels is not None
    if (labels == labels[0]).all():
        raise InputError("data.one_class", path=path, received=labels[0])
    found = correct_pixels(loaded.pixels)
    notes = (*loaded.notes, *found.mended, *found.doubts)
    mended = (*(note for note in loaded.notes if note in FRACTIONS), *found.mended)
    return TrainTable(found.pixels, loaded.sha256, path, notes, mended, labels=labels)


def load_test(path: Path | str, *, cache: bool = False) -> TestTable:
    """Load a test.csv: columns `pixel0` to `pixel783`; arguments and errors as for `load_train`.

    Example:
        >>> load_test("input/test.csv").images.shape[1:]
        (28, 28, 1)
    """
    path = expand_path(path)
    loaded = _load(path, cache, with_labels=False)
    found = correct_pixels(loaded.pixels)
    aside = ("its labels were set aside",) if loaded.labels is not None else ()
    notes = (*loaded.notes, *aside, *found.mended, *found.doubts)
    mended = (*(note for note in loaded.notes if note in FRACTIONS), *found.mended)
    return TestTable(found.pixels, loaded.sha256, path, notes, mended, loaded.labels)


def check_equal_rows(path: Path, rows: int, other: Path, other_rows: int) -> None:
    """Refuse two files of one data set that differ in rows.

    Raises:
        InputError: naming both.
    """
    if rows != other_rows:
        raise InputError("data.rows_differ", path=path, received=rows, other=other.name, expected=other_rows)


def pixels_to_images(pixels: np.ndarray) -> np.ndarray:
    """See rows of pixels as images.

    Args:
        pixels: array of shape (n, 784), row-major; usually uint8, 255 = ink.

    Returns:
        The same memory, without a copy, as (n, 28, 28, 1), dtype unchanged.

    Raises:
        ValueError: if a row does not hold 784 pixels.
    """
    if pixels.ndim != 2 or pixels.shape[1] != PIXELS:
        raise ValueError(f"pixels must have shape (n, {PIXELS}), but have {pixels.shape}")
    return pixels.reshape(-1, IMAGE_SIDE_PX, IMAGE_SIDE_PX, 1)


# ---- the data set of a run


@dataclass(frozen=True)
class Dataset:
    """One competition data set in memory.

    Attributes:
        images, test_images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.
        labels: int64 (n,).
        groups: int64 (n,): rows of one group are copies of one image, or nearly.
        train_sha256, test_sha256: as `TestTable.sha256`; the second is None where there is no test table.
        test_row_count: rows of test.csv, even if `test_images` has only the first of them; 0 where there is none.
        shared_test_rows: rows of test.csv whose pixels also occur in train.csv; those that nearly occur count too
            where they are more than chance.
        notes: departures from Kaggle's form, repeated rows and absent classes; one phrase each.
        mended: how pixels were corrected (inverted, turned, rescaled …); one phrase each, with the table's name.
        label_set: the names of the classes, and what may be done to their images.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    test_images: np.ndarray
    train_sha256: str
    test_sha256: str | None
    test_row_count: int
    shared_test_rows: int
    notes: tuple[str, ...]
    label_set: LabelSet = DIGITS
    mended: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of class 0 to class 9, such as "7"."""
        return self.label_set.names

    @property
    def has_all_test_rows(self) -> bool:
        """Whether every row of test.csv is here, so that a submission can be made."""
        return len(self.test_images) == self.test_row_count > 0

    @property
    def ineligible(self) -> str | None:
        """Why a submission made from this data must not enter the competition; None if it may."""
        return _explain_leak(self.shared_test_rows, self.test_row_count, self.label_set)


def load_dataset(config: RunConfig) -> Dataset:
    """Load the data set of a run from `config.input_dir`, through its binary cache.

    Raises:
        InputError: for whatever is missing, malformed or does not fit together, and for an augmentation that would
            turn an image into one of another class.
    """
    folder: Path = config.input_dir
    check_augmentation(config, load_label_set(folder))  # before the tables are read
    train = load_train(folder / "train.csv", cache=True)
    test = load_test(folder / "test.csv", cache=True)
    label_set = load_label_set(folder, test.sha256)
    submission = folder / "sample_submission.csv"
    check_equal_rows(submission, len(load_labels(submission)), test.path, len(test.pixels))
    return make_dataset(config, train, test, label_set)


def make_dataset(
    config: RunConfig, train: TrainTable, test: TestTable | None = None, label_set: LabelSet = DIGITS
) -> Dataset:
    """The data set of a run, from tables in memory.

    Args:
        config: says how many rows to use.
        train: the rows to train on and to score.
        test: the rows to predict; None predicts nothing.
        label_set: of both tables.
    """
    if label_set == DIGITS and is_mnist(train.labels):
        label_set = MNIST
    shared_test_rows, notes = _compare_rows(train, test, label_set)  # of all rows: a leak stays a leak in a short run
    pixels, labels = train.pixels, train.labels
    if 0 < config.limit_train < len(labels):
        drawn, _ = draw_stratified_rows(labels, config.limit_train, seed=0)
        pixels, labels = pixels[drawn], labels[drawn]
    if test is not None and shared_test_rows <= LEAK_SHARE * len(test.pixels):
        with show_status("looking for test rows among the training rows"):  # 5 s for 28,000 and 42,000
            near = _count_near_rows(pixels, test, label_set)
        if near:
            shared_test_rows = near
            both = f"{test.path.name} show images of {train.path.name}"
            notes.append(f"about {near:,} of {len(test.pixels):,} rows of {both}, retouched, moved, turned or resized")
    with show_status("looking for rows that show one image twice"):  # 2 s for 42,000 rows
        groups = find_duplicate_groups(pixels, label_set.near_distance)
    counts = count_duplicates(groups)
    if counts.groups:
        notes.append(f"{counts}; the rows of a group share a fold")
    # clothes resemble each other without being copies
    share = 0.0 if label_set.can_mirror else estimate_augmented_share(pixels, pixels, groups)
    if share > NEAR_SHARE:
        notes.append(
            f"{train.path.name} looks augmented: {share:.0%} or more of its rows are copies of others, turned, moved "
            "or resized. They lie in several folds, so the out-of-fold accuracy is too high: train on the originals"
        )
    test_pixels = np.empty((0, PIXELS), np.uint8) if test is None else test.pixels
    of_digits = label_set.key in (DIGITS.key, MNIST.key)
    if doubt := check_labels(train.pixels, train.labels, digits=of_digits):
        notes.append(f"{train.path.name}: {doubt}")
    if test is not None and (difference := compare_means(train.pixels, test_pixels)):
        notes.append(difference)
    tables = [table for table in (train, test) if table is not None]
    return Dataset(
        images=pixels_to_images(pixels),
        labels=labels,
        groups=groups,
        test_images=pixels_to_images(test_pixels[: config.limit_test or None]),
        train_sha256=train.sha256,
        test_sha256=None if test is None else test.sha256,
        test_row_count=len(test_pixels),
        shared_test_rows=shared_test_rows,
        notes=(*(f"{table.path.name}: {note}" for table in tables for note in table.notes), *notes),
        label_set=label_set,
        mended=tuple(f"{table.path.name}: {note}" for table in tables for note in table.mended),
    )


def _compare_rows(train: TrainTable, test: TestTable | None, label_set: LabelSet) -> tuple[int, list[str]]:
    """How many test rows are also training rows; and notes on repeated rows and absent classes."""
    seen = {row.tobytes() for row in train.pixels}
    test_pixels = () if test is None else test.pixels
    shared = sum(row.tobytes() in seen for row in test_pixels)
    repeated = len(train.pixels) - len(seen)
    absent = ", ".join(name for label, name in enumerate(label_set.names) if label not in train.labels)
    notes = [f"{repeated:,} rows of {train.path.name} repeat an earlier one, pixel for pixel"] * (repeated > 0)
    if test is not None and shared:
        both = f"{test.path.name} are also in {train.path.name}"
        notes.append(f"{shared:,} of {len(test_pixels):,} rows of {both}, pixel for pixel")
    if absent:
        notes.append(f"{train.path.name} has no row of class {absent}, so no model can learn it")
    return shared, notes


def _count_near_rows(pixels: np.ndarray, test: TestTable, label_set: LabelSet) -> int:
    """How many test rows show nearly what a training row shows, if it is more than chance; else 0.

    Of rows that were turned or resized it is an estimate.
    """
    near = int(find_shared_rows(test.pixels, pixels, label_set.near_distance).sum())
    if not label_set.can_mirror:  # clothes resemble each other without being copies
        near = max(near, round(estimate_augmented_share(test.pixels, pixels) * len(test.pixels)))
    return near if near > NEAR_SHARE * len(test.pixels) else 0


def find_ineligible(train: TrainTable, test: TestTable) -> str | None:
    """Why a submission for `test` by a model trained on `train` must not enter the competition; None if it may."""
    label_set = load_label_set(test.path.parent, test.sha256) if test.path.is_file() else DIGITS
    if label_set == DIGITS and is_mnist(train.labels):
        label_set = MNIST
    shared, _ = _compare_rows(train, test, label_set)
    if shared <= LEAK_SHARE * len(test.pixels) and not label_set.holds_competition:
        shared = max(shared, _count_near_rows(train.pixels, test, label_set))
    return _explain_leak(shared, len(test.pixels), label_set)


def _explain_leak(shared: int, test_rows: int, label_set: LabelSet) -> str | None:
    if label_set.holds_competition:
        return "MNIST holds the images of the competition's test.csv, with their labels"
    if shared <= LEAK_SHARE * test_rows:
        return None
    return f"{shared:,} of {test_rows:,} test rows are among the training rows, the same or nearly, with their labels"


def check_augmentation(config: RunConfig, label_set: LabelSet) -> None:
    """Refuse an augmentation, in training or at test time, that would turn an image into one of another class, or none.

    Args:
        config: of the run.
        label_set: of its images.

    Raises:
        InputError: if it mirrors images that must not be mirrored.
    """
    if label_set.can_mirror:
        return
    affine = POLICIES[config.augmentation].affine
    for mirrors, name in ((affine and affine.mirrored, "augmentation"), (config.tta in MIRRORED, "tta")):
        if mirrors:
            received = getattr(config, name)
            raise InputError(
                "data.mirrored", path=config.input_dir, column=flag(name), received=received, label_set=label_set.key
            )


# ---- finding the tables

ON_KAGGLE = Path("/kaggle/input")


def find_data(folder: Path | str = "input") -> Path:
    """Find the competition's files: on Kaggle, else in `folder`, else beside the folder that one works in.

    Where they are nowhere, the bundled sample of 1,797 digits is written to `<folder>/sample`, and a line says so.

    Returns:
        The folder that holds train.csv and test.csv.

    Raises:
        InputError: if the sample cannot be written, or, inside a Kaggle kernel, which does not carry it, is not there.

    Example:
        >>> dr.find_data().name
        'input'
    """
    with contextlib.suppress(InputError):  # of a notebook to which the competition is not attached
        return find_competition_data(ON_KAGGLE)
    folder = expand_path(folder)
    beside = Path("..") / folder  # of a notebook in a folder of its own
    for place in (folder, beside, folder / "sample"):
        if all((place / name).is_file() for name in ("train.csv", "test.csv")):
            return place
    try:
        from digit_recognizer.data.sources import download
    except ImportError:
        raise InputError("kernel.no_competition", path=ON_KAGGLE) from None
    download("sample", folder / "sample")
    print_line(f"The competition's files are not in {folder}/: these are the bundled sample's 1,797 digits.")
    return folder / "sample"


def find_competition_data(inputs: Path) -> Path:
    """The folder that holds the competition's files, wherever Kaggle has mounted it.

    Folders called digit-recognizer come first: an attached data set may hold files of the same names.

    Raises:
        InputError: if nothing attached holds them.
    """
    found = {path.parent for path in inputs.rglob("train.csv")}
    for folder in sorted(found, key=lambda folder: (folder.name != "digit-recognizer", folder)):
        if all((folder / name).is_file() for name in ("train.csv", "test.csv", "sample_submission.csv")):
            return folder
    raise InputError("kernel.no_competition", path=inputs)


# ---- the cache of tables
#
# `tables/<format>-<SHA-256 of the CSV>.npz` in the user's cache folder holds the arrays of a CSV. It is found by the
# content of the CSV, so it cannot be another's or out of date; beside the data it would come along with data from
# anybody, and be believed. 42,000 rows are loaded from it in 0.20 s, most of which hashes the CSV, and from the CSV in
# 0.77 s (medians of five).

FORMAT_VERSION = 3
MAX_HASHED_BYTES = 1 << 31  # EMNIST's largest table has 0.7 GB; a sparse file of a terabyte would be read for an hour


def _load(path: Path, cache: bool, with_labels: bool) -> CsvContent:
    """Read a CSV through its cache, if asked for."""
    if not cache:
        return read_pixel_csv(path, with_labels)
    folder = find_cache_dir() / "tables"
    if cached := _load_cached(path, folder, with_labels):
        return cached
    content = read_pixel_csv(path, with_labels)
    labels = np.empty(0, np.int64) if content.labels is None else content.labels
    notes = np.frombuffer(json.dumps(content.notes).encode(), np.uint8)
    cache_path = folder / f"{FORMAT_VERSION}-{content.sha256}.npz"
    try:
        with write_atomically(cache_path) as temporary:
            np.savez(temporary, notes=notes, pixels=content.pixels, labels=labels)
        remove_unused(folder)
    except WriteError as error:
        note = f"{cache_path} cannot be written, so the next start reads the CSV again ({error})"
        return replace(content, notes=(*content.notes, note))
    return content


def _load_cached(path: Path, folder: Path, with_labels: bool) -> CsvContent | None:
    """The cached content of a CSV; None where the CSV must be read: never cached, or the cache is damaged."""
    try:
        if path.stat().st_size > MAX_HASHED_BYTES:
            return None
        sha256 = hash_file(path)
        cache_path = folder / f"{FORMAT_VERSION}-{sha256}.npz"
        arrays = load_npz(cache_path, cache_path.stat().st_size)  # its arrays are not packed
        pixels, labels, notes = arrays["pixels"], arrays["labels"], json.loads(bytes(arrays["notes"]))
        rows = len(labels) or len(pixels)
        forms = (str(pixels.dtype), pixels.shape, str(labels.dtype), labels.ndim)
        if forms != ("uint8", (rows, PIXELS), "int64", 1) or not matches_type(notes, list[str]):
            return None
        if len(labels) and not 0 <= labels.min() <= labels.max() < CLASSES:
            return None
        if with_labels and not len(labels):
            return None
        os.utime(cache_path)  # so that it is not taken for unused
        return CsvContent(pixels, labels if len(labels) else None, sha256, tuple(notes))
    except (OSError, ValueError, KeyError, RecursionError):
        return None  # whatever is wrong with the cache, the CSV is read instead
