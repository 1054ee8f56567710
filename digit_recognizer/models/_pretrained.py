"""The transfer net for colour photographs: ResNet152V2 from ImageNet, frozen, under a small head of our own.

Document 002's own net for ten kinds of animals, layer by layer: 58,858,762 parameters at 256x256x3, of which the head's
527,114 are trained. The backbone is He, Zhang, Ren and Sun's (2016, arXiv 1603.05027), with normalisation and
activation before each convolution. It is no `--model` of `cv`: 28x28 grey images through it would take days.
"""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.errors import InputError
from digit_recognizer.models._stored.weights import load_weights_file, write_weights_file

if TYPE_CHECKING:
    import keras


# Backbones of `keras.applications` with ImageNet's weights: downloaded, or from a file that anyone may have made.


@dataclass(frozen=True)
class Split:
    """A net cut in two: `upper(lower(images))` is what the whole net gives. Both halves share its layers."""

    lower: "keras.Model"
    """The part that stays frozen: float32 images (n, height, width, channels) in [0, 1] to features."""
    upper: "keras.Model"
    """The rest: features to float32 probabilities (n, classes). Fitting it fits the whole net."""


def load_backbone(
    build: Callable[[str | None], "keras.Model"], weights: str | None, weights_file: str, name: str
) -> "keras.Model":
    """Build a backbone with the weights asked for.

    Args:
        build: makes it with "imagenet"'s weights, downloaded by Keras once, or for None with random ones.
        weights: "imagenet", None, or the path of the file that Keras would download.
        weights_file: what Keras calls that file.
        name: of the net, in refusals.

    Raises:
        InputError: if the weights cannot be had.
    """
    if weights == "imagenet":
        try:
            return build("imagenet")
        except Exception as error:  # no narrower: Keras raises a bare Exception where the download fails
            raise InputError(
                f"--weights imagenet must be downloaded once, but {_one_line(error)}: "
                f"pass --weights PATH of {weights_file}, or --weights none."
            ) from error
    backbone = build(None)
    if weights is not None:
        _load_weights(backbone, Path(weights), weights_file, name)
    return backbone


def _load_weights(backbone: "keras.Model", path: Path, weights_file: str, name: str) -> None:
    """Load a file that anyone may have made: Keras is given one that holds the arrays of it and nothing else."""
    advice = f"pass the path of {weights_file}, --weights imagenet or --weights none."
    if path.suffix not in (".h5", ".hdf5"):  # Keras would take archives and folders as well
        raise InputError(f"--weights takes a file that ends in .h5, but received {path}: {advice}")
    try:
        weights = load_weights_file(path)
    except InputError as error:
        raise InputError(f"--weights: {error} Or {advice}") from error
    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as folder:
        copy = Path(folder) / ("copy.weights.h5" if path.name.endswith(".weights.h5") else "copy.h5")
        try:
            write_weights_file(copy, weights)
            with warnings.catch_warnings(action="ignore"):  # what Keras warns of here ends in the error below
                backbone.load_weights(copy)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # of other nets, in odd order
            raise InputError(
                f"{path} must hold the weights of {name} without its top, but {_one_line(error)}: {advice}"
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


WEIGHTS_FILE = "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5"  # as Keras publishes it
SIDE_PX = 256
FEATURES = 2048  # numbers per image that the backbone computes
DROPOUT = 0.5  # the document leaves it open; the rate that vgg16's head has, and its reason
RANDOM_WEIGHTS_SEED = 0  # not the run's: equal pictures have equal features then, whatever the seed


def build(classes: int, weights: str | None) -> "keras.Model":
    """Build the transfer net, its backbone frozen.

    Args:
        classes: width of the output.
        weights: of the backbone: "imagenet" (downloaded by Keras, once), None or "none" (random, but the same at every
            call), or the path of the file that Keras would download.

    Returns:
        An uncompiled model from float32 images (n, 256, 256, 3) in [0, 1], red, green and blue, to float32
        probabilities (n, classes).

    Raises:
        InputError: if the weights cannot be had.
    """
    import keras

    inputs = keras.Input((SIDE_PX, SIDE_PX, 3), name="images")
    # as keras.applications.resnet_v2.preprocess_input: -1 to 1
    outputs = keras.layers.Rescaling(2.0, -1.0, dtype="float32", name="preprocessed")(inputs)
    backbone = load_backbone(_build_backbone, None if weights == "none" else weights, WEIGHTS_FILE, "ResNet152V2")
    backbone.trainable = False
    outputs = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone(outputs))
    return keras.Model(inputs, _build_head(outputs, classes), name="resnet152v2_transfer")


def split(model: "keras.Model") -> Split:
    """Cut the transfer net between backbone and head: features are float32 (n, 2048)."""
    import keras

    pooled = model.get_layer("pooled")
    inputs = outputs = keras.Input(pooled.output.shape[1:], name="features")
    for layer in model.layers[model.layers.index(pooled) + 1 :]:
        outputs = layer(outputs)
    return Split(keras.Model(model.input, pooled.output, name="lower"), keras.Model(inputs, outputs, name="upper"))


def build_head(shape: tuple[int, ...], classes: int) -> "keras.Model":
    """Build the trained part alone, fresh: from features (n, *shape) to float32 probabilities (n, classes)."""
    import keras

    inputs = keras.Input(shape, name="features")
    return keras.Model(inputs, _build_head(inputs, classes), name="resnet152v2_head")


def _build_head(outputs: Any, classes: int) -> Any:
    from keras import layers

    outputs = layers.Dense(256, activation="relu", name="embedding")(outputs)
    outputs = layers.Dropout(DROPOUT, name="embedding_dropout")(outputs)
    # float32 whatever the precision: the logarithm of a rounded probability would swamp the loss
    return layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(outputs)


def _build_backbone(weights: str | None) -> "keras.Model":
    import keras

    if weights is None:
        keras.utils.set_random_seed(RANDOM_WEIGHTS_SEED)
    return keras.applications.ResNet152V2(
        include_top=False, weights=weights, input_shape=(SIDE_PX, SIDE_PX, 3), name="resnet152v2"
    )
