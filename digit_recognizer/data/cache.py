"""Tables kept as .npy files, so that only the first reading of a CSV pays for its text.

For each CSV a pointer (`train.csv.json`) records the file's state and hash, and names its arrays
(`train.csv-<hash>-pixels.npy`). A file whose state is unchanged is trusted; otherwise its content's hash decides. A
file cached within two seconds of its last change is hashed once more, because an edit in the same tick of the clock
would leave no other trace (git calls such an index entry "racily clean").
"""

import contextlib
import json
import os
import re
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer.data.array_files import load_npy, write_npy
from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file, write_json

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
        with open_regular_file(pointer_path) as file:
            pointer = json.loads(file.read(POINTER_LIMIT_BYTES))
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
