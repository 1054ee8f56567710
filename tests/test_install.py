"""What must be installed for what: every import is declared, and a missing extra is one line that names it."""

import ast
import configparser
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from conftest import expect_error
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from without_extras import run_without_extras

from digit_recognizer import cv, report, sweep, train
from digit_recognizer.__main__ import COMMANDS, import_command
from digit_recognizer.app.__main__ import main as app
from digit_recognizer.predict import main as predict

transfer = import_command("transfer")  # the package has a function of that name

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "digit_recognizer"
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")


def list_requirements(text):
    return [Requirement(line) for line in text.strip().splitlines()]


CORE = list_requirements(SETUP["options"]["install_requires"])
EXTRAS = {name: list_requirements(text) for name, text in SETUP["options.extras_require"].items()}
FOR_USERS = {name: found for name, found in EXTRAS.items() if name not in ("all", "benchmarks", "docs", "test")}
DISTRIBUTIONS = packages_distributions()
IMPORTED_LATE = ("app/server.py",)  # by a command that has asked for the extra
NAMES = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "mlflow": "mlflow-skinny"}


def name_distribution(module):
    """The name under which a module is installed; of those that several distributions share, the one we ask for."""
    return NAMES.get(module) or canonicalize_name(DISTRIBUTIONS.get(module, [module])[0])


def find_imports(path):
    """Of each import of another package: its module, whether it is run when ours is imported, and its extra."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        names, extra = [], None
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
            names, extra = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)], ast.unparse(node.args[1])
        for name in (name.partition(".")[0] for name in names):
            if name not in sys.stdlib_module_names and name != PACKAGE.name:
                yield name, id(node) not in lazy, ast.literal_eval(extra) if extra else None


def test_every_imported_package_is_declared_and_optional_ones_wait_until_needed():
    core = {canonicalize_name(requirement.name) for requirement in CORE}
    extras = {name: {canonicalize_name(one.name) for one in found} for name, found in FOR_USERS.items()}
    asked_for = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for module, at_import, extra in find_imports(path):
            found = name_distribution(module)
            place = f"{path.relative_to(ROOT)} imports {module} ({found})"
            if extra:
                assert found in extras[extra], f"{place}, which [{extra}] does not install"
                asked_for.add(extra)
            elif found not in core:
                assert any(found in names for names in extras.values()), f"{place}, which is not declared"
                late = path.relative_to(PACKAGE).as_posix() in IMPORTED_LATE
                assert late or not at_import, f"{place}, which is optional, where it is imported itself"
    assert asked_for == set(FOR_USERS)


def test_all_names_every_extra_and_the_tests_need_all():
    [everything] = EXTRAS["all"]
    assert everything.extras == set(FOR_USERS)
    assert any(one.name == PACKAGE.name and one.extras == {"all"} for one in EXTRAS["test"])


def test_the_floors_that_ci_installs_are_those_of_setup_cfg():
    pins = {
        one.name: next(iter(one.specifier)).version
        for one in list_requirements(
            "\n".join(line for line in (ROOT / ".github/floors.txt").read_text().splitlines() if line[0] != "#")
        )
    }
    for requirement in (*CORE, *(one for found in FOR_USERS.values() for one in found)):
        [floor] = requirement.specifier
        assert Version(pins[requirement.name]) == Version(floor.version), requirement


def test_without_any_extra_every_command_answers_help():
    finished = run_without_extras(f"for name in {list(COMMANDS)}:\n    assert call(name, '--help') == 0, name")
    assert finished.returncode == 0, finished.stderr
    assert all(f"digit_recognizer.{name}" in finished.stdout for name in ("cv", "submit", "kernel"))


@pytest.mark.parametrize(
    ("extra", "absent", "main", "arguments"),
    [
        ("report", "matplotlib.figure", train.main, []),
        ("report", "matplotlib.figure", report.main, ["run"]),
        ("vision", "PIL.Image", predict, ["picture.png"]),
        ("vision", "matplotlib.figure", predict, ["picture.png", "--show", "shown.png"]),
        ("vision", "PIL.Image", transfer.main, ["ready", "--images", "letters"]),
        ("vision", "matplotlib.figure", transfer.main, ["ready", "--images", "letters"]),
        ("sweeps", "optuna", sweep.main, ["study.toml"]),
        ("sweeps", "matplotlib.figure", sweep.main, ["study.toml"]),
        ("ray", "ray", cv.main, ["--executor", "ray"]),
        ("app", "starlette", app, []),
    ],
)
def test_a_missing_extra_is_one_line_before_anything_is_done(extra, absent, main, arguments, monkeypatch):
    monkeypatch.setitem(sys.modules, absent, None)
    monkeypatch.setenv("DIGIT_RECOGNIZER_SWEEP_WORKER", "1")  # as `sweep` starts the process that does its work
    with expect_error("install.missing", extra=extra) as caught:
        main([*arguments, "--debug"])
    assert f"pip install 'digit_recognizer[{extra}]'" in str(caught.value)


def test_an_augmentation_whose_package_is_missing_is_refused(monkeypatch):
    from digit_recognizer.data.augmentation import POLICIES, build_augment

    monkeypatch.setitem(sys.modules, "albumentations", None)
    assert build_augment(POLICIES["affine"])
    with expect_error("install.missing", extra="augment"):
        build_augment(POLICIES["elastic"])


def test_the_pages_name_every_extra_by_the_same_command():
    text = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    assert all(f"`pip install 'digit_recognizer[{name}]'`" in text or f"`{name}`" in text for name in FOR_USERS)
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        assert "-e '.[" not in page.read_text(encoding="utf-8").replace("-e '.[test]'", ""), page.name
