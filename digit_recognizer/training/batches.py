"""Batches for Keras: rows in a new order each epoch, augmented, and scaled to [0, 1] at the last moment.

Keras' own shuffling draws the same order in every epoch after `set_random_seed` (seen on Keras 3.15 with TensorFlow),
so the order is drawn here, from the seed and the epoch alone: an epoch can be repeated without those before it.
"""

import weakref
from typing import Any

import keras
import numpy as np

from digit_recognizer.data.augmentation import Augment, shrink_images
from digit_recognizer.training.hardware import count_devices


def scale_images(images: np.ndarray) -> np.ndarray:
    """uint8 images, 255 = full ink, to float32 in [0, 1]."""
    return images.astype(np.float32) * np.float32(1 / 255)


class PredictionBatches(keras.utils.PyDataset):
    """Rows in their own order, for prediction and validation.

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
    """Some rows in a new order each epoch, in batches of nearly equal size.

    The rows left after full batches could be a tiny batch, and batch normalization would take its statistics. With
    6,660 rows of Kuzushiji-MNIST in batches of 256, the last had 4: in one epoch `resnet9` fell from 0.90 to 0.12 of
    the held-out rows right, and had 0.99 of its training rows right (docs/what-was-tried.md).

    Args:
        inputs: uint8 images (k, n, height, width, channels) or float32 features (k, n, ...): k versions of every row,
            of which each epoch draws one per row; k = 1 for plain images.
        targets: float32 one-hot labels (n, classes).
        rows: int (m,), the training rows among them.
        batch_size: no batch is larger; it and m are multiples of the devices that share a batch.
        seed: with the epoch it decides order, augmentation and choice of versions.
        augment: applied to images of one channel; None for features.
        small_epochs: how many epochs, the first ones, give images of `SMALL_PX`.
    """

    def __init__(
        self,
        inputs: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        seed: int,
        augment: Augment | None = None,
        small_epochs: int = 0,
    ) -> None:
        super().__init__()
        self.inputs, self.targets, self.rows = inputs, targets, rows
        self.seed, self.augment, self.small_epochs = seed, augment, small_epochs
        count, devices = -(-len(rows) // batch_size), count_devices()
        # rows for each device in a batch, and how many batches, the first ones, have one more
        smaller, larger = divmod(len(rows) // devices, count)
        sizes = devices * (smaller + (np.arange(count) < larger))
        self.bounds = np.concatenate([[0], sizes.cumsum()])
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of an epoch, counted from 0."""
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch, 0]).permutation(self.rows)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def draw_rows(self, index: int) -> tuple[np.ndarray, np.random.Generator]:
        """A batch's rows, and a generator for their augmentation: its own, since batches come in any order."""
        rows = self.order[self.bounds[index] : self.bounds[index + 1]]
        return rows, np.random.default_rng([self.seed, self.epoch, 1 + index])

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows, rng = self.draw_rows(index)
        batch = self.inputs[0 if len(self.inputs) == 1 else rng.integers(len(self.inputs), size=len(rows)), rows]
        if self.augment is not None:
            batch = self.augment(batch[..., 0], rng)[..., None]
        if self.epoch < self.small_epochs:
            batch = shrink_images(batch[..., 0])[..., None]
        return (scale_images(batch) if batch.dtype == np.uint8 else batch), self.targets[rows]


def to_tf_data(batches: PredictionBatches | TrainingBatches) -> Any:
    """Batches as Keras iterates over them without waiting: under TensorFlow a `tf.data.Dataset` of a generator.

    Under TensorFlow, Keras turns batches into a tf.data.Dataset that tunes itself while it runs. The thread that tunes
    sleeps for 10 ms, 20 ms, 40 ms and so on, and about half of the epochs wait for it at their end: for up to as long
    as the epoch took (TensorFlow 2.21, benchmarks/stream.py). A generator has nothing to tune.

    TensorFlow 2.21 also keeps a generator's function until the process ends. The function has a weak reference to the
    batches, so that their arrays are freed with the dataset.

    Returns:
        Under TensorFlow a tf.data.Dataset of these batches. One is drawn now, for its shapes, the others during the
        epoch, in the order of the last `start_epoch` before it. Under other backends `batches` itself.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    sizes_change = isinstance(batches, TrainingBatches) and batches.small_epochs > 0
    signature = tuple(
        tf.TensorSpec((None, *((None, None, 1) if sizes_change and part.ndim == 4 else part.shape[1:])), part.dtype)
        for part in batches[0]
    )
    # an iterator keeps the dataset alive, and that its batches: so there is a method when it is asked for
    draw: Any = weakref.WeakMethod(batches.__getitem__)
    count = len(batches)
    dataset = tf.data.Dataset.from_generator(lambda: map(draw(), range(count)), output_signature=signature)
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2).with_options(options)
    dataset.batches = batches  # keeps them alive as long as the dataset
    return dataset
