import inspect
import json

import pytest

from digit_recognizer import cv, train
from digit_recognizer.errors import InputError
from digit_recognizer.models import build_model, describe_options, list_models, load_model_module, read_options
from digit_recognizer.models._options import list_options

OPTIONS = {
    "narrow": {"dropout": 0.5, "kernel_px": 5},
    "resnet": {"blocks": 1},
    "dense": {"layers": 2, "units": 8},
    "convolutional": {
        **{"convolutions": 3, "filters": 34, "kernel_px": 3, "dense_layers": 2, "dense_units": 100, "dropout": 0.5}
    },
}


@pytest.mark.parametrize("model", list_models())
def test_a_nets_options_are_its_builds_keyword_numbers(model):
    build = load_model_module(model).build
    assert list_options(build) == OPTIONS.get(model, {})
    extra = list(inspect.signature(build).parameters)[3:]
    assert extra == list(OPTIONS.get(model, {})), "an argument that --model-args cannot set"


def test_pairs_are_read_as_the_kinds_of_their_defaults():
    assert read_options("narrow", ("kernel_px=4", "dropout=0")) == {"kernel_px": 4, "dropout": 0.0}
    assert type(read_options("narrow", ("dropout=0",))["dropout"]) is float
    assert read_options("baseline", ()) == {}


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        (("width=3",), "'width=3', which is none of them"),
        (("dropout",), "'dropout', which gives dropout no finite number"),
        (("dropout=inf",), "gives dropout no finite number"),
        (("dropout=1e999",), "gives dropout no finite number"),
        (("kernel_px=4.0",), "gives kernel_px no whole number"),
        ((f"kernel_px={'9' * 4000}",), "gives kernel_px no whole number"),
        (("kernel_px=4", "kernel_px=5"), "'kernel_px=5', which names kernel_px again"),
    ],
)
def test_a_wrong_pair_is_answered_with_what_the_net_takes(pairs, fault):
    with pytest.raises(InputError, match=f"^--model narrow takes .*: dropout=0.5 kernel_px=5; .*{fault}[.]$") as caught:
        read_options("narrow", pairs)
    assert "\n" not in str(caught.value)


def test_a_net_without_options_says_so():
    with pytest.raises(InputError, match=r"^--model champion takes no --model-args: .*received 'a=1'"):
        read_options("champion", ("a=1",))


@pytest.mark.parametrize(
    ("model", "pair", "words"),
    [
        ("narrow", "dropout=1", "dropout takes a number from 0 to below 1; received 1.0"),
        ("narrow", "dropout=-0.1", "dropout takes"),
        ("narrow", "kernel_px=0", "kernel_px takes a number from 1 to 28; received 0"),
        ("narrow", "kernel_px=29", "kernel_px takes"),
        ("narrow", "kernel_px=10", "leaves 9 px .* block2_conv, whose kernel has 10"),
        ("narrow", "kernel_px=20", "leaves 4 px .* block2_conv, whose kernel has 20"),
        ("resnet", "blocks=0", "blocks takes a number from 1 to 18"),
        ("dense", "layers=0", "layers takes"),
        ("dense", "units=1025", "units takes a number from 1 to 1024; received 1025"),
        ("convolutional", "convolutions=6", "leaves 2 px .* conv6, whose kernel has 3"),
        ("convolutional", "convolutions=99", "convolutions takes"),
        ("convolutional", "filters=0", "filters takes"),
        ("convolutional", "dense_layers=9", "dense_layers takes"),
        ("convolutional", "dense_units=-5", "dense_units takes"),
        ("convolutional", "kernel_px=15", "leaves 14 px .* conv2, whose kernel has 15"),
        ("convolutional", "dropout=1", "dropout takes"),
        ("dense", "layers=61", "layers takes a number from 1 to 60"),
    ],
)
def test_a_value_of_which_no_net_can_be_built_is_one_line(model, pair, words):
    with pytest.raises(InputError, match=f"^--model-args {words}") as caught:
        build_model(model, **read_options(model, (pair,)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pair", ["dropout=1", "width=3"])
def test_a_wrong_option_is_told_before_the_data_is_read(pair, capsys):
    assert train.main(["--model", "narrow", "--model-args", pair, "--input-dir", "nowhere"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("train: --") and "nowhere" not in message and message.count("\n") == 1


def test_help_tells_the_options_of_the_chosen_net(capsys):
    with pytest.raises(SystemExit):
        cv.main(["--model", "resnet", "--help"])
    assert "blocks=1" in " ".join(capsys.readouterr().out.split())
    assert describe_options("resnet").endswith("blocks=1")


def test_a_run_is_of_the_net_with_its_options_and_goes_on_with_them(tiny_dir, tmp_path, capsys):
    from digit_recognizer.training.fold_models import load_fold_model
    from digit_recognizer.training.run import Run

    run = tmp_path / "run"
    arguments = [
        "--model",
        "dense",
        "--model-args",
        "layers=1",
        "units=5",
        "--input-dir",
        str(tiny_dir),
        "--epochs",
        "1",
    ]
    assert train.main([*arguments, "--run-dir", str(run), "--submission", str(tmp_path / "mine.csv")]) == 0
    assert "dense layers=1 units=5: 60 training rows" in capsys.readouterr().out
    assert load_fold_model(run, 0).count_params() == 785 * 5 + 6 * 10
    assert json.loads((run / "config.json").read_text())["model_args"] == ["layers=1", "units=5"]
    folder, config = Run.reopen(run, "train")
    with folder:
        assert config.model_args == ("layers=1", "units=5")


def test_a_kernel_tells_its_options_as_a_command_would(tiny_dir):
    import sys

    from digit_recognizer.competition.kernel_session import _named_as_command
    from digit_recognizer.models import build_config

    config = build_config("resnet", model_args=["blocks=2"])
    with _named_as_command(config):
        assert sys.argv[-2:] == ["--model-args", "blocks=2"]
