"""Epochs on the device: what needs Keras on JAX, test_backends.py runs in a process of its own."""

import keras
import numpy as np
import pytest

from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import POLICIES, Affine, BatchedAffine
from digit_recognizer.training import device_epochs
from digit_recognizer.training.batches import TrainingBatches
from digit_recognizer.training.trainer import Trainer, TrainingSession, predict_probabilities

on_jax = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="of the JAX backend: test_backends.py starts a process that has it"
)

CONFIG = RunConfig(epochs=3, learning_rate=0.01, optimizer="muon")


def build(flat=True):
    """A small model that compiles fast, with a kernel of Muon's, Adam's variables and moving averages."""
    inputs = outputs = keras.Input((28, 28, 1) if flat else (None, None, 1), name="images")
    for layer in (
        keras.layers.Conv2D(8, 5, 2, name="first"),
        keras.layers.BatchNormalization(),
        keras.layers.Conv2D(8, 3, 2, activation="relu", name="second"),
        keras.layers.Flatten() if flat else keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, "softmax", name="probabilities", dtype="float32"),
    ):
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


def make_images(count=150):
    """Bars at ten heights, uint8 (count, 28, 28, 1), with their labels."""
    labels = np.arange(count) % 10
    images = np.random.default_rng(0).integers(0, 60, (count, 28, 28, 1), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 + 2 * label : 5 + 2 * label, 6:22] = 255
    return images, labels


def fit(on_device, monkeypatch, augment=None, seed=0, device="cpu", small_epochs=0):
    images, labels = make_images()
    targets = np.eye(10, dtype=np.float32)[labels]
    keras.utils.set_random_seed(seed)
    # three batches of 27 rows, and two of 26
    batches = TrainingBatches(images[None], targets, np.arange(17, 150), 32, 5, augment, small_epochs)
    states = []
    trainer = Trainer(build(flat=not small_epochs), CONFIG, TrainingSession(save=states.append))
    with monkeypatch.context() as patch:
        patch.setattr("jax.default_backend", lambda: device)
        if not on_device:
            patch.setattr(device_epochs, "can_run", lambda batches: False)
        trainer.fit(batches, epochs=3, learning_rate=0.01)
    return trainer.model, trainer.history, states


@pytest.mark.parametrize("affine", [Affine(), POLICIES["flip"].affine], ids=["affine", "flip"])
def test_maps_move_images_as_opencv_does(affine):
    jax = pytest.importorskip("jax", reason="the extra `jax` is not installed")
    images = np.zeros((64, 28, 28), np.uint8)
    images[:, 8:20, 10:18] = np.random.default_rng(1).integers(0, 256, (64, 12, 8))
    engine = BatchedAffine(affine)
    expected = engine(images, np.random.default_rng(7)).astype(np.float32)
    maps = engine.draw_inverse(64, 28, np.random.default_rng(7))
    found = np.asarray(jax.jit(device_epochs.warp)(images.astype(np.float32), maps))
    assert np.abs(found - expected).max() <= 255 * 2 / 32, "a step of 1/32 px at the steepest edge, both ways"
    assert np.abs(found - expected).mean() < 1
    assert np.abs(found - images).max() > 100, "they did move"


def test_the_identity_leaves_every_pixel():
    pytest.importorskip("jax", reason="the extra `jax` is not installed")
    images = np.random.default_rng(2).integers(0, 256, (3, 28, 28)).astype(np.float32)
    eye = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (3, 2, 3))
    assert np.array_equal(device_epochs.warp(images, eye), images)


@pytest.mark.parametrize(("device", "sizes"), [("cpu", [(1, 27)] * 3 + [(1, 26)] * 2), ("gpu", [(3, 27), (2, 26)])])
def test_an_epoch_has_the_rows_and_maps_of_its_batches(device, sizes, monkeypatch):
    jax = pytest.importorskip("jax", reason="the extra `jax` is not installed")
    monkeypatch.setattr(jax, "default_backend", lambda: device)
    images, labels = make_images()
    for augment in (None, BatchedAffine(Affine())):
        given = images[None], np.eye(10, dtype=np.float32)[labels], np.arange(17, 150), 32, 5, augment
        drawn = device_epochs._draw_epoch(TrainingBatches(*given))
        assert [rows.shape for rows, _ in drawn] == sizes
        rows, maps = (
            np.concatenate([part.reshape(-1, *part.shape[2:]) for part in parts]) for parts in zip(*drawn, strict=True)
        )
        expected = [TrainingBatches(*given).draw_rows(index) for index in range(5)]
        assert np.array_equal(rows, np.concatenate([batch for batch, _ in expected]))
        assert sorted(rows) == [*range(17, 150)]
        if augment is None:
            assert (maps == np.eye(2, 3)).all()
        else:
            again = [augment.draw_inverse(len(batch), 28, rng) for batch, rng in expected]
            assert np.array_equal(maps, np.concatenate(again))


