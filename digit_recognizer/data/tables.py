"""The competition's tables as arrays: read once and then kept as .npy files.

For each CSV a pointer (`.cache/train.csv.json`) records the file's state and hash, and names its arrays
(`train.csv-<hash>-pixels.npy`). A file whose state is unchanged is trusted; otherwise its content's hash decides. A
file cached within two seconds of its last change is hashed once more, because an edit in the same tick of the clock
would leave no other trace (git calls such an index entry "racily clean"). From the cache 42,000 rows load in 15 ms,
from their CSV in 0.7 s (benchmarks/csv_loader.py).
"""

import contextlib
import json
import os
import re
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.data.csv import IMAGE_SIDE_PX, PIXELS, CsvContent, read_pixel_csv
from digit_recognizer.errors import InputError
from digit_recognizer.io import hash_file, load_npy, read_bytes, write_json, write_npy

if TYPE_CHECKING:
    import pandas as pd

FORMAT_VERSION = 1
POINTER_LIMIT_BYTES = 1 << 20  # a pointer has about 1 kB
SETTLED_AFTER_NS = 2_000_000_000  # coarsest clock tick of a common file system (FAT: 2 s)
STATE_FIELDS = ("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino", "st_dev")


@dataclass(frozen=True)
class TestTable:
    """Pixels without labels, as in test.csv.

    Attributes:
        pixels: uint8 (n, 784), C-contiguous, 0 = paper, 255 = ink.
        sha256: hash of the CSV file's bytes, 64 hexadecimal digits.
        path: the CSV file.
        notes: departures from Kaggle's own form that were accepted, and trouble with the cache; one phrase each.
    """

    __test__ = False  # no test case, whatever pytest makes of the name

    pixels: np.ndarray
    sha256: str
    path: Path
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> np.ndarray:
        """uint8 (n, 28, 28, 1): the same memory as `pixels`."""
        return pixels_to_images(self.pixels)

    def to_frame(self) -> "pd.DataFrame":
        """The table as in the CSV: columns pixel0 to pixel783, uint8; after `label`, int64, where there are labels."""
        import pandas as pd

        return pd.DataFrame(self.pixels, columns=[f"pixel{k}" for k in range(PIXELS)])


@dataclass(frozen=True, kw_only=True)
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


def load_train(path: Path | str, cache_dir: Path | None = None) -> TrainTable:
    """Load a train.csv: columns `label`, `pixel0` to `pixel783`.

    Args:
        path: the CSV file.
        cache_dir: where to keep the arrays for the next start; None for no cache.

    Raises:
        InputError: naming file, line and column of the first fault.

    Example:
        >>> train = load_train("input/train.csv")  # doctest: +SKIP
        >>> train.pixels.shape, train.labels[:3]
        ((42000, 784), array([1, 0, 1]))
    """
    loaded = _load(Path(path), cache_dir, with_labels=True)
    labels = loaded.labels
    assert labels is not None
    if (labels == labels[0]).all():
        raise InputError("data.one_class", path=path, received=labels[0])
    return TrainTable(loaded.pixels, loaded.sha256, Path(path), loaded.notes, labels=labels)


def load_test(path: Path | str, cache_dir: Path | None = None) -> TestTable:
    """Load a test.csv: columns `pixel0` to `pixel783`; arguments and errors as for `load_train`."""
    loaded = _load(Path(path), cache_dir, with_labels=False)
    return TestTable(loaded.pixels, loaded.sha256, Path(path), loaded.notes)


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


# ---- the cache


def find_cache_dir(folder: Path) -> Path | None:
    """Where the cache of a folder of CSV files is; None on a read-only file system, as Kaggle's input is."""
    try:
        read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except (AttributeError, OSError):  # no such call on Windows; other errors are reported when files are read
        read_only = False
    return None if read_only else folder / ".cache"


def _load(path: Path, cache_dir: Path | None, with_labels: bool) -> CsvContent:
    if cache_dir is not None and (cached := _load_cached(path, cache_dir, with_labels)):
        return cached
    content = read_pixel_csv(path, with_labels)
    return content if cache_dir is None else _write_cached(path, cache_dir, content)


def _load_cached(path: Path, cache_dir: Path, with_labels: bool) -> CsvContent | None:
    """The cached content of a CSV; None where the CSV must be read: never cached, changed, or the cache is damaged."""
    names = ("pixels", "labels")[: 1 + with_labels]  # and no others: a train file's cache is none of a test file
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
            pointer = {**pointer, "state": _describe(state), "settled": _is_settled(state)}
            with contextlib.suppress(OSError, InputError):  # a read-only cache still serves; next time it hashes again
                write_json(pointer_path, pointer)
        arrays = {name: load_npy(_array_path(path, cache_dir, pointer["sha256"], name)) for name in names}
        if any(_checksum(arrays[name]) != pointer["checksums"][name] for name in names):
            return None
        notes = tuple(map(str, pointer["notes"]))
        return CsvContent(arrays["pixels"], arrays.get("labels"), pointer["sha256"], notes, state)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # whatever is wrong with a cache, reading the CSV mends it


def _write_cached(path: Path, cache_dir: Path, content: CsvContent) -> CsvContent:
    """Keep the content of a CSV in place of what was kept before; if that fails, the content gets a note."""
    arrays = {"pixels": content.pixels}
    if content.labels is not None:
        arrays["labels"] = content.labels
    pointer = {
        "version": FORMAT_VERSION,
        "state": _describe(content.stat),
        "settled": _is_settled(content.stat),
        "sha256": content.sha256,
        "notes": list(content.notes),
        "checksums": {name: _checksum(array) for name, array in arrays.items()},
    }
    try:
        for name, array in arrays.items():
            write_npy(_array_path(path, cache_dir, content.sha256, name), array)
        write_json(cache_dir / f"{path.name}.json", pointer)
        _remove_old_arrays(path, cache_dir, content.sha256)
    except (OSError, InputError) as error:
        note = f"{cache_dir} cannot be written to, so the next start reads the CSV again ({error})"
        return CsvContent(content.pixels, content.labels, content.sha256, (*content.notes, note), content.stat)
    return content


def _describe(state: os.stat_result) -> dict[str, int]:
    return {field: getattr(state, field) for field in STATE_FIELDS}


def _is_settled(state: os.stat_result) -> bool:
    return time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > SETTLED_AFTER_NS


def _array_path(path: Path, cache_dir: Path, sha256: str, name: str) -> Path:
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise ValueError("no hash")  # a damaged pointer must not lead out of the cache folder
    return cache_dir / f"{path.name}-{sha256}-{name}.npy"


def _checksum(array: np.ndarray) -> list[Any]:
    """What tells a damaged array from a whole one: its type, shape and CRC-32 (7 ms for 33 MB)."""
    return [str(array.dtype), list(array.shape), zlib.crc32(np.ascontiguousarray(array).data)]


def _remove_old_arrays(path: Path, cache_dir: Path, sha256: str) -> None:
    ours = re.compile(re.escape(path.name) + "-([0-9a-f]{64})-[a-z]+[.]npy")
    for file in cache_dir.iterdir():
        match = ours.fullmatch(file.name)
        if match and match[1] != sha256:
            file.unlink(missing_ok=True)
