"""Several devices (two virtual ones of JAX, in a process of its own), and number formats."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer import train
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.training import hardware

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


@pytest.mark.slow
def test_a_model_on_two_devices_is_that_on_one_but_for_rounding(tiny_dir):
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
    assert odd["fold_accuracies"], "rows that cannot be halved, and validation"


def test_more_devices_than_there_are_are_refused():
    with expect_error("training.too_few_devices", received=64, available="cpu:0"):
        hardware.check_devices(RunConfig(devices=64))


def test_another_backend_than_jax_is_refused_before_anything_is_written(tiny_dir):
    with expect_error("training.devices_backend", received=2):
        train.main(["--input-dir", str(tiny_dir), "--devices", "2", "--run-dir", "run", "--debug"])
    assert not os.path.lexists("run")


@pytest.mark.parametrize("changes", [{"batch_size": 25}, {"synthetic_ratio": 1.0}])
def test_what_cannot_be_split_is_refused(changes):
    with pytest.raises(InputError):
        RunConfig(devices=2, **changes)


@pytest.mark.parametrize(
    ("devices", "seconds", "expected"),
    [
        (["cpu:0"], {"float32": 2.0, "bfloat16": 1.0}, "bfloat16"),
        (["cpu:0"], {"float32": 1.0, "bfloat16": 3.0}, "float32"),
        (["cpu:0"], {"float32": 1.05, "bfloat16": 1.0}, "float32"),
        (["gpu:0"], {"float32": 4.0, "bfloat16": 1.0, "float16": 0.95}, "bfloat16"),
        (["gpu:0"], {"float32": 4.0, "bfloat16": 6.0, "float16": 1.0}, "float16"),
    ],
)
def test_auto_takes_what_is_fastest_here(devices, seconds, expected, monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    monkeypatch.setattr(hardware, "time_formats", lambda formats, *_: {name: seconds[name] for name in formats})
    assert hardware.measure_precision() == expected


@pytest.fixture
def settle(tmp_path, monkeypatch):
    """Settles `auto` as a new process does that times bfloat16 as so many times faster."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])

    def settle(speedup):
        hardware._settle_precision.cache_clear()
        monkeypatch.setattr(hardware, "time_formats", lambda *_: {"float32": speedup, "bfloat16": 1.0})
        return hardware.choose_precision("auto")

    yield settle
    hardware._settle_precision.cache_clear()


def test_auto_is_measured_once_and_kept(settle, tmp_path, monkeypatch):
    assert settle(2.0) == "bfloat16"
    assert settle(1.0) == "bfloat16", "a busy machine changes nothing"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert settle(1.0) == "float32", "another environment is measured for itself"
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    assert settle(1.0) == "bfloat16"


@pytest.mark.parametrize("content", ["{", "[]", '{"here": 1}', "MEASURED"])
def test_a_damaged_record_is_measured_again(content, settle, tmp_path):
    path = tmp_path / "cache" / "digit_recognizer" / hardware.PRECISIONS
    settle(2.0)
    path.write_text(content.replace("MEASURED", path.read_text().replace("bfloat16", "int8")))
    assert settle(1.0) == "float32" and settle(2.0) == "float32"


def test_a_folder_that_cannot_be_written_is_noted(settle, tmp_path, capsys):
    (tmp_path / "cache").write_text("no folder")
    assert settle(2.0) == "bfloat16"
    assert str(tmp_path / "cache") in capsys.readouterr().out
    assert settle(1.0) == "float32"
