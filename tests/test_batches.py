import gc
import weakref

import keras
import numpy as np
import pytest

from digit_recognizer.config import RunConfig
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches, scale_images, to_tf_data
from digit_recognizer.training.trainer import Trainer

NUMBERS = np.arange(23)
IMAGES = np.broadcast_to(NUMBERS.astype(np.uint8)[None, :, None, None, None], (1, 23, 4, 4, 1))
TARGETS = np.eye(23, dtype=np.float32)


def collect(batches):
    """The rows that an epoch gives, read from the targets; each image must be the one of its target."""
    rows = []
    for index in range(len(batches)):
        images, targets = batches[index]
        assert np.array_equal(np.round(images[:, 0, 0, 0] * 255), targets.argmax(1))
        rows += targets.argmax(1).tolist()
    return rows


def test_scaling_spans_zero_to_one():
    scaled = scale_images(np.array([0, 51, 255], np.uint8))
    assert scaled.dtype == np.float32 and np.allclose(scaled, [0, 0.2, 1])


def test_every_epoch_gives_every_row_once_in_another_order():
    batches = TrainingBatches(IMAGES, TARGETS, NUMBERS[3:], batch_size=6, seed=1)
    orders = []
    for epoch in range(3):
        batches.start_epoch(epoch)
        orders.append(collect(batches))
    assert [sorted(order) for order in orders] == [list(range(3, 23))] * 3
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize(
    ("rows", "devices", "sizes"),
    [(12, 1, [6, 6]), (13, 1, [5, 4, 4]), (5, 1, [5]), (14, 2, [6, 4, 4])],
    ids=["full", "one row too many", "one batch", "two devices"],
)
def test_no_batch_is_much_smaller_than_the_others(rows, devices, sizes, monkeypatch):
    monkeypatch.setattr("digit_recognizer.training.batches.count_devices", lambda: devices)
    batches = TrainingBatches(IMAGES, TARGETS, NUMBERS[:rows], batch_size=6, seed=1)
    assert [len(batches[index][0]) for index in range(len(batches))] == sizes
    assert sorted(collect(batches)) == list(range(rows))


def test_an_epoch_can_be_repeated_without_those_before_it():
    batches = TrainingBatches(IMAGES, TARGETS, NUMBERS, batch_size=6, seed=1)
    batches.start_epoch(5)
    again = TrainingBatches(IMAGES, TARGETS, NUMBERS, batch_size=6, seed=1)
    again.start_epoch(5)
    assert np.array_equal(batches[2][0], again[2][0])


def test_the_first_epochs_give_small_images_of_the_same_rows():
    images = np.zeros((1, 8, 28, 28, 1), np.uint8)
    images[:, :, 7:21, :14] = 255
    small, whole = (
        TrainingBatches(images, np.eye(8, dtype=np.float32), np.arange(8), 4, 1, small_epochs=n) for n in (2, 0)
    )
    for epoch in range(3):
        small.start_epoch(epoch)
        whole.start_epoch(epoch)
        (pixels, targets), (expected, expected_targets) = small[0], whole[0]
        assert np.array_equal(targets, expected_targets)
        if epoch == 2:
            assert np.array_equal(pixels, expected)
        else:
            assert pixels.shape == (4, 20, 20, 1) and pixels.dtype == np.float32
            assert (pixels[:, 5:15, :10] == 1).all() and pixels.sum() == 4 * 10 * 10, "five pixels stand for seven"


def test_keras_asks_for_a_new_order_in_each_epoch():
    asked = []

    class Spy(TrainingBatches):
        def __getitem__(self, index):
            asked.append((self.epoch, index))
            return super().__getitem__(index)

    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(23, "softmax")])
    Trainer(model, RunConfig()).fit(Spy(IMAGES, TARGETS, NUMBERS, batch_size=6, seed=1), epochs=3, learning_rate=1e-3)
    for epoch in range(3):
        assert {index for number, index in asked if number == epoch} == {0, 1, 2, 3}


def test_versions_are_drawn_row_by_row():
    versions = np.stack([np.full((50, 2), version, np.float32) for version in range(4)])
    batches = TrainingBatches(versions, np.zeros((50, 10), np.float32), np.arange(50), batch_size=50, seed=0)
    drawn = batches[0][0]
    assert drawn.shape == (50, 2) and set(drawn[:, 0]) == {0.0, 1.0, 2.0, 3.0}
    assert np.array_equal(drawn[:, 0], drawn[:, 1])


def test_augmentation_sees_uint8_planes_and_its_result_is_scaled():
    seen = []

    def invert(images, rng):
        seen.append((images.dtype, images.shape))
        return 255 - images

    batches = TrainingBatches(IMAGES, TARGETS, NUMBERS, batch_size=23, seed=0, augment=invert)
    images, targets = batches[0]
    assert seen == [(np.dtype(np.uint8), (23, 4, 4))]
    assert np.allclose(images[:, 1, 1, 0] * 255, 255 - targets.argmax(1), atol=1e-4)


def test_prediction_keeps_the_order_and_the_last_short_batch():
    batches = PredictionBatches(IMAGES[0], TARGETS, batch_size=10)
    assert [len(batches[index][0]) for index in range(len(batches))] == [10, 10, 3]
    assert collect(batches) == list(range(23))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has tf.data")
def test_a_stream_follows_the_last_started_epoch_and_tunes_nothing():
    batches = TrainingBatches(IMAGES, TARGETS, NUMBERS, batch_size=6, seed=1)
    streamed = to_tf_data(batches)
    assert streamed.options().autotune.enabled is False  # epochs would wait for the tuning thread
    assert len(streamed) == len(batches) == 4
    for epoch in (0, 3):
        batches.start_epoch(epoch)
        pairs = list(zip(streamed, map(batches.__getitem__, range(4)), strict=True))
        assert len(pairs) == 4
        for (images, targets), (own_images, own_targets) in pairs:
            assert np.array_equal(images.numpy(), own_images) and np.array_equal(targets.numpy(), own_targets)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow has tf.data")
def test_streamed_arrays_are_freed():
    """TensorFlow keeps each generator function until the process ends; five folds' images must not stay with them."""
    images = IMAGES[0].copy()
    gone = weakref.ref(images)
    batches = PredictionBatches(images, None, batch_size=10)
    assert len(list(to_tf_data(batches))) == 3
    del images, batches
    gc.collect()
    assert gone() is None


def test_other_backends_take_the_batches_themselves(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    batches = PredictionBatches(IMAGES[0], None, batch_size=10)
    assert to_tf_data(batches) is batches
