"""What a run is given: the rows of the three CSV files, their hashes, and a warning where they overlap."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import check_augmentation
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.duplicates import count_duplicates, find_duplicate_groups
from digit_recognizer.data.labels import DIGITS, LabelSet, load_label_set
from digit_recognizer.data.splits import draw_stratified_rows
from digit_recognizer.data.tables import (
    TestTable,
    TrainTable,
    check_equal_rows,
    find_cache_dir,
    load_test,
    load_train,
    pixels_to_images,
)

# A few equal images are chance (thin 1s repeat). More means that the test rows' labels are among the training rows:
# MNIST as Keras ships it holds every test digit of the competition.
LEAK_SHARE = 0.01


@dataclass(frozen=True)
class Dataset:
    """One competition data set in memory.

    Attributes:
        images, test_images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.
        labels: int64 (n,).
        groups: int64 (n,): rows of one group are copies of one image, or nearly.
        whole_test: whether every row of test.csv is here, so that a submission can be made.
        train_sha256, test_sha256: of the CSV files' bytes.
        all_test_rows: rows of test.csv, also where only the first are used.
        shared_test_rows: rows of test.csv whose pixels also occur in train.csv.
        notes: departures from Kaggle's form, repeated rows and absent classes; one phrase each.
        label_set: what the classes are.
    """

    images: np.ndarray
    labels: np.ndarray
    groups: np.ndarray
    test_images: np.ndarray
    whole_test: bool
    train_sha256: str
    test_sha256: str
    all_test_rows: int
    shared_test_rows: int
    notes: tuple[str, ...]
    label_set: LabelSet = DIGITS

    @property
    def class_names(self) -> tuple[str, ...]:
        """What label 0 to label 9 are called; digits as they are written."""
        return self.label_set.names

    @property
    def ineligible(self) -> str | None:
        """Why a submission made from this data must not enter the competition; None if it may."""
        if self.shared_test_rows <= LEAK_SHARE * self.all_test_rows:
            return None
        return (
            f"{self.shared_test_rows:,} of {self.all_test_rows:,} test rows are among the training rows, "
            "with their labels"
        )


def load_dataset(config: RunConfig) -> Dataset:
    """Load the data set of a run from `config.input_dir`, through its binary cache.

    Raises:
        InputError: for whatever is missing, malformed or does not fit together, and for an augmentation that would
            turn an image into one of another class.
    """
    folder: Path = config.input_dir
    check_augmentation(config.augmentation, load_label_set(folder), folder)  # before what takes longer
    cache_dir = find_cache_dir(folder)
    train = load_train(folder / "train.csv", cache_dir)
    test = load_test(folder / "test.csv", cache_dir)
    label_set = load_label_set(folder, test.sha256)
    submission = folder / "sample_submission.csv"
    check_equal_rows(submission, len(load_labels(submission)), test.path, len(test.pixels))
    shared_test_rows, notes = _compare_rows(train, test, label_set)  # of all rows: a leak stays a leak in a short run
    pixels, labels, test_pixels = train.pixels, train.labels, test.pixels
    if 0 < config.limit_train < len(labels):
        drawn, _ = draw_stratified_rows(labels, config.limit_train, seed=0)
        pixels, labels = pixels[drawn], labels[drawn]
    groups = find_duplicate_groups(pixels, label_set.near_distance)
    counts = count_duplicates(groups)
    if counts.groups:
        notes.append(f"{counts}; the rows of a group share a fold")
    whole_test = not 0 < config.limit_test < len(test_pixels)
    return Dataset(
        images=pixels_to_images(pixels),
        labels=labels,
        groups=groups,
        test_images=pixels_to_images(test_pixels if whole_test else test_pixels[: config.limit_test]),
        whole_test=whole_test,
        train_sha256=train.sha256,
        test_sha256=test.sha256,
        all_test_rows=len(test_pixels),
        shared_test_rows=shared_test_rows,
        notes=(*train.notes, *test.notes, *notes),
        label_set=label_set,
    )


def _compare_rows(train: TrainTable, test: TestTable, label_set: LabelSet) -> tuple[int, list[str]]:
    """How many test rows are also training rows; and notes on repeated rows and absent classes."""
    seen = {row.tobytes() for row in train.pixels}
    shared = sum(row.tobytes() in seen for row in test.pixels)
    repeated = len(train.pixels) - len(seen)
    absent = ", ".join(name for label, name in enumerate(label_set.names) if label not in train.labels)
    notes = [f"{repeated:,} rows of train.csv repeat an earlier one, pixel for pixel"] * (repeated > 0)
    if shared:
        notes.append(f"{shared:,} of {len(test.pixels):,} rows of test.csv are also in train.csv, pixel for pixel")
    if absent:
        notes.append(f"train.csv has no row of class {absent}, so no model can learn it")
    return shared, notes
