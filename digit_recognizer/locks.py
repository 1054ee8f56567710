"""One process at a time: locks that the system gives back when their holder ends, however it ends."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from digit_recognizer.errors import InputError

LOCK = ".lock"


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


def claim_folder(path: Path) -> FileLock:
    """Keep other processes out of a folder; the system gives the lock back when this process ends, however.

    Raises:
        InputError: if another process holds it.
    """
    lock = FileLock(path / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise InputError(f"{path} is in use: another process is at work in it. Wait for it, or stop it.") from None
    return lock
