"""Imports Keras and its backend when they are needed, without their start-up messages."""

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from digit_recognizer.console import show_status
from digit_recognizer.errors import LONGEST_REASON, InputError, import_matplotlib, require

BACKENDS = ("tensorflow", "jax")  # the first is the default
# Environment variables of the libraries that compute, by how they begin: each may change a format, a kernel or the
# order of a sum. Those that begin otherwise, or as HARMLESS says, change no number. TF_ alone is Terraform's too, whose
# variables hold secrets, and what is found here is recorded.
SWITCHES = (
    *("OMP_", "KMP_", "GOMP_", "MKL_", "OPENBLAS_", "BLIS_", "VECLIB_", "NPY_", "ONEDNN_", "DNNL_", "OPENCV_"),
    *("TF_NUM_", "TF_ENABLE_", "TF_DISABLE_", "TF_DETERMINISTIC_", "TF_ONEDNN_", "TF_MKL_", "TF_AUTO_", "TF_CUDNN_"),
    *("TF_XLA_", "TF_USE_", "TF_GPU_", "TF_CPU_", "TF_OVERRIDE_", "TF_FUNCTION_", "TF_FP16_", "TF_MLIR_"),
    *("XLA_", "JAX_", "NVIDIA_TF32", "CUBLAS_", "CUDNN_", "CUDA_", "HIP_", "ROCM_", "MIOPEN_"),
)
HARMLESS = (
    *("TF_USE_LEGACY_KERAS", "TF_GPU_ALLOCATOR", "XLA_PYTHON_CLIENT"),
    *("KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "KMP_SETTINGS", "KMP_WARNINGS", "OPENCV_LOG_LEVEL"),
    *("JAX_PLATFORMS", "JAX_COMPILATION_CACHE", "JAX_TRACEBACK", "JAX_LOG", "CUDA_VISIBLE", "CUDA_PATH", "CUDA_HOME"),
    *("CUDA_VERSION", "CUDA_DEVICE_ORDER", "CUDA_CACHE"),
)
KERAS_MODULE = "keras.src.backend.config"
NO_KERAS_HOME = str(Path(os.devnull, "keras"))  # where no keras.json is read, and none can be written
# what Keras' own variables say at its import: the backend is checked here, the rest would change numbers without a word
KERAS_VARIABLES = ("KERAS_BACKEND", "KERAS_HOME", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")
# Keras' own defaults, from which keras.json, a variable or a notebook may differ
KERAS_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "max_epochs": None,
    "max_steps_per_epoch": None,
}


def list_switches() -> dict[str, str]:
    """The variables of this process that may change what libraries compute, by name."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(SWITCHES) and not name.startswith(HARMLESS)
    }


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Inside, Keras' global settings are its own defaults; then those of whoever called return."""
    config = import_keras().config
    before = {name: getattr(config, name)() for name in KERAS_DEFAULTS}
    try:
        _set_keras(KERAS_DEFAULTS)
        yield
    finally:
        _set_keras(before)


def _set_keras(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        getattr(sys.modules["keras"].config, f"set_{name}")(value)


def import_keras() -> Any:
    """Import Keras and its backend without the lines that TensorFlow prints before it can be silenced.

    keras.json and Keras' variables are not read, but for KERAS_BACKEND: they would change numbers, or end the import.
    Setting a seed makes Keras import TensorFlow under any backend, if it is installed; so it is set here too.

    Returns:
        The module.

    Raises:
        InputError: for a backend that this package is not tested with, is not installed, or cannot start.
    """
    # it warns of functions traced again, which a fresh model per fold does by design; in a notebook it resets its level
    logging.getLogger("tensorflow").addFilter(_is_error)
    if (keras := sys.modules.get("keras")) is not None and hasattr(keras, "config"):
        _check_backend(keras.config.backend())
        return keras
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what it writes later, of drivers that are missing, say
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    _check_backend(backend)
    with show_status("starting Keras"):
        with contextlib.suppress(ImportError):  # Keras imports it, if it is there
            import_matplotlib()
        sys.stderr.flush()
        kept, quiet = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(quiet, 2)
            with _without_keras_settings(backend):
                importlib.import_module("keras").utils.set_random_seed(0)
                if backend == "jax":  # which looks for its devices now or at the first number
                    os.dup2(kept, 2)  # for what it says before it ends the process: of a flag that it does not know
                    sys.modules["keras"].distribution.list_devices()
        except ModuleNotFoundError as error:
            if error.name != "jax":
                raise
            require("jax", "jax")
        except Exception as error:  # devices that JAX_PLATFORMS names, say, and that are not here
            reason = f"{type(error).__name__} {error}"[:LONGEST_REASON]
            raise InputError("training.backend_start", received=backend, reason=" ".join(reason.split())) from error
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(quiet)
    return sys.modules["keras"]


def _check_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise InputError("training.backend", received=backend, backends=" or ".join(BACKENDS), default=BACKENDS[0])


@contextlib.contextmanager
def _without_keras_settings(backend: str) -> Iterator[None]:
    """Inside, Keras can be imported whatever its file and its variables say; they return at the end."""
    before = {name: os.environ.pop(name, None) for name in KERAS_VARIABLES}
    os.environ |= {"KERAS_BACKEND": backend, "KERAS_HOME": NO_KERAS_HOME}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if KERAS_MODULE in sys.modules:  # there Keras keeps the weights that it downloads
            home = before["KERAS_HOME"] or str(Path("~", ".keras").expanduser())
            vars(sys.modules[KERAS_MODULE])["_KERAS_DIR"] = home


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
