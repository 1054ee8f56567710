"""Keras and its backend, brought in when they are needed, and in silence."""

import importlib
import logging
import os
import sys

from digit_recognizer.errors import InputError

BACKENDS = ("tensorflow", "jax")
# Read by a backend when it starts; each may change the order of a sum, or the kernel that makes it.
SWITCHES = (
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS"),
    *("ONEDNN_MAX_CPU_ISA", "TF_DETERMINISTIC_OPS", "XLA_FLAGS"),
)


def import_keras() -> None:
    """Import Keras and its backend without the lines that TensorFlow prints before it can be asked not to.

    Setting a seed makes Keras import TensorFlow under any backend, if it is installed; so that is done here too.

    Raises:
        InputError: if another backend is asked for than those that this package is tested with.
    """
    if "keras" in sys.modules:
        return
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend not in BACKENDS:
        raise InputError(
            f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}; it is {backend!r}. Unset it for the first."
        )
    # it warns of functions traced anew, which a fresh net per fold is by design
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    kept, quiet = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(quiet, 2)
        importlib.import_module("keras").utils.set_random_seed(0)
    except ModuleNotFoundError as error:
        if error.name != backend:
            raise
        raise InputError(f"KERAS_BACKEND={backend} needs {backend}, which is not installed: install it.") from error
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(quiet)
