"""A new output layer: its parameters, what stays as it was, and classifiers by distance."""

import keras
import numpy as np
import pytest
from conftest import expect_error
from keras import layers

from digit_recognizer.models import build_model
from digit_recognizer.transfer_learning.config import TransferConfig
from digit_recognizer.transfer_learning.heads import (
    NeighbourClassifier,
    count_parameters,
    cut_head,
    predict_by_nearest_mean,
    replace_head,
    train_linear_head,
    unfreeze_from,
)


def test_the_parameters_are_those_of_the_report():
    model = build_model("narrow")
    assert model.count_params() == 21_840
    transferred = replace_head(model, 3)
    assert count_parameters(transferred) == (153, 21_330)


@pytest.mark.parametrize("name", ["baseline", "champion", "padded", "residual"])
def test_every_model_gives_its_embedding_and_takes_a_new_output(name):
    transferred = replace_head(build_model(name), 7)
    assert transferred.output_shape == (None, 7)
    assert len(transferred.trainable_weights) == 2 and not cut_head(transferred).trainable_weights
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    kernel, bias = transferred.layers[-1].get_weights()
    logits = np.asarray(cut_head(transferred).predict_on_batch(images)) @ kernel + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = shares / shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(transferred.predict_on_batch(images), expected, atol=1e-5)


def test_logits_with_a_softmax_of_its_own_are_replaced_together():
    inputs = keras.Input((28, 28, 1))
    outputs = layers.Dense(4, name="logits")(layers.Flatten()(inputs))
    transferred = replace_head(keras.Model(inputs, layers.Softmax()(outputs)), 2)
    assert cut_head(transferred).output_shape == (None, 784)
    assert [layer.name for layer in transferred.layers][-1] == "probabilities"


def test_a_model_without_a_dense_output_is_refused():
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(10, 3)(inputs)), name="odd")
    with expect_error("models.head_not_dense", model="odd"):
        replace_head(model, 3)


def test_unfreezing_reaches_from_a_layer_to_the_end_but_not_normalization():
    transferred = replace_head(build_model("champion"), 3)
    unfreeze_from(transferred, "block2_first_conv")
    trained = [layer.name for layer in transferred.layers if layer.trainable_weights]
    assert trained == ["block2_first_conv", "block2_second_conv", "probabilities"]


@pytest.mark.parametrize("name", ["block9", "mean", "probabilities"])
def test_unfreezing_from_a_layer_without_trainable_weights_is_refused(name):
    transferred = replace_head(build_model("champion"), 3)
    with expect_error("models.unfreeze", received=name) as caught:
        unfreeze_from(transferred, name)
    known = caught.value.details["known"].split(", ")
    assert (known[0], known[-1]) == ("stem_conv", "block2_second_conv")


@pytest.mark.compiled  # 160 steps
def test_a_linear_head_takes_features_as_they_are_though_trained_on_standardized():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 40)
    features = (100 + 5 * rng.standard_normal((120, 6))).astype(np.float32)
    features[:, 5] = 7  # never changes
    features[np.arange(120), labels] += 30
    config = TransferConfig(run="ready", images=None, epochs=20, batch_size=16, learning_rate=0.05)
    kernel, bias = train_linear_head(features, labels, config, 0)
    assert ((features @ kernel + bias).argmax(axis=1) == labels).mean() > 0.97
    assert np.isfinite(kernel).all()


def predict_by_neighbours(points, labels, queries, neighbours):
    return NeighbourClassifier(points, labels, neighbours).predict(queries).argmax(axis=1)


def test_the_nearest_mean_and_the_nearest_neighbours_are_found():
    points = np.array([[0, 0], [2, 8], [8, 2], [10, 10], [5, 5]], np.float32)  # as wide as high
    labels = np.array([0, 0, 1, 1, 1])
    queries = np.array([[4.2, 4.8], [9, 7], [0, -5]], np.float32)
    assert predict_by_nearest_mean(points, labels, queries).argmax(axis=1).tolist() == [0, 1, 0]
    assert predict_by_neighbours(points, labels, queries, 1).tolist() == [1, 1, 0]
    assert predict_by_neighbours(points, labels, queries[2:], 2).tolist() == [0], "a tie goes to the nearest"
    assert predict_by_neighbours(points, labels, queries[2:], 3).tolist() == [1]
    assert predict_by_neighbours(points, labels, queries, 99).tolist() == [1, 1, 1], "no more than there are"


def test_neighbours_weigh_every_number_equally():
    points = np.array([[0, 0], [0, 1], [1000, 0], [1000, 1]], np.float32)
    labels = np.array([0, 1, 0, 1])
    assert predict_by_neighbours(points, labels, np.array([[400, 1]], np.float32), 1).tolist() == [1]
