"""Variables, settings and folders of a machine that is not as one would like it: all at once, in one process."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image, ImageDraw

AMBIENT = {
    "PYTHONWARNINGS": "error",
    "PYTHONUTF8": "0",
    "LC_ALL": "xx_YY.nonsense",
    "JAX_ENABLE_X64": "1",
    "TMPDIR": "/nonexistent/tmp",
    "MPLCONFIGDIR": "/proc/nowhere",  # cannot be written
    "MPLBACKEND": "module://no_such_module.backend",
}
CODE = """
import sys
from digit_recognizer.__main__ import import_command
train = "cv --model dense --folds 2 --epochs 1 --precision float32 --input-dir tiny --run-dir run"
for line in (train, "predict seven.png", "report run"):
    name, *arguments = line.split()
    print("code", import_command(name).main(arguments))
"""


def test_commands_work_under_settings_that_nobody_chose(tiny_dir, tmp_path):
    picture = Image.new("L", (100, 100), "white")
    ImageDraw.Draw(picture).line([(25, 20), (75, 20), (40, 85)], fill="black", width=8)
    picture.save(tmp_path / "seven.png")
    (tmp_path / "rc").write_bytes(b"# caf\xe9\n")
    paths = {"MATPLOTLIBRC": str(tmp_path / "rc"), "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    ambient = {**os.environ, **AMBIENT, **paths}
    ambient.pop("HOME", None)
    done = subprocess.run([sys.executable, "-c", CODE], env=ambient, cwd=tmp_path, capture_output=True, text=True)
    codes = [line for line in done.stdout.splitlines() if line.startswith("code ")]
    assert codes == ["code 0"] * 3, done.stderr
    assert "seven.png: 7" in done.stdout
    assert np.isfinite(np.load(tmp_path / "run" / "oof_probabilities.npy")).all()
    assert (tmp_path / "run" / "report.html").is_file() and "Traceback" not in done.stderr
