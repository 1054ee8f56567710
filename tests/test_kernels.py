"""Kernels as they are built, and those that are kept in kernels/."""

import base64
import bz2
import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import nbformat
import pytest
from conftest import expect_error

from digit_recognizer import __version__, kernel
from digit_recognizer.competition import kernels
from digit_recognizer.competition.kernels import (
    OWNER,
    BuildArguments,
    build_notebook,
    build_script,
    list_needed,
    pack_package,
    unpack,
)

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.fast
KEPT = {"baseline": build_script, "champion": build_script, "notebook-champion": build_notebook}


def unpack_package(text):
    return json.loads(bz2.decompress(base64.b64decode(text)))


def read_code(folder):
    (code,) = [path for path in folder.iterdir() if path.name != "kernel-metadata.json"]
    text = code.read_text()
    if code.suffix == ".ipynb":
        (text,) = [cell["source"] for cell in json.loads(text)["cells"] if "PACKAGE = " in "".join(cell["source"])]
        text = "".join(text)
    return text


def read_package(folder):
    return unpack_package(read_code(folder).split('PACKAGE = """')[1].split('"""')[0])


def read_top(folder):
    """What the kernel says of itself."""
    code = next(path for path in folder.iterdir() if path.name != "kernel-metadata.json")
    if code.suffix == ".ipynb":
        return "".join(json.loads(code.read_text())["cells"][0]["source"])
    return code.read_text().split("PACKAGE = ")[0]


def read_metadata(folder):
    return json.loads((folder / "kernel-metadata.json").read_text())


@pytest.mark.parametrize("name", KEPT)
def test_the_committed_kernels_are_of_this_version(name):
    assert f"{__version__} (commit " in read_top(ROOT / "kernels" / name), "rebuild by `make kernels`"


@pytest.mark.parametrize("name", KEPT)
def test_the_committed_kernels_name_a_commit_and_leave_the_owner_open(name):
    commit = read_package(ROOT / "kernels" / name)["digit_recognizer/COMMIT"].strip()
    assert len(commit) == 12, "build kernels from a clean checkout"
    assert set(commit) <= set("0123456789abcdef")
    assert read_metadata(ROOT / "kernels" / name)["id"].startswith(f"{OWNER}/")


@pytest.mark.parametrize("build", [build_script, build_notebook])
def test_the_same_package_gives_the_same_bytes(build, tmp_path):
    one, other = (build(BuildArguments("baseline", output_dir=tmp_path / name)) for name in ("one", "other"))
    for path in one.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_the_top_of_a_script_says_what_it_is_and_what_to_edit(monkeypatch):
    monkeypatch.setattr(kernels, "find_commit", lambda: "0123456789ab")
    folder = build_script(BuildArguments("baseline"))
    top = (folder / "baseline.py").read_text().split("PACKAGE = ")[0]
    assert len(top.splitlines()) < 60
    assert "model baseline" in top and f"{__version__} (commit 0123456789ab)" in top
    assert "\nSETTINGS = {}" in top and "\nHOURS = 11.5 " in top
    assert max(map(len, (folder / "baseline.py").read_text().splitlines())) <= 120


def test_the_metadata_keep_it_private_and_off_the_network():
    metadata = read_metadata(build_script(BuildArguments("padded", owner="me")))
    assert metadata["id"] == "me/digit-recognizer-padded"
    assert (metadata["code_file"], metadata["kernel_type"]) == ("padded.py", "script")
    assert (metadata["is_private"], metadata["enable_internet"], metadata["enable_gpu"]) == (True, False, False)
    assert metadata["competition_sources"] == ["digit-recognizer"]
    assert metadata["dataset_sources"] == metadata["kernel_sources"] == metadata["model_sources"] == []


