"""The competition's CSV files as arrays: read fast, checked cell by cell, hashed, and kept in a binary cache."""

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from digit_recognizer.data.cache import CachedArrays, load_cached_arrays, write_cached_arrays
from digit_recognizer.data.csv_header import CLASSES, IMAGE_SIDE_PX, PIXELS, open_regular_file, read_names
from digit_recognizer.data.file_kinds import check_text
from digit_recognizer.errors import InputError

MOST_LABELS = 10_000_000  # hundreds of times the competition's rows: a file that goes on is no table of labels


@dataclass(frozen=True)
class TrainTable:
    """Labelled pixels, as in train.csv.

    Attributes:
        pixels: uint8 (n, 784), C-contiguous, 0 = paper, 255 = ink.
        labels: int64 (n,), 0 to 9.
        sha256: hash of the CSV file's bytes, 64 hexadecimal digits.
        path: the CSV file.
        notes: departures from Kaggle's own form that were accepted, and trouble with the cache; one phrase each.
    """

    pixels: np.ndarray
    labels: np.ndarray
    sha256: str
    path: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TestTable:
    """Pixels without labels, as in test.csv; attributes as in `TrainTable`."""

    __test__ = False  # no test case, whatever pytest makes of the name

    pixels: np.ndarray
    sha256: str
    path: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelTable:
    """Labels by image, as in test_labels.csv or a submission.

    Attributes:
        labels: int64 (n,), 0 to 9; row i belongs to ImageId i + 1.
        path: the CSV file.
    """

    labels: np.ndarray
    path: Path


def load_train_table(path: Path, cache_dir: Path | None = None) -> TrainTable:
    """Load a train.csv: columns `label`, `pixel0` to `pixel783`.

    Args:
        path: the CSV file.
        cache_dir: where to keep the arrays for the next start; None for no cache.

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    loaded = _load_arrays(Path(path), cache_dir, with_labels=True)
    labels = loaded.arrays["labels"]
    if (labels == labels[0]).all():
        raise InputError(
            f"{path} must hold two classes at least, but every row has label {labels[0]}: fetch the whole file."
        )
    return TrainTable(loaded.arrays["pixels"], labels, loaded.sha256, Path(path), loaded.notes)


def load_test_table(path: Path, cache_dir: Path | None = None) -> TestTable:
    """Load a test.csv: columns `pixel0` to `pixel783`.

    Args:
        path: the CSV file.
        cache_dir: where to keep the arrays for the next start; None for no cache.

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    loaded = _load_arrays(Path(path), cache_dir, with_labels=False)
    return TestTable(loaded.arrays["pixels"], loaded.sha256, Path(path), loaded.notes)


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


def load_label_table(path: Path) -> LabelTable:
    """Load a test_labels.csv, submission or sample_submission.csv: `ImageId` (1, 2, 3, …) and `Label` (0 to 9).

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    from digit_recognizer.data.table_diagnosis import iterate_rows, read_whole_number, shorten

    path = Path(path)
    labels = bytearray()  # one byte a row, where a list would take eight
    with open_regular_file(path) as file:
        lines = _check_label_header(path, file)
        for line_number, row in iterate_rows(path, file, lines):
            where = f"{path}, line {line_number}"
            if len(row) != 2:
                raise InputError(f"{where}: a row is ImageId,Label, but this has {len(row)} cells: correct the line.")
            expected_id = str(len(labels) + 1)
            if row[0].strip(" \t") != expected_id:
                raise InputError(
                    f"{where}, column ImageId: ids must run 1, 2, 3, … without gap or repeat, but here stands "
                    f"{shorten(row[0])} instead of {expected_id}: sort or complete the file."
                )
            labels.append(read_whole_number(f"{where}, column Label", row[1], CLASSES - 1))
            if len(labels) > MOST_LABELS:
                raise InputError(f"{where}: at most {MOST_LABELS:,} rows are read: is this the right file?")
    if not labels:
        raise InputError(f"{path} must hold rows, but holds its header only: fetch it again.")
    return LabelTable(np.frombuffer(labels, np.uint8).astype(np.int64), path)


def _check_label_header(path: Path, file: BufferedReader) -> int:
    """Refuse any other header than ImageId,Label; return the number of lines up to and including it."""
    check_text(path, file)
    names, _, lines = read_names(path, file)
    if names != ("ImageId", "Label"):
        raise InputError(
            f"{path}, line {lines}: the header must be ImageId,Label, but is {','.join(names)[:40]!r}: mend it."
        )
    return lines


def _load_arrays(path: Path, cache_dir: Path | None, with_labels: bool) -> CachedArrays:
    names = ("pixels", "labels") if with_labels else ("pixels",)
    if cache_dir is not None and (cached := load_cached_arrays(path, cache_dir, names)):
        return cached
    from digit_recognizer.data.csv_blocks import read_csv_content  # brings pyarrow, which a cached start never needs

    content = read_csv_content(path, with_labels)
    arrays = {"pixels": content.pixels}
    if content.labels is not None:
        arrays["labels"] = content.labels
    loaded = CachedArrays(arrays, content.sha256, content.notes)
    if cache_dir is None:
        return loaded
    note = write_cached_arrays(path, Path(os.fspath(cache_dir)), content.stat, loaded)
    return loaded if note is None else CachedArrays(arrays, content.sha256, (*content.notes, note))
