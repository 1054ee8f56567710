"""What users install: a wheel and a source archive with everything in them and nothing else."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_wheel_and_source_archive_build_and_hold_the_whole_package(tmp_path):
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns(".git", ".venv", "input", "runs", "*.egg-info", "build", "dist", ".*_cache")
    shutil.copytree(ROOT, source, ignore=ignore)  # building leaves folders behind
    built = subprocess.run(
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
        for pattern in ("py.typed", "*.toml", "*.css", "*.safetensors", "*.md", "*.txt")
        for path in (ROOT / "digit_recognizer").rglob(pattern)
    }
    assert len(packaged) >= 8 and packaged <= set(names)
    assert "License: MIT" in metadata and "Requires-Dist: albumentations==2.0.8" in metadata
    with tarfile.open(archive) as members:
        archived = {name.partition("/")[2] for name in members.getnames()}
    assert modules <= archived and {"LICENSE", "README.md"} <= archived
