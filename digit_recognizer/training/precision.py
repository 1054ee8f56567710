"""Number formats: which one this machine multiplies fastest in, found by timing it.

Processor flags do not settle it: what a processor can do is not what every backend makes use of. So `auto` times the
convolution that dominates the baseline net.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

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
