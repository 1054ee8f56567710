"""Synthetic digits: decoded by an autoencoder from points between the codes of two similar digits of one class.

The last wish of `digit-nets` ("use auto encoder to generate more data"). The points are those of SMOTE (Chawla et al.
2002, arXiv 1106.1813), taken between codes instead of pixels (DeVries and Taylor 2017, arXiv 1702.05538, section 3.2):
the mean of two digits' pixels shows two faint digits; the mean of their codes is decoded to one.

Only training rows come in here, so no held-out row leaves a trace in what a model is trained on.
"""

import math
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from digit_recognizer.console import open_bar
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches, scale_images, to_tf_data
from digit_recognizer.training.optimizers import build_schedule

CODE_UNITS = 32  # a twenty-fourth of the pixels
ENCODER_FILTERS = (32, 64)
DECODER_FILTERS = (32, 16)  # half as many as in the encoder: at 28 px they cost the most
EPOCHS = 5
MIN_STEPS = 600  # few rows get more epochs: after 600 gradient steps digits are nearly as sharp as written ones
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
NEIGHBOURS = 5  # as in SMOTE: near enough that what lies between is of the class


class SyntheticDigits(NamedTuple):
    """Digits that nobody wrote."""

    images: np.ndarray
    """uint8 (n, height, width, 1), 255 = full ink."""
    labels: np.ndarray
    """int64 (n,)."""
    parents: np.ndarray
    """int64 (n, 2): the rows between whose codes each was decoded."""
    shares: np.ndarray
    """float32 (n,): how far it lies from the first of them towards the second, in [0, 1)."""


def generate_digits(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> SyntheticDigits:
    """Train an autoencoder on images, and decode new ones between their codes.

    Args:
        images: uint8 (n, height, width, 1) of the training rows, and of no others.
        labels: int (n,); new digits have the classes in equal shares to these.
        count: of new digits.
        seed: everything random derives from it; it also changes Keras' own seed.

    Returns:
        As many digits as asked for. The digits of a class of one row are that row's reconstruction.
    """
    rng = np.random.default_rng(seed)
    first = np.concatenate([rng.permutation(len(images)) for _ in range(-(-count // len(images)))])[:count]
    autoencoder = train_autoencoder(images, seed)
    codes = _predict(autoencoder.get_layer("encoder"), images)
    second = draw_neighbours(codes, labels, first, rng)
    shares = rng.random(count, np.float32)
    between = codes[first] + shares[:, None] * (codes[second] - codes[first])
    decoded = np.rint(255 * _predict(autoencoder.get_layer("decoder"), between)).astype(np.uint8)
    return SyntheticDigits(decoded, labels[first].astype(np.int64), np.stack([first, second], axis=1), shares)


def train_autoencoder(images: np.ndarray, seed: int) -> keras.Model:
    """Train an autoencoder, as `build_autoencoder` returns it, to reproduce images.

    Args:
        images: uint8 (n, height, width, 1).
        seed: of its weights and of the order of rows.
    """
    keras.utils.set_random_seed(seed)
    model = build_autoencoder(images.shape[1:])
    batches = TrainingBatches(images[None], scale_images(images), np.arange(len(images)), BATCH_SIZE, seed)
    epochs = max(EPOCHS, -(-MIN_STEPS // len(batches)))
    schedule = build_schedule("one-cycle", LEARNING_RATE, epochs * len(batches))
    model.compile(keras.optimizers.Adam(schedule), keras.losses.BinaryCrossentropy())
    order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start_epoch(epoch))
    with open_bar("autoencoder", epochs, "epochs") as bar:
        count = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: bar.update())
        model.fit(to_tf_data(batches), epochs=epochs, callbacks=[order, count], shuffle=False, verbose=0)
    return model


def build_autoencoder(input_shape: tuple[int, int, int]) -> keras.Model:
    """Build a convolutional autoencoder, uncompiled.

    After Masci et al. 2011, "Stacked convolutional auto-encoders for hierarchical feature extraction". The decoder
    doubles pixels before it convolves, which leaves no chequered pattern (Odena et al. 2016, "Deconvolution and
    checkerboard artifacts").

    Args:
        input_shape: height, width and channels of an image; both sides are multiples of 4 px.

    Returns:
        A model from float32 images (n, *input_shape) in [0, 1] to their reconstructions. Its layers "encoder" (images
        to codes (n, `CODE_UNITS`)) and "decoder" (codes to images) are models themselves.
    """
    height_px, width_px, channels = input_shape
    rectified: dict[str, str] = {"activation": "relu", "kernel_initializer": "he_normal"}
    smallest = (height_px // 4, width_px // 4, DECODER_FILTERS[0])

    encoder = keras.Sequential([keras.Input(input_shape)], name="encoder")
    for filters in ENCODER_FILTERS:
        encoder.add(layers.Conv2D(filters, 3, 2, padding="same", **rectified))
    encoder.add(layers.Flatten())
    encoder.add(layers.Dense(CODE_UNITS))

    decoder = keras.Sequential([keras.Input((CODE_UNITS,))], name="decoder")
    decoder.add(layers.Dense(math.prod(smallest), **rectified))
    decoder.add(layers.Reshape(smallest))
    for filters in DECODER_FILTERS:
        decoder.add(layers.UpSampling2D())
        decoder.add(layers.Conv2D(filters, 3, padding="same", **rectified))
    # float32 whatever the precision: the logarithm of a rounded grey level would swamp the loss
    decoder.add(layers.Conv2D(channels, 3, padding="same", activation="sigmoid", dtype="float32"))
    return keras.Sequential([keras.Input(input_shape), encoder, decoder], name="autoencoder")


def draw_neighbours(codes: np.ndarray, labels: np.ndarray, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw for each row one of the nearest rows of its class.

    Args:
        codes: float (n, units).
        labels: int (n,).
        rows: int (m,), 0 to n - 1.
        rng: the draw.

    Returns:
        int64 (m,): never the row itself, unless it is the only one of its class.
    """
    from sklearn.neighbors import NearestNeighbors

    drawn = np.empty(len(rows), np.int64)
    for label in np.unique(labels[rows]):
        members = np.flatnonzero(labels == label)
        chosen = np.flatnonzero(labels[rows] == label)
        nearest = min(NEIGHBOURS, len(members) - 1)
        if nearest == 0:
            drawn[chosen] = members[0]
            continue
        # without points to look up, no member is its own neighbour; its copies are
        neighbours = NearestNeighbors(n_neighbors=nearest).fit(codes[members]).kneighbors(return_distance=False)
        places = np.searchsorted(members, rows[chosen])
        drawn[chosen] = members[neighbours[places, rng.integers(nearest, size=len(chosen))]]
    return drawn


def _predict(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    outputs = model.predict(to_tf_data(PredictionBatches(inputs, None, BATCH_SIZE)), verbose=0)
    return np.asarray(outputs, np.float32)
