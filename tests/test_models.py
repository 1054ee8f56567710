"""Every architecture is its source's, layer by layer, and learns; a file put into models/ is a model."""

import importlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer import models
from digit_recognizer.cli import parse_run_config
from digit_recognizer.models import build_model, list_models
from digit_recognizer.training.weights import make_plain

table = importlib.import_module("digit_recognizer.models.__main__")

# Layer type, output shape without the batch axis, parameters.
TABLES = {
    "baseline": [  # digit-nets
        ("Conv2D", (25, 25, 32), 544),
        ("Conv2D", (22, 22, 32), 16_416),
        ("MaxPooling2D", (11, 11, 32), 0),
        ("Dropout", (11, 11, 32), 0),
        ("Conv2D", (8, 8, 32), 16_416),
        ("Conv2D", (5, 5, 32), 16_416),
        ("MaxPooling2D", (2, 2, 32), 0),
        ("Dropout", (2, 2, 32), 0),
        ("Flatten", (128,), 0),
        ("Dropout", (128,), 0),
        ("Dense", (256,), 33_024),
        ("Dropout", (256,), 0),
        ("Dense", (10,), 2_570),
    ],
    "padded": [  # digit-nets
        ("ZeroPadding2D", (30, 30, 1), 0),
        ("Conv2D", (26, 26, 5), 130),
        ("Conv2D", (22, 22, 5), 630),
        ("MaxPooling2D", (11, 11, 5), 0),
        ("BatchNormalization", (11, 11, 5), 20),
        ("ZeroPadding2D", (13, 13, 5), 0),
        ("Conv2D", (9, 9, 7), 882),
        ("Conv2D", (5, 5, 7), 1_232),
        ("MaxPooling2D", (2, 2, 7), 0),
        ("BatchNormalization", (2, 2, 7), 28),
        ("Flatten", (28,), 0),
        ("Dense", (49,), 1_421),
        ("Dropout", (49,), 0),
        ("Dense", (10,), 500),
    ],
    "narrow": [  # inside-and-transfer, figure 2
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
    "wide": [  # fashion-filters, part 1
        ("Conv2D", (26, 26, 32), 320),
        ("Conv2D", (24, 24, 32), 9_248),
        ("MaxPooling2D", (12, 12, 32), 0),
        ("Dropout", (12, 12, 32), 0),
        ("Flatten", (4608,), 0),
        ("Dense", (128,), 589_952),
        ("Dropout", (128,), 0),
        ("Dense", (10,), 1_290),
    ],
    "journal": [  # journal
        ("Conv2D", (26, 26, 32), 320),
        ("MaxPooling2D", (13, 13, 32), 0),
        ("Conv2D", (11, 11, 64), 18_496),
        ("MaxPooling2D", (5, 5, 64), 0),
        ("Flatten", (1600,), 0),
        ("Dense", (128,), 204_928),
        ("Dropout", (128,), 0),
        ("Dense", (10,), 1_290),
    ],
    "dense": [  # kuzushiji-sweeps: 8, 8, 10
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
# Those of the docstrings, with which the published figures were measured.
PARAMETERS = {
    **{"baseline": 85_386, "padded": 4_843, "champion": 281_514, "residual": 290_858, "narrow": 21_840},
    **{"wide": 600_810, "journal": 225_034, "dense": 6_442, "lenet5": 61_706, "alexnet": 2_342_330},
    **{"resnet": 75_482, "resnet9": 1_650_346, "convolutional": 117_426},
}
# fashion-filters, part 4: convolutions, filters, kernel_px, dense_layers, dense_units.
GRID = list(itertools.product((2, 3, 4), (34, 64, 128), (3, 5), (2, 3, 4), (50, 100, 400)))


def tabulate(model):
    return [
        (type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params())
        for layer in make_plain(model).layers[1:]
    ]


@pytest.mark.parametrize("name", TABLES)
def test_a_model_is_its_sources_table_layer_by_layer(name):
    assert tabulate(build_model(name)) == TABLES[name]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_model_has_the_parameters_that_its_docstring_names(name):
    assert build_model(name).count_params() == PARAMETERS[name]
    assert f"{PARAMETERS[name]:,} parameters" in models.load_model_module(name).__doc__


def test_every_model_is_in_the_table_with_its_parameters(capsys):
    assert table.main(["--json"]) == 0
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == set(list_models())
    assert {name: row["parameters"] for name, row in rows.items()} == {**PARAMETERS, "vgg16": 14_984_522}
    champion, vgg16 = rows["champion"], rows["vgg16"]
    assert (champion["accuracy"], champion["rows"], champion["seconds"]) == (0.99671, 42_000, 583)
    assert (champion["low"], champion["high"]) == pytest.approx((0.99612, 0.99724), abs=5e-6)
    assert "--optimizer muon" in champion["recipe"] and vgg16["accuracy"] is None
    assert table.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("digit_recognizer.cv --model champion")


@pytest.mark.parametrize("name", list_models())
def test_every_model_gives_float32_probabilities_in_any_precision(name):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model(name, classes=7, weights=None)
    finally:
        keras.config.set_dtype_policy(before)
    probabilities = np.asarray(model(np.zeros((2, 28, 28, 1), np.float32)))
    assert probabilities.dtype == np.float32 and probabilities.shape == (2, 7)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-6)
    names = [layer.name for layer in model.layers]
    assert {"images", "embedding", "probabilities"} <= set(names), "layers that other modules read by name"


def test_two_builds_share_no_weights():
    first, second = build_model("padded"), build_model("padded")
    first.layers[2].bias.assign(np.ones(5))
    assert np.asarray(second.layers[2].bias).sum() == 0


# Options of single architectures


def test_the_dropout_of_narrow_leaves_out_whole_feature_maps():
    dropout = build_model("narrow", dropout=0.7).get_layer("block2_dropout")
    outputs = np.asarray(dropout(np.ones((200, 8, 8, 20), np.float32), training=True))
    assert (outputs.min(axis=(1, 2)) == outputs.max(axis=(1, 2))).all()
    assert (outputs[:, 0, 0] == 0).mean() == pytest.approx(0.7, abs=0.03)
    assert len(np.unique(outputs[:, 0, 0], axis=0)) > 150, "each image loses others"


def test_narrow_may_have_the_other_kernel_of_its_report():
    model = build_model("narrow", kernel_px=4)
    assert [row[2] for row in tabulate(model) if row[2]] == [170, 3_220, 16_050, 510]


@pytest.mark.parametrize(("layers", "units", "parameters"), [(3, 16, 13_274), (1, 400, 318_010)])
def test_dense_has_free_depth_and_width(layers, units, parameters):
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
    model = build_model("resnet")
    shortcut = keras.Model(model.get_layer("stage1_block1_relu").output, model.get_layer("stage2_block1_zeros").output)
    images = np.random.default_rng(0).random((2, 28, 28, 16), np.float32)
    outputs = np.asarray(shortcut(images))
    np.testing.assert_array_equal(outputs[..., 8:24], images[:, ::2, ::2])
    assert not outputs[..., :8].any() and not outputs[..., 24:].any()


def test_convolutional_includes_wide():
    settings = {"convolutions": 2, "filters": 32, "kernel_px": 3, "dense_layers": 1, "dense_units": 128}
    assert tabulate(build_model("convolutional", **settings)) == TABLES["wide"]


@pytest.mark.slow
def test_all_162_models_of_the_grid_of_fashion_filters_can_be_built():
    names = ("convolutions", "filters", "kernel_px", "dense_layers", "dense_units")
    for settings in GRID:
        options = dict(zip(names, settings, strict=True))
        kinds = [type(layer).__name__ for layer in build_model("convolutional", **options).layers]
        assert (kinds.count("Conv2D"), kinds.count("Dense")) == (options["convolutions"], options["dense_layers"] + 1)


# Learning


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["alexnet", "dense", "lenet5", "narrow", "resnet"])  # wide, journal: layers of these
def test_a_model_learns_what_can_be_learned(name):
    keras.utils.set_random_seed(0)
    labels = np.arange(60) % 10
    images = np.random.default_rng(0).uniform(0, 0.2, (60, 28, 28, 1)).astype(np.float32)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 2 : 2 * label + 6] += 0.8
    model = build_model(name, classes=12)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    losses = model.fit(images, labels, batch_size=20, epochs=12, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.slow
def test_those_with_uncommon_layers_learn_with_jax_as_well():
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(Path(__file__))]
    command += ["-k", "learns and (narrow or resnet)"]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert finished.returncode == 0 and "2 passed" in finished.stdout, finished.stdout + finished.stderr


