"""Options of an architecture: what `--model-args` takes, and what it refuses."""

import inspect
import json

import pytest
from conftest import expect_error

from digit_recognizer import cv, train
from digit_recognizer.models import build_model, list_models, list_options, load_model_module, read_options

OPTIONS = {
    "champion": {"crop_px": 0},
    "residual": {"crop_px": 0},
    "narrow": {"dropout": 0.5, "kernel_px": 5},
    "resnet": {"blocks": 1},
    "resnet9": {"width": 32},
    "dense": {"layers": 2, "units": 8},
    "convolutional": {
        **{"convolutions": 3, "filters": 34, "kernel_px": 3, "dense_layers": 2, "dense_units": 100, "dropout": 0.5}
    },
}


@pytest.mark.parametrize("model", list_models())
def test_a_models_options_are_the_numbers_of_its_dataclass(model):
    assert list_options(model) == OPTIONS.get(model, {})
    takes = list(inspect.signature(load_model_module(model).build).parameters)
    assert takes[:2] == ["input_shape", "classes"] and ("options" in takes) == (model in OPTIONS)


def test_pairs_are_read_as_the_kinds_of_their_defaults():
    assert read_options("narrow", ("kernel_px=4", "dropout=0")) == {"kernel_px": 4, "dropout": 0.0}
    assert type(read_options("narrow", ("dropout=0",))["dropout"]) is float
    assert read_options("baseline", ()) == {}


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        (("width=3",), "unknown"),
        (("dropout",), "not_finite"),
        (("dropout=inf",), "not_finite"),
        (("dropout=1e999",), "not_finite"),
        (("kernel_px=4.0",), "not_whole"),
        ((f"kernel_px={'9' * 4000}",), "not_whole"),
        (("kernel_px=4", "kernel_px=5"), "repeated"),
    ],
)
def test_a_wrong_pair_is_refused(pairs, code):
    with expect_error(f"models.option_{code}", received=pairs[-1][:60]):
        read_options("narrow", pairs)


def test_a_model_without_options_takes_none():
    with expect_error("models.option_unknown", received="a=1", help="--model baseline has no options"):
        read_options("baseline", ("a=1",))


@pytest.mark.parametrize(
    ("model", "pair", "code", "place"),
    [
        ("narrow", "dropout=1", "option_range", {"option": "dropout", "received": 1.0}),
        ("narrow", "dropout=-0.1", "option_range", {"option": "dropout"}),
        ("narrow", "kernel_px=0", "option_range", {"option": "kernel_px", "highest": 28}),
        ("narrow", "kernel_px=29", "option_range", {"option": "kernel_px"}),
        ("narrow", "kernel_px=10", "kernel_too_large", {"layer": "block2_conv", "received": 10, "side": 9}),
        ("narrow", "kernel_px=20", "kernel_too_large", {"layer": "block2_conv", "received": 20, "side": 4}),
        ("resnet", "blocks=0", "option_range", {"option": "blocks", "highest": 18}),
        ("dense", "layers=0", "option_range", {"option": "layers"}),
        ("dense", "layers=61", "option_range", {"option": "layers", "highest": 60}),
        ("dense", "units=1025", "option_range", {"option": "units", "received": 1025, "highest": 1024}),
        ("convolutional", "convolutions=6", "kernel_too_large", {"layer": "conv6", "received": 3, "side": 2}),
        ("convolutional", "convolutions=99", "option_range", {"option": "convolutions"}),
        ("convolutional", "filters=0", "option_range", {"option": "filters"}),
        ("convolutional", "kernel_px=15", "kernel_too_large", {"layer": "conv2", "received": 15, "side": 14}),
        ("convolutional", "dense_layers=9", "option_range", {"option": "dense_layers"}),
        ("convolutional", "dense_units=-5", "option_range", {"option": "dense_units"}),
        ("convolutional", "dropout=1", "option_range", {"option": "dropout"}),
    ],
)
def test_a_value_of_which_no_model_can_be_built_is_refused(model, pair, code, place):
    with expect_error(f"models.{code}", **place):
        build_model(model, **read_options(model, (pair,)))


@pytest.mark.parametrize("pair", ["dropout=1", "width=3"])
def test_a_wrong_option_is_refused_before_the_data_is_read(pair, capsys):
    assert train.main(["--model", "narrow", "--model-args", pair, "--input-dir", "nowhere"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("train: --") and "nowhere" not in message and message.count("\n") == 1


def test_help_lists_the_options_of_the_chosen_model(capsys):
    with pytest.raises(SystemExit):
        cv.main(["--model", "resnet", "--help"])
    assert "blocks=1" in " ".join(capsys.readouterr().out.split())


def test_a_run_keeps_its_options_when_it_is_reopened(tiny_dir, tmp_path, capsys):
    from digit_recognizer.training.run import Run
    from digit_recognizer.training.weights import load_fold_models

    run, flags = tmp_path / "run", ["--model", "dense", "--model-args", "layers=1", "units=5", "--epochs", "1"]
    places = ["--input-dir", str(tiny_dir), "--run-dir", str(run), "--submission", str(tmp_path / "mine.csv")]
    assert train.main([*flags, *places]) == 0
    assert "dense layers=1 units=5: 60 training rows" in capsys.readouterr().out
    assert load_fold_models(run).models[0].count_params() == 785 * 5 + 6 * 10
    assert json.loads((run / "config.json").read_text())["model_args"] == ["layers=1", "units=5"]
    folder, config = Run.reopen(run, "train")
    with folder:
        assert config.model_args == ("layers=1", "units=5")
