"""The same code on both backends. A process can hold only one, so each test starts its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.io import hash_file

RESULTS = ("oof_probabilities.npy", "test_probabilities.npy", "folds.npy")


def start(command, backend):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_cv(*arguments, backend):
    return start([sys.executable, "-m", "digit_recognizer.cv", *map(str, arguments)], backend)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backend", "sent", "code"), [("tensorflow", signal.SIGTERM, 143), ("jax", signal.SIGKILL, -9)]
)
def test_either_backend_trains_and_resumes_after_a_signal(backend, sent, code, tiny_dir, tmp_path):
    flags = f"--input-dir {tiny_dir} --folds 2 --epochs 40 --batch-size 15 --learning-rate 0.002 --augmentation none"
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    running = start_cv(*flags.split(), "--run-dir", whole, "--submission", tmp_path / "whole.csv", backend=backend)
    _, error = running.communicate(timeout=240)
    assert running.returncode == 0, error
    assert error == "", "no messages of the backend"
    assert json.loads((whole / "environment.json").read_text())["fingerprint"]["backend"] == backend
    assert json.loads((whole / "metrics.json").read_text())["oof_accuracy"] > 0.9
    assert np.load(whole / "oof_probabilities.npy").dtype == np.float32
    assert len((tmp_path / "whole.csv").read_text().splitlines()) == 21

    running = start_cv(*flags.split(), "--run-dir", stopped, "--submission", tmp_path / "stopped.csv", backend=backend)
    while running.poll() is None and not (stopped / "state.safetensors").exists():
        time.sleep(0.01)
    running.send_signal(sent)
    _, error = running.communicate(timeout=240)
    assert running.returncode == code, error
    command = [sys.executable, "-m", "digit_recognizer.cv", "--resume", str(stopped)]
    command += ["--submission", str(tmp_path / "stopped.csv")]  # a place outside the run is named anew
    if sent == signal.SIGTERM:
        assert error.startswith("cv: terminated; resume with: ") and error.count("\n") == 1
        command = shlex.split(error.split("resume with: ")[1])  # what was printed can be typed
    running = start(command, backend)
    output, error = running.communicate(timeout=240)
    assert running.returncode == 0, error
    assert "resuming: " in output
    hashes = [[hash_file(run / name) for name in RESULTS] for run in (whole, stopped)]
    assert hashes[0] == hashes[1]
    assert hash_file(tmp_path / "whole.csv") == hash_file(tmp_path / "stopped.csv")


@pytest.mark.slow  # the test above trains and resumes on JAX
def test_device_epochs_pass_their_tests_on_jax():
    tests = Path(__file__).with_name("test_device_epochs.py")
    running = start([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", str(tests)], "jax")
    output, error = running.communicate(timeout=240)
    assert running.returncode == 0 and "passed" in output and "skipped" not in output, output + error
