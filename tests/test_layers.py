import keras
import numpy as np
from conftest import expect_error
from keras import layers

from digit_recognizer.reporting.network import BATCH_SIZE, open_network

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
SCALED = IMAGES.astype(np.float32) / 255


def build_nested():
    inner_inputs = keras.Input((8, 8, 1))
    inner = layers.Conv2D(3, 3, activation="relu", name="first")(inner_inputs)
    inner = layers.Add(name="sum")([inner, layers.Conv2D(3, 3, padding="same", name="second")(inner)])
    backbone = keras.Model(inner_inputs, inner, name="backbone")
    inputs = keras.Input((8, 8, 1))
    outputs = layers.Flatten(name="flat")(backbone(layers.Rescaling(2.0, name="doubled")(inputs)))
    outputs = layers.Dropout(0.5, name="dropout")(outputs)  # would show if the model were in training
    outputs = layers.Dense(4, name="logits")(outputs)
    return keras.Model(inputs, layers.Activation("softmax", name="probabilities")(outputs), name="nested")


def test_layers_of_nested_models_have_paths_in_the_order_of_computation():
    names = list(open_network(build_nested()).calls)
    expected = ["doubled", "backbone/first", "backbone/second", "backbone/sum", "flat", "dropout"]
    assert names == [*expected, "logits", "probabilities"]


def test_a_nested_layer_computes_what_the_nested_model_computes_there():
    model = build_nested()
    network = open_network(model)
    backbone = model.get_layer("backbone")
    first = keras.Model(backbone.inputs[0], backbone.get_layer("first").output)(2 * SCALED)
    given, probabilities = network.compute([network.find("backbone/first").outputs, *network.model.outputs], IMAGES)
    assert np.allclose(given, keras.ops.convert_to_numpy(first), atol=1e-6) and given.shape == (5, 6, 6, 3)
    assert np.allclose(probabilities, model.predict(SCALED, verbose=0), atol=1e-6)


def test_the_model_itself_stays_as_it_is():
    model = build_nested()
    before, answers = [weight.copy() for weight in model.get_weights()], model.predict(SCALED, verbose=0)
    network = open_network(model)
    for weight in network.model.weights:
        weight.assign(weight * 0)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    assert np.array_equal(model.predict(SCALED, verbose=0), answers)


def test_a_model_of_lower_precision_is_opened_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        short = build_nested()
    finally:
        keras.config.set_dtype_policy(policy)
    long = build_nested()
    long.set_weights(short.get_weights())
    network = open_network(short)
    assert {call.layer.compute_dtype for call in network.calls.values()} == {"float32"}
    (probabilities,) = network.compute(network.model.outputs, IMAGES)
    assert np.allclose(probabilities, long.predict(SCALED, verbose=0), atol=1e-6)


def test_a_sequential_model_can_be_opened():
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(name="flat"), layers.Dense(3, name="last")])
    network = open_network(model)
    assert list(network.calls) == ["flat", "last"] and network.list_convolutions() == []
    assert np.allclose(network.compute(network.model.outputs, IMAGES)[0], model.predict(SCALED, verbose=0), atol=1e-6)


def test_images_of_several_batches_keep_their_order():
    network = open_network(build_nested())
    images = RNG.integers(0, 256, (BATCH_SIZE + 3, 8, 8, 1), dtype=np.uint8)
    whole, part = (
        network.compute([network.find("flat").outputs], shown)[0] for shown in (images, images[BATCH_SIZE - 2 :])
    )
    assert len(whole) == BATCH_SIZE + 3 and np.allclose(whole[BATCH_SIZE - 2 :], part, atol=1e-5)


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with expect_error("report.layer", received="first") as caught:
        open_network(build_nested()).find("first")
    assert "doubled, backbone/first, " in str(caught.value)


def test_convolutions_are_found_within_nested_models():
    found = [call.name for call in open_network(build_nested()).list_convolutions()]
    assert found == ["backbone/first", "backbone/second"]


def test_without_a_layer_of_that_name_the_embedding_is_what_the_last_weights_see():
    network = open_network(build_nested())
    tensor, words = network.find_embedding()
    (vectors,) = network.compute([tensor], IMAGES)
    assert vectors.shape == (5, 108) and words == "the input of the last layer with weights, logits"


def test_the_layer_named_embedding_is_the_embedding_wherever_it_stands():
    inputs = keras.Input((8, 8, 1))
    outputs = layers.Dense(6, name="embedding")(layers.Flatten()(inputs))
    outputs = layers.Dense(5)(layers.Dense(7)(outputs))
    tensor, words = open_network(keras.Model(inputs, outputs)).find_embedding()
    assert tensor.shape == (None, 6) and words == "the output of layer embedding"
