"""The nets of the documents and of the papers that they wish for, layer by layer, and that each of them learns."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.models import build_model
from digit_recognizer.models._normalization import make_plain

# Layer type, output shape without the batch axis, parameters; dropout left out where it says nothing of the shape.
TABLES = {
    "narrow": [  # document 002, figure 2
        ("Conv2D", (24, 24, 10), 260),
        ("MaxPooling2D", (12, 12, 10), 0),
        ("Activation", (12, 12, 10), 0),
        ("Conv2D", (8, 8, 20), 5_020),
        ("Dropout", (8, 8, 20), 0),
        ("MaxPooling2D", (4, 4, 20), 0),
        ("Activation", (4, 4, 20), 0),
        ("Flatten", (320,), 0),
        ("Dense", (50,), 16_050),
        ("Dense", (10,), 510),
    ],
    "wide": [  # document 003, part 1
        ("Conv2D", (26, 26, 32), 320),
        ("Conv2D", (24, 24, 32), 9_248),
        ("MaxPooling2D", (12, 12, 32), 0),
        ("Dropout", (12, 12, 32), 0),
        ("Flatten", (4608,), 0),
        ("Dense", (128,), 589_952),
        ("Dropout", (128,), 0),
        ("Dense", (10,), 1_290),
    ],
    "journal": [  # document 004
        ("Conv2D", (26, 26, 32), 320),
        ("MaxPooling2D", (13, 13, 32), 0),
        ("Conv2D", (11, 11, 64), 18_496),
        ("MaxPooling2D", (5, 5, 64), 0),
        ("Flatten", (1600,), 0),
        ("Dense", (128,), 204_928),
        ("Dropout", (128,), 0),
        ("Dense", (10,), 1_290),
    ],
    "dense": [  # document 000: 8, 8, 10
        ("Flatten", (784,), 0),
        ("Dense", (8,), 6_280),
        ("Dense", (8,), 72),
        ("Dense", (10,), 90),
    ],
    "lenet5": [  # LeCun et al. 1998, figure 2
        ("ZeroPadding2D", (32, 32, 1), 0),
        ("Conv2D", (28, 28, 6), 156),
        ("AveragePooling2D", (14, 14, 6), 0),
        ("Conv2D", (10, 10, 16), 2_416),
        ("AveragePooling2D", (5, 5, 16), 0),
        ("Conv2D", (1, 1, 120), 48_120),
        ("Flatten", (120,), 0),
        ("Dense", (84,), 10_164),
        ("Dense", (10,), 850),
    ],
    "alexnet": [  # Krizhevsky et al. 2012, figure 2, at a quarter of its filters and units
        ("Conv2D", (28, 28, 24), 624),
        ("MaxPooling2D", (14, 14, 24), 0),
        ("Conv2D", (14, 14, 64), 38_464),
        ("MaxPooling2D", (7, 7, 64), 0),
        ("Conv2D", (7, 7, 96), 55_392),
        ("Conv2D", (7, 7, 96), 83_040),
        ("Conv2D", (7, 7, 64), 55_360),
        ("MaxPooling2D", (4, 4, 64), 0),
        ("Flatten", (1024,), 0),
        ("Dense", (1024,), 1_049_600),
        ("Dropout", (1024,), 0),
        ("Dense", (1024,), 1_049_600),
        ("Dropout", (1024,), 0),
        ("Dense", (10,), 10_250),
    ],
}
TOTALS = {
    **{"narrow": 21_840, "wide": 600_810, "journal": 225_034, "dense": 6_442, "lenet5": 61_706, "alexnet": 2_342_330},
    **{"resnet": 75_482, "convolutional": 117_426},
}
# Document 003, part 4: convolutions, filters, their side, dense layers, units.
GRID = list(itertools.product((2, 3, 4), (34, 64, 128), (3, 5), (2, 3, 4), (50, 100, 400)))


def tabulate(model):
    return [
        (type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in make_plain(model).layers[1:]
    ]


@pytest.mark.parametrize("name", TABLES)
def test_a_net_is_its_sources_layer_by_layer(name):
    assert tabulate(build_model(name)) == TABLES[name]


@pytest.mark.parametrize("name", TOTALS)
def test_a_nets_docstring_and_figures_speak_of_the_same_parameters(name):
    model = build_model(name)
    assert model.count_params() == TOTALS[name]


def test_a_narrow_nets_dropout_leaves_out_whole_feature_maps():
    dropout = build_model("narrow", dropout=0.7).get_layer("block2_dropout")
    outputs = np.asarray(dropout(np.ones((200, 8, 8, 20), np.float32), training=True))
    assert (outputs.min(axis=(1, 2)) == outputs.max(axis=(1, 2))).all()
    assert (outputs[:, 0, 0] == 0).mean() == pytest.approx(0.7, abs=0.03)
    assert len(np.unique(outputs[:, 0, 0], axis=0)) > 150, "each image loses others"


def test_a_narrow_net_may_have_the_other_kernel_of_document_002():
    model = build_model("narrow", kernel_px=4)
    assert [row[2] for row in tabulate(model) if row[2]] == [170, 3_220, 16_050, 510]


@pytest.mark.parametrize(("layers", "units", "parameters"), [(3, 16, 13_274), (1, 400, 318_010)])
def test_dense_nets_have_free_depth_and_width(layers, units, parameters):
    model = build_model("dense", layers=layers, units=units)
    assert [shape for kind, shape, _ in tabulate(model)[1:]] == [(units,)] * layers + [(10,)]
    assert model.count_params() == parameters


@pytest.mark.parametrize("blocks", [1, 2, 3])
def test_a_resnet_has_6n_plus_2_layers_and_shortcuts_without_parameters(blocks):
    model = build_model("resnet", blocks=blocks)
    table = tabulate(model)
    assert sum(kind in ("Conv2D", "Dense") for kind, _, _ in table) == 6 * blocks + 2
    assert {kind for kind, _, parameters in table if parameters} == {"Conv2D", "Dense", "BatchNormalization"}
    assert [shape for kind, shape, _ in table if kind == "Add"] == (
        [(28, 28, 16)] * blocks + [(14, 14, 32)] * blocks + [(7, 7, 64)] * blocks
    )
    assert model.get_layer("embedding").output.shape == (None, 64)


def test_a_resnet_of_20_layers_has_the_papers_0_27_million_parameters():
    weights = build_model("resnet", blocks=3).trainable_weights
    trained = sum(int(np.prod(weight.shape)) for weight in weights)
    assert trained == 269_434  # table 6 has 0.27M; its images have two channels more, of 144 weights each


def test_a_resnets_shortcut_is_every_second_pixel_between_zeros():
    import keras

    model = build_model("resnet")
    shortcut = keras.Model(model.get_layer("stage1_block1_relu").output, model.get_layer("stage2_block1_zeros").output)
    images = np.random.default_rng(0).random((2, 28, 28, 16), np.float32)
    outputs = np.asarray(shortcut(images))
    np.testing.assert_array_equal(outputs[..., 8:24], images[:, ::2, ::2])
    assert not outputs[..., :8].any() and not outputs[..., 24:].any()


def test_document_003s_net_is_among_its_own_grids():
    settings = {"convolutions": 2, "filters": 32, "kernel_px": 3, "dense_layers": 1, "dense_units": 128}
    assert tabulate(build_model("convolutional", **settings)) == TABLES["wide"]


def test_all_162_nets_of_document_003s_grid_can_be_built():
    names = ("convolutions", "filters", "kernel_px", "dense_layers", "dense_units")
    counts = set()
    for settings in GRID:
        options = dict(zip(names, settings, strict=True))
        kinds = [type(layer).__name__ for layer in build_model("convolutional", **options).layers]
        assert (kinds.count("Conv2D"), kinds.count("Dense")) == (options["convolutions"], options["dense_layers"] + 1)
        counts.add(settings)
    assert len(counts) == 162


@pytest.mark.parametrize("name", ["alexnet", "dense", "lenet5", "narrow", "resnet"])  # wide, journal: layers of these
def test_a_net_learns_what_can_be_learned(name):
    import keras

    keras.utils.set_random_seed(0)
    labels = np.arange(60) % 10
    images = np.random.default_rng(0).uniform(0, 0.2, (60, 28, 28, 1)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 2 : 2 * label + 6] += 0.8
    model = build_model(name, classes=12)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    losses = model.fit(images, labels, batch_size=20, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


def test_those_with_uncommon_layers_learn_under_jax_as_well():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__))]
    command += ["-k", "learns and (narrow or resnet)"]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0 and "2 passed" in finished.stdout, finished.stdout + finished.stderr