# The list of models


def test_an_unknown_model_is_refused_with_the_names_of_all():
    with expect_error("models.unknown", received="lenet", known=", ".join(list_models())):
        build_model("lenet")


def test_the_readmes_example_of_a_model_is_one(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[1]
    pages = [root / "README.md", root / "CONTRIBUTING.md", *root.glob("docs/**/*.md")]
    parts = [part for page in pages if page.exists() for part in page.read_text().split("```python\n")[1:]]
    examples = [block for block in (part.split("```")[0] for part in parts) if "def build(" in block]
    assert examples
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    for number, example in enumerate(examples):
        (tmp_path / f"tiny{number}.py").write_text(example)
        assert parse_run_config("cv", ["--model", f"tiny{number}"], "").epochs > 0
        assert build_model(f"tiny{number}").output_shape == (None, 10)


def test_a_file_put_into_models_is_a_model_with_options(tmp_path, monkeypatch):
    (tmp_path / "of_this_test.py").write_text(
        "from dataclasses import dataclass\n"
        "from digit_recognizer.models import option\n"
        "PRESET = {'epochs': 7}\n"
        "@dataclass(frozen=True)\n"
        "class Options:\n"
        "    units: int = option(3, 1, 9)\n"
        "def build(input_shape, classes, options):\n"
        "    import keras\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(options.units),\n"
        "                             keras.layers.Dense(classes, activation='softmax')], name='of_this_test')\n"
    )
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert "of_this_test" in list_models()
    assert parse_run_config("cv", ["--model", "of_this_test"], "").epochs == 7
    assert build_model("of_this_test", units=2).count_params() == 785 * 2 + 3 * 10
    with expect_error("models.option_range", option="units", received=10, lowest=1, highest=9):
        build_model("of_this_test", units=10)
