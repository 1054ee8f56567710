"""Files: read with suspicion, written whole or not at all, hashed, locked.

Reading refuses pipes and devices before they can block, bounds how much it takes in, and unpickles nothing. Writing
goes through a temporary file and fsync, so that a reader sees the old file or the new one, whatever ends this process
or this machine.
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import shutil
import socket
import stat
import struct
import tempfile
import time
import tokenize
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from digit_recognizer.errors import InputError, WriteError

if TYPE_CHECKING:
    import pandas as pd

JSON_LIMIT_BYTES = 1 << 22  # ours have a few kB; of lists alone this much takes 100 MB of memory
MAX_JSON_VALUES, DEEPEST_JSON = 200_000, 20  # a transfer to 1,000 classes with ten seeds has 30,000 values
MAX_ARRAY_BYTES = 1 << 28  # float64 probabilities of ten classes for 3,300,000 rows: four times EMNIST
TOML_LIMIT_BYTES = 1 << 20
TOML_PROBLEMS = {  # what Python's reader says -> what somebody who writes such a file can mend
    r"'\\n'|^Unterminated|^Expected (\"'\"|'\"')": "a quote is not closed",
    r"^Invalid (value|statement|initial)": "a value is missing, or a text has no quotes",
    r"^Expected '=' ": "there is no = after the name",
    r"^Cannot (overwrite|declare|mutate|redefine)": "the name is there twice",
    r"^Expected newline": "there is something after the value",
    r"^Unclosed": "a bracket is not closed",
}
HASH_CHUNK_BYTES = 1 << 20
TEMPORARY = ".writing-"
LOCK = ".lock"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# what file systems say that cannot lock, change a mode or sync (FAT, CIFS, FUSE, WSL's /mnt/c, NFS without lockd)
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.ENOLCK)
FORBIDDEN = (errno.EPERM, errno.EACCES, errno.EROFS)  # also of a mode or a folder that is not ours
UNUSED_AFTER_SECONDS = 30 * 24 * 3600
RENAME_ATTEMPTS, RENAME_SECONDS = 10 if os.name == "nt" else 1, 0.1
ABANDONED_AFTER_SECONDS = 24 * 3600  # of a writer on another machine, whose process cannot be looked up
NPY_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
# all that NumPy has been seen to raise at a damaged header
NPY_HEADER_ERRORS = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
    OverflowError,
)

# What systems put beside the user's own files: Windows, a Mac's archives and disks, network drives, open documents.
SYSTEM_NAMES = (
    *("thumbs.db", "ehthumbs", "desktop.ini", "$recycle.bin", "system volume information", "icon\r"),
    *("__macosx", "@eadir", "#recycle", "#snapshot", "lost+found", "~$", "."),
)
# As a decorator of a call from Python: NumPy's own defaults, where a notebook may have turned warnings into errors.
numpy_defaults = np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")

# ---- reading


def is_visible(name: str) -> bool:
    """Whether a file or folder is one of the user's, by its name: not hidden, and none that a system puts there."""
    return not name.lower().startswith(SYSTEM_NAMES)


def open_regular_file(path: Path) -> BufferedReader:
    """Open `path` for reading bytes; anything but a plain file is refused before it can block or flood us.

    Raises:
        InputError: if the file is missing, unreadable, a folder, a socket, a FIFO or a device.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError("io.missing", path=path) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        raise InputError("io.unreadable", path=path, received=getattr(error, "strerror", str(error))) from error
    raise InputError("io.folder" if stat.S_ISDIR(mode) else "io.not_regular", path=path)


def read_bytes(path: Path, limit_bytes: int) -> bytes:
    """Read a plain file whole.

    Raises:
        InputError: as `open_regular_file`; also if the file has more than `limit_bytes`.
    """
    with open_regular_file(path) as file:
        try:
            if os.fstat(file.fileno()).st_size <= limit_bytes:
                content = file.read(limit_bytes + 1)  # one more, because the size may be a lie, as in /proc
                if len(content) <= limit_bytes:
                    return content
        except OSError as error:
            raise InputError("io.unreadable", path=path, received=error.strerror) from error
    raise InputError("io.too_long", path=path, limit=limit_bytes)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        InputError: if the file is missing, not plain, longer than 4 MiB or not JSON, or holds more than any of ours.
    """
    content = read_bytes(path, JSON_LIMIT_BYTES)
    try:
        return parse_json(content)
    except (ValueError, RecursionError) as error:
        raise InputError("io.not_json", path=path, received=str(error)) from error


