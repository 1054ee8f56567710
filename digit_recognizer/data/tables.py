"""The competition's CSV files as arrays: read fast, checked cell by cell, hashed, and kept in a binary cache."""

import contextlib
import json
import os
import re
import time
import zlib
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.csv import CLASSES, IMAGE_SIDE_PX, PIXELS, check_text, open_table, read_names
from digit_recognizer.errors import InputError
from digit_recognizer.io import hash_file, load_npy, read_bytes, write_json, write_npy

# Tables kept as .npy files, so that only the first reading of a CSV pays for its text.
#
# For each CSV a pointer (`train.csv.json`) records the file's state and hash, and names its arrays
# (`train.csv-<hash>-pixels.npy`). A file whose state is unchanged is trusted; otherwise its content's hash decides. A
# file cached within two seconds of its last change is hashed once more, because an edit in the same tick of the clock
# would leave no other trace (git calls such an index entry "racily clean").

FORMAT_VERSION = 1
POINTER_LIMIT_BYTES = 1 << 20  # a pointer has about 1 kB; a longer one is cut here, and then no JSON
SETTLED_AFTER_NS = 2_000_000_000  # coarsest clock tick of a common file system (FAT: 2 s)
STATE_FIELDS = ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")


@dataclass(frozen=True)
class CachedArrays:
    """Arrays read back from the cache.

    Attributes:
        arrays: by name, as they were written.
        sha256: hash of the CSV they were read from.
        notes: what was noted at the first reading.
    """

    arrays: dict[str, np.ndarray]
    sha256: str
    notes: tuple[str, ...]


def find_cache_dir(folder: Path) -> Path | None:
    """Where the cache of a folder of CSV files lies; None on a file system that is read-only, as Kaggle's input is."""
    try:
        read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (AttributeError, OSError):  # no such call on Windows; whatever else is wrong is told when files are read
        read_only = False
    return None if read_only else folder / ".cache"


def load_cached_arrays(path: Path, cache_dir: Path, names: tuple[str, ...]) -> CachedArrays | None:
    """Read the arrays of the CSV `path` from `cache_dir`.

    Args:
        path: the CSV file.
        cache_dir: the folder that `write_cached_arrays` wrote to.
        names: the arrays wanted, and no others: a train file's entry does not answer for a test file.

    Returns:
        The arrays, or None where the CSV must be read: never cached, changed, or the cache is damaged.
    """
    pointer_path = cache_dir / f"{path.name}.json"
    try:
        pointer = json.loads(read_bytes(pointer_path, POINTER_LIMIT_BYTES))
        if pointer["version"] != FORMAT_VERSION or sorted(pointer["checksums"]) != sorted(names):
            return None
        state = path.stat()
        if pointer["state"] != _describe(state) or not pointer["settled"]:
            if state.st_size != pointer["state"]["st_size"] or hash_file(path) != pointer["sha256"]:
                return None
            if _describe(path.stat()) != _describe(state):
                return None  # changed while it was hashed
            _write_pointer(pointer_path, {**pointer, "state": _describe(state), "settled": _is_settled(state)})
        arrays = {name: load_npy(_array_path(path, cache_dir, pointer, name)) for name in names}
        if any(_checksum(arrays[name]) != pointer["checksums"][name] for name in names):
            return None
        return CachedArrays(arrays, pointer["sha256"], tuple(map(str, pointer["notes"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # whatever is wrong with a cache, the CSV itself is the cure


def write_cached_arrays(path: Path, cache_dir: Path, state: os.stat_result, cached: CachedArrays) -> str | None:
    """Keep the arrays of the CSV `path` in `cache_dir`, in place of any it kept before.

    Args:
        path: the CSV file.
        cache_dir: made if need be.
        state: the file's state when it was read.
        cached: arrays, hash and notes of that reading.

    Returns:
        None, or one sentence saying why nothing could be kept: loading works without a cache, only slower.
    """
    pointer = {
        "version": FORMAT_VERSION,
        "state": _describe(state),
        "settled": _is_settled(state),
        "sha256": cached.sha256,
        "notes": list(cached.notes),
        "checksums": {name: _checksum(array) for name, array in cached.arrays.items()},
    }
    try:
        for name, array in cached.arrays.items():
            write_npy(_array_path(path, cache_dir, pointer, name), array)
        write_json(cache_dir / f"{path.name}.json", pointer)
        _remove_old_arrays(path, cache_dir, cached.sha256)
    except (OSError, InputError) as error:
        return f"{cache_dir} cannot be written to, so the next start reads the CSV again ({error})"
    return None


def _describe(state: os.stat_result) -> dict[str, int]:
    return {field: getattr(state, field) for field in STATE_FIELDS}


def _is_settled(state: os.stat_result) -> bool:
    return time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED_AFTER_NS


def _array_path(path: Path, cache_dir: Path, pointer: dict[str, Any], name: str) -> Path:
    if not re.fullmatch("[0-9a-f]{64}", pointer["sha256"]):
        raise ValueError("no hash")  # a damaged pointer must not lead out of the cache folder
    return cache_dir / f"{path.name}-{pointer['sha256']}-{name}.npy"


def _checksum(array: np.ndarray) -> list[Any]:
    """What tells a damaged array from a whole one: its type, shape and CRC-32 (7 ms for 33 MB)."""
    return [str(array.dtype), list(array.shape), zlib.crc32(np.ascontiguousarray(array).data)]


def _write_pointer(pointer_path: Path, pointer: dict[str, Any]) -> None:
    with contextlib.suppress(OSError, InputError):  # a read-only cache still serves; it only hashes again next time
        write_json(pointer_path, pointer)


def _remove_old_arrays(path: Path, cache_dir: Path, sha256: str) -> None:
    ours = re.compile(re.escape(path.name) + "-([0-9a-f]{64})-[a-z]+[.]npy")
    for file in cache_dir.iterdir():
        match = ours.fullmatch(file.name)
        if match and match[1] != sha256:
            file.unlink(missing_ok=True)


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


def load_train(path: Path, cache_dir: Path | None = None) -> TrainTable:
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


def load_test(path: Path, cache_dir: Path | None = None) -> TestTable:
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


def load_labels(path: Path) -> np.ndarray:
    """Load a test_labels.csv, submission or sample_submission.csv: `ImageId` (1, 2, 3, …) and `Label` (0 to 9).

    Returns:
        int64 (n,): element i is the label of ImageId i + 1.

    Raises:
        InputError: naming file, line and column of the first fault.
    """
    from digit_recognizer.data.csv import iterate_rows, read_whole_number, shorten

    path = Path(path)
    labels = bytearray()  # one byte a row, where a list would take eight
    with open_table(path) as file:
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
    return np.frombuffer(labels, np.uint8).astype(np.int64)


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
    from digit_recognizer.data.csv import read_csv_content  # brings pyarrow, which a cached start never needs

    content = read_csv_content(path, with_labels)
    arrays = {"pixels": content.pixels}
    if content.labels is not None:
        arrays["labels"] = content.labels
    loaded = CachedArrays(arrays, content.sha256, content.notes)
    if cache_dir is None:
        return loaded
    note = write_cached_arrays(path, Path(os.fspath(cache_dir)), content.stat, loaded)
    return loaded if note is None else CachedArrays(arrays, content.sha256, (*content.notes, note))
