"""ImageNet weights for a backbone: downloaded by Keras, or read from the file that Keras would download.

A file may come from anybody, so Keras does not open it: arrays are taken from it by layer name and shape, and nothing
else. Files of the official name must have the hash that Keras publishes.
"""

import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.io import read_bytes

if TYPE_CHECKING:
    import h5py
    import keras

HEADER_BYTES_PER_LAYER = 16_384  # the official files have 1,700 and 2,100


class Backbone(NamedTuple):
    """A model of `keras.applications` without its top."""

    name: str
    """Of the architecture."""
    file: str
    """What Keras calls its weights file."""
    md5: str
    """The hash of that file, as Keras publishes it (`keras.applications`)."""


class SplitModel(NamedTuple):
    """A model cut in two: `upper(lower(images))` is what the whole model gives. Both halves share its layers."""

    lower: "keras.Model"
    """The part that stays frozen: float32 images (n, height, width, channels) in [0, 1] to features."""
    upper: "keras.Model"
    """The rest: features to float32 probabilities (n, classes). Training it trains the whole model."""


def load_backbone(
    backbone: Backbone, build: Callable[[str | None], "keras.Model"], weights: str | None
) -> "keras.Model":
    """Build a backbone with the weights asked for.

    Args:
        backbone: which.
        build: makes it with "imagenet"'s weights, downloaded by Keras once, or for None with random ones.
        weights: "imagenet", None, or the path of the file that Keras would download.

    Raises:
        InputError: if the weights cannot be downloaded or read, or are of another architecture.
    """
    if weights == "imagenet":
        try:
            return build("imagenet")
        except Exception as error:  # no narrower: Keras raises a bare Exception where the download fails
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise InputError("models.imagenet_download", reason=reason, file=backbone.file) from error
    model = build(None)
    if weights is not None:
        _load_official_weights(model, backbone, Path(weights))
    return model


def _load_official_weights(model: "keras.Model", backbone: Backbone, path: Path) -> None:
    """Load an HDF5 file in the layout of `keras.applications`: a group per layer, which lists its `weight_names`."""
    import h5py

    layers = [layer for layer in model.layers if layer.weights]
    max_bytes = 4 * sum(math.prod(weight.shape) for weight in model.weights) + HEADER_BYTES_PER_LAYER * len(
        model.layers
    )
    content = read_bytes(path, max_bytes)
    if path.name == backbone.file and hashlib.md5(content).hexdigest() != backbone.md5:
        raise InputError("models.official_hash", path=path, other=backbone.md5)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            arrays = {layer.name: _read_layer(file, layer) for layer in layers}
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split()).strip("'\"").rstrip(".")
        raise InputError("models.official_weights", path=path, model=backbone.name, reason=reason) from error
    for layer in layers:
        layer.set_weights(arrays[layer.name])


def _read_layer(file: "h5py.File", layer: "keras.Layer") -> list[np.ndarray]:
    """The arrays of a layer, in the order of its weights."""
    group = _follow(file, layer.name)
    names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
    if len(names) != len(layer.weights) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{layer.name} must have {len(layer.weights)} weights, not {len(names)}")
    return [
        _read_array(_follow(group, name), name, tuple(weight.shape))
        for name, weight in zip(names, layer.weights, strict=True)
    ]


def _follow(group: Any, path: str) -> Any:
    """A member of a group; soft and external links could lead elsewhere, and are refused."""
    import h5py

    for part in path.split("/"):
        if not isinstance(group, h5py.Group) or part not in group:
            raise ValueError(f"{path[:80]} is missing")
        if type(group.get(part, getlink=True)) is not h5py.HardLink:
            raise ValueError(f"{path[:80]} is a link")
        group = group[part]
    return group


def _read_array(dataset: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array that is stored in the file itself, in one piece: nothing to unpack, nothing from elsewhere."""
    import h5py

    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.float32 or dataset.shape != shape:
        raise ValueError(f"{name[:80]} must be float32 {shape}")
    plain = dataset.chunks is None and dataset.external is None and not dataset.is_virtual
    if not plain or dataset.id.get_storage_size() != 4 * math.prod(shape):
        raise ValueError(f"{name[:80]} must be stored plainly")
    array: np.ndarray = dataset[()]
    if not np.isfinite(array).all():
        raise ValueError(f"{name[:80]} holds NaN or infinities")
    return array
