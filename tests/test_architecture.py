"""Rules of the code, read from the code: layers, imports, parameters, words, names of tests, pinned versions."""

import ast
import configparser
import re
from pathlib import Path

import pytest

import digit_recognizer

pytestmark = pytest.mark.fast

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "digit_recognizer"
MODULES = sorted(PACKAGE.rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_PARAMETERS = 7
LONGEST_TEST_NAME = 80

# A module may import from its own layer and from those below it. An entry holds for all modules of a package.
LAYERS = {
    "errors": 0,
    "arguments": 0,
    "backend": 0,
    "io": 0,
    "config": 0,
    "console": 0,
    "records": 0,
    "data": 1,
    "competition": 1,
    "evaluation.calibration": 1,
    "evaluation.metrics": 1,
    "vision": 1,
    "models": 2,
    "models.__main__": 5,
    "training": 3,
    "evaluation": 3,
    "reporting": 3,
    "transfer_learning": 4,
    "vision.recognition": 4,
    "sweeps": 4,
    "competition.kernels": 4,
    "competition.kernel_session": 4,
}
COMMANDS = 5  # the layer of everything else
WITHOUT_KERAS = ("backend", "config", "errors", "io", "console", "cli", "data", "competition")

# Words that are not the field's; DESIGN and CONTRIBUTING have the terms to use.
DIALECT = re.compile(
    r"\b(door|doors|house|room|rooms|sitting|sittings|telling|tells of|told|workshop|hand in|handed in|goes on|"
    r"going on|shifted[_-]copies|watch[_-]fraction|circumstances|misreadings|costliest|hand out|fitted rows|"
    r"judged rows|"
    r"no numbers|alphabet|alphabets|bears|bear|begun otherwise|hopeless|given up|way out|document 00\d)\b",
    flags=re.IGNORECASE,
)


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def find_layer(module: str) -> int:
    path = module.split(".")[1:]
    return next((LAYERS[name] for n in (2, 1) if (name := ".".join(path[:n])) in LAYERS), COMMANDS)


def promises_no_keras(module: str) -> bool:
    return (module.split(".") + [""])[1] in WITHOUT_KERAS and find_layer(module) < 4


def find_imports(path: Path) -> list[str]:
    found = []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_from_its_layer_and_those_below(path):
    name = name_of(path)
    for imported in find_imports(path):
        if imported.startswith("digit_recognizer.") and imported != "digit_recognizer.__version__":
            assert find_layer(imported) <= find_layer(name), f"{name} imports {imported} from a higher layer"


@pytest.mark.parametrize("path", [p for p in MODULES if promises_no_keras(name_of(p))], ids=name_of)
def test_no_keras_where_help_must_be_fast(path):
    banned = {"keras", "tensorflow", "jax", "torch"}
    if path.name == "backend.py":
        assert 'importlib.import_module("keras")' in path.read_text(encoding="utf-8")  # its one import, on demand
    assert not banned & {imported.split(".")[0] for imported in find_imports(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_backend_is_reached_through_keras_only(path):
    allowed = {
        "_blocks.py": {"tensorflow"},  # Keras does not expose the fused kernel,
        "device_epochs.py": {"jax"},  # nor a loop of training steps,
        "batches.py": {"tensorflow"},  # nor a stream without tuning
    }
    found = {"tensorflow", "jax", "torch"} & {imported.split(".")[0] for imported in find_imports(path)}
    assert found == allowed.get(path.name, set())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_function_has_more_than_seven_parameters(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            count = len([argument for argument in arguments if argument.arg not in ("self", "cls")])
            assert count <= MAX_PARAMETERS, f"{path.name}:{node.lineno} {node.name} takes {count} parameters"


@pytest.mark.parametrize("path", [*MODULES, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_package_and_docs_use_standard_words(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert not [(number, line) for number, line in enumerate(lines, 1) if DIALECT.search(line)]


def test_no_module_is_a_drawer_for_everything():
    assert not [path for path in MODULES if path.stem in {"utils", "helpers", "misc", "common"}]


def test_test_names_have_at_most_80_characters():
    names = [
        node.name
        for path in sorted((ROOT / "tests").glob("*.py"))
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert not [name for name in names if len(name) > LONGEST_TEST_NAME]


def test_constraints_cover_every_requirement():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    wanted = config["options"]["install_requires"] + "".join(config["options.extras_require"].values())
    names = {line.split()[0].partition("[")[0] for line in wanted.strip().splitlines()}
    assert names - {"digit_recognizer"} <= pinned  # an extra may name others of this package


def test_editors_see_the_names_that_the_package_exports():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    seen = {alias.name: node.module for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {name: f"digit_recognizer.{module}" for name, module in digit_recognizer._MODULES.items()}


def find_names(path: Path) -> set[str]:
    """Names of a module's top level: definitions, assignments and imports, also inside `if` and `try`."""
    names, nodes = set(), list(parse(path).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        else:
            names |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            nodes += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
    return names


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_a_benchmark_uses_only_names_that_the_package_has(path):
    """Most benchmarks run for hours, so no test runs them."""
    modules = {name_of(module): module for module in MODULES}
    aliases, missing = {}, []
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "") in modules.keys() - {PACKAGE.name}:
            names = find_names(modules[node.module])
            for alias in node.names:
                if (inner := f"{node.module}.{alias.name}") in modules:
                    aliases[alias.asname or alias.name] = find_names(modules[inner])
                elif alias.name not in names:
                    missing.append(inner)
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
            missing += [f"{node.value.id}.{node.attr}"] * (node.attr not in aliases[node.value.id])
    assert not missing