def test_the_notebook_is_valid_and_reads_well():
    folder = build_notebook(BuildArguments("champion"))
    notebook = nbformat.read(folder / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds.count("markdown") >= 5
    packed = [cell for cell in notebook.cells if "PACKAGE = " in cell.source]
    assert len(packed) == 1 and packed[0].metadata["_kg_hide-input"]
    assert all(len(cell.source.splitlines()) < 20 for cell in notebook.cells if cell is not packed[0])
    assert not [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert read_metadata(folder)["kernel_type"] == "notebook"


def test_a_notebook_carries_no_model_and_no_training_but_the_optimizer():
    names = read_package(build_notebook(BuildArguments("champion")))
    assert not [name for name in names if name.startswith(("digit_recognizer/models", "digit_recognizer/reporting"))]
    training = {Path(name).stem for name in names if "/training/" in name}
    assert training == {"__init__", "optimizers"}
    assert len(read_code(Path("kernels/notebook-champion"))) < 56_000


def test_a_notebook_of_another_model_shows_its_file():
    folder = build_notebook(BuildArguments("narrow"))
    cells = nbformat.read(folder / "notebook.ipynb", as_version=4).cells
    (code,) = [cell.source for cell in cells if "def build_model" in cell.source]
    assert "class Options" in code and "def build(" in code and "conv_bn_relu" not in code
    namespace = {"__name__": "cell"}
    exec(code, namespace)
    assert namespace["build_model"]().count_params() == 21_840
    (settings,) = [cell.source for cell in cells if cell.source.startswith("FOLDS")]
    assert 'OPTIMIZER, LEARNING_RATE, WEIGHT_DECAY = "muon"' in settings
    assert "digit_recognizer/models/_blocks.py" in read_package(folder)


def test_a_model_with_a_frozen_backbone_has_no_notebook():
    with expect_error("kernel.notebook_pretrained", received="vgg16"):
        build_notebook(BuildArguments("vgg16"))


def test_a_bundle_has_the_wording_of_its_own_errors_and_no_others():
    messages = read_package(build_notebook(BuildArguments("champion")))["digit_recognizer/messages.toml"]
    wordings = tomllib.loads(messages)
    assert "pixel_range" in wordings["csv"] and "action" not in wordings["kernel"]


def build(*arguments):
    return kernel.main(["build", *arguments])


def test_a_pretrained_model_attaches_its_weights_and_a_resumed_kernel_itself(capsys):
    assert build("vgg16", "--owner", "me", "--resume") == 0
    metadata = read_metadata(Path("kernels/vgg16"))
    assert metadata["dataset_sources"] == ["keras/vgg16"]
    assert metadata["kernel_sources"] == ["me/digit-recognizer-vgg16"]
    assert build("vgg16", "--gpu", "--overwrite") == 0
    assert read_metadata(Path("kernels/vgg16"))["enable_gpu"] is True
    assert "kernel push kernels/vgg16" in capsys.readouterr().out


def test_the_next_step_is_quoted(capsys):
    assert build("dense", "--output-dir", "my kernel") == 0
    assert capsys.readouterr().out.endswith("digit_recognizer.kernel push 'my kernel'\n")


def test_a_mistake_is_one_line_and_exit_code_2(capsys):
    for arguments in [["bild"], ["build", "nothing"], ["push", "nowhere"]]:
        assert kernel.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_actions(arguments, capsys):
    assert kernel.main(arguments) == 0
    out = capsys.readouterr().out
    assert all(action in out for action in kernel.ARGUMENTS)


@pytest.mark.parametrize("action", ["build", "notebook"])
def test_an_existing_kernel_is_replaced_only_with_overwrite(action):
    folder = Path("kernels") / ("baseline" if action == "build" else "notebook-baseline")
    assert kernel.main([action, "baseline"]) == 0
    (code,) = [path for path in folder.iterdir() if path.name != "kernel-metadata.json"]
    plain = code.read_text()
    edited = plain.replace("SETTINGS = {}" if action == "build" else "SEED = 0", "SETTINGS = {1: 2}")
    assert edited != plain
    code.write_text(edited)
    with expect_error("kernel.exists", path=code):
        kernel.main([action, "baseline", "--debug"])
    assert code.read_text() == edited
    assert kernel.main([action, "baseline", "--overwrite"]) == 0
    assert code.read_text() == plain
    other = "notebook" if action == "build" else "build"
    with expect_error("kernel.exists", path=folder / "kernel-metadata.json"):
        kernel.main([other, "baseline", "--output-dir", str(folder), "--debug"])


@pytest.mark.parametrize("action", ["build", "notebook", "push", "status", "output"])
def test_every_action_has_help(action, capsys):
    with pytest.raises(SystemExit) as stop:
        kernel.main([action, "--help"])
    assert stop.value.code == 0
    assert "kernel" in capsys.readouterr().out


def test_what_a_module_imports_is_packed_and_nothing_else(tmp_path, monkeypatch):
    package = tmp_path / "digit_recognizer"
    files = {
        "__init__.py": "",
        "one.py": "from digit_recognizer.part import two\n",
        "part/__init__.py": "import os\n",
        "part/two.py": "def f():\n    from digit_recognizer.three import NAME\n    import digit_recognizer.spare\n",
        "three.py": "'Docstring.'\nimport numpy\nNAME = 1\n",
        "spare.py": "",
        "numpy.py": "",
        "secret.py": "KEY = 1\n",
        "part/four.py": "",
        "kaggle.json": "{}",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    monkeypatch.setattr(kernels, "PACKAGE", package)
    monkeypatch.setattr(kernels, "LEFT_OUT", ["digit_recognizer.spare"])
    found = [path.relative_to(package).as_posix() for path in list_needed(["digit_recognizer.one"])]
    assert found == ["__init__.py", "one.py", "part/__init__.py", "part/two.py", "three.py"]
    packed = unpack_package(pack_package(["digit_recognizer.one"], "abc"))
    assert packed["digit_recognizer/COMMIT"] == "abc\n"
    assert packed["digit_recognizer/one.py"].splitlines() == files["one.py"].splitlines()
    assert packed["digit_recognizer/three.py"].splitlines() == ["", *files["three.py"].splitlines()[1:]]
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    unpack(pack_package(["digit_recognizer.one"], "abc"))
    (folder,) = map(Path, sys.path)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == set(packed) - {
        "digit_recognizer/COMMIT"
    }


def test_a_kernel_carries_one_model_and_only_what_cv_needs():
    names = read_package(build_script(BuildArguments("padded")))
    models = {Path(name).stem for name in names if name.startswith("digit_recognizer/models/") and name.count("/") == 2}
    assert {name for name in models if not name.startswith("_")} == {"padded"}
    for unused in (
        "client",
        "submit",
        "kernels",
        "ensemble",
        "compare",
        "ray_executor",
        "cv",
        "sweeping",
        "recognition",
    ):
        assert not [name for name in names if Path(name).stem == unused], unused
    assert "digit_recognizer/messages.toml" in names


CANARY = "KGAT_canary0123456789"


def test_no_credential_gets_into_a_kernel(tmp_path):
    """Neither from the environment, nor from home, nor from a file that lies among the package's own."""
    copy = tmp_path / "copy" / "digit_recognizer"
    shutil.copytree(ROOT / "digit_recognizer", copy, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    stray = ("kaggle.json", "models/secrets.py", "kernels/access_token", "models/.env")
    for place in (*(copy / name for name in stray), tmp_path / "home/.kaggle/access_token"):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f'KEY = "{CANARY}"\n')
    environment = {"HOME": str(tmp_path / "home"), "KAGGLE_API_TOKEN": CANARY, "KAGGLE_KEY": CANARY}
    for arguments in (["build", "baseline"], ["notebook"]):
        subprocess.run(
            [sys.executable, "-m", "digit_recognizer.kernel", *arguments],
            cwd=tmp_path / "copy",
            env={**environment, "PYTHONPATH": str(tmp_path / "copy"), "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
        )
    for name in ("baseline", "notebook-champion"):
        folder = tmp_path / "copy" / "kernels" / name
        assert not [path for path in folder.iterdir() if CANARY in path.read_text()]
        assert not [path for path, text in read_package(folder).items() if CANARY in text]
