"""Parts that several models share: a normalised convolution, and the way from feature maps to probabilities."""

from typing import Literal

import keras
from keras import layers

from digit_recognizer.models._normalization import FusedBatchNormalization

NORM_MOMENTUM = 0.9  # training of a few hundred steps cannot wait for an average over the last hundred


def convolve(
    inputs: keras.KerasTensor,
    filters: int,
    kernel_px: int,
    name: str,
    *,
    padding: str = "same",
    halve: Literal["pool", "stride"] | None = None,
    rectify: bool = True,
) -> keras.KerasTensor:
    """Convolution, batch normalisation and ReLU.

    Args:
        inputs: (n, height, width, channels).
        filters: channels of the output.
        kernel_px: side of the kernel, in px.
        name: of the block; its layers are `name_conv`, `name_pool`, `name_norm` and `name_relu`.
        padding: "same" keeps height and width, "valid" does not look beyond the image.
        halve: halve height and width by max pooling or by a stride of two. Pooling comes right after the convolution,
            so that normalisation and ReLU see a quarter as much.
        rectify: whether ReLU follows.

    Returns:
        (n, height, width, filters); at least 0, if rectified.
    """
    outputs = layers.Conv2D(
        filters,
        kernel_px,
        strides=2 if halve == "stride" else 1,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(inputs)
    if halve == "pool":
        outputs = layers.MaxPooling2D(name=f"{name}_pool")(outputs)
    outputs = FusedBatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(outputs)
    return layers.Activation("relu", name=f"{name}_relu")(outputs) if rectify else outputs


def pool_mean_and_maximum(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Mean and maximum of each channel, one after the other: (n, height, width, channels) to (n, 2 * channels).

    The mean says how much of a stroke there is, the maximum whether there is one.
    """
    mean = layers.GlobalAveragePooling2D(name="mean")(inputs)
    maximum = layers.GlobalMaxPooling2D(name="maximum")(inputs)
    return layers.Concatenate(name="embedding")([mean, maximum])


def classify(embedding: keras.KerasTensor, classes: int) -> keras.KerasTensor:
    """The output layer: probabilities (n, classes), in float32 whatever the precision.

    The logarithm of a probability that is rounded to bfloat16 would swamp the loss.
    """
    return layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(embedding)
