"""The weights of a trained model as a file, and back into a model of the same architecture; the models of a run.

A fold model is kept as `models/fold<k>.safetensors`: float32 arrays in the order of `model.weights`, and a SHA-256 over
them. The architecture is not in the file. `build_model` rebuilds it from the run's config.json, so that nothing in a
weights file becomes code, a path or a layer. A `.keras` copy beside it is for people who want plain Keras; this package
never opens it.
"""

import hashlib
import json
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from digit_recognizer.config import FUNCTION, Preprocess, RunConfig
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.evaluation.calibration import apply_temperature
from digit_recognizer.io import read_bytes
from digit_recognizer.training.hardware import precision_policy
from digit_recognizer.training.inputs import build_fresh_model
from digit_recognizer.training.run import METRICS, find_weights, load_metrics, load_run_config
from digit_recognizer.training.trainer import predict_probabilities

HEADER_BYTES_PER_ARRAY = 512  # name, dtype, shape and place of an array in the header; ours take about 100


def pack_weights(model: keras.Model) -> bytes:
    """The weights of a model, non-trainable ones included, as the bytes of a safetensors file.

    Args:
        model: built. States of the optimizer and of seed generators are left out.

    Returns:
        float32 arrays named after their position and layer, such as "004.block1_conv2/kernel".
    """
    arrays = {
        name: np.array(keras.ops.convert_to_numpy(weight), np.float32, order="C")
        for name, weight in zip(_name_weights(model), model.weights, strict=True)
    }
    return pack_arrays(arrays)


def pack_arrays(arrays: dict[str, np.ndarray]) -> bytes:
    """Arrays by name as the bytes of a safetensors file, with a SHA-256 over them."""
    return save(arrays, {"sha256": _hash_arrays(arrays)})


