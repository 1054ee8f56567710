"""Further training digits, decoded by an autoencoder from points between the codes of near digits of one class.

Document 001's last wish ("use auto encoder to generate more data"). The points are those of SMOTE (Chawla et al. 2002,
arXiv 1106.1813), taken between codes in place of pixels (DeVries and Taylor 2017, arXiv 1702.05538, section 3.2): the
mean of two digits' pixels shows two faint digits, what their codes' mean decodes to is one.

Only rows being fitted come in here, so no held-out row leaves a trace in what a net is fitted on.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from digit_recognizer.training.batches import PredictionBatches, TrainingBatches, scale_images, stream
from digit_recognizer.training.optimizers import build_schedule

if TYPE_CHECKING:
    import keras


# A convolutional autoencoder of images: to a short code and back. It is no classifier, and so no `--model`.
#
# After Masci et al. 2011, "Stacked convolutional auto-encoders for hierarchical feature extraction"; the way back
# enlarges by doubling pixels before it convolves, which leaves no chequered pattern (Odena et al. 2016, "Deconvolution
# and checkerboard artifacts").

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


EPOCHS = 5
LEAST_STEPS = 600  # few rows get more epochs: after 600 gradient steps digits are nearly as sharp as written ones
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
NEIGHBOURS = 5  # as in SMOTE: near enough that what lies between is of the class


@dataclass(frozen=True)
class SyntheticDigits:
    """Digits that nobody wrote.

    Attributes:
        images: uint8 (n, height, width, 1), 255 = full ink.
        labels: int64 (n,).
        parents: int64 (n, 2): the rows between whose codes each was decoded.
        shares: float32 (n,): how far it lies from the first of them towards the second, in [0, 1).
    """

    images: np.ndarray
    labels: np.ndarray
    parents: np.ndarray
    shares: np.ndarray


def generate_digits(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> SyntheticDigits:
    """Fit an autoencoder on images, and decode new ones between their codes.

    Args:
        images: uint8 (n, height, width, 1) of the rows being fitted, and of no others.
        labels: int (n,); new digits have the classes in equal shares to these.
        count: of new digits.
        seed: all chance derives from it; Keras' own seed is left at another value than before.

    Returns:
        As many digits as asked for. The digits of a class of one row are that row's reconstruction.
    """
    rng = np.random.default_rng(seed)
    first = np.concatenate([rng.permutation(len(images)) for _ in range(-(-count // len(images)))])[:count]
    autoencoder = fit_autoencoder(images, seed)
    codes = _predict(autoencoder.get_layer("encoder"), images)
    second = draw_neighbours(codes, labels, first, rng)
    shares = rng.random(count, np.float32)
    between = codes[first] + shares[:, None] * (codes[second] - codes[first])
    decoded = _predict(autoencoder.get_layer("decoder"), between)
    new = np.rint(255 * decoded).astype(np.uint8)
    return SyntheticDigits(new, labels[first].astype(np.int64), np.stack([first, second], axis=1), shares)


def fit_autoencoder(images: np.ndarray, seed: int) -> keras.Model:
    """Fit an autoencoder to give images back.

    Args:
        images: uint8 (n, height, width, 1).
        seed: of its weights and of the order of rows.

    Returns:
        As `models._autoencoder.build_autoencoder`.
    """
    keras.utils.set_random_seed(seed)
    model = build_autoencoder(images.shape[1:])
    batches = TrainingBatches(images[None], scale_images(images), np.arange(len(images)), BATCH_SIZE, seed)
    epochs = max(EPOCHS, -(-LEAST_STEPS // len(batches)))
    schedule = build_schedule("one-cycle", LEARNING_RATE, epochs * len(batches))
    model.compile(keras.optimizers.Adam(schedule), keras.losses.BinaryCrossentropy())
    order = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.start_epoch(epoch))
    model.fit(stream(batches), epochs=epochs, callbacks=[order], shuffle=False, verbose=0)
    return model


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
        found = NearestNeighbors(n_neighbors=nearest).fit(codes[members])
        # asked without points it leaves each member out of its own neighbours, copies of it included as they should be
        neighbours = found.kneighbors(return_distance=False)
        places = np.searchsorted(members, rows[chosen])
        drawn[chosen] = members[neighbours[places, rng.integers(nearest, size=len(chosen))]]
    return drawn


def _predict(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    outputs = model.predict(stream(PredictionBatches(inputs, None, BATCH_SIZE)), verbose=0)
    return np.asarray(outputs, np.float32)
