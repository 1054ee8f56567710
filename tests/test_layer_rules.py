"""The rules by which a saved net is measured: they must agree with Keras, or a bomb would pass for a small net."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from digit_recognizer.models._stored.layers import RULES
from digit_recognizer.training.saved_models import load_saved_model, read_archive

Make = Callable[[], keras.layers.Layer]
LAYERS: dict[str, list[Make]] = {
    "Activation": [lambda: layers.Activation("gelu")],
    "Add": [layers.Add],
    "Average": [layers.Average],
    "AveragePooling2D": [lambda: layers.AveragePooling2D(3, padding="same"), lambda: layers.AveragePooling2D(3, 2)],
    "BatchNormalization": [
        layers.BatchNormalization,
        lambda: layers.BatchNormalization(axis=1, scale=False),
        lambda: layers.BatchNormalization(center=False, scale=False),
    ],
    "Concatenate": [layers.Concatenate, lambda: layers.Concatenate(axis=1), lambda: layers.Concatenate(axis=-2)],
    "Conv2D": [
        lambda: layers.Conv2D(6, (2, 3), (2, 1), kernel_regularizer="l2", kernel_constraint="non_neg"),
        lambda: layers.Conv2D(6, 3, 2, padding="same", use_bias=False, groups=2, activation="relu"),
        lambda: layers.Conv2D(5, (3, 2), dilation_rate=(2, 3), kernel_initializer="he_normal"),
    ],
    "Cropping2D": [
        lambda: layers.Cropping2D(((1, 2), (0, 3))),
        lambda: layers.Cropping2D(((1, 2), (0, 3)), data_format="channels_first"),
    ],
    "Dense": [lambda: layers.Dense(3), lambda: layers.Dense(3, use_bias=False, bias_initializer="ones")],
    "DepthwiseConv2D": [
        lambda: layers.DepthwiseConv2D(3, depth_multiplier=2),
        lambda: layers.DepthwiseConv2D((2, 3), padding="same", use_bias=False),
    ],
    "Dropout": [
        lambda: layers.Dropout(0.3, seed=3),
        lambda: layers.Dropout(0.3, noise_shape=(None, 1, 1, None)),
    ],
    "ELU": [layers.ELU],
    "Flatten": [layers.Flatten, lambda: layers.Flatten(data_format="channels_first")],
    "GaussianNoise": [lambda: layers.GaussianNoise(0.1)],
    "GlobalAveragePooling2D": [
        layers.GlobalAveragePooling2D,
        lambda: layers.GlobalAveragePooling2D("channels_first", keepdims=True),
    ],
    "GlobalMaxPooling2D": [layers.GlobalMaxPooling2D, lambda: layers.GlobalMaxPooling2D("channels_first")],
    "LeakyReLU": [layers.LeakyReLU],
    "MaxPooling2D": [lambda: layers.MaxPooling2D(2, padding="same"), lambda: layers.MaxPooling2D((4, 3), (3, 2))],
    "Maximum": [layers.Maximum],
    "Multiply": [layers.Multiply],
    "ReLU": [lambda: layers.ReLU(6.0)],
    "Rescaling": [lambda: layers.Rescaling(2.0, -1.0), lambda: layers.Rescaling(1.0, [1.0, 2.0, 3.0, 4.0])],
    "Reshape": [lambda: layers.Reshape((-1, 10)), lambda: layers.Reshape((4, 11, 10))],
    "Resizing": [lambda: layers.Resizing(5, 30), lambda: layers.Resizing(8, 3, "nearest", antialias=True)],
    "SeparableConv2D": [
        lambda: layers.SeparableConv2D(7, 3, depth_multiplier=2),
        lambda: layers.SeparableConv2D(7, 3, 2, padding="same", use_bias=False),
    ],
    "Softmax": [layers.Softmax],
    "UpSampling2D": [lambda: layers.UpSampling2D((2, 3)), lambda: layers.UpSampling2D(2, interpolation="bilinear")],
    "ZeroPadding2D": [
        lambda: layers.ZeroPadding2D(((1, 2), (0, 3))),
        lambda: layers.ZeroPadding2D(((1, 2), (0, 3)), data_format="channels_first"),
    ],
}
CASES = [(kind, variant) for kind, makes in LAYERS.items() for variant in range(len(makes))]


def count_activations(model: keras.Model) -> int:
    own = sum(int(np.prod(layer.output.shape[1:])) for layer in model.layers)
    return own + sum(count_activations(layer) for layer in model.layers if isinstance(layer, keras.Model))


def check_agreement(model: keras.Model, path: Path) -> None:
    model.save(path)
    network, _ = read_archive(path)
    assert network.parameters == model.count_params()
    assert network.activations == count_activations(model)
    images = np.random.default_rng(0).random((3, *model.input_shape[1:]), np.float32)
    loaded = load_saved_model(path)
    np.testing.assert_array_equal(loaded.predict_on_batch(images), model.predict_on_batch(images))


def test_every_rule_is_compared_with_keras() -> None:
    assert LAYERS.keys() == RULES.keys()


@pytest.mark.parametrize(("kind", "variant"), CASES)
def test_shapes_parameters_and_predictions_are_keras_own(kind: str, variant: int, tmp_path: Path) -> None:
    inputs = keras.Input((10, 11, 4), name="images")
    layer = LAYERS[kind][variant]()
    called = layer([inputs, layers.ReLU()(inputs)]) if RULES[kind].merges else layer(inputs)
    check_agreement(keras.Model(inputs, called), tmp_path / "net.keras")


@pytest.mark.parametrize("seed", range(12))
def test_nets_put_together_by_chance_are_measured_as_keras_measures_them(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    inputs = outputs = keras.Input((20, 18, 4), name="images")
    plane = [kind for kind in LAYERS if not RULES[kind].merges and kind not in ("Flatten", "Reshape", "Rescaling")]
    for _ in range(8):
        layer: Any = rng.choice(LAYERS[rng.choice(plane)])()
        shape = layer.compute_output_shape(outputs.shape)
        if len(shape) == 4 and min(shape[1:]) >= 6 and shape[3] % 2 == 0 and np.prod(shape[1:]) < 1e5:
            outputs = layer(outputs)
    outputs = layers.Concatenate()([layers.Dense(3)(outputs), layers.Dense(2)(outputs)])
    inner = keras.Model(inputs, outputs, name="inner")
    images = keras.Input((20, 18, 4), name="outer_images")
    check_agreement(keras.Model(images, layers.GlobalMaxPooling2D()(inner(images))), tmp_path / "net.keras")
