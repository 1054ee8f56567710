"""What a run is given: the rows of the three CSV files, their hashes, and a warning where they overlap."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.competition.submissions import count_image_ids
from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import check_augmentation
from digit_recognizer.data.duplicates import count_duplicates, find_duplicate_groups
from digit_recognizer.data.labels import DIGITS, LabelSet, load_label_set
from digit_recognizer.data.splits import draw_stratified_rows
from digit_recognizer.data.tables import find_cache_dir, load_test, load_train, pixels_to_images
from digit_recognizer.errors import InputError

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
        notes: what the loaders accepted with a word.
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
        InputError: one line for whatever is missing, malformed or does not fit together; for augmentation that makes
            these images another class.
    """
    folder: Path = config.input_dir
    check_augmentation(config.augmentation, load_label_set(folder), folder)  # before what takes longer
    cache_dir = find_cache_dir(folder)
    train = load_train(folder / "train.csv", cache_dir)
    test = load_test(folder / "test.csv", cache_dir)
    label_set = load_label_set(folder, test.sha256)
    rows = count_image_ids(folder / "sample_submission.csv")
    if rows != len(test.pixels):
        raise InputError(
            f"{folder / 'sample_submission.csv'} must have one id per row of test.csv; received {rows} ids "
            f"for {len(test.pixels)} rows. The files are not of one data set: get them together."
        )
    # Counted before any row is left out: a leak stays a leak in a short run.
    seen = {row.tobytes() for row in train.pixels}
    shared_test_rows = sum(row.tobytes() in seen for row in test.pixels)
    repeated = len(train.pixels) - len(seen)
    repeats = [f"{repeated:,} rows of train.csv repeat an earlier one, pixel for pixel"] * (repeated > 0)
    if shared_test_rows:
        repeats.append(f"{shared_test_rows:,} of {rows:,} rows of test.csv also stand in train.csv, pixel for pixel")
    absent = ", ".join(name for label, name in enumerate(label_set.names) if label not in train.labels)
    repeats += [f"train.csv has no row of class {absent}: no net can learn it"] * bool(absent)
    pixels, labels, test_pixels = train.pixels, train.labels, test.pixels
    if 0 < config.limit_train < len(labels):
        drawn, _ = draw_stratified_rows(labels, config.limit_train, seed=0)
        pixels, labels = pixels[drawn], labels[drawn]
    groups = find_duplicate_groups(pixels, label_set.near_distance)
    counts = count_duplicates(groups)
    if counts.groups:
        repeats.append(f"{counts}; the rows of a group share a fold")
    whole_test = not 0 < config.limit_test < len(test_pixels)
    if not whole_test:
        test_pixels = test_pixels[: config.limit_test]
    return Dataset(
        images=pixels_to_images(pixels),
        labels=labels,
        groups=groups,
        test_images=pixels_to_images(test_pixels),
        whole_test=whole_test,
        train_sha256=train.sha256,
        test_sha256=test.sha256,
        all_test_rows=rows,
        shared_test_rows=shared_test_rows,
        notes=(*train.notes, *test.notes, *repeats),
        label_set=label_set,
    )
