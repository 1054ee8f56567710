"""One net on several devices at once: each has the whole net and its share of every batch, by Keras' DataParallel.

Keras 3.15 runs it on JAX; on TensorFlow only the older tf.distribute could. Gradients are summed over the devices in
another order than on one, so a net comes out alike, and not equal.
"""

import contextlib
from collections.abc import Iterator

import keras

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError


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
