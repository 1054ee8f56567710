"""The same code under another backend. A process can hold only one, so each test starts its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]


def run_module(*arguments, backend, timeout=240):
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=timeout
    )


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_net_trains_from_the_command_line_under_either_backend(backend, tiny_dir, tmp_path):
    run = tmp_path / "run"
    finished = run_module(
        "digit_recognizer.cv", "--input-dir", tiny_dir, "--run-dir", run, "--submission", tmp_path / "mine.csv",
        "--folds", 2, "--epochs", 40, "--batch-size", 15, "--learning-rate", 0.002, "--augmentation", "none",
        backend=backend,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "", "nothing but the run speaks"
    assert json.loads((run / "environment.json").read_text())["fingerprint"]["backend"] == backend
    assert json.loads((run / "metrics.json").read_text())["oof_accuracy"] > 0.9
    assert np.load(run / "oof_probabilities.npy").dtype == np.float32
    assert len((tmp_path / "mine.csv").read_text().splitlines()) == 21
