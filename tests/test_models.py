from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.models import build_model, list_models
from digit_recognizer.models._normalization import make_plain

# The tables of `digit-nets`: layer type, output shape without the batch axis, parameters.
BASELINE = [
    ("InputLayer", (28, 28, 1), 0),
    ("Conv2D", (25, 25, 32), 544),
    ("Conv2D", (22, 22, 32), 16416),
    ("MaxPooling2D", (11, 11, 32), 0),
    ("Dropout", (11, 11, 32), 0),
    ("Conv2D", (8, 8, 32), 16416),
    ("Conv2D", (5, 5, 32), 16416),
    ("MaxPooling2D", (2, 2, 32), 0),
    ("Dropout", (2, 2, 32), 0),
    ("Flatten", (128,), 0),
    ("Dropout", (128,), 0),
    ("Dense", (256,), 33024),
    ("Dropout", (256,), 0),
    ("Dense", (10,), 2570),
]
PADDED = [
    ("InputLayer", (28, 28, 1), 0),
    ("ZeroPadding2D", (30, 30, 1), 0),
    ("Conv2D", (26, 26, 5), 130),
    ("Conv2D", (22, 22, 5), 630),
    ("MaxPooling2D", (11, 11, 5), 0),
    ("BatchNormalization", (11, 11, 5), 20),
    ("ZeroPadding2D", (13, 13, 5), 0),
    ("Conv2D", (9, 9, 7), 882),
    ("Conv2D", (5, 5, 7), 1232),
    ("MaxPooling2D", (2, 2, 7), 0),
    ("BatchNormalization", (2, 2, 7), 28),
    ("Flatten", (28,), 0),
    ("Dense", (49,), 1421),
    ("Dropout", (49,), 0),
    ("Dense", (10,), 500),
]


@pytest.mark.parametrize(
    ("name", "table", "parameters", "frozen"), [("baseline", BASELINE, 85_386, 0), ("padded", PADDED, 4_843, 24)]
)
def test_a_model_is_its_reports_table_layer_by_layer(name, table, parameters, frozen):
    model = make_plain(build_model(name))
    rows = [(type(layer).__name__, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers]
    assert rows == table
    assert model.count_params() == parameters
    assert sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights) == frozen


@pytest.mark.parametrize(
    ("name", "parameters", "width"),
    [("champion", 281_514, 256), ("residual", 290_858, 256)],
)
def test_a_model_has_the_parameters_that_its_figures_were_measured_with(name, parameters, width):
    model = build_model(name)
    assert model.count_params() == parameters
    assert model.get_layer("embedding").output.shape == (None, width)


@pytest.mark.parametrize("name", list_models())
def test_every_model_gives_float32_probabilities_in_any_precision(name):
    import keras

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


def test_an_unknown_model_is_refused_with_the_names_of_all():
    with expect_error("models.unknown", received="lenet", known=", ".join(list_models())):
        build_model("lenet")


def test_the_readmes_example_of_a_model_is_one(tmp_path, monkeypatch):
    from digit_recognizer import models
    from digit_recognizer.cli import parse_run_config

    readme = (Path(__file__).resolve().parents[1] / "README.md").read_text()
    blocks = [part.split("```")[0] for part in readme.split("```python\n")[1:]]
    (example,) = [block for block in blocks if "def build(" in block]
    (tmp_path / "tiny.py").write_text(example)
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert parse_run_config("cv", ["--model", "tiny"], "").epochs == 10
    assert build_model("tiny").output_shape == (None, 10)


def test_a_file_put_into_models_is_a_model(tmp_path, monkeypatch):
    from digit_recognizer import models
    from digit_recognizer.cli import parse_run_config

    (tmp_path / "linear.py").write_text(
        "PRESET = {'epochs': 7}\n"
        "def build(input_shape, classes):\n"
        "    import keras\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(classes, activation='softmax')], name='linear')\n"
    )
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert "linear" in list_models()
    assert parse_run_config("cv", ["--model", "linear"], "").epochs == 7
    assert build_model("linear").count_params() == 7850
