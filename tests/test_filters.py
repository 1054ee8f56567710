import keras
import numpy as np
import pytest
from keras import layers

from digit_recognizer.models import build_model
from digit_recognizer.reporting.filters import (
    can_filter,
    compute_filter_effects,
    measure_gradients,
    plot_filter_effects,
    plot_maps,
    plot_units,
    read_filters,
)
from digit_recognizer.reporting.network import open_network

RNG = np.random.default_rng(0)
SOBEL = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def open_convolution(shape, *arguments, **settings):
    model = keras.Sequential([
        keras.Input(shape),
        layers.Conv2D(*arguments, bias_initializer="normal", name="first", **settings),
        layers.Flatten(),
        layers.Dense(3),
    ])  # fmt: skip
    network = open_network(model)
    return model, network, network.list_convolutions()[0]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    ("shape", "kernel", "strides"),
    [
        ((12, 12, 1), (3, 3), 1),
        ((12, 12, 1), (4, 4), 1),  # an even kernel has no middle
        ((9, 14, 3), (2, 5), 1),
        ((12, 12, 1), (5, 5), 2),
        ((13, 11, 2), (4, 3), (3, 3)),
        ((28, 28, 1), (11, 11), 1),  # for which OpenCV goes by Fourier transform
    ],
)
def test_opencv_and_the_truncated_model_agree_to_rounding(shape, kernel, strides, padding):
    settings = {"strides": strides, "padding": padding, "activation": "relu"}
    model, network, call = open_convolution(shape, 4, kernel, **settings)
    image = RNG.integers(0, 256, shape, dtype=np.uint8)
    filtered, activations = compute_filter_effects(network, call, image)
    truncated = keras.Model(model.inputs[0], model.get_layer("first").output)(image[None].astype(np.float32) / 255)
    expected = np.moveaxis(keras.ops.convert_to_numpy(truncated)[0], -1, 0)
    assert filtered.shape == activations.shape == expected.shape
    assert np.allclose(activations, expected, atol=1e-6)
    assert np.allclose(filtered, expected, atol=1e-5) and expected.max() > 0.05


@pytest.mark.parametrize("name", ["baseline", "padded", "champion", "residual"])
def test_opencv_does_what_the_first_convolution_of_our_models_does(name):
    network = open_network(build_model(name))
    call = network.list_convolutions()[0]
    image = RNG.integers(0, 256, (28, 28, 1), dtype=np.uint8)
    filtered, activations = compute_filter_effects(network, call, image)
    assert np.abs(filtered - activations).max() < 1e-5 and np.abs(activations).max() > 0.1
    assert (filtered.min() < 0) == (not call.layer.use_bias)  # ours without bias are rectified later


def test_filters_are_read_in_their_order_and_summed_over_channels():
    _, _, call = open_convolution((12, 12, 2), 4, (3, 5))
    kernel = keras.ops.convert_to_numpy(call.layer.kernel)
    filters = read_filters(call)
    assert filters.shape == (4, 3, 5)
    assert np.allclose(filters[2], kernel[:, :, 0, 2] + kernel[:, :, 1, 2])


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, True), ({"strides": 2}, True), ({"groups": 2}, False), ({"dilation_rate": 2}, False)],
)
def test_only_a_convolution_that_filter2d_can_do_is_compared(settings, expected):
    _, _, call = open_convolution((12, 12, 2), 4, 3, **settings)
    assert can_filter(call) is expected


def test_a_gradient_is_all_gradient_and_sobel_is_mostly():
    down, right = np.mgrid[-2:3, -2:3].astype(float)
    shares, _ = measure_gradients(np.stack([3 * right + 7, -down, right - down]))
    assert shares == pytest.approx([1, 1, 1])
    spot = np.zeros((3, 3))
    spot[1, 1] = 1
    shares, _ = measure_gradients(np.stack([SOBEL, spot, np.ones((3, 3))]))
    assert shares == pytest.approx([8 / 9, 0, 0])  # of 12 by the gradient: 6 * (8 / 6)**2


def test_the_share_by_chance_is_that_of_random_filters():
    for shape in ((5, 5), (3, 4), (1, 6)):
        shares, chance = measure_gradients(RNG.standard_normal((20_000, *shape)))
        assert shares.mean() == pytest.approx(chance, abs=0.005)
    shares, chance = measure_gradients(RNG.standard_normal((3, 1, 1)))
    assert shares.tolist() == [0, 0, 0] and chance == 0


def test_filters_are_numbered_on_a_scale_with_zero_in_its_middle():
    filters = np.zeros((3, 2, 2))
    filters[1] = [[-1, 0], [0.5, 1]]
    figure = plot_maps(filters, "filters of first", "weight")
    axes, bar = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0", "1", "2"]
    assert bar.get_xlabel() == "weight" and figure.get_suptitle() == "filters of first"
    assert axes.images[0].get_clim() == (-1, 1)
    sheet = np.ma.masked_invalid(axes.images[0].get_array())
    assert set(sheet.compressed().tolist()) == {-1, 0, 0.5, 1} and sheet.mask.any()  # the gaps between them


def test_sixty_four_maps_are_drawn_of_more():
    assert len(plot_maps(RNG.random((70, 2, 2)), "maps", "activation").axes[0].texts) == 64


def test_filters_stand_beside_the_results_of_opencv_and_the_model_on_one_scale():
    filters = np.array([[[1.0, -1.0]]])
    effects = np.full((1, 3, 3), 2.0), np.full((1, 3, 3), 1.0)
    figure = plot_filter_effects(filters, effects, np.full((3, 3, 1), 255, np.uint8), "row 5")
    panels = figure.axes[:4]
    assert [axes.get_title() for axes in panels] == ["row 5", "filters", "cv2.filter2D", "the model"]
    assert [axes.images[0].get_clim() for axes in panels[1:]] == [(-1, 1), (0, 2), (0, 2)]
    assert [np.nanmax(axes.images[0].get_array()) for axes in panels] == [255, 1, 2, 1]


def test_units_are_drawn_as_bars():
    (axes,) = plot_units(np.array([0.5, -1.0, 2.0]), "embedding").axes
    values, edges, _ = axes.patches[0].get_data()
    assert values.tolist() == [0.5, -1, 2] and edges.tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("unit", "activation")
