"""Kept features: computed once, found again, never mistaken for others."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from digit_recognizer.errors import InputError
from digit_recognizer.training import inputs as features_module
from digit_recognizer.training.inputs import load_cached_augmentations, load_features


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
    return np.random.default_rng(0).integers(0, 256, (10, 784), np.uint8)


def predict(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict_on_batch(pixels.reshape(-1, 28, 28, 1).astype(np.float32) / 255))


def forbid_computing(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: np.ndarray) -> None:
        raise AssertionError("nothing is to be computed here")

    monkeypatch.setattr(model, "predict_on_batch", refuse)


def darken(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images // rng.integers(2, 200, (len(images), 1, 1), np.uint8)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 256])
@pytest.mark.parametrize("kept", [True, False])
def test_features_are_the_models_answers_to_images_in_0_to_1(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, batch_size: int, kept: bool
) -> None:
    features = load_features(lower, pixels, tmp_path if kept else None, "data", batch_size)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, predict(lower, pixels), atol=1e-6)
    assert len(list(tmp_path.iterdir())) == kept


def test_rows_and_images_of_the_same_pixels_share_their_features(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = load_features(lower, pixels, tmp_path, "data")
    forbid_computing(lower, monkeypatch)
    np.testing.assert_array_equal(load_features(lower, pixels.reshape(-1, 28, 28, 1), tmp_path, "data"), rows)


def test_a_fresh_net_with_the_same_weights_computes_nothing(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_features(lower, pixels, tmp_path, "data")
    fresh = build_lower()
    forbid_computing(fresh, monkeypatch)
    second = load_features(fresh, pixels, tmp_path, "data")
    assert isinstance(second, np.memmap), "kept features stay on disk until they are read"
    np.testing.assert_array_equal(second, first)


def change_weights() -> keras.Model:
    model = build_lower()
    model.set_weights([weight + 1e-3 for weight in model.get_weights()])
    return model


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: (build_lower(), pixels, "other data"),
        lambda pixels: (build_lower(), pixels[::-1], "data"),
        lambda pixels: (build_lower(), pixels[:9], "data"),
        lambda pixels: (change_weights(), pixels, "data"),
        lambda pixels: (build_lower(activation="tanh"), pixels, "data"),
        lambda pixels: (build_lower(dtype="mixed_bfloat16"), pixels, "data"),
    ],
    ids=["data", "order of rows", "number of rows", "weights", "layers", "precision"],
)
def test_whatever_the_features_follow_from_gives_a_file_of_its_own(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, change: Callable[[np.ndarray], tuple]
) -> None:
    load_features(lower, pixels, tmp_path, "data")
    other_lower, other_pixels, other_data = change(pixels)
    features = load_features(other_lower, other_pixels, tmp_path, other_data)
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_allclose(features, predict(other_lower, other_pixels).astype(np.float32), atol=1e-6)


def test_another_backend_gives_a_file_of_its_own(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_features(lower, pixels, tmp_path, "data")
    monkeypatch.setattr(keras.backend, "backend", lambda: "another")
    load_features(lower, pixels, tmp_path, "data")
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
def test_a_damaged_file_is_computed_anew(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    load_features(lower, pixels, tmp_path, "data")
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(damage(content))
    np.testing.assert_allclose(load_features(lower, pixels, tmp_path, "data"), predict(lower, pixels), atol=1e-6)
    assert path.read_bytes() == content


def test_the_model_never_sees_more_than_a_batch_and_always_the_same_shape(
    pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, shapes = build_lower(), []
    compute = model.predict_on_batch

    def watch(batch: np.ndarray) -> np.ndarray:
        shapes.append(batch.shape)
        return compute(batch)

    monkeypatch.setattr(model, "predict_on_batch", watch)
    load_features(model, pixels, tmp_path, "data", batch_size=4)
    assert shapes == [(4, 28, 28, 1)] * 3


def test_features_that_fail_half_way_leave_no_file(
    pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_lower()
    answers: Iterator[np.ndarray] = iter([np.zeros((4, 4), np.float32)])
    monkeypatch.setattr(model, "predict_on_batch", lambda _: next(answers))
    with pytest.raises(RuntimeError):
        load_features(model, pixels, tmp_path, "data", batch_size=4)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_found_before_anything_is_computed(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_computing(lower, monkeypatch)
    monkeypatch.setattr(features_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=159))
    with pytest.raises(InputError, match=r"must have room for 160 bytes of features, but 159 are free: .*folder\.$"):
        load_features(lower, pixels, tmp_path, "data")
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_that_cannot_be_made_is_refused(lower: keras.Model, pixels: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match="must be writable"):
        load_features(lower, pixels, tmp_path / "cache", "data")


@pytest.mark.parametrize("bad", [np.zeros((2, 784)), np.zeros((0, 784), np.uint8)], ids=["float64", "no images"])
def test_only_uint8_images_are_taken(lower: keras.Model, bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels must be uint8"):
        load_features(lower, bad, None, "data")


def test_progress_is_shown_only_where_one_waits(
    lower: keras.Model, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(features_module, "PROGRESS_DELAY_SECONDS", 60.0)
    load_features(lower, pixels, None, "data", label="train rows")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(features_module, "PROGRESS_DELAY_SECONDS", 0.0)
    load_features(lower, pixels, None, "data", label="train rows")
    assert "train rows: 100%" in capsys.readouterr().err


def test_the_first_view_is_the_image_as_it_is_and_the_others_are_augmented(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path
) -> None:
    views = load_cached_augmentations(lower, pixels, 3, darken, 7, tmp_path, "data", "darker", batch_size=4)
    assert views.shape == (3, 10, 4)
    np.testing.assert_allclose(views[0], predict(lower, pixels), atol=1e-6)
    images = pixels.reshape(-1, 28, 28)
    for view in (1, 2):
        darkened = [darken(images[4 * b : 4 * b + 4], np.random.default_rng([7, view, b])) for b in range(3)]
        np.testing.assert_allclose(views[view], predict(lower, np.concatenate(darkened)), atol=1e-6)


def test_every_view_is_kept_and_more_views_leave_the_first_ones_as_they_are(
    pixels: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_lower()
    three = load_cached_augmentations(model, pixels, 3, darken, 7, tmp_path, "data", "darker")
    forbid_computing(model, monkeypatch)
    np.testing.assert_array_equal(load_features(model, pixels, tmp_path, "data"), three[0])
    two = load_cached_augmentations(model, pixels, 2, darken, 7, tmp_path, "data", "darker")
    np.testing.assert_array_equal(two, three[:2])


@pytest.mark.parametrize(("seed", "key", "batch_size"), [(8, "darker", 256), (7, "darkest", 256), (7, "darker", 5)])
def test_another_seed_augmentation_or_batch_gives_views_of_its_own(
    lower: keras.Model, pixels: np.ndarray, tmp_path: Path, seed: int, key: str, batch_size: int
) -> None:
    load_cached_augmentations(lower, pixels, 2, darken, 7, tmp_path, "data", "darker")
    load_cached_augmentations(lower, pixels, 2, darken, seed, tmp_path, "data", key, batch_size)
    assert len(list(tmp_path.iterdir())) == 3, "the unaugmented view is shared, the other is not"


def test_a_single_view_needs_no_augmentation_and_more_views_do(lower: keras.Model, pixels: np.ndarray) -> None:
    assert load_cached_augmentations(lower, pixels, 1, None, 0, None, "data", "none").shape == (1, 10, 4)
    with pytest.raises(
        InputError, match=r"^--cached-augmentations above 1 takes an augmentation; received 2 with none: .*$"
    ):
        load_cached_augmentations(lower, pixels, 2, None, 0, None, "data", "none")


def test_an_augmentation_that_changes_the_shape_is_found(lower: keras.Model, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="augment must return uint8"):
        load_cached_augmentations(lower, pixels, 2, lambda images, _: images[:, 1:], 0, None, "data", "cropped")


def test_names_presets_and_features_are_imported_without_keras() -> None:
    code = (
        "import sys, digit_recognizer.models.vgg16, digit_recognizer.training.inputs;"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'jax', 'tqdm')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
