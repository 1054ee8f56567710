"""A kernel's code, run by itself: none of this package but what it carries."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_tiny_data

from digit_recognizer.competition.kernels import BuildArguments, build_script
from digit_recognizer.competition.submissions import load_submission

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = '{"epochs": 1, "folds": 2, "precision": "float32"}'


def run_script(script, folder):
    """Run a script kernel on a few rows, with its folders in place of Kaggle's; returns what it printed."""
    (folder / "input").mkdir()
    write_tiny_data(folder / "input" / "digit-recognizer")
    (folder / "working").mkdir()
    made = "__import__('pathlib').Path"
    paths = f"inputs={made}({str(folder / 'input')!r}), working={made}({str(folder / 'working')!r})"
    text = (
        script.read_text()
        .replace("SETTINGS = {}", f"SETTINGS = {SETTINGS}")
        .replace("SETTINGS, HOURS)", f"SETTINGS, HOURS, {paths})")
    )
    (folder / "kernel.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # -P: the project's folder is not searched; an editable installation comes after the kernel's own copy
    ended = subprocess.run(
        [sys.executable, "-P", "kernel.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_new_kernel_carries_all_that_it_needs(tmp_path):
    script = build_script(BuildArguments("dense")) / "dense.py"
    run_script(script, tmp_path)
    assert len(load_submission(tmp_path / "working" / "submission.csv").labels) == 20
    assert len(list((tmp_path / "working").glob("*.png"))) == 5


@pytest.mark.slow
def test_a_committed_kernel_runs(tmp_path):
    run_script(ROOT / "kernels" / "baseline" / "baseline.py", tmp_path)
    assert len(load_submission(tmp_path / "working" / "submission.csv").labels) == 20
