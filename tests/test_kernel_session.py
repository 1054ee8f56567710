"""What a kernel does on Kaggle's machine, here in folders that stand for Kaggle's."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error, write_tiny_data
from resuming import StopAfterSaving

from digit_recognizer.cli import parse_run_config
from digit_recognizer.competition.kernel_session import (
    Session,
    find_competition_data,
    find_earlier_run,
    format_run_command,
)
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.console import TerminatedError
from digit_recognizer.errors import InputError

QUICK = {"epochs": 3, "folds": 2, "precision": "float32"}
FIGURES = {"class_counts.png", "samples.png", "curves.png", "confusion.png", "hardest.png"}


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "input" / "competitions").mkdir(parents=True)
    write_tiny_data(tmp_path / "input" / "competitions" / "digit-recognizer")
    return tmp_path / "input"


def begin(inputs, name="working", model="padded", settings=QUICK, hours=1.0):
    working = inputs.parent / name
    working.mkdir()
    return Session(model, settings, hours, inputs, working)


MOUNTS = ["digit-recognizer", "competitions/digit-recognizer", "somewhere/else"]


@pytest.mark.parametrize("mount", MOUNTS)
def test_the_data_is_found_wherever_it_is_mounted(tmp_path, mount):
    (tmp_path / mount).parent.mkdir(parents=True, exist_ok=True)
    write_tiny_data(tmp_path / mount)
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "train.csv").write_text("of a data set that has no test.csv")
    assert find_competition_data(tmp_path) == tmp_path / mount


def test_data_that_is_not_attached_is_an_error(tmp_path):
    with expect_error("kernel.no_competition", path=tmp_path):
        find_competition_data(tmp_path)


def test_a_version_leaves_a_submission_its_figures_and_the_run(inputs):
    session = begin(inputs, model="dense", settings={**QUICK, "epochs": 1, "refit": 1})
    working, result = session.working, session.cross_validate()
    session.plot_data()
    session.plot_results()
    assert {path.name for path in working.glob("*.png")} == FIGURES
    submission = load_submission(working / "submission.csv")
    assert np.array_equal(submission.labels, result.test_probabilities.argmax(axis=1))
    assert submission.provenance.run == str(working / "run")
    command = "python -m digit_recognizer.cv --model dense --folds 2 --epochs 1 --refit 1 --precision float32"
    assert submission.provenance.command == command
    assert json.loads((working / "run" / "config.json").read_text())["command"] == command


def test_the_command_that_is_recorded_asks_for_the_same_settings(inputs):
    settings = {"epochs": 3, "tensorboard": True, "unfreeze": None, "model_args": ("dropout=0.3", "kernel_px=4")}
    config = begin(inputs, model="narrow", settings={**settings, "smoke": True}).config
    words = shlex.split(format_run_command(config))
    parsed = parse_run_config("cv", words[3:], "").config
    assert parsed == config.replace(input_dir=Path("input"), run_dir=None, submission=None)


def test_a_run_whose_time_is_up_is_stopped_and_draws_nothing(inputs, capsys):
    session = begin(inputs, hours=0)
    assert session.cross_validate() is None
    assert session.plot_results() == []
    assert "The time ran out" in capsys.readouterr().out


@pytest.fixture
def first(inputs, monkeypatch):
    """The output of a version whose time ran out after its second epoch."""
    session = begin(inputs, "first")
    with monkeypatch.context() as patch:
        StopAfterSaving(patch, saves=2, error=TerminatedError)
        assert session.cross_validate() is None
    return session.working


@pytest.mark.slow
def test_what_runs_out_of_time_resumes_in_the_next_version(inputs, first):
    assert not (first / "submission.csv").exists()
    shutil.copytree(first, inputs / "notebooks" / "me" / "digit-recognizer-padded")
    environment = inputs / "notebooks/me/digit-recognizer-padded/run/environment.json"
    environment.write_text(environment.read_text().replace('"threads": ', '"threads": 9'))  # on another machine
    # and the data is mounted elsewhere by now
    shutil.move(inputs / "competitions" / "digit-recognizer", inputs / "digit-recognizer")
    second = begin(inputs, "second")
    result = second.cross_validate()
    assert result.submission_path == second.working / "submission.csv"
    (difference,) = json.loads((second.working / "run" / "metrics.json").read_text())["resumed_with_differences"]
    assert difference.startswith("threads: 9")
    assert second.plot_results()

    whole = begin(inputs.parent / "input", "whole")
    shutil.rmtree(inputs / "notebooks")
    assert np.array_equal(whole.cross_validate().oof_probabilities, result.oof_probabilities)


def test_an_earlier_version_of_other_settings_is_refused(inputs, first):
    shutil.copytree(first, inputs / "earlier")
    second = begin(inputs, "second", settings={**QUICK, "epochs": 4})
    with expect_error("kernel.earlier_differs", column="--epochs", received=3, other=4):
        second.cross_validate()


def test_an_earlier_version_that_has_finished_is_refused(inputs):
    run = inputs / "earlier" / "run"
    run.mkdir(parents=True)
    for name in ("config.json", "metrics.json"):
        (run / name).write_text("{}")
    with expect_error("kernel.earlier_finished", path=inputs / "earlier"):
        begin(inputs).cross_validate()


def test_two_earlier_versions_are_refused(inputs):
    for name in ("one", "other"):
        (inputs / name / "run").mkdir(parents=True)
        (inputs / name / "run" / "config.json").write_text("{}")
    with expect_error("kernel.several_earlier"):
        find_earlier_run(inputs)


def test_an_unknown_setting_is_an_error(inputs):
    with pytest.raises(InputError):
        begin(inputs, settings={"epoch": 3})


def test_a_pretrained_model_finds_its_weights_or_says_what_to_attach(inputs):
    with expect_error("kernel.no_weights_attached", source="keras/vgg16"):
        begin(inputs, "without", "vgg16", {})
    weights = inputs / "datasets" / "keras" / "vgg16" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    assert begin(inputs, "with", "vgg16", {}).config.weights == str(weights)
    assert begin(inputs, "smoke", "vgg16", {"smoke": True}).config.weights == "none"
