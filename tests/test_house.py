"""The house's own rules, read from its code."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "digit_recognizer"
MODULES = sorted(PACKAGE.rglob("*.py"))

# A module may import from its own layer and those below it. A package's entry holds for all of its modules.
LAYERS = {
    "errors": 0,
    "backend": 0,
    "io": 0,
    "config": 0,
    "console": 0,
    "data": 1,
    "competition": 1,
    "evaluation.metrics": 1,
    "models": 2,
    "vision": 1,
    "vision.recognition": 3,
    "training": 3,
    "evaluation": 3,
    "reporting": 3,
    "transfer_learning": 4,
    "sweeps": 4,
    "competition.kernels": 4,
    "competition.kernel_notebook": 4,
    "competition.kernel_runs": 4,
    "competition.kernel_session": 4,
}
COMMANDS_LAYER = 5
WITHOUT_KERAS = ("backend", "config", "errors", "io", "console", "cli", "data", "competition")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package_of(module: str) -> str:
    return (module.split(".") + [""])[1]


def promises_no_keras(module: str) -> bool:
    return package_of(module) in WITHOUT_KERAS and layer_of(module) < 4


def layer_of(module: str) -> int:
    path = module.split(".")[1:]
    return next((LAYERS[name] for n in (2, 1) if (name := ".".join(path[:n])) in LAYERS), COMMANDS_LAYER)


def imports_of(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path):
    name = name_of(path)
    for imported in imports_of(path):
        if imported.startswith("digit_recognizer.") and imported != "digit_recognizer.__version__":
            assert layer_of(imported) <= layer_of(name), f"{name} imports {imported}, which stands above it"


@pytest.mark.parametrize("path", [p for p in MODULES if promises_no_keras(name_of(p))], ids=name_of)
def test_rooms_that_promise_it_do_without_keras(path):
    banned = {"keras", "tensorflow", "jax", "torch"}
    if path.name == "backend.py":
        assert 'importlib.import_module("keras")' in path.read_text()  # its one import, on demand
    assert not banned & {imported.split(".")[0] for imported in imports_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_backend_is_reached_through_keras_only(path):
    allowed = {
        "_normalization.py": {"tensorflow"},  # Keras has no door to the fused kernel
        "device_epochs.py": {"jax"},  # nor to a loop of training steps
        "batches.py": {"tensorflow"},  # nor to a stream without tuning
    }
    found = {"tensorflow", "jax", "torch"} & {imported.split(".")[0] for imported in imports_of(path)}
    assert found == allowed.get(path.name, set())


def test_there_is_no_drawer_for_everything():
    assert not [path for path in MODULES if path.stem in {"utils", "helpers", "misc", "common"}]


def test_constraints_cover_every_requirement():
    import configparser

    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = config["options"]["install_requires"] + "".join(config["options.extras_require"].values())
    assert {line.split()[0] for line in wanted.strip().splitlines()} <= pinned
