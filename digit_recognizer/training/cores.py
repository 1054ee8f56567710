"""Processors for a task: as many as it was promised, its own, and no others.

The backends derive their threads from the processors that a process may use, and sums split by other thread counts are
rounded otherwise. So a task is bound to exactly so many processors before a backend is imported, on whatever machine.
"""

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from digit_recognizer.errors import InputError
from digit_recognizer.locks import lock_folder

RETRY_SECONDS = 0.05

_allowed: list[int] = []  # what this process might use before it was bound
_bound: list[int] = []  # how many it was first bound to, for which its backend has threads


def count_threads() -> int:
    """How many processors this process may use, from which the backends derive their threads."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def bind_process(count: int) -> None:
    """Bind this process to the first so many of the processors that it may use; to be called before Keras is imported.

    Raises:
        InputError: if it may not use so many, or the system cannot bind.
    """
    _bind(_list_allowed(count)[:count])


@contextlib.contextmanager
def own_cores(count: int, folder: Path | None = None) -> Iterator[None]:
    """Bind this process, within, to so many processors that no other process within this has; wait until there are.

    A process that was within before, and has its backend's threads since, takes them along to its new processors.

    Args:
        count: how many.
        folder: of the locks, one file per processor, which the system gives back when a process ends, however; None
            stands for one per user and machine.

    Raises:
        InputError: if this process may not use so many, or the system cannot bind.
    """
    allowed = _list_allowed(count)
    folder = folder or Path(tempfile.gettempdir()) / f"digit-recognizer-cores-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        with contextlib.ExitStack() as held:
            with lock_folder(folder):  # all or none: two that hold half of what they need would wait for ever
                mine = list(itertools.islice((core for core in allowed if _is_free(folder, core, held)), count))
            if len(mine) == count:
                _bind(mine)
                yield
                return
        time.sleep(RETRY_SECONDS)


def _is_free(folder: Path, core: int, held: contextlib.ExitStack) -> bool:
    lock = FileLock(folder / f"{core}.lock", timeout=0)
    try:
        held.enter_context(lock)
    except Timeout:
        return False
    return True


def _list_allowed(count: int) -> list[int]:
    if _bound and count != _bound[0]:
        raise RuntimeError(
            f"this process was bound to {_bound[0]} processors, and has threads for so many, not {count}"
        )
    if not hasattr(os, "sched_setaffinity"):
        raise InputError("--task-cpus needs a system that can bind a process to processors, such as Linux: leave it.")
    if not _allowed:
        _allowed.extend(sorted(os.sched_getaffinity(0)))
    if len(_allowed) < count:
        raise InputError(f"--task-cpus takes at most the {len(_allowed)} processors of a machine; received {count}.")
    return _allowed


def _bind(cores: list[int]) -> None:
    _bound[:] = [len(cores)]
    for thread in Path("/proc/self/task").iterdir():  # threads made later inherit it
        with contextlib.suppress(ProcessLookupError):  # that thread has ended meanwhile
            os.sched_setaffinity(int(thread.name), cores)
