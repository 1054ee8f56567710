"""Devices and number formats: on how many GPUs a model is trained, and in which precision.

Several devices: each holds the whole model and its share of every batch, by Keras' DataParallel, which Keras 3.15 runs
on JAX only. Gradients are summed over the devices in another order than on one, so a model comes out alike, not equal.

Precision: processor flags do not decide it, since not every backend uses what a processor can do. So `auto` times the
convolution that dominates the baseline model.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}
ROUNDS = 7
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
    """Resolve `auto` by timing; any other request is returned as it is.

    Returns:
        "float32", "bfloat16" or "float16". float16 needs loss scaling (Keras does it) and is chosen only on a GPU that
        is faster in it than in bfloat16, such as those older than 2020.
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
    """Median seconds of one convolution, 4x4 from 32 to 32 channels on 128 images of 25x25 px, in each format.

    The formats take turns, so that a change in the machine's speed affects all of them.
    """
    rng = np.random.default_rng(0)
    images = rng.standard_normal((128, 25, 25, 32)).astype(np.float32)
    kernel = rng.standard_normal((4, 4, 32, 32)).astype(np.float32)
    operands = {name: (ops.cast(images, name), ops.cast(kernel, name)) for name in formats}
    seconds: dict[str, list[float]] = {name: [] for name in formats}
    for _ in range(ROUNDS + 1):
        for name, (inputs, weights) in operands.items():
            start = time.perf_counter()
            # a sum, fetched as a number: an accelerator returns before it has finished
            float(ops.convert_to_numpy(ops.cast(ops.sum(ops.conv(inputs, weights)), "float32")))
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Inside, layers are built in this precision ("float32", "bfloat16" or "float16"); then the old policy returns."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(POLICIES[precision])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
