"""One net on two devices: two virtual ones of JAX, in a process of its own."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from digit_recognizer import train
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError


def run_train(tiny_dir, devices, *flags):
    run = tiny_dir.parent / f"on{devices}"
    places = ["--input-dir", tiny_dir, "--run-dir", run, "--submission", run.with_suffix(".csv")]
    command = [sys.executable, "-m", "digit_recognizer.train", *places, "--devices", devices, *flags]
    two = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    finished = subprocess.run(
        list(map(str, command)), env={**os.environ, **two}, capture_output=True, text=True, timeout=240
    )
    return run, finished


FLAGS = ("--model", "narrow", "--epochs", 3, "--batch-size", 20, "--folds", 3, "--precision", "float32")


def test_a_net_on_two_devices_is_the_net_on_one_but_for_rounding(tiny_dir):
    flags = (*FLAGS, "--augmentation", "none", "--schedule", "constant", "--optimizer", "adam")  # else they part soon
    runs = [run_train(tiny_dir, devices, *flags) for devices in (1, 2)]
    assert [finished.returncode for _, finished in runs] == [0, 0], runs[1][1].stderr
    metrics = [json.loads((run / "metrics.json").read_text()) for run, _ in runs]
    assert metrics[0]["oof_accuracy"] == metrics[1]["oof_accuracy"]
    probabilities = [np.load(run / "test_probabilities.npy") for run, _ in runs]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-4)
    fingerprints = [json.loads((run / "environment.json").read_text())["fingerprint"] for run, _ in runs]
    assert [fingerprint["--devices"] for fingerprint in fingerprints] == [1, 2]


def test_rows_that_cannot_be_halved_are_fitted_and_watched_and_a_third_device_is_refused(tiny_dir):
    _, finished = run_train(tiny_dir, 2, *FLAGS, "--early-stopping-epochs", 2, "--train-rows", 59)
    assert finished.returncode == 0 and "watched" in finished.stdout, finished.stderr
    _, finished = run_train(tiny_dir, 4, *FLAGS)
    assert finished.returncode == 2
    assert (
        finished.stderr
        == "train: --devices takes at most as many as the backend lists, 2 (cpu:0, cpu:1); received 4.\n"
    )


def test_another_backend_than_jax_is_refused_before_anything_is_written(tiny_dir, capsys):
    assert train.main(["--input-dir", str(tiny_dir), "--devices", "2", "--run-dir", "run"]) == 2
    message = capsys.readouterr().err
    assert "--devices 2 needs KERAS_BACKEND=jax" in message and message.count("\n") == 1
    assert not os.path.lexists("run")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 25}, "--batch-size takes a multiple of --devices 2; received 25"),
        ({"generated": 1.0}, "--generated is for one device; received 1.0 with --devices 2"),
    ],
)
def test_what_cannot_be_split_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        RunConfig(devices=2, **changes)
