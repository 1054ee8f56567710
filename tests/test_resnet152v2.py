"""ResNet152V2 for colour photographs: the table of `inside-and-transfer`, its weights, and its halves."""

import socket

import keras
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.models import _resnet152v2, list_models
from digit_recognizer.transfer_learning.heads import count_parameters

# The report's table, with the preprocessing that it does before the model.
TABLE = [
    ("images", (256, 256, 3), 0),
    ("preprocessed", (256, 256, 3), 0),
    ("resnet152v2", (8, 8, 2048), 58_331_648),
    ("pooled", (2048,), 0),
    ("embedding", (256,), 524_544),
    ("embedding_dropout", (256,), 0),
    ("probabilities", (10,), 2_570),
]


def build_small_backbone(weights):
    """In place of ResNet152V2, whose building and first pass take most of a minute."""
    assert weights is None
    keras.utils.set_random_seed(0)
    inputs = keras.Input((256, 256, 3))
    return keras.Model(inputs, keras.layers.Conv2D(12, 32, strides=32)(inputs), name="resnet152v2")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(_resnet152v2, "_build_backbone", build_small_backbone)


def test_the_reports_table_is_reproduced_layer_by_layer():
    model = _resnet152v2.build(10, None)
    assert [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers] == TABLE
    assert model.count_params() == 58_858_762
    assert count_parameters(model) == (527_114, 58_331_648)


def test_it_is_not_a_model_of_cv():
    assert not [name for name in list_models() if "resnet152" in name]


def test_the_preprocessing_is_resnet_v2s_own(small):
    model = _resnet152v2.build(10, "none")
    images = np.random.default_rng(0).random((2, 256, 256, 3), np.float32)
    found = keras.Model(model.input, model.get_layer("preprocessed").output).predict_on_batch(images)
    np.testing.assert_allclose(found, keras.applications.resnet_v2.preprocess_input(255 * images), atol=1e-5)


def test_the_halves_give_what_the_whole_gives_and_a_fresh_head_fits(small):
    model = _resnet152v2.build(4, None)
    halves = _resnet152v2.split_backbone(model)
    images = np.random.default_rng(0).random((2, 256, 256, 3), np.float32)
    features = halves.lower.predict_on_batch(images)
    np.testing.assert_allclose(halves.upper.predict_on_batch(features), model.predict_on_batch(images), atol=1e-6)
    assert not halves.lower.trainable_weights
    fresh = _resnet152v2.build_head(features.shape[1:], 4)
    assert [weight.shape for weight in fresh.weights] == [weight.shape for weight in halves.upper.weights]
    assert len(fresh.trainable_weights) == len(halves.upper.trainable_weights) == 4


@pytest.mark.slow  # as for VGG16
def test_imagenet_weights_without_a_network_are_refused(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # an earlier download must not help
    monkeypatch.setattr(_resnet152v2, "SIDE_PX", 64)
    with expect_error("models.imagenet_download", file=_resnet152v2.BACKBONE.file):
        _resnet152v2.build(10, "imagenet")


def test_a_weights_file_of_another_model_is_refused(small, tmp_path):
    path = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with expect_error("models.official_weights", path=path, model="ResNet152V2"):
        _resnet152v2.build(10, str(path))
