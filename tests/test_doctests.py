"""The examples in docstrings run as they stand, and every public name has one."""

import doctest
import importlib
import inspect
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_data

import digit_recognizer

PACKAGE = Path(digit_recognizer.__file__).parent
IN_PROCESSES = "digit_recognizer.training.process_executor"  # its tests start some, which takes seconds
WITH_EXAMPLES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class ExampleChecker(doctest.OutputChecker):
    """A line without an expected output may print its progress; what it raises is a failure all the same."""

    def check_output(self, want, got, optionflags):
        return not want or super().check_output(want, got, optionflags)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where examples run: input/ with a small data set, and two finished runs, runs/A and runs/B."""
    from digit_recognizer.config import RunConfig
    from digit_recognizer.training.cross_validation import run_cross_validation

    folder = tmp_path_factory.mktemp("examples")
    write_tiny_data(folder / "input")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, name in enumerate("AB"):
            run_dir, submission = Path("runs", name), Path(f"{name}.csv")
            run_cross_validation(
                RunConfig(
                    model="dense", folds=2, epochs=1, seed=seed, precision="float32", run_dir=run_dir,
                    submission=submission,
                )
            )  # fmt: skip
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == IN_PROCESSES)) for name in WITH_EXAMPLES]
)
def test_the_examples_of_a_module_run(name, folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    module = importlib.import_module(name)
    given = {**vars(module), "dr": digit_recognizer, "np": np, "Path": Path}
    runner, report = doctest.DocTestRunner(ExampleChecker(), verbose=False, optionflags=FLAGS), []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=given):
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", [name for name in digit_recognizer.__all__ if name != "__version__"])
def test_every_public_name_has_an_example(name):
    text = inspect.getdoc(getattr(digit_recognizer, name)) or ""
    assert ">>> " in text and "+SKIP" not in text
