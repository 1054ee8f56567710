"""Cached features: computed once, found again, never mistaken for others."""

import shutil
from collections.abc import Iterator
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.errors import InputError
from digit_recognizer.training.inputs import AugmentedVersion, load_features


def build_lower(activation: str = "relu", dtype: str | None = None) -> keras.Model:
    """A small stand-in for a frozen backbone; equal in its weights whenever it is built."""
    inputs = keras.Input((28, 28, 1), name="images")
    outputs = keras.layers.Flatten(name="flatten")(inputs)
    outputs = keras.layers.Dense(
        4, activation=activation, kernel_initializer=keras.initializers.GlorotUniform(seed=0), dtype=dtype, name="dense"
    )(outputs)
    return keras.Model(inputs, outputs, name="lower")


@pytest.fixture(scope="module")
def lower() -> keras.Model:
    return build_lower()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (10, 784), np.uint8).reshape(10, 28, 28, 1)


def predict(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_on_batch(pixels.reshape(-1, 28, 28, 1).astype(np.float32) / 255))


def forbid_computing(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: np.ndarray) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(model, "predict_on_batch", refuse)


def darken(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images // rng.integers(2, 200, (len(images), 1, 1), np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 256])
@pytest.mark.parametrize("kept", [True, False])
def test_features_are_what_the_model_makes_of_images_in_0_to_1(lower, pixels, tmp_path, batch_size, kept):
    features = load_features(lower, pixels, tmp_path if kept else None, batch_size=batch_size)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, predict(lower, pixels), atol=1e-6)
    assert len(list(tmp_path.iterdir())) == kept


def test_a_fresh_model_with_the_same_weights_computes_nothing(lower, pixels, tmp_path, monkeypatch):
    first = load_features(lower, pixels, tmp_path)
    fresh = build_lower()
    forbid_computing(fresh, monkeypatch)
    second = load_features(fresh, pixels, tmp_path)
    assert isinstance(second, np.memmap), "kept features stay on disk until they are read"
    np.testing.assert_array_equal(second, first)


def change_weights() -> keras.Model:
    model = build_lower()
    model.set_weights([weight + 1e-3 for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: (build_lower(), pixels[::-1]),
        lambda pixels: (build_lower(), pixels[:9]),
        lambda pixels: (change_weights(), pixels),
        lambda pixels: (build_lower(activation="tanh"), pixels),
        lambda pixels: (build_lower(dtype="mixed_bfloat16"), pixels),
    ],
    ids=["order of rows", "number of rows", "weights", "layers", "precision"],
)
def test_whatever_the_features_follow_from_gives_a_file_of_its_own(lower, pixels, tmp_path, change):
    load_features(lower, pixels, tmp_path)
    other_lower, other_pixels = change(pixels)
    features = load_features(other_lower, other_pixels, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_allclose(features, predict(other_lower, other_pixels).astype(np.float32), atol=1e-6)


def test_another_backend_gives_a_file_of_its_own(lower, pixels, tmp_path, monkeypatch):
    load_features(lower, pixels, tmp_path)
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    load_features(lower, pixels, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: content[:-40] + bytes([content[-40] ^ 1]) + content[-39:],
    ],
    ids=["empty", "cut in its header", "cut at its end", "too long", "one bit flipped"],
)
def test_a_damaged_file_is_computed_again(lower, pixels, tmp_path, damage):
    load_features(lower, pixels, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    np.testing.assert_allclose(load_features(lower, pixels, tmp_path), predict(lower, pixels), atol=1e-6)
    assert path.read_bytes() == content


def test_the_model_never_sees_more_than_a_batch_and_always_the_same_shape(pixels, tmp_path, monkeypatch):
    model, shapes = build_lower(), []
    compute = model.predict_on_batch

    def watch(batch: np.ndarray) -> np.ndarray:
        shapes.append(batch.shape)
        return compute(batch)

    monkeypatch.setattr(model, "predict_on_batch", watch)
    load_features(model, pixels, tmp_path, batch_size=4)
    assert shapes == [(4, 28, 28, 1)] * 3


def test_no_images_have_no_features(lower, pixels, tmp_path):
    assert load_features(lower, pixels[:0], tmp_path).shape == (0, 4)


def test_features_that_fail_half_way_leave_no_file(pixels, tmp_path, monkeypatch):
    model = build_lower()
    answers: Iterator[np.ndarray] = iter([np.zeros((4, 4), np.float32)])
    monkeypatch.setattr(model, "predict_on_batch", lambda _: next(answers))
    with pytest.raises(StopIteration):
        load_features(model, pixels, tmp_path, batch_size=4)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_found_before_anything_is_computed(lower, pixels, tmp_path, monkeypatch):
    forbid_computing(lower, monkeypatch)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=159))
    with expect_error("io.disk_full", path=tmp_path, needed=160, received=159):
        load_features(lower, pixels, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_that_cannot_be_made_is_refused(lower, pixels, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(InputError):
        load_features(lower, pixels, tmp_path / "cache")


def darker(number, name="darker", seed=7):
    return AugmentedVersion(number, darken, name, seed)


def test_a_version_of_the_images_is_augmented_batch_by_batch(lower, pixels, tmp_path):
    images = pixels.reshape(-1, 28, 28)
    for number in (1, 2):
        features = load_features(lower, pixels, tmp_path, darker(number), batch_size=4)
        darkened = [darken(images[4 * b : 4 * b + 4], np.random.default_rng([7, number, b])) for b in range(3)]
        np.testing.assert_allclose(features, predict(lower, np.concatenate(darkened)), atol=1e-6)


@pytest.mark.parametrize(
    ("version", "batch_size"), [(darker(1, seed=8), 256), (darker(1, "darkest"), 256), (darker(1), 5)]
)
def test_another_seed_augmentation_or_batch_size_gets_a_file_of_its_own(lower, pixels, tmp_path, version, batch_size):
    load_features(lower, pixels, tmp_path, darker(1))
    load_features(lower, pixels, tmp_path, darker(1))
    assert len(list(tmp_path.iterdir())) == 1
    load_features(lower, pixels, tmp_path, version, batch_size=batch_size)
    assert len(list(tmp_path.iterdir())) == 2
