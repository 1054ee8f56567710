"""Synthetic digits: made from the training rows alone, and the same in a resumed run."""

import numpy as np
import pytest
from conftest import expect_error
from resuming import StopAfterSaving, configure, hash_results

from digit_recognizer.config import RunConfig
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.models import list_models
from digit_recognizer.training import synthetic, trainer
from digit_recognizer.training.cross_validation import resume, run_cross_validation
from digit_recognizer.training.inputs import Inputs, check_model_flags
from digit_recognizer.training.synthetic import (
    CODE_UNITS,
    SyntheticDigits,
    build_autoencoder,
    draw_neighbours,
    generate_digits,
    train_autoencoder,
)


def draw_bars(count):
    """uint8 images (count, 28, 28, 1) of a bar whose height tells its class, and its length nothing."""
    rng = np.random.default_rng(0)
    images, labels = np.zeros((count, 28, 28, 1), np.uint8), np.arange(count) % 4
    for image, label in zip(images, labels, strict=True):
        image[6 * label + 3 : 6 * label + 6, 4 : rng.integers(12, 25)] = 255
    return images, labels


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(synthetic, "MIN_STEPS", 60)


def test_an_autoencoder_has_an_encoder_and_a_decoder():
    model = build_autoencoder((28, 28, 1))
    encoder, decoder = model.get_layer("encoder"), model.get_layer("decoder")
    assert encoder.output_shape == decoder.input_shape == (None, CODE_UNITS)
    assert decoder.output_shape == model.output_shape == (None, 28, 28, 1)
    assert (encoder.count_params(), decoder.count_params()) == (119_200, 65_761)
    assert "autoencoder" not in list_models()


@pytest.mark.compiled  # sixty steps take ten seconds, one by one
def test_an_autoencoder_reproduces_what_a_mean_image_does_not():
    images, _ = draw_bars(256)
    model = train_autoencoder(images, seed=0)
    scaled = images / np.float32(255)
    back = model.predict(scaled, verbose=0)
    assert back.dtype == np.float32 and back.min() >= 0 and back.max() <= 1
    assert ((back - scaled) ** 2).mean() < 0.5 * ((scaled.mean(axis=0) - scaled) ** 2).mean()


def test_every_digit_lies_between_its_two_parents(monkeypatch):
    images, labels = draw_bars(256)
    model = build_autoencoder((28, 28, 1))  # training it changes nothing here
    monkeypatch.setattr(synthetic, "train_autoencoder", lambda images, seed: model)
    digits = generate_digits(images, labels, 300, seed=3)
    assert digits.images.shape == (300, 28, 28, 1) and digits.images.dtype == np.uint8
    assert np.abs(np.bincount(digits.labels) - 75).max() <= 44, "256 in equal shares, and 44 by chance"
    assert np.bincount(digits.labels[:256]).tolist() == [64] * 4
    assert (labels[digits.parents] == digits.labels[:, None]).all(), "both of one class"
    assert (digits.parents[:, 0] != digits.parents[:, 1]).all()
    assert digits.shares.min() >= 0 and digits.shares.max() < 1
    first, second = (np.asarray(model.get_layer("encoder")(images[digits.parents[:, side]] / 255)) for side in (0, 1))
    between = first + digits.shares[:, None] * (second - first)
    decoded = 255 * np.asarray(model.get_layer("decoder")(between))[..., 0]
    assert np.abs(digits.images[..., 0] - decoded).max() < 0.6


def test_neighbours_are_the_nearest_of_the_class_and_never_the_row_itself():
    codes = np.concatenate([np.arange(20.0), np.arange(20.0) + 0.1, [7.0]])[:, None]
    labels = np.repeat([0, 1, 2], [20, 20, 1])
    rows = np.repeat(np.arange(41), 30)
    drawn = draw_neighbours(codes, labels, rows, np.random.default_rng(0))
    assert np.array_equal(labels[drawn], labels[rows])
    assert (drawn[rows == 40] == 40).all(), "the only one of its class"
    for row in (0, 10, 25):
        distances = np.abs(codes[labels == labels[row], 0] - codes[row])
        assert set(np.abs(codes[drawn[rows == row], 0] - codes[row]).round(6)) <= set(np.sort(distances)[1:6].round(6))
        assert row not in drawn[rows == row] and len(set(drawn[rows == row])) == 5


def test_digits_are_made_from_training_rows_alone(tiny_dir, monkeypatch):
    seen = []

    def generate(images, labels, count, seed):
        seen.append((images, labels, count, seed))
        return SyntheticDigits(np.full((count, 28, 28, 1), 9, np.uint8), np.zeros(count, int), *[np.zeros(count)] * 2)

    monkeypatch.setattr(trainer, "generate_digits", generate)
    config = RunConfig(input_dir=tiny_dir, model="padded", patience=1, validation_fraction=0.4, synthetic_ratio=0.5)
    dataset = load_dataset(config)
    inputs = Inputs(dataset.images[None], dataset.test_images, from_backbone=False)
    targets, rows = np.eye(10, dtype=np.float32)[dataset.labels], np.arange(30)
    for fold in range(2):
        training, validation = trainer.make_batches(config, inputs, targets, rows, fold)
        images, labels, count, _ = seen[fold]
        used = [int(np.flatnonzero((dataset.images == i).all((1, 2, 3)))[0]) for i in [*images, *validation.inputs]]
        assert sorted(used) == rows.tolist(), "no validation row is a parent"
        assert (len(images), len(validation.inputs), count) == (18, 12, 9)
        assert np.array_equal(labels, dataset.labels[used[:18]])
        assert training.inputs.shape == (1, 27, 28, 28, 1) and training.rows.tolist() == list(range(27))
        assert np.array_equal(training.inputs[0, :18], images) and (training.inputs[0, 18:] == 9).all()
        assert np.array_equal(training.targets.argmax(1), [*labels, *[0] * 9])
    assert seen[0][3] != seen[1][3], "each fold has a seed of its own"


@pytest.mark.slow
def test_a_run_with_synthetic_digits_is_resumed_exactly(tiny_dir, monkeypatch):
    monkeypatch.setattr(synthetic, "MIN_STEPS", 5)
    recipe = {"model": "padded", "epochs": 2, "batch_size": 20, "synthetic_ratio": 1.0}
    whole, stopped = (configure(tiny_dir, name, recipe) for name in ("whole", "stopped"))
    run_cross_validation(whole, single_split=True)
    with monkeypatch.context() as patch:
        StopAfterSaving(patch)
        with pytest.raises(KeyboardInterrupt):
            run_cross_validation(stopped, single_split=True)
    resume(stopped.run_dir, "train")
    assert hash_results(stopped) == hash_results(whole)


def test_transfer_models_refuse_synthetic_digits():
    with expect_error("training.needs_images", column="--synthetic-ratio"):
        check_model_flags(RunConfig(model="vgg16", weights="none", augmentation="none", synthetic_ratio=1.0))
