"""Number formats: which one this machine multiplies fastest in, found by timing it.

Processor flags do not settle it: what a processor can do is not what every backend makes use of. So `auto` times the
convolution that dominates the baseline net.
"""

import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from filelock import FileLock, Timeout
from keras import ops

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.io import lock_folder

# One net on several devices at once: each has the whole net and its share of every batch, by Keras' DataParallel.
#
# Keras 3.15 runs it on JAX; on TensorFlow only the older tf.distribute could. Gradients are summed over the devices in
# another order than on one, so a net comes out alike, and not equal.


def check_backend(config: RunConfig) -> None:
    """Refuse several devices where Keras cannot use them.

    Raises:
        InputError: if it is so.
    """
    backend = keras.config.backend()
    if config.devices > 1 and backend != "jax":
        raise InputError(f"--devices {config.devices} needs KERAS_BACKEND=jax; on {backend}, Keras uses one: leave it.")


def check_devices(config: RunConfig) -> None:
    """Refuse more devices than this process sees.

    Raises:
        InputError: if it is so.
    """
    seen = keras.distribution.list_devices()
    if config.devices > len(seen):
        raise InputError(
            f"--devices takes at most as many as the backend lists, {len(seen)} ({', '.join(seen)}); "
            f"received {config.devices}."
        )


@contextlib.contextmanager
def spread_over(devices: int) -> Iterator[None]:
    """Within, nets are built on so many devices, and batches split among them."""
    if devices == 1:
        yield
        return
    parallel = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:devices])
    with parallel.scope():
        yield


def count_devices() -> int:
    """How many devices batches are split among here; they must be multiples of it."""
    parallel = keras.distribution.distribution()
    return 1 if parallel is None else int(parallel.device_mesh.devices.size)


# Processors for a task: as many as it was promised, its own, and no others.
#
# The backends derive their threads from the processors that a process may use, and sums split by other thread counts are
# rounded otherwise. So a task is bound to exactly so many processors before a backend is imported, on whatever machine.

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
def claim_cores(count: int, folder: Path | None = None) -> Iterator[None]:
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


POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
ROUNDS = 7
WORTHWHILE_RATIO = 1.15  # a lesser gain than this, on a noisy machine, is none; float32 is the safer format


def choose_precision(requested: str) -> str:
    """Settle `auto`; any other request is returned as it is.

    Returns:
        "float32", "bfloat16" or "float16". float16, which needs loss scaling (Keras does it), only on a GPU that is
        faster in it than in bfloat16, such as those older than 2020.
    """
    if requested != "auto":
        return requested
    on_cpu = all(device.startswith("cpu") for device in keras.distribution.list_devices())
    candidates = ["float32", "bfloat16"] if on_cpu else ["float32", "bfloat16", "float16"]
    seconds = time_formats(candidates)
    fastest = min(candidates, key=lambda name: seconds[name])
    if seconds["bfloat16"] <= 1.1 * seconds[fastest]:
        fastest = "bfloat16"  # of equals, the one with float32's range
    return fastest if seconds["float32"] > WORTHWHILE_RATIO * seconds[fastest] else "float32"


def time_formats(formats: list[str]) -> dict[str, float]:
    """Median seconds of one convolution, 4x4 from 32 to 32 channels on 128 images of 25x25, in each format.

    The formats take turns, so that a change in the machine's speed meets all of them.
    """
    rng = np.random.default_rng(0)
    images = rng.standard_normal((128, 25, 25, 32)).astype(np.float32)
    kernel = rng.standard_normal((4, 4, 32, 32)).astype(np.float32)
    operands = {name: (ops.cast(images, name), ops.cast(kernel, name)) for name in formats}
    seconds: dict[str, list[float]] = {name: [] for name in formats}
    for _ in range(ROUNDS + 1):
        for name, (inputs, weights) in operands.items():
            start = time.perf_counter()
            # a sum brought home as a number: an accelerator answers before it has finished
            float(ops.convert_to_numpy(ops.cast(ops.sum(ops.conv(inputs, weights)), "float32")))
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Build layers in a precision within the block; the policy that was in force comes back after it."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
