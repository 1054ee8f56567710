"""Models of one's own: the path of a file or a function, in runs, in resumed runs and in predictions."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error
from resuming import StopAfterSaving

import digit_recognizer as dr
from digit_recognizer import cv
from digit_recognizer import models as _own
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.io import find_cache_dir
from digit_recognizer.models import build_config
from digit_recognizer.training.inputs import check_model_flags, take_any_size
from digit_recognizer.training.reproducibility import hash_source

MINE = """
from dataclasses import dataclass
from digit_recognizer.models import option

PRESET = {"epochs": 2, "folds": 2, "batch_size": 20, "augmentation": "none", "precision": "float32"}

@dataclass(frozen=True)
class Options:
    units: int = option(9, 1, 99)

def build(input_shape, classes, options):
    import keras
    layers = [keras.layers.Flatten(), keras.layers.Dense(options.units, activation="relu"),
              keras.layers.Dense(classes, activation="softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])
"""
SETTINGS = {"epochs": 1, "folds": 2, "batch_size": 20, "augmentation": "none", "precision": "float32"}


@pytest.fixture(autouse=True)
def nothing_named(tmp_path, monkeypatch):
    """As in a new process of a user who has named no file yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("_named", "_modules", "_functions"):
        monkeypatch.setattr(_own, name, type(getattr(_own, name))())


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "models" / "mine.py"
    path.parent.mkdir()
    path.write_text(MINE)
    return path


@pytest.mark.parametrize(("first_line", "times"), [("", 0), ("import keras", 1), ("from keras import layers", 1)])
def test_a_file_that_imports_keras_does_so_without_its_notes(first_line, times, mine, monkeypatch):
    imports = []
    monkeypatch.setattr(_own, "import_keras", lambda: imports.append("quietly"))
    mine.write_text(f"{first_line}\n{MINE}")
    _own.load_user_module(_own.register_model(mine))
    assert len(imports) == times


def build_small(input_shape, classes):
    inputs = keras.Input(input_shape)
    outputs = keras.layers.Dense(classes, activation="softmax")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


class Activated(keras.layers.Layer):
    """Has an argument, and no get_config: Keras cannot write it."""

    def __init__(self, activation):
        super().__init__()
        self.activation = activation

    def call(self, inputs):
        return self.activation(inputs)


def build_unwritable(input_shape, classes):
    inputs = keras.Input(input_shape)
    outputs = Activated(keras.ops.relu)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(outputs))


def test_a_file_is_a_model_in_the_shell_and_resumes_from_its_copy(mine, tiny_dir, monkeypatch, capsys):
    flags = ["--input-dir", str(tiny_dir), "--model", "models/mine.py", "--model-args", "units=5"]
    root = mine.parent.parent
    with monkeypatch.context() as patch:
        StopAfterSaving(patch, saves=1)
        assert cv.main([*flags, "--run-dir", "stopped", "--submission", str(root / "stopped.csv")]) == 130
    monkeypatch.chdir(mine.parent)
    mine.write_text(MINE.replace("relu", "tanh"))  # for the next experiment
    assert cv.main(["--resume", str(root / "stopped"), "--submission", str(root / "stopped.csv"), "--debug"]) == 0
    mine.write_text(MINE)
    monkeypatch.chdir(root)
    assert cv.main([*flags, "--run-dir", "whole", "--submission", "whole.csv", "--debug"]) == 0
    assert Path("stopped.csv").read_text() == Path("whole.csv").read_text()
    assert json.loads(Path("whole/config.json").read_text())["model"] == "mine.py"
    assert json.loads(Path("whole/metrics.json").read_text())["model"] == "mine"
    assert Path("whole/mine.py").read_text() == MINE
    capsys.readouterr()
    # a run predicts with the code that it was trained with, wherever it lies
    shutil.rmtree(mine.parent)
    shutil.move("whole", "elsewhere")
    predicted = dr.load_fold_models(Path("elsewhere")).predict(dr.load_test(tiny_dir / "test.csv").images)
    assert predicted == pytest.approx(np.load("elsewhere/test_probabilities.npy"), abs=1e-5)
    # but not the code of somebody else, until it is named
    (find_cache_dir() / "models.json").unlink()
    _own._named.clear(), _own._modules.clear()
    with expect_error("models.file_not_allowed", path=Path("elsewhere/mine.py").absolute()):
        dr.load_fold_models(Path("elsewhere"))
    dr.build_model("elsewhere/mine.py")
    assert len(dr.load_fold_models(Path("elsewhere")).models) == 2


def test_tables_that_no_command_would_load_need_the_same_call(tiny_dir, monkeypatch):
    (tiny_dir / "sample_submission.csv").unlink()
    StopAfterSaving(monkeypatch, saves=1)
    with pytest.raises(KeyboardInterrupt, match=r"same call of cross_validate with run_dir='stopped'"):
        dr.cross_validate("dense", tiny_dir / "train.csv", tiny_dir / "test.csv", run_dir="stopped", **SETTINGS)


def test_a_function_is_a_model_and_its_run_resumes_in_python(tiny_dir, monkeypatch):
    tables = dr.load_train(tiny_dir / "train.csv"), dr.load_test(tiny_dir / "test.csv")
    whole = dr.cross_validate(build_small, *tables, run_dir="whole", **SETTINGS)
    with monkeypatch.context() as patch:
        StopAfterSaving(patch, saves=2)
        with pytest.raises(KeyboardInterrupt, match=r"same call of cross_validate with run_dir='stopped'") as stop:
            dr.cross_validate(build_small, *tables, run_dir="stopped", **SETTINGS)
    assert len(stop.value._render_traceback_()) == 1
    with expect_error("run.started_in_python", path="stopped"):
        cv.main(["--resume", "stopped", "--debug"])
    with expect_error("run.other_settings", received="--epochs"):
        dr.cross_validate(build_small, *tables, run_dir="stopped", **{**SETTINGS, "epochs": 3})
    resumed = dr.cross_validate(build_small, *tables, run_dir="stopped", **SETTINGS)
    assert np.array_equal(resumed.oof_probabilities, whole.oof_probabilities)
    assert len(dr.load_fold_models(Path("stopped")).models) == 2
    again = dr.cross_validate(build_small, *tables, run_dir="stopped", **SETTINGS)
    assert again.oof.equals(whole.oof) and again.history.loss.equals(whole.history.loss)
    edited = make_model()
    edited.__name__ = "build_small"
    dr.build_model(edited)
    with expect_error("models.function_changed", path=Path("stopped"), received="build_small"):
        dr.load_fold_models(Path("stopped"))
    _own._functions.clear()  # as in another process
    with expect_error("models.function_unknown", received="build_small"):
        dr.load_fold_models(Path("stopped"))


def make_model(inputs=(28, 28, 1), outputs=10, activation="softmax"):
    return lambda *_: keras.Sequential(
        [keras.Input(inputs), keras.layers.Flatten(), keras.layers.Dense(outputs, activation=activation)]
    )


SHARED = make_model()()


@pytest.mark.parametrize(
    ("code", "build"),
    [
        ("models.not_probabilities", make_model(activation=None)),
        ("models.not_probabilities", make_model(activation="sigmoid")),
        ("models.build_fails", build_unwritable),
        ("models.own_shape", make_model(outputs=9)),
        ("models.own_shape", make_model(inputs=(784,))),
        ("models.not_functional", lambda shape, classes: "no model"),
        ("models.not_functional", lambda shape, classes: keras.Model()),
        ("models.not_fresh", lambda shape, classes: SHARED),
        ("models.build_fails", lambda shape, classes: 1 / 0),
        ("models.no_model", dr.RunConfig()),
        ("models.no_model", None),
        ("models.built", SHARED),
    ],
)
def test_what_cannot_be_trained_is_refused_before_training(code, build, tiny_dir):
    train = dr.load_train(tiny_dir / "train.csv")
    with expect_error(code):
        dr.cross_validate(build, train, **SETTINGS)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("code", "old", "new", "place"),
    [
        ("models.preset_value", '"epochs"', '"epocs"', {"column": "PRESET"}),
        ("models.preset_value", '"epochs": 2', '"epochs": 0', {"column": "PRESET"}),
        ("models.preset_value", '"epochs": 2', '"epochs": "2"', {"column": "PRESET"}),
        ("models.preset_value", "PRESET = {", "PRESET = 5  # {", {"column": "PRESET"}),
        ("models.no_build", "def build", "def construct", {}),
        ("models.file_fails", "    units: int", "    units int", {"line": 9}),
        ("models.file_fails", "PRESET", "import nothing_such\nPRESET", {"line": 5}),
    ],
)
def test_a_mistake_in_a_file_is_named_with_the_file(code, old, new, place, mine, tiny_dir):
    mine.write_text(MINE.replace(old, new, 1))
    with expect_error(code, path=mine, **place):
        cv.main(["--input-dir", str(tiny_dir), "--model", str(mine), "--debug"])


