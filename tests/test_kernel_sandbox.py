"""The kernels themselves, in a place like Kaggle's: read-only input, no network, none of this package but their own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from digit_recognizer.competition.submissions import load_submission

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("kaggle_sandbox", ROOT / "benchmarks" / "kaggle_sandbox.py")
sandbox = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sandbox)


def can_unshare():
    command = ["unshare", "--user", "--map-root-user", "--mount", "--net", "true"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        return False


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_unshare(), reason="this system does not let users make namespaces"),
]


def run(kernel, sample_dir, output, layout, **more):
    def edit(text):
        quick = text.replace("SETTINGS = {}", 'SETTINGS = {"smoke": True}')
        quick = quick.replace("FOLDS = 5", "FOLDS = 2").replace("min(EPOCHS, 8), 32", "1, 64")
        assert quick != text
        return quick

    output.mkdir()
    kernel = ROOT / "kernels" / kernel
    return sandbox.run_on_kaggle(kernel, sample_dir, output, layout, sys.executable, edit=edit, **more)


@pytest.mark.parametrize(("kernel", "layout"), [("baseline", "old"), ("champion", "new")])
def test_a_script_leaves_a_valid_submission(sample_dir, tmp_path, kernel, layout):
    found = run(kernel, sample_dir, tmp_path / "working", layout)
    assert found.returncode == 0, found.stderr
    submission = load_submission(tmp_path / "working" / "submission.csv")
    assert len(submission.labels) == 497
    assert submission.provenance.model == kernel
    assert submission.provenance.commit in (ROOT / "kernels" / kernel / f"{kernel}.py").read_text()
    assert len(list((tmp_path / "working").glob("*.png"))) == 5


def test_the_notebook_runs_from_top_to_bottom_and_shows_its_figures(sample_dir, tmp_path):
    found = run("notebook-champion", sample_dir, tmp_path / "working", "new")
    assert found.returncode == 0, found.stderr
    assert len(load_submission(tmp_path / "working" / "submission.csv").labels) == 497
    notebook = nbformat.read(tmp_path / "working" / "__notebook__.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert any("out-of-fold accuracy" in output.get("data", {}).get("text/plain", "") for output in outputs)
    (code,) = [cell.source for cell in notebook.cells if "def train_model" in cell.source]
    assert "model.fit(" in code  # the loop that ran is the one in sight


def test_what_is_wrong_with_the_data_is_one_line_there_too(tmp_path):
    (tmp_path / "working").mkdir()
    (tmp_path / "data").mkdir()
    for name in sandbox.FILES:
        (tmp_path / "data" / name).write_text("")
    found = sandbox.run_on_kaggle(
        ROOT / "kernels" / "baseline", tmp_path / "data", tmp_path / "working", "new", sys.executable
    )
    assert found.returncode == 1
    line = found.stderr.splitlines()[-1]
    assert line.startswith("baseline: ") and "train.csv" in line
    assert "Traceback" not in found.stderr
