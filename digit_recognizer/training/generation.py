"""Further training digits, decoded by an autoencoder from points between the codes of near digits of one class.

Document 001's last wish ("use auto encoder to generate more data"). The points are those of SMOTE (Chawla et al. 2002,
arXiv 1106.1813), taken between codes in place of pixels (DeVries and Taylor 2017, arXiv 1702.05538, section 3.2): the
mean of two digits' pixels shows two faint digits, what their codes' mean decodes to is one.

Only rows being fitted come in here, so no held-out row leaves a trace in what a net is fitted on.
"""

from dataclasses import dataclass

import keras
import numpy as np

from digit_recognizer.models._autoencoder import build_autoencoder
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches, scale_images, stream
from digit_recognizer.training.schedules import build_schedule

EPOCHS = 5
LEAST_STEPS = 600  # few rows get more epochs: after 600 gradient steps digits are nearly as sharp as written ones
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
NEIGHBOURS = 5  # as in SMOTE: near enough that what lies between is of the class


@dataclass(frozen=True)
class GeneratedDigits:
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


def generate_digits(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> GeneratedDigits:
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
    return GeneratedDigits(new, labels[first].astype(np.int64), np.stack([first, second], axis=1), shares)


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