def load_arrays(path: Path, max_bytes: int) -> dict[str, np.ndarray]:
    """Read what `pack_arrays` made: arrays by name.

    Raises:
        InputError: if the file is missing, not a regular file, too large or damaged.
    """
    content = read_bytes(path, max_bytes)
    try:
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        checksum = header["__metadata__"]["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = "it is not a safetensors file with a checksum"
        raise InputError("models.weights_damaged", path=path, reason=reason) from error
    if checksum != _hash_arrays(arrays):
        raise InputError("models.weights_damaged", path=path, reason="its checksum is wrong")
    return arrays


def load_weights(model: keras.Model, path: Path) -> None:
    """Put the weights of a file into a model of the same architecture.

    Args:
        model: built; changed in place, unless the file is refused.
        path: what `pack_weights` made of such a model.

    Raises:
        InputError: if the file is missing, not a regular file, too large, damaged, of another model, or if it holds NaN
            or infinities. At most as many bytes are read as the model's own weights take.
    """
    names = _name_weights(model)
    numbers = sum(math.prod(weight.shape) for weight in model.weights)
    arrays = load_arrays(path, 4 * numbers + HEADER_BYTES_PER_ARRAY * (len(names) + 1))
    found = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    shapes = [tuple(weight.shape) for weight in model.weights]
    wanted = {name: (shape, np.dtype(np.float32)) for name, shape in zip(names, shapes, strict=True)}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise InputError("models.weights_of_another_model", path=path, column=name, model=model.name)
        if not np.isfinite(arrays[name]).all():
            raise InputError("models.weights_not_finite", path=path, column=name)
    model.set_weights([arrays[name] for name in names])


def export_keras(model: keras.Model) -> bytes:
    """A model as the bytes of a `.keras` archive that Keras opens without this package.

    Raises:
        WriteError: if the folder for temporary files is full.
    """
    # not compiled and without its optimizer: a third of the size
    plain = make_plain(keras.Model(model.inputs[0], model.outputs[0], name=model.name))
    try:
        with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as folder:
            path = Path(folder) / "model.keras"  # Keras writes to nothing but a path
            plain.save(path)
            return path.read_bytes()
    except OSError as error:
        raise WriteError("models.no_space", path=tempfile.gettempdir(), reason=error.strerror or error) from error


def make_plain(model: keras.Model) -> keras.Model:
    """The same model with Keras' own layers in place of our faster ones, for people without this package.

    Args:
        model: functional, built.

    Returns:
        A new model with equal layers, names, weights and outputs; the very model where it has none of ours.
    """
    if not any(hasattr(layer, "plain_class") for layer in model.layers):
        return model

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        return getattr(layer, "plain_class", type(layer)).from_config(layer.get_config())

    plain: keras.Model = keras.models.clone_model(model, clone_function=copy)
    plain.set_weights(model.get_weights())
    return plain


def _name_weights(model: keras.Model) -> list[str]:
    """A name per weight: its position, so that it is unique, and its path.

    The numbers that Keras appends to the names of unnamed layers count all layers of the process, so they are left out.
    """
    return [f"{i:03d}.{re.sub(r'_[0-9]+(?=/)', '', weight.path)}" for i, weight in enumerate(model.weights)]


def _hash_arrays(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


# The trained models of a finished run: built again from its configuration, with their weights


@dataclass(frozen=True)
class TrainedModels:
    """Trained models of a run.

    Attributes:
        models: uncompiled, from float32 (n, 28, 28, 1) in [0, 1] to probabilities (n, 10), in order.
        preprocessing: what is done to every image first, for each model.
        temperature: what the logarithms of their mean probabilities are divided by, so that they are calibrated.
        config: of the run.
        precision: in which they were trained and predict: float32, bfloat16 or float16.
    """

    models: tuple[keras.Model, ...]
    preprocessing: tuple[Preprocess, ...]
    temperature: float
    config: RunConfig
    precision: str

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predict images as the run predicts test rows.

        Args:
            images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.

        Returns:
            float32 (n, 10), the calibrated mean over the models; rows sum to 1.
        """
        each = [
            predict_probabilities(model, preprocess_images(images, preprocess), self.config.tta)
            for model, preprocess in zip(self.models, self.preprocessing, strict=True)
        ]
        return apply_temperature(np.mean(each, axis=0), self.temperature)


def load_fold_models(path: Path | str, folds: Sequence[int] | None = None) -> TrainedModels:
    """Build the models of the folds of a finished run of cv or train, and load their weights.

    Args:
        path: the run folder.
        folds: whose models, counted from 0; None loads all.

    Raises:
        InputError: if it is not a run folder, the run has not finished, or weights are missing, damaged, or of another
            model.

    Example:
        >>> trained = load_fold_models(Path("runs/A"))
        >>> len(trained.models) == trained.config.folds
        True
    """
    path = Path(path).expanduser()
    config, metrics = _read_run(path)
    return _load_models(path, config, metrics, _list_folds(config, metrics) if folds is None else folds)


def load_submitted_models(path: Path | str) -> TrainedModels:
    """Build the models whose mean a finished run submits: those fitted on all rows, or else those of the folds.

    Arguments and errors as of `load_fold_models`.
    """
    path = Path(path).expanduser()
    config, metrics = _read_run(path)
    return _load_models(path, config, metrics, config.refits or _list_folds(config, metrics))


def _read_run(path: Path) -> tuple[RunConfig, dict[str, Any]]:
    config, _ = load_run_config(path, "cv", "train")
    metrics = load_metrics(path)
    if "precision" not in metrics:
        raise InputError("run.metric_missing", path=path / METRICS, column="precision")
    return config, metrics


def _list_folds(config: RunConfig, metrics: dict[str, Any]) -> Sequence[int]:
    return range(1 if metrics.get("single_split") else config.folds)


def _load_models(path: Path, config: RunConfig, metrics: dict[str, Any], numbers: Sequence[int]) -> TrainedModels:
    """Load the models of some folds and refits; refits are numbered after the folds."""
    files = [find_weights(path, number, config) for number in numbers]
    if missing := next((file for file in files if not file.is_file()), None):
        raise InputError("run.fold_model_missing", path=missing)
    return TrainedModels(
        models=tuple(_load_model(config, metrics["precision"], file) for file in files),
        preprocessing=tuple(config.choose_preprocessing(number) for number in numbers),
        temperature=metrics.get("temperature", 1.0),
        config=config,
        precision=metrics["precision"],
    )


def _load_model(config: RunConfig, precision: str, weights: Path) -> keras.Model:
    """A model of the run with the weights of a file, in the precision in which the run made its predictions."""
    with precision_policy(precision):
        model = build_fresh_model(config.replace(weights="none"))
    try:
        load_weights(model, weights)
    except InputError as error:
        unlike = ("models.weights_of_another_model", "io.too_long")
        if error.code in unlike and config.model.startswith(FUNCTION):
            name = config.model.removeprefix(FUNCTION)
            raise InputError("models.function_changed", path=weights.parent.parent, received=name) from error
        raise
    return model
