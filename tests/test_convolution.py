"""The convolution of the champion and its kin against Keras' own: the same numbers, by other sums."""

import keras
import numpy as np
import pytest

from digit_recognizer.models._blocks import FastConv2D

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the gradient is TensorFlow's; elsewhere it is Keras' own"
)


def differentiate(layer, images, of_outputs):
    """Outputs, gradient of the images and gradient of the kernel, each as float32."""
    import tensorflow as tf

    @tf.function  # as in training: the graph is rewritten
    def compute(inputs, of_outputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs)
        return outputs, *tape.gradient(outputs, [inputs, layer.kernel.value], of_outputs)

    computed = compute(tf.constant(images, tf.bfloat16), tf.constant(of_outputs, tf.bfloat16))
    return [np.asarray(tf.cast(one, tf.float32)) for one in computed]


@pytest.mark.parametrize(("height", "width", "kernel"), [(3, 3, 3), (5, 7, 3), (6, 6, 4), (7, 7, (5, 3)), (10, 10, 3)])
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
@pytest.mark.parametrize("count", [32, 31])
def test_outputs_and_gradients_are_those_of_keras(height, width, kernel, known, count):
    rng = np.random.default_rng(0)
    images, of_outputs = rng.normal(size=(count, height, width, 4)), rng.normal(size=(count, height, width, 8))
    fast, plain = (
        kind(8, kernel, padding="same", dtype="mixed_bfloat16") for kind in (FastConv2D, keras.layers.Conv2D)
    )
    inputs = keras.Input((height, width, 4) if known else (None, None, 4))
    model = keras.Model(inputs, fast(inputs))
    assert model.output_shape[1:] == (*inputs.shape[1:3], 8)
    plain.build(images.shape)
    plain.set_weights(fast.get_weights())
    assert fast._has_small_maps(inputs) == (not known or max(height, width) <= 7)
    ours, theirs = differentiate(fast, images, of_outputs), differentiate(plain, images, of_outputs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape and np.abs(other).max() > 0.1
        assert np.abs(one - other).max() <= 1e-2 * np.abs(other).max()


def test_memory_beside_an_odd_batch_is_not_read():
    """Images are channels in the kernel's gradient; oneDNN reads channels in pairs (`FastConv2D`)."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    images, of_outputs = rng.normal(size=(255, 5, 5, 64)), rng.normal(size=(255, 5, 5, 128))
    layer = FastConv2D(128, 3, padding="same", dtype="mixed_bfloat16")
    layer.build(images.shape)
    for _ in range(20):  # without the zeros beside it a third of the gradients are NaN
        free = [tf.fill(count, tf.constant(np.nan, tf.bfloat16)) for count in 3 * [64 * 49 * 256, 25 * 256 * 128]]
        del free  # so that what is taken next is likely to hold NaN
        assert np.isfinite(differentiate(layer, images, of_outputs)[2]).all()


@pytest.mark.parametrize(
    "settings",
    [{"padding": "valid"}, {"strides": 2}, {"dilation_rate": 2}, {"groups": 2}, {"dtype": "float32"}],
    ids=lambda settings: next(iter(settings)),
)
def test_other_convolutions_are_left_to_keras(settings):
    layer = FastConv2D(8, 3, **{"padding": "same", "dtype": "mixed_bfloat16", **settings})
    assert not layer._has_small_maps(keras.Input((5, 5, 4)))