def test_the_fingerprint_covers_the_source_of_a_file_and_of_what_a_function_uses(mine):
    name = _own.register_model(mine)
    expected = hash_source(name)
    mine.write_text(MINE + "# a comment\n")
    assert hash_source(name) == expected
    mine.write_text(MINE.replace("relu", "tanh"))
    assert hash_source(name) != expected

    def make(units):
        def build(input_shape, classes):
            return units

        return build

    hashes = [hash_source(_own.register_model(make(units))) for units in (3, 4, 3)]
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_file_starts_from_its_recipe_and_a_missing_one_is_named(mine):
    name = _own.register_model(str(mine))
    assert (build_config(name).epochs, build_config(name, epochs=7).epochs) == (2, 7)
    assert build_config(name, model_args={"units": 3}).model_args == ("units=3",)
    with expect_error("io.missing", path=mine.with_name("yours.py")):
        dr.build_model(mine.with_name("yours.py"))
    with pytest.raises(InputError) as caught:
        build_config("narrow", lr=0.1)
    assert "learning_rate" in str(caught.value)


def test_a_model_of_any_size_shares_its_layers():
    layers = [keras.layers.Conv2D(4, 3), keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *layers])
    flexible = take_any_size(RunConfig(), model)
    assert flexible(np.zeros((2, 20, 20, 1))).shape == flexible(np.zeros((2, 28, 28, 1))).shape == (2, 10)
    assert [id(weight) for weight in flexible.weights] == [id(weight) for weight in model.weights]
    too_deep = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(4, 24), *layers[1:]])
    for one in (make_model()(), too_deep):
        with expect_error("training.needs_any_size", column="--small-epochs"):
            take_any_size(RunConfig(), one)


@pytest.mark.parametrize(
    ("code", "settings"),
    [("needs_any_size", {"model": "baseline"}), ("needs_images", {"model": "vgg16", "weights": "none"})],
)
def test_small_images_are_refused_before_the_data_is_read(code, settings):
    with expect_error(f"training.{code}", column="--small-epochs"):
        check_model_flags(RunConfig(small_epochs=1, **settings))