@on_jax
@pytest.mark.parametrize(
    ("augment", "device"),
    [(None, "cpu"), (BatchedAffine(Affine()), "cpu"), (None, "gpu")],
    ids=["plain", "affine", "all batches of equal size in one program"],
)
def test_training_on_the_device_equals_that_of_keras(augment, device, monkeypatch):
    ours, our_history, our_states = fit(True, monkeypatch, augment, device=device)
    theirs, their_history, their_states = fit(False, monkeypatch, augment)
    assert [epoch["lr"] for epoch in our_history] == [epoch["lr"] for epoch in their_history]
    losses = [[epoch["loss"] for epoch in history] for history in (our_history, their_history)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3 if augment is None else 0.03)
    images, _ = make_images()
    expected = predict_probabilities(theirs, images[:20])
    assert np.abs(predict_probabilities(ours, images[:20]) - expected).max() < (1e-3 if augment is None else 0.1)
    assert [len(state.optimizer) for state in our_states] == [len(state.optimizer) for state in their_states]
    assert our_states[-1].optimizer[0] == 3 * 5, "the optimizer has counted every batch"


@on_jax
def test_small_images_of_the_first_epochs_equal_those_of_keras(monkeypatch):
    ours, our_history, _ = fit(True, monkeypatch, small_epochs=2)
    theirs, their_history, _ = fit(False, monkeypatch, small_epochs=2)
    losses = [[epoch["loss"] for epoch in history] for history in (our_history, their_history)]
    assert losses[0] == pytest.approx(losses[1], rel=0.01), "OpenCV and JAX shrink images nearly alike"
    images, _ = make_images()
    assert np.abs(predict_probabilities(ours, images[:20]) - predict_probabilities(theirs, images[:20])).max() < 0.05


@on_jax
def test_a_second_model_shares_the_program_and_not_the_weights(monkeypatch):
    device_epochs._programs.clear()
    first, *_ = fit(True, monkeypatch)
    kept = [np.asarray(weight) for weight in first.get_weights()]
    second, *_ = fit(True, monkeypatch, seed=1)
    assert len(device_epochs._programs) == 1
    assert all(np.array_equal(now, then) for now, then in zip(first.get_weights(), kept, strict=True))
    again, *_ = fit(True, monkeypatch)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights(), kept, strict=True)), (
        "no weights stayed in the program"
    )
    assert any(not np.array_equal(a, b) for a, b in zip(second.get_weights(), kept, strict=True))


@on_jax
def test_resuming_in_float16_keeps_the_loss_scale():
    from digit_recognizer.training.hardware import precision_policy

    images, labels = make_images()
    targets = np.eye(10, dtype=np.float32)[labels]

    def fit_half(resumed, states):
        with precision_policy("float16"):
            keras.utils.set_random_seed(0)
            trainer = Trainer(build(), CONFIG, TrainingSession(resume_from=resumed, save=states.append))
            trainer.fit(TrainingBatches(images[None], targets, np.arange(150), 32, 5), epochs=4, learning_rate=0.01)
        return trainer.model

    whole, states, again = [], [], []
    expected = fit_half(None, whole)
    fit_half(None, states)
    found = fit_half(states[1], again)
    assert [len(state.optimizer) for state in again] == [len(state.optimizer) for state in whole[2:]]
    assert all(np.array_equal(a, b) for a, b in zip(found.get_weights(), expected.get_weights(), strict=True))
    assert len({len(state.optimizer) for state in whole}) == 1


@on_jax
def test_other_batches_are_left_to_keras():
    images, labels = make_images(20)
    targets, rows = np.eye(10, dtype=np.float32)[labels], np.arange(20)
    features = images.astype(np.float32)[None]
    assert device_epochs.can_run(TrainingBatches(images[None], targets, rows, 5, 0))
    assert not device_epochs.can_run(TrainingBatches(features, targets, rows, 5, 0)), "features of a backbone"
    assert not device_epochs.can_run(TrainingBatches(np.stack([images] * 2), targets, rows, 5, 0)), (
        "cached augmentations"
    )
    assert not device_epochs.can_run(TrainingBatches(images[None], targets, rows, 5, 0, lambda batch, rng: batch))
