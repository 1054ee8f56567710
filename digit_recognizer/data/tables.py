"""The competition's CSV files as arrays: read fast, checked cell by cell, hashed, and kept in a binary cache."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.cache import CachedArrays, load_cached_arrays, write_cached_arrays
from digit_recognizer.data.csv_header import (
    CLASSES,
    IMAGE_SIDE_PX,
    LINE_LIMIT_BYTES,
    PIXELS,
    SNIFF_BYTES,
    Header,
    open_regular_file,
)
from digit_recognizer.errors import InputError


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
    from digit_recognizer.data.table_diagnosis import check_whole_number, iterate_rows, shorten

    path = Path(path)
    labels: list[int] = []
    with open_regular_file(path) as file:
        header = _read_label_header(path, file.readline(LINE_LIMIT_BYTES))
        for line_number, row in iterate_rows(path, file, header.lines):
            where = f"{path}, line {line_number}"
            if len(row) != 2:
                raise InputError(f"{where}: a row is ImageId,Label, but this has {len(row)} cells: correct the line.")
            expected_id = str(len(labels) + 1)
            if row[0].strip() != expected_id:
                raise InputError(
                    f"{where}, column ImageId: ids must run 1, 2, 3, … without gap or repeat, but here stands "
                    f"{shorten(row[0])} instead of {expected_id}: sort or complete the file."
                )
            check_whole_number(f"{where}, column Label", row[1], CLASSES - 1)
            labels.append(int(row[1]))
    if not labels:
        raise InputError(f"{path} must hold rows, but holds its header only: fetch it again.")
    return LabelTable(np.array(labels, np.int64), path)


def _read_label_header(path: Path, raw: bytes) -> Header:
    names = tuple(raw[:SNIFF_BYTES].decode("utf-8-sig", "backslashreplace").replace('"', "").strip().split(","))
    if names != ("ImageId", "Label"):
        raise InputError(f"{path}, line 1: the header must be ImageId,Label, but is {','.join(names)[:40]!r}: mend it.")
    return Header(names, 1, (), raw, 1, ())


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
