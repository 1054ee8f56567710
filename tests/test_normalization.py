import keras
import numpy as np
import pytest
from keras import layers

from digit_recognizer.models import build_model
from digit_recognizer.models._blocks import FusedBatchNormalization
from digit_recognizer.training.weights import make_plain

TENSORFLOW = keras.backend.backend() == "tensorflow"
CLOSE = {"float32": 2e-5, "mixed_bfloat16": 1e-2}  # of the largest number: the format's own rounding
SHAPE = (16, 7, 5, 6)

needs_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="the kernel is TensorFlow's; elsewhere it is Keras' own")


def make_pair(dtype="float32", shape=SHAPE, **settings):
    """Keras' layer and ours with the same weights, none of which is where it begins."""
    pair = [kind(dtype=dtype, **settings) for kind in (layers.BatchNormalization, FusedBatchNormalization)]
    rng = np.random.default_rng(0)
    for layer in pair:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, weight.shape) for weight in pair[0].get_weights()]
    for layer in pair:
        layer.set_weights(weights)
    return pair


def make_inputs(shape=SHAPE):
    return (np.random.default_rng(1).standard_normal(shape) * 3 + 1).astype(np.float32)


def to_numpy(value):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))


def assert_equal_numbers(ours, theirs, dtype):
    assert np.abs(to_numpy(ours) - to_numpy(theirs)).max() <= CLOSE[dtype] * np.abs(to_numpy(theirs)).max()


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(
    "settings", [{}, {"momentum": 0.9, "epsilon": 1e-5}, {"scale": False}, {"center": False}, {"trainable": False}]
)
def test_it_gives_the_numbers_of_keras_own(settings, dtype):
    theirs, ours = make_pair(dtype, **settings)
    inputs = keras.ops.cast(make_inputs(), ours.compute_dtype)
    for training in (True, True, False):
        expected = theirs(inputs, training=training)
        found = ours(inputs, training=training)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        assert_equal_numbers(found, expected, dtype)
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_equal_numbers(found, expected, "float32")


@needs_tensorflow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", CLOSE)
def test_its_gradients_are_those_of_keras_own(dtype, training):
    import tensorflow as tf

    inputs = tf.cast(make_inputs(), "bfloat16" if dtype == "mixed_bfloat16" else "float32")
    weights_of_outputs = tf.cast(np.random.default_rng(2).standard_normal(SHAPE), inputs.dtype)
    found = []
    for layer in make_pair(dtype):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(tf.cast(layer(inputs, training=training) * weights_of_outputs, "float32"))
        found.append(tape.gradient(total, [inputs, layer.gamma.value, layer.beta.value]))
    for theirs, ours in zip(*found, strict=True):
        assert_equal_numbers(ours, theirs, dtype)


@needs_tensorflow
def test_it_is_the_fused_kernel_that_runs():
    import tensorflow as tf

    def operations(layer):
        function = tf.function(lambda inputs: layer(inputs, training=True)).get_concrete_function(make_inputs())
        return {operation.type for operation in function.graph.get_operations()}

    theirs, ours = make_pair()
    assert "FusedBatchNormV3" in operations(ours) and "FusedBatchNormV3" not in operations(theirs)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [((16, 6), {}), ((16, 7, 6), {}), (SHAPE, {"axis": 1}), (SHAPE, {"dtype": "mixed_float16"}), ((1, 1, 1, 6), {})],
    ids=str,
)
def test_where_no_kernel_fits_it_is_keras_own(shape, settings):
    theirs, ours = make_pair(settings.pop("dtype", "float32"), shape, **settings)
    inputs = make_inputs(shape)
    for training in (True, False):
        found, expected = to_numpy(ours(inputs, training=training)), to_numpy(theirs(inputs, training=training))
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)
    for found, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_masked_call_is_keras_own():
    theirs, ours = make_pair()
    mask = np.random.default_rng(3).random(SHAPE[:3]) < 0.5
    found, expected = (layer(make_inputs(), training=True, mask=mask) for layer in (ours, theirs))
    assert to_numpy(found) == pytest.approx(to_numpy(expected), abs=1e-5)


def test_a_model_with_it_is_saved_and_loaded_like_any_other(tmp_path):
    model = build_model("padded")
    model.layers[5].set_weights([np.full(5, value) for value in (0.5, 0.2, 0.1, 2.0)])
    model.save(tmp_path / "ours.keras")
    loaded = keras.saving.load_model(tmp_path / "ours.keras")
    assert isinstance(loaded.layers[5], FusedBatchNormalization)
    images = np.random.default_rng(4).random((3, 28, 28, 1), np.float32)
    assert np.array_equal(to_numpy(loaded(images)), to_numpy(model(images)))


def test_the_plain_model_has_keras_layers_only_and_the_same_probabilities():
    model = build_model("padded")
    for layer in (model.layers[5], model.layers[10]):
        rng = np.random.default_rng(5)
        layer.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in layer.get_weights()])
    plain = make_plain(model)
    assert [type(layer).__module__.split(".")[0] for layer in plain.layers] == ["keras"] * len(model.layers)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in model.layers]
    images = np.random.default_rng(6).random((3, 28, 28, 1), np.float32)
    assert to_numpy(plain(images)) == pytest.approx(to_numpy(model(images)), abs=1e-6)
    baseline = build_model("baseline")
    assert make_plain(baseline) is baseline
