"""Batches for Keras: rows drawn in a new order each epoch, augmented, scaled to [0, 1] at the last moment.

Keras' own shuffling draws the same order in every epoch after `set_random_seed` (seen on Keras 3.15 with TensorFlow),
so the order is drawn here, from the seed, the epoch and nothing else: an epoch can be repeated without its forerunners.
"""

import weakref
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from digit_recognizer.data.augmentation import Augment


def scale_images(images: np.ndarray) -> np.ndarray:
    """uint8 images, 255 = full ink, to float32 in [0, 1]: document 001's min-max scaling, as pixels span 0 to 255."""
    return images.astype(np.float32) * np.float32(1 / 255)


class PredictionBatches(keras.utils.PyDataset):
    """Images in their own order, for prediction and for watching.

    Args:
        inputs: uint8 images (n, height, width, channels), or float32 features (n, ...), given as they are.
        targets: float32 one-hot labels (n, classes); None gives batches without them.
        batch_size: the last batch holds what is left.
    """

    def __init__(self, inputs: np.ndarray, targets: np.ndarray | None, batch_size: int) -> None:
        super().__init__()
        self.inputs, self.targets, self.batch_size = inputs, targets, batch_size

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        batch = np.asarray(self.inputs[rows])
        if batch.dtype == np.uint8:
            batch = scale_images(batch)
        return (batch,) if self.targets is None else (batch, self.targets[rows])


class TrainingBatches(keras.utils.PyDataset):
    """Some rows in a new order each epoch.

    Args:
        inputs: uint8 images (k, n, height, width, channels) or float32 features (k, n, ...): k versions of every row,
            of which each epoch draws one per row; k = 1 for plain images.
        targets: float32 one-hot labels (n, classes).
        rows: int (m,), the rows to fit on.
        batch_size: the last batch holds what is left.
        seed: order, augmentation and choice of versions derive from it and the epoch.
        augment: applied to images of one channel; None for features.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.inputs, self.targets, self.rows = inputs, targets, rows
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch, 0]).permutation(self.rows)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def draw_rows(self, index: int) -> tuple[np.ndarray, np.random.Generator]:
        """A batch's rows, and a generator for what is done to them: its own, since any batch may be asked for first."""
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return rows, np.random.default_rng([self.seed, self.epoch, 1 + index])

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows, rng = self.draw_rows(index)
        batch = self.inputs[0 if len(self.inputs) == 1 else rng.integers(len(self.inputs), size=len(rows)), rows]
        if self.augment is not None:
            batch = self.augment(batch[..., 0], rng)[..., None]
        return (scale_images(batch) if batch.dtype == np.uint8 else batch), self.targets[rows]


def stream(batches: PredictionBatches | TrainingBatches) -> Any:
    """Batches in the form in which Keras runs through them without waiting.

    Under TensorFlow, Keras turns batches into a tf.data.Dataset that tunes itself while it runs. The thread that tunes
    sleeps for 10 ms, 20 ms, 40 ms and so on, and at an epoch's end it can be waited for: up to as long again as the
    epoch took, after about half of the epochs (TensorFlow 2.21, benchmarks/stream.py). A generator has nothing to tune.

    TensorFlow 2.21 also keeps the function that a generator is made by until the process ends. It knows the batches by
    a weak reference, so that their arrays go when the dataset does.

    Returns:
        Under TensorFlow a tf.data.Dataset of these batches, one of which is drawn now, for its shapes; the others as
        the epoch goes on, in the order that the last `start_epoch` before it has drawn. Otherwise `batches`.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    signature = tuple(tf.TensorSpec((None, *part.shape[1:]), part.dtype) for part in batches[0])
    source = weakref.ref(batches)
    dataset = tf.data.Dataset.from_generator(lambda: _draw_all(source()), output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(batches))).prefetch(2).with_options(options)
    dataset.batches = batches  # for as long as the dataset is
    return dataset


def _draw_all(batches: PredictionBatches | TrainingBatches | None) -> Iterator[tuple[np.ndarray, ...]]:
    assert batches is not None, "an iterator holds the dataset, and that its batches"
    return map(batches.__getitem__, range(len(batches)))
