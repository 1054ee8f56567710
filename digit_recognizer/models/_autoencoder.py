"""A convolutional autoencoder of images: to a short code and back. It is no classifier, and so no `--model`.

After Masci et al. 2011, "Stacked convolutional auto-encoders for hierarchical feature extraction"; the way back
enlarges by doubling pixels before it convolves, which leaves no chequered pattern (Odena et al. 2016, "Deconvolution
and checkerboard artifacts").
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

CODE_UNITS = 32  # a twenty-fourth of the pixels
HALVING_FILTERS = (32, 64)
DOUBLING_FILTERS = (32, 16)  # half as many as on the way in: at 28 px they cost the most


def build_autoencoder(input_shape: tuple[int, int, int], code_units: int = CODE_UNITS) -> "keras.Model":
    """Build encoder and decoder, uncompiled.

    Args:
        input_shape: height, width and channels of an image; both sides are multiples of 4 px.
        code_units: length of a code.

    Returns:
        A model from float32 images (n, *input_shape) in [0, 1] to their reconstructions, of equal shape, type and
        range. Its layers "encoder" (images to codes (n, code_units)) and "decoder" (codes to images) are models
        themselves.

    Raises:
        ValueError: if a side is no multiple of 4 px.
    """
    import keras
    from keras import layers

    height_px, width_px, channels = input_shape
    smallest = (height_px // 4, width_px // 4, DOUBLING_FILTERS[0])
    if height_px % 4 or width_px % 4:
        raise ValueError(f"sides must be multiples of 4 px, to be halved twice; received {height_px} and {width_px}")

    inputs = outputs = keras.Input(input_shape, name="images")
    for number, filters in enumerate(HALVING_FILTERS, 1):
        outputs = layers.Conv2D(
            filters, 3, 2, padding="same", activation="relu", kernel_initializer="he_normal", name=f"halving{number}"
        )(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    encoder = keras.Model(inputs, layers.Dense(code_units, name="code")(outputs), name="encoder")

    codes = keras.Input((code_units,), name="codes")
    outputs = layers.Dense(math.prod(smallest), activation="relu", kernel_initializer="he_normal", name="dense")(codes)
    outputs = layers.Reshape(smallest, name="plane")(outputs)
    for number, filters in enumerate(DOUBLING_FILTERS, 1):
        outputs = layers.UpSampling2D(name=f"doubling{number}")(outputs)
        outputs = layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=f"doubling{number}_conv"
        )(outputs)
    # float32 whatever the precision: the logarithm of a rounded grey level would swamp the loss
    outputs = layers.Conv2D(channels, 3, padding="same", activation="sigmoid", dtype="float32", name="ink")(outputs)
    decoder = keras.Model(codes, outputs, name="decoder")

    images = keras.Input(input_shape, name="images")
    return keras.Model(images, decoder(encoder(images)), name="autoencoder")