def parse_json(text: bytes, max_values: int = MAX_JSON_VALUES) -> Any:
    """The value in a JSON text from anybody.

    Raises:
        ValueError, RecursionError: if it is none, has too many values or levels, or a text in it has a NUL character.
    """
    content = json.loads(text.decode("utf-8-sig"))  # PowerShell and Notepad begin with a byte order mark
    level, count, depth = [content], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > max_values or depth > DEEPEST_JSON:
            raise ValueError(f"it holds more than {max_values:,} values, or {DEEPEST_JSON} levels of them")
        if any(isinstance(value, str) and "\0" in value for value in level):
            raise ValueError("a text in it has a NUL character")  # which no path may have
        nested = (value for value in level if isinstance(value, (dict, list)))
        level = [one for value in nested for one in (value.values() if isinstance(value, dict) else value)]
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        InputError: if the file is missing, not plain, longer than 1 MiB or not TOML; that names the line.
    """
    content = read_bytes(path, TOML_LIMIT_BYTES)
    try:
        return tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line, problem = content.count(b"\n", 0, error.start) + 1, "the text is not UTF-8"
        raise InputError("io.not_toml", path=path, line=line, problem=problem) from error
    except (ValueError, RecursionError) as error:
        said, _, place = str(error).rpartition(" (at ")
        found = re.match(r"line (\d+)", place)
        line = int(found[1]) if found else content.rstrip().count(b"\n") + 1  # "at end of document"
        problem = next((ours for theirs, ours in TOML_PROBLEMS.items() if re.search(theirs, said)), said or str(error))
        raise InputError("io.not_toml", path=path, line=line, problem=problem) from error


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises:
        InputError: as `open_regular_file`.
    """
    digest = hashlib.sha256()
    with open_regular_file(path) as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def load_npy(path: Path) -> np.ndarray:
    """Load an .npy file of numbers.

    Raises:
        InputError: if the file is missing, not plain, damaged, longer than 256 MiB (a sparse file takes no disk, but
            all that memory), or holds anything but numbers.
    """
    with open_regular_file(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_ARRAY_BYTES:
            raise InputError("io.too_long", path=path, limit=MAX_ARRAY_BYTES)
        return read_npy(path, file, os.fstat(file.fileno()).st_size)


def read_npy(path: Path, file: IO[bytes], size_bytes: int) -> np.ndarray:
    """Read an .npy file, or the member of an .npz, that is open at its start.

    The header is checked against the size before any memory is taken: `numpy.load` would allocate whatever shape the
    header claims.

    Args:
        path: named in the message.
        file: at its start.
        size_bytes: of the file, as found or as its archive says.

    Returns:
        An array of bool, integers, floats or complex numbers; read-only.

    Raises:
        InputError: as `load_npy`.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in NPY_HEADER_READERS:
            raise ValueError(f"version {version}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2's way to write a shape: it is read all the same
            shape, fortran_order, dtype = NPY_HEADER_READERS[version](file)
    except NPY_HEADER_ERRORS as error:
        raise InputError("io.npy_header", path=path) from error
    shape = tuple(int(length) for length in shape)  # a header may say True
    if dtype.kind not in "biufc":
        raise InputError("io.npy_dtype", path=path, received=str(dtype)[:40])
    expected_bytes, held_bytes = math.prod(shape) * dtype.itemsize, size_bytes - file.tell()
    mismatch = InputError("io.npy_size", path=path, received=held_bytes, dtype=str(dtype), shape=str(shape)[:60])
    if min(shape, default=0) < 0 or expected_bytes != held_bytes:
        raise mismatch
    content = file.read(expected_bytes)
    if len(content) != expected_bytes:
        raise mismatch
    try:
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")
    except ValueError as error:  # nothing, in too many dimensions
        raise mismatch from error


# What Python's readers raise at a damaged archive: NotImplementedError and encryption are RuntimeErrors, bad names and
# offsets ValueErrors. gzip's own errors have no errno; EINVAL is a seek to before the file's start.
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)
DAMAGE_ERRNOS = (None, errno.EINVAL)


@contextlib.contextmanager
def explain_damage(path: Path) -> Iterator[None]:
    """Turn whatever the readers raise at a damaged archive into one InputError; what the disk reports passes."""
    try:
        yield
    except InputError:
        raise
    except (*DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in DAMAGE_ERRNOS:
            raise
        fault = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError("data.damaged", path=path, received=fault) from error


def check_members(members: Iterable[zipfile.ZipInfo], limit_bytes: int) -> int:
    """Refuse members of a zip that would unpack to too much, or are packed in a way that nobody here uses.

    Returns:
        How many bytes they unpack to.

    Raises:
        ValueError: for `explain_damage`.
    """
    size = 0
    for member in members:
        size += member.file_size
        if size > limit_bytes:
            raise ValueError(f"its files claim {size:,} bytes")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"a file in it is packed by method {member.compress_type}, not deflated")
    return size


def load_npz(path: Path, limit_bytes: int) -> dict[str, np.ndarray]:
    """Load the arrays of an .npz file of numbers, by their names.

    Raises:
        InputError: as `load_npy`; also if they would unpack to more than `limit_bytes`.
    """
    arrays: dict[str, np.ndarray] = {}
    with explain_damage(path), open_regular_file(path) as file, zipfile.ZipFile(file) as archive:
        check_members(archive.infolist(), limit_bytes)
        for member in archive.infolist():
            with archive.open(member) as unpacked:
                arrays[member.filename.removesuffix(".npy")] = read_npy(path, unpacked, member.file_size)
    return arrays


# ---- writing


@contextlib.contextmanager
def write_atomically(path: Path, *, exclusive: bool = False, previous: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes the place of `path`, on failure it vanishes.

    A reader sees the old file or the new one, never half of either, whatever ends this process or this machine: the
    bytes reach the disk before the name changes hands, and the change of names before this returns.

    Args:
        path: the file to write; its folder is made if need be. The temporary name ends like `path`, because some
            writers choose their format by the ending.
        exclusive: whether an existing file must stay: of two writers, one succeeds.
        previous: where the file that stood at `path` goes, in place of what is there; None drops it.

    Raises:
        WriteError: if the file or its folder cannot be written, with the system's reason. What stood there stays.
        FileExistsError: if `exclusive` and the file exists by now.
        InputError: if the file is in a claimed folder that is no longer this process's, see `claim_folder`.
    """
    check_claim(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_temporaries(path.parent)
        handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{_writer()}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise _explain(path, error) from error
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        _sync_file(temporary)
        with _tolerated():
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files; ours are as open as any other
        check_claim(path)
        if previous is not None and path.exists():
            rename(path, previous)  # killed here, a reader finds `previous`
        if exclusive:
            _claim(temporary, path)
        else:
            rename(temporary, path)
        try:
            _sync_folder(path.parent)
        except OSError:
            if exclusive:  # what failed leaves no new file behind
                path.unlink()
            raise
    except FileExistsError:
        raise
    except OSError as error:
        raise _explain(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # a disk that fails here has failed above already
            temporary.unlink(missing_ok=True)


def rename(source: Path, target: Path) -> None:
    """`os.replace`; on Windows tried again for a second, as scanners of viruses hold a new file open for moments."""
    for attempt in range(1, RENAME_ATTEMPTS + 1):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if attempt == RENAME_ATTEMPTS:
                raise
            time.sleep(RENAME_SECONDS)


@contextlib.contextmanager
def open_staging_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder in `folder`, in which files wait until all of them are ready for `install_file`.

    It vanishes at the end; what a killed process left of its own goes first.

    Raises:
        OSError: if `folder` cannot be written to.
    """
    sweep_temporaries(folder)
    with tempfile.TemporaryDirectory(prefix=f"{TEMPORARY}{_writer()}-", dir=folder) as name:
        yield Path(name)


def install_file(staged: Path, path: Path) -> None:
    """Let a finished file on the same disk take the place of `path`, as `write_atomically` does.

    Raises:
        OSError: if it cannot; what stood there stays.
    """
    _sync_file(staged)
    rename(staged, path)
    _sync_folder(path.parent)


def sweep_temporaries(folder: Path) -> None:
    """Remove the temporary files and staging folders of writers that were killed."""
    for file in folder.glob(f"{TEMPORARY}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another's: then it is not in the way
            if _is_abandoned(file):
                shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()


def check_writable_folder(folder: Path) -> None:
    """Find out, before hours of work and without a trace, whether a folder can be made and written to.

    Raises:
        InputError: if it cannot.
    """
    there = _find_existing(folder)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError("io.unwritable_folder", path=folder, other=there.absolute())  # "." says little


RECOGNIZING_BYTES = 4096  # within which our files name their maker


def is_foreign(path: Path, mark: str) -> bool:
    """Whether something stands at `path` that is not ours: the mark by which we know our files is not at its top."""
    if not path.is_file():
        return os.path.lexists(path)
    with path.open("rb") as file:
        return mark.encode() not in file.read(RECOGNIZING_BYTES)


def check_free_disk(folder: Path, needed_bytes: int) -> None:
    """Find out, before hours of work, whether the disk can hold the result.

    Raises:
        InputError: if the disk that holds the folder, or will hold it, has less free, or cannot be reached.
    """
    try:
        free_bytes = shutil.disk_usage(_find_existing(folder)).free
    except OSError as error:  # a link to nowhere, say
        raise InputError("io.unwritable", path=folder, received=error.strerror) from error
    if free_bytes < needed_bytes:
        raise InputError("io.disk_full", path=folder, received=free_bytes, needed=needed_bytes)


def write_text(path: Path, text: str, *, exclusive: bool = False) -> None:
    """Write `text` to `path` as UTF-8, atomically; bytes of a path that are no text are escaped."""
    with write_atomically(path, exclusive=exclusive) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as indented JSON, atomically; NaN and infinities are refused, as JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_csv(path: Path, table: "pd.DataFrame", *, float_format: str | None = None, exclusive: bool = False) -> None:
    """Write a table as CSV, atomically: UTF-8, LF, header first, no index, empty cells for None and NaN.

    Text that a spreadsheet would run as a formula is disarmed by `guard_cell`; bytes of a path that are no text are
    escaped. Errors are those of `write_atomically`.

    Args:
        path: the file to write.
        table: its column names are texts.
        float_format: such as "%.6f"; None writes every digit.
        exclusive: whether an existing file must stay.
    """
    with write_atomically(path, exclusive=exclusive) as temporary:
        guard_table(table).to_csv(
            temporary, index=False, float_format=float_format, lineterminator="\n", errors="backslashreplace"
        )


def guard_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """The same table with `guard_cell` applied to all text."""
    import pandas as pd

    guarded = table.rename(columns=guard_cell)
    for name in guarded.select_dtypes(exclude="number"):
        cells = [guard_cell(cell) if isinstance(cell, str) else cell for cell in guarded[name]]
        guarded[name] = pd.Series(cells, guarded.index, dtype=object)  # not inferred: whole numbers stay whole
    return guarded


def guard_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula and runs: what begins like one gets an apostrophe."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write numbers to `path` as .npy, atomically.

    NumPy's own `save` goes round Python, and of a full disk it says only how many numbers were written.
    """
    array = np.require(array, requirements="C")
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


# ---- names and locks


def find_cache_dir() -> Path:
    """The user's cache folder for this package: it may be removed at any time, and may not exist."""
    found = user_cache_path("digit_recognizer", appauthor=False)
    return found if found.is_absolute() else Path(os.devnull, found.name)  # a user without a home: nothing can be kept


def remove_unused(folder: Path) -> None:
    """Remove the files of a cache folder that nobody has used for a month."""
    for file in folder.iterdir():
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > UNUSED_AFTER_SECONDS:
                file.unlink()


def find_free_path(folder: Path, stem: str, *suffixes: str) -> Path:
    """`folder/stem` with the first suffix, or with -2, -3 and so on after the stem if that is taken.

    Args:
        folder: need not exist.
        stem: of the name, without its suffix.
        *suffixes: none of these may be taken; none for a folder.

    Example:
        >>> find_free_path(Path("submissions"), "champion", ".csv", ".csv.json")  # doctest: +SKIP
        PosixPath('submissions/champion-2.csv')
    """
    number, paths = 1, [folder / f"{stem}{suffix}" for suffix in suffixes or ("",)]
    while any(map(os.path.lexists, paths)):
        number += 1
        paths = [folder / f"{stem}-{number}{suffix}" for suffix in suffixes or ("",)]
    return paths[0]


def make_free_folder(parent: Path, name: str) -> Path:
    """Make a folder under a free name: of two processes that want the same one, each gets its own."""
    parent.mkdir(parents=True, exist_ok=True)
    while True:
        path = find_free_path(parent, name)
        with contextlib.suppress(FileExistsError):
            path.mkdir()
            return path


@contextlib.contextmanager
def make_folder(folder: Path) -> Iterator[None]:
    """Make a folder; at the end, remove what was made of it and of the folders above it, if nothing has come in."""
    made = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for place in made:
            with contextlib.suppress(OSError):  # never made, or files are in it by now
                place.rmdir()


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process is within this for the same folder; no file is left there.

    For steps that take moments: several files that must change together. Where the system cannot lock a folder
    (Windows, some network file systems) nothing is waited for.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def refuse_links(folder: Path) -> None:
    """Refuse the folder of a run or a sweep if a link is in it: through one, another file would be read or replaced.

    The folder itself may be a link.

    Raises:
        InputError: naming the link; or if a folder in it cannot be read.
    """
    places = [str(folder)]
    while places:
        try:
            with os.scandir(places.pop()) as entries:
                for entry in entries:
                    if entry.is_symlink():
                        raise InputError("io.link", path=entry.path)
                    if entry.is_dir(follow_symlinks=False):
                        places.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or no folder: not this function's to say
            continue
        except OSError as error:
            raise InputError("io.unreadable", path=error.filename or folder, received=error.strerror) from error


_claims: dict[Path, tuple[FileLock, tuple[int, int] | None]] = {}  # by folder: its lock, and which file that is


def claim_folder(path: Path) -> FileLock:
    """Keep other processes out of a folder; the system gives the lock back when this process ends, however.

    While it is held, `write_atomically` checks before every write within the folder that it is still this lock.

    Returns:
        The lock. Where the file system cannot lock, `is_locked` is False, and nothing keeps others out.

    Raises:
        InputError: if another process holds it, nobody may write there, or a link is in the folder.
    """
    refuse_links(path)
    lock = FileLock(path / LOCK, timeout=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where a system has no such call, the file's existence is the lock
            lock.acquire()
    except Timeout:
        raise InputError("io.in_use", path=path) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise _explain(path / LOCK, error) from error
    _claims[path.absolute()] = lock, _identify(path / LOCK)
    return lock


def check_claim(path: Path) -> None:
    """Refuse to write in a folder that this process has claimed, if it was removed since then, or begun anew.

    Raises:
        InputError: naming the folder.
    """
    for folder in path.absolute().parents:
        lock, mark = _claims.get(folder, (None, None))
        if lock is not None and lock.is_locked and _identify(folder / LOCK) != mark:
            raise InputError("io.lock_lost", path=folder)


def remove_claimed(folder: Path) -> None:
    """Remove a folder that this process has claimed, unless it is another's by now."""
    with contextlib.suppress(InputError):
        check_claim(folder / LOCK)
        shutil.rmtree(folder, ignore_errors=True)


def _identify(file: Path) -> tuple[int, int] | None:
    """Which file it is, whatever its name; None if there is none. An open file's number is not given to another."""
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def is_claimed(path: Path) -> bool:
    """Whether a process is at work in a folder, by `claim_folder`."""
    if not (path / LOCK).is_file():
        return False
    try:
        claim_folder(path).release()
    except WriteError:  # it lies where nobody may write
        return False
    except InputError:
        return True
    return False


def _claim(temporary: Path, path: Path) -> None:
    """Give a finished file its name, unless the name is taken."""
    try:
        os.link(temporary, path)
    except FileExistsError as error:  # it names the temporary file, of which nobody knows
        raise FileExistsError(error.errno, error.strerror, str(path)) from None
    except OSError:  # a file system without links: the name is claimed empty and then filled
        path.touch(exist_ok=False)
        rename(temporary, path)
    else:
        temporary.unlink()


@contextlib.contextmanager
def _tolerated() -> Iterator[None]:
    """Inside are niceties, without which a file is as well written: what a file system cannot do is left undone.

    A full or broken disk is an error as elsewhere.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (*UNSUPPORTED, *FORBIDDEN):
            raise


def _sync_file(path: Path) -> None:
    with path.open("r+b") as file, _tolerated():  # Windows syncs no file that is open for reading alone
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring a change of names to the disk, on systems where a folder can be opened for that."""
    if os.name != "posix":
        return
    with _tolerated():
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _writer() -> str:
    """Who is writing: machine, container and process, so that others can tell whether it still lives."""
    container = 0  # two containers may have one host name, but a process of the one is unknown in the other
    with contextlib.suppress(OSError):
        container = Path("/proc/self/ns/pid").stat().st_ino
    return f"{re.sub('[^A-Za-z0-9]', '', socket.gethostname())[:40]}{container}-{os.getpid()}"


def _is_abandoned(temporary: Path) -> bool:
    named = re.match(f"{re.escape(TEMPORARY)}([^-]*)-([0-9]+)-", temporary.name)
    if os.name == "posix" and named and named[1] == _writer().split("-")[0]:
        try:
            os.kill(int(named[2]), 0)  # signal 0 is no signal, only the question whether it could be sent
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False
    return time.time() - temporary.stat().st_mtime > ABANDONED_AFTER_SECONDS


def _explain(path: Path, error: OSError) -> WriteError:
    if path.parent.name.startswith(TEMPORARY):  # a staging folder, which nobody knows: where the file was to go
        path = path.parents[1] / path.name
    reason = error.strerror or str(error) or type(error).__name__
    return WriteError("io.unwritable", path=path, received=reason)


def _find_existing(folder: Path) -> Path:
    """The folder itself or the nearest above it that is there."""
    return next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))


def _umask() -> int:
    mask = os.umask(0)  # the only portable way to read it is to set it
    os.umask(mask)
    return mask
