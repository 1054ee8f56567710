"""A fitted net with a new output layer: what carries over to other classes, and what of it is trained."""

import math
from dataclasses import dataclass

import keras
from keras import layers

from digit_recognizer.errors import InputError
from digit_recognizer.models._normalization import FusedBatchNormalization

# Parts that several nets share: a normalised convolution, and the way from its activations to probabilities.

NORM_MOMENTUM = 0.9  # a fit of a few hundred steps cannot wait for an average over the last hundred


def convolve(
    inputs: keras.KerasTensor,
    filters: int,
    side: int,
    name: str,
    *,
    padding: str = "same",
    strides: int = 1,
    pool: bool = False,
    rectify: bool = True,
) -> keras.KerasTensor:
    """Convolution, normalisation and ReLU; pooling comes first of these, so that they see a quarter as much.

    Args:
        inputs: (n, height, width, channels).
        filters: channels of the output.
        side: of the kernel, in px.
        name: of the part; its layers are `name_conv`, `name_pool`, `name_norm` and `name_relu`.
        padding: "same" keeps height and width, "valid" looks at no paper beyond the image.
        strides: in px, by which the kernel moves on.
        pool: halve height and width by the maximum of each square of four.
        rectify: whether ReLU follows.

    Returns:
        (n, height, width, filters); at least 0, if rectified.
    """
    outputs = layers.Conv2D(
        filters, side, strides, padding=padding, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
    )(inputs)
    if pool:
        outputs = layers.MaxPooling2D(name=f"{name}_pool")(outputs)
    outputs = FusedBatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(outputs)
    return layers.Activation("relu", name=f"{name}_relu")(outputs) if rectify else outputs


def pool_mean_and_maximum(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Mean and maximum of each channel, one after the other: (n, height, width, channels) to (n, 2 * channels).

    The mean tells how much of a stroke there is, the maximum whether there is one.
    """
    mean = layers.GlobalAveragePooling2D(name="mean")(inputs)
    maximum = layers.GlobalMaxPooling2D(name="maximum")(inputs)
    return layers.Concatenate(name="embedding")([mean, maximum])


def classify(embedding: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The last layer: probabilities (n, classes), in float32, since a rounded one's logarithm would swamp the loss."""
    return layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(embedding)


OUTPUT = "probabilities"


@dataclass(frozen=True)
class Transferred:
    """A net whose output layer is fresh. The two share their layers.

    Attributes:
        model: float32 images (n, height, width, channels) in [0, 1] to float32 probabilities (n, classes).
        body: the same images to the embedding (n, numbers), the input of the output layer.
    """

    model: keras.Model
    body: keras.Model

    @property
    def output_layer(self) -> keras.layers.Dense:
        """The layer that was replaced."""
        return self.model.layers[-1]


def replace_head(model: keras.Model, classes: int) -> Transferred:
    """Put a fresh output layer in place of a net's own, and freeze all else.

    Args:
        model: a fitted net that ends in a dense layer, or in one and its softmax.
        classes: width of the new output.

    Raises:
        InputError: if the net ends otherwise.
    """
    last = next((layer for layer in reversed(model.layers) if layer.weights), None)
    after = model.layers[model.layers.index(last) + 1 :] if last is not None else []
    if (
        not isinstance(last, keras.layers.Dense)
        or len(last.input.shape) != 2
        or any(not isinstance(layer, (keras.layers.Activation, keras.layers.Softmax)) for layer in after)
    ):
        raise InputError(
            f"the net {model.name} must end in a dense layer, whose place a new one can take, but ends in "
            f"{model.layers[-1].name}: name a run of another model."
        )
    body = keras.Model(model.input, last.input, name="body")
    body.trainable = False
    # float32 whatever the precision: the logarithm of a rounded probability would swamp the loss
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32", name=OUTPUT)(last.input)
    return Transferred(keras.Model(model.input, outputs, name=f"{model.name}_transferred"), body)


def unfreeze_from(model: keras.Model, name: str) -> None:
    """Make a layer and all after it trainable, but for normalisation; compile afterwards.

    Normalisation keeps the statistics of the many images that it was fitted on (those of a few would shift every
    feature map), and its scale with them: Keras reads a frozen layer in inference mode even while others are trained.

    Args:
        model: of `replace_head`; changed in place.
        name: of a layer.

    Raises:
        InputError: if there is no such layer, or no weight from it on but the output layer's.
    """
    names = [layer.name for layer in model.layers]
    body = model.layers[:-1]
    able = [layer.name for layer in body if layer.weights and not _normalises(layer)]
    first = names.index(name) if name in names else len(names)
    for layer in body[first:]:
        layer.trainable = not _normalises(layer)
        for inner in getattr(layer, "layers", []):  # a net within the net
            inner.trainable = not _normalises(inner)
    if not any(layer.trainable_weights for layer in body):
        raise InputError(
            f"--unfreeze takes a layer of the net that can be trained: {', '.join(able)}; received {name!r}."
        )


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """How many numbers of a net are trained, and how many are frozen."""
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return trained, model.count_params() - trained


def _normalises(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)
