"""Parts that several nets share: a normalised convolution, and the way from its activations to probabilities."""

import keras
from keras import layers

from digit_recognizer.models._normalization import FusedBatchNormalization

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
