"""One net on two devices: two virtual ones of JAX, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer import train
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.training.hardware import check_devices

RUN = """
import sys
from pathlib import Path
from digit_recognizer import train

flags = ["--input-dir", "tiny", "--model", "narrow", "--epochs", "3", "--batch-size", "20", "--folds", "3"]
flags += ["--precision", "float32", "--schedule", "constant", "--optimizer", "adam"]
for name, more in {
    "one": ["--augmentation", "none"],
    "two": ["--augmentation", "none", "--devices", "2"],
    "odd": ["--devices", "2", "--limit-train", "59", "--patience", "2"],
}.items():
    code = train.main([*flags, *more, "--run-dir", name, "--submission", f"{name}.csv"])
    assert code == 0, name
"""


def test_a_net_on_two_devices_is_the_net_on_one_but_for_rounding(tiny_dir):
    two = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    finished = subprocess.run(
        [sys.executable, "-c", RUN], env={**os.environ, **two}, capture_output=True, text=True, timeout=240
    )
    assert finished.returncode == 0, finished.stderr
    one, both, odd = (json.loads(Path(name, "metrics.json").read_text()) for name in ("one", "two", "odd"))
    assert one["oof_accuracy"] == both["oof_accuracy"]
    probabilities = [np.load(Path(name, "test_probabilities.npy")) for name in ("one", "two")]
    assert probabilities[0] == pytest.approx(probabilities[1], abs=1e-4)
    fingerprints = [json.loads(Path(name, "environment.json").read_text())["fingerprint"] for name in ("one", "two")]
    assert [fingerprint["--devices"] for fingerprint in fingerprints] == [1, 2]
    assert odd["fold_accuracies"], "rows that cannot be halved are fitted and watched as well"


def test_more_devices_than_there_are_are_refused():
    with pytest.raises(InputError, match=r"as many as the backend lists, 1 \(cpu:0\); received 64"):
        check_devices(RunConfig(devices=64))


def test_another_backend_than_jax_is_refused_before_anything_is_written(tiny_dir, capsys):
    assert train.main(["--input-dir", str(tiny_dir), "--devices", "2", "--run-dir", "run"]) == 2
    message = capsys.readouterr().err
    assert "--devices 2 needs KERAS_BACKEND=jax" in message and message.count("\n") == 1
    assert not os.path.lexists("run")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 25}, "--batch-size takes a multiple of --devices 2; received 25"),
        ({"synthetic_ratio": 1.0}, "--synthetic-ratio is for one device; received 1.0 with --devices 2"),
    ],
)
def test_what_cannot_be_split_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        RunConfig(devices=2, **changes)
