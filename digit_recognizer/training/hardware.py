"""Devices and number formats: on how many GPUs a model is trained, and in which precision.

Several devices: each holds the whole model and its share of every batch, by Keras' DataParallel, which Keras 3.15 runs
on JAX only. Gradients are summed over the devices in another order than on one, so a model comes out alike, not equal.

Precision: processor flags do not decide it, since not every backend uses what a processor can do. So `auto` times the
convolution that dominates the baseline model. It does so once per machine and backend, and keeps what it found in the
user's cache folder: two starts of one command must not compute in different formats because one found the machine busy.
"""

import contextlib
import functools
import platform
import re
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from digit_recognizer.backend import keras_defaults, list_switches
from digit_recognizer.config import RunConfig
from digit_recognizer.console import print_line
from digit_recognizer.errors import InputError
from digit_recognizer.io import find_cache_dir, lock_folder, read_json, write_json

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
PRECISIONS = "precision.json"  # in the cache folder
# On processors, rounds of a millisecond: most pass undisturbed between two turns of other processes. Beside two or four
# busy processes on 2 cores, float32 was measured as 1.2 to 1.9 times bfloat16 with 32 images, as 0.9 to 3.1 with 128.
# Accelerators need more work in a round, or its start is all that is timed.
IMAGES_AND_ROUNDS = {"cpu": (32, 150), "accelerator": (128, 20)}
WORTHWHILE_RATIO = 1.15  # on a noisy machine a smaller gain means nothing; float32 is the safer format


def check_devices(config: RunConfig) -> None:
    """Refuse more devices than the backend has.

    Raises:
        InputError: if there are fewer.
    """
    available = keras.distribution.list_devices()
    if config.devices > len(available):
        raise InputError("training.too_few_devices", received=config.devices, available=", ".join(available))


@contextlib.contextmanager
def data_parallel(devices: int) -> Iterator[None]:
    """Inside, models are built on so many devices, and batches are split among them."""
    if devices == 1:
        yield
        return
    parallel = keras.distribution.DataParallel(devices=keras.distribution.list_devices()[:devices])
    with parallel.scope():
        yield


def count_devices() -> int:
    """The number of devices that batches are split among now; batch sizes must be multiples of it."""
    parallel = keras.distribution.distribution()
    return 1 if parallel is None else int(parallel.device_mesh.devices.size)


def choose_precision(requested: str) -> str:
    """Resolve `auto`, by timing if need be; any other request is returned as it is.

    Returns:
        "float32", "bfloat16" or "float16". float16 needs loss scaling (Keras does it) and is chosen only on a GPU that
        is faster in it than in bfloat16, such as those older than 2020.
    """
    return _settle_precision(find_cache_dir()) if requested == "auto" else requested


@functools.cache
def _settle_precision(folder: Path) -> str:
    """What `auto` stands for: as the cache folder says or, the first time, as measured now.

    Args:
        folder: has `precision.json`: one entry per processor, backend and version. A damaged file is replaced.
    """
    path, environment, measured = folder / PRECISIONS, _name_environment(), None
    try:
        if environment in (entries := _read_precisions(path)):
            return str(entries[environment]["precision"])
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):  # of several commands that start at once, one measures
            entries = _read_precisions(path)
            if environment not in entries:
                measured = measure_precision()
                entries[environment] = {"precision": measured, "measured": time.strftime("%Y-%m-%d")}
                write_json(path, entries)
            return str(entries[environment]["precision"])
    except (OSError, InputError):
        measured = measured or measure_precision()
        print_line(
            f"note: {folder} cannot be written, so every command measures the fastest precision again. "
            f"To have the same one always, pass --precision {measured}"
        )
        return measured


def measure_precision() -> str:
    """Time the formats, and take the fastest if it is worthwhile."""
    on_cpu = all(device.startswith("cpu") for device in keras.distribution.list_devices())
    candidates = ["float32", "bfloat16"] if on_cpu else ["float32", "bfloat16", "float16"]
    seconds = time_formats(candidates, *IMAGES_AND_ROUNDS["cpu" if on_cpu else "accelerator"])
    fastest = min(candidates, key=lambda name: seconds[name])
    if seconds["bfloat16"] <= 1.1 * seconds[fastest]:
        fastest = "bfloat16"  # of equals, the one with float32's range
    return fastest if seconds["float32"] > WORTHWHILE_RATIO * seconds[fastest] else "float32"


def time_formats(formats: list[str], images_per_round: int, rounds: int) -> dict[str, float]:
    """Least seconds of one convolution, 4x4 from 32 to 32 channels on images of 25x25 px, in each format.

    The formats take turns, so that a change in the machine's speed affects all of them. The least of many rounds, not
    the median: other processes only ever add time, and some round mostly goes undisturbed.
    """
    rng = np.random.default_rng(0)
    images = rng.standard_normal((images_per_round, 25, 25, 32)).astype(np.float32)
    kernel = rng.standard_normal((4, 4, 32, 32)).astype(np.float32)
    operands = {name: (ops.cast(images, name), ops.cast(kernel, name)) for name in formats}
    seconds: dict[str, list[float]] = {name: [] for name in formats}
    for _ in range(rounds + 1):
        for name, (inputs, weights) in operands.items():
            start = time.perf_counter()
            # a sum, fetched as a number: an accelerator returns before it has finished
            float(ops.convert_to_numpy(ops.cast(ops.sum(ops.conv(inputs, weights)), "float32")))
            seconds[name].append(time.perf_counter() - start)
    return {name: min(times[1:]) for name, times in seconds.items()}  # the first round warms up


def name_processor() -> str:
    """The processor's name, where the system gives it: backends choose their kernels by it."""
    with contextlib.suppress(OSError):
        if found := re.search(
            r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE
        ):
            return found[1].strip()
    return platform.processor() or platform.machine()


def _name_environment() -> str:
    """What a measured precision holds for: processor, devices, backend and versions, and the backend's switches."""
    backend = keras.config.backend()
    devices = ", ".join(keras.distribution.list_devices())
    switches = "".join(f", {name}={value}" for name, value in list_switches().items())
    versions = f"keras {keras.__version__}, {backend} {metadata.version(backend)}"
    return f"{name_processor()}, {devices}, {versions}{switches}"


def _read_precisions(path: Path) -> dict[str, Any]:
    """The entries of a precision.json that can be used; none of a file that is missing or damaged."""
    try:
        content = read_json(path)
    except InputError:
        return {}
    entries = content.items() if isinstance(content, dict) else ()
    return {key: one for key, one in entries if isinstance(one, dict) and one.get("precision") in list(POLICIES)}


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Inside, layers are built in this precision ("float32", "bfloat16" or "float16"), under Keras' defaults otherwise.

    Then the policy and the settings of before return.
    """
    before = keras.config.dtype_policy()
    with keras_defaults():
        keras.config.set_dtype_policy(POLICIES[precision])
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)
