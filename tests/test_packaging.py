"""What users install: a wheel and a source archive with everything in them and nothing else."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from conftest import expect_error
from without_extras import OPTIONAL, run_without_extras

from digit_recognizer import cv

ROOT = Path(__file__).resolve().parents[1]


def list_tracked(source):
    """What git holds of this checkout; in an unpacked source archive, all that is there."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if (ROOT / ".git").exists() and listed.returncode == 0:
        return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
    return {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}


def test_wheel_and_source_archive_build_and_hold_the_whole_package(tmp_path):
    source = tmp_path / "source"
    caches = (".git", ".venv", "runs", "*.egg-info", "build", "dist", ".*_cache", ".hypothesis", "__pycache__")
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*caches, "input"))  # building leaves folders behind
    (source / "input").mkdir()
    shutil.copy(ROOT / "input/README.md", source / "input")
    tracked = list_tracked(source)
    built = subprocess.run(  # the wheel is built from the unpacked source archive
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    [wheel], [archive] = (tmp_path / "dist").glob("*.whl"), (tmp_path / "dist").glob("*.tar.gz")
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "digit_recognizer").rglob("*.py")}
    with zipfile.ZipFile(wheel) as members:
        names = members.namelist()
        metadata = members.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    assert {name for name in names if name.endswith(".py")} == modules
    packaged = {
        str(path.relative_to(ROOT))
        for pattern in ("py.typed", "*.pyi", "*.toml", "*.css", "*.safetensors", "*.md", "*.txt", "*.csv")
        for path in (ROOT / "digit_recognizer").rglob(pattern)
    }
    assert len(packaged) >= 8 and packaged <= set(names)
    assert "License: MIT" in metadata and "Requires-Dist: albumentations==2.0.8; extra ==" in metadata
    fields, _, description = metadata.partition("\n\n")
    assert all(f"\n{field}: " in fields for field in ("Project-URL", "Keywords", "Classifier"))
    assert description.startswith("# digit_recognizer") and not re.findall(r"\]\((?!https?:)", description)
    with tarfile.open(archive) as members:
        archived = {name.partition("/")[2] for name in members.getnames()}
    assert tracked <= archived, sorted(tracked - archived)
    assert not [name for name in archived - tracked if name.startswith(("input/", "runs/"))]


SHOW_SETTINGS = """
import os
config = sys.modules["keras"].config
print(config.backend(), config.floatx(), config.epsilon(), config.image_data_format())
print(config.max_epochs(), config.max_steps_per_epoch(), config.is_nnx_enabled())
print(os.environ["KERAS_MAX_EPOCHS"], sys.modules["keras.src.backend.config"].keras_home() == os.environ["KERAS_HOME"])
"""


def test_without_extras_and_whatever_keras_json_says_a_model_is_trained(tiny_dir, tmp_path):
    ambient = {"backend": "theano", "floatx": "float8", "epsilon": 1, "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps({**ambient, "nnx_enabled": True}))
    variables = {"KERAS_BACKEND": "", "KERAS_MAX_EPOCHS": "many", "KERAS_MAX_STEPS_PER_EPOCH": "1"}
    cv_arguments = ["--smoke", "--model", "dense", "--input-dir", str(tiny_dir), "--run-dir", "run"]
    finished = run_without_extras(
        f"assert call('cv', *{cv_arguments}) == 0\nassert call('kernel', 'notebook') == 0\n"
        f"assert not set({OPTIONAL}) & set(sys.modules)\n{SHOW_SETTINGS}",
        **variables,
        KERAS_NNX_ENABLED="1",
        KERAS_HOME=str(tmp_path),
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "", "no messages of the backend"
    assert Path("run/metrics.json").exists() and Path("kernels/notebook-champion").is_dir()
    defaults = ["tensorflow float32 1e-07 channels_last", "None None False"]
    wanted = [*defaults, "many True"]
    assert finished.stdout.splitlines()[-3:] == wanted, "the variables and the folder are left as they were"


def test_an_augmentation_whose_package_is_missing_starts_no_run(tiny_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with expect_error("install.missing", extra="augment"):
        cv.main(["--augmentation", "elastic", "--input-dir", str(tiny_dir), "--run-dir", "run", "--debug"])
    assert not Path("run").exists()


def test_a_backend_that_is_missing_is_one_line():
    script = "import os; os.environ['KERAS_BACKEND'] = 'jax'; sys.exit(call('cv', '--smoke'))"
    finished = run_without_extras(script)
    assert finished.returncode == 2 and "digit_recognizer[jax]" in finished.stderr
    assert finished.stderr.count("\n") == 1
