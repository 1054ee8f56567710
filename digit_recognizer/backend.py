"""Imports Keras and its backend when they are needed, without their start-up messages."""

import importlib
import logging
import os
import sys
from typing import Any

from digit_recognizer.console import show_status
from digit_recognizer.errors import InputError, require

BACKENDS = ("tensorflow", "jax")  # the first is the default
# environment variables that a backend reads when it starts; each may change the order of a sum, or its kernel
SWITCHES = (
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_ENABLE_ONEDNN_OPTS"),
    *("ONEDNN_MAX_CPU_ISA", "TF_DETERMINISTIC_OPS", "XLA_FLAGS"),
)


def import_keras() -> Any:
    """Import Keras and its backend without the lines that TensorFlow prints before it can be silenced.

    Setting a seed makes Keras import TensorFlow under any backend, if it is installed; so it is set here too.

    Returns:
        The module.

    Raises:
        InputError: for a backend that this package is not tested with, or that is not installed.
    """
    # it warns of functions traced again, which a fresh model per fold does by design; in a notebook it resets its level
    logging.getLogger("tensorflow").addFilter(_is_error)
    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what it writes later, of drivers that are missing, say
    backend = os.environ.get("KERAS_BACKEND", BACKENDS[0])
    if backend not in BACKENDS:
        raise InputError("training.backend", received=backend, backends=" or ".join(BACKENDS), default=BACKENDS[0])
    with show_status("starting Keras"):
        sys.stderr.flush()
        kept, quiet = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(quiet, 2)
            importlib.import_module("keras").utils.set_random_seed(0)
        except ModuleNotFoundError as error:
            if error.name != "jax":
                raise
            require("jax", "jax")
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(quiet)
    return sys.modules["keras"]


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
